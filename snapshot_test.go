package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/kit"
	"github.com/lambdasecrets/secrets/secretstest"
)

// Reads of user and password under 10,000 rotations: a Snapshot never mixes a pair; two Gets, as control, do.
// (Promise 10.)
func TestSnapshot_NeverMixes(t *testing.T) {
	v := &vault{current: "0", accepted: "0"}
	env := v.env(t)
	done := make(chan struct{})
	var wg sync.WaitGroup
	var torn, mixed, reads atomic.Int64
	pair := func(user, password secrets.Value) bool { return user.Reveal() == "u-"+password.Reveal() }
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s := env.Snapshot(t.Context())
				user, _ := s.Get("DB_USER")
				password, _ := s.Get("DB_PASSWORD")
				if reads.Add(1); !pair(user, password) {
					torn.Add(1)
				}
				user, _ = env.Get(t.Context(), "DB_USER")
				time.Sleep(time.Microsecond)
				password, _ = env.Get(t.Context(), "DB_PASSWORD")
				if !pair(user, password) {
					mixed.Add(1)
				}
			}
		})
	}
	for i := range 10_000 {
		v.set(fmt.Sprint(i), "", "")
		if err := env.Refresh(t.Context(), "DB_USER"); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
	t.Logf("%d reads: %d pairs mixed by Snapshot, %d by two Gets (the control)", reads.Load(),
		torn.Load(), mixed.Load())
	if torn.Load() > 0 {
		t.Errorf("Snapshot mixed %d pairs", torn.Load())
	}
	if mixed.Load() == 0 {
		t.Error("the control did not mix: this test proves nothing")
	}
}

// A Snapshot refreshes what is due, has an answer for every variable, whatever became of the others, and holds still:
// it asks neither clock nor provider.
func TestSnapshot_RefreshesAndHoldsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		base := time.Now()
		var looks atomic.Int64
		env := p.Env(t, map[string]string{"A": "sm://a", "DENIED": "sm://denied", "GONE": "sm://gone?optional",
			"FIELD": "sm://a#x", "OLD": "ssm:///old", "PLAIN": "p", "OTHER": "o"}, secrets.WithTTL(ttl),
			secrets.WithVars(secrets.Literal, "PLAIN"), secrets.WithClock(func() (time.Time, time.Duration) {
				looks.Add(1)
				return time.Now(), time.Since(base)
			}))
		mustGet(t, env, "OLD")
		p.Set(0, func(_ context.Context, call int, id string) (string, error) {
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
		before, asked := p.Count(), looks.Load()
		for name, want := range map[string]error{"A": nil, "OLD": nil, "PLAIN": nil, "DENIED": secrets.ErrAccessDenied,
			"GONE": secrets.ErrNotFound, "FIELD": secrets.ErrField,
			"OTHER": secrets.ErrNotReference, "UNSET": secrets.ErrNotReference} {
			v, err := s.Get(name)
			if !errors.Is(err, want) || v.IsZero() != (want != nil) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
			if v.Stale() != (name == "OLD") {
				t.Errorf("%s: stale %v", name, v.Stale())
			}
		}
		if p.Count() != before || looks.Load() != asked {
			t.Errorf("reading it made %d calls and asked the clock %d times", p.Count()-before, looks.Load()-asked)
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

// A freeze while a Snapshot asks again makes what it has got by then as old as anything else.
func TestSnapshot_FrozenWhileItAsksAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := secretstest.NewClock()
		var askedA, askedB atomic.Int32
		p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			switch ref.ID() {
			case "slow":
				pause(ctx, 3*time.Second)
			case "a":
				if askedA.Add(1) > 2 {
					return secrets.Value{}, errThrottled
				}
			case "b":
				if askedB.Add(1) == 2 {
					pause(ctx, time.Second)
					kit.Shift(clock, time.Hour, 0)
				}
			}
			return secrets.NewValue(ref.ID(), ""), ctx.Err()
		})
		vars := map[string]string{"A": "sm://a?ttl=2s&stale=2s", "B": "sm://b?ttl=2s&stale=2s",
			"SLOW": "sm://slow?ttl=3h&stale=3h"}
		env, err := secrets.New(secrets.WithEnviron(vars), secrets.WithProvider(p), secrets.WithLogger(quiet()),
			secrets.WithClock(clock.Now))
		if err != nil {
			t.Fatal(err)
		}
		s := env.Snapshot(t.Context())
		if v, err := s.Get("A"); !errors.Is(err, secrets.ErrUnavailable) {
			t.Errorf("%q of an hour ago, %v", v.Reveal(), err)
		}
		for _, name := range []string{"B", "SLOW"} {
			if _, err := s.Get(name); err != nil {
				t.Error(err)
			}
		}
	})
}

// An error is replaced by the value that others have got meanwhile: what a Snapshot returns is not older than what was
// known when it returned. A Warm reports what it met.
func TestSnapshot_CuredMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			if ref.ID() == "slow" {
				return secrets.NewValue("slow", ""), pause(ctx, time.Second)
			}
			if asked.Add(1) == 1 {
				return secrets.Value{}, errDenied
			}
			return secrets.NewValue("a", ""), nil
		})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "SLOW": "sm://slow"}),
			secrets.WithProvider(p), secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		warm := make(chan error)
		go func() { warm <- env.Warm(t.Context()) }()
		taken := make(chan secrets.Snapshot)
		go func() { taken <- env.Snapshot(t.Context()) }()
		time.Sleep(500 * time.Millisecond)
		if err := env.Refresh(t.Context(), "A"); err != nil {
			t.Fatal(err)
		}
		if v, err := (<-taken).Get("A"); err != nil || v.Reveal() != "a" {
			t.Errorf("a Snapshot that went on after the cure: %v", err)
		}
		if err := <-warm; !errors.Is(err, secrets.ErrAccessDenied) {
			t.Errorf("Warm: %v, want the denial", err)
		}
	})
}

// The same for an old value, which is new and unmarked then.
func TestSnapshot_RefreshedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "SLOW": "ssm:///slow"}, secrets.WithTTL(ttl))
		mustGet(t, env, "A")
		time.Sleep(ttl)
		p.Fail(errThrottled)
		expect(t, env, "a-1*")
		p.Set(time.Second, nil)
		taken := make(chan secrets.Snapshot)
		go func() { taken <- env.Snapshot(t.Context()) }()
		synctest.Wait()
		p.Set(0, func(context.Context, int, string) (string, error) { return "new", nil })
		if err := env.Refresh(t.Context(), "A"); err != nil {
			t.Fatal(err)
		}
		if v, err := (<-taken).Get("A"); err != nil || v.Reveal() != "new" || v.Stale() {
			t.Errorf("%v, stale %t", err, v.Stale())
		}
	})
}

// What was in hand before a Snapshot waited for others is judged at its end: it is marked once it has outlived its TTL,
// and asked for again beyond its stale bound.
func TestSnapshot_InHandBefore(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{"sm://a?ttl=1s": "a-1*", "sm://a?ttl=1s&stale=1s": "a-3",
		"sm://a?ttl=1m": "a-1", "sm://a?ttl=1s&version=11111111-2222-3333-4444-555555555555": "a-1"} {
		t.Run(ref, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.Env(t, map[string]string{"A": ref, "SLOW": "ssm:///slow"})
				mustGet(t, env, "A")
				p.Set(3*time.Second, nil)
				v, err := env.Snapshot(t.Context()).Get("A")
				if got := v.Reveal() + map[bool]string{true: "*"}[v.Stale()]; err != nil || got != want {
					t.Errorf("%s, %v, want %s", got, err, want)
				}
			})
		})
	}
}

// What came while a Snapshot waited is judged by how long it was in hand, to the moment. What cannot change is never
// stale.
func TestSnapshot_CameMeanwhile(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{"sm://a?ttl=1s": "a*", "sm://a?ttl=1001ms": "a",
		"sm://a?ttl=1s&stale=1s": "a again", "sm://a?ttl=1s&stale=1001ms": "a*",
		"sm://a?ttl=1s&version=11111111-2222-3333-4444-555555555555": "a"} {
		t.Run(ref, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				text := "a"
				p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
					if ref.Scheme() == secrets.SSM {
						return secrets.NewValue("slow", ""), pause(ctx, time.Second)
					}
					defer func() { text = "a again" }()
					return secrets.NewValue(text, ""), nil
				})
				env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": ref, "SLOW": "ssm:///slow"}),
					secrets.WithProvider(p), secrets.WithLogger(quiet()))
				if err != nil {
					t.Fatal(err)
				}
				v, err := env.Snapshot(t.Context()).Get("A")
				if got := v.Reveal() + map[bool]string{true: "*"}[v.Stale()]; err != nil || got != want {
					t.Errorf("%s, %v, want %s", got, err, want)
				}
			})
		})
	}
}

// While a Snapshot asks again for what has outgrown its bounds, what came is kept, and marked, and what outgrows its
// own bounds then is an error: it is asked for again once only.
func TestSnapshot_SecondWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked sync.Map
		takes := map[string]time.Duration{"b": 3 * time.Second, "slow": 2 * time.Second}
		p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			if _, again := asked.LoadOrStore(ref.ID(), true); again || ref.ID() == "slow" {
				return secrets.NewValue("new", ""), pause(ctx, takes[ref.ID()])
			}
			return secrets.NewValue("old", ""), nil
		})
		env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithEnviron(
			map[string]string{"A": "sm://a?ttl=1s&stale=1s", "B": "sm://b?ttl=1s&stale=1s",
				"C": "sm://c?ttl=4s&stale=4s", "SLOW": "sm://slow"}))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"A", "B", "C"} {
			mustGet(t, env, name)
		}
		s := env.Snapshot(t.Context())
		for name, want := range map[string]string{"A": "new*", "B": "new", "SLOW": "new"} {
			v, err := s.Get(name)
			if got := v.Reveal() + map[bool]string{true: "*"}[v.Stale()]; err != nil || got != want {
				t.Errorf("%s: %s, %v, want %s", name, got, err, want)
			}
		}
		if v, err := s.Get("C"); !errors.Is(err, secrets.ErrUnavailable) {
			t.Errorf("C: %v, %v, want that it outlived its bounds", v, err)
		}
	})
}

// What has to be asked for once more, because others took long, is waited for no longer than the Snapshot itself.
func TestSnapshot_SecondAskingHasTheRestOfTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a?ttl=1s&stale=1s", "B": "sm://b"})
		mustGet(t, env, "A")
		p.Set(0, func(ctx context.Context, _ int, id string) (string, error) {
			if id == "b" {
				return "b", pause(ctx, 5*time.Second)
			}
			<-ctx.Done()
			return "", ctx.Err()
		})
		began := time.Now()
		s := env.Snapshot(t.Context())
		if took := time.Since(began); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("it took %v, want up to 10 s", took)
		}
		if _, err := s.Get("A"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("A: %v", err)
		}
		if v, err := s.Get("B"); err != nil || v.Reveal() != "b" {
			t.Errorf("B: %v", err)
		}
	})
}
