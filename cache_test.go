package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		p.set(0, func(_ context.Context, call int, _ string) (string, error) { return db(call, true), nil })
		env := p.env(t, map[string]string{"USER": "sm://db#user", "PASSWORD": "sm://db#password", "ALL": "sm://db"}, secrets.WithTTL(ttl))
		for n := 1; n <= 3; n++ {
			for name, want := range map[string]string{"USER": fmt.Sprint("u", n), "PASSWORD": fmt.Sprint("p", n), "ALL": db(n, true)} {
				if v := mustGet(t, env, name); v.Reveal() != want || v.Version() != fmt.Sprint(n) {
					t.Errorf("%s = %s, version %s; want %s", name, v.Reveal(), v.Version(), want)
				}
			}
			if p.count() != n {
				t.Errorf("%d calls for version %d", p.count(), n)
			}
			time.Sleep(ttl)
		}
	})
}

// A new version that lacks a declared field is a lasting failure of the whole secret: nobody gets the new user with the old password.
func TestCache_FieldDisappears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		journal, logger := newJournal()
		env := p.env(t, map[string]string{"USER": "sm://db#user", "PASSWORD": "sm://db#password"}, secrets.WithTTL(ttl), logger)
		version := func(password bool) {
			p.set(0, func(_ context.Context, call int, _ string) (string, error) { return db(call, password), nil })
		}
		version(true)
		mustGet(t, env, "USER")
		time.Sleep(ttl)
		version(false)
		began := time.Now()
		for time.Since(began) < 5*time.Minute {
			for name, want := range map[string]string{"USER": "u1", "PASSWORD": "p1"} {
				if v := mustGet(t, env, name); v.Reveal() != want || !v.Stale() {
					t.Fatalf("after %v: %s = %s, stale %v; want %s, stale", time.Since(began), name, v.Reveal(), v.Stale(), want)
				}
			}
			time.Sleep(10 * time.Second)
		}
		if n := journal.count("secrets.denied"); n != 1 {
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
		p.set(0, func(context.Context, int, string) (string, error) { return `{"user":"u"}`, nil })
		env := p.env(t, map[string]string{"USER": "sm://db#user", "PASSWORD": "sm://db#password"})
		if err := env.Warm(t.Context()); !errors.Is(err, secrets.ErrField) || secrets.Retryable(err) {
			t.Errorf("Warm: %v", err)
		}
		mustGet(t, env, "USER")
		for range 100 {
			env.Get(t.Context(), "PASSWORD")
		}
		if n := p.count(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
}

// The lock is held by a goroutine whose clock does not answer: cached reads go on.
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
	env := p.env(t, map[string]string{"A": "sm://a"}, secrets.WithClock(clock))
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
	p := &script{answer: func(context.Context, int, string) (string, error) { return `{"x":"y"}`, nil }}
	env := p.env(t, map[string]string{"WHOLE": "sm://a", "FIELD": "sm://a#x", "KMS": "kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "PLAIN": "p"}, secrets.WithVars(secrets.Literal, "PLAIN"))
	ctx := context.Background()
	for _, name := range []string{"WHOLE", "FIELD", "KMS", "PLAIN"} {
		mustGet(t, env, name)
		if n := testing.AllocsPerRun(100, func() { env.Get(ctx, name) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A Snapshot refreshes what is due, has an answer for every variable, whatever became of the others, and holds still: it asks neither clock nor provider.
func TestSnapshot_RefreshesAndHoldsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		base := time.Now()
		var looks atomic.Int64
		env := p.env(t, map[string]string{"A": "sm://a", "DENIED": "sm://denied", "GONE": "sm://gone?optional", "FIELD": "sm://a#x", "OLD": "ssm:///old", "PLAIN": "p", "OTHER": "o"}, secrets.WithTTL(ttl),
			secrets.WithVars(secrets.Literal, "PLAIN"), secrets.WithClock(func() (time.Time, time.Duration) {
				looks.Add(1)
				return time.Now(), time.Since(base)
			}))
		mustGet(t, env, "OLD")
		p.set(0, func(_ context.Context, call int, id string) (string, error) {
			switch id {
			case "denied":
				return "", errDenied
			case "gone":
				return "", secrets.ErrNotFound
			case "/old":
				return "", errThrottled
			}
			return fmt.Sprintf("%s-%d", id, call), nil
		})
		time.Sleep(ttl)
		s := env.Snapshot(t.Context())
		before, asked := p.count(), looks.Load()
		for name, want := range map[string]error{"A": nil, "OLD": nil, "PLAIN": nil, "DENIED": secrets.ErrAccessDenied, "GONE": secrets.ErrNotFound, "FIELD": secrets.ErrField,
			"OTHER": secrets.ErrNotReference, "UNSET": secrets.ErrNotReference} {
			v, err := s.Get(name)
			if !errors.Is(err, want) || v.IsZero() != (want != nil) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
			if v.Stale() != (name == "OLD") {
				t.Errorf("%s: stale %v", name, v.Stale())
			}
		}
		if p.count() != before || looks.Load() != asked {
			t.Errorf("reading it made %d calls and asked the clock %d times", p.count()-before, looks.Load()-asked)
		}
		first, _ := s.Get("A")
		if err := env.Refresh(t.Context(), "A"); err != nil {
			t.Fatal(err)
		}
		if again, _ := s.Get("A"); !again.Equal(first) || mustGet(t, env, "A").Equal(first) {
			t.Error("a Snapshot follows the rotation, or the Env does not")
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if v, err := env.Snapshot(over).Get("A"); err != nil || v.Equal(first) {
			t.Errorf("with a context that is over: %v", err)
		}
		if _, err := (secrets.Snapshot{}).Get("A"); !errors.Is(err, secrets.ErrNotReference) {
			t.Errorf("the zero Snapshot: %v", err)
		}
	})
}

// What came while a Snapshot waited for another source is judged at its end, too: what has been in hand
// for longer than its bounds allow is asked for again, and if there is no time left for that it is stale.
func TestSnapshot_InHandTooLong(t *testing.T) {
	t.Parallel()
	for _, slow := range []bool{false, true} {
		t.Run(fmt.Sprint("no time left ", slow), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
					if ref.ID() == "hangs" {
						<-ctx.Done()
						return secrets.Value{}, ctx.Err()
					}
					n := asked.Add(1)
					if slow && n > 1 {
						<-ctx.Done()
					}
					return secrets.NewValue(fmt.Sprint("a-", n), ""), ctx.Err()
				})
				vars := map[string]string{"A": "sm://a?ttl=2s&stale=2s", "B": "sm://hangs"}
				env, err := secrets.New(secrets.WithEnviron(vars), secrets.WithProvider(p), secrets.WithLogger(quiet()))
				if err != nil {
					t.Fatal(err)
				}
				v, err := env.Snapshot(t.Context()).Get("A")
				if err != nil || slow != v.Stale() || slow != (v.Reveal() == "a-1") {
					t.Errorf("%v, stale %t", err, v.Stale())
				}
			})
		})
	}
}

func TestStats_Counts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.env(t, map[string]string{"A": "sm://a", "B": "sm://b#x", "C": "ssm:///c"}, secrets.WithTTL(ttl))
		env.Warm(t.Context())
		check := func(when string, rounds, values, stale uint64, failures string, errs ...string) {
			t.Helper()
			s := env.Stats()
			if got := fmt.Sprint(s.Failures); s.Fetches != rounds || s.Values != values || s.Stale != stale || got != failures {
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
		p.set(0, func(_ context.Context, _ int, id string) (string, error) {
			if id == "a" {
				return "", errDenied
			}
			return "", errThrottled
		})
		env.Refresh(t.Context(), "A")
		check("after a denied refresh", 3, 3, 0, "map[access denied:1]", "A")
		p.fail(nil)
		env.Refresh(t.Context(), "A")
		check("after one that worked", 4, 4, 0, "map[access denied:1]")
		p.fail(errThrottled)
		time.Sleep(ttl)
		for range 3 {
			mustGet(t, env, "C")
		}
		if s := env.Stats(); s.Stale != 3 || s.Failures["throttled"] != s.Fetches-4 || failureOf(env, "C") == nil {
			t.Errorf("after three stale reads: %+v", s)
		}
	})
}

// What is to be logged is written before the caller has its answer: the sandbox may be frozen right after, and nothing runs in the background.
func TestGet_LogsBeforeItReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		journal, _ := newJournal()
		env := p.one(t, secrets.WithLogger(loggerThat(journal, func() { time.Sleep(time.Millisecond) })), secrets.WithTTL(ttl))
		expect(t, env, "a-1")
		if err := env.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := journal.count("secrets.version"); n != 1 {
			t.Errorf("%d lines about the version when Refresh returned, want 1", n)
		}
		p.fail(errDenied)
		if err := env.Refresh(t.Context()); err == nil {
			t.Fatal("no error")
		}
		if n := journal.count("secrets.denied"); n != 1 {
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
		env = p.one(t, logger, secrets.WithTTL(ttl))
		expect(t, env, "a-1")
		p.fail(errDenied)
		time.Sleep(ttl)
		expect(t, env, "a-1*")
		time.Sleep(time.Hour)
		env.Get(t.Context(), "A")
		if journal.count("secrets.denied") == 0 || journal.count("secrets.dropped") == 0 {
			t.Errorf("logged %v", journal.events())
		}
	})
}
