package endpoint_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

const reader = "arn:aws:iam::210987654321:role/team/reader"

func trusting(principal string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":` +
		principal + `}}`
}

func TestSTS_AssumeRole(t *testing.T) {
	t.Parallel()
	const allowed = `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + reader + `"}}`
	for _, tc := range []struct{ name, trust, policy, code string }{
		{"the account", trusting(`{"AWS":"123456789012"}`), "", ""},
		{"its root", trusting(`{"AWS":["arn:aws:iam::999999999999:root","arn:aws:iam::123456789012:root"]}`), "", ""},
		{"the role", trusting(`{"AWS":"arn:aws:iam::123456789012:role/function"}`), allowed, ""},
		{"anybody", trusting(`"*"`), allowed, ""},
		{"another account", trusting(`{"AWS":"999999999999"}`), "", "AccessDenied"},
		{"nobody", "", "", "AccessDenied"},
		{"the caller may not", trusting(`"*"`), `{"Statement":{"Effect":"Allow","Action":"ssm:*","Resource":"*"}}`,
			"AccessDenied"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := endpoint.New(endpoint.Options{})
			url, err := s.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := errors.Join(s.SetPolicy(tc.policy),
				s.AddRole(endpoint.Role{ARN: reader, Trust: tc.trust})); err != nil {
				t.Fatal(err)
			}
			s.Region("eu-west-1").PutParameter(endpoint.Parameter{Name: "/a", Value: "ours"})
			s.RegionOf("210987654321", "eu-west-1").PutParameter(endpoint.Parameter{Name: "/a", Value: "theirs"})
			cfg := aws.Config{Region: "eu-west-1", BaseEndpoint: &url, RetryMaxAttempts: 1,
				Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")}
			assumed := cfg.Copy()
			assumed.Credentials = stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), reader,
				func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = "it-is-me" })
			out, err := ssm.NewFromConfig(assumed).GetParameter(t.Context(),
				&ssm.GetParameterInput{Name: aws.String("/a")})
			var api smithy.APIError
			if tc.code != "" {
				if !errors.As(err, &api) || api.ErrorCode() != tc.code ||
					!strings.Contains(api.ErrorMessage(), "assumed-role/function/function") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || *out.Parameter.Value != "theirs" {
				t.Fatalf("%+v, %v", out, err)
			}
			calls := s.Calls()
			if len(calls) != 2 || calls[0].Operation != "sts:AssumeRole" || calls[0].Resources[0] != reader ||
				calls[1].Caller != "arn:aws:sts::210987654321:assumed-role/reader/it-is-me" {
				t.Errorf("calls %+v", calls)
			}
			kept := cfg.Copy()
			kept.Credentials = credentials.NewStaticCredentialsProvider(calls[1].AccessKeyID, "x", "wrong")
			_, err = ssm.NewFromConfig(kept).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/a")})
			if !errors.As(err, &api) || api.ErrorCode() != "UnrecognizedClientException" {
				t.Errorf("a wrong token: %v", err)
			}
		})
	}
}
