package secrets_test

import (
	"errors"
	"fmt"
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

// Promise 2 of the design: values are fresh by both clocks, and one reader refreshes for all.

const ttl = 100 * time.Second

// aged returns an Env whose A was fetched for the second time just now, by call 2, so that its lifetime is 90 to 100 %
// of the TTL.
func aged(t *testing.T, p *script, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	env := p.One(t, append([]secrets.Option{secrets.WithTTL(ttl)}, opts...)...)
	expect(t, env, "a-1")
	time.Sleep(ttl)
	expect(t, env, "a-2")
	return env
}

func TestAge_EitherClock(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		sleep      time.Duration
		wall, mono time.Duration // by which the clocks go on besides
		want       string
	}{
		{"fresh", 80 * time.Second, 0, 0, "a-2"},
		{"due", ttl, 0, 0, "a-3"},
		{"a frozen sandbox: only the wall clock went on", 0, ttl, 0, "a-3"},
		{"a restored snapshot, much later", 0, 100 * 24 * time.Hour, 0, "a-3"},
		{"the wall clock stands still", 0, 0, ttl, "a-3"},
		{"the wall clock was set back by 1 s", 0, -time.Second, 0, "a-3"},
		{"the wall clock was set back by a year", 10 * time.Second, -365 * 24 * time.Hour, 0, "a-3"},
		{"the wall clock was set forward", 0, 365 * 24 * time.Hour, 0, "a-3"},
		{"the wall clock was set forward a little", 0, 10 * time.Second, 0, "a-2"},
		{"the monotonic clock began anew", 0, 0, -time.Hour, "a-3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clock := secretstest.NewClock()
				env := aged(t, &script{}, secrets.WithClock(clock.Now))
				time.Sleep(test.sleep)
				kit.Shift(clock, test.wall, test.mono)
				expect(t, env, test.want)
				expect(t, env, test.want) // and what it fetched is fresh by the clocks as they are now
			})
		})
	}
}

// A failure is remembered for as long as both clocks say, and no longer by either: a clock that stepped back must not
// lengthen it.
func TestBackoff_EndsByEitherClock(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		wall, mono time.Duration // by which the clocks go on
		asks       bool
	}{
		{"no time", 0, 0, false},
		{"half a second", time.Second / 2, time.Second / 2, false},
		{"a second", time.Second, time.Second, true},
		{"a frozen sandbox", time.Hour, 0, true},
		{"the wall clock stands still", 0, time.Hour, true},
		{"the wall clock was set back", -time.Hour, 0, true},
		{"the monotonic clock began anew", 0, -time.Hour, true},
		{"a restored snapshot, much later", 24 * time.Hour, -time.Hour, true},
		{"both stepped back", -time.Hour, -time.Hour, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clock, p := secretstest.NewClock(), &script{}
				env := p.One(t, secrets.WithClock(clock.Now))
				p.Fail(secrets.ErrAccessDenied)
				env.Get(t.Context(), "A")
				p.Fail(nil)
				kit.Shift(clock, test.wall, test.mono)
				if _, err := env.Get(t.Context(), "A"); (err == nil) != test.asks || p.Count() != 1 && !test.asks {
					t.Errorf("asks anew: %v, want %v", err == nil, test.asks)
				}
			})
		})
	}
}

// A value is as old as its question: what the backend took does not count as fresh. (Promise 2.)
func TestAge_CountsFromRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		p.Set(9*time.Second, nil)
		began := time.Now()
		if err := env.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Set(0, nil)
		if at := mustGet(t, env, "A").FetchedAt(); !at.Equal(began) {
			t.Errorf("fetched %v after the request, want 0", at.Sub(began))
		}
		// 90 since the request, which is the longest that it lasts, and the shortest if it were to count from the
		// answer
		time.Sleep(81 * time.Second)
		expect(t, env, "a-4")
	})
}

// Whatever has an end ends by the clock that goes further: a frozen sandbox must not lengthen it, nor a wall clock that
// is set back.
func TestBounds_EndByEitherClock(t *testing.T) {
	t.Parallel()
	for name, shift := range map[string]struct{ wall, mono time.Duration }{"frozen": {time.Hour, 0},
		"the wall clock stands": {0, time.Hour}, "the wall clock is set back": {-time.Hour, time.Hour}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clock, p := secretstest.NewClock(), &script{}
				env := aged(t, p, secrets.WithClock(clock.Now), secrets.WithMaxStale(time.Hour))
				p.Fail(errThrottled)
				kit.Shift(clock, shift.wall, shift.mono)
				if g := <-read(t.Context(), env, "A"); !errors.Is(g.Err, secrets.ErrThrottled) {
					t.Errorf("after the stale bound: %+v", g)
				}

				p.Fail(nil)
				env = aged(t, p.Reset(), secrets.WithClock(clock.Now))
				time.Sleep(ttl)
				p.Fail(errDenied)
				expect(t, env, "a-2*")
				kit.Shift(clock, shift.wall, shift.mono)
				calls := p.Count()
				if g := <-read(t.Context(), env, "A"); !errors.Is(g.Err, secrets.ErrAccessDenied) ||
					p.Count() != calls+1 {
					t.Errorf("after the grace, and the window: %+v, %d calls", g, p.Count()-calls)
				}
			})
		})
	}
}

// In the last tenth of its life one reader refreshes and waits; the others are served. (Promise 2.)
func TestLastTenth_OneReaderRefreshes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		p.Set(500*time.Millisecond, nil)
		time.Sleep(81*time.Second - 1)
		expect(t, env, "a-2")
		if n := p.Count(); n != 2 {
			t.Fatalf("%d calls before the last tenth", n)
		}
		time.Sleep(9 * time.Second) // now in it, whatever lifetime was drawn
		leader := read(t.Context(), env, "A")
		for range 63 {
			if g := <-read(t.Context(), env, "A"); g.Text != "a-2" || g.Stale || g.Took != 0 {
				t.Errorf("%+v while one refreshes, want a-2 at once", g)
			}
		}
		if g := <-leader; g.Text != "a-3" || g.Took != 500*time.Millisecond {
			t.Errorf("who refreshes: %+v", g)
		}
		expect(t, env, "a-3")
		if n := p.Count(); n != 3 {
			t.Errorf("%d calls, want 3", n)
		}
	})
}

// 64 invocations at a time over 1,000 expiries: one fetch per expiry, for which at most one caller waits.
func TestExpiry_OneFetchEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: 20 * time.Millisecond}
		env := p.One(t, secrets.WithTTL(ttl))
		expect(t, env, "a-1")
		time.Sleep(ttl)
		expect(t, env, "a-2")
		first := p.Count()
		var waited, late atomic.Int64
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Millisecond)
				for p.Count()-first < 1000 {
					began := time.Now()
					v, err := env.Get(t.Context(), "A")
					if err != nil || v.Stale() || time.Since(v.FetchedAt()) >= ttl+time.Second {
						late.Add(1)
					}
					if time.Since(began) > 0 {
						waited.Add(1)
					}
					// All of them come before the last tenth, and again and again until one has refreshed.
					if age := time.Since(v.FetchedAt()); age < 80*time.Second {
						time.Sleep(80*time.Second - age)
					} else {
						time.Sleep(4 * time.Second)
					}
				}
			})
		}
		all.Wait()
		if n := p.Count() - first; n != 1000 || waited.Load() != 1000 || late.Load() != 0 {
			t.Errorf("%d fetches, %d waits, %d bad reads; want 1000, 1000, 0", n, waited.Load(), late.Load())
		}
	})
}

// A backend that needs longer than a reader waits is still refreshed, since the next one waits longer.
func TestExpiry_SlowBackendIsRefreshed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		needs time.Duration
		longs time.Duration // the longest wait
		tries int           // that were cut off
	}{{900 * time.Millisecond, time.Second, 0}, {1500 * time.Millisecond, 2 * time.Second, 1},
		{3900 * time.Millisecond, 4 * time.Second, 2}} {
		t.Run(test.needs.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := aged(t, p)
				p.Set(test.needs, nil)
				time.Sleep(ttl)
				var longest time.Duration
				for range 100 {
					g := <-read(t.Context(), env, "A")
					longest = max(longest, g.Took)
					if g.Text != "a-2" {
						break
					}
					time.Sleep(500 * time.Millisecond)
				}
				expect(t, env, fmt.Sprintf("a-%d", 3+test.tries))
				if longest > test.longs {
					t.Errorf("a reader waited %v, want at most %v", longest, test.longs)
				}
			})
		})
	}
}

// lifetimes returns after which part of the TTL each of n environments refreshes for the first and the second time.
func lifetimes(t *testing.T, n int, opts ...secrets.Option) (first, second []float64) {
	due := func(env *secrets.Env) float64 {
		v := mustGet(t, env, "A")
		at := v.FetchedAt()
		for range 2000 {
			time.Sleep(ttl / 1000)
			if v := mustGet(t, env, "A"); !v.FetchedAt().Equal(at) {
				return v.FetchedAt().Sub(at).Seconds() / ttl.Seconds()
			}
		}
		t.Fatal("it was never refreshed")
		return 0
	}
	for range n {
		env := (&script{}).One(t, append([]secrets.Option{secrets.WithTTL(ttl)}, opts...)...)
		first, second = append(first, due(env)), append(second, due(env))
	}
	return first, second
}

func span(parts []float64) (least, most float64) {
	least, most = parts[0], parts[0]
	for _, p := range parts {
		least, most = min(least, p), max(most, p)
	}
	return least, most
}

// Environments that start together do not come back together. A lifetime of x ends, for the first reader in its last
// tenth, at 0.9 x.
func TestLifetime_DrawnPerEnvironment(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		opts []secrets.Option
	}{{"default", nil}, {"never stale", []secrets.Option{secrets.WithMaxStale(0)}}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				first, second := lifetimes(t, 100, test.opts...)
				if least, most := span(first); least < 0.09 || least > 0.25 || most < 0.75 || most > 0.902 {
					t.Errorf("after a cold start %v to %v of the TTL, want 0.09 to 0.9", least, most)
				}
				if least, most := span(second); least < 0.81 || least > 0.84 || most < 0.87 || most > 0.902 {
					t.Errorf("later %v to %v of the TTL, want 0.81 to 0.9", least, most)
				}
			})
		})
	}
}

// After a freeze of longer than the TTL all environments of a function may wake together: lifetimes are drawn as after
// a cold start.
func TestLifetime_AfterFreeze(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			freeze, awake time.Duration
			least, most   int // of 60 that refresh in the first half of the TTL
			// short freezes are the rule between invocations, and no reason to ask more often
		}{{time.Hour, 0, 10, 50}, {ttl / 2, ttl / 2, 0, 0}} {
			short := 0
			for range 60 {
				clock, p := secretstest.NewClock(), &script{}
				env := aged(t, p, secrets.WithClock(clock.Now))
				kit.Shift(clock, test.freeze, 0)
				time.Sleep(test.awake)
				expect(t, env, "a-3")
				time.Sleep(ttl / 2)
				env.Get(t.Context(), "A")
				if p.Count() > 3 {
					short++
				}
			}
			if short < test.least || short > test.most {
				t.Errorf("after a freeze of %v %d of 60 refreshed in the first half of the TTL, want %d to %d",
					test.freeze, short, test.least, test.most)
			}
		}
	})
}

// One round draws one lifetime, so that what was fetched together is due together.
func TestLifetime_OnePerRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			p := &script{}
			env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}, secrets.WithTTL(ttl))
			if err := env.Warm(t.Context()); err != nil {
				t.Fatal(err)
			}
			for p.Count() == 1 {
				time.Sleep(ttl / 100)
				for _, name := range []string{"C", "B", "A"} {
					mustGet(t, env, name)
				}
			}
			if got := p.Asked(2); p.Count() != 2 || got != "a b c" {
				t.Fatalf("%d calls, the second for %s", p.Count(), got)
			}
		}
	})
}

func TestGet_FixedIsFetchedOnce(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{"kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"sm://a?version=11111111-2222-3333-4444-555555555555", "ssm:///a:3"} {
		t.Run(ref, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				clock, p := secretstest.NewClock(), &script{}
				env := p.Env(t, map[string]string{"A": ref}, secrets.WithClock(clock.Now), secrets.WithTTL(0),
					secrets.WithMaxStale(0))
				mustGet(t, env, "A")
				p.Fail(secrets.ErrAccessDenied)
				time.Sleep(1000 * time.Hour)
				kit.Shift(clock, -10000*time.Hour, time.Hour)
				mustGet(t, env, "A")
				if err := env.Refresh(t.Context()); err != nil {
					t.Errorf("Refresh: %v", err)
				}
				if v := mustGet(t, env, "A"); v.Stale() || p.Count() != 1 {
					t.Errorf("stale %v, %d calls", v.Stale(), p.Count())
				}
				r, err := secrets.ParseRef(ref)
				if err != nil {
					t.Fatal(err)
				}
				if v, err := env.Resolve(t.Context(), r); err != nil || v.Stale() || p.Count() != 1 {
					t.Errorf("the same reference built in code: %v, %d calls", err, p.Count())
				}
			})
		})
	}
}

// With a TTL of 0 every read fetches, those of the same moment together.
func TestTTL_Zero(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: time.Millisecond}
		env := p.One(t, secrets.WithTTL(0))
		expect(t, env, "a-1")
		expect(t, env, "a-2")
		x, y := read(t.Context(), env, "A"), read(t.Context(), env, "A")
		if x, y := <-x, <-y; x.Text != "a-3" || y.Text != "a-3" || x.Stale {
			t.Errorf("%+v %+v", x, y)
		}
		p.Fail(secrets.ErrThrottled)
		expect(t, env, "a-3*")
	})
}

// Nothing runs in the background: a value that nobody reads is not refreshed. (Promise 3.)
func TestExpiry_NoBackgroundWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		aged(t, p)
		time.Sleep(100 * ttl)
		if n := p.Count(); n != 2 {
			t.Errorf("%d calls", n)
		}
	})
}

// The state of a value, at the edges of its bounds.
func TestState_Bounds(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	const outgrown, denied = "it is older than its stale bound", "its refresh has failed for the whole grace period"
	for name, test := range map[string]struct {
		known          secrets.Known
		state, dropped string
	}{
		"new": {secrets.Known{TTL: 10 * minute, MaxStale: time.Hour}, "fresh", ""},
		"before nine tenths": {secrets.Known{Age: 9*minute - 1, TTL: 10 * minute, MaxStale: time.Hour}, "fresh",
			""},
		"at nine tenths": {secrets.Known{Age: 9 * minute, TTL: 10 * minute, MaxStale: time.Hour},
			"dueSoon", ""},
		"at its TTL": {secrets.Known{Age: 10 * minute, TTL: 10 * minute, MaxStale: time.Hour}, "due",
			""},
		"at its lifetime": {secrets.Known{Age: 5 * minute, TTL: 10 * minute, MaxStale: time.Hour,
			Share: 0.5}, "due", ""},
		"before its stale bound": {secrets.Known{Age: time.Hour - 1, TTL: 10 * minute, MaxStale: time.Hour}, "due",
			""},
		"at its stale bound": {secrets.Known{Age: time.Hour, TTL: 10 * minute, MaxStale: time.Hour},
			"missing", outgrown},
		"a stale bound below":      {secrets.Known{Age: 5 * minute, TTL: 10 * minute, MaxStale: minute}, "fresh", ""},
		"the TTL, at its lifetime": {secrets.Known{Age: 5 * minute, TTL: 10 * minute, Share: 0.5}, "due", ""},
		"the TTL, at the TTL":      {secrets.Known{Age: 10 * minute, TTL: 10 * minute}, "missing", outgrown},
		"it lacks a field": {secrets.Known{Age: 30 * time.Second, TTL: 10 * minute, MaxStale: time.Hour,
			Broken: true}, "due", ""},
		"it cannot change": {secrets.Known{Age: 24 * time.Hour, TTL: minute, Fixed: true,
			DeniedFor: time.Hour}, "fresh", ""},
		"throttled": {secrets.Known{TTL: 10 * minute, MaxStale: time.Hour, Throttled: true}, "fresh",
			""},
		"denied, in the grace": {secrets.Known{TTL: 10 * minute, MaxStale: time.Hour, Grace: minute,
			DeniedFor: minute - 1}, "dueSoon", ""},
		"denied, due, in the grace": {secrets.Known{Age: 10 * minute, TTL: 10 * minute, MaxStale: time.Hour,
			Grace: minute, DeniedFor: 1}, "due", ""},
		"denied, the grace is over": {secrets.Known{TTL: 10 * minute, MaxStale: time.Hour, Grace: minute,
			DeniedFor: minute}, "missing", denied},
		"TTL 0":                      {secrets.Known{MaxStale: time.Hour}, "due", ""},
		"TTL 0 and no stale bound 0": {secrets.Known{}, "missing", outgrown},
	} {
		if state, dropped := test.known.State(); state != test.state || dropped != test.dropped {
			t.Errorf("%s: %s %q, want %s %q", name, state, dropped, test.state, test.dropped)
		}
	}
}

// Windows double from 1 to 30 seconds, less a share of a quarter, and do not grow while one is open.
func TestOpenWindow_Doubles(t *testing.T) {
	t.Parallel()
	want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
	for i, got := range secrets.Windows(7, 0) {
		if got != want[i]*time.Second {
			t.Errorf("window %d is %v, want %v", i, got, want[i]*time.Second)
		}
	}
	for i, got := range secrets.Windows(7, 1) {
		if got != want[i]*time.Second*3/4 {
			t.Errorf("window %d is %v at the shortest, want three quarters of %v", i, got, want[i]*time.Second)
		}
	}
}

// Silence turns away only callers who have no more time than was waited in vain, or an old value.
func TestTurnsAway_LessTimeOrOldValue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		silence, has      time.Duration
		holds, cameBefore bool
		want              bool
	}{
		{0, time.Hour, false, false, true},
		{0, time.Hour, false, true, false},
		{2 * time.Second, 2 * time.Second, false, false, true},
		{2 * time.Second, 2*time.Second + 1, false, false, false},
		{2 * time.Second, time.Hour, true, false, true},
		{950 * time.Millisecond, time.Hour, true, false, true},
		{75 * time.Millisecond, time.Hour, true, false, false},
		{337500 * time.Microsecond, 375 * time.Millisecond, true, false, true},
		{337500 * time.Microsecond, 376 * time.Millisecond, true, false, false},
		{2 * time.Second, time.Hour, true, true, false},
	} {
		if got := secrets.TurnsAway(test.silence, test.has, test.holds, test.cameBefore); got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
	}
}

// A name that makes whole calls fail is looked for in steps; its own failure is none.
func TestSuspicion_Steps(t *testing.T) {
	t.Parallel()
	for failures, want := range map[string]string{
		"own,own":                    "trusted,trusted",
		"5xx,5xx,5xx":                "failedOnce,probing,probing",
		"4xx,4xx":                    "probing at once,probing",
		"5xx,5xx,probe answered,5xx": "failedOnce,probing,cleared,apart at once",
		"4xx,probe answered,4xx,own": "probing at once,cleared,apart at once,apart",
		"5xx,4xx,probe answered,5xx": "failedOnce,probing,cleared,apart at once",
		"4xx,probe answered,5xx,5xx": "probing at once,cleared,apart at once,apart",

		"5xx,5xx,probe fails,probe fails":             "failedOnce,probing,probing,outage",
		"4xx,probe fails,probe fails,own":             "probing at once,probing,outage,outage",
		"4xx,probe fails,probe fails,5xx,5xx":         "probing at once,probing,outage,failedOnce,probing",
		"4xx,probe fails,probe fails,4xx,4xx":         "probing at once,probing,outage,failedOnce,probing",
		"4xx,probe fails,probe fails,5xx,probe fails": "probing at once,probing,outage,failedOnce,failedOnce",
	} {
		if got := strings.Join(secrets.Suspicions(strings.Split(failures, ",")...), ","); got != want {
			t.Errorf("%s: %s, want %s", failures, got, want)
		}
	}
}

// The first lifetime is spread over nearly the whole TTL, later ones over a tenth.
func TestDrawLife_Spread(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		draw     float64
		together bool
		want     float64
	}{{0, true, 0.1}, {1, true, 1}, {0, false, 0.9}, {1, false, 1}} {
		if got := secrets.DrawLife(test.draw, test.together); got != test.want {
			t.Errorf("%v, together %t: %v, want %v", test.draw, test.together, got, test.want)
		}
	}
}
