package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
)

// resolve resolves sm://id and reports the number of the call that brought it.
func resolve(t testing.TB, env *secrets.Env, ref secrets.Ref) string {
	t.Helper()
	v, err := env.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(secrets.Detail(err))
	}
	return v.Version()
}

func TestUndeclared_Bounded(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		size   int
		refs   int
		kept   int // of the newest
		atOnce bool
	}{
		{"a thousand", 10, 1000, 1000, false},
		{"the oldest goes", 10, 1100, 1000, false},
		{"asked at once", 10, 1100, 1000, true},
		{"by size", 1 << 20, 6, 4, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				p.Answer = func(context.Context, int, string) (string,
					error) {
					return strings.Repeat("x", test.size), nil
				}
				c, err := secrets.NewCache(p, secrets.WithTTL(time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				var refs []secrets.Ref
				for i := range test.refs {
					refs = append(refs, secrets.Secret(fmt.Sprintf("s%d", i)))
				}
				fetch := func(refs ...secrets.Ref) {
					for _, r := range c.Fetch(t.Context(), refs) {
						if r.Err != nil {
							t.Fatal(r.Err)
						}
					}
				}
				if test.atOnce {
					fetch(refs...)
				} else {
					for _, ref := range refs {
						fetch(ref)
					}
				}
				before := p.Count()
				if test.atOnce {
					fetch(refs...)
					if n := len(strings.Fields(p.Asked(before + 1))); n != test.refs-test.kept {
						t.Errorf("%d of %d were fetched again, want %d", n, test.refs, test.refs-test.kept)
					}
					return
				}
				fetch(refs[test.refs-test.kept:]...)
				if n := p.Count() - before; n != 0 {
					t.Errorf("%d calls for references that should be kept", n)
				}
				if test.kept < test.refs {
					fetch(refs[test.refs-test.kept-1])
					if n := p.Count() - before; n != 1 {
						t.Errorf("%d calls for the oldest, want 1", n)
					}
				}
			})
		})
	}
}

// The oldest is what was fetched longest ago, not what was asked for first.
func TestUndeclared_RefreshedAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		env := (&script{}).Env(t, nil, secrets.WithTTL(time.Hour))
		for i := range 1000 {
			resolve(t, env, secrets.Secret(fmt.Sprintf("s%d", i)))
		}
		time.Sleep(time.Hour)
		for _, id := range []string{"s0", "more"} {
			resolve(t, env, secrets.Secret(id))
		}
		if !slices.ContainsFunc(env.Refs(), func(r secrets.RefInfo) bool { return r.Ref == secrets.Secret("s0") }) {
			t.Error("the oldest by its first fetch went, want the oldest by its last")
		}
	})
}

func TestUndeclared_DeclaredAreNeverEvicted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.One(t, secrets.WithTTL(time.Hour))
		expect(t, env, "a-1")
		for i := range 1010 {
			resolve(t, env, secrets.Secret(fmt.Sprintf("s%d", i)))
		}
		expect(t, env, "a-1")
		if got := resolve(t, env, secrets.Secret("a")); got != "1" {
			t.Errorf("the same reference built in code was answered by call %s, want the variable's", got)
		}
		if n := len(env.Refs()); n != 1001 {
			t.Errorf("%d references are kept, want 1001", n)
		}
	})
}

// Refresh renews what was resolved in code too, and asks no more for what never was.
func TestUndeclared_Refresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(_ context.Context, _ int, id string) (string, error) {
			if id == "none" {
				return "", secrets.ErrNotFound
			}
			return id, nil
		})
		env := p.One(t)
		resolve(t, env, secrets.Secret("b"))
		if _, err := env.Resolve(t.Context(), secrets.Secret("none")); !errors.Is(err, secrets.ErrNotFound) {
			t.Fatal(err)
		}
		if err := env.Refresh(t.Context()); err != nil || p.Count() != 3 || p.Asked(3) != "a b" {
			t.Errorf("%v; it called for %s, want a b", err, p.Asked(3))
		}
		p.Fail(errThrottled)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := env.Refresh(ctx); err == nil || !strings.Contains(err.Error(), "throttled; 2 references: sm://b, A") {
			t.Errorf("%v", err)
		}
	})
}

// A reference in a flight is not evicted: two flights for one source could not share.
func TestUndeclared_RunningFlightsAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: time.Second}
		env := p.One(t, secrets.WithTTL(time.Hour))
		slow := secrets.Secret("slow")
		go env.Resolve(t.Context(), slow)
		synctest.Wait()
		p.Set(0, nil)
		for i := range 1010 {
			resolve(t, env, secrets.Secret(fmt.Sprintf("s%d", i)))
		}
		if got := resolve(t, env, slow); got != "1" {
			t.Errorf("the second reader was answered by call %s, want 1", got)
		}
	})
}

// Nor does what was never fetched, because its caller was gone, add up.
func TestUndeclared_CancelledCallersLeaveNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		env := (&script{}).One(t)
		resolve(t, env, secrets.Secret("b"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for i := range 3100 {
			if _, err := env.Resolve(ctx, secrets.Secret(fmt.Sprintf("s%d", i))); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if n := secrets.Sources(env); n != 2 {
			t.Errorf("%d sources are kept, want the declared one and the one that was read", n)
		}
		if got := resolve(t, env, secrets.Secret("b")); got != "1" {
			t.Errorf("what was read before is answered by call %s, want 1", got)
		}
	})
}

// Absent names are remembered too, far beyond the number of values, but not without end.
func TestUndeclared_AbsentAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Fail(secrets.ErrNotFound)
		env := p.Env(t, nil)
		ask := func(i int) { env.Resolve(t.Context(), secrets.Secret(fmt.Sprint("none", i))) }
		for i := range 5000 {
			ask(i)
		}
		if n := len(env.Refs()); n != 3000 {
			t.Errorf("%d are kept, want 3000", n)
		}
		before := p.Count()
		for i := 2000; i < 5000; i++ {
			ask(i)
		}
		if n := p.Count() - before; n != 0 {
			t.Errorf("%d calls for names that are known to be absent", n)
		}
	})
}

// Nor is a value that is being refreshed.
func TestUndeclared_RefreshedAreNotEvicted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, nil, secrets.WithTTL(time.Hour))
		slow := secrets.Secret("slow")
		resolve(t, env, slow)
		time.Sleep(time.Hour)
		p.Set(900*time.Millisecond, nil)
		first := make(chan string)
		go func() { first <- resolve(t, env, slow) }()
		synctest.Wait()
		p.Set(0, nil)
		for i := range 1010 {
			resolve(t, env, secrets.Secret(fmt.Sprintf("s%d", i)))
		}
		if x, y := resolve(t, env, slow), <-first; x != "2" || y != "2" {
			t.Errorf("two readers were answered by calls %s and %s, want 2", x, y)
		}
	})
}

// Nor do callers of several who leave while they are fetched.
func TestUndeclared_CancelledFetchLeavesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Hang()
		cache, err := secrets.NewCache(p, secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan []secrets.Result)
		go func() { done <- cache.Fetch(ctx, []secrets.Ref{secrets.Secret("x"), secrets.Secret("y")}) }()
		synctest.Wait()
		cancel()
		<-done
		synctest.Wait()
		if n := secrets.SourcesOf(cache); n != 0 {
			t.Errorf("%d sources are kept, want none", n)
		}
	})
}

// What is due and was not declared leaves with others of its scheme, Region and role alone.
func TestUndeclared_LeavesWithItsGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, nil, secrets.WithTTL(ttl))
		refs := []secrets.Ref{secrets.Secret("x"), secrets.Secret("y"), secrets.SSMParameter("/z")}
		for _, ref := range refs {
			resolve(t, env, ref)
		}
		time.Sleep(ttl)
		p.Reset()
		resolve(t, env, refs[0])
		if got := calls(p); got != "x y" {
			t.Errorf("calls for %s, want x y", got)
		}
	})
}

// Who comes for what others have left joins the call while it runs for somebody else.
func TestUndeclared_JoinsWhatOthersLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: 500 * time.Millisecond}
		cache, err := secrets.NewCache(p, secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		x, y := secrets.Secret("x"), secrets.Secret("y")
		ctx, cancel := context.WithCancel(t.Context())
		go cache.Fetch(ctx, []secrets.Ref{x, y})
		synctest.Wait()
		go cache.Fetch(t.Context(), []secrets.Ref{y})
		synctest.Wait()
		cancel()
		time.Sleep(100 * time.Millisecond)
		if r := cache.Fetch(t.Context(), []secrets.Ref{x})[0]; !r.Value.EqualString("x-1") || p.Count() != 1 {
			t.Errorf("%v after %d calls, want 1", r.Err, p.Count())
		}
	})
}

// What belongs to a reference or a failure counts against the bytes that are kept, as the values do.
func TestUndeclared_TextsCount(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 8000)
	for name, ref := range map[string]func(i int) secrets.Ref{
		"error": func(i int) secrets.Ref { return secrets.Secret(fmt.Sprint("absent", i)) },
		"encryption context": func(i int) secrets.Ref {
			ref := secrets.Ciphertext(fmt.Append(nil, strings.Repeat("c", 100), i))
			return ref.With("context.Tenant", fmt.Sprint(long, i))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				p := secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
					if calls++; ref.Scheme() == secrets.KMS {
						return secrets.NewValue("v", ""), nil
					}
					return secrets.Value{}, fmt.Errorf("%w: %s %s", secrets.ErrNotFound, ref.ID(), long)
				})
				env, err := secrets.New(secrets.WithEnviron(nil), secrets.WithLogger(quiet()), secrets.WithProvider(p))
				if err != nil {
					t.Fatal(err)
				}
				for i := range 900 {
					env.Resolve(t.Context(), ref(i))
				}
				for _, tc := range []struct{ i, calls int }{{899, 900}, {500, 900}, {200, 901}, {0, 902}} {
					env.Resolve(t.Context(), ref(tc.i))
					if calls != tc.calls {
						t.Errorf("%d calls after number %d was asked for again, want %d", calls, tc.i, tc.calls)
					}
				}
			})
		})
	}
}

// A clock that panics leaves nothing behind of a name that was never asked for.
func TestResolve_ClockPanics(t *testing.T) {
	t.Parallel()
	broken := false
	base := time.Now()
	p := &script{}
	env := p.One(t, secrets.WithClock(func() (time.Time, time.Duration) {
		if broken {
			panic("the clock is broken")
		}
		now := time.Now()
		return now, now.Sub(base)
	}))
	before := secrets.Sources(env)
	broken = true
	for i := range 10 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic: this test proves nothing")
				}
			}()
			env.Resolve(t.Context(), secrets.Secret(fmt.Sprint("new", i)))
		}()
	}
	if n := secrets.Sources(env); n != before || p.Count() != 0 {
		t.Errorf("%d sources are known after %d calls, want %d", n, p.Count(), before)
	}
}
