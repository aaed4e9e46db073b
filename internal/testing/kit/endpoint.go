// Package kit is what the tests of the root package and the suites share: an endpoint to call, a provider to direct,
// readers, and a log to look into.
package kit

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

// Region is where everything is that states no Region.
const Region = "eu-west-1"

// Start returns a running embedded endpoint, its store in Region, and a configuration for it.
func Start(t testing.TB) (*endpoint.Server, *endpoint.Store, aws.Config) {
	t.Helper()
	s := endpoint.New(endpoint.Options{})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, s.Region(Region), Config(url)
}

// StartTLS is Start over TLS. The configuration trusts the endpoint's certificate.
func StartTLS(t testing.TB) (*endpoint.Server, *endpoint.Store, aws.Config) {
	t.Helper()
	s := endpoint.New(endpoint.Options{})
	url, err := s.StartTLS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	cfg := Config(url)
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.TLSClientConfig.RootCAs = s.CertPool()
	})
	return s, s.Region(Region), cfg
}

// Config returns a configuration for an endpoint at url.
func Config(url string) aws.Config {
	return aws.Config{Region: Region, BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", "")}
}

// NewEnv returns an Env of environ that calls what cfg says.
func NewEnv(t testing.TB, cfg aws.Config, environ map[string]string, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	env, err := secrets.New(append([]secrets.Option{secrets.WithAWSConfig(cfg), secrets.WithEnviron(environ)},
		opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// KMSRef returns the reference to a ciphertext.
func KMSRef(blob []byte) string { return "kms://" + base64.StdEncoding.EncodeToString(blob) }

// Sixty seeds 25 parameters, 25 secrets and 5 ciphertexts, and returns 60 variables that read them, and a plain one.
func Sixty(st *endpoint.Store) map[string]string {
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
			environ[fmt.Sprintf("K%d", i)] = KMSRef(st.Encrypt(key, fmt.Appendf(nil, "cipher-%d", i),
				map[string]string{"app": "x"})) + "?context.app=x"
		}
	}
	return environ
}
