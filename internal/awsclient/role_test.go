package awsclient

import (
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// A role is assumed once, at home, whichever services, Regions and callers ask; and again with new
// credentials.
func TestClients_Role(t *testing.T) {
	t.Parallel()
	const role, account = "arn:aws:iam::210987654321:role/reader", "210987654321"
	s, cfg := start(t)
	err := s.AddRole(endpoint.Role{ARN: role, Trust: `{"Statement":{"Effect":"Allow",
		"Action":"sts:AssumeRole","Principal":{"AWS":"123456789012"}}}`})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{region, "us-east-1"} {
		s.RegionOf(account, in).PutParameter(endpoint.Parameter{Name: "/a", Value: "theirs in " + in})
	}
	source := Fixed(cfg)
	source.Function = "fn"
	params := Clients[*ssm.Client]{Source: source,
		New: func(cfg aws.Config) *ssm.Client { return ssm.NewFromConfig(cfg) }}
	keys := Clients[*kms.Client]{Source: source,
		New: func(cfg aws.Config) *kms.Client { return kms.NewFromConfig(cfg) }}
	var wg sync.WaitGroup
	for _, tc := range []struct{ region, role, want string }{
		{"", "", "v"}, {"", role, "theirs in " + region}, {"us-east-1", role, "theirs in us-east-1"},
	} {
		for range 8 {
			wg.Go(func() {
				client, _, seq, err := params.Get(t.Context(), tc.region, tc.role)
				if err != nil {
					t.Error(err)
					return
				}
				out, err := client.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/a")})
				if err != nil || *out.Parameter.Value != tc.want {
					t.Errorf("%+v: %v", tc, err)
				}
				source.Proven(seq)
			})
		}
	}
	wg.Wait()
	client, _, seq, _ := keys.Get(t.Context(), "", role)
	client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte("x")})
	if n := s.Count("sts:AssumeRole"); n != 1 {
		t.Errorf("assumed %d times", n)
	}
	for _, c := range s.Calls() {
		switch {
		case c.Operation == "sts:AssumeRole" && c.Region != region:
			t.Errorf("STS is asked in %s", c.Region)
		case strings.Contains(c.Caller, account) &&
			!strings.HasSuffix(c.Caller, ":assumed-role/reader/lambdasecrets-fn"):
			t.Errorf("CloudTrail shows %s", c.Caller)
		}
	}
	source.Renew(seq)
	client, _, _, _ = keys.Get(t.Context(), "", role)
	client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte("x")})
	if n := s.Count("sts:AssumeRole"); n != 2 {
		t.Errorf("assumed %d times after the credentials were dropped", n)
	}
}

func TestSessionName_Valid(t *testing.T) {
	t.Parallel()
	for function, want := range map[string]string{
		"": "lambdasecrets", "fn": "lambdasecrets-fn",
		strings.Repeat("x", 64): "lambdasecrets-" + strings.Repeat("x", 50),
	} {
		if got := sessionName(function); got != want {
			t.Errorf("%q: %q, want %q", function, got, want)
		}
	}
}
