package secrets_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets"
)

func TestLocalValues(t *testing.T) {
	local := secrets.WithLocalValues(map[string]string{"DB": "on the laptop", "EMPTY": ""})
	tests := []struct {
		name    string
		environ map[string]string
		opts    []secrets.Option
		wrong   string // in New's error
	}{
		{"references with values", map[string]string{"DB": "sm://prod/db#password", "EMPTY": "ssm:///x"}, nil, ""},
		{"a laptop without the variables", nil, nil, ""},
		{"declared variables", nil, []secrets.Option{secrets.WithVars(secrets.KMS, "DB")}, ""},
		{"a reference without a value", map[string]string{"KEY": "ssm:///app/key"}, nil, "KEY: "},
		{"an optional one", map[string]string{"KEY": "ssm:///app/key?optional"}, nil, ""},
		{"references that a check would refuse as values", map[string]string{"DB": "sm://prod/db#password", "EMPTY": "ssm:///x"}, []secrets.Option{secrets.WithCheck(noValues)}, ""},
		{"a reference without a value that a check refuses", map[string]string{"KEY": "literal://x"}, []secrets.Option{secrets.WithCheck(noValues)}, "KEY: invalid reference; reference literal://(1 bytes); WithCheck refuses it"},
		{"on Lambda", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f"}, nil, "refused on Lambda"},
		{"under sam local", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_SAM_LOCAL": "true"}, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env, err := secrets.New(append(test.opts, secrets.WithEnviron(test.environ), local, secrets.WithLogger(quiet()))...)
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("got %v, want an error with %q", err, test.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := env.Warm(t.Context()); err != nil {
				t.Error(err)
			}
			if got := mustGet(t, env, "DB").Reveal() + mustGet(t, env, "EMPTY").Reveal(); got != "on the laptop" {
				t.Errorf("got %q", got)
			}
			if _, err := env.Resolve(t.Context(), secrets.Secret("prod/db")); !errors.Is(err, secrets.ErrInvalidReference) {
				t.Errorf("Resolve went somewhere: %v", err)
			}
		})
	}
}

// noValues is a check for production, where every variable is to come from AWS.
func noValues(_ string, r secrets.Ref) error {
	if r.Scheme() == secrets.Literal {
		return errors.New("values belong in a store")
	}
	return nil
}

func TestNoReferencesNoCalls(t *testing.T) {
	// A configuration whose credentials and transport fail the test when they are touched.
	cfg := aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		t.Error("credentials were asked for")
		return aws.Credentials{}, errors.New("no")
	})}
	env := newEnv(t, cfg, map[string]string{"PLAIN": "x", "PATH": "/usr/bin", "URL": "https://example.com/ssm://x"})
	if err := env.Warm(patient(t)); err != nil {
		t.Error(err)
	}
	if n := env.Stats().Fetches; n != 0 || len(env.Refs()) != 0 {
		t.Errorf("%d rounds, %d references", n, len(env.Refs()))
	}
}

func TestRevealAll(t *testing.T) {
	_, st, cfg := start(t)
	st.PutSecret("db", `{"password":"p"}`)
	env := newEnv(t, cfg, map[string]string{"DB": "sm://db#password", "PORT": "8080", "GONE": "ssm:///gone?optional", "RAW": "sm://db"},
		secrets.WithVars(secrets.Literal, "RAW"), secrets.WithLogger(quiet()))
	all, err := env.RevealAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"DB": "p", "PORT": "8080", "RAW": "sm://db"}; !maps.Equal(all, want) {
		t.Errorf("got %v, want %v", all, want)
	}
}

func TestDeclaredVariables(t *testing.T) {
	_, st, cfg := start(t)
	arn, _ := st.PutSecret("prod/db", `{"password":"p"}`)
	const canary = "hunter2! is what somebody put here"
	env := newEnv(t, cfg, map[string]string{"DB_ARN": arn, "DB_FIELD": arn + ":password::"}, secrets.WithVars(secrets.SecretsManager, "DB_ARN", "DB_FIELD"))
	whole := mustGet(t, env, "DB_ARN")
	if f, err := whole.Field("password"); err != nil || f.Reveal() != "p" {
		t.Errorf("field of a bare ARN: %v", err)
	}
	if mustGet(t, env, "DB_FIELD").Reveal() != "p" {
		t.Error("the ECS tail of a bare ARN")
	}
	for _, scheme := range []secrets.Scheme{secrets.KMS, secrets.SSM, secrets.SecretsManager} {
		_, err := secrets.New(secrets.WithEnviron(map[string]string{"V": canary}), secrets.WithVars(scheme, "V", "MISSING"))
		if !errors.Is(err, secrets.ErrInvalidReference) || strings.Contains(secrets.Detail(err), "hunter2") {
			t.Errorf("%s: %v", scheme, err)
		} else if !strings.Contains(err.Error(), "\n  MISSING: ") || !strings.Contains(err.Error(), "\n  V: ") {
			t.Errorf("%s: not both are named: %v", scheme, err)
		}
	}
}

func TestSameRegionIsOneSource(t *testing.T) {
	s, st, cfg := start(t)
	st.PutSecret("db", "x")
	env := newEnv(t, cfg, map[string]string{"A": "sm://db", "B": "secretsmanager://db?region=" + region, "C": "sm://db?ttl=1h", "D": "sm://db?stage=AWSCURRENT"})
	if err := env.Warm(patient(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Resolve(t.Context(), secrets.Secret("db")); err != nil {
		t.Error(err)
	}
	if n := s.Count("secretsmanager:GetSecretValue"); n != 2 { // a stated stage is another source
		t.Errorf("%d calls", n)
	}
}

// A provider for a scheme that does not exist would be passed by, and AWS be asked in its place.
func TestProviderOfUnknownScheme(t *testing.T) {
	t.Parallel()
	for _, scheme := range []secrets.Scheme{"sm", "vault", "", secrets.Literal} {
		if _, err := secrets.New(secrets.WithEnviron(nil), secrets.WithProvider(&script{}, scheme)); err == nil || !strings.Contains(err.Error(), "WithProvider") {
			t.Errorf("%q: %v", scheme, err)
		}
	}
}

// Two references under one name, or one under none, are a mistake that the constructor sees.
func TestWithRefNames(t *testing.T) {
	t.Parallel()
	a, b := secrets.Secret("a"), secrets.Secret("b")
	for name, test := range map[string]struct {
		opts []secrets.Option
		ok   bool
	}{
		"one":       {[]secrets.Option{secrets.WithRef("X", a)}, true},
		"one twice": {[]secrets.Option{secrets.WithRef("X", a), secrets.WithRef("X", a)}, true},
		"two":       {[]secrets.Option{secrets.WithRef("X", a), secrets.WithRef("X", b)}, false},
		"no name":   {[]secrets.Option{secrets.WithRef("", a)}, false},
	} {
		if _, err := secrets.New(append(test.opts, secrets.WithEnviron(nil))...); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
