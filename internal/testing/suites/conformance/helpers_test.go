package conformance_test

import (
	"log/slog"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

const region = "eu-west-1"

// start returns a running embedded endpoint, its store in region, and a configuration for it.
func start(t testing.TB) (*endpoint.Server, *endpoint.Store, aws.Config) {
	t.Helper()
	s := endpoint.New(endpoint.Options{})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, s.Region(region), config(url)
}

func config(url string) aws.Config {
	return aws.Config{Region: region, BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", "")}
}

func newEnv(t testing.TB, cfg aws.Config, environ map[string]string, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	env, err := secrets.New(append([]secrets.Option{secrets.WithAWSConfig(cfg), secrets.WithEnviron(environ)},
		opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// quiet returns a logger that writes nothing.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
