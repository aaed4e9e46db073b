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

// Promises 5 and 6 of the design: a good value is not lost, nor held hostage, and failures are remembered.

// Promise 5: a transient failure serves the old value, marked stale.
func TestGet_StaleThroughFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		err    error
		serves time.Duration // for how long after the first failure
	}{
		{"throttled", errThrottled, 24*time.Hour - ttl},
		{"unavailable", secrets.ErrUnavailable, 24*time.Hour - ttl},
		{"unknown", errOdd, 24*time.Hour - ttl},
		{"denied", errDenied, 5 * time.Minute},
		{"not found", secrets.ErrNotFound, 5 * time.Minute},
		{"cannot decrypt", secrets.ErrDecrypt, 5 * time.Minute},
		{"no such field", secrets.ErrField, 5 * time.Minute},
		{"invalid reference", secrets.ErrInvalidReference, 5 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				journal, logger := newJournal()
				env := aged(t, p, logger)
				time.Sleep(ttl)
				p.Fail(test.err)
				first := time.Now()
				took(t, "the first failing read", 0, time.Second, func() { expect(t, env, "a-2*") })
				synctest.Wait() // a flight logs after it has answered
				denials := 0    // a permanent failure has a line of its own
				if test.serves < time.Hour {
					denials = 1
				}
				if n := journal.Count("secrets.denied"); n != denials {
					t.Errorf("logged %d times at the first failure, want %d: %v", n, denials, journal.Events())
				}
				for range 18 {
					took(t, "a failing read", 0, time.Second, func() { expect(t, env, "a-2*") })
					time.Sleep(test.serves / 20)
				}
				time.Sleep(time.Until(first.Add(test.serves - 2*time.Second)))
				expect(t, env, "a-2*")
				time.Sleep(2 * time.Second)
				g := <-read(t.Context(), env, "A")
				if g.Err == nil {
					t.Fatalf("served %s after %v", g.Text, time.Since(first))
				}
				if !errors.Is(g.Err, test.err) && !errors.Is(g.Err, secrets.ErrUnavailable) {
					t.Errorf("%v", g.Err)
				}
				for event, want := range map[string]int{"secrets.stale": 1 - denials, "secrets.dropped": 1,
					"secrets.denied": denials} {
					if n := journal.Count(event); n != want {
						t.Errorf("%s was logged %d times, want %d", event, n, want)
					}
				}
				p.Fail(nil)
				time.Sleep(30 * time.Second)
				if g := <-read(t.Context(), env, "A"); g.Err != nil || g.Stale {
					t.Errorf("after service is back: %+v", g)
				}
			})
		})
	}
}

// The grace runs from the first permanent failure, whatever follows, and also for a value that is still inside its TTL.
// (Promise 5.)
func TestGrace_FromFirstDenial(t *testing.T) {
	t.Parallel()
	type step struct {
		after time.Duration
		err   error // that fetches end with from now on; nil: none
		want  string
	}
	tests := []struct {
		name    string
		grace   time.Duration
		refresh bool // the first step is seen by Refresh, inside the TTL
		steps   []step
	}{
		{"transient failures do not prolong it", 5 * time.Minute, false, []step{
			{0, errDenied, "a-2*"}, {time.Minute, errThrottled, "a-2*"}, {2 * time.Minute, errThrottled, "a-2*"},
			{119 * time.Second, errThrottled, "a-2*"}, {time.Second, errThrottled, "throttled"}}},
		{"transient failures before it do not count", 5 * time.Minute, false, []step{
			{0, errThrottled, "a-2*"}, {time.Hour, errThrottled, "a-2*"}, {time.Minute, errDenied, "a-2*"},
			{4 * time.Minute, errDenied, "a-2*"}, {time.Minute, errDenied, "access denied"}}},
		{"a success ends it", 5 * time.Minute, false, []step{
			{0, errDenied, "a-2*"}, {4 * time.Minute, nil, "a-"}, {ttl, errDenied, "a-"},
			{4 * time.Minute, errDenied, "a-"}}},
		{"inside the TTL", 30 * time.Second, true, []step{
			{0, errDenied, "a-2"}, {29 * time.Second, errDenied, "a-2"}, {time.Second, errDenied, "access denied"}}},
		{"none", 0, false, []step{{0, errDenied, "access denied"}}},
		{"none, inside the TTL", 0, true, []step{{0, errDenied, "access denied"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := aged(t, p, secrets.WithGrace(test.grace))
				if !test.refresh {
					time.Sleep(ttl)
				}
				for i, s := range test.steps {
					time.Sleep(s.after)
					p.Fail(s.err)
					if i == 0 && test.refresh {
						if err := env.Refresh(t.Context()); !errors.Is(err, s.err) {
							t.Fatalf("Refresh: %v", err)
						}
					}
					ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
					g := <-read(ctx, env, "A")
					cancel()
					got := fmt.Sprint(g.Text, g.Err)
					if g.Stale {
						got = g.Text + "*"
					}
					if !strings.Contains(got, s.want) {
						t.Errorf("step %d, after %v: got %s, want %s", i, s.after, got, s.want)
					}
				}
			})
		})
	}
}

// The grace also holds for a reader with a shorter TTL, who comes after the denial.
func TestGrace_ShorterTTLAfterDenial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p, secrets.WithGrace(30*time.Second))
		p.Fail(errDenied)
		env.Refresh(t.Context())
		shorter, err := secrets.ParseRef("sm://a?ttl=80s")
		if err != nil {
			t.Fatal(err)
		}
		if v, err := env.Resolve(t.Context(), shorter); err != nil || v.Reveal() != "a-2" {
			t.Errorf("in the grace: %v", err)
		}
		time.Sleep(30 * time.Second)
		if _, err := env.Get(t.Context(), "A"); !errors.Is(err, secrets.ErrAccessDenied) {
			t.Errorf("after the grace: %v", err)
		}
	})
}

func TestMaxStale_EndsService(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		bound time.Duration
		lasts time.Duration // how old the value may get
	}{{"an hour", time.Hour, time.Hour}, {"never beyond the TTL", 0, 0}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := aged(t, p, secrets.WithMaxStale(test.bound))
				p.Fail(errThrottled)
				time.Sleep(88 * time.Second)
				expect(t, env, "a-2") // still inside the TTL, a second later
				expect(t, env, "a-2") // likewise, while the failure is remembered
				if test.lasts > 0 {
					time.Sleep(test.lasts - 95*time.Second)
					expect(t, env, "a-2*")
				}
				time.Sleep(12 * time.Second)
				if g := <-read(t.Context(), env, "A"); !errors.Is(g.Err, secrets.ErrThrottled) {
					t.Errorf("%+v", g)
				}
			})
		})
	}
}

// With a value in hand nobody waits for a backend that hangs for longer than its patience, nor into its reserve.
// (Promise 5.)
func TestGet_WaitWithValueIsBounded(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		deadline time.Duration // of the caller; 0: none
		least    time.Duration
	}{
		{"no deadline", 0, time.Second},
		{"a distant deadline", time.Minute, time.Second},
		{"a deadline of 1 s", time.Second, 750 * time.Millisecond},
		{"a deadline of 200 ms", 200 * time.Millisecond, 150 * time.Millisecond},
		{"a deadline of 1 ms", time.Millisecond, 750 * time.Microsecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := aged(t, p)
				p.Set(0, func(ctx context.Context, _ int, _ string) (string, error) {
					<-ctx.Done()
					time.Sleep(time.Second) // it is slow to stop, too
					return "", ctx.Err()
				})
				time.Sleep(ttl)
				limited := func() got {
					ctx := t.Context()
					if test.deadline > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, test.deadline)
						defer cancel()
					}
					return <-read(ctx, env, "A")
				}
				if g := limited(); g.Text != "a-2" || !g.Stale || g.Took != test.least {
					t.Errorf("%+v, want a-2, stale, after %v", g, test.least)
				}
				if g := limited(); g.Text != "a-2" || g.Took != 0 {
					t.Errorf("the next like it, at once: %+v", g)
				}
				// Who has more time than was waited in vain waits for itself, once.
				<-read(t.Context(), env, "A")
				if g := <-read(t.Context(), env, "A"); g.Text != "a-2" || g.Took != 0 {
					t.Errorf("the last, at once: %+v", g)
				}
				time.Sleep(time.Second) // until the provider has stopped
			})
		})
	}
	t.Run("without a value", func(t *testing.T) {
		t.Parallel()
		for deadline, least := range map[time.Duration]time.Duration{0: 10 * time.Second,
			3 * time.Second: 2750 * time.Millisecond, 400 * time.Millisecond: 300 * time.Millisecond,
			40 * time.Millisecond: 30 * time.Millisecond} {
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				p.Set(0, func(context.Context, int, string) (string, error) {
					time.Sleep(time.Minute)
					return "late", nil
				})
				env := p.One(t)
				ctx := t.Context()
				if deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, deadline)
					defer cancel()
				}
				// The provider gets a moment to say what it was waiting for.
				if g := <-read(ctx, env, "A"); g.Err == nil || g.Took < least || g.Took > least+50*time.Millisecond ||
					deadline > 0 && g.Took >= deadline {
					t.Errorf("with %v: %+v, want an error after %v", deadline, g, least)
				}
				time.Sleep(time.Minute)
			})
		}
	})
}

// While a backend hangs, one caller per backoff step waits for it.
func TestGet_OneCallerWaitsPerStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		p.Hang()
		time.Sleep(ttl)
		waited, longest := 0, time.Duration(0)
		for range 600 {
			var readers []<-chan got
			for range 8 {
				readers = append(readers, read(t.Context(), env, "A"))
			}
			for _, r := range readers {
				g := <-r
				if g.Text != "a-2" || !g.Stale {
					t.Fatalf("%+v", g)
				}
				if g.Took > 0 {
					waited++
				}
				longest = max(longest, g.Took)
			}
			time.Sleep(100 * time.Millisecond)
		}
		// The 8 who found it expired, and then one per step of 1, 2, 4, 8, 16, 30, 30 … seconds.
		if tries := p.Count() - 2; waited != 8+tries-1 || tries < 5 || tries > 8 {
			t.Errorf("%d readers waited, in %d tries", waited, tries)
		}
		if longest < 3900*time.Millisecond || longest > 4*time.Second {
			t.Errorf("one waited %v, want 4s at most", longest)
		}
	})
}

// A caller with a value in hand waits for nothing while a window is open, and one retries when it is over: after 1, 2,
// 4 … 30 seconds, less up to a quarter. (Promise 6.)
func TestBackoff_Doubles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		value bool // there is an old one
		err   error
	}{{"denied, nothing to serve", false, errDenied}, {"denied, an old value", true, errDenied},
		{"throttled, an old value", true, errThrottled}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.One(t, secrets.WithTTL(ttl), secrets.WithGrace(time.Hour))
				if test.value {
					expect(t, env, "a-1")
				}
				time.Sleep(ttl)
				p.Fail(test.err)
				read := func() {
					took(t, "a read", 0, time.Second, func() {
						v, err := env.Get(t.Context(), "A")
						if test.value != (err == nil) || err != nil && !errors.Is(err, test.err) ||
							err == nil && !v.Stale() {
							t.Errorf("%v, %v", v.Stale(), err)
						}
					})
				}
				read()
				for i, step := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
					step *= time.Second
					calls, began := p.Count(), time.Now()
					for p.Count() == calls {
						time.Sleep(10 * time.Millisecond)
						read()
					}
					if d := time.Since(began); d < step*3/4 || d > step+10*time.Millisecond {
						t.Errorf("window %d was %v, want %v less up to a quarter", i, d, step)
					}
				}
				// A refresh asks at once, and a success forgets it all.
				p.Fail(nil)
				if err := env.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
				if g := mustGet(t, env, "A"); g.Stale() || failureOf(env, "A") != nil {
					t.Error("the failure is remembered after a success")
				}
			})
		})
	}
}

// Windows differ, or a thousand environments would come back together.
func TestBackoff_IsJittered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var windows []float64
		for range 50 {
			p := &script{}
			p.Fail(errDenied)
			env := p.One(t)
			env.Get(t.Context(), "A")
			began := time.Now()
			for p.Count() == 1 {
				time.Sleep(time.Millisecond)
				env.Get(t.Context(), "A")
			}
			windows = append(windows, time.Since(began).Seconds())
		}
		if least, most := span(windows); least < 0.75 || least > 0.85 || most > 1.001 || most < 0.9 {
			t.Errorf("windows from %v to %v, want 0.75 to 1", least, most)
		}
	})
}

// A transient failure is retried inside the flight, with short pauses, until the caller's deadline less the reserve.
func TestRetry_UntilDeadlineLessReserve(t *testing.T) {
	t.Parallel()
	get := func(env *secrets.Env) func(context.Context) error {
		return func(ctx context.Context) error { _, err := env.Get(ctx, "A"); return err }
	}
	tests := []struct {
		name string
		do   func(env *secrets.Env) func(context.Context) error
		aged bool
	}{
		{"a first read", get, false},
		{"Warm", func(env *secrets.Env) func(context.Context) error { return env.Warm }, false},
		{"Refresh of a value", func(env *secrets.Env) func(context.Context) error {
			return func(ctx context.Context) error { return env.Refresh(ctx) }
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.One(t)
				if test.aged {
					expect(t, env, "a-1")
					p.Fail(errThrottled)
					time.Sleep(time.Hour)
					expect(t, env, "a-1*") // it is known to fail
					time.Sleep(time.Minute)
				}
				p.Fail(errThrottled)
				before := p.Count()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				took(t, "a call that fails", 19750*time.Millisecond, 19750*time.Millisecond, func() {
					if err := test.do(env)(ctx); !errors.Is(err, secrets.ErrThrottled) ||
						!errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%v, want the throttle and the deadline", err)
					}
				})
				if n := p.Count() - before; n < 10 || n > 30 {
					t.Errorf("%d tries in 20 s, want one every 1 to 2 s and some quick ones", n)
				}
				p.Set(0, func(_ context.Context, call int, _ string) (string, error) {
					if call < before+40 {
						return "", errThrottled
					}
					return "back", nil
				})
				time.Sleep(time.Minute)
				ctx, cancel = context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				if err := test.do(env)(ctx); err != nil {
					t.Errorf("when service is back: %v", err)
				}
			})
		})
	}
}

// An expired value is worth a second try, as long as its caller waits; one that is good yet is served after the first.
func TestRetry_WithValueInHand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		age    time.Duration
		want   string
		calls  int
		longer bool // than no time
	}{{ttl, "a-4", 2, true}, {90*time.Second - 1, "a-2", 1, false}} {
		t.Run(test.age.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := aged(t, p)
				p.Set(0, func(_ context.Context, call int, _ string) (string, error) {
					if call == 3 {
						return "", errThrottled
					}
					return fmt.Sprint("a-", call), nil
				})
				time.Sleep(test.age)
				if g := <-read(t.Context(), env, "A"); g.Text != test.want || g.Stale || p.Count() != 2+test.calls ||
					g.Took > 0 != test.longer {
					t.Errorf("%+v after %d calls, want %s after %d", g, p.Count()-2, test.want, test.calls)
				}
			})
		})
	}
}

// The pauses between tries differ, or a thousand environments would come back together.
func TestRetry_PausesAreJittered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var pauses []float64
		for range 50 {
			p := &script{}
			p.Set(0, func(_ context.Context, call int, _ string) (string, error) {
				if call == 1 {
					return "", errThrottled
				}
				return "v", nil
			})
			g := <-read(t.Context(), p.One(t), "A")
			pauses = append(pauses, g.Took.Seconds())
		}
		if least, most := span(pauses); least < 0.05 || least > 0.06 || most < 0.09 || most > 0.1 {
			t.Errorf("pauses of %v to %v s, want 0.05 to 0.1", least, most)
		}
	})
}

// A flight that goes on trying is not taken for a frozen one, however long it does.
func TestFlight_LongOneIsJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Fail(errThrottled)
		env := p.One(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		go env.Warm(ctx)
		time.Sleep(100 * time.Second)
		before := p.Count()
		read(ctx, env, "A")
		if n := p.Count() - before; n != 0 {
			t.Errorf("a reader began %d calls besides the flight that runs", n)
		}
	})
}

// Likewise for who joins a flight that somebody with less time began.
func TestRetry_ForCallerThatJoins(t *testing.T) {
	t.Parallel()
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			p := &script{Answer: func(context.Context, int, string) (string, error) {
				if time.Since(began) < time.Second {
					return "", errThrottled
				}
				return "v", nil
			}}
			env := p.One(t)
			for i, deadline := range []time.Duration{400 * time.Millisecond, 2 * time.Second} {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				if r := read(ctx, env, "A"); i == 1 {
					if g := <-r; g.Err != nil {
						t.Errorf("after %v: %v", g.Took, g.Err)
					}
				}
			}
		})
	}
}

// A warm's transient failure opens no window: the first invocation tries at once, with everything that the warm did not
// get.
func TestWarm_OpensNoBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Fail(errThrottled)
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b"})
		if err := env.Warm(t.Context()); !secrets.Retryable(err) {
			t.Fatal(err)
		}
		p.Fail(nil)
		before := p.Count()
		took(t, "the first read", 0, 0, func() { mustGet(t, env, "A") })
		mustGet(t, env, "B")
		if got := p.Asked(before + 1); got != "a b" || p.Count() != before+1 {
			t.Errorf("%d calls, the first for %s; want one for a b", p.Count()-before, got)
		}

		p = &script{}
		p.Fail(errDenied)
		env = p.One(t)
		env.Warm(t.Context())
		if _, err := env.Get(t.Context(), "A"); !errors.Is(err, secrets.ErrAccessDenied) || p.Count() != 1 {
			t.Errorf("after a permanent failure: %v, %d calls", err, p.Count())
		}
	})
}

// Nor does it if it joined somebody's flight.
func TestWarm_JoiningOpensNoBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Fail(errThrottled)
		env := p.One(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		read(ctx, env, "A")
		if err := env.Warm(t.Context()); !secrets.Retryable(err) {
			t.Fatal(err)
		}
		p.Fail(nil)
		if _, err := env.Get(t.Context(), "A"); err != nil {
			t.Errorf("the first read: %v", err)
		}
	})
}

// A failure that is long past keeps nobody from waiting for the refresh that runs.
func TestGet_OldFailureIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		time.Sleep(ttl)
		p.Fail(errThrottled)
		expect(t, env, "a-2*")
		time.Sleep(2 * time.Minute)
		p.Set(500*time.Millisecond, nil)
		first, second := read(t.Context(), env, "A"), read(t.Context(), env, "A")
		for _, g := range []got{<-first, <-second} {
			if g.Stale || g.Text == "a-2" || g.Took != 500*time.Millisecond {
				t.Errorf("%+v", g)
			}
		}
	})
}

// A failed name is retried alone; what failed for a transient reason leaves with others like it. (Promise 6.)
func TestBatch_FailedNameLeavesAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "BAD": "sm://bad", "WORSE": "sm://worse"},
			secrets.WithTTL(ttl))
		names := []string{"A", "B", "BAD", "WORSE"}
		for _, name := range names {
			mustGet(t, env, name)
		}
		bad := func(_ context.Context, call int, id string) (string, error) {
			if id == "bad" || id == "worse" {
				return "", errDenied
			}
			return id, nil
		}
		p.Set(0, bad)
		time.Sleep(ttl)
		mustGet(t, env, "A") // takes all along: two are denied
		before := p.Count()
		time.Sleep(ttl)
		mustGet(t, env, "A")
		mustGet(t, env, "BAD")
		mustGet(t, env, "WORSE")
		for i, want := range []string{"a", "bad", "worse"} {
			if got := p.Asked(before + 1 + i); got != want && got != want+" b" {
				t.Errorf("call %d is for %s, want %s", i+1, got, want)
			}
		}
	})
}

// What failed for a transient reason leaves together, and apart from the good ones: it must not hold them up again.
func TestBatch_ThrottledNamesLeaveTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.Env(t, map[string]string{"A": "sm://a", "B": "sm://b", "BUSY": "sm://busy", "BUSIER": "sm://busier"},
			secrets.WithTTL(ttl))
		for _, name := range []string{"A", "B", "BUSY", "BUSIER"} {
			mustGet(t, env, name)
		}
		p.Set(0, func(_ context.Context, _ int, id string) (string, error) {
			if strings.HasPrefix(id, "bus") {
				return "", errThrottled
			}
			return id, nil
		})
		time.Sleep(ttl)
		for _, name := range []string{"A", "B", "BUSY", "BUSIER"} {
			mustGet(t, env, name)
		}
		time.Sleep(ttl)
		for _, read := range []struct{ name, want string }{{"A", "a b"}, {"BUSY", "busier busy"}} {
			before := p.Count()
			mustGet(t, env, read.name)
			if got := p.Asked(before + 1); got != read.want {
				t.Errorf("a read of %s calls for %s, want %s", read.name, got, read.want)
			}
		}
	})
}

// Absence of an optional reference is no failure; denial is. (Promise 7.)
func TestOptional_ForgivesAbsenceOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		journal, logger := newJournal()
		env := p.Env(t, map[string]string{"A": "sm://a?optional"}, logger)
		p.Fail(secrets.ErrNotFound)
		if err := env.Warm(t.Context()); err != nil {
			t.Errorf("Warm: %v", err)
		}
		if _, err := env.Get(t.Context(), "A"); !errors.Is(err, secrets.ErrNotFound) {
			t.Errorf("Get: %v", err)
		}
		all, err := env.RevealAll(t.Context())
		if _, there := all["A"]; err != nil || there {
			t.Errorf("RevealAll: %v, %v", there, err)
		}
		if events := journal.Events(); len(events) != 0 {
			t.Errorf("logged %v", events)
		}
		p.Fail(errDenied)
		time.Sleep(time.Second)
		if err := env.Warm(t.Context()); !errors.Is(err, secrets.ErrAccessDenied) {
			t.Errorf("Warm when denied: %v", err)
		}
		if _, err := env.RevealAll(t.Context()); !errors.Is(err, secrets.ErrAccessDenied) {
			t.Errorf("RevealAll when denied: %v", err)
		}
		synctest.Wait() // a flight logs after it has answered
		if n := journal.Count("secrets.denied"); n != 1 {
			t.Errorf("the denial was logged %d times, want 1", n)
		}
	})
}

// A source that one variable may lack and another needs: its absence is a failure of the latter, and logged, whichever
// comes first.
func TestOptional_RequiredElsewhere(t *testing.T) {
	t.Parallel()
	for name, vars := range map[string]map[string]string{"first": {"A": "sm://x?optional", "B": "sm://x"},
		"last": {"B": "sm://x", "C": "sm://x?optional"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				p.Fail(secrets.ErrNotFound)
				journal, logger := newJournal()
				err := p.Env(t, vars, logger).Warm(t.Context())
				synctest.Wait() // a flight logs after it has answered
				if err == nil || err.Error() != "secrets: B: not found" || journal.Count("secrets.denied") != 1 {
					t.Errorf("%v; logged %v", err, journal.Events())
				}
			})
		})
	}
}

// Whatever hands out an old value says that it is old, and counts it.
func TestStale_MarkedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		time.Sleep(ttl)
		p.Fail(errThrottled)
		expect(t, env, "a-2*")
		if v, err := env.Snapshot(t.Context()).Get("A"); err != nil || !v.Stale() {
			t.Errorf("Snapshot: %v, stale %v", err, v.Stale())
		}
		if err := env.Do(t.Context(), "A", func(v secrets.Value) error {
			if !v.Stale() {
				t.Error("Do: not stale")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if v, err := env.Resolve(t.Context(), secrets.Secret("a")); err != nil || !v.Stale() {
			t.Errorf("Resolve: %v, stale %v", err, v.Stale())
		}
		s := env.Stats()
		if want := uint64(p.Count()); s.Fetches != want || s.Values != 2 || s.Stale != 4 || len(s.Failures) != 1 ||
			s.Failures["throttled"] != want-2 {
			t.Errorf("%+v, want %d fetches, 2 values, 4 stale, the others throttled", s, want)
		}
	})
}

// A provider that hangs and then says why has its word in the error of who waited for it in vain.
func TestGet_ErrorNamesLastCause(t *testing.T) {
	t.Parallel()
	for _, deadline := range []time.Duration{2 * time.Second, 400 * time.Millisecond} {
		t.Run(deadline.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				p.Set(0, func(ctx context.Context, _ int, _ string) (string, error) {
					<-ctx.Done()
					return "", fmt.Errorf("host db.example did not answer: %w", secrets.ErrUnavailable)
				})
				env := p.One(t)
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				_, err := env.Get(ctx, "A")
				if text := secrets.Detail(err); !strings.Contains(text, "db.example") ||
					!errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s", text)
				}
				if deadline < time.Second {
					return
				}
				_, err = env.Get(t.Context(), "A")
				if text := secrets.Detail(err); !strings.Contains(text, "db.example") || p.Count() != 1 {
					t.Errorf("what is remembered, after %d calls: %s", p.Count(), text)
				}
			})
		})
	}
}

// What a call says after it was given up is no news where a later one has failed since.
func TestGet_LateErrorIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		p.Set(0, func(context.Context, int, string) (string, error) {
			time.Sleep(10 * time.Second)
			return "", errDenied
		})
		time.Sleep(ttl)
		expect(t, env, "a-2*")
		p.Fail(errThrottled)
		time.Sleep(3 * time.Second)
		expect(t, env, "a-2*")
		time.Sleep(10 * time.Second)
		if err := failureOf(env, "A"); !errors.Is(err, secrets.ErrThrottled) {
			t.Errorf("%v is remembered, want the throttle", err)
		}
	})
}

// A caller without a value, who has less time than a call may take, learns nothing about the backend: the next one asks
// it.
func TestGet_ShortWaitIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: 500 * time.Millisecond}
		env := p.One(t)
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		if _, err := env.Get(ctx, "A"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		expect(t, env, "a-2")
	})
}

// What a backend has said is remembered, also if the caller who heard it gave up.
func TestGet_CancelledAfterFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Fail(errThrottled)
		env := p.One(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, cancel)
		env.Get(ctx, "A")
		before := p.Count()
		if _, err := env.Get(t.Context(), "A"); !errors.Is(err, secrets.ErrThrottled) || p.Count() != before {
			t.Errorf("%v, after %d calls", err, p.Count()-before)
		}
	})
}

// A Resolve may state tighter bounds than the variable, or than the cache: a value that is too old for it
// is none to wait a second with.
func TestResolve_TighterBounds(t *testing.T) {
	t.Parallel()
	for name, vars := range map[string]map[string]string{"declared": {"A": "sm://a"}, "undeclared": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.Env(t, vars)
				if _, err := env.Resolve(t.Context(), mustParse(t, "sm://a")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				p.Set(1500*time.Millisecond, nil)
				v, err := env.Resolve(t.Context(), mustParse(t, "sm://a?ttl=1s&stale=1s"))
				if err != nil || v.Reveal() != "a-2" || v.Stale() || p.Count() != 2 {
					t.Errorf("%v after %d calls, want a-2 after 2", err, p.Count())
				}
			})
		})
	}
}

// Each row is one rule of the decision, at its edges.
func TestNext_Rules(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ mode, value, flags, want string }{
		{"reading", "fresh", "", "serve"},
		{"reading", "fresh", "over", "serve"},
		{"warming", "fresh", "running", "serve"},

		{"reading", "missing", "", "start"},
		{"reading", "missing", "running", "wait"},
		{"reading", "missing", "running failing", "wait"},
		{"reading", "missing", "running pausing", "wait"},
		{"reading", "missing", "pausing", "pause"},
		{"reading", "missing", "answered persists", "start"},
		{"reading", "missing", "turnedAway running", "fail"},
		{"reading", "missing", "refused answered", "fail"},
		{"warming", "missing", "over running", "fail"},

		{"reading", "due", "", "start"},
		{"reading", "due", "running", "wait"},
		{"reading", "due", "running failing", "serve"},
		{"reading", "due", "running failing joined", "wait"},
		{"reading", "due", "answered", "serve"},
		{"reading", "due", "answered persists", "start"},
		{"reading", "due", "answered persists pausing", "pause"},
		{"reading", "due", "pausing", "serve"},
		{"reading", "due", "pausing persists", "pause"},
		{"reading", "due", "answered running", "wait"},
		{"reading", "due", "turnedAway", "serve"},
		{"reading", "due", "refused answered persists", "serve"},
		{"reading", "due", "over", "serve"},

		{"reading", "dueSoon", "", "start"},
		{"reading", "dueSoon", "running", "serve"},
		{"reading", "dueSoon", "running joined", "wait"},
		{"reading", "dueSoon", "pausing", "serve"},
		{"reading", "dueSoon", "answered", "serve"},
		{"reading", "dueSoon", "turnedAway", "serve"},

		{"renewing", "fresh", "", "start"},
		{"renewing", "fresh", "renewed", "serve"},
		{"renewing", "fresh", "running", "wait"},
		{"renewing", "missing", "turnedAway", "start"},
		{"renewing", "due", "refused", "fail"},
		{"renewing", "due", "over", "fail"},
		{"renewing", "due", "pausing", "start"},
		{"renewing", "due", "pausing answered", "pause"},
		{"searching", "fresh", "turnedAway", "fail"},
		{"searching", "fresh", "renewed turnedAway over", "serve"},
	} {
		if got := secrets.Next(test.mode, test.value, strings.Fields(test.flags)...); got != test.want {
			t.Errorf("%s %s %s: %s, want %s", test.mode, test.value, test.flags, got, test.want)
		}
	}
}

// What holds in every combination, reachable or not.
func TestNext_EveryCombination(t *testing.T) {
	t.Parallel()
	steps := map[string]int{}
	for _, mode := range secrets.Modes {
		for _, value := range secrets.ValueStates {
			for bits := range 1 << len(secrets.Flags) {
				var flags []string
				is := map[string]bool{}
				for i, f := range secrets.Flags {
					if bits>>i&1 == 1 {
						flags, is[f] = append(flags, f), true
					}
				}
				got := secrets.Next(mode, value, flags...)
				steps[got]++
				renews := mode == "renewing" || mode == "searching"
				acts := got == "wait" || got == "pause" || got == "start"
				for rule, broken := range map[string]bool{
					"nobody acts whose time is over":         is["over"] && acts,
					"nobody starts a try beside a running":   is["running"] && got == "start",
					"nobody waits for what does not run":     !is["running"] && got == "wait",
					"nobody pauses without a reason":         !is["pausing"] && got == "pause",
					"a fresh value is served":                value == "fresh" && !renews && got != "serve",
					"a value in hand is no error":            value != "missing" && !renews && got == "fail",
					"what is missing is not served":          value == "missing" && !renews && got == "serve",
					"a window turns readers away at once":    is["turnedAway"] && !renews && acts,
					"a window answers a search":              is["turnedAway"] && mode == "searching" && acts,
					"a permanent failure answers":            is["refused"] && value != "dueSoon" && acts,
					"only a late enough result renews":       renews && (got == "serve") != is["renewed"],
					"a reader does not start while it rests": is["pausing"] && !renews && got == "start",
					"a valid value waits for one's own try": value == "dueSoon" && !renews &&
						got == "wait" && !is["joined"],
				} {
					if broken {
						t.Fatalf("%s: %s %s %v: %s", rule, mode, value, flags, got)
					}
				}
			}
		}
	}
	for _, step := range []string{"serve", "fail", "wait", "pause", "start"} {
		if steps[step] == 0 {
			t.Errorf("nobody is told to %s", step)
		}
	}
}

// A failure in an open window, which a Refresh meets, makes the window begin anew: it says that nothing has changed.
func TestBackoff_BeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		time.Sleep(ttl)
		p.Fail(errDenied)
		expect(t, env, "a-2*")
		time.Sleep(700 * time.Millisecond)
		if err := env.Refresh(t.Context()); !errors.Is(err, secrets.ErrAccessDenied) {
			t.Errorf("Refresh: %v", err)
		}
		time.Sleep(500 * time.Millisecond) // the first window, of a second at most, would be over
		calls := p.Count()
		if expect(t, env, "a-2*"); p.Count() != calls {
			t.Error("a reader tries again half a second after a failure")
		}
	})
}

// Who is turned away by a transient failure is told that, and not that its time was up. A Refresh that nobody answered
// is told that its time was up, whatever was denied before.
func TestGet_ErrorIsItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.One(t)
		within := func(d time.Duration, do func(context.Context) error) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			return do(ctx)
		}
		get := func(ctx context.Context) error { _, err := env.Get(ctx, "A"); return err }
		refresh := func(ctx context.Context) error { return env.Refresh(ctx) }
		p.Fail(errThrottled)
		within(time.Second, get)
		if err := within(time.Minute, get); !errors.Is(err, secrets.ErrThrottled) ||
			errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read in the window: %v", err)
		}
		p.Fail(errDenied)
		if err := within(time.Second, refresh); !errors.Is(err, secrets.ErrAccessDenied) ||
			errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a Refresh that is denied: %v", err)
		}
		time.Sleep(10 * time.Second) // no window is open
		p.Hang()
		if err := within(time.Second, refresh); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a Refresh after a denial: %v", err)
		}
	})
}

// What a caller who leaves says of its source.
func TestParting_Says(t *testing.T) {
	t.Parallel()
	const long = time.Second
	for _, test := range []struct {
		flags  string
		waited time.Duration
		want   string
	}{
		{"", long, "nothing"}, // it never asked
		{"tried", long, "silent"},
		{"tried", 949 * time.Millisecond, "nothing"},
		{"tried", 950 * time.Millisecond, "silent"}, // a second less the last words
		{"tried known", time.Millisecond, "remember"},
		{"tried known cancelled", time.Millisecond, "remember"},
		{"tried cancelled", long, "nothing"},
		{"tried cancelled holds", long, "nothing"},
		{"tried holds", time.Millisecond, "silent"},
		{"tried holds known", time.Millisecond, "remember"},
		{"tried holds", 0, "nothing"}, // it came, or heard something, in this moment
		{"tried holds known", 0, "remember"},
		{"tried warming", long, "nothing"},
		{"tried warming known", long, "nothing"},
		{"tried frozen", long, "nothing"},
		{"tried frozen known", long, "nothing"},
	} {
		if got := secrets.Says(test.waited, strings.Fields(test.flags)...); got != test.want {
			t.Errorf("%s after %v: %s, want %s", test.flags, test.waited, got, test.want)
		}
	}
}

// A window begins when the failure came, not when the call left.
func TestBackoff_BeginsWithFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Set(0, func(context.Context, int, string) (string, error) {
			time.Sleep(950 * time.Millisecond)
			return "", errDenied
		})
		env := p.One(t)
		for range 2 {
			if g := <-read(t.Context(), env, "A"); !errors.Is(g.Err, secrets.ErrAccessDenied) || p.Count() != 1 {
				t.Errorf("%+v after %d calls, want the denial of the only one", g, p.Count())
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// A Refresh that had little time, and nothing to fall back on, says as little as a read.
func TestRefresh_ShortWaitIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: time.Hour}
		env := p.One(t)
		for calls, limit := range []time.Duration{200 * time.Millisecond, 150 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			if err := env.Refresh(ctx, "A"); err == nil || p.Count() != calls+1 {
				t.Errorf("%v after %d calls, want %d", err, p.Count(), calls+1)
			}
			cancel()
		}
	})
}

// Callers with an old value and little time learn little: the windows that they open do not grow.
func TestBackoff_ShortWaitsDoNotGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		time.Sleep(ttl)
		p.Hang()
		before := p.Count()
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			if g := <-read(ctx, env, "A"); g.Text != "a-2" || !g.Stale {
				t.Fatalf("%+v", g)
			}
			cancel()
		}
		if n := p.Count() - before; n < 30 {
			t.Errorf("%d tries in a minute, want one in each window of a second", n)
		}
	})
}

// However many callers one try has cost their time, the next wait doubles once.
func TestGet_WaitDoublesOncePerTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		time.Sleep(ttl)
		p.Hang()
		var readers []<-chan got
		for range 8 {
			readers = append(readers, read(t.Context(), env, "A"))
		}
		for _, r := range readers {
			if g := <-r; g.Took < 950*time.Millisecond || g.Took > time.Second {
				t.Errorf("%+v, want the old value after 1 s", g)
			}
		}
		time.Sleep(2 * time.Second)
		if g := <-read(t.Context(), env, "A"); g.Took < 1950*time.Millisecond || g.Took > 2*time.Second {
			t.Errorf("%+v, want the old value after 2 s", g)
		}
	})
}

// The longest silence counts: a caller with less time than somebody has waited in vain is turned away.
func TestGet_LongestSilenceCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: time.Hour}
		env := p.One(t)
		within := func(d time.Duration) <-chan got { return withTime(t, env, d) }
		longer, shorter := within(2250*time.Millisecond), within(1750*time.Millisecond)
		<-shorter
		if g := <-longer; !strings.Contains(secrets.Detail(g.Err), "no answer within 1.95s") {
			t.Errorf("%+v, want that nothing came within 2 s, less 50 ms for the last words", g)
		}
		calls := p.Count()
		if g := <-within(2100 * time.Millisecond); g.Err == nil || g.Took != 0 || p.Count() != calls {
			t.Errorf("%+v after %d calls, want what is known", g, p.Count()-calls)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		g := <-read(over, (&script{}).One(t), "A")
		if !strings.Contains(secrets.Detail(g.Err), "before a call could be made") {
			t.Errorf("%+v, want that no call was made", g)
		}
	})
}

// A shorter silence than the one that is known changes nothing, but it is counted.
func TestGet_ShorterSilenceChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Hang()
		env := p.One(t)
		within := func(d time.Duration) <-chan got { return withTime(t, env, d) }
		longer := within(2250 * time.Millisecond)
		time.Sleep(600 * time.Millisecond)
		shorter := within(1750 * time.Millisecond)
		<-longer
		<-shorter
		if n := env.Stats().Failures[secrets.ErrUnavailable.Error()]; n != 2 {
			t.Errorf("%d failures, want 2", n)
		}
		if g := <-within(2 * time.Second); g.Err == nil || g.Took != 0 {
			t.Errorf("%+v, want the failure at once: 2 s less 250 ms were too short before", g)
		}
	})
}

// A window begins when the first caller gives up with nothing in hand. Those who gave up after it do not prolong it, or
// callers who overlap would keep it open for as long as they come (promise 6).
func TestBackoff_OverlappingCallersDoNotProlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		p.Fail(errThrottled)
		env := p.One(t)
		within := func(d time.Duration) <-chan got { return withTime(t, env, d) }
		first, second := within(time.Second), within(1500*time.Millisecond)
		<-first
		<-second // half a second later
		time.Sleep(600 * time.Millisecond)
		p.Fail(nil)
		if g := <-within(time.Second); g.Err != nil {
			t.Errorf("1.1 s after the first caller gave up: %v", g.Err)
		}
	})
}

// A Refresh that waited in vain for as long as a reader would makes readers take the old value at once (promise 6).
func TestRefresh_SilenceIsKnownToReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		time.Sleep(ttl)
		p.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := env.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Refresh: %v", err)
		}
		calls := p.Count()
		if g := <-read(t.Context(), env, "A"); g.Text != "a-2" || !g.Stale || g.Took != 0 || p.Count() != calls {
			t.Errorf("%+v after %d calls, want the old value at once", g, p.Count()-calls)
		}
	})
}

// Readers that overlap while the backend hangs do not keep each other waiting: what they waited in vain adds up over
// the tries that others gave up (promises 5 and 6).
func TestGet_OverlappingReadersOfHang(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{50 * time.Millisecond, 300 * time.Millisecond, 900 * time.Millisecond} {
		t.Run(every.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := p.Env(t, map[string]string{"A": "sm://a"}, secrets.WithTTL(ttl))
				mustGet(t, env, "A")
				time.Sleep(ttl)
				p.Hang()
				before := p.Count()
				var waited atomic.Int32
				var wg sync.WaitGroup
				reads := int(time.Minute / every)
				for range reads {
					wg.Go(func() {
						began := time.Now()
						env.Get(t.Context(), "A")
						if time.Since(began) > 0 {
							waited.Add(1)
						}
					})
					time.Sleep(every)
				}
				wg.Wait()
				// Of those who came in the first second each may ask once.
				if n := p.Count() - before; n > 40 || int(waited.Load()) > reads/3 {
					t.Errorf("%d calls in a minute, %d of %d reads waited", n, waited.Load(), reads)
				}
			})
		})
	}
}

// withTime reads A with so much time.
func withTime(t *testing.T, env *secrets.Env, d time.Duration) <-chan got {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return read(ctx, env, "A")
}

// A reader with an old value begins no try that would be told to stop at once.
func TestGet_NoTryInItsLastMoment(t *testing.T) {
	t.Parallel()
	for range 10 { // pauses are random
		synctest.Test(t, func(t *testing.T) {
			p := &script{}
			env := aged(t, p)
			time.Sleep(ttl)
			p.Set(900*time.Millisecond, func(context.Context, int, string) (string, error) { return "", errThrottled })
			before := p.Count()
			if g := <-read(t.Context(), env, "A"); g.Text != "a-2" || p.Count() != before+1 {
				t.Errorf("%+v after %d calls, want one", g, p.Count()-before)
			}
		})
	}
}

// A short Refresh in vain says that nothing came in its time, where an old value is in hand: readers with as little
// time take that at once.
func TestRefresh_ShortSilenceIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		time.Sleep(ttl)
		p.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := env.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Refresh: %v", err)
		}
		calls := p.Count()
		if g := <-withTime(t, env, 400*time.Millisecond); g.Text != "a-2" || g.Took != 0 || p.Count() != calls {
			t.Errorf("%+v after %d calls, want the old value at once", g, p.Count()-calls)
		}
	})
}

// A window lasts from the moment in which a reader with an old value gives up: it tried meanwhile, and the others come
// after it.
func TestBackoff_WindowBeginsWhenReaderLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		time.Sleep(ttl)
		before := p.Count()
		p.Set(0, func(ctx context.Context, call int, _ string) (string, error) {
			if call > before+1 {
				<-ctx.Done()
			}
			return "", errThrottled
		})
		<-read(t.Context(), env, "A")
		calls := p.Count()
		time.Sleep(500 * time.Millisecond) // the window of the failure itself would be over
		if g := <-read(t.Context(), env, "A"); g.Text != "a-2" || g.Took != 0 || p.Count() != calls {
			t.Errorf("%+v after %d calls, want the old value at once", g, p.Count()-calls)
		}
	})
}

// A caller who joined late, with little time, does not make the patience of others longer; nor does one whose bounds
// left it nothing to fall back on.
func TestGet_PatienceIsNotDoubledByOthers(t *testing.T) {
	t.Parallel()
	late := func(t *testing.T, env *secrets.Env) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		t.Cleanup(cancel)
		go env.Refresh(ctx) // it needs the try, which goes on
		time.Sleep(800 * time.Millisecond)
		<-withTime(t, env, 300*time.Millisecond)
	}
	empty := func(t *testing.T, env *secrets.Env) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := env.Resolve(ctx, mustParse(t, "sm://a?ttl=1s&stale=1s")); err == nil {
			t.Error("a Resolve that takes no old value got one")
		}
	}
	for name, before := range map[string]func(*testing.T, *secrets.Env){"late": late, "nothing in hand": empty} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &script{}
				env := aged(t, p)
				time.Sleep(ttl)
				p.Hang()
				before(t, env)
				time.Sleep(2 * time.Second) // the window is over
				g := <-read(t.Context(), env, "A")
				if g.Text != "a-2" || g.Took < 900*time.Millisecond || g.Took > time.Second {
					t.Errorf("%+v, want the old value after a second", g)
				}
			})
		})
	}
}

// The tries of one caller open one window: it begins anew with each, and does not grow.
func TestBackoff_RetriesOfOneCallerDoNotGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := aged(t, p)
		time.Sleep(ttl)
		p.Fail(errThrottled)
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		if err := env.Refresh(ctx); !errors.Is(err, secrets.ErrThrottled) {
			t.Errorf("Refresh: %v", err)
		}
		time.Sleep(time.Second)
		calls := p.Count()
		if g := <-read(t.Context(), env, "A"); g.Text != "a-2" || p.Count() != calls+1 {
			t.Errorf("%+v after %d calls, want one: the window of a second is over", g, p.Count()-calls)
		}
	})
}
