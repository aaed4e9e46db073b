package secretstest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

func reveal(t *testing.T, env *secrets.Env, name string) string {
	t.Helper()
	v, err := env.Get(t.Context(), name)
	if err != nil {
		t.Fatal(secrets.Detail(err))
	}
	return v.Reveal()
}

// Promise 13: a map of strings makes an Env without AWS.
func TestEnv(t *testing.T) {
	t.Parallel()
	env := secretstest.Env(t, map[string]string{"DB_PASSWORD": "swordfish", "EMPTY": "", "LOOKS": "sm://prod/db",
		"AWS_REGION": "eu-west-1"})
	for name, want := range map[string]string{"DB_PASSWORD": "swordfish", "EMPTY": "", "LOOKS": "sm://prod/db"} {
		if got := reveal(t, env, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, err := env.Get(t.Context(), "OTHER"); !errors.Is(err, secrets.ErrNotReference) {
		t.Errorf("a name that is not in the map: %v", err)
	}
	if err := env.Warm(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := secretstest.NewClock()
		start := time.Now()
		for _, step := range []struct {
			name       string
			do         func()
			wall, mono time.Duration // since the start
		}{
			{"made", func() {}, 0, 0},
			{"sleep", func() { time.Sleep(time.Second) }, time.Second, time.Second},
			{"advance", func() { c.Advance(time.Minute) }, 61 * time.Second, 61 * time.Second},
			{"freeze", func() { c.Freeze(time.Hour) }, time.Hour + 61*time.Second, 61 * time.Second},
			{"set back", func() { c.SetBack(2 * time.Hour) }, 61*time.Second - time.Hour, 61 * time.Second},
		} {
			step.do()
			if wall, mono := c.Now(); wall.Sub(start) != step.wall || mono != step.mono {
				t.Errorf("%s: %v and %v, want %v and %v", step.name, wall.Sub(start), mono, step.wall, step.mono)
			}
		}
	})
}

func TestFake(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *secretstest.Fake, *secrets.Env, *secretstest.Clock){
		"rotation": func(t *testing.T, fake *secretstest.Fake, env *secrets.Env, clock *secretstest.Clock) {
			reveal(t, env, "DB")
			fake.Set("sm://prod/db", `{"password":"two"}`)
			if got := reveal(t, env, "DB"); got != "one" {
				t.Errorf("within the TTL: %q", got)
			}
			clock.Advance(6 * time.Minute)
			v, err := env.Get(t.Context(), "DB")
			if err != nil || v.Reveal() != "two" || v.Version() != secretstest.SecretVersion(2) {
				t.Errorf("after it: %v, version %s", err, v.Version())
			}
			if n := fake.Fetched("sm://prod/db#other"); n != 2 {
				t.Errorf("fetched %d times, want 2", n)
			}
		},
		"versions and stages": func(t *testing.T, fake *secretstest.Fake, env *secrets.Env, _ *secretstest.Clock) {
			fake.Set("sm://prod/db", `{"password":"two"}`)
			fake.Set("sm://prod/db?stage=AWSPENDING", `{"password":"three"}`)
			fake.Set("ssm:///app/url", "second")
			for text, want := range map[string]string{
				"sm://prod/db?stage=AWSCURRENT#password":                                      "two",
				"sm://prod/db?stage=AWSPREVIOUS#password":                                     "one",
				"sm://prod/db?stage=AWSPENDING#password":                                      "three",
				"sm://prod/db?region=eu-west-3#password":                                      "two",
				"sm://prod/db?version=" + secretstest.SecretVersion(1) + "#password":          "one",
				"ssm:///app/url:1":                                                            "https://example.com",
				"ssm:///app/url:2":                                                            "second",
				"arn:aws:secretsmanager:eu-west-1:123456789012:secret:none":                   "",
				"sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/other-AbCdEf": "",
			} {
				ref, err := secrets.ParseRef(text)
				if err != nil {
					if want != "" {
						t.Errorf("%s: %v", text, err)
					}
					continue
				}
				v, err := env.Resolve(t.Context(), ref)
				switch {
				case want == "" && !errors.Is(err, secrets.ErrNotFound):
					t.Errorf("%s: %v", text, err)
				case want != "" && (err != nil || v.Reveal() != want):
					t.Errorf("%s: %v", text, err)
				}
			}
		},
		"failures": func(t *testing.T, fake *secretstest.Fake, env *secrets.Env, clock *secretstest.Clock) {
			for _, kind := range []error{secrets.ErrNotFound, secrets.ErrAccessDenied, secrets.ErrThrottled,
				secrets.ErrUnavailable, secrets.ErrDecrypt, secrets.ErrField, secrets.ErrInvalidReference} {
				fake.Fail("sm://prod/db", kind)
				if _, err := env.Get(t.Context(), "DB"); !errors.Is(err, kind) {
					t.Errorf("told %v, got %v", kind, err)
				}
				reveal(t, env, "URL") // the others are well
				fake.Heal()
				clock.Advance(time.Minute)
			}
			fake.FailNext("", errors.New("of an unknown kind"), 1)
			if got := reveal(t, env, "DB"); got != "one" {
				t.Errorf("after one transient failure: %q", got)
			}
			fake.Delete("sm://prod/db")
			if err := env.Refresh(t.Context(), "DB"); !errors.Is(err, secrets.ErrNotFound) {
				t.Errorf("deleted: %v", err)
			}
		},
		"delay": func(t *testing.T, fake *secretstest.Fake, env *secrets.Env, _ *secretstest.Clock) {
			fake.Delay(700 * time.Millisecond)
			began := time.Now()
			reveal(t, env, "DB")
			if took := time.Since(began); took != 700*time.Millisecond {
				t.Errorf("took %v", took)
			}
			fake.Delay(time.Minute)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := env.Refresh(ctx); !errors.Is(err, secrets.ErrUnavailable) {
				t.Errorf("longer than the caller waits: %v", err)
			}
		},
		"frozen half-way": func(t *testing.T, fake *secretstest.Fake, env *secrets.Env, clock *secretstest.Clock) {
			release := fake.Hold()
			got := make(chan string)
			go func() { got <- reveal(t, env, "DB") }()
			synctest.Wait()
			fake.Set("sm://prod/db", `{"password":"two"}`)
			clock.Freeze(time.Hour)
			release()
			release() // harmless
			if password := <-got; password != "two" {
				t.Errorf("the answer from before the freeze is taken: %q", password)
			}
		},
		"one version fails": func(t *testing.T, fake *secretstest.Fake, env *secrets.Env, _ *secretstest.Clock) {
			fake.Fail("ssm:///app/url:1", secrets.ErrNotFound) // versions vanish
			if _, err := env.Resolve(t.Context(),
				secrets.SSMParameter("/app/url").With("version", "1")); !errors.Is(err, secrets.ErrNotFound) {
				t.Errorf("version 1: %v", err)
			}
			reveal(t, env, "URL")
			if all, first := fake.Fetched("ssm:///app/url"), fake.Fetched("ssm:///app/url:1"); all != 2 || first != 1 {
				t.Errorf("fetched %d times, version 1 of these %d; want 2 and 1", all, first)
			}
		},
		"one stage fails": func(t *testing.T, fake *secretstest.Fake, env *secrets.Env, _ *secretstest.Clock) {
			fake.Fail("sm://prod/db?stage=AWSPREVIOUS", secrets.ErrAccessDenied)
			if _, err := env.Resolve(t.Context(),
				secrets.Secret("prod/db").With("stage", "AWSPREVIOUS")); !errors.Is(err, secrets.ErrAccessDenied) {
				t.Errorf("AWSPREVIOUS: %v", err)
			}
			reveal(t, env, "DB")
			if n := fake.Fetched("sm://prod/db?stage=AWSCURRENT"); n != 1 {
				t.Errorf("AWSCURRENT fetched %d times, want 1", n)
			}
		},
		"wall clock set back": func(t *testing.T, fake *secretstest.Fake, env *secrets.Env, clock *secretstest.Clock) {
			reveal(t, env, "DB")
			clock.SetBack(time.Hour)
			reveal(t, env, "DB")
			if n := fake.Fetched("sm://prod/db"); n != 2 {
				t.Errorf("fetched %d times, want 2", n)
			}
		},
		"used by many at once": func(t *testing.T, fake *secretstest.Fake, env *secrets.Env, clock *secretstest.Clock) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 20 {
						fake.FailNext("sm://prod/db", secrets.ErrThrottled, 1)
						fake.Set("sm://prod/db", `{"password":"two"}`)
						fake.Heal()
						env.Refresh(t.Context(), "DB")
						clock.Advance(time.Second)
						if fake.Fetched("sm://prod/db") == 0 || fake.Rounds() == 0 {
							t.Error("nothing was fetched")
						}
					}
				})
			}
			wg.Wait()
			if err := env.Refresh(t.Context(), "DB"); err != nil {
				t.Error(err)
			}
			if got := reveal(t, env, "DB"); got != "two" {
				t.Errorf("in the end: %q", got)
			}
		},
		"counts": func(t *testing.T, fake *secretstest.Fake, env *secrets.Env, _ *secretstest.Clock) {
			if err := env.Warm(t.Context()); err != nil {
				t.Fatal(err)
			}
			if all, rounds := fake.Fetched(""), fake.Rounds(); all != 3 || rounds != 3 {
				t.Errorf("%d references in %d rounds, want 3 in 3", all, rounds)
			}
			if v := reveal(t, env, "KEY"); v != "decrypted" {
				t.Errorf("KEY is %q", v)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clock := secretstest.NewClock()
				fake := secretstest.NewFake(t, map[string]string{
					"sm://prod/db": `{"password":"one"}`, "ssm:///app/url": "https://example.com",
					"kms://Y2lwaGVydGV4dGNpcGhlcnRleHRjaXBoZXJ0ZXh0Y2lwaGVydGV4dA==": "decrypted",
				})
				env := fake.Env(map[string]string{
					"DB": "sm://prod/db#password", "URL": "ssm:///app/url",
					"KEY": "kms://Y2lwaGVydGV4dGNpcGhlcnRleHRjaXBoZXJ0ZXh0Y2lwaGVydGV4dA", "PLAIN": "x",
					"AWS_REGION": "eu-west-1",
				}, secrets.WithClock(clock.Now), secrets.WithLogger(slog.New(slog.DiscardHandler)))
				test(t, fake, env, clock)
			})
		})
	}
}

// TestEndpoint runs the whole stack, in and out of a bubble.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T) {
		ep := secretstest.StartEndpoint(t)
		ep.PutSecret("prod/db", "one")
		ep.PutParameter("/app/url", "https://example.com")
		env, err := secrets.New(secrets.WithAWSConfig(ep.Config()), secrets.WithTTL(0), secrets.WithMaxStale(0),
			secrets.WithGrace(0), secrets.WithEnviron(map[string]string{
				"DB": "sm://prod/db", "URL": "ssm:///app/url",
				"KEY": ep.Encrypt("decrypted", map[string]string{"tenant": "a&b=c"}), "BARE": ep.Encrypt("bare", nil),
			}))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"DB": "one", "URL": "https://example.com", "KEY": "decrypted",
			"BARE": "bare"} {
			if got := reveal(t, env, name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if n := ep.Calls("kms:Decrypt"); n != 2 {
			t.Errorf("kms:Decrypt: %d calls, want 2", n)
		}
		if arn := env.Refs()[0].ARN; arn != ep.KeyARN() { // BARE
			t.Errorf("decrypted under %s, want %s", arn, ep.KeyARN())
		}
		ep.BeginRotation("prod/db", "two")
		if got := reveal(t, env, "DB"); got != "one" {
			t.Errorf("rotation begun: %q", got)
		}
		ep.FinishRotation("prod/db")
		if got := reveal(t, env, "DB"); got != "two" {
			t.Errorf("rotation finished: %q", got)
		}
		ep.DeleteSecret("prod/db")
		ep.DeleteParameter("/app/url")
		for _, name := range []string{"DB", "URL"} {
			if _, err := env.Get(t.Context(), name); !errors.Is(err, secrets.ErrNotFound) {
				t.Errorf("%s deleted: %v", name, err)
			}
		}
		if err := ep.SetPolicy(`{"Version":"2012-10-17","Statement":[]}`); err != nil {
			t.Fatal(err)
		}
		if _, err := env.Get(t.Context(), "KEY"); err != nil {
			t.Errorf("ciphertext is never decrypted again: %v", err)
		}
		fresh, err := secrets.New(secrets.WithAWSConfig(ep.Config()),
			secrets.WithEnviron(map[string]string{"KEY": ep.Encrypt("x", nil)}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fresh.Get(t.Context(), "KEY"); !errors.Is(err, secrets.ErrAccessDenied) {
			t.Errorf("nothing is allowed: %s", secrets.Detail(err))
		}
	}
	t.Run("outside a bubble", func(t *testing.T) {
		t.Parallel()
		test(t)
	})
	t.Run("in a bubble", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}

func TestEndpointFails(t *testing.T) {
	t.Parallel()
	for _, kind := range []error{secrets.ErrThrottled, secrets.ErrAccessDenied, secrets.ErrUnavailable} {
		t.Run(kind.Error(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ep := secretstest.StartEndpoint(t)
				ep.PutSecret("prod/db", "one")
				ep.SetLatency(100 * time.Millisecond)
				env, err := secrets.New(secrets.WithAWSConfig(ep.Config()),
					secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}))
				if err != nil {
					t.Fatal(err)
				}
				heal := ep.Fail("secretsmanager:*", kind)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if _, err := env.Get(ctx, "DB"); !errors.Is(err, kind) {
					t.Errorf("got %s", secrets.Detail(err))
				}
				heal()
				time.Sleep(time.Minute)
				began := time.Now()
				if reveal(t, env, "DB"); time.Since(began) != 100*time.Millisecond {
					t.Errorf("took %v, want 100ms", time.Since(began))
				}
			})
		})
	}
}

// TestRefusesLambda is not parallel: it changes the process environment.
func TestRefusesLambda(t *testing.T) {
	t.Setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
	for name, f := range map[string]func(){
		"Env":           func() { secretstest.Env(t, nil) },
		"NewFake":       func() { secretstest.NewFake(t, nil) },
		"NewClock":      func() { secretstest.NewClock() },
		"StartEndpoint": func() { secretstest.StartEndpoint(t) },
		"Drill":         func() { secretstest.Drill(t, each(good)) },
	} {
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, "AWS_LAMBDA_RUNTIME_API") {
					t.Errorf("%s: panic %q", name, p)
				}
			}()
			f()
		}()
	}
}

// A handler test names no AWS package; the library's own imports are its own affair.
func TestImportsNoAWS(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-f", `{{join .XTestImports "\n"}}`, ".").CombinedOutput()
	if err != nil {
		t.Skipf("go list: %v: %s", err, out)
	}
	if strings.Contains(string(out), "aws") {
		t.Errorf("these tests import AWS packages:\n%s", out)
	}
}

// A fatalTB keeps what ends the test.
type fatalTB struct {
	testing.TB
	said string
}

func (*fatalTB) Helper()          {}
func (t *fatalTB) Fatal(a ...any) { t.said = fmt.Sprint(a...); runtime.Goexit() }
func (t *fatalTB) Fatalf(format string, a ...any) {
	t.said = fmt.Sprintf(format, a...)
	runtime.Goexit()
}

// fatal returns what ends a test that calls f with a Fake, or "".
func fatal(values, environ map[string]string, f func(*secretstest.Fake)) string {
	tb := &fatalTB{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fake := secretstest.NewFake(tb, values)
		fake.Env(environ)
		f(fake)
	}()
	<-done
	return tb.said
}

// A reference that the Fake does not know ends the test: a typo must not leave it green.
func TestFake_UnknownReference(t *testing.T) {
	t.Parallel()
	ciphertext := "kms://Y2lwaGVydGV4dGNpcGhlcnRleHRjaXBoZXJ0ZXh0Y2lwaGVydGV4dA=="
	values := map[string]string{
		"sm://prod/db": "one", "ssm:///app/url": "two", ciphertext: "three", "sm://far?region=eu-west-3": "four",
	}
	environ := map[string]string{"ABSENT": "ssm:///app/absent#field"}
	fail := func(ref string) func(*secretstest.Fake) {
		return func(f *secretstest.Fake) { f.Fail(ref, secrets.ErrAccessDenied) }
	}
	for name, c := range map[string]struct {
		do    func(*secretstest.Fake)
		known bool
	}{
		"Fail": {do: fail("sm://prod/bd")},
		"FailNext": {do: func(f *secretstest.Fake) {
			f.FailNext("sm://prod/bd", secrets.ErrThrottled, 1)
		}},
		"Fetched":                      {do: func(f *secretstest.Fake) { f.Fetched("sm://prod/bd") }},
		"Delete":                       {do: func(f *secretstest.Fake) { f.Delete("sm://prod/bd") }},
		"of another scheme":            {do: fail("ssm:///prod/db")},
		"of another Region":            {do: fail("sm://far?region=eu-west-1")},
		"of another stage":             {do: fail("sm://prod/db?stage=BLUE")},
		"of a version that is not":     {do: fail("ssm:///app/url:2")},
		"another ciphertext":           {do: fail("kms://YW5vdGhlcmNpcGhlcnRleHRhbm90aGVyY2lwaGVydGV4dGFub3RoZXI=")},
		"Delete of what is declared":   {do: func(f *secretstest.Fake) { f.Delete("ssm:///app/absent") }},
		"what was given":               {do: fail("sm://prod/db"), known: true},
		"a field of it":                {do: fail("sm://prod/db#password"), known: true},
		"a version of it":              {do: fail("ssm:///app/url:1"), known: true},
		"in any Region":                {do: fail("sm://far"), known: true},
		"in a Region of its own":       {do: fail("sm://prod/db?region=eu-west-3"), known: true},
		"the version of a rotation":    {do: fail("sm://prod/db?stage=AWSPENDING"), known: true},
		"ciphertext":                   {do: fail(ciphertext), known: true},
		"what an environment declares": {do: fail("ssm:///app/absent"), known: true},
		"Fetched of what is declared": {do: func(f *secretstest.Fake) {
			f.Fetched("ssm:///app/absent")
		}, known: true},
		"everything": {do: fail(""), known: true},
		"what was deleted": {do: func(f *secretstest.Fake) {
			f.Delete("sm://prod/db")
			f.Fetched("sm://prod/db")
		}, known: true},
		"what was deleted, once more": {do: func(f *secretstest.Fake) {
			f.Delete("sm://prod/db")
			f.Delete("sm://prod/db")
		}, known: true},
		"a value that Set gave": {do: func(f *secretstest.Fake) {
			f.Set("sm://new", "x")
			f.Delete("sm://new")
		}, known: true},
		"a value that Set gave a stage": {do: func(f *secretstest.Fake) {
			f.Set("sm://new?stage=BLUE", "x")
			f.Fetched("sm://new?stage=BLUE")
		}, known: true},
	} {
		said := fatal(values, environ, c.do)
		if c.known {
			if said != "" {
				t.Errorf("%s: it ends the test: %s", name, said)
			}
			continue
		}
		list := "It knows kms://…, sm://far?region=eu-west-3, sm://prod/db, ssm:///app/absent, ssm:///app/url"
		if !strings.Contains(said, list) {
			t.Errorf("%s: it ends the test with %q, want a list of what is known", name, said)
		}
	}
	if said := fatal(nil, nil, fail("sm://prod/db")); !strings.Contains(said,
		"It knows none: give it values by NewFake or Set") {
		t.Errorf("an empty Fake ends the test with %q", said)
	}
}

// Where waiting would take real time, the Fake ends the test, and says how it takes none.
func TestFake_OutsideABubble(t *testing.T) {
	t.Parallel()
	values := map[string]string{"sm://prod/db": "one"}
	for name, c := range map[string]struct {
		do      func(*secretstest.Fake)
		refused bool
	}{
		"throttled": {func(f *secretstest.Fake) { f.Fail("sm://prod/db", secrets.ErrThrottled) }, true},
		"unavailable": {func(f *secretstest.Fake) {
			f.Fail("", fmt.Errorf("down: %w", secrets.ErrUnavailable))
		}, true},
		"of no kind":          {func(f *secretstest.Fake) { f.Fail("", errors.New("down")) }, true},
		"denied":              {func(f *secretstest.Fake) { f.Fail("", secrets.ErrAccessDenied) }, false},
		"throttled for a try": {func(f *secretstest.Fake) { f.FailNext("", secrets.ErrThrottled, 1) }, false},
		"a minute":            {func(f *secretstest.Fake) { f.Delay(time.Minute) }, true},
		"a millisecond":       {func(f *secretstest.Fake) { f.Delay(time.Millisecond) }, false},
	} {
		if said := fatal(values, nil, c.do); strings.Contains(said,
			"synctest.Test(t, func(t *testing.T) {") != c.refused {
			t.Errorf("%s: it ends the test with %q", name, said)
		}
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(30 * 365 * 24 * time.Hour) // a bubble begins in the year 2000
			if said := fatal(values, nil, c.do); said != "" {
				t.Errorf("%s, in a bubble: it ends the test with %q", name, said)
			}
		})
	}
}

func TestEndpoint_OutsideABubble(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do      func(*secretstest.Endpoint)
		refused bool
	}{
		"throttled":   {func(e *secretstest.Endpoint) { e.Fail("*", secrets.ErrThrottled) }, true},
		"unavailable": {func(e *secretstest.Endpoint) { e.Fail("ssm:*", secrets.ErrUnavailable) }, true},
		"denied":      {func(e *secretstest.Endpoint) { e.Fail("*", secrets.ErrAccessDenied) }, false},
		"a minute":    {func(e *secretstest.Endpoint) { e.SetLatency(time.Minute) }, true},
		"a second":    {func(e *secretstest.Endpoint) { e.SetLatency(time.Second) }, false},
	} {
		tb := &fatalTB{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.do(secretstest.StartEndpoint(tb))
		}()
		<-done
		if strings.Contains(tb.said, "synctest.Test(t, func(t *testing.T) {") != c.refused {
			t.Errorf("%s: it ends the test with %q", name, tb.said)
		}
	}
}

// What is not there ends the test, rather than all tests by a panic, or none.
func TestEndpoint_Misused(t *testing.T) {
	t.Parallel()
	const none, absent = "the Endpoint has no such operation", "ResourceNotFoundException"
	for name, c := range map[string]struct {
		do   func(*secretstest.Endpoint)
		want string
	}{
		"Calls of a typo":           {func(e *secretstest.Endpoint) { e.Calls("ssm:GetParamters") }, none},
		"Calls of another service":  {func(e *secretstest.Endpoint) { e.Calls("sm:*") }, none},
		"Calls without the service": {func(e *secretstest.Endpoint) { e.Calls("Decrypt") }, none},
		"Fail of a typo": {func(e *secretstest.Endpoint) {
			e.Fail("kms:Decript", secrets.ErrAccessDenied)
		}, none},
		"Fail of another kind": {func(e *secretstest.Endpoint) {
			e.Fail("*", secrets.ErrNotFound)
		}, "the kind is none of"},
		"an absent secret":           {func(e *secretstest.Endpoint) { e.DeleteSecret("a") }, absent},
		"the rotation of an absent":  {func(e *secretstest.Endpoint) { e.FinishRotation("a") }, absent},
		"an absent parameter":        {func(e *secretstest.Endpoint) { e.DeleteParameter("/a") }, "ParameterNotFound"},
		"a parameter without a name": {func(e *secretstest.Endpoint) { e.PutParameter("", "x") }, "secretstest: "},
		"a secret without a name":    {func(e *secretstest.Endpoint) { e.PutSecret("", "x") }, "secretstest: "},
	} {
		tb := &fatalTB{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.do(secretstest.StartEndpoint(tb))
		}()
		<-done
		if !strings.Contains(tb.said, c.want) {
			t.Errorf("%s: it ends the test with %q, want %q", name, tb.said, c.want)
		}
	}
}

func TestFake_Misused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(*secretstest.Fake)
		want string
	}{
		"Fail without an error": {func(f *secretstest.Fake) { f.Fail("", nil) },
			"the error is nil; Heal ends failures"},
		"FailNext without an error": {func(f *secretstest.Fake) { f.FailNext("", nil, 1) }, "the error is nil"},
		"FailNext of none": {func(f *secretstest.Fake) { f.FailNext("", secrets.ErrThrottled, 0) },
			"at least 1; Fail fails until Heal"},
		"Set of a version": {func(f *secretstest.Fake) { f.Set("ssm:///a:1", "x") }, "versions are counted"},
		"Delete of a version": {func(f *secretstest.Fake) { f.Delete("ssm:///a:1") },
			"Delete(\"ssm:///a:1\"): name"},
		"Delete of everything": {func(f *secretstest.Fake) { f.Delete("") }, "name the parameter"},
		"Set of everything":    {func(f *secretstest.Fake) { f.Set("", "x") }, "versions are counted"},
		"no reference":         {func(f *secretstest.Fake) { f.Fetched("prod/db") }, "prod/db"},
	} {
		if said := fatal(nil, nil, c.do); !strings.Contains(said, c.want) {
			t.Errorf("%s: it ends the test with %q, want %q", name, said, c.want)
		}
	}
}
