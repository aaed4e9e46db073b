package secrets_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/kit"
	"github.com/lambdasecrets/secrets/secretstest"
)

// Promises 3 and 4 of the design: no background work, one flight per source.

func TestFlight_OnePerSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: 20 * time.Millisecond}
		env := p.One(t)
		var readers []<-chan got
		for range 64 {
			readers = append(readers, read(t.Context(), env, "A"))
		}
		for _, r := range readers {
			if g := <-r; g.Text != "a-1" || g.Took != 20*time.Millisecond {
				t.Errorf("%+v", g)
			}
		}
		if n := p.Count(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
}

func TestFlight_SlowReferenceDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Answer = func(ctx context.Context, _ int, id string) (string, error) {
			if id == "slow" {
				return id, pause(ctx, 5*time.Second)
			}
			return id, pause(ctx, 20*time.Millisecond)
		}
		env := p.Env(t, map[string]string{"SLOW": "sm://slow", "A": "sm://a", "B": "sm://b", "OTHER": "ssm:///other"})
		slow := read(t.Context(), env, "SLOW")
		took(t, "a cold read beside a slow flight", 20*time.Millisecond, 20*time.Millisecond,
			func() { expect(t, env, "a") })
		took(t, "a cached read beside a slow flight", 0, 0, func() { expect(t, env, "a") })
		took(t, "another scheme", 20*time.Millisecond, 20*time.Millisecond, func() { env.Get(t.Context(), "OTHER") })
		if g := <-slow; g.Text != "slow" || g.Took != 5*time.Second {
			t.Errorf("%+v", g)
		}
	})
}

// What hung in a warm, or was slow, stays behind: it would delay each refresh of a good neighbour.
func TestBatch_SlowNameStaysBehind(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]time.Duration{"hangs": time.Hour, "slow": 1500 * time.Millisecond} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " whole=", whole), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { slowStaysBehind(t, slow, whole) })
			})
		}
	}
}

// slowStaysBehind reads a good name after a warm beside a slow one, of a provider that returns all results together, or
// each by itself.
func slowStaysBehind(t *testing.T, slow time.Duration, whole bool) {
	each := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
		wait := 5 * time.Millisecond
		if ref.ID() == "slow" {
			wait = slow
		}
		return secrets.NewValue(ref.ID(), ""), pause(ctx, wait)
	})
	var p secrets.Provider = each
	if whole {
		p = batch(each.Fetch)
	}
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b", "SLOW": "sm://slow"}),
		secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithTTL(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	env.Warm(ctx)
	delayed := 0
	for range 8 {
		for _, name := range []string{"A", "B"} {
			began := time.Now()
			env.Get(t.Context(), name)
			if time.Since(began) > 5*time.Millisecond {
				delayed++
			}
		}
		env.Get(patient(t), "SLOW")
		time.Sleep(7 * time.Second)
	}
	want := 0
	if whole && slow < 3*time.Second {
		want = 1 // all came when the slow one did: the next try tells which one that is
	}
	if delayed > want {
		t.Errorf("%d reads were delayed, want %d", delayed, want)
	}
}

// Who is slow delays only those who are not half as slow: half a second is never too slow.
func TestBatch_SlowOnesKeepUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first, second time.Duration // what the names take
		want          string        // a read of the first one calls for
	}{
		"both quick":         {0, 0, "a b"},
		"half a second":      {0, 500 * time.Millisecond, "a b"},
		"more":               {0, 501 * time.Millisecond, "a"},
		"both slow":          {time.Second, 2 * time.Second, "a b"},
		"one is much slower": {time.Second, 2001 * time.Millisecond, "a"},
		"the other is quick": {time.Second, 0, "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(ttl))
				p.Set(test.first, nil)
				mustGet(t, env, "A")
				p.Set(test.second, nil)
				mustGet(t, env, "B")
				p.Set(0, nil)
				time.Sleep(ttl)
				mustGet(t, env, "A")
				if got := p.Asked(3); got != test.want {
					t.Errorf("a read of A calls for %s, want %s", got, test.want)
				}
			})
		})
	}
}

// A declared name takes along declared ones alone, one that was built in code the others too. A new name takes along
// nothing: who asks for it pays for no others.
func TestBatch_WhoTakesWhomAlong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"sm://a": "a b", "sm://x": "a b x y", "sm://new": "new"} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(ttl))
				for _, ref := range parseRefs(t, "sm://a", "sm://b", "sm://x", "sm://y") {
					resolve(t, env, ref)
				}
				time.Sleep(ttl)
				resolve(t, env, parseRefs(t, text)[0])
				if got := p.Asked(5); got != want {
					t.Errorf("it calls for %s, want %s", got, want)
				}
			})
		})
	}
}

// A caller of two names takes along those whose callers pause, if one of the two has failed like them.
func TestBatch_OneOfTwoFailed(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"sm://a", "sm://good"}, {"sm://good", "sm://a"}} {
		t.Run(fmt.Sprint(names), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				cache, err := secrets.NewCache(p, secrets.WithTTL(ttl), secrets.WithLogger(quiet()))
				if err != nil {
					t.Fatal(err)
				}
				cache.Fetch(t.Context(), parseRefs(t, "sm://good"))
				time.Sleep(ttl)
				p.Fail(errThrottled)
				short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				cache.Fetch(short, parseRefs(t, "sm://a"))
				go cache.Fetch(t.Context(), parseRefs(t, "sm://pauses"))
				time.Sleep(4 * time.Second)
				for before := p.Count(); p.Count() == before; time.Sleep(time.Millisecond) {
					continue // until a pause of a second begins
				}
				p.Fail(nil)
				before := p.Count()
				for i, r := range cache.Fetch(t.Context(), parseRefs(t, names...)) {
					if r.Err != nil {
						t.Errorf("%s: %v", names[i], r.Err)
					}
				}
				if got := p.Asked(before + 1); got != "a good pauses" {
					t.Errorf("it calls for %s, want a good pauses", got)
				}
			})
		})
	}
}

// A caller who has waited for a second does not wait for what its last try took along.
func TestBatch_NoMoreWaitAfterRetries(t *testing.T) {
	t.Parallel()
	for range 20 { // pauses are drawn, and B has to become due in one of them
		synctest.Test(t, noMoreWait)
	}
}

func noMoreWait(t *testing.T) {
	began := time.Now()
	var left time.Time // when the last call for a left
	p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
		switch {
		case ref.ID() == "b" && time.Since(began) > time.Second:
			return secrets.NewValue("b", ""), pause(ctx, 300*time.Millisecond)
		case ref.ID() == "b":
			return secrets.NewValue("b", ""), nil
		case time.Since(began) < 5*time.Second:
			return secrets.Value{}, errThrottled
		}
		left = time.Now()
		return secrets.NewValue("a", ""), pause(ctx, 200*time.Millisecond)
	})
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}),
		secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithTTL(5400*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	mustGet(t, env, "B")
	if err := env.Refresh(t.Context(), "B"); err != nil { // it lives nine tenths of the TTL at least
		t.Fatal(err)
	}
	mustGet(t, env, "B")
	mustGet(t, env, "A")
	if took := time.Since(left); took != 200*time.Millisecond {
		t.Errorf("A came %v after it was asked for, want 200ms", took)
	}
}

// A partner is a provider of two names, of which B hangs if it is told to. It notes what it was asked for.
type partner struct {
	*secrets.Env
	clock *secretstest.Clock
	hangs atomic.Bool
	mu    sync.Mutex
	asked []string

	allHang atomic.Bool
}

func newPartner(t *testing.T) *partner {
	p := &partner{clock: secretstest.NewClock()}
	var err error
	p.Env, err = secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}),
		secrets.WithTTL(ttl), secrets.WithLogger(quiet()), secrets.WithClock(p.clock.Now),
		secrets.WithProvider(secrets.ProviderFunc(
			func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
				p.mu.Lock()
				p.asked = append(p.asked, ref.ID())
				p.mu.Unlock()
				if p.hangs.Load() && ref.ID() == "b" || p.allHang.Load() {
					<-ctx.Done()
				}
				return secrets.NewValue("v", ""), cmp.Or(ctx.Err(), pause(ctx, time.Millisecond))
			})))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// names returns what was asked for since the last time, sorted.
func (p *partner) names() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	slices.Sort(asked)
	return strings.Join(asked, " ")
}

// What was taken along and does not come in time is left behind, which turns its own readers away from nothing.
func TestBatch_LeftBehindIsTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		mustGet(t, p.Env, "A")
		mustGet(t, p.Env, "B")
		time.Sleep(ttl)
		p.hangs.Store(true)
		took(t, "a read of A", 50*time.Millisecond, 50*time.Millisecond, func() { mustGet(t, p.Env, "A") })
		p.hangs.Store(false)
		if err := failureOf(p.Env, "B"); err != nil || len(p.Stats().Failures) != 0 {
			t.Errorf("%v is remembered of B, and %v counted", err, p.Stats().Failures)
		}
		if g := <-read(t.Context(), p.Env, "B"); g.Stale || g.Took != time.Millisecond {
			t.Errorf("B: %+v, want a new value", g)
		}
	})
}

// It is not taken along again before somebody reads it, be it that a warm did not get it.
func TestBatch_LeftBehindStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		mustGet(t, p.Env, "A")
		p.hangs.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		p.Warm(ctx) // it asks for B alone
		for i, want := range []string{"a b", "a", "a"} {
			p.allHang.Store(i == 0) // an outage, so that nothing else is known of B
			p.names()
			time.Sleep(ttl)
			mustGet(t, p.Env, "A")
			if got := p.names(); got != want {
				t.Errorf("a read of A calls for %s, want %s", got, want)
			}
		}
	})
}

// What a warm was told of again and again is not slow, though the warm ended long after the last time. Nor is anything
// known of what a warm did not even ask for.
func TestBatch_FailedInWarmIsNotSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(ttl))
		mustGet(t, env, "A")
		p.Fail(errThrottled)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := env.Warm(ctx); !errors.Is(err, context.Canceled) || p.Count() != 1 {
			t.Errorf("a warm whose context is over: %v after %d calls", err, p.Count())
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		warm := make(chan error)
		go func() { warm <- env.Warm(ctx) }()
		time.Sleep(5 * time.Second)
		for before := p.Count(); p.Count() == before; time.Sleep(time.Millisecond) {
			continue // until a pause of a second begins
		}
		time.Sleep(900 * time.Millisecond)
		cancel()
		<-warm
		time.Sleep(ttl)
		before := p.Count()
		p.Set(0, func(_ context.Context, call int, id string) (string, error) {
			if call == before+1 {
				return "", errThrottled
			}
			return id, nil
		})
		mustGet(t, env, "A")
		if one, other := p.Asked(before+1), p.Asked(before+2); one != "a" || other != "a b" {
			t.Errorf("a read of A calls for %s, and after a failure for %s, want a, and a b", one, other)
		}
	})
}

// A value that came when its call was given up, because a neighbour hung, is not slow: others take it along.
func TestBatch_HeldUpIsNotSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last string
		p := batch(func(ctx context.Context, refs []secrets.Ref) []secrets.Result {
			results, ids := same(refs, nil), []string{}
			for _, ref := range refs {
				ids = append(ids, ref.ID())
			}
			if i := slices.Index(ids, "hangs"); i >= 0 {
				<-ctx.Done()
				results[i] = secrets.Result{Err: ctx.Err()}
			}
			slices.Sort(ids)
			last = strings.Join(ids, " ")
			return results
		})
		env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithTTL(ttl),
			secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b", "HANGS": "sm://hangs"}))
		if err != nil {
			t.Fatal(err)
		}
		mustGet(t, env, "B")
		env.Warm(t.Context())
		if mustGet(t, env, "A"); last != "a hangs" {
			t.Fatalf("the warm called for %s, want a hangs", last)
		}
		time.Sleep(ttl)
		if mustGet(t, env, "B"); last != "a b" {
			t.Errorf("a read of B calls for %s, want a b", last)
		}
	})
}

// A freeze says nothing of what was waited for: it is taken along again.
func TestBatch_LeftBehindByFreeze(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPartner(t)
		mustGet(t, p.Env, "A")
		mustGet(t, p.Env, "B")
		time.Sleep(ttl)
		p.hangs.Store(true)
		reader := read(t.Context(), p.Env, "A")
		time.Sleep(20 * time.Millisecond)
		kit.Shift(p.clock, time.Hour, 0)
		<-reader
		time.Sleep(time.Minute)
		p.names()
		p.hangs.Store(false)
		kit.Shift(p.clock, time.Hour, 0)
		if mustGet(t, p.Env, "A"); p.names() != "a b" {
			t.Error("a read of A does not call for B")
		}
	})
}

// A caller whose time is nearly up, and who hears the last words of its try, waits for nothing that others begin then.
func TestFlight_LastWordsEndTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(ctx context.Context, call int, _ string) (string, error) {
			<-ctx.Done()
			time.Sleep(20 * time.Millisecond)
			return "", ctx.Err()
		})
		env := p.One(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		reader := read(ctx, env, "A")
		time.Sleep(710 * time.Millisecond) // it was told to stop after 700 ms
		go env.Refresh(ctx)
		if g := <-reader; g.Err == nil || g.Took != 720*time.Millisecond {
			t.Errorf("%+v, want an error after 720ms", g)
		}
		time.Sleep(time.Second) // until the other call has ended, too
	})
}

// A provider's error that panics is garbled, and no reason to give up.
func TestFlight_PanickingErrorIsTransient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(_ context.Context, call int, _ string) (string, error) {
			if call == 1 {
				return "", errorTree{}
			}
			return "v", nil
		})
		if v, err := p.One(t).Get(t.Context(), "A"); err != nil || v.Reveal() != "v" {
			t.Errorf("%v, want the value of the second call", err)
		}
	})
}

// What was taken along is waited for as long as the caller waits for its own, whatever wakes the caller meanwhile, and
// then by its own readers, who join the try.
func TestBatch_TakenAlongIsNotGivenUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ takes, comes time.Duration }{
		"after the caller has logged what it waits for": {1300 * time.Millisecond, 1100 * time.Millisecond},
		"after the caller has its own":                  {1700 * time.Millisecond, 1400 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var slow atomic.Bool
				p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
					if !slow.Load() {
						return secrets.NewValue("old", ""), nil
					}
					takes := map[string]time.Duration{"a": 1500 * time.Millisecond, "b": test.takes}[ref.ID()]
					return secrets.NewValue("new", ""), pause(ctx, takes)
				})
				env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}),
					secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithTTL(ttl))
				if err != nil {
					t.Fatal(err)
				}
				mustGet(t, env, "B")
				time.Sleep(ttl)
				slow.Store(true)
				own := read(t.Context(), env, "A")
				time.Sleep(test.comes)
				if g := <-read(t.Context(), env, "B"); g.Text != "new" || g.Took != test.takes-test.comes {
					t.Errorf("a reader of what was taken along: %+v, want the new value after %v", g,
						test.takes-test.comes)
				}
				if g := <-own; g.Text != "new" || g.Took != 1500*time.Millisecond {
					t.Errorf("who took it along: %+v", g)
				}
			})
		})
	}
}

// Promise 4: a caller that gives up leaves at once, and its error reaches no one else.
func TestGet_CancelledCallerHarmsNobody(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name             string
		leader, follower time.Duration // when each one cancels; 0: never
		leaderGets       string
		followerGets     string
	}{
		{"nobody", 0, 0, "a-1", "a-1"},
		{"the leader", 50 * time.Millisecond, 0, "", "a-1"},
		{"the follower", 0, 50 * time.Millisecond, "a-1", ""},
		{"both", 50 * time.Millisecond, 60 * time.Millisecond, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var cancelled atomic.Bool
				p := &script{}
				p.Answer = func(ctx context.Context, _ int, _ string) (string, error) {
					err := pause(ctx, 100*time.Millisecond)
					cancelled.Store(err != nil)
					return "a-1", err
				}
				env := p.One(t)
				start := func(after time.Duration) <-chan got {
					ctx, cancel := context.WithCancel(t.Context())
					if after > 0 {
						time.AfterFunc(after, cancel)
					} else {
						t.Cleanup(cancel)
					}
					return read(ctx, env, "A")
				}
				leader, follower := start(test.leader), start(test.follower)
				for _, r := range []struct {
					who   string
					got   got
					after time.Duration
					want  string
				}{{"leader", <-leader, test.leader, test.leaderGets},
					{"follower", <-follower, test.follower, test.followerGets}} {
					switch {
					case r.want == "" && (!errors.Is(r.got.Err, context.Canceled) || r.got.Took != r.after):
						t.Errorf("the %s who gave up after %v: %+v", r.who, r.after, r.got)
					case r.want != "" && (r.got.Text != r.want || r.got.Err != nil):
						t.Errorf("the %s who stayed: %+v", r.who, r.got)
					}
				}
				synctest.Wait()
				if test.name == "both" {
					if !cancelled.Load() {
						t.Error("the flight that nobody waits for goes on")
					}
					// Those who changed their minds say nothing about the backend: no window, no failure.
					if _, err := env.Get(t.Context(), "A"); err != nil || len(env.Stats().Failures) != 0 {
						t.Errorf("after it was given up: %v, failures %v", err, env.Stats().Failures)
					}
				}
			})
		})
	}
}

// Callers who change their minds say nothing about the backend: the next one asks it, with a value in hand as without.
func TestRefresh_CancelledIsNoFailure(t *testing.T) {
	t.Parallel()
	for _, value := range []bool{true, false} {
		t.Run(fmt.Sprint("value in hand ", value), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.One(t, secrets.WithTTL(ttl))
				if value {
					expect(t, env, "a-1")
				}
				time.Sleep(ttl)
				p.Hang()
				ctx, cancel := context.WithCancel(t.Context())
				reader := read(ctx, env, "A")
				time.AfterFunc(900*time.Millisecond, cancel)
				if !value {
					time.Sleep(5 * time.Second) // it was given up long after what counts as slow
				}
				<-reader
				p.Fail(nil)
				if g := <-read(t.Context(), env, "A"); g.Err != nil || g.Stale || g.Took != 0 ||
					len(env.Stats().Failures) != 0 {
					t.Errorf("the next reader: %+v; failures %v", g, env.Stats().Failures)
				}
			})
		})
	}
}

// A caller who has given up before it asks gets what there is, and begins nothing.
func TestGet_CancelledBeforeItAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(ttl))
		expect(t, env, "a-1")
		time.Sleep(ttl)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if g := <-read(ctx, env, "A"); g.Text != "a-1" || !g.Stale || g.Took != 0 {
			t.Errorf("with an old value: %+v", g)
		}
		if g := <-read(ctx, env, "B"); !errors.Is(g.Err, context.Canceled) || g.Took != 0 {
			t.Errorf("without a value: %+v", g)
		}
		if n := p.Count(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
		p.Fail(errDenied)
		env.Get(t.Context(), "B")
		if g := <-read(ctx, env, "B"); !errors.Is(g.Err, secrets.ErrAccessDenied) {
			t.Errorf("while a failure is remembered: %+v", g)
		}
	})
}

// Nor does a Refresh whose caller is gone: it is an error, and no failure of the backend.
func TestRefresh_CancelledBeforeItAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.One(t, secrets.WithTTL(ttl))
		expect(t, env, "a-1")
		p.Set(20*time.Millisecond, nil)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		late, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		for _, ctx := range []context.Context{cancelled, late} {
			if err := env.Refresh(ctx); !errors.Is(err, ctx.Err()) || !secrets.Retryable(err) {
				t.Errorf("Refresh: %v, want %v", err, ctx.Err())
			}
		}
		synctest.Wait()
		if s := env.Stats(); p.Count() != 1 || len(s.Failures) != 0 || failureOf(env, "A") != nil {
			t.Errorf("%d calls, failures %v, remembered %v", p.Count(), s.Failures, failureOf(env, "A"))
		}
		// Nor is it told what is remembered of an earlier one.
		p.Fail(errThrottled)
		time.Sleep(ttl)
		env.Get(t.Context(), "A")
		err := env.Refresh(cancelled)
		if errors.Is(err, secrets.ErrThrottled) || !errors.Is(err, context.Canceled) {
			t.Errorf("Refresh: %v, want the end of its context alone", err)
		}
	})
}

// The flight ends with its last waiter, however many come and go.
func TestFlight_EndsWithLastWaiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		p := &script{}
		began := time.Now()
		p.Answer = func(ctx context.Context, _ int, _ string) (string, error) {
			<-ctx.Done()
			ended <- time.Since(began)
			return "", ctx.Err()
		}
		env := p.One(t)
		for i := range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Duration(100*(i+1))*time.Millisecond, cancel)
			defer cancel()
			read(ctx, env, "A")
		}
		if at := <-ended; at != 2*time.Second {
			t.Errorf("the flight was cancelled after %v, want 2s", at)
		}
		if n := p.Count(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
}

// A caller whose time is up is told so; that the flight was cancelled for it is no business of its own.
func TestGet_TimeoutIsNotCanceled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: time.Minute}
		env := p.One(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g := <-read(ctx, env, "A")
		if !errors.Is(g.Err, context.DeadlineExceeded) || errors.Is(g.Err, context.Canceled) ||
			!errors.Is(g.Err, secrets.ErrUnavailable) {
			t.Errorf("%v", g.Err)
		}
		if g.Took < 700*time.Millisecond || g.Took > 750*time.Millisecond {
			t.Errorf("it waited %v, want its second less the reserve", g.Took)
		}
	})
}

// (Promise 4.)
func TestRefresh_NeverJoins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		slow := func(d time.Duration) func(context.Context, int, string) (string, error) {
			return func(ctx context.Context, call int, _ string) (string, error) {
				return fmt.Sprint("a-", call), pause(ctx, d)
			}
		}
		p.Set(0, slow(3*time.Second))
		env := p.One(t)
		first := read(t.Context(), env, "A")
		p.Set(0, slow(time.Second))
		if err := env.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, env, "a-2")
		// Who waits for the first flight need not wait for its answer: a newer one is there.
		if g := <-first; g.Text != "a-2" || g.Took != time.Second {
			t.Errorf("who waits for the older flight: %+v", g)
		}
		expect(t, env, "a-2")
	})
}

// Nor is it told what an earlier flight was denied.
func TestRefresh_EarlierDenialIsNotItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(ctx context.Context, call int, _ string) (string, error) {
			if call == 1 {
				return "", cmp.Or(pause(ctx, 100*time.Millisecond), errDenied)
			}
			return "a", pause(ctx, 300*time.Millisecond)
		})
		env := p.One(t)
		earlier := read(t.Context(), env, "A")
		synctest.Wait()
		if err := env.Refresh(t.Context()); err != nil {
			t.Errorf("Refresh: %v", err)
		}
		if g := <-earlier; !errors.Is(g.Err, secrets.ErrAccessDenied) {
			t.Errorf("who waited for the earlier flight: %+v", g)
		}
	})
}

// Readers who come after a Refresh began join it, rather than the flight that runs since before.
func TestFlight_ReadersJoinNewest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: time.Second}
		env := p.One(t)
		read(t.Context(), env, "A")
		go env.Refresh(t.Context(), "A")
		synctest.Wait()
		if g := <-read(t.Context(), env, "A"); g.Err != nil || p.Count() != 2 {
			t.Errorf("%+v, %d calls", g, p.Count())
		}
		synctest.Wait() // both flights end at the same instant
		expect(t, env, "a-2")
	})
}

// A flight that ends leaves alone the one that began after it: readers go on to join that.
func TestFlight_OlderOneEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: time.Second}
		env := p.One(t, secrets.WithTTL(0))
		older := read(t.Context(), env, "A")
		p.Set(2500*time.Millisecond, nil)
		go env.Refresh(t.Context())
		if g := <-older; g.Text != "a-1" {
			t.Errorf("%+v", g)
		}
		time.Sleep(time.Second)
		if g := <-read(t.Context(), env, "A"); g.Text != "a-2" || p.Count() != 2 {
			t.Errorf("%+v after %d calls, want a-2 after 2", g, p.Count())
		}
	})
}

// Answers are ordered by the tries that brought them, not by when their flights began.
func TestFlight_LaterTryOfEarlierOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(_ context.Context, call int, _ string) (string, error) {
			if call == 1 {
				return "", errThrottled
			}
			return fmt.Sprint("a-", call), nil
		})
		env := p.One(t)
		earlier := read(t.Context(), env, "A")
		if err := env.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, env, "a-2")
		if g := <-earlier; g.Text != "a-2" || p.Count() != 2 {
			t.Errorf("%+v after %d calls, want what the Refresh brought", g, p.Count())
		}
	})
}

// A caller that waited for a later try in vain knows less than an earlier one that answers: its silence hides no denial
// (promise 5).
func TestFlight_SilenceHidesNoDenial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.One(t, secrets.WithGrace(0), secrets.WithTTL(time.Hour))
		expect(t, env, "a-1")
		time.Sleep(time.Hour)
		p.Set(0, func(ctx context.Context, call int, _ string) (string, error) {
			if call == 2 {
				return "", cmp.Or(pause(ctx, 900*time.Millisecond), errDenied)
			}
			<-ctx.Done()
			return "", ctx.Err()
		})
		early := read(t.Context(), env, "A")
		time.Sleep(500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := env.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Refresh: %v", err)
		}
		if g := <-early; !errors.Is(g.Err, secrets.ErrAccessDenied) {
			t.Errorf("the denial brought %q, %v", g.Text, g.Err)
		}
	})
}

// A value is judged when it is served: not before its caller waits for what was taken along, and is frozen with it
// (promise 2).
func TestGet_FrozenWithCompanion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, slow := secretstest.NewClock(), false
		provider := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			if slow && ref.ID() == "b" {
				return secrets.NewValue("b", ""), pause(ctx, time.Second)
			}
			return secrets.NewValue(ref.ID(), ""), pause(ctx, 5*time.Millisecond)
		})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}),
			secrets.WithProvider(provider), secrets.WithClock(c.Now), secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		mustGet(t, env, "A")
		mustGet(t, env, "B")
		time.Sleep(5 * time.Minute)
		slow = true
		g := read(t.Context(), env, "A")
		time.Sleep(30 * time.Millisecond)
		kit.Shift(c, 3*time.Hour, 0)
		if got := <-g; got.Err == nil && !got.Stale {
			t.Errorf("%q is three hours old and not marked", got.Text)
		}
	})
}

func TestFlight_LateAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		early, later  error // what the flight that began early answers, after the one that began later
		grace         time.Duration
		want, waiters string // what is served afterwards, and to who waited for the early flight
	}{
		{"a late value after a newer value", nil, nil, time.Minute, "a-3", "a-3"},
		{"a late denial after a newer value", errDenied, nil, time.Minute, "a-3", "a-3"},
		{"a late value after a transient failure", nil, errThrottled, time.Minute, "a-2", "a-2"},
		{"a late value after a denial, in the grace", nil, errDenied, time.Minute, "a-1*", "a-1*"},
		{"a late value after a denial that dropped the value", nil, errDenied, 0, "access denied", "access denied"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.One(t, secrets.WithGrace(test.grace), secrets.WithTTL(time.Hour))
				expect(t, env, "a-1")
				time.Sleep(time.Hour)
				p.Set(0, func(ctx context.Context, call int, _ string) (string, error) {
					if call == 2 {
						pause(context.Background(), 900*time.Millisecond)
						return "a-2", test.early
					}
					return fmt.Sprint("a-", call), test.later
				})
				early := read(t.Context(), env, "A")
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
				defer cancel()
				env.Refresh(ctx, "A")
				say := func(g got) string {
					if g.Err != nil {
						for _, kind := range []error{secrets.ErrAccessDenied, secrets.ErrThrottled} {
							if errors.Is(g.Err, kind) {
								return kind.Error()
							}
						}
						return g.Err.Error()
					}
					if g.Stale {
						return g.Text + "*"
					}
					return g.Text
				}
				if s := say(<-early); s != test.waiters {
					t.Errorf("who waited for the early flight got %s, want %s", s, test.waiters)
				}
				if err := failureOf(env, "A"); (test.later == nil || test.early == nil && test.later == errThrottled) &&
					err != nil {
					t.Errorf("a success is known, and %v is remembered", err)
				}
				time.Sleep(time.Second) // until the early flight has ended
				if err := failureOf(env, "A"); test.later == nil && err != nil {
					t.Errorf("a newer value is known, and %v is remembered of the late answer", err)
				}
				p.Fail(test.later)
				if s := say(<-read(t.Context(), env, "A")); s != test.want {
					t.Errorf("served afterwards: %s, want %s", s, test.want)
				}
			})
		})
	}
}

// A flight that was frozen half-way is abandoned, not joined, and its answer dropped. (Promise 3.)
func TestFlight_FrozenIsNotJoined(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		wall, mono time.Duration // by which the clocks go on while the timers stand still
	}{
		{"the monotonic clock stands still", 3 * time.Hour, 0},
		{"both clocks go on", 3 * time.Hour, 3 * time.Hour},
		{"a short freeze", 2 * time.Second, 0},
	}
	for _, test := range tests {
		t.Run(test.name+", a new reader", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clock, release := secretstest.NewClock(), make(chan struct{})
				p := &script{}
				p.Answer = func(_ context.Context, call int, _ string) (string, error) {
					if call == 1 {
						<-release
						return "a-1", nil
					}
					return fmt.Sprint("a-", call), pause(context.Background(), 20*time.Millisecond)
				}
				env := p.One(t, secrets.WithClock(clock.Now))
				frozen := read(t.Context(), env, "A")
				kit.Shift(clock, test.wall, test.mono)
				if g := <-read(t.Context(), env, "A"); g.Text != "a-2" || g.Took != 20*time.Millisecond {
					t.Errorf("the new reader: %+v", g)
				}
				if g := <-frozen; g.Text != "a-2" {
					t.Errorf("who waited for the frozen flight: %+v", g)
				}
				close(release)
				synctest.Wait()
				expect(t, env, "a-2")
				if v := mustGet(t, env, "A"); v.FetchedAt().Before(time.Now().Add(test.wall - time.Second)) {
					t.Errorf("fetched at %v, before the freeze", v.FetchedAt())
				}
			})
		})
		t.Run(test.name+", an answer in the socket", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clock, release := secretstest.NewClock(), make(chan struct{})
				p := &script{}
				p.Answer = func(_ context.Context, call int, _ string) (string, error) {
					if call == 1 {
						<-release
					}
					return fmt.Sprint("a-", call), nil
				}
				env := p.One(t, secrets.WithClock(clock.Now))
				frozen := read(t.Context(), env, "A")
				kit.Shift(clock, test.wall, test.mono)
				close(release)
				want := "a-2"
				if test.wall < 5*time.Minute {
					want = "a-1" // it is as old as its question, and that is within its TTL
				}
				if g := <-frozen; g.Text != want || g.Stale {
					t.Errorf("who waited for the frozen flight: %+v, want %s", g, want)
				}
			})
		})
	}
}

// What was frozen is told to stop: nobody waits for it any more.
func TestFlight_FrozenIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := secretstest.NewClock()
		var stopped atomic.Bool
		p := &script{}
		p.Answer = func(ctx context.Context, call int, _ string) (string, error) {
			if call == 1 {
				<-ctx.Done()
				stopped.Store(true)
			}
			return fmt.Sprint("a-", call), pause(ctx, time.Second)
		}
		env := p.One(t, secrets.WithClock(clock.Now))
		read(t.Context(), env, "A")
		kit.Shift(clock, time.Hour, 0)
		read(t.Context(), env, "A")
		if !stopped.Load() {
			t.Error("the frozen call goes on")
		}
	})
}

// A clock that jumps during every call: what comes is as old as its question. Where that is too old the
// source is asked again, with pauses.
func TestClock_Jumps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock, p := secretstest.NewClock(), &script{}
		p.Answer = func(_ context.Context, call int, _ string) (string, error) {
			kit.Shift(clock, time.Minute, 0)
			return fmt.Sprint("a-", call), nil
		}
		env := p.One(t, secrets.WithClock(clock.Now), secrets.WithTTL(time.Hour))
		expect(t, env, "a-1")
		env = p.One(t, secrets.WithClock(clock.Now), secrets.WithTTL(30*time.Second))
		before := p.Count()
		if g := <-read(t.Context(), env, "A"); g.Err != nil || !g.Stale || p.Count()-before < 3 ||
			p.Count()-before > 10 {
			t.Errorf("%+v after %d calls, want what there is, stale, after 3 to 10", g, p.Count()-before)
		}
	})
}

// What is too old when it comes is asked for again at once, and after that less and less often.
func TestClock_JumpsInEachCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock, p := secretstest.NewClock(), &script{}
		began := time.Now()
		var asked []time.Duration
		p.Answer = func(_ context.Context, call int, _ string) (string, error) {
			kit.Shift(clock, time.Minute, 0)
			asked = append(asked, time.Since(began))
			return fmt.Sprint("a-", call), nil
		}
		env := p.One(t, secrets.WithClock(clock.Now), secrets.WithTTL(time.Second), secrets.WithMaxStale(time.Second))
		if _, err := env.Get(t.Context(), "A"); !errors.Is(err, secrets.ErrUnavailable) {
			t.Errorf("%v, want an error: each value is a minute old", err)
		}
		ms := time.Millisecond
		want := []time.Duration{0, 0, 400 * ms, 1200 * ms, 2800 * ms, 4800 * ms, 6800 * ms, 8800 * ms}
		if !slices.Equal(asked, want) {
			t.Errorf("calls after %v, want %v", asked, want)
		}
	})
}

// Under a wall clock that jumps with every reading each try seems to have stood still. Callers must not
// cancel each other's tries for ever.
func TestClock_JumpsAlways(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var jumps atomic.Int64
		base := time.Now()
		clock := func() (time.Time, time.Duration) {
			now := time.Now()
			return now.Add(time.Duration(jumps.Add(1)) * 2 * time.Second), now.Sub(base)
		}
		p := &script{Delay: 10 * time.Millisecond}
		env := p.One(t, secrets.WithClock(clock), secrets.WithTTL(time.Hour))
		var readers []<-chan got
		for range 8 {
			readers = append(readers, read(t.Context(), env, "A"))
		}
		for _, r := range readers {
			if g := <-r; g.Err != nil || g.Took > 100*time.Millisecond {
				t.Errorf("%+v", g)
			}
		}
		if n := p.Count(); n > 3*8 {
			t.Errorf("%d calls for 8 readers", n)
		}
	})
}

// A backend that takes its time is not taken for a frozen one.
func TestFlight_SlowIsNotFrozen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: 25 * time.Second}
		env := p.Env(t, on("provisioned-concurrency"))
		warm := make(chan error, 1)
		go func() { warm <- env.Warm(t.Context()) }()
		time.Sleep(20 * time.Second)
		if g := <-read(t.Context(), env, "A"); g.Err != nil || g.Took != 5*time.Second {
			t.Errorf("a reader who joins: %+v", g)
		}
		if err := <-warm; err != nil {
			t.Error(secrets.Detail(err))
		}
		if n := p.Count(); n != 2 { // one to each of the two backends
			t.Errorf("%d calls, want 2", n)
		}
	})
}

// What is due in one scheme and Region leaves in one call; what failed leaves alone, and so does what another caller is
// fetching.
func TestBatch_WhatLeavesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b#x", "C": "sm://c", "D": "sm://d",
			"BAD": "sm://bad?optional", "P": "ssm:///p", "FAR": "sm://far?region=us-east-2",
			"AWS_REGION": region})
		p.Answer = func(_ context.Context, _ int, id string) (string, error) {
			if id == "bad" {
				return "", secrets.ErrNotFound
			}
			return `{"x":"` + id + `"}`, nil
		}
		if err := env.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		calls := func(from int) map[string]bool {
			all := map[string]bool{}
			for n := from + 1; n <= p.Count(); n++ {
				all[p.Asked(n)] = true
			}
			return all
		}
		if got := calls(0); len(got) != 3 || !got["a b bad c d"] || !got["/p"] || !got["far"] {
			t.Errorf("the warm called for %v", got)
		}
		for _, name := range []string{"A", "B", "C", "P"} { // not D: it is not in use
			mustGet(t, env, name)
		}
		time.Sleep(5 * time.Minute)
		before := p.Count()
		mustGet(t, env, "B")
		if got := calls(before); len(got) != 1 || !got["a b c"] {
			t.Errorf("the refresh called for %v, want a b c", got)
		}
		before = p.Count()
		env.Get(t.Context(), "BAD")
		mustGet(t, env, "D")
		if got := calls(before); len(got) != 2 || !got["bad"] || !got["d"] {
			t.Errorf("what failed and what was not in use: %v", got)
		}
		time.Sleep(5 * time.Minute) // a, b and c were taken along or read once, and only b is read since
		mustGet(t, env, "A")
		before = p.Count()
		time.Sleep(5 * time.Minute)
		mustGet(t, env, "A")
		if got := calls(before); len(got) != 1 ||
			!(got["a b"] || got["a"] || got["a d"] || got["a b d"]) || got["a b c"] {
			t.Errorf("the refresh called for %v: c is not in use any more", got)
		}
	})
}

// An outage costs one call per window, and its end one call or two, in whatever step of the search for a bad name it
// comes: the invocation that makes them has everything fresh (promise 6).
func TestBatch_OutageEnds(t *testing.T) {
	t.Parallel()
	names := []string{"A", "B", "C", "D", "E"}
	for _, answers := range []bool{true, false} {
		for windows := 1; windows <= 9; windows++ {
			t.Run(fmt.Sprintf("answers=%t/%d windows", answers, windows), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := &script{}
					env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c", "D": "sm://d",
						"E": "sm://e"})
					invoke := func() (calls, stale int) {
						before := p.Count()
						for _, name := range names {
							if mustGet(t, env, name).Stale() {
								stale++
							}
						}
						time.Sleep(31 * time.Second)
						return p.Count() - before, stale
					}
					invoke()
					time.Sleep(5 * time.Minute)
					p.Set(0, func(ctx context.Context, _ int, _ string) (string, error) {
						if answers {
							return "", secrets.ErrUnavailable
						}
						<-ctx.Done()
						return "", ctx.Err()
					})
					invoke() // the first reader tries as long as it has patience
					for range windows {
						if calls, stale := invoke(); calls != 1 || stale != len(names) {
							t.Errorf("in the outage: %d calls, %d stale", calls, stale)
						}
					}
					p.Fail(nil)
					if calls, stale := invoke(); calls > 2 || stale != 0 {
						t.Errorf("at its end: %d calls, %d stale", calls, stale)
					}
				})
			})
		}
	}
}

// A value that was read once, when it was fetched, is in use.
func TestBatch_ReadOnceIsInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}, secrets.WithTTL(ttl))
		mustGet(t, env, "A")
		mustGet(t, env, "B")
		time.Sleep(ttl)
		mustGet(t, env, "A")
		if got := p.Asked(3); got != "a b" {
			t.Errorf("the refresh called for %s, want a b", got)
		}
		mustGet(t, env, "B")
		time.Sleep(ttl)
		if err := env.Refresh(t.Context(), "A"); err != nil || p.Asked(4) != "a" {
			t.Errorf("Refresh called for %s, want what it was asked for: a", p.Asked(4))
		}
	})
}

// 100 readers while values expire, are refreshed and fail, for the race detector. synctest proves that no goroutine is
// left.
func TestFlight_HundredReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		p := &script{}
		p.Answer = func(ctx context.Context, call int, id string) (string, error) {
			switch i := n.Add(1); {
			case i%7 == 0:
				return "", secrets.ErrThrottled
			case i%31 == 0:
				return "", secrets.ErrAccessDenied
			case i%13 == 0:
				<-ctx.Done()
				return "", ctx.Err()
			case i%41 == 0:
				panic("now and then")
			}
			return fmt.Sprintf(`{"id":%q,"a":"%d","b":"%d"}`, id, call, call), pause(ctx, 10*time.Millisecond)
		}
		environ := map[string]string{"K": "kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
		for i := range 8 {
			environ[fmt.Sprint("A", i)] = fmt.Sprintf("sm://s%d#a", i)
			environ[fmt.Sprint("B", i)] = fmt.Sprintf("ssm:///s%d#b", i)
		}
		env := p.Env(t, environ, secrets.WithTTL(time.Second), secrets.WithGrace(3*time.Second),
			secrets.WithMaxStale(time.Minute))
		env.Warm(t.Context())
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				for round := range 40 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(200+i*20)*time.Millisecond)
					if i%10 == 3 && round%3 == 0 {
						cancel() // somebody gives up before it begins
					}
					switch {
					case i == 0:
						env.Refresh(ctx)
					case i == 1:
						env.Snapshot(ctx)
					case i == 2:
						env.Stats()
					case i == 3:
						env.Resolve(ctx, secrets.Secret(fmt.Sprint("loose", round)))
					case i == 4:
						env.RevealAll(ctx)
					default:
						name := fmt.Sprint(string("AB"[i%2]), round%8)
						v, err := env.Get(ctx, name)
						var e *secrets.ResolveError
						if err != nil && (!errors.As(err, &e) || e.Variable != name) {
							t.Errorf("%v", err)
						}
						if err == nil && v.Reveal() == "" {
							t.Error("an empty value")
						}
					}
					cancel()
					time.Sleep(time.Duration(37+i) * time.Millisecond)
				}
			})
		}
		all.Wait()
	})
}

// Names that leave alone, because they failed before, and those that leave together share one width.
func TestWidth_OfOneRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil || len(ref.ID())%2 == 0 {
				return secrets.Value{}, errors.Join(errDenied, err)
			}
			return secrets.NewValue("v", ""), nil
		})
		vars := map[string]string{}
		for i := range 100 { // half of them have names of even length
			vars[fmt.Sprint("V", i)] = "sm://" + strings.Repeat("a", i+1)
		}
		env, err := secrets.New(secrets.WithEnviron(vars), secrets.WithProvider(p), secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := env.Refresh(t.Context()); !errors.Is(err, secrets.ErrAccessDenied) {
				t.Error(err)
			}
		}
		if n := most.Load(); n != 32 {
			t.Errorf("%d calls at once, want 32", n)
		}
		// The batch has half of the width, however many leave beside it.
		took(t, "a round of 50 in one batch and 50 alone", 40*time.Millisecond, 40*time.Millisecond,
			func() { env.Refresh(t.Context()) })
	})
}

// A clock that panics while a result is booked: the result counts all the same, and nobody waits for it
// in vain.
func TestClock_Panics(t *testing.T) {
	t.Parallel()
	for reading := int32(1); reading <= 6; reading++ {
		synctest.Test(t, func(t *testing.T) {
			var armed atomic.Bool
			var readings atomic.Int32
			p := &script{Delay: 10 * time.Millisecond}
			base := time.Now()
			env := p.One(t, secrets.WithClock(func() (time.Time, time.Duration) {
				if armed.Load() && readings.Add(1) == reading {
					panic("the clock is broken")
				}
				now := time.Now()
				return now, now.Sub(base)
			}))
			armed.Store(true)
			for range 2 {
				func() {
					defer func() { recover() }()
					env.Get(t.Context(), "A")
				}()
			}
			if g := <-read(t.Context(), env, "A"); g.Err != nil {
				t.Error(g.Err)
			}
			if d := time.Since(base); d > 30*time.Millisecond {
				t.Errorf("a panic at reading %d costs the callers %v", reading, d)
			}
		})
	}
}

// Nor is a denial lost by that: it is news as of the moment that its question left.
func TestClock_PanicsAtDenial(t *testing.T) {
	t.Parallel()
	for reading := int32(1); reading <= 6; reading++ {
		synctest.Test(t, func(t *testing.T) {
			var readings atomic.Int32
			p := &script{}
			p.Fail(errDenied)
			base := time.Now()
			env := p.One(t, secrets.WithClock(func() (time.Time, time.Duration) {
				if readings.Add(1) == reading {
					panic("the clock is broken")
				}
				now := time.Now()
				return now, now.Sub(base)
			}))
			for range 2 {
				func() {
					defer func() { recover() }()
					env.Get(t.Context(), "A")
				}()
			}
			if g := <-read(t.Context(), env, "A"); !errors.Is(g.Err, secrets.ErrAccessDenied) || p.Count() != 1 {
				t.Errorf("a panic at reading %d: %+v after %d calls", reading, g, p.Count())
			}
		})
	}
}

// What failed one after the other in one round is asked for again at one moment, so that it shares calls.
func TestRefresh_RetriesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string][]time.Time{}
		p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			mu.Lock()
			asked[ref.ID()] = append(asked[ref.ID()], time.Now())
			first := len(asked[ref.ID()]) == 1
			mu.Unlock()
			if first {
				pause(ctx, map[string]time.Duration{"a": 10 * time.Millisecond, "b": 40 * time.Millisecond}[ref.ID()])
				return secrets.Value{}, errThrottled
			}
			return secrets.NewValue("v", ""), nil
		})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}),
			secrets.WithProvider(p), secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		if err := env.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a, b := asked["a"], asked["b"]; len(a) != 2 || len(b) != 2 || !a[1].Equal(b[1]) {
			t.Errorf("a is asked for at %v, b at %v, want both together the second time", a, b)
		}
	})
}

// A Refresh has its last try shortly before its time is up, as a read has that holds nothing, although the
// old value is good.
func TestRefresh_LastTryBeforeDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for range 30 { // pauses are drawn
			var last time.Time
			p := &script{}
			env := p.One(t, secrets.WithTTL(time.Hour))
			expect(t, env, "a-1")
			p.Set(0, func(context.Context, int, string) (string, error) {
				last = time.Now()
				return "", errThrottled
			})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			began := time.Now()
			env.Refresh(ctx)
			cancel()
			if at := last.Sub(began); at < 4250*time.Millisecond || at > 4750*time.Millisecond {
				t.Errorf("the last try after %v of 5 s, want one in the last 750 ms but for the reserve", at)
			}
		}
	})
}

// A caller whose tries have failed leaves a try that stood still over a freeze, as any other does.
func TestFlight_FrozenIsLeftAfterFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock, p := secretstest.NewClock(), &script{}
		release := make(chan struct{})
		p.Answer = func(_ context.Context, call int, _ string) (string, error) {
			switch {
			case call <= 2:
				return "", errThrottled
			case call == 3:
				<-release
			}
			return fmt.Sprint("a-", call), nil
		}
		env := p.One(t, secrets.WithClock(clock.Now))
		reader := read(t.Context(), env, "A")
		for p.Count() < 3 {
			time.Sleep(10 * time.Millisecond)
		}
		kit.Shift(clock, time.Hour, 0)
		if g := <-reader; g.Text != "a-4" || g.Took != time.Second {
			t.Errorf("%+v, want a-4 when it looks again, after 1 s", g)
		}
		close(release)
	})
}

// A reader without patience for old values takes no answer to a question that was asked before the one it
// waits for.
func TestFlight_OlderAnswerIsTooOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: 100 * time.Millisecond}
		env := p.One(t, secrets.WithTTL(0))
		older := read(t.Context(), env, "A")
		p.Set(200*time.Millisecond, nil)
		go env.Refresh(t.Context())
		time.Sleep(10 * time.Millisecond)
		reader := read(t.Context(), env, "A")
		if g := <-older; g.Text != "a-1" || g.Took != 100*time.Millisecond {
			t.Errorf("who waits for the older flight: %+v", g)
		}
		if g := <-reader; g.Text != "a-2" || g.Took != 190*time.Millisecond {
			t.Errorf("who waits for the newer flight: %+v", g)
		}
	})
}

// A caller that has its own value, and waits for what it took along, leaves when its context ends.
func TestGet_CancelledWhileItTakesAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			takes := map[string]time.Duration{"a": 100 * time.Millisecond, "b": time.Hour}[ref.ID()]
			if !slow.Load() {
				takes = 0
			}
			return secrets.NewValue("v", ""), pause(ctx, takes)
		})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}),
			secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithTTL(ttl))
		if err != nil {
			t.Fatal(err)
		}
		mustGet(t, env, "A")
		mustGet(t, env, "B")
		time.Sleep(ttl)
		slow.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(150*time.Millisecond, cancel)
		if g := <-read(ctx, env, "A"); g.Err != nil || g.Stale || g.Took != 150*time.Millisecond {
			t.Errorf("%+v, want a new value when the context ends", g)
		}
		time.Sleep(ttl)
		if g := <-read(t.Context(), env, "A"); g.Err != nil || g.Stale || g.Took != 100*time.Millisecond {
			t.Errorf("%+v: what was left behind is taken along again", g)
		}
	})
}

// In an outage of which a probe has told, a reader with an old value takes that at once.
func TestBatch_FailedProbeServesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}, secrets.WithTTL(ttl))
		for _, name := range []string{"A", "B", "C"} {
			mustGet(t, env, name)
		}
		p.Fail(errOdd)
		time.Sleep(ttl)
		for _, name := range []string{"A", "B", "C"} {
			mustGet(t, env, name)
		}
		calls := p.Count()
		for range 100 {
			time.Sleep(5 * time.Second)
			for _, name := range []string{"A", "B", "C"} {
				if g := <-read(t.Context(), env, name); !g.Stale || g.Took != 0 {
					t.Errorf("%s: %+v, want the old value at once", name, g)
				}
			}
		}
		if n := p.Count() - calls; n < 10 || n > 3*40 {
			t.Errorf("%d calls in 500 s", n)
		}
	})
}

// Who has an old value does not wait for a step of the search for a bad name: that the whole call failed is known.
func TestBatch_SearchKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ill := false
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}),
			secrets.WithLogger(quiet()), secrets.WithTTL(ttl), secrets.WithProvider(
				batch(func(ctx context.Context, refs []secrets.Ref) []secrets.Result {
					switch {
					case !ill:
						return same(refs, nil)
					case len(refs) > 1:
						return same(refs, secrets.OddRefusal(refs[0]))
					}
					<-ctx.Done()
					return same(refs, ctx.Err())
				})))
		if err != nil {
			t.Fatal(err)
		}
		mustGet(t, env, "A")
		mustGet(t, env, "B")
		ill = true
		time.Sleep(ttl)
		first := read(t.Context(), env, "A")
		for range 5 {
			time.Sleep(100 * time.Millisecond)
			for _, name := range []string{"A", "B"} {
				if g := <-read(t.Context(), env, name); !g.Stale || g.Took != 0 {
					t.Errorf("%s: %+v, want the old value at once", name, g)
				}
			}
		}
		if g := <-first; !g.Stale || g.Took > time.Second {
			t.Errorf("who searches: %+v, want the old value within a second", g)
		}
	})
}

// Once a probe was answered, its neighbours may be asked at once, and the bad name among them is found.
func TestBatch_AnsweredProbeOpensTheWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ill atomic.Bool
		p := fetcher(func(refs []secrets.Ref) []secrets.Result {
			results := make([]secrets.Result, len(refs))
			bad := ill.Load() && slices.ContainsFunc(refs, func(r secrets.Ref) bool { return r.ID() == "c" })
			for i := range results {
				results[i].Value = secrets.NewValue(map[bool]string{true: "new", false: "old"}[ill.Load()], "")
				if bad {
					results[i] = secrets.Result{Err: errOdd}
				}
			}
			return results
		})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}),
			secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithTTL(ttl))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"A", "B", "C"} {
			mustGet(t, env, name)
		}
		time.Sleep(ttl)
		ill.Store(true)
		began := time.Now()
		if v := mustGet(t, env, "A"); v.Reveal() != "new" || time.Since(began) > 500*time.Millisecond {
			t.Errorf("the probe: %s after %v", v.Reveal(), time.Since(began))
		}
		for range 2 { // one finds that the others fail together, and the next one asks alone
			mustGet(t, env, "B")
		}
		if v := mustGet(t, env, "B"); v.Reveal() != "new" || time.Since(began) > 700*time.Millisecond {
			t.Errorf("its neighbour: %s after %v", v.Reveal(), time.Since(began))
		}
	})
}

// What failed shares no call with good ones before it has succeeded: a throttle alone says nothing of its name.
func TestBatch_FailuresLeaveApart(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fails map[string]error // by name, while A is refreshed, and B with it
		calls string           // of a Refresh of all afterwards
	}{
		{"nothing failed", nil, "a b c"},
		{"a throttle", map[string]error{"a": errThrottled}, "a b c"},
		{"a denial", map[string]error{"a": errDenied}, "a, b c"},
		{"a failure of its own", map[string]error{"a": errOdd}, "a, b c"},
		{"two in one call", map[string]error{"a": errDenied, "b": errDenied}, "a, b, c"},
		{"the whole call", map[string]error{"a": errOdd, "b": errOdd}, "a b, c"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.Env(t, map[string]string{"A": "sm://a?ttl=1m", "B": "sm://b?ttl=1m", "C": "sm://c?ttl=1h"},
					secrets.WithGrace(time.Hour))
				for _, name := range []string{"A", "B", "C"} {
					mustGet(t, env, name)
				}
				time.Sleep(time.Minute)
				p.Set(0, func(_ context.Context, _ int, id string) (string, error) { return id, test.fails[id] })
				mustGet(t, env, "A")
				p.Reset().Fail(nil)
				for _, want := range []string{test.calls, "a b c"} {
					if err := env.Refresh(t.Context()); err != nil {
						t.Fatal(err)
					}
					if got := calls(p); got != want {
						t.Errorf("a Refresh calls for %s, want %s", got, want)
					}
					p.Reset()
				}
			})
		})
	}
}

// calls returns the names that each call asked for, as "a b, c".
func calls(p *script) string {
	var all []string
	for n := range p.Count() {
		all = append(all, p.Asked(n+1))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// An answered probe is good again, and leaves with the good ones; those that waited for it leave together once more.
func TestBatch_AnsweredProbeIsGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ill atomic.Bool
		var mu sync.Mutex
		var asked []string
		p := fetcher(func(refs []secrets.Ref) []secrets.Result {
			results := make([]secrets.Result, len(refs))
			var ids []string
			for _, r := range refs {
				ids = append(ids, r.ID())
			}
			slices.Sort(ids)
			for i := range results {
				results[i].Value = secrets.NewValue(fmt.Sprint(ill.Load()), "")
				if ill.Load() && slices.Contains(ids, "c") {
					results[i] = secrets.Result{Err: errOdd}
				}
			}
			mu.Lock()
			asked = append(asked, strings.Join(ids, " "))
			mu.Unlock()
			return results
		})
		env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithEnviron(
			map[string]string{"A": "sm://a?ttl=1m", "B": "sm://b?ttl=1m", "C": "sm://c?ttl=1m", "D": "sm://d?ttl=1h"}))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"A", "B", "C", "D"} {
			mustGet(t, env, name)
		}
		time.Sleep(time.Minute)
		ill.Store(true)
		if v := mustGet(t, env, "A"); v.Reveal() != "true" {
			t.Fatalf("the probe was not answered, %v", asked)
		}
		asked = nil
		ill.Store(false)
		if err := env.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if slices.Sort(asked); !slices.Equal(asked, []string{"a d", "b c"}) {
			t.Errorf("a Refresh calls for %q", asked)
		}
	})
}

// An error across a freeze is about the freeze: who waits tries again, but believes it the second time.
func TestFlight_ErrorAcrossFreeze(t *testing.T) {
	t.Parallel()
	for _, freezes := range []int{1, 2} {
		t.Run(fmt.Sprint("freezes ", freezes), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clock, p := secretstest.NewClock(), &script{}
				p.Set(0, func(_ context.Context, call int, _ string) (string, error) {
					if call > freezes {
						return fmt.Sprint("a-", call), nil
					}
					kit.Shift(clock, time.Hour, 0)
					return "", errDenied
				})
				env := p.One(t, secrets.WithClock(clock.Now))
				v, err := env.Get(t.Context(), "A")
				switch {
				case freezes == 1 && (err != nil || v.Reveal() != "a-2"):
					t.Errorf("%v, want the value of the second call", err)
				case freezes == 2 && !errors.Is(err, secrets.ErrAccessDenied):
					t.Errorf("%v, want the denial", err)
				}
				if want := uint64(freezes - 1); env.Stats().Failures[secrets.ErrAccessDenied.Error()] != want {
					t.Errorf("failures %v, want %d", env.Stats().Failures, want)
				}
			})
		})
	}
}

// Each freeze is one: an error across it is dropped, though there was an earlier one, once something else came since.
func TestFlight_ErrorsAcrossFreezes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock, p := secretstest.NewClock(), &script{}
		p.Set(0, func(_ context.Context, call int, _ string) (string, error) {
			switch call {
			case 1, 3, 5: // after nothing, an error and a value
				kit.Shift(clock, time.Hour, 0)
				return "", errDenied
			case 2:
				return "", errThrottled
			}
			return fmt.Sprint("a-", call), nil
		})
		env := p.One(t, secrets.WithClock(clock.Now))
		for _, want := range []string{"a-4", "a-6"} {
			if v, err := env.Get(t.Context(), "A"); err != nil || v.Reveal() != want {
				t.Errorf("%q, %v, want %s", v.Reveal(), err, want)
			}
			time.Sleep(5 * time.Minute)
		}
		if n := env.Stats().Failures[secrets.ErrAccessDenied.Error()]; n != 0 {
			t.Errorf("%d denials are counted, want none", n)
		}
	})
}

// Once those without an old value are gone, the others give up together, however they came.
func TestFlight_EndsWithLastInNeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "COLD": "sm://cold"}, secrets.WithTTL(ttl))
		mustGet(t, env, "A")
		time.Sleep(ttl)
		var ended time.Duration
		began := time.Now()
		p.Set(0, func(ctx context.Context, _ int, _ string) (string, error) {
			<-ctx.Done()
			ended = cmp.Or(ended, time.Since(began))
			return "", ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go env.Snapshot(ctx)
		synctest.Wait()
		first := read(t.Context(), env, "A")
		time.Sleep(500 * time.Millisecond)
		cancel()
		second := read(t.Context(), env, "A")
		for _, reader := range []<-chan got{first, second} {
			if g := <-reader; g.Text != "a-1" || !g.Stale {
				t.Errorf("%+v, want the old value", g)
			}
		}
		if ended != 950*time.Millisecond {
			t.Errorf("the call ends after %v, want 950ms", ended)
		}
	})
}

// The pause between tries ends with the last of those who wait: who comes while others pause does, too.
func TestFlight_PauseOutlastsOneOfTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Fail(errThrottled)
		env := p.One(t)
		patient := read(t.Context(), env, "A")
		for p.Count() < 5 { // pauses are a second and more by then
			time.Sleep(10 * time.Millisecond)
		}
		ctx, cancel := context.WithCancel(t.Context())
		leaves := read(ctx, env, "A")
		synctest.Wait()
		cancel()
		<-leaves
		before := p.Count()
		newcomer := read(t.Context(), env, "A")
		time.Sleep(100 * time.Millisecond)
		if n := p.Count() - before; n != 0 {
			t.Errorf("%d calls during the pause", n)
		}
		p.Fail(nil)
		if a, b := <-patient, <-newcomer; a.Text != "a-6" || b.Text != "a-6" {
			t.Errorf("%+v and %+v, want one call for both", a, b)
		}
	})
}

// recording is a provider that notes the names of each call, and fails calls as a whole that fails says.
type recording struct {
	mu    sync.Mutex
	asked []string
	fails func(call int, names string) bool
}

func (p *recording) Fetch(_ context.Context, refs []secrets.Ref) []secrets.Result {
	time.Sleep(time.Duration(len(refs)) * time.Millisecond) // calls of one round have an order
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for _, r := range refs {
		ids = append(ids, r.ID())
	}
	slices.Sort(ids)
	names := strings.Join(ids, " ")
	p.asked = append(p.asked, names)
	results := make([]secrets.Result, len(refs))
	for i := range results {
		if p.fails(len(p.asked), names) {
			results[i].Err = errOdd
		} else {
			results[i].Value = secrets.NewValue("v", "")
		}
	}
	return results
}

// A name that failed alone while another was answered is asked alone from then on. One that failed alone in an outage
// may leave with others when that is over.
func TestBatch_WhoFailedAloneLeavesAlone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fails func(call int, names string) bool
		calls []string
	}{
		{"a bad name is probed first", func(_ int, names string) bool { return strings.Contains(names, "a") },
			[]string{"a b c d", "a b c d", "a", "b", "a", "c d"}},
		{"an outage ends with a probe", func(call int, _ string) bool { return call < 7 },
			[]string{"a b c d", "a b c d", "a", "b", "a b c d", "a b c d", "c", "a b d"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &recording{fails: test.fails}
				env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithEnviron(
					map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c", "D": "sm://d"}))
				if err != nil {
					t.Fatal(err)
				}
				env.Snapshot(t.Context())
				synctest.Wait() // its last call may still return
				asked := p.asked[:min(len(p.asked), len(test.calls))]
				if !slices.Equal(asked, test.calls) {
					t.Errorf("calls for %q, want %q", asked, test.calls)
				}
			})
		})
	}
}

// However long ago that was, and though nobody has asked for it since: suspicion of a whole call ends with the outage,
// that of a name with its success.
func TestBatch_WhoFailedAloneStaysAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &recording{fails: func(int, string) bool { return false }}
		env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithEnviron(
			map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}))
		if err != nil {
			t.Fatal(err)
		}
		names := []string{"A", "B", "C"}
		for _, name := range names {
			mustGet(t, env, name)
		}
		time.Sleep(5 * time.Minute)
		p.fails = func(_ int, names string) bool {
			if names == "a" {
				time.AfterFunc(10*time.Millisecond, cancel) // its reader leaves before it tries again
			}
			return strings.Contains(names, "a")
		}
		env.Get(ctx, "A")
		time.Sleep(5 * time.Second)
		mustGet(t, env, "B") // it is the next probe, and clears the others
		time.Sleep(10 * time.Minute)
		env.Snapshot(t.Context())
		synctest.Wait()
		asked := p.asked[len(names):]
		if want := []string{"a b c", "a b c", "a", "b", "a", "b c"}; !slices.Equal(asked[:min(6, len(asked))], want) {
			t.Errorf("calls for %q, want %q", asked, want)
		}
	})
}

// Names that were answered alone, as a probe or because they were under suspicion, are asked together again. After the
// first failure of that they are alone at once.
func TestBatch_ClearedOnesPartAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ill := false
		p := &recording{fails: func(_ int, names string) bool {
			return ill && len(names) > 1 && strings.Contains(names, "c")
		}}
		env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithEnviron(
			map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}), secrets.WithTTL(40*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		names := []string{"A", "B", "C"}
		readAll := func() {
			for _, name := range names {
				mustGet(t, env, name)
			}
		}
		readAll()
		ill = true
		time.Sleep(40 * time.Second)
		readAll() // a is the probe that is answered, b and c part after that
		readAll()
		for _, first := range names {
			time.Sleep(40 * time.Second)
			before := len(p.asked)
			g := <-read(t.Context(), env, first)
			if asked := p.asked[before:]; g.Stale || g.Took > 20*time.Millisecond || len(asked) > 4 {
				t.Errorf("%s: %+v after calls for %q, want one for all and then one for each, at once", first, g, asked)
			}
			readAll()
			readAll()
		}
	})
}

// A probe that was denied was answered: its neighbours are asked, and do not share the denial.
func TestBatch_DeniedProbeIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(_ context.Context, call int, id string) (string, error) {
			switch {
			case call <= 2:
				return "", errOdd
			case call == 3:
				return "", errDenied
			}
			return id, nil
		})
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"})
		s := env.Snapshot(t.Context())
		if got := p.Asked(3); got != "a" {
			t.Fatalf("the probe is for %s, want a", got)
		}
		if _, err := s.Get("A"); !errors.Is(err, secrets.ErrAccessDenied) {
			t.Errorf("the probe: %v", err)
		}
		for _, name := range []string{"B", "C"} {
			if _, err := s.Get(name); err != nil {
				t.Errorf("its neighbour: %v", err)
			}
		}
	})
}

// A denial of the probe opens a window as any denial does, though the step before it opened none.
func TestBatch_DeniedProbeOpensWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls, ill := 0, false
		p := batch(func(_ context.Context, refs []secrets.Ref) []secrets.Result {
			calls++
			switch {
			case ill && len(refs) > 1:
				results := same(refs, nil)
				for i, ref := range refs {
					results[i] = secrets.Result{Err: secrets.OddRefusal(ref)}
				}
				return results
			case ill:
				return same(refs, errDenied)
			}
			return same(refs, nil)
		})
		env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithTTL(ttl),
			secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}))
		if err != nil {
			t.Fatal(err)
		}
		mustGet(t, env, "A")
		mustGet(t, env, "B")
		time.Sleep(ttl)
		ill, calls = true, 0
		for range 10 {
			if g := <-read(t.Context(), env, "A"); !g.Stale || g.Took != 0 || calls != 2 {
				t.Errorf("%+v after %d calls, want the old value after one for both and a probe", g, calls)
			}
		}
	})
}

// A value that an older call brings while a probe runs ends the suspicion: the names are asked together, and after a
// failure again.
func TestBatch_OlderValueEndsSuspicion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(_ context.Context, call int, id string) (string, error) {
			switch call {
			case 1:
				time.Sleep(2 * time.Second / 3) // for each of three
			case 4:
				time.Sleep(3 * time.Second)
			case 2, 3, 5:
				return "", errOdd
			}
			return id, nil
		})
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"})
		go env.Snapshot(t.Context())
		synctest.Wait()
		if err := env.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		for i, want := range []string{"a b c", "a b c", "a b c", "a", "b c", "b c"} {
			if got := p.Asked(i + 1); got != want {
				t.Errorf("call %d is for %s, want %s", i+1, got, want)
			}
		}
	})
}

// What a probe says when it is given up is told to all that waited for it, as far as anybody waits.
func TestBatch_LastWordsOfProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		calls := 0
		p := batch(func(ctx context.Context, refs []secrets.Ref) []secrets.Result {
			mu.Lock()
			calls++
			n := calls
			mu.Unlock()
			if n <= 2 {
				return same(refs, errOdd)
			}
			<-ctx.Done()
			return same(refs, fmt.Errorf("host db.example did not answer: %w", secrets.ErrUnavailable))
		})
		env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithEnviron(
			map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		s := env.Snapshot(ctx)
		for _, name := range []string{"A", "B", "C"} {
			if _, err := s.Get(name); !strings.Contains(secrets.Detail(err), "db.example") ||
				!errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s", secrets.Detail(err))
			}
		}
	})
}

// A probe's error that comes when everybody has changed their minds is no news of anything.
func TestBatch_LateErrorOfProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(_ context.Context, call int, _ string) (string, error) {
			if call == 3 {
				time.Sleep(10 * time.Second)
			}
			return "", errOdd
		})
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		env.Snapshot(ctx)
		before := env.Stats().Failures[secrets.ErrUnavailable.Error()]
		time.Sleep(20 * time.Second)
		if n := env.Stats().Failures[secrets.ErrUnavailable.Error()]; p.Count() != 3 || n != before {
			t.Errorf("%d failures after %d calls, want %d after 3", n, p.Count(), before)
		}
	})
}

// Two probes that nobody has an answer to are an outage, whatever name they asked for: all names leave together again.
func TestBatch_HangingProbesAreAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Hang()
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c", "D": "sm://d"})
		for range 6 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			s := env.Snapshot(ctx)
			cancel()
			for _, name := range []string{"A", "B", "C", "D"} {
				_, err := s.Get(name)
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
					t.Errorf("%v, want that time was up, not that the call was cancelled", err)
				}
			}
			time.Sleep(35 * time.Second)
		}
		for i, want := range []string{"a b c d", "a b c d", "a", "b", "a b c d", "a b c d"} {
			if got := p.Asked(i + 1); got != want {
				t.Errorf("call %d is for %s, want %s", i+1, got, want)
			}
		}
	})
}

// What was taken along and is cancelled with its call is not waited for any longer.
func TestBatch_CancelledWithWhatItTookAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(ttl))
		mustGet(t, env, "A")
		mustGet(t, env, "B")
		time.Sleep(ttl)
		p.Hang()
		if g := <-read(t.Context(), env, "A"); g.Text != "a-1" || !g.Stale || g.Took != 950*time.Millisecond {
			t.Errorf("%+v, want the old value after 950ms", g)
		}
	})
}

// A result that nobody waits for any more ends nothing: its neighbours in the round are still waited for.
func TestFlight_LateResultEndsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fails atomic.Bool
		var calls atomic.Int32
		fails.Store(true)
		p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			if fails.Load() {
				return secrets.Value{}, errThrottled
			}
			calls.Add(1)
			if ref.ID() == "a" {
				time.Sleep(200 * time.Millisecond)
				return secrets.NewValue("a", ""), nil
			}
			return secrets.NewValue("b", ""), pause(ctx, 400*time.Millisecond)
		})
		env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(quiet()),
			secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		leaves, stays := read(ctx, env, "A"), read(t.Context(), env, "B")
		synctest.Wait()
		fails.Store(false)
		for calls.Load() < 2 { // they leave together, after the pause
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-leaves
		if g := <-stays; g.Text != "b" || g.Err != nil || calls.Load() != 2 {
			t.Errorf("%+v after %d calls, want 2", g, calls.Load())
		}
	})
}

// A short Refresh of what was never fetched learns little, and turns nobody away.
func TestRefresh_ShortWaitSaysLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Hang()
		env := p.One(t)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := env.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) || failureOf(env, "A") != nil {
			t.Errorf("%v, remembered %v", err, failureOf(env, "A"))
		}
	})
}

// An error that comes when everybody has changed their minds is no news.
func TestFlight_LateErrorIsNoNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(context.Context, int, string) (string, error) {
			time.Sleep(200 * time.Millisecond)
			return "", errThrottled
		})
		env := p.One(t)
		ctx, cancel := context.WithCancel(t.Context())
		reader := read(ctx, env, "A")
		time.Sleep(100 * time.Millisecond)
		cancel()
		<-reader
		time.Sleep(time.Second)
		if s := env.Stats(); len(s.Failures) != 0 || failureOf(env, "A") != nil {
			t.Errorf("failures %v, remembered %v", s.Failures, failureOf(env, "A"))
		}
	})
}

// A name that hangs takes its whole call along, where a provider makes one call for all: it is found as one that fails
// is (promise 4).
func TestBatch_HangingNameIsFound(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 10} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { hangingNameIsFound(t, n) })
		})
	}
}

func hangingNameIsFound(t *testing.T, n int) {
	environ := map[string]string{}
	for i := range n {
		environ[fmt.Sprint("S", i)] = fmt.Sprint("sm://s", i)
	}
	env, _ := secrets.New(secrets.WithEnviron(environ), secrets.WithLogger(quiet()), secrets.WithProvider(
		batch(func(ctx context.Context, refs []secrets.Ref) []secrets.Result {
			for _, ref := range refs {
				if ref.ID() == "s0" {
					<-ctx.Done() // as one HTTP call for all of them
					return same(refs, ctx.Err())
				}
			}
			return same(refs, nil)
		})))
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		s := env.Snapshot(ctx)
		cancel()
		if _, err := s.Get("S1"); err == nil {
			return
		}
		time.Sleep(time.Second)
	}
	t.Error("a good secret never came in 20 invocations")
}

// Callers with an old value who give up leave the call to those who need it.
func TestFlight_GoesOnForWhoeverNeedsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "COLD": "sm://cold"}, secrets.WithTTL(ttl))
		mustGet(t, env, "A")
		time.Sleep(ttl)
		p.Set(3*time.Second, nil)
		began := time.Now()
		v, err := env.Snapshot(t.Context()).Get("COLD")
		if d := time.Since(began); err != nil || d != 3*time.Second || p.Count() != 2 {
			t.Errorf("%s, %v after %v and %d calls", v.Reveal(), err, d, p.Count()-1)
		}
	})
}

// An error is known even if only a neighbour in the same call still waits for it.
func TestFlight_ErrorOfLeftTryIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "COLD": "sm://cold"}, secrets.WithTTL(ttl))
		mustGet(t, env, "A")
		time.Sleep(ttl)
		p.Fail(errThrottled)
		<-read(t.Context(), env, "A")
		stays := read(t.Context(), env, "COLD")
		time.Sleep(5 * time.Second) // it pauses
		p.Set(700*time.Millisecond, func(context.Context, int, string) (string, error) { return "", errThrottled })
		var began time.Time
		for waited := time.Duration(0); waited == 0; time.Sleep(time.Millisecond) { // until no window is open
			began = time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			waited = (<-read(ctx, env, "A")).Took
			cancel()
		}
		time.Sleep(time.Until(began.Add(1350 * time.Millisecond))) // the window of that silence has closed
		if g := <-read(t.Context(), env, "A"); !g.Stale || g.Took != 0 {
			t.Errorf("%+v, want the old value at once", g)
		}
		<-stays
	})
}

// A reader whose old value is good enough waits for no pause between the tries of others.
func TestGet_StaleWaitsForNoPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a"}, secrets.WithTTL(ttl))
		mustGet(t, env, "A")
		time.Sleep(ttl)
		p.Fail(errThrottled)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { env.Refresh(ctx) })
		time.Sleep(15 * time.Second) // its pauses are two seconds by now
		for range 200 {
			if g := <-read(t.Context(), env, "A"); !g.Stale || g.Took != 0 {
				t.Errorf("%+v, want the old value at once", g)
			}
			time.Sleep(100 * time.Millisecond)
		}
		cancel()
		wg.Wait()
	})
}

// Nobody waits for a probe because of an outage that is long over.
func TestBatch_OldOutageIsForgotten(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]time.Duration{"in it": 10 * time.Second, "long after": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &recording{fails: func(int, string) bool { return true }}
				env, err := secrets.New(secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithEnviron(
					map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c", "D": "sm://d"}))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 350*time.Millisecond)
				defer cancel()
				env.Snapshot(ctx)
				time.Sleep(pause)
				p.fails = func(int, string) bool { return false }
				before := len(p.asked)
				env.Snapshot(t.Context())
				asked := p.asked[before:]
				if together := len(asked[0]) > 1; together != (pause > time.Minute) {
					t.Errorf("calls for %q", asked)
				}
			})
		})
	}
}

// A reader that is held up, as by its logger, takes what came meanwhile: it does not wait for what others have begun
// since, not even under a TTL of zero.
func TestFlight_LooksBeforeItJoins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		journal, _ := newJournal()
		var calls, version atomic.Int32
		p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			if ref.ID() == "b" {
				return secrets.NewValue("b", fmt.Sprint(version.Load())), pause(ctx, 50*time.Millisecond)
			}
			n := calls.Add(1)
			return secrets.NewValue(fmt.Sprint("a-", n), ""), pause(ctx, time.Duration(n-1)*100*time.Millisecond)
		})
		slow := loggerThat(journal, func() { time.Sleep(200 * time.Millisecond) })
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}),
			secrets.WithProvider(p), secrets.WithLogger(slow), secrets.WithTTL(0))
		if err != nil {
			t.Fatal(err)
		}
		mustGet(t, env, "B")
		mustGet(t, env, "A")
		version.Store(1)
		began := time.Now()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			time.Sleep(150 * time.Millisecond)
			env.Refresh(t.Context(), "A")
		})
		// B comes after 50 ms with another version, which the logger takes 200 ms for, and A after 100 ms.
		v, err := env.Snapshot(t.Context()).Get("A")
		if d := time.Since(began); err != nil || v.Reveal() != "a-2" || v.Stale() || d != 250*time.Millisecond {
			t.Errorf("%q, %v, stale %t after %v, want a-2 after 250ms", v.Reveal(), err, v.Stale(), d)
		}
		if n := journal.Count("secrets.version"); n != 1 {
			t.Errorf("%d lines were logged, want 1", n)
		}
	})
}

// Nothing runs for nobody (promise 3): what a warm was refused, and what only a reader who left has asked for, is not
// taken along. What a warm did not get is.
func TestBatch_TakesAlongWhatIsWanted(t *testing.T) {
	t.Parallel()
	denied := func(p *script) { p.Fail(errDenied) }
	hangs := func(p *script) { p.Hang() }
	warm := func(env *secrets.Env, ctx context.Context) { env.Warm(ctx) }
	get := func(env *secrets.Env, ctx context.Context) { env.Get(ctx, "B") }
	for _, test := range []struct {
		name  string
		first func(*script)
		asks  func(*secrets.Env, context.Context)
		want  string
	}{
		{"a warm that was refused", denied, warm, "a"},
		{"a warm without a result", hangs, warm, "a b"},
		{"a reader without a result", hangs, get, "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(ttl))
				mustGet(t, env, "A")
				within := func(d time.Duration, f func(*secrets.Env, context.Context)) {
					ctx, cancel := context.WithTimeout(t.Context(), d)
					defer cancel()
					f(env, ctx)
				}
				test.first(p)
				within(400*time.Millisecond, test.asks)
				// A throttle follows, so that only the warm's interest is left of the refusal.
				p.Fail(errThrottled)
				time.Sleep(ttl)
				within(400*time.Millisecond, func(env *secrets.Env, ctx context.Context) { env.Refresh(ctx, "B") })
				within(400*time.Millisecond, func(env *secrets.Env, ctx context.Context) { env.Get(ctx, "A") })
				time.Sleep(2 * time.Minute)
				before := p.Count()
				mustGet(t, env, "A")
				if got := p.Asked(before + 1); got != test.want {
					t.Errorf("a read of A calls for %s, want %s", got, test.want)
				}
			})
		})
	}
}

// A caller who tries again takes along what failed in the same call, as a whole, and not what failed on its own: that
// is tried once in its window (promises 2 and 6).
func TestBatch_RetryTakesAlongWhatFailedAsOne(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fails string
		want  string // of the second call
	}{{"the whole call", "abc", "a b c"}, {"two on their own", "ab", "a"}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}, secrets.WithTTL(ttl))
				for _, name := range []string{"A", "B", "C"} {
					mustGet(t, env, name)
				}
				time.Sleep(ttl)
				p.Set(0, func(_ context.Context, _ int, id string) (string, error) {
					if strings.Contains(test.fails, id) {
						return "", errOdd
					}
					return id, nil
				})
				before := p.Count()
				mustGet(t, env, "A")
				if got := p.Asked(before + 1); got != "a b c" {
					t.Fatalf("the first call is for %s, want a b c", got)
				}
				if got := p.Asked(before + 2); got != test.want {
					t.Errorf("the second call is for %s, want %s", got, test.want)
				}
			})
		})
	}
}

// Callers whose deadlines end one after the other do not turn the backoff into a try for each of them.
func TestFlight_LastTriesAreFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Fail(errThrottled)
		env := p.One(t)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second+time.Duration(i)*100*time.Millisecond)
				defer cancel()
				env.Get(ctx, "A")
			})
		}
		time.Sleep(19 * time.Second)
		before := p.Count()
		wg.Wait()
		if n := p.Count() - before; n > 15 { // one each second at most
			t.Errorf("%d calls in the last ten seconds", n)
		}
	})
}

// A caller in a hurry takes a neighbour along and leaves: the neighbour's readers, who have more time, get its value.
func TestBatch_HurriedCallerHarmsNoNeighbour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(ttl))
		mustGet(t, env, "A")
		mustGet(t, env, "B")
		time.Sleep(ttl)
		p.Set(200*time.Millisecond, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		hurried, patient := read(ctx, env, "A"), read(t.Context(), env, "B")
		if g := <-hurried; !g.Stale {
			t.Errorf("%+v, want the old value", g)
		}
		late := read(t.Context(), env, "B")
		if a, b := <-patient, <-late; a.Stale || b.Stale {
			t.Errorf("%+v and %+v, want new values", a, b)
		}
	})
}

// What was taken along may hang together with what its caller waits for, up to the end of its time.
func TestBatch_TakenAlongHangsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(ttl))
		mustGet(t, env, "B")
		time.Sleep(ttl)
		p.Hang()
		before := p.Count()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if g := <-read(ctx, env, "A"); g.Err == nil || g.Took > 3*time.Second || p.Asked(before+1) != "a b" {
			t.Errorf("%+v, asked for %q, want both in one call, and no answer", g, p.Asked(before+1))
		}
	})
}

// What a warm waited for in vain is as slow as that: it does not come along with what answers quickly.
func TestBatch_SlowInWarmStaysBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(ttl))
		mustGet(t, env, "A")
		p.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := env.Warm(ctx); err == nil {
			t.Error("a Warm brought what hangs")
		}
		time.Sleep(ttl)
		p.Set(0, func(ctx context.Context, _ int, id string) (string, error) {
			if id == "b" {
				<-ctx.Done()
			}
			return "new", ctx.Err()
		})
		before := p.Count()
		if g := <-read(t.Context(), env, "A"); g.Text != "new" || g.Took != 0 || p.Asked(before+1) != "a" {
			t.Errorf("%+v, asked for %q, want a alone, at once", g, p.Asked(before+1))
		}
	})
}

// Who took a source along in vain says nothing of it, if somebody else's later try was answered.
func TestBatch_LaterAnswerCountsMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		const brief = 400 * time.Millisecond
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(brief))
		mustGet(t, env, "A")
		mustGet(t, env, "B")
		time.Sleep(brief)
		p.Set(0, func(context.Context, int, string) (string, error) {
			time.Sleep(3 * time.Second) // whatever its context says
			return "", errThrottled
		})
		before := p.Count()
		first := read(t.Context(), env, "A")
		time.Sleep(800 * time.Millisecond)
		p.Set(0, func(context.Context, int, string) (string, error) { return "new", nil })
		if err := env.Refresh(t.Context(), "B"); err != nil {
			t.Error(err)
		}
		if g := <-first; !g.Stale || p.Asked(before+1) != "a b" {
			t.Errorf("%+v, asked for %q, want the old value, after b was taken along", g, p.Asked(before+1))
		}
		p.Set(0, func(context.Context, int, string) (string, error) { return "newer", nil })
		time.Sleep(brief)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // less than a was waited for since
		defer cancel()
		if g := <-read(ctx, env, "B"); g.Text != "newer" {
			t.Errorf("%+v, want a newer value", g)
		}
		time.Sleep(10 * time.Second) // the first call is over
	})
}

// An error that somebody still waits for counts, though others have given up its try long ago.
func TestFlight_AwaitedErrorCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		time.Sleep(ttl)
		p.Set(0, func(context.Context, int, string) (string, error) {
			time.Sleep(1200 * time.Millisecond) // whatever its context says
			return "", errThrottled
		})
		first := read(t.Context(), env, "A")
		time.Sleep(500 * time.Millisecond)
		second := read(t.Context(), env, "A")
		if g := <-first; g.Text != "a-2" || g.Took > time.Second {
			t.Errorf("%+v, want the old value after a second", g)
		}
		if g := <-second; g.Text != "a-2" || g.Took > time.Second {
			t.Errorf("%+v, want the old value after a second", g)
		}
		if n := env.Stats().Failures[secrets.ErrThrottled.Error()]; n != 1 {
			t.Errorf("%d throttled tries are known, want that of the first reader", n)
		}
		time.Sleep(time.Minute) // the last try is over
	})
}

// Callers who change their minds say nothing, also while a name is probed that hangs.
func TestBatch_CancelledProbesSayNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Hang()
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"})
		for range 6 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(300*time.Millisecond, cancel)
			env.Snapshot(ctx)
			synctest.Wait()
		}
		for i, want := range []string{"a b", "a b", "a", "b", "a b", "a b"} {
			if got := p.Asked(i + 1); got != want {
				t.Errorf("call %d is for %s, want %s", i+1, got, want)
			}
		}
		if n := env.Stats().Failures; len(n) != 0 {
			t.Errorf("failures: %v", n)
		}
		p.Set(0, nil)
		if g := <-read(t.Context(), env, "A"); g.Err != nil || g.Took != 0 {
			t.Errorf("%+v, want the value at once", g)
		}
	})
}

// A probe that is cut off says nothing of those that wait for it: they keep the failure of their call.
func TestBatch_CutOffProbeKeepsCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b"}),
			secrets.WithLogger(quiet()), secrets.WithProvider(
				batch(func(ctx context.Context, refs []secrets.Ref) []secrets.Result {
					if len(refs) > 1 {
						return same(refs, secrets.OddRefusal(refs[0]))
					}
					<-ctx.Done()
					return same(refs, ctx.Err())
				})))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		s := env.Snapshot(ctx)
		for _, name := range []string{"A", "B"} {
			if _, err := s.Get(name); err == nil || errors.Is(err, context.Canceled) ||
				!strings.Contains(secrets.Detail(err), "400") {
				t.Errorf("%s: %s", name, secrets.Detail(err))
			}
		}
	})
}

// A probe that is throttled is no sign of an outage: names go on being asked alone, one at a time.
func TestBatch_ThrottledProbesAreNoOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}),
			secrets.WithLogger(quiet()), secrets.WithProvider(
				batch(func(_ context.Context, refs []secrets.Ref) []secrets.Result {
					mu.Lock()
					defer mu.Unlock()
					sizes = append(sizes, len(refs))
					if len(refs) > 1 {
						return same(refs, secrets.OddRefusal(refs[0]))
					}
					return same(refs, errThrottled)
				})))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		env.Snapshot(ctx)
		if len(sizes) < 5 || sizes[0] != 3 || slices.Max(sizes[1:]) != 1 {
			t.Errorf("calls for %v names, want one for all and then one name at a time", sizes)
		}
	})
}

// A tree that has outgrown its limits is served as through an outage, for longer than the grace. Where nothing is in
// hand, it is an error at once.
func TestFlight_OutgrownTreeIsServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Fail(secrets.OutgrownError(secrets.Ref{}))
		env := p.One(t, secrets.WithTTL(ttl), secrets.WithGrace(time.Minute))
		if g := <-read(t.Context(), env, "A"); !errors.Is(g.Err, secrets.ErrInvalidReference) || g.Took != 0 {
			t.Errorf("%+v, want the error at once", g)
		}
		time.Sleep(time.Minute)
		p.Fail(nil)
		mustGet(t, env, "A")
		p.Fail(secrets.OutgrownError(secrets.Ref{}))
		for range 10 {
			time.Sleep(ttl)
			if g := <-read(t.Context(), env, "A"); g.Err != nil || !g.Stale {
				t.Errorf("%+v, want the old value", g)
			}
		}
	})
}

// asking is an error whose text asks the cache for something.
type asking struct{ ask func() }

func (e *asking) Error() string { e.ask(); return "the profile is wrong" }
func (e *asking) Unwrap() error { return secrets.ErrConfiguration }

// An error of a provider's own may call the cache, whatever it means.
func TestFlight_ErrorMayCallCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.One(t)
		p.Fail(&asking{ask: func() { env.Stats() }})
		if g := <-read(t.Context(), env, "A"); !errors.Is(g.Err, secrets.ErrConfiguration) {
			t.Errorf("%+v, want the error", g)
		}
	})
}

// One line tells of a wrong configuration, whichever sources it takes down, and another of another.
func TestFlight_ConfigurationIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(_ context.Context, _ int, id string) (string, error) {
			profile := map[string]string{"a": "x", "b": "x", "c": "y"}[id]
			return "", fmt.Errorf("profile %s: %w", profile, secrets.ErrConfiguration)
		})
		log, logger := newJournal()
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}, logger)
		for _, name := range []string{"A", "B", "C"} {
			<-read(t.Context(), env, name)
		}
		if n := log.Count("secrets.denied"); n != 2 {
			t.Errorf("%d lines, want 2: %v", n, log.Events())
		}
		p.Fail(errDenied)
		denied, logger := newJournal()
		env = p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, logger)
		for _, name := range []string{"A", "B"} {
			<-read(t.Context(), env, name)
		}
		if n := denied.Count("secrets.denied"); n != 2 {
			t.Errorf("%d lines, want one for each that is denied: %v", n, denied.Events())
		}
	})
}

// A reader with little time, who has an old value, leaves at once and ends no try that a more patient one waits for,
// who has an old value, too (promise 4).
func TestFlight_ImpatientHolderEndsNoTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: 700 * time.Millisecond}
		env := p.One(t, secrets.WithTTL(10*time.Second))
		mustGet(t, env, "A")
		for range 20 {
			time.Sleep(11 * time.Second)
			before := p.Count()
			impatient := withTime(t, env, 400*time.Millisecond)
			synctest.Wait()
			if g := <-read(t.Context(), env, "A"); g.Err != nil || g.Stale || p.Count() != before+1 {
				t.Errorf("%+v after %d calls, want a new value after one", g, p.Count()-before)
			}
			if g := <-impatient; !g.Stale || g.Took > 400*time.Millisecond {
				t.Errorf("%+v, want the old value in time", g)
			}
		}
	})
}

// A probe that its caller had no time for is no sign of an outage: one of two names answers 5xx to any call that it is
// in, and the good one is not kept from readers with little time.
func TestBatch_ProbeCutShortIsNoOutage(t *testing.T) {
	t.Parallel()
	late, worst := 0, time.Duration(0)
	const runs = 100 // pauses are drawn
	for range runs {
		synctest.Test(t, func(t *testing.T) {
			came := oneBadOfTwo(t)
			if came > 5*time.Second {
				late++
			}
			worst = max(worst, came)
		})
	}
	if late > 0 {
		t.Errorf("in %d of %d runs the good value comes after more than 5 s, at worst after %v", late, runs, worst)
	}
}

// oneBadOfTwo reads two names, of which one turns bad. It returns when the other's new value came.
func oneBadOfTwo(t *testing.T) (came time.Duration) {
	var ill atomic.Bool
	p := batch(func(ctx context.Context, refs []secrets.Ref) []secrets.Result {
		isBad := func(ref secrets.Ref) bool { return ref.ID() == "bad" }
		err := pause(ctx, 20*time.Millisecond)
		if err == nil && ill.Load() && slices.ContainsFunc(refs, isBad) {
			err = secrets.RegionalError(refs[0])
		}
		results := same(refs, err)
		for i := range results {
			if err == nil {
				results[i].Value = secrets.NewValue(map[bool]string{false: "old", true: "new"}[ill.Load()], "")
			}
		}
		return results
	})
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"GOOD": "sm://good", "BAD": "sm://bad"}),
		secrets.WithProvider(p), secrets.WithLogger(quiet()), secrets.WithTTL(ttl))
	if err != nil {
		t.Fatal(err)
	}
	mustGet(t, env, "GOOD")
	mustGet(t, env, "BAD")
	time.Sleep(ttl)
	ill.Store(true)
	began := time.Now()
	var wg sync.WaitGroup
	for _, name := range []string{"GOOD", "BAD"} {
		wg.Go(func() {
			for time.Since(began) < time.Minute {
				ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
				v, err := env.Get(ctx, name)
				cancel()
				if name == "GOOD" && came == 0 && err == nil && v.Reveal() == "new" {
					came = time.Since(began)
				}
				time.Sleep(400 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return max(came, 1)
}

// A context of the caller's own, and the error that it ends with, are asked without the cache's lock: they may call
// the cache.
func TestGet_ContextMayCallCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.One(t)
		p.Hang()
		base, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(time.Second, cancel)
		ctx := ownContext{base, func() error {
			env.Stats()
			if base.Err() == nil {
				return nil
			}
			return &ownCancellation{func() { env.Stats() }}
		}}
		if _, err := env.Get(ctx, "A"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that it was cancelled", err)
		}
	})
}

// ownContext is a context whose Err is a caller's own code, and ownCancellation the error of one.
type ownContext struct {
	context.Context
	err func() error
}

func (c ownContext) Err() error { return c.err() }

type ownCancellation struct{ ask func() }

func (e *ownCancellation) Error() string { return "ended" }
func (e *ownCancellation) Is(target error) bool {
	e.ask()
	return target == context.Canceled
}

// A name whose probe is given up too soon gets its turn once more, and then another name gets one: readers with little
// time would never give a slow one enough.
func TestBatch_CutProbesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		answer := func(ctx context.Context, _ int, id string) (string, error) {
			if id == "a" {
				return "v", pause(ctx, 200*time.Millisecond)
			}
			return "v", nil
		}
		p.Set(0, answer)
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"}, secrets.WithTTL(time.Minute))
		mustGet(t, env, "A")
		mustGet(t, env, "B")
		p.Hang()
		for range 20 { // 375 ms each, where a may need 400
			time.Sleep(30 * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			<-read(ctx, env, "B")
			cancel()
		}
		for n := p.Count() - 8; n <= p.Count(); n++ {
			if strings.Contains(p.Asked(n), "b") {
				return
			}
		}
		t.Errorf("calls for %s, and b is never asked for in the end", calls(p))
	})
}

// A provider that says of its own accord that it was cancelled is not cut short: two such probes are an outage.
func TestBatch_ProbesCancelledByProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		batches := 0
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}),
			secrets.WithLogger(quiet()), secrets.WithProvider(
				batch(func(_ context.Context, refs []secrets.Ref) []secrets.Result {
					mu.Lock()
					defer mu.Unlock()
					if len(refs) > 1 {
						batches++
						return same(refs, secrets.OddRefusal(refs[0]))
					}
					return same(refs, context.Canceled)
				})))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		env.Snapshot(ctx)
		if batches < 2 {
			t.Errorf("%d calls for all, want more after two probes", batches)
		}
	})
}
