package secrets_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"

	"github.com/aws/smithy-go/middleware"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

type spanKey struct{}

// What a caller puts into its context, such as its span, reaches the SDK's middleware: at a warm, a
// read, a refresh, and a read of a reference in code.
func TestInfo_ContextReachesMiddleware(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	st.PutSecret("a", "hunter2")
	st.PutParameter(endpoint.Parameter{Name: "/b", Value: "hunter3"})
	var mu sync.Mutex
	var spans []string
	note := middleware.InitializeMiddlewareFunc("span", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		span, _ := ctx.Value(spanKey{}).(string)
		mu.Lock()
		spans = append(spans, span)
		mu.Unlock()
		return next.HandleInitialize(ctx, in)
	})
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(note, middleware.Before)
	})
	env := newEnv(t, cfg, map[string]string{"A": "sm://a", "B": "ssm:///b"})
	for _, step := range []struct {
		span  string
		calls int
		do    func(ctx context.Context) error
	}{
		{"read", 1, func(ctx context.Context) error { _, err := env.Get(ctx, "A"); return err }},
		{"warm", 1, env.Warm},
		{"cached", 0, func(ctx context.Context) error { _, err := env.Get(ctx, "A"); return err }},
		{"refresh", 2, func(ctx context.Context) error { return env.Refresh(ctx) }},
	} {
		spans = nil
		if err := step.do(context.WithValue(patient(t), spanKey{}, step.span)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(spans, slices.Repeat([]string{step.span}, step.calls)) {
			t.Errorf("%s: the middleware saw %q", step.span, spans)
		}
	}
	if n := len(s.Calls()); n != 4 {
		t.Errorf("%d calls", n)
	}
}

func TestStats_Counts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b#x", "C": "ssm:///c"}, secrets.WithTTL(ttl))
		env.Warm(t.Context())
		check := func(when string, rounds, values, stale uint64, failures string, errs ...string) {
			t.Helper()
			s := env.Stats()
			if got := fmt.Sprint(s.Failures); s.Fetches != rounds || s.Values != values || s.Stale != stale ||
				got != failures {
				t.Errorf("%s: %+v; want %d, %d, %d, %s", when, s, rounds, values, stale, failures)
			}
			for _, name := range errs {
				if failureOf(env, name) == nil {
					t.Errorf("%s: no error for %s", when, name)
				}
			}
			for _, r := range env.Refs() {
				if r.Err != nil && !slices.Contains(errs, r.Variable) {
					t.Errorf("%s: %s failed: %v", when, r.Variable, r.Err)
				}
			}
			clear(s.Failures) // a copy
		}
		check("after the warm", 2, 3, 0, "map[]")
		for range 100 {
			mustGet(t, env, "A")
		}
		check("after cached reads", 2, 3, 0, "map[]")
		p.Set(0, func(_ context.Context, _ int, id string) (string, error) {
			if id == "a" {
				return "", errDenied
			}
			return "", errThrottled
		})
		env.Refresh(t.Context(), "A")
		check("after a denied refresh", 3, 3, 0, "map[access denied:1]", "A")
		p.Fail(nil)
		env.Refresh(t.Context(), "A")
		check("after one that worked", 4, 4, 0, "map[access denied:1]")
		p.Fail(errThrottled)
		time.Sleep(ttl)
		for range 3 {
			mustGet(t, env, "C")
		}
		if s := env.Stats(); s.Stale != 3 || s.Failures["throttled"] != s.Fetches-4 || failureOf(env, "C") == nil {
			t.Errorf("after three stale reads: %+v", s)
		}
	})
}

// What Refs lists is the same source as what is read, also where it prints no name.
func TestRefs_SameSource(t *testing.T) {
	calls := 0
	var log strings.Builder
	p := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		calls++
		return secrets.NewValue("v", ""), nil
	})
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "app-name"}), secrets.WithVars(secrets.SSM, "A"),
		secrets.WithProvider(p), secrets.WithLogger(textLog(&log)))
	if err != nil {
		t.Fatal(err)
	}
	mustGet(t, env, "A")
	ref := env.Refs()[0].Ref
	if _, err := env.Resolve(t.Context(), ref); err != nil || calls != 1 || len(env.Refs()) != 1 {
		t.Errorf("%v, %d calls, %d references", err, calls, len(env.Refs()))
	}
	cache, err := secrets.NewCache(secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.Value{}, secrets.ErrAccessDenied
	}), secrets.WithLogger(textLog(&log)))
	if err != nil {
		t.Fatal(err)
	}
	r := cache.Fetch(t.Context(), []secrets.Ref{ref})[0]
	if text := secrets.Detail(r.Err) + log.String(); !strings.Contains(text, "secrets.undeclared") ||
		strings.Contains(text, "app-name") {
		t.Error(text)
	}
}

// naming answers each reference with the result that it has for it.
type naming map[string]secrets.Result

func (n naming) Fetch(_ context.Context, refs []secrets.Ref) (results []secrets.Result) {
	for _, ref := range refs {
		results = append(results, n[ref.ID()])
	}
	return results
}

// Who answers in AWS's place may call a content, or a source, by a plaintext that it was told before: neither the
// log nor Refs shows it.
func TestRefs_NamesThatArePlaintexts(t *testing.T) {
	t.Parallel()
	const arn, plain = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:", "Canary4711Canary4711Canary4711Canary"
	result := func(value, version, arn string) secrets.Result {
		return secrets.Result{Value: secrets.NewValue(`{"password":"`+value+`"}`, version), ARN: arn}
	}
	p := naming{"a": result("first-one", "version-1", arn+"a-AbCdEf"), "b": result(plain, "version-1", arn+"b-AbCdEf"),
		"account": result("123456789012", "version-1", arn+"account-AbCdEf")}
	var log bytes.Buffer
	env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(textLog(&log)), secrets.WithEnviron(
		map[string]string{"A": "sm://a#password", "B": "sm://b#password", "C": "sm://account#password"}))
	if err == nil {
		err = env.Warm(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := env.Refs()[0]; r.Version != "version-1" || r.ARN != arn+"a-AbCdEf" {
		t.Errorf("usual names are shown as %q, %q", r.Version, r.ARN)
	}
	encoded := base64.RawStdEncoding.EncodeToString([]byte(plain))
	for _, version := range []string{plain, plain[:32], encoded} {
		p["a"] = result("second-one"+version[:3], version, arn+plain)
		if err := env.Refresh(t.Context(), "A"); err != nil {
			t.Fatal(err)
		}
		for _, r := range env.Refs() {
			if strings.Contains(r.Version+r.ARN, version[:32]) || strings.Contains(r.ARN, plain) {
				t.Errorf("Refs shows %q, %q", r.Version, r.ARN)
			}
		}
	}
	if text := log.String(); strings.Contains(text, plain[:32]) || strings.Contains(text, encoded) ||
		!strings.Contains(text, "secrets.version") {
		t.Errorf("the log is %s", text)
	}
}
