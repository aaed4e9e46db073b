package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
)

// Promises 10 and 12 of the design: fields of one secret change together, and a cached read takes no lock.

// db is a secret in its nth version, with or without its password.
func db(n int, password bool) string {
	if password {
		return fmt.Sprintf(`{"user":"u%d","password":"p%d"}`, n, n)
	}
	return fmt.Sprintf(`{"user":"u%d"}`, n)
}

func TestCache_FieldsChangeTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(_ context.Context, call int, _ string) (string, error) { return db(call, true), nil })
		env := p.Env(t, map[string]string{"USER": "sm://db#user", "PASSWORD": "sm://db#password", "ALL": "sm://db"},
			secrets.WithTTL(ttl))
		for n := 1; n <= 3; n++ {
			for name, want := range map[string]string{"USER": fmt.Sprint("u", n), "PASSWORD": fmt.Sprint("p", n),
				"ALL": db(n, true)} {
				if v := mustGet(t, env, name); v.Reveal() != want || v.Version() != fmt.Sprint(n) {
					t.Errorf("%s = %s, version %s; want %s", name, v.Reveal(), v.Version(), want)
				}
			}
			if p.Count() != n {
				t.Errorf("%d calls for version %d", p.Count(), n)
			}
			time.Sleep(ttl)
		}
	})
}

// A new version that lacks a declared field is a permanent failure of the whole secret: nobody gets the new user with
// the old password. (Promise 10.)
func TestCache_FieldDisappears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		journal, logger := newJournal()
		env := p.Env(t, map[string]string{"USER": "sm://db#user", "PASSWORD": "sm://db#password"},
			secrets.WithTTL(ttl), logger)
		version := func(password bool) {
			p.Set(0, func(_ context.Context, call int, _ string) (string, error) { return db(call, password), nil })
		}
		version(true)
		mustGet(t, env, "USER")
		time.Sleep(ttl)
		version(false)
		began := time.Now()
		for time.Since(began) < 5*time.Minute {
			for name, want := range map[string]string{"USER": "u1", "PASSWORD": "p1"} {
				if v := mustGet(t, env, name); v.Reveal() != want || !v.Stale() {
					t.Fatalf("after %v: %s = %s, stale %v; want %s, stale", time.Since(began), name, v.Reveal(),
						v.Stale(), want)
				}
			}
			time.Sleep(10 * time.Second)
		}
		if n := journal.Count("secrets.denied"); n != 1 {
			t.Errorf("logged %d times, want 1", n)
		}
		if err := env.Refresh(t.Context()); !errors.Is(err, secrets.ErrField) {
			t.Errorf("Refresh: %v", err)
		}
		// The grace is over: what the new version has is there, what it lacks is an error.
		time.Sleep(30 * time.Second)
		if v, err := env.Get(t.Context(), "USER"); err != nil || v.Stale() || v.Reveal() == "u1" {
			t.Errorf("after the grace: %v", err)
		}
		if _, err := env.Get(t.Context(), "PASSWORD"); !errors.Is(err, secrets.ErrField) {
			t.Errorf("after the grace: %v", err)
		}
		// It is looked for again soon, not after a whole TTL.
		version(true)
		time.Sleep(30 * time.Second)
		if v := mustGet(t, env, "PASSWORD"); !strings.HasPrefix(v.Reveal(), "p") || v.Stale() {
			t.Error("the field is back, and was not found")
		}
	})
}

func TestCache_FieldNeverExisted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(context.Context, int, string) (string, error) { return `{"user":"u"}`, nil })
		env := p.Env(t, map[string]string{"USER": "sm://db#user", "PASSWORD": "sm://db#password"})
		if err := env.Warm(t.Context()); !errors.Is(err, secrets.ErrField) || secrets.Retryable(err) {
			t.Errorf("Warm: %v", err)
		}
		mustGet(t, env, "USER")
		for range 100 {
			env.Get(t.Context(), "PASSWORD")
		}
		if n := p.Count(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
}

// The lock is held by a goroutine whose clock does not answer: cached reads go on. (Promise 12.)
func TestGet_CachedTakesNoLock(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	stuck, release := make(chan struct{}), make(chan struct{})
	base := time.Now()
	clock := func() (time.Time, time.Duration) {
		if calls.Add(-1) == 0 {
			close(stuck)
			<-release
		}
		return time.Now(), time.Since(base)
	}
	p := &script{}
	env := p.Env(t, map[string]string{"A": "sm://a"}, secrets.WithClock(clock))
	mustGet(t, env, "A")
	snapshot := env.Snapshot(t.Context())
	calls.Store(1) // a cold read that asks the clock with the lock
	cold := make(chan error)
	go func() { _, err := env.Resolve(t.Context(), secrets.Secret("c")); cold <- err }()
	<-stuck
	done := make(chan error)
	go func() {
		_, err := env.Get(t.Context(), "A")
		_, of := snapshot.Get("A")
		done <- errors.Join(err, of, env.Do(t.Context(), "A", func(secrets.Value) error { return nil }))
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("a cached read waits for the lock")
	}
	close(release)
	if err := <-cold; err != nil {
		t.Error(err)
	}
}

func TestGet_CachedAllocatesNothing(t *testing.T) {
	p := &script{Answer: func(context.Context, int, string) (string, error) { return `{"x":"y"}`, nil }}
	env := p.Env(t, map[string]string{"WHOLE": "sm://a", "FIELD": "sm://a#x",
		"KMS": "kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "PLAIN": "p"},
		secrets.WithVars(secrets.Literal, "PLAIN"))
	ctx := context.Background()
	for _, name := range []string{"WHOLE", "FIELD", "KMS", "PLAIN"} {
		mustGet(t, env, name)
		if n := testing.AllocsPerRun(100, func() { env.Get(ctx, name) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// What is to be logged is written before the caller has its answer: the sandbox may be frozen right after, and nothing
// runs in the background.
func TestGet_LogsBeforeItReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		journal, _ := newJournal()
		env := p.One(t, secrets.WithLogger(loggerThat(journal, func() { time.Sleep(time.Millisecond) })),
			secrets.WithTTL(ttl))
		expect(t, env, "a-1")
		if err := env.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := journal.Count("secrets.version"); n != 1 {
			t.Errorf("%d lines about the version when Refresh returned, want 1", n)
		}
		p.Fail(errDenied)
		if err := env.Refresh(t.Context()); err == nil {
			t.Fatal("no error")
		}
		if n := journal.Count("secrets.denied"); n != 1 {
			t.Errorf("%d lines about the denial when Refresh returned, want 1", n)
		}
	})
}

// A logger may read from the Env whose events it is given.
func TestGet_LoggerMayRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		journal, _ := newJournal()
		var env *secrets.Env
		logger := secrets.WithLogger(loggerThat(journal, func() { env.Refs(); env.Stats(); env.Get(t.Context(), "A") }))
		env = p.One(t, logger, secrets.WithTTL(ttl))
		expect(t, env, "a-1")
		p.Fail(errDenied)
		time.Sleep(ttl)
		expect(t, env, "a-1*")
		time.Sleep(time.Hour)
		env.Get(t.Context(), "A")
		if journal.Count("secrets.denied") == 0 || journal.Count("secrets.dropped") == 0 {
			t.Errorf("logged %v", journal.Events())
		}
	})
}

func TestCache_ShortestBoundsWin(t *testing.T) {
	t.Parallel()
	ref := func(text string) secrets.Ref {
		r, err := secrets.ParseRef(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	t.Run("TTL of two variables", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := &script{}
			env := p.Env(t, map[string]string{"A": "sm://a?ttl=1h", "B": "sm://a?ttl=1m", "C": "sm://a?ttl=1h"},
				secrets.WithTTL(24*time.Hour))
			expect(t, env, "a-1")
			time.Sleep(time.Minute)
			expect(t, env, "a-2")
		})
	})
	t.Run("stale bound of two variables", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := &script{}
			env := p.Env(t, map[string]string{"A": "sm://a?stale=1h", "B": "sm://a?stale=10m", "C": "sm://a?stale=1h"})
			expect(t, env, "a-1")
			p.Fail(secrets.ErrThrottled)
			time.Sleep(10*time.Minute - 2*time.Second)
			expect(t, env, "a-1*")
			time.Sleep(2 * time.Second)
			if v, err := env.Get(t.Context(), "A"); err == nil {
				t.Errorf("served %v beyond the stale bound", v.FetchedAt())
			}
		})
	})
	t.Run("TTL of a later reader", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := &script{}
			env := p.One(t)
			if got := resolve(t, env, ref("sm://x?ttl=1h")); got != "1" {
				t.Fatal(got)
			}
			time.Sleep(time.Minute)
			if got := resolve(t, env, ref("sm://x?ttl=1m")); got != "2" {
				t.Errorf("a value of 1 minute was served to a reader with a TTL of 1 minute (call %s)", got)
			}
		})
	})
}

// What one caller asks for in one call, and what a variable was promised, bounds every value of their source.
func TestFetch_ShortestBoundsWin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		vars map[string]string
		asks []string // in one call, after a minute
		want int      // calls
	}{
		{"a shorter TTL beside a longer one", nil, []string{"sm://a?ttl=1h", "sm://a?ttl=1m"}, 2},
		{"a longer TTL beside a shorter one", nil, []string{"sm://a?ttl=1m", "sm://a?ttl=1h"}, 2},
		{"the TTL of a variable", map[string]string{"A": "sm://a?ttl=1m"}, []string{"sm://a?ttl=1h"}, 2},
		{"long ones", nil, []string{"sm://a?ttl=1h", "sm://a?ttl=1h"}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				cache, err := secrets.NewCache(p, secrets.WithTTL(24*time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				resolveAll := func() {
					for _, r := range cache.Fetch(t.Context(), parseRefs(t, test.asks...)) {
						if r.Err != nil {
							t.Fatal(r.Err)
						}
					}
				}
				if test.vars != nil {
					env := p.Env(t, test.vars, secrets.WithTTL(24*time.Hour))
					resolveAll = func() { resolve(t, env, parseRefs(t, test.asks...)[0]) }
				}
				// The second fetch lives at least nine tenths of the TTL.
				resolveAll()
				time.Sleep(24 * time.Hour)
				resolveAll()
				before := p.Count()
				time.Sleep(time.Minute)
				resolveAll()
				if n := p.Count() - before + 1; n != test.want {
					t.Errorf("%d calls, want %d", n, test.want)
				}
			})
		})
	}
}

// A refresh takes along what is due by the bounds of its own last caller.
func TestFetch_NeighboursByTheirOwnTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		cache, err := secrets.NewCache(p, secrets.WithTTL(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		fetch := func(text string) { cache.Fetch(t.Context(), parseRefs(t, text)) }
		fetch("sm://a?ttl=1m")
		fetch("sm://b?ttl=1m")
		fetch("sm://c?ttl=24h")
		time.Sleep(time.Minute)
		fetch("sm://a?ttl=1m")
		if got := p.Asked(4); got != "a b" {
			t.Errorf("the refresh called for %s, want a b", got)
		}
	})
}

// A Cache without options has the defaults: a TTL of 5 minutes, and old values for a day.
func TestNewCache_Defaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		cache, err := secrets.NewCache(p)
		if err != nil {
			t.Fatal(err)
		}
		fetch := func() string {
			r := cache.Fetch(t.Context(), parseRefs(t, "sm://a"))[0]
			if r.Err != nil {
				return r.Err.Error()
			}
			return r.Value.Reveal() + map[bool]string{true: "*"}[r.Value.Stale()]
		}
		for _, step := range []struct {
			after time.Duration
			err   error
			want  string
		}{{0, nil, "a-1"}, {5 * time.Minute, nil, "a-2"}, {4 * time.Minute, errThrottled, "a-2"},
			{time.Minute, errThrottled, "a-2*"}, {23 * time.Hour, errThrottled, "a-2*"}} {
			time.Sleep(step.after)
			p.Fail(step.err)
			if got := fetch(); got != step.want {
				t.Errorf("after %v more: %s, want %s", step.after, got, step.want)
			}
		}
	})
}

// parseRefs returns the references of texts.
func parseRefs(t testing.TB, texts ...string) (refs []secrets.Ref) {
	t.Helper()
	for _, text := range texts {
		ref, err := secrets.ParseRef(text)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	return refs
}

// A value that comes from another Cache keeps its ARN, and is as old as it was there.
func TestCache_BehindCacheKeepsAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:a-AbCdEf"
		inner, err := secrets.NewCache(fetcher(func(refs []secrets.Ref) []secrets.Result {
			return []secrets.Result{{Value: secrets.NewValue("v", ""), ARN: arn}}
		}), secrets.WithTTL(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		inner.Fetch(t.Context(), parseRefs(t, "sm://a"))
		time.Sleep(time.Minute)
		wrapped := fetcher(func(refs []secrets.Ref) []secrets.Result { return inner.Fetch(t.Context(), refs) })
		for _, p := range []secrets.Provider{inner, wrapped} {
			env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}), secrets.WithProvider(p))
			if err != nil {
				t.Fatal(err)
			}
			mustGet(t, env, "A")
			if r := env.Refs()[0]; r.ARN != arn || r.Age != time.Minute {
				t.Errorf("ARN %q, age %v", r.ARN, r.Age)
			}
		}
		if r := inner.Fetch(t.Context(), []secrets.Ref{{}})[0]; r.Err == nil || r.ARN != "" {
			t.Errorf("of an invalid reference: %+v", r)
		}
	})
}

// A caller that has its own value, and waits for what it took along, does not return an older value than
// others have seen meanwhile.
func TestGet_ValuesDoNotGoBackwards(t *testing.T) {
	t.Parallel()
	// Under the short one, too, it is not stale: it came while its caller waited.
	for _, ttl := range []time.Duration{ttl, 10 * time.Millisecond} {
		t.Run(ttl.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var slow atomic.Bool
				var calls atomic.Int32
				p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
					if ref.ID() == "b" {
						if slow.Load() {
							pause(ctx, time.Second)
						}
						return secrets.NewValue("b", ""), ctx.Err()
					}
					n := calls.Add(1)
					return secrets.NewValue(fmt.Sprint("a-", n), ""), pause(ctx, 5*time.Millisecond)
				})
				env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}),
					secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithTTL(ttl))
				if err != nil {
					t.Fatal(err)
				}
				mustGet(t, env, "A")
				mustGet(t, env, "B")
				slow.Store(true)
				time.Sleep(ttl)
				reader := read(t.Context(), env, "A")
				time.Sleep(20 * time.Millisecond)
				if err := env.Refresh(t.Context(), "A"); err != nil {
					t.Fatal(err)
				}
				want := got{Text: fmt.Sprint("a-", calls.Load()), Took: 50 * time.Millisecond}
				if g := <-reader; g != want {
					t.Errorf("%+v, want %+v", g, want)
				}
			})
		})
	}
}

// A Cache is a Provider: behind another one, what it serves stale is told to be stale, and as old as it is.
func TestCache_BehindCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		inner, err := secrets.NewCache(p, secrets.WithTTL(ttl), secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}), secrets.WithProvider(inner),
			secrets.WithTTL(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		expect(t, env, "a-1")
		time.Sleep(ttl)
		p.Fail(errDenied)
		expect(t, env, "a-1*")
		if v := mustGet(t, env, "A"); !v.Stale() || !v.FetchedAt().Equal(began) {
			t.Errorf("stale %v, fetched %v after it was", v.Stale(), v.FetchedAt().Sub(began))
		}
		if n := env.Stats().Values; n != 1 {
			t.Errorf("%d values are counted, want 1: the other Cache could not refresh it", n)
		}
	})
}

// Behind another Cache, too, a call that hangs costs its own reference only (promise 6).
func TestCache_BehindCacheHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hanging := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			if ref.ID() == "hangs" {
				<-ctx.Done()
				return secrets.Value{}, ctx.Err()
			}
			return secrets.NewValue(ref.ID(), ""), pause(ctx, 5*time.Millisecond)
		})
		inner, err := secrets.NewCache(hanging, secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		env, err := secrets.New(secrets.WithProvider(inner), secrets.WithLogger(quiet()),
			secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b", "LIT": "literal://l",
				"BAD": "sm://hangs"}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		go env.Warm(ctx)
		time.Sleep(10 * time.Millisecond)
		took(t, "reading what is good in the middle of a warm", 0, 0, func() {
			for name, want := range map[string]string{"A": "a", "B": "b", "LIT": "l"} {
				if got := mustGet(t, env, name).Reveal(); got != want {
					t.Errorf("%s = %s", name, got)
				}
			}
		})
		results := inner.Fetch(t.Context(), []secrets.Ref{secrets.Secret("a"), {}, secrets.Secret("a")})
		if results[0].Err != nil || results[1].Err == nil || results[2].Value.Reveal() != "a" {
			t.Errorf("Fetch: %v", results)
		}
	})
}

// A Cache behind a provider that streams answers each of its references, those included that need no call.
func TestCache_StreamsWhatNeedsNoCall(t *testing.T) {
	t.Parallel()
	cache, err := secrets.NewCache(&script{})
	if err != nil {
		t.Fatal(err)
	}
	refs := []secrets.Ref{{}, secrets.Secret("a")}
	results := make([]secrets.Result, len(refs))
	secrets.Stream(t.Context(), cache, refs, func(i int, r secrets.Result) { results[i] = r })
	if !errors.Is(results[0].Err, secrets.ErrInvalidReference) || !results[1].Value.EqualString("a-1") {
		t.Errorf("%+v", results)
	}
}

// A value may have 4 MiB, and not a byte more.
func TestCache_LargestValue(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]error{4 << 20: nil, 4<<20 + 1: secrets.ErrInvalidReference} {
		p := &script{}
		p.Set(0, func(context.Context, int, string) (string, error) { return strings.Repeat("x", size), nil })
		if _, err := p.One(t).Get(t.Context(), "A"); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", size, err, want)
		}
	}
}

// Both may change how an entry is printed: for the race detector.
func TestResolve_BesideRefresh(t *testing.T) {
	t.Parallel()
	env, _ := secrets.New(secrets.WithEnviron(map[string]string{"A": "bare/name"}), secrets.WithLogger(quiet()),
		secrets.WithVars(secrets.SecretsManager, "A"),
		secrets.WithProvider(secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
			return secrets.Value{}, secrets.ErrNotFound
		})))
	ref := env.Refs()[0].Ref
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				env.Resolve(t.Context(), ref)
				env.Refresh(t.Context())
			}
		})
	}
	wg.Wait()
}
