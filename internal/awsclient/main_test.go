package awsclient

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

const region = "eu-west-1"

// start returns an endpoint on a loopback port that has the parameter /a, and a configuration for it.
func start(t *testing.T) (*endpoint.Server, aws.Config) {
	t.Helper()
	s := endpoint.New(endpoint.Options{})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Region(region).PutParameter(endpoint.Parameter{Name: "/a", Value: "v"})
	return s, base(url)
}

// startPipe is start inside a bubble.
func startPipe(t *testing.T, opts ...endpoint.Options) (*endpoint.Server, aws.Config) {
	t.Helper()
	s, p := endpoint.New(append(opts, endpoint.Options{})[0]), endpoint.NewPipe()
	go s.Serve(p)
	cfg := base("http://ssm.aws.test")
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = p.DialContext
	})
	t.Cleanup(s.Close)
	s.Region(region).PutParameter(endpoint.Parameter{Name: "/a", Value: "v"})
	return s, cfg
}

func base(url string) aws.Config {
	return aws.Config{Region: region, BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", "token")}
}

// prepare is what a Source makes of a configuration.
func prepare(cfg aws.Config) aws.Config { return new(Source).prepare(cfg) }

// get is one GetParameter of /a by a client of its own over cfg, which should be prepared.
func get(ctx context.Context, cfg aws.Config) error {
	_, err := ssm.NewFromConfig(cfg).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/a")})
	return err
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
