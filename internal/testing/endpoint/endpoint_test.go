package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
)

// clients are the SDK's own, on one server and Region.
type clients struct {
	kms *kms.Client
	ssm *ssm.Client
	sm  *secretsmanager.Client
}

func connect(url, region string, hc *http.Client) clients {
	cfg := aws.Config{
		Region: region, BaseEndpoint: aws.String(url), HTTPClient: hc,
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret-access-key", SessionToken: "y"},
				nil
		}),
	}
	return clients{kms.NewFromConfig(cfg), ssm.NewFromConfig(cfg), secretsmanager.NewFromConfig(cfg)}
}

const region = "eu-west-1"

// start runs a server on a loopback port for the length of the test.
func start(t *testing.T) (*Server, *Store, clients) {
	t.Helper()
	s := New(Options{})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(func() { tr.CloseIdleConnections(); s.Close() })
	return s, s.Region(region), connect(url, region, &http.Client{Transport: tr})
}

// startPipe is start inside a bubble, in memory.
func startPipe(t *testing.T) (*Server, *Store, clients) {
	t.Helper()
	s, p := New(Options{}), NewPipe()
	go s.Serve(p)
	tr := &http.Transport{DialContext: p.DialContext}
	t.Cleanup(func() { tr.CloseIdleConnections(); s.Close() })
	return s, s.Region(region), connect("http://aws.test", region, &http.Client{Transport: tr})
}

// wantCode checks an error's code, "" for none, and that its message holds text.
func wantCode(t *testing.T, err error, code, text string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatalf("error %v", err)
		}
		return
	}
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), text) {
		t.Fatalf("error %v; want %s with %q", err, code, text)
	}
}

func TestServer_Transports(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		serve func(s *Server) (string, *http.Transport)
	}{
		{"http", func(s *Server) (string, *http.Transport) {
			url, err := s.Start()
			must(err)
			return url, &http.Transport{}
		}},
		{"tls", func(s *Server) (string, *http.Transport) {
			url, err := s.StartTLS()
			must(err)
			return url, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.CertPool()}}
		}},
		{"pipe", func(s *Server) (string, *http.Transport) {
			p := NewPipe()
			go s.Serve(p)
			return "http://aws.test", &http.Transport{DialContext: p.DialContext}
		}},
		{"tls over pipe with AWS's names", func(s *Server) (string, *http.Transport) {
			p := NewPipe()
			go s.ServeTLS(p)
			return "https://ssm.eu-west-1.amazonaws.com",
				&http.Transport{DialContext: p.DialContext, TLSClientConfig: &tls.Config{RootCAs: s.CertPool()}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			run := func(t *testing.T) {
				s := New(Options{})
				defer s.Close()
				// net/http keeps no connection whose answer came before the request was known to be written
				s.SetLatency("*", 20*time.Millisecond)
				url, tr := tc.serve(s)
				defer tr.CloseIdleConnections()
				st := s.Region(region)
				st.PutParameter(Parameter{Name: "/app/db", Type: "SecureString", Value: "hunter2"})
				st.PutSecret("prod/db", `{"password":"x"}`)
				blob := st.Encrypt(st.CreateKey(), []byte("plain"), nil)

				c := connect(url, region, &http.Client{Transport: tr})
				ctx := context.Background()
				p, err := c.ssm.GetParameter(ctx,
					&ssm.GetParameterInput{Name: aws.String("/app/db"), WithDecryption: aws.Bool(true)})
				if err != nil || *p.Parameter.Value != "hunter2" {
					t.Errorf("GetParameter %v", err)
				}
				v, err := c.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("prod/db")})
				if err != nil || *v.SecretString != `{"password":"x"}` {
					t.Errorf("GetSecretValue %v", err)
				}
				d, err := c.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob})
				if err != nil || string(d.Plaintext) != "plain" {
					t.Errorf("Decrypt %v", err)
				}
				if n := s.Connections(); n != 1 {
					t.Errorf("%d connections for three calls in a row; want 1", n)
				}
			}
			if strings.Contains(tc.name, "pipe") {
				synctest.Test(t, run)
			} else {
				run(t)
			}
		})
	}
}
