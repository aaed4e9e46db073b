package secrets_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// Whoever reads the log sees which services are asked elsewhere than at AWS, once each.
func TestWarm_OverriddenEndpointIsLogged(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	st.PutSecret("db", "x")
	st.PutParameter(endpoint.Parameter{Name: "/p", Type: "String", Value: "y"})
	var log strings.Builder
	var mu sync.Mutex
	environ := map[string]string{"A": "sm://db", "B": "ssm:///p"}
	env := newEnv(t, cfg, environ, secrets.WithLogger(textLog(&locked{W: &log, Mu: &mu})))
	if err := env.Warm(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := env.Refresh(patient(t)); err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"secretsmanager", "ssm"} {
		line := "level=WARN msg=secrets.endpoint service=" + service + " endpoint=" + s.URL() + "\n"
		if n := strings.Count(log.String(), line); n != 1 {
			t.Errorf("%s is logged %d times: %s", line, n, log.String())
		}
	}
}

// Nothing is sent over plain http by a function, unless the program permits it.
func TestWithInsecureEndpoint_OnLambda(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
	t.Setenv("AWS_SAM_LOCAL", "")
	for _, permitted := range []bool{false, true} {
		var sent atomic.Int32
		cfg := config("http://ssm.test")
		cfg.Retryer = onceOnly
		cfg.HTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			sent.Add(1)
			body := io.NopCloser(strings.NewReader(`{"Parameter":{"Name":"/p","Value":"x"}}`))
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body}, nil
		})}
		opts := []secrets.Option{secrets.WithLogger(quiet())}
		if permitted {
			opts = append(opts, secrets.WithInsecureEndpoint())
		}
		// The real environment counts, not the one that is given.
		env := newEnv(t, cfg, map[string]string{"A": "ssm:///p"}, opts...)
		err := env.Warm(patient(t))
		if permitted && (err != nil || sent.Load() != 1) {
			t.Errorf("%d requests: %v", sent.Load(), err)
		}
		if refused := errors.Is(err, secrets.ErrConfiguration) && !secrets.Retryable(err); !permitted &&
			(!refused || sent.Load() != 0) {
			t.Errorf("%d requests: %v", sent.Load(), err)
		}
		if detail := secrets.Detail(err); !permitted &&
			(!strings.Contains(detail, "http://ssm.test") || !strings.Contains(detail, "WithInsecureEndpoint")) {
			t.Error(detail)
		}
	}
}

// The usual advice against throttling must not bring throttling about: with the SDK's retryer, which these variables
// choose, a warm among many gives up after a count of attempts.
func TestWarm_RetrySettingsOfTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-access-key", "AWS_REGION": region,
		"AWS_PROFILE":     "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_MAX_ATTEMPTS": "5", "AWS_RETRY_MODE": "adaptive",
	} {
		t.Setenv(name, value)
	}
	var wg sync.WaitGroup
	for i := range 40 {
		s, st, _ := start(t)
		st.PutSecret("db", "x")
		s.Fault(endpoint.Fault{Do: endpoint.Throttle, Times: 3})
		t.Setenv("AWS_ENDPOINT_URL", s.URL())
		opts := []secrets.Option{secrets.WithEnviron(map[string]string{"A": "sm://db", "AWS_REGION": region}),
			secrets.WithLogger(quiet())}
		if i > 0 {
			cfg, err := awsconfig.LoadDefaultConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			opts = append(opts, secrets.WithAWSConfig(cfg))
		}
		env, err := secrets.New(opts...)
		if err != nil {
			t.Fatal(err)
		}
		warm := func() {
			if err := env.Warm(t.Context()); err != nil { // within the 2 seconds of an init
				t.Error(secrets.Detail(err))
			}
		}
		if i == 0 { // the default configuration, which is loaded when the first call is made
			warm()
			continue
		}
		wg.Go(warm)
	}
	wg.Wait()
}

// What the program does not expect is refused by New, and by Resolve, before any call.
func TestWithCheck_RefusesBeforeAnyCall(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	st.PutSecret("app/db", "x")
	st.PutSecret("admin/db", "x")
	only := secrets.WithCheck(func(name string, ref secrets.Ref) error {
		if !strings.HasPrefix(ref.ID(), "app/") {
			return errors.New("not of this application")
		}
		return nil
	})
	_, err := secrets.New(secrets.WithAWSConfig(cfg),
		secrets.WithEnviron(map[string]string{"A": "sm://app/db", "B": "sm://admin/db"}), only)
	if text := secrets.Detail(err); !errors.Is(err, secrets.ErrInvalidReference) || !strings.Contains(text, "B: ") ||
		!strings.Contains(text, "not of this application") || strings.Contains(text, "A: ") {
		t.Errorf("New: %s", text)
	}
	env := newEnv(t, cfg, map[string]string{"A": "sm://app/db"}, only)
	if _, err := env.Resolve(t.Context(), secrets.Secret("admin/db")); !errors.Is(err, secrets.ErrInvalidReference) {
		t.Errorf("Resolve: %v", err)
	}
	if n := len(s.Calls()); n > 0 {
		t.Errorf("%d calls", n)
	}
	if _, err := env.Get(t.Context(), "A"); err != nil {
		t.Error(err)
	}
}
