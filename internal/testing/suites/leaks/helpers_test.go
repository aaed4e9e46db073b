package leaks_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

const (
	region = "eu-west-1"
	root   = "../../../.."
)

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

func kmsRef(blob []byte) string { return "kms://" + base64.StdEncoding.EncodeToString(blob) }

// sixty seeds 25 parameters, 25 secrets and 5 ciphertexts, and returns 60 variables that read them.
func sixty(st *endpoint.Store) map[string]string {
	environ := map[string]string{"PLAIN": "plain"}
	key := st.CreateKey()
	for i := range 25 {
		st.PutParameter(endpoint.Parameter{Name: fmt.Sprintf("/app/p%d", i), Type: "SecureString",
			Value: fmt.Sprintf("parameter-%d", i)})
		environ[fmt.Sprintf("P%d", i)] = fmt.Sprintf("ssm:///app/p%d", i)
		st.PutSecret(fmt.Sprintf("app/s%d", i), fmt.Sprintf(`{"user":"u%d","password":"secret-%d"}`, i, i))
		environ[fmt.Sprintf("S%d", i)] = fmt.Sprintf("sm://app/s%d#password", i)
		if i < 5 {
			environ[fmt.Sprintf("U%d", i)] = fmt.Sprintf("secretsmanager://app/s%d#user", i)
			environ[fmt.Sprintf("K%d", i)] = kmsRef(st.Encrypt(key, fmt.Appendf(nil, "cipher-%d", i),
				map[string]string{"app": "x"})) + "?context.app=x"
		}
	}
	return environ
}

// startTLS returns a running embedded endpoint over TLS, and a configuration for it.
func startTLS(t testing.TB) (*endpoint.Server, *endpoint.Store, aws.Config) {
	t.Helper()
	s := endpoint.New(endpoint.Options{})
	url, err := s.StartTLS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	cfg := config(url)
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.TLSClientConfig.RootCAs = s.CertPool()
	})
	return s, s.Region(region), cfg
}
