package secrets_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

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
	env, err := secrets.New(append([]secrets.Option{secrets.WithAWSConfig(cfg), secrets.WithEnviron(environ)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// patient returns a context for a warm over real connections: with the race detector, on a busy machine, that may take more than its 2 seconds.
func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func mustGet(t testing.TB, env *secrets.Env, name string) secrets.Value {
	t.Helper()
	v, err := env.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("Get(%s): %s", name, secrets.Detail(err))
	}
	return v
}

func kmsRef(blob []byte) string { return "kms://" + base64.StdEncoding.EncodeToString(blob) }

// sixty seeds 25 parameters, 25 secrets and 5 ciphertexts, and returns 60 variables that read them.
func sixty(st *endpoint.Store) map[string]string {
	environ := map[string]string{"PLAIN": "plain"}
	key := st.CreateKey()
	for i := range 25 {
		st.PutParameter(endpoint.Parameter{Name: fmt.Sprintf("/app/p%d", i), Type: "SecureString", Value: fmt.Sprintf("parameter-%d", i)})
		environ[fmt.Sprintf("P%d", i)] = fmt.Sprintf("ssm:///app/p%d", i)
		st.PutSecret(fmt.Sprintf("app/s%d", i), fmt.Sprintf(`{"user":"u%d","password":"secret-%d"}`, i, i))
		environ[fmt.Sprintf("S%d", i)] = fmt.Sprintf("sm://app/s%d#password", i)
		if i < 5 {
			environ[fmt.Sprintf("U%d", i)] = fmt.Sprintf("secretsmanager://app/s%d#user", i)
			environ[fmt.Sprintf("K%d", i)] = kmsRef(st.Encrypt(key, fmt.Appendf(nil, "cipher-%d", i), map[string]string{"app": "x"})) + "?context.app=x"
		}
	}
	return environ
}

func TestSixtyVariables(t *testing.T) {
	s, st, cfg := start(t)
	environ := sixty(st)
	env := newEnv(t, cfg, environ)
	if err := env.Warm(patient(t)); err != nil {
		t.Fatal(secrets.Detail(err))
	}
	for op, want := range map[string]int{"ssm:GetParameters": 3, "secretsmanager:GetSecretValue": 25, "kms:Decrypt": 5} {
		if got := s.Count(op); got != want {
			t.Errorf("%s: %d calls, want %d", op, got, want)
		}
	}
	if n := len(s.Calls()); n != 33 {
		t.Errorf("%d calls in all, want 33", n)
	}
	for i := range 25 {
		for name, want := range map[string]string{"P": "parameter-%d", "S": "secret-%d", "U": "u%d", "K": "cipher-%d"} {
			if i >= 5 && (name == "U" || name == "K") {
				continue
			}
			if got := mustGet(t, env, fmt.Sprint(name, i)); got.Reveal() != fmt.Sprintf(want, i) {
				t.Errorf("%s%d: wrong plaintext", name, i)
			}
		}
	}
	if n := len(s.Calls()); n != 33 {
		t.Errorf("cached reads made %d calls", n-33)
	}
	if _, err := env.Get(t.Context(), "PLAIN"); !errors.Is(err, secrets.ErrNotReference) {
		t.Errorf("plain variable: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { env.Get(context.Background(), "U3") }); n != 0 {
		t.Errorf("a cached Get allocates %v times", n)
	}
}

func TestNewReportsEverything(t *testing.T) {
	_, err := secrets.New(secrets.WithEnviron(map[string]string{
		"A": "SSM:///x", "B": "ssm://app/db", "C": " sm://prod/db", "D": "{{resolve:ssm:/x}}", "E": "sm://x?stag=1", "AWS_PROFILE": "ssm:///x", "LAMBDA_TASK_ROOT": "sm://x", "_HANDLER": "sm://x", "AWS_REGION": region, "OK": "plain", "F": "kms://!!",
	}))
	if !errors.Is(err, secrets.ErrInvalidReference) {
		t.Fatal(err)
	}
	for _, name := range []string{"A", "B", "C", "D", "E", "F"} {
		if !strings.Contains(err.Error(), "\n  "+name+": ") {
			t.Errorf("%s is not reported", name)
		}
	}
	if !strings.Contains(err.Error(), "; 3 variables: AWS_PROFILE, LAMBDA_TASK_ROOT, _HANDLER") {
		t.Error("the variables of the SDK are not reported together")
	}
	t.Log(err)
}

// quiet returns a logger that writes nothing.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// textLog returns a logger that writes to w.
func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// failureOf returns the error of a variable's last fetch, if that failed.
func failureOf(env *secrets.Env, name string) error {
	for _, r := range env.Refs() {
		if r.Variable == name {
			return r.Err
		}
	}
	return nil
}
