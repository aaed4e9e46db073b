package awsclient

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

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

// An answer of STS that lacks credentials, or a part of them, is an error. It ended the process, by a panic of the SDK
// on a goroutine of its own.
func TestRole_AnswerWithoutCredentials(t *testing.T) {
	const whole = "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>" +
		"<SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>"
	body := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		operation := "AssumeRole"
		if strings.Contains(string(asked), "WithWebIdentity") {
			operation += "WithWebIdentity"
		}
		io.WriteString(w, strings.ReplaceAll(body, "OP", operation))
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ROLE_ARN": "arn:aws:iam::210987654321:role/reader", "AWS_WEB_IDENTITY_TOKEN_FILE": token,
		"AWS_ENDPOINT_URL_STS": server.URL, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	stated := aws.Config{Region: region, BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("A", "s", "")}
	answers := map[string]string{
		"whole": whole, "none": "", "empty": "<Credentials/>",
		"no key":    strings.Replace(whole, "<AccessKeyId>A</AccessKeyId>", "", 1),
		"no secret": strings.Replace(whole, "<SecretAccessKey>s</SecretAccessKey>", "", 1),
		"no token":  strings.Replace(whole, "<SessionToken>t</SessionToken>", "", 1),
		"no end":    strings.Replace(whole, "<Expiration>2100-01-01T00:00:00Z</Expiration>", "", 1),
	}
	for name, answer := range answers {
		body = "<OPResponse><OPResult>" + answer + "</OPResult></OPResponse>"
		for how, of := range map[string]func() (aws.CredentialsProvider, error){
			"role of a reference": func() (aws.CredentialsProvider, error) {
				cfg, seq, err := Fixed(stated).Config(t.Context())
				return Fixed(stated).assume(cfg, seq, "arn:aws:iam::210987654321:role/reader"), err
			},
			"web identity": func() (aws.CredentialsProvider, error) {
				cfg, _, err := Default(region).Config(t.Context())
				return cfg.Credentials, err
			},
		} {
			p, err := of()
			if err != nil {
				t.Fatal(err)
			}
			var garbled *smithy.DeserializationError
			_, err = p.Retrieve(t.Context())
			if good := name == "whole"; good != (err == nil) || !good && !errors.As(err, &garbled) {
				t.Errorf("%s, %s: %v", how, name, err)
			}
		}
	}
	body = ""
	cfg, seq, _ := Fixed(stated).Config(t.Context())
	p := Fixed(stated).assume(cfg, seq, "arn:aws:iam::210987654321:role/r")
	if _, err := p.Retrieve(t.Context()); err == nil {
		t.Error("no bytes at all are no error")
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
