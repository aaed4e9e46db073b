package peers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/kit"
)

// Bugs that were found in other Go libraries of this kind, each with a test that would catch it here. The bugs of
// parsers and backends have theirs where the parsers and backends are tested: internal/refsyntax, and the tests of the
// three backends.
func TestPeers_Bugs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		bug, seenIn string
		test        func(t *testing.T)
	}{
		{"nanoseconds taken for milliseconds: a sleep of a century", "the AWS caching client", func(t *testing.T) {
			p := &kit.Script{}
			p.Set(0, func(_ context.Context, call int, _ string) (string, error) {
				if call <= 4 {
					return "", kit.ErrThrottled
				}
				return fmt.Sprint("a-", call), nil
			})
			env := p.One(t, secrets.WithTTL(3*time.Second))
			kit.Took(t, "four retries", 500*time.Millisecond, 2*time.Second, func() { kit.Expect(t, env, "a-5") })
			time.Sleep(3 * time.Second)
			kit.Took(t, "a refresh", 0, 0, func() { kit.Expect(t, env, "a-6") })
			p.Fail(kit.ErrDenied)
			time.Sleep(3 * time.Second)
			env.Get(t.Context(), "A")
			p.Fail(nil)
			time.Sleep(time.Second)
			kit.Took(t, "the refresh after a window", 0, 0, func() { kit.Expect(t, env, "a-8") })
		}},
		{"the error of a cancelled leader is given to the others", "the AWS caching client", func(t *testing.T) {
			p := &kit.Script{Delay: time.Second}
			env := p.One(t)
			ctx, cancel := context.WithCancel(t.Context())
			leader, other := kit.Read(ctx, env, "A"), kit.Read(t.Context(), env, "A")
			cancel()
			if g := <-leader; !errors.Is(g.Err, context.Canceled) || g.Took != 0 {
				t.Errorf("the leader: %+v", g)
			}
			if g := <-other; g.Text != "a-1" || g.Took != time.Second {
				t.Errorf("the other: %+v", g)
			}
		}},
		{"a cancelled waiter breaks the leader", "Vonage", func(t *testing.T) {
			p := &kit.Script{Delay: time.Second}
			env := p.One(t)
			leader := kit.Read(t.Context(), env, "A")
			ctx, cancel := context.WithCancel(t.Context())
			waiter := kit.Read(ctx, env, "A")
			cancel()
			if g := <-waiter; !errors.Is(g.Err, context.Canceled) || g.Took != 0 {
				t.Errorf("the waiter: %+v", g)
			}
			if g := <-leader; g.Text != "a-1" {
				t.Errorf("the leader: %+v", g)
			}
		}},
		{"a waiter ignores its own deadline", "the AWS caching client, singleflight.Do", func(t *testing.T) {
			p := &kit.Script{Delay: 8 * time.Second}
			env := p.One(t)
			leader := kit.Read(t.Context(), env, "A")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if g := <-kit.Read(ctx, env, "A"); !errors.Is(g.Err, context.DeadlineExceeded) ||
				g.Took != 750*time.Millisecond {
				t.Errorf("the waiter: %+v", g)
			}
			if g := <-leader; g.Text != "a-1" {
				t.Errorf("the leader: %+v", g)
			}
		}},
		{"an error is cached for the TTL", "Vonage", func(t *testing.T) {
			p := &kit.Script{}
			p.Fail(kit.ErrDenied)
			env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(time.Hour))
			for _, name := range []string{"A", "B"} {
				if _, err := env.Get(t.Context(), name); !errors.Is(err, secrets.ErrAccessDenied) {
					t.Error(err)
				}
			}
			p.Fail(nil)
			if err := env.Refresh(t.Context(), "B"); err != nil {
				t.Errorf("Refresh inside the window: %v", err)
			}
			kit.MustGet(t, env, "B")
			time.Sleep(time.Second)
			kit.MustGet(t, env, "A")
		}},
		{"a stampede of cold readers", "brwse, telia and most others", func(t *testing.T) {
			p := &kit.Script{Delay: 20 * time.Millisecond}
			env := p.One(t)
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() { kit.MustGet(t, env, "A") })
			}
			all.Wait()
			if n := p.Count(); n != 1 {
				t.Errorf("%d calls", n)
			}
		}},
		{"a lock is held across the network", "ENS, go-bananas", func(t *testing.T) {
			p := &kit.Script{}
			env := p.Env(t, map[string]string{"A": "sm://a", "SLOW": "sm://slow", "B": "sm://b"})
			kit.Expect(t, env, "a-1")
			p.Set(time.Hour, nil)
			slow := kit.Read(t.Context(), env, "SLOW")
			p.Set(0, nil)
			kit.Took(t, "a hit and a miss", 0, 0, func() {
				kit.Expect(t, env, "a-1")
				kit.MustGet(t, env, "B")
				env.Refs()
				env.Stats()
			})
			<-slow
		}},
		{"who gets a value can write into the cache", "the AWS caching client, brwse, setec", func(t *testing.T) {
			env := (&kit.Script{}).One(t)
			v := kit.MustGet(t, env, "A")
			b := v.RevealBytes()
			for i := range b {
				b[i] = 'X'
			}
			kit.Expect(t, env, "a-1")
			if v.Reveal() != "a-1" {
				t.Error("the Value changed")
			}
			all, err := env.RevealAll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all["A"] = "X"
			kit.Expect(t, env, "a-1")
		}},
		{"plaintext in an error", "brwse, secretfetch, vals, chamber", func(t *testing.T) {
			const canary = "correct-horse-battery"
			p := &kit.Script{}
			var log strings.Builder
			env := p.Env(t, map[string]string{"MISSING": "sm://a#missing", "NULL": "sm://a#null",
				"DUPLICATE": "sm://c#x", "TEXT": "sm://b#x", "DEEP": "sm://a#k.x"},
				secrets.WithLogger(kit.TextLog(&log)))
			p.Set(0, func(_ context.Context, _ int, id string) (string, error) {
				return map[string]string{"a": `{"null":null,"k":"` + canary + `"}`, "b": canary + `{"x":`,
					"c": `{"x":"` + canary + `","x":"` + canary + `"}`}[id], nil
			})
			err := env.Warm(t.Context())
			texts := []string{log.String(), secrets.Detail(err), fmt.Sprintf("%v %+v %#v %s", err, err, err, err)}
			for _, name := range []string{"MISSING", "NULL", "DUPLICATE", "TEXT", "DEEP"} {
				_, err := env.Get(t.Context(), name)
				if !errors.Is(err, secrets.ErrField) {
					t.Errorf("%s: %v", name, err)
				}
				texts = append(texts, fmt.Sprintf("%v %+v %#v", err, err, err), secrets.Detail(err))
			}
			if all := strings.Join(texts, "\n"); strings.Contains(all, canary) || strings.Contains(all, "horse") {
				t.Errorf("a plaintext is in %s", all)
			}
		}},
		{"every error becomes not found", "chamber, vals", func(t *testing.T) {
			p := &kit.Script{}
			p.Set(0, func(_ context.Context, _ int, id string) (string, error) {
				return "", map[string]error{"denied": kit.ErrDenied, "none": secrets.ErrNotFound,
					"busy": kit.ErrThrottled,
					"odd":  kit.ErrOdd}[id]
			})
			env := p.Env(t, map[string]string{"DENIED": "sm://denied", "NONE": "sm://none", "BUSY": "sm://busy",
				"ODD": "sm://odd"})
			for name, kind := range map[string]error{"DENIED": secrets.ErrAccessDenied, "NONE": secrets.ErrNotFound,
				"BUSY": secrets.ErrThrottled, "ODD": secrets.ErrUnavailable} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, err := env.Get(ctx, name)
				cancel()
				var e *secrets.ResolveError
				if !errors.Is(err, kind) || !errors.As(err, &e) || e.Variable != name || kind != secrets.ErrNotFound &&
					errors.Is(err, secrets.ErrNotFound) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}},
		{"an unresolved reference is taken for the secret", "awssm-env, starenv", func(t *testing.T) {
			p := &kit.Script{}
			p.Fail(kit.ErrDenied)
			env := p.One(t)
			if v, err := env.Get(t.Context(), "A"); err == nil || !v.IsZero() {
				t.Error("Get returned a value")
			}
			if all, err := env.RevealAll(t.Context()); err == nil || all != nil {
				t.Error("RevealAll returned a map")
			}
			if err := new(secrets.Value).UnmarshalText([]byte("sm://a")); err == nil {
				t.Error("a Value holds a reference")
			}
			defer func() {
				if recover() == nil {
					t.Error("Reveal of what Get returned with its error did not panic")
				}
			}()
			v, _ := env.Get(t.Context(), "A")
			v.Reveal()
		}},
		{"the zero configuration panics", "the AWS caching client", func(t *testing.T) {
			c, err := secrets.NewCache(&kit.Script{})
			if err != nil {
				t.Fatal(err)
			}
			if r := c.Fetch(t.Context(), []secrets.Ref{secrets.Secret("a"), {}}); r[0].Err != nil ||
				!errors.Is(r[1].Err, secrets.ErrInvalidReference) {
				t.Errorf("%v, %v", r[0].Err, r[1].Err)
			}
			if r := c.Fetch(t.Context(), nil); len(r) != 0 {
				t.Errorf("%v", r)
			}
			env, err := secrets.New(secrets.WithEnviron(nil))
			if err != nil {
				t.Fatal(err)
			}
			if err := env.Warm(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := env.Get(t.Context(), "A"); !errors.Is(err, secrets.ErrNotReference) {
				t.Error(err)
			}
		}},
		{"a nil or unhashable provider panics", "brwse, ENS", func(t *testing.T) {
			var none *kit.Script
			for name, p := range map[string]secrets.Provider{"nil": nil, "a nil pointer": none,
				"a nil function": secrets.ProviderFunc(nil)} {
				if _, err := secrets.NewCache(p); err == nil {
					t.Errorf("NewCache takes %s", name)
				}
				if _, err := secrets.New(secrets.WithEnviron(nil), secrets.WithProvider(p)); err == nil {
					t.Errorf("WithProvider takes %s", name)
				}
			}
			env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}),
				secrets.WithProvider(unhashable{}), secrets.WithProvider(unhashable{}, secrets.SSM))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := env.Get(t.Context(), "A"); !errors.Is(err, secrets.ErrUnavailable) {
				t.Error(err)
			}
		}},
		{"a wrapper hides that the provider fetches many at once", "brwse", func(t *testing.T) {
			p := &kit.Script{}
			inner, err := secrets.NewCache(p)
			if err != nil {
				t.Fatal(err)
			}
			outer, err := secrets.NewCache(inner)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range outer.Fetch(t.Context(),
				[]secrets.Ref{secrets.Secret("a"), secrets.Secret("b"), secrets.Secret("c"), secrets.Secret("a")}) {
				if r.Err != nil {
					t.Error(r.Err)
				}
			}
			if got := p.Asked(1); p.Count() != 1 || got != "a b c" {
				t.Errorf("%d calls, the first for %s", p.Count(), got)
			}
		}},
		{"what is cached is found under another version, stage, key or context", "Powertools for TypeScript 5622",
			func(t *testing.T) {
				vars := map[string]string{}
				for i, ref := range []string{"sm://a", "sm://a?stage=AWSPREVIOUS",
					"sm://a?version=11111111-2222-3333-4444-555555555555", "sm://a?region=us-east-1", "sm://b",
					"ssm:///a", "ssm:///a:1", "ssm:///a:2", "ssm:///a:label",
					"kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
					"kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
					"kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA?context.a=b",
					"kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA?context.a=c",
					"kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA?context=none"} {
					vars[fmt.Sprint("V", i)] = ref
				}
				seen := map[string]string{}
				env, err := secrets.New(secrets.WithEnviron(vars),
					secrets.WithProvider(secrets.ProviderFunc(func(_ context.Context,
						ref secrets.Ref) (secrets.Value, error) {
						return secrets.NewValue(ref.Text(), ""), nil
					})))
				if err != nil {
					t.Fatal(err)
				}
				for name, ref := range vars {
					got := kit.MustGet(t, env, name).Reveal()
					if other := seen[got]; other != "" {
						t.Errorf("%s and %s share %s", ref, other, got)
					}
					seen[got] = ref
				}
			}},
		{"what the preload fetched is not what is read", "secretfetch", func(t *testing.T) {
			p := &kit.Script{}
			p.Set(0, func(context.Context, int, string) (string, error) { return `{"x":"y"}`, nil })
			vars := map[string]string{"A": "sm://a", "X": "secretsmanager://a#x", "P": "ssm:///p?ttl=1h",
				"K": "kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "BARE": "b", "AWS_REGION": kit.Region,
				"HOME_REGION": "sm://a?region=" + kit.Region}
			env := p.Env(t, vars, secrets.WithVars(secrets.SecretsManager, "BARE"))
			if err := env.Warm(t.Context()); err != nil {
				t.Fatal(err)
			}
			n := p.Count()
			for _, name := range []string{"A", "X", "P", "K", "BARE", "HOME_REGION"} {
				kit.MustGet(t, env, name)
			}
			if _, err := env.RevealAll(t.Context()); err != nil || p.Count() != n || n != 3 {
				t.Errorf("%v; the warm made %d calls, want 3, and the reads %d more", err, n, p.Count()-n)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.bug, func(t *testing.T) {
			t.Parallel()
			t.Log("seen in", test.seenIn)
			synctest.Test(t, test.test)
		})
	}
}

// Maps and structs shared between goroutines without a lock, as in setec's GetVersion and awskms: every public method
// at once, for the race detector.
func TestPeers_EveryMethodAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &kit.Script{Delay: time.Millisecond}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "P": "ssm:///p", "PLAIN": "x"},
			secrets.WithTTL(5*time.Millisecond))
		c, err := secrets.NewCache(p, secrets.WithTTL(5*time.Millisecond), secrets.WithLogger(kit.Quiet()))
		if err != nil {
			t.Fatal(err)
		}
		derived := secrets.Derive(env, "A",
			func(_ context.Context, v secrets.Value) (string, error) { return v.Reveal(), nil }, func(string) {})
		ctx := t.Context()
		must := func(err error) {
			if err != nil {
				t.Error(secrets.Detail(err))
			}
		}
		var all sync.WaitGroup
		for _, do := range []func(i int){
			func(int) { must(env.Warm(ctx)) },
			func(int) { must(env.Refresh(ctx, "A")) },
			func(int) { must(env.Refresh(ctx)) },
			func(int) { must(env.Do(ctx, "B", func(secrets.Value) error { return nil })) },
			func(int) { must(derived.Do(ctx, func(string) error { return nil })) },
			func(i int) {
				if i%5 == 0 {
					derived.Close()
				}
			},
			func(int) { env.Refs() },
			func(int) { env.Stats() },
			func(int) { _, err := env.RevealAll(ctx); must(err) },
			func(int) { _, err := env.Snapshot(ctx).Get("P"); must(err) },
			func(i int) { _, err := env.Resolve(ctx, secrets.Secret(fmt.Sprint("r", i%3))); must(err) },
			func(i int) {
				must(c.Fetch(ctx, []secrets.Ref{secrets.Secret("a"), secrets.Secret(fmt.Sprint(i % 4))})[1].Err)
			},
			func(int) {
				v, err := env.Get(ctx, "A")
				must(err)
				w, err := env.Get(ctx, "B")
				must(err)
				if v.Equal(w) || !v.EqualString(v.Reveal()) || v.IsZero() || v.String() != "[REDACTED]" ||
					v.Version() == "" || v.FetchedAt().IsZero() || v.Stale() {
					t.Error("a Value contradicts itself")
				}
			},
		} {
			for range 2 {
				all.Go(func() {
					for i := range 25 {
						do(i)
						time.Sleep(time.Millisecond)
					}
				})
			}
		}
		all.Wait()
	})
}
