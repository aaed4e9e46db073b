package secrets_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/kit"
	"github.com/lambdasecrets/secrets/secretstest"
)

func TestGet_LocalValues(t *testing.T) {
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
		{"references that a check would refuse as values", map[string]string{"DB": "sm://prod/db#password",
			"EMPTY": "ssm:///x"}, []secrets.Option{secrets.WithCheck(noValues)}, ""},
		{"a reference without a value that a check refuses", map[string]string{"KEY": "literal://x"},
			[]secrets.Option{secrets.WithCheck(noValues)},
			"KEY: invalid reference; reference literal://(1 bytes); WithCheck refuses it"},
		{"on Lambda", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f"}, nil, "refused on Lambda"},
		{"under sam local", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_SAM_LOCAL": "true"}, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env, err := secrets.New(append(test.opts, secrets.WithEnviron(test.environ), local,
				secrets.WithLogger(quiet()))...)
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
			if _, err := env.Resolve(t.Context(), secrets.Secret("prod/db")); !errors.Is(err,
				secrets.ErrInvalidReference) {
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

func TestWarm_NoReferencesNoCalls(t *testing.T) {
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

func TestRevealAll_EveryVariable(t *testing.T) {
	_, st, cfg := start(t)
	st.PutSecret("db", `{"password":"p"}`)
	env := newEnv(t, cfg, map[string]string{"DB": "sm://db#password", "PORT": "8080", "GONE": "ssm:///gone?optional",
		"RAW": "sm://db"},
		secrets.WithVars(secrets.Literal, "RAW"), secrets.WithLogger(quiet()))
	all, err := env.RevealAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"DB": "p", "PORT": "8080", "RAW": "sm://db"}; !maps.Equal(all, want) {
		t.Errorf("got %v, want %v", all, want)
	}
}

func TestGet_DeclaredVariables(t *testing.T) {
	_, st, cfg := start(t)
	arn, _ := st.PutSecret("prod/db", `{"password":"p"}`)
	const canary = "hunter2! is what somebody put here"
	env := newEnv(t, cfg, map[string]string{"DB_ARN": arn, "DB_FIELD": arn + ":password::"},
		secrets.WithVars(secrets.SecretsManager, "DB_ARN", "DB_FIELD"))
	whole := mustGet(t, env, "DB_ARN")
	if f, err := whole.Field("password"); err != nil || f.Reveal() != "p" {
		t.Errorf("field of a bare ARN: %v", err)
	}
	if mustGet(t, env, "DB_FIELD").Reveal() != "p" {
		t.Error("the ECS tail of a bare ARN")
	}
	for _, scheme := range []secrets.Scheme{secrets.KMS, secrets.SSM, secrets.SecretsManager} {
		_, err := secrets.New(secrets.WithEnviron(map[string]string{"V": canary}),
			secrets.WithVars(scheme, "V", "MISSING"))
		if !errors.Is(err, secrets.ErrInvalidReference) || strings.Contains(secrets.Detail(err), "hunter2") {
			t.Errorf("%s: %v", scheme, err)
		} else if !strings.Contains(err.Error(), "\n  MISSING: ") || !strings.Contains(err.Error(), "\n  V: ") {
			t.Errorf("%s: not both are named: %v", scheme, err)
		}
	}
}

func TestWarm_SameRegionIsOneSource(t *testing.T) {
	s, st, cfg := start(t)
	st.PutSecret("db", "x")
	env := newEnv(t, cfg, map[string]string{"A": "sm://db", "B": "secretsmanager://db?region=" + region,
		"C": "sm://db?ttl=1h", "D": "sm://db?stage=AWSCURRENT"})
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

// Promise 8 of the design: what a warm does before the first event. internal/testing/probe shows the same in a real
// process.

// on returns an environment of A, which reads sm://a, and B, which reads ssm:///b, under an initialization type.
func on(kind string) map[string]string {
	return map[string]string{"A": "sm://a", "B": "ssm:///b", "AWS_LAMBDA_INITIALIZATION_TYPE": kind}
}

// hang is what a backend does that nobody can reach.
func hang(ctx context.Context, _ int, _ string) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func TestWarm_Deadline(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, kind  string
		deadline    time.Duration // of the context, or 0
		least, most time.Duration
	}{
		{"not on Lambda", "", 0, 1500 * time.Millisecond, 2 * time.Second},
		{"on demand", "on-demand", 0, 1500 * time.Millisecond, 2 * time.Second},
		{"provisioned concurrency", "provisioned-concurrency", 0, 29 * time.Second, 30 * time.Second},
		{"managed instances", "lambda-managed-instances", 0, 29 * time.Second, 30 * time.Second},
		{"a shorter deadline", "on-demand", 400 * time.Millisecond, 270 * time.Millisecond, 400 * time.Millisecond},
		{"a longer deadline", "on-demand", 10 * time.Second, 9 * time.Second, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{Answer: func(ctx context.Context, call int, id string) (string, error) {
					switch id {
					case "a":
						return "a", nil
					case "none":
						return "", secrets.ErrNotFound
					}
					return hang(ctx, call, id)
				}}
				var log bytes.Buffer
				vars := on(test.kind)
				vars["NONE"] = "sm://none?optional" // it has its answer, so nobody waits for it
				env := p.Env(t, vars, secrets.WithLogger(textLog(&log)))
				ctx := t.Context()
				if test.deadline > 0 {
					c, cancel := context.WithTimeout(ctx, test.deadline)
					defer cancel()
					ctx = c
				}
				var err error
				took(t, "the warm", test.least, test.most, func() { err = env.Warm(ctx) })
				if !secrets.Retryable(err) || !strings.Contains(err.Error(), "B: unavailable") ||
					strings.Contains(err.Error(), "A:") {
					t.Errorf("the error is %v, want one for B", err)
				}
				if says := strings.Contains(log.String(), "waiting=[B]"); says != (test.least > time.Second) {
					t.Errorf("after 1 s it says what it waits for: %v\n%s", says, log.String())
				}
				took(t, "Get of what resolved", 0, 0, func() { expect(t, env, "a") })
			})
		})
	}
}

// A backend that fails for a second and then answers: the warm succeeds within its budget, whatever pauses are drawn.
func TestWarm_OutlastsFailingSecond(t *testing.T) {
	t.Parallel()
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			p := &script{Delay: 10 * time.Millisecond, Answer: func(context.Context, int, string) (string, error) {
				if time.Since(began) < time.Second {
					return "", secrets.ErrThrottled
				}
				return "v", nil
			}}
			if err := p.Env(t, on("on-demand")).Warm(t.Context()); err != nil {
				t.Errorf("after %v and %d calls: %v", time.Since(began), p.Count(), err)
			}
			if n := p.Count(); n > 16 {
				t.Errorf("%d calls for two references", n)
			}
		})
	}
}

// What failed permanently is not waited for any more, and one such failure among transient ones decides: a retry cannot
// cure the whole.
func TestWarm_PermanentFailureDecides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Answer: func(ctx context.Context, call int, id string) (string, error) {
			switch id {
			case "denied":
				return "", secrets.ErrAccessDenied
			case "throttled":
				return "", secrets.ErrThrottled
			case "/hangs":
				return hang(ctx, call, id)
			}
			return id, nil
		}}
		var log bytes.Buffer
		vars := map[string]string{"A": "sm://a", "DENIED": "sm://denied", "THROTTLED": "sm://throttled",
			"HANGS": "ssm:///hangs"}
		env := p.Env(t, vars, secrets.WithLogger(textLog(&log)))
		var err error
		took(t, "the warm", 1500*time.Millisecond, 2*time.Second, func() { err = env.Warm(t.Context()) })
		for _, want := range []error{secrets.ErrAccessDenied, secrets.ErrThrottled, secrets.ErrUnavailable} {
			if !errors.Is(err, want) {
				t.Errorf("the error says nothing of %q: %v", want, err)
			}
		}
		if secrets.Retryable(err) {
			t.Error("a denial is retryable")
		}
		if !strings.Contains(log.String(), `waiting="[HANGS THROTTLED]"`) {
			t.Errorf("what it waits for:\n%s", log.String())
		}
		took(t, "Get of what resolved", 0, 0, func() { expect(t, env, "a") })
		defer func() {
			if text := fmt.Sprint(recover()); !strings.Contains(text, "DENIED: access denied") ||
				!strings.Contains(text, "THROTTLED: throttled") || !strings.Contains(text, "HANGS: unavailable") {
				t.Errorf("MustWarm panicked with %s", text)
			}
		}()
		secrets.MustWarm(t.Context(), secrets.WithEnviron(vars), secrets.WithProvider(p), secrets.WithLogger(quiet()))
	})
}

// A warm that was quick has nothing to say later.
func TestWarm_QuickOneIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		journal, logger := newJournal()
		if err := (&script{Delay: 900 * time.Millisecond}).Env(t, on(""), logger).Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if events := journal.Events(); len(events) != 0 {
			t.Errorf("logged %v", events)
		}
	})
}

// MustWarm panics where a retry cannot help, and only there. The first alarm of docs/operations.md waits for the line
// that comes before. (Promise 8.)
func TestMustWarm_PanicsOnlyForPermanent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		fail   error
		vars   map[string]string
		panics string
	}{
		{"throttled", secrets.ErrThrottled, on(""), ""},
		{"unavailable", errors.New("connection reset"), on(""), ""},
		{"denied", secrets.ErrAccessDenied, on(""), "access denied; 2 variables: A, B"},
		{"not found", secrets.ErrNotFound, on(""), "not found; 2 variables: A, B"},
		{"not found, optional", secrets.ErrNotFound, map[string]string{"A": "sm://a?optional"}, ""},
		{"denied, optional", secrets.ErrAccessDenied, map[string]string{"A": "sm://a?optional"}, "A: access denied"},
		{"a bad reference", nil, map[string]string{"A": "SM://a"}, "A: invalid reference"},
		{"reserved", nil, map[string]string{"AWS_REGION": "ssm:///region"}, "AWS_REGION"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				p.Fail(test.fail)
				var log strings.Builder
				defer func() {
					if said := log.String(); test.panics != "" &&
						(strings.Count(said, "level=ERROR msg=secrets.warm ") != 1 ||
							!strings.Contains(said, "retryable=false error=") || !strings.Contains(said, test.panics)) {
						t.Errorf("before it panics the log says %s", said)
					}
					switch v := recover(); {
					case v == nil && test.panics != "":
						t.Errorf("it returned, want a panic with %q", test.panics)
					case v != nil && (test.panics == "" || !strings.Contains(fmt.Sprint(v), test.panics)):
						t.Errorf("it panicked with %v, want %q", v, test.panics)
					}
				}()
				secrets.MustWarm(t.Context(), secrets.WithEnviron(test.vars), secrets.WithProvider(p),
					secrets.WithLogger(textLog(&log)))
			})
		})
	}
}

// Before a snapshot nothing is fetched. The first read of any kind after the restore, whatever the clocks say then,
// fetches everything at once. (Promise 8.)
func TestSnapStart_FirstReadFetchesAll(t *testing.T) {
	t.Parallel()
	reads := map[string]func(context.Context, *secrets.Env) error{
		"Get": func(ctx context.Context, env *secrets.Env) error { _, err := env.Get(ctx, "A"); return err },
		"Do": func(ctx context.Context, env *secrets.Env) error {
			return env.Do(ctx, "A", func(secrets.Value) error { return nil })
		},
		"RevealAll": func(ctx context.Context, env *secrets.Env) error { _, err := env.RevealAll(ctx); return err },
		"Snapshot": func(ctx context.Context,
			env *secrets.Env) error {
			_, err := env.Snapshot(ctx).Get("A")
			return err
		},
	}
	clocks := map[string]struct{ wall, mono time.Duration }{
		"at once":                             {},
		"a week later":                        {7 * 24 * time.Hour, 0},
		"with a monotonic clock that is back": {7 * 24 * time.Hour, -time.Hour},
		"with a wall clock that is behind":    {-time.Minute, 0},
	}
	for name, first := range reads {
		for when, shift := range clocks {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					clock, p := secretstest.NewClock(), &script{}
					vars := on("snap-start")
					vars["C"] = "sm://c"
					env := p.Env(t, vars, secrets.WithClock(clock.Now))
					for range 2 { // two packages may warm
						if err := env.Warm(t.Context()); err != nil || p.Count() != 0 {
							t.Fatalf("before the snapshot: %v, %d calls", err, p.Count())
						}
					}
					kit.Shift(clock, shift.wall, shift.mono)
					p.Set(100*time.Millisecond, nil)
					took(t, "the first read", 100*time.Millisecond, 100*time.Millisecond, func() {
						if err := first(t.Context(), env); err != nil {
							t.Error(secrets.Detail(err))
						}
					})
					for _, name := range []string{"A", "B", "C"} {
						mustGet(t, env, name)
					}
					if n := p.Count(); n != 2 { // one to each of the two backends
						t.Errorf("%d calls, want 2", n)
					}
				})
			})
		}
	}
}

// Readers who come together after a restore share the round: one that comes before the first has begun it takes along
// all of its scheme.
func TestSnapStart_ReadersShareRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		vars := on("snap-start")
		vars["C"], vars["D"] = "ssm:///c", "ssm:///d"
		env := p.Env(t, vars)
		if err := env.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx := &asked{Context: t.Context(), ask: sync.OnceFunc(func() { mustGet(t, env, "B") })}
		if _, err := env.Get(ctx, "C"); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"A", "B", "C", "D"} {
			mustGet(t, env, name)
		}
		if n := p.Count(); n != 2 {
			t.Errorf("%d calls, want one for each scheme", n)
		}
	})
}

// asked is a context that calls ask when it is asked for its deadline, which a first read does before it begins
// anything.
type asked struct {
	context.Context
	ask func()
}

func (a *asked) Deadline() (time.Time, bool) {
	a.ask()
	return a.Context.Deadline()
}

// After a restore, a backend that hangs takes from the first read what it would take from a warm, and nothing from
// later ones.
func TestSnapStart_HangingBackend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Answer: func(ctx context.Context, call int, id string) (string, error) {
			if id == "a" {
				return "a", nil
			}
			return hang(ctx, call, id)
		}}
		var log bytes.Buffer
		env := p.Env(t, on("snap-start"), secrets.WithLogger(textLog(&log)))
		if err := env.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		took(t, "the first read", 1500*time.Millisecond, 2*time.Second, func() {
			if v, err := env.Get(ctx, "A"); err != nil || v.Reveal() != "a" {
				t.Errorf("Get(A): %v", err)
			}
		})
		took(t, "the second", 0, 0, func() { expect(t, env, "a") })
		took(t, "a later one of what hangs", 700*time.Millisecond, 750*time.Millisecond, func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			env.Get(ctx, "B")
		})
		if n := strings.Count(log.String(), "level=ERROR msg=secrets.warm"); n != 1 {
			t.Errorf("the round that was owed was made %d times", n)
		}
		if !strings.Contains(log.String(), "waiting=[B]") || !strings.Contains(log.String(), "B: unavailable") {
			t.Errorf("the log does not say what the first read waited for:\n%s", log.String())
		}
	})
}

// In an on-demand init a call leaves for every reference at once. Where the CPU follows the memory size, as many as
// that can open connections for. (Promise 1.)
func TestWidth_OfWarm(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind, memory string
		want         int
	}{
		{"on-demand", "128", 32},
		{"", "", 32},
		{"provisioned-concurrency", "128", 5},
		{"provisioned-concurrency", "1769", 18},
		{"provisioned-concurrency", "10240", 32},
		{"snap-start", "128", 5},
		{"lambda-managed-instances", "2048", 20},
	} {
		t.Run(test.kind+" "+test.memory, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				now, most := 0, 0
				p := secrets.ProviderFunc(func(ctx context.Context, _ secrets.Ref) (secrets.Value, error) {
					mu.Lock()
					now++
					most = max(most, now)
					mu.Unlock()
					defer func() { mu.Lock(); now--; mu.Unlock() }()
					return secrets.NewValue("v", ""), pause(ctx, 10*time.Millisecond)
				})
				vars := map[string]string{"AWS_LAMBDA_INITIALIZATION_TYPE": test.kind,
					"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": test.memory}
				for i := range 60 {
					vars[fmt.Sprint("S", i)] = fmt.Sprint("sm://s", i)
				}
				env, err := secrets.New(secrets.WithEnviron(vars), secrets.WithProvider(p), secrets.WithLogger(quiet()))
				if err != nil {
					t.Fatal(err)
				}
				if err := env.Warm(t.Context()); err != nil {
					t.Fatal(err)
				}
				mustGet(t, env, "S0")
				if most != test.want {
					t.Errorf("%d calls at once, want %d", most, test.want)
				}
			})
		})
	}
}

// Inside invocations the width follows the memory size, whatever it is that fetches.
func TestWidth_OfReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		p := secrets.ProviderFunc(func(ctx context.Context, _ secrets.Ref) (secrets.Value, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			return secrets.NewValue("v", ""), pause(ctx, 10*time.Millisecond)
		})
		vars := map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}
		for i := range 40 {
			vars[fmt.Sprint("S", i)] = fmt.Sprint("sm://s", i)
		}
		env, err := secrets.New(secrets.WithEnviron(vars), secrets.WithProvider(p), secrets.WithLogger(quiet()),
			secrets.WithTTL(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for _, read := range []struct {
			name string
			do   func() error
		}{
			{"Snapshot", func() error { _, err := env.Snapshot(t.Context()).Get("S0"); return err }},
			{"Refresh", func() error { return env.Refresh(t.Context()) }},
			{"Get", func() error { _, err := env.Get(t.Context(), "S0"); return err }},
			{"Resolve", func() error { _, err := env.Resolve(t.Context(), secrets.Secret("s0")); return err }},
		} {
			env.Snapshot(t.Context()) // all are in use, so that a refresh of one takes the others along
			time.Sleep(time.Hour)
			most.Store(0)
			if err := read.do(); err != nil {
				t.Fatal(err)
			}
			// After the Get, which left some behind, two batches leave at once and have two places each.
			if n := most.Load(); n > 5 || n < 4 {
				t.Errorf("%s makes %d calls at once, want 5", read.name, n)
			}
		}
	})
}

// The last step of a field, a tree with a label, and both in one environment.
func TestGet_Base64AndLabelledTree(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	const pem = "-----BEGIN KEY-----\nMC4CAQAw/+==\n-----END KEY-----\n"
	encoded := base64.StdEncoding.EncodeToString([]byte(pem))
	st.PutSecret("tls", fmt.Sprintf(`{"pem":%q,"plain":"not base64!"}`, encoded))
	st.PutParameter(endpoint.Parameter{Name: "/tls/key", Value: encoded})
	for _, name := range []string{"/app/prod/user", "/app/prod/db/password"} {
		st.PutParameter(endpoint.Parameter{Name: name, Value: "old of " + name})
		st.PutParameter(endpoint.Parameter{Name: name,
			Value: base64.StdEncoding.EncodeToString([]byte("new of " + name))})
		st.LabelParameter(name, 1, "blue")
		st.LabelParameter(name, 2, "green")
	}
	st.PutParameter(endpoint.Parameter{Name: "/app/prod/unlabelled", Value: "x"})
	env := newEnv(t, cfg, map[string]string{
		"PEM": "sm://tls?decode=base64#pem", "RAW": "sm://tls#pem", "BAD": "sm://tls?decode=base64#plain",
		"KEY":    "ssm:///tls/key?decode=base64",
		"TREE":   "ssm:///app/prod/*:blue",
		"FIELD":  "ssm:///app/prod/*:blue#/db~1password",
		"DECODE": "ssm:///app/prod/*:green?decode=base64#/db~1password",
		"TEXT":   "key={{sm://tls?decode=base64#pem}}",
	}, secrets.WithLogger(quiet()))
	for name, want := range map[string]string{
		"PEM": pem, "RAW": encoded, "KEY": pem, "TEXT": "key=" + pem,
		"TREE":  `{"db/password":"old of /app/prod/db/password","user":"old of /app/prod/user"}`,
		"FIELD": "old of /app/prod/db/password", "DECODE": "new of /app/prod/db/password",
	} {
		if got := mustGet(t, env, name).Reveal(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	_, err := env.Get(t.Context(), "BAD")
	if !errors.Is(err, secrets.ErrField) || strings.Contains(secrets.Detail(err), "not base64!") {
		t.Errorf("BAD: %s", secrets.Detail(err))
	}
	if n := s.Count("secretsmanager:GetSecretValue"); n != 1 {
		t.Errorf("%d calls for one secret", n)
	}
	if n := s.Count("ssm:GetParametersByPath"); n != 2 {
		t.Errorf("%d calls for two labels of one path", n)
	}
}

// Promise 1: duplicates once, parameters in tens, one round.
func TestWarm_SixtyVariables(t *testing.T) {
	s, st, cfg := start(t)
	environ := sixty(st)
	env := newEnv(t, cfg, environ)
	if err := env.Warm(patient(t)); err != nil {
		t.Fatal(secrets.Detail(err))
	}
	for op, want := range map[string]int{"ssm:GetParameters": 3, "secretsmanager:GetSecretValue": 25,
		"kms:Decrypt": 5} {
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

// Nor does what AWS makes of it, in an error or in the log; that of a whole ARN or an absolute path, which is no
// plaintext, is told.
func TestWarm_FailedDeclarationIsNotQuoted(t *testing.T) {
	t.Parallel()
	const mistake = "correct-horse-battery"
	const arn = "arn:aws:secretsmanager:" + region + ":123456789012:secret:" + mistake + "-AbCdEf"
	for _, row := range []struct {
		name, text string
		scheme     secrets.Scheme
		shown      string // in Detail
	}{
		{"parameter", mistake, secrets.SSM, "ssm://(21 bytes)"},
		{"selector", "a:" + mistake, secrets.SSM, "ssm://(23 bytes)"},
		{"secret", mistake, secrets.SecretsManager, "sm://(21 bytes)"},
		{"ARN", arn, secrets.SecretsManager, arn},
		// What begins with a slash is a path, and as little secret as an ARN.
		{"path", "/" + mistake, secrets.SSM, "ssm:///" + mistake},
		{"tree", "/" + mistake + "/*", secrets.SSM, "ssm:///" + mistake + "/*"},
		{
			"secret through Parameter Store", "/aws/reference/secretsmanager/" + mistake, secrets.SSM,
			"ssm:///aws/reference/secretsmanager/" + mistake,
		},
	} {
		tells := strings.Contains(row.shown, mistake)
		for _, do := range []endpoint.Action{"", endpoint.Deny, endpoint.Throttle, endpoint.Truncated} {
			t.Run(row.name+" "+string(do), func(t *testing.T) {
				t.Parallel()
				f := newFakeAWS(t)
				if do != "" {
					f.Fault(endpoint.Fault{Do: do})
				}
				var out strings.Builder
				var mu sync.Mutex // a flight that nobody waits for any more may still log
				env := newEnv(t, f.cfg, map[string]string{"TOKEN": row.text}, secrets.WithVars(row.scheme, "TOKEN"),
					secrets.WithLogger(textLog(&locked{W: &out, Mu: &mu})))
				patience, transient := 30*time.Second, do == endpoint.Throttle || do == endpoint.Truncated
				if transient {
					patience = 500 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				seen := []error{env.Warm(ctx)}
				_, err := env.Get(ctx, "TOKEN")
				seen = append(seen, err, env.Refresh(ctx))
				_, err = env.RevealAll(ctx)
				seen = append(seen, err, failureOf(env, "TOKEN"), env.Refs()[0].Err)
				for _, err := range seen {
					if err == nil && transient {
						// on a busy machine the time was up before the first answer, of which nothing is remembered
						continue
					}
					inJSON, _ := json.Marshal(err)
					var api smithy.APIError
					if errors.As(err, &api) && !tells && strings.Contains(api.ErrorMessage(), mistake) {
						t.Errorf("the chain holds %s", api.ErrorMessage())
					}
					if text := fmt.Sprintf("%v %+v %s %s", err, err, inJSON, secrets.Detail(err)); err == nil ||
						!strings.Contains(text, "TOKEN") || !strings.Contains(text, row.shown) ||
						!tells && strings.Contains(text, mistake) {
						t.Errorf("shows %s", text)
					}
				}
				inJSON, _ := json.Marshal(env.Refs())
				if text := fmt.Sprintf("%v %+v %s", env.Refs(), env.Refs(), inJSON); !tells &&
					strings.Contains(text, mistake) {
					t.Errorf("Refs shows %s", text)
				}
				mu.Lock()
				defer mu.Unlock()
				if !tells && strings.Contains(out.String(), mistake) || out.Len() == 0 {
					t.Errorf("the log shows %s", out.String())
				}
			})
		}
	}
	_, err := secrets.New(secrets.WithEnviron(map[string]string{"TOKEN": mistake}),
		secrets.WithVars(secrets.SSM, "TOKEN"), secrets.WithLocalValues(nil))
	if err == nil || strings.Contains(secrets.Detail(err), mistake) {
		t.Errorf("shows %v", err)
	}
}
