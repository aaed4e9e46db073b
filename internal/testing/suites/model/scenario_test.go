package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
)

// single is the environment of most scenarios.
var single = map[string]string{"A": "sm://a"}

// A remembered absence is returned whatever became of the caller's context, and optional forgives it.
func TestAbsence_ContextOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(func(id string, _ int) reply {
			if id == "gone" {
				return reply{err: secrets.ErrNotFound}
			}
			return reply{}
		})
		env := newEnv(t, b.parts(), map[string]string{"A": "sm://a", "GONE": "sm://gone?optional"})
		mustWarm(t, env)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for _, after := range []time.Duration{0, time.Second, time.Minute, time.Hour} {
			time.Sleep(after)
			if _, err := env.Get(over, "GONE"); !errors.Is(err, secrets.ErrNotFound) {
				t.Errorf("Get after %v: %s", after, secrets.Detail(err))
			}
			if all, err := env.RevealAll(over); err != nil || all["A"] != "a-0" {
				t.Errorf("RevealAll after %v: %s", after, secrets.Detail(err))
			}
		}
	})
}

// What a try said is known from then on, whoever still waits: one reader waits per backoff step, the others do not.
func TestFailure_OverlappingReaders(t *testing.T) {
	for _, every := range []time.Duration{50, 200, 500, 900} {
		every *= time.Millisecond
		t.Run("a read every "+every.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBackend(nil)
				env := newEnv(t, b.parts(), single, secrets.WithTTL(time.Minute))
				mustWarm(t, env)
				time.Sleep(time.Minute)
				b.direct(func(string, int) reply { return reply{wait: 20 * time.Millisecond, err: errServer} })
				var wg sync.WaitGroup
				var mu sync.Mutex
				slow, reads := 0, 0
				for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(every) {
					counts := time.Since(began) > 2*time.Second
					wg.Go(func() {
						r := get(t, env, "A", 3*time.Second)
						mu.Lock()
						defer mu.Unlock()
						if r.err != nil || !r.value.Stale() && time.Since(began) > 2*time.Second {
							t.Errorf("%v after the outage began: %v", time.Since(began), r)
						}
						if reads++; counts && r.took > 0 {
							slow++
						}
					})
				}
				wg.Wait()
				if slow > 10 {
					t.Errorf("%d of %d reads waited", slow, reads)
				}
				s := env.Stats()
				if s.Failures[secrets.ErrUnavailable.Error()] == 0 || env.Refs()[0].Err == nil {
					t.Errorf("the failure is not told: %+v", s)
				}
				if n := b.count("a"); n > 20 {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

// "Not within 1.35 s" turns away only who has no more than that.
func TestTimeout_PatientCallerTries(t *testing.T) {
	t.Run("after one impatient one", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBackend(func(string, int) reply { return reply{wait: 1500 * time.Millisecond} })
			env := newEnv(t, b.parts(), single)
			if r := get(t, env, "A", 1600*time.Millisecond); r.err == nil {
				t.Errorf("the impatient caller: %v", r)
			}
			wantRead(t, "the patient caller", get(t, env, "A", 20*time.Second), "a-0", 1600*time.Millisecond)
		})
	})
	t.Run("a stream of impatient ones", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBackend(func(string, int) reply { return reply{wait: 1500 * time.Millisecond} })
			env := newEnv(t, b.parts(), single)
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				for ctx.Err() == nil {
					if r := get(t, env, "A", 1600*time.Millisecond); r.err == nil {
						return // a patient one has brought it
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
			time.Sleep(20 * time.Second)
			wantRead(t, "the patient caller", get(t, env, "A", 20*time.Second), "a-0", 1600*time.Millisecond)
			stop()
			wg.Wait()
		})
	})
}

// An answer is as old as its question, however often the sandbox was frozen meanwhile.
func TestFreeze_AnswerIsAsOldAsItsQuestion(t *testing.T) {
	for freezes := range 5 {
		t.Run(fmt.Sprint(freezes, " freezes"), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				clock := newClock()
				b := newBackend(func(_ string, n int) reply {
					if n <= freezes {
						time.AfterFunc(50*time.Millisecond, func() { clock.freeze(3 * time.Hour) })
					}
					return reply{wait: 100 * time.Millisecond}
				})
				env := newEnv(t, b.parts(), map[string]string{"A": "sm://a?stale=10m"}, secrets.WithClock(clock.now))
				for range 3 {
					r := get(t, env, "A", 5*time.Second)
					if r.err != nil {
						continue // after many freezes that may be all there is to say
					}
					wall, _ := clock.now()
					age := wall.Sub(r.value.FetchedAt())
					if age > 10*time.Minute || age > 5*time.Minute && !r.value.Stale() {
						t.Errorf("%v old: %v", age, r)
					}
				}
			})
		})
	}
}

// What was in hand before the wait is judged once more at its end.
func TestSnapshot_JudgedAtItsEnd(t *testing.T) {
	const bound = 2 * time.Second
	reads := map[string]func(ctx context.Context, env *secrets.Env, cache *secrets.Cache) (old string, err error){
		"Snapshot": func(ctx context.Context, env *secrets.Env, _ *secrets.Cache) (string, error) {
			v, err := env.Snapshot(ctx).Get("A")
			if err != nil {
				return "", err
			}
			return v.Reveal(), nil
		},
		"RevealAll": func(ctx context.Context, env *secrets.Env, _ *secrets.Cache) (string, error) {
			all, err := env.RevealAll(ctx)
			return all["A"], err
		},
		"Cache.Fetch": func(ctx context.Context, _ *secrets.Env, cache *secrets.Cache) (string, error) {
			r := cache.Fetch(ctx, []secrets.Ref{secrets.Secret("a"), secrets.Secret("b")})[0]
			if r.Err != nil {
				return "", r.Err
			}
			return r.Value.Reveal(), nil
		},
	}
	for name, f := range reads {
		for _, frozen := range []time.Duration{0, 15 * time.Minute} {
			t.Run(fmt.Sprintf("%s, frozen for %v", name, frozen), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					clock := newClock()
					b := newBackend(func(id string, n int) reply {
						if id == "b" && n == 1 {
							time.AfterFunc(2*time.Second, func() { clock.freeze(frozen) })
							return reply{wait: 5 * time.Second}
						}
						return reply{}
					})
					opts := []secrets.CacheOption{
						secrets.WithTTL(bound), secrets.WithMaxStale(bound), secrets.WithClock(clock.now),
					}
					cache := newCache(t, b.parts(), opts...)
					var all []secrets.Option
					for _, o := range opts {
						all = append(all, o)
					}
					env := newEnv(t, b.parts(), map[string]string{"A": "sm://a", "B": "sm://b"}, all...)
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					get(t, env, "A", time.Second)
					cache.Fetch(ctx, []secrets.Ref{secrets.Secret("a")})
					b.rotate("a")
					if got, err := f(ctx, env, cache); err == nil && got == "a-0" {
						t.Errorf("a value over %v old, at a TTL and a bound of %v", 5*time.Second+frozen, bound)
					}
				})
			})
		}
	}
}

// A value never goes back: who asked first and was answered last does not bring the old value again.
func TestLateAnswer_NeverGoesBack(t *testing.T) {
	for i := range 20 { // some lifetimes are drawn
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBackend(func(_ string, n int) reply {
					if n == 1 {
						return reply{wait: 5 * time.Second}
					}
					return reply{wait: 10 * time.Millisecond}
				})
				env := newEnv(t, b.parts(), single, secrets.WithTTL(time.Second), secrets.WithMaxStale(0))
				var wg sync.WaitGroup
				wg.Go(func() {
					if r := get(t, env, "A", 20*time.Second); r.err == nil && r.value.Reveal() == "a-0" {
						t.Errorf("the first reader, after the second one had a-1: %v", r)
					}
				})
				time.Sleep(time.Second)
				b.rotate("a")
				if err := env.Refresh(t.Context(), "A"); err != nil {
					t.Error(err)
				}
				wantRead(t, "after the Refresh", get(t, env, "A", time.Second), "a-1", time.Second)
				wg.Wait()
				wantRead(t, "at the end", get(t, env, "A", time.Second), "a-1", time.Second)
			})
		})
	}
}

// A value younger than its TTL is neither dropped nor marked stale, whatever lifetime was drawn.
func TestStaleBound_BelowTTL(t *testing.T) {
	for i := range 10 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBackend(nil)
				env := newEnv(t, b.parts(), single, secrets.WithTTL(time.Minute), secrets.WithMaxStale(10*time.Second))
				wantRead(t, "at the start", get(t, env, "A", time.Second), "a-0", 0)
				b.direct(func(string, int) reply { return reply{err: errServer} })
				for began := time.Now(); time.Since(began) < 58*time.Second; time.Sleep(time.Second) {
					r := get(t, env, "A", time.Second)
					if r.err != nil || r.value.Stale() {
						t.Errorf("%v old, at a TTL of a minute: %v", time.Since(began), r)
						return
					}
				}
				time.Sleep(5 * time.Second)
				if r := get(t, env, "A", time.Second); r.err == nil {
					t.Errorf("over its TTL and its bound: %v", r)
				}
			})
		})
	}
}

// Do runs f four times at most, never after its context ended, and does not fetch without end.
func TestDo_AlwaysNewValues(t *testing.T) {
	t.Run("each fetch brings another", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			var n int
			var mu sync.Mutex
			b := newBackend(func(string, int) reply {
				mu.Lock()
				defer mu.Unlock()
				n++
				return reply{text: fmt.Sprint("value ", n), wait: 10 * time.Millisecond}
			})
			env := newEnv(t, b.parts(), single)
			for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				runs := 0
				err := env.Do(ctx, "A", func(secrets.Value) error {
					if ctx.Err() != nil {
						t.Error("f runs after its context ended")
					}
					runs++
					return refused
				})
				cancel()
				if err == nil || runs > 4 {
					t.Fatalf("f ran %d times, then %v", runs, err)
				}
			}
			if calls := b.count(""); calls > 60 {
				t.Errorf("%d calls in a minute", calls)
			}
		})
	})
	t.Run("a cache that changes while f runs", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBackend(nil)
			env := newEnv(t, b.parts(), single)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			runs := 0
			env.Do(ctx, "A", func(secrets.Value) error {
				if ctx.Err() != nil {
					t.Error("f runs after its context ended")
				}
				if runs++; runs > 1000 {
					return nil
				}
				b.rotate("a")
				if err := env.Refresh(t.Context(), "A"); err != nil { // somebody else's
					t.Error(err)
				}
				time.Sleep(100 * time.Millisecond)
				return refused
			})
			if runs > 4 {
				t.Errorf("f ran %d times", runs)
			}
		})
	})
}

// What was denied is asked again one by one, but within the width.
func TestDenied_WithinWidth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		environ := map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}
		for i := range 100 {
			environ[fmt.Sprint("P", i)] = fmt.Sprint("ssm:///p/", i)
		}
		b := newBackend(func(string, int) reply {
			return reply{wait: 20 * time.Millisecond, err: secrets.ErrAccessDenied}
		})
		env := newEnv(t, b.parts(), environ, secrets.WithClock(newClock().now))
		warm(t, env, 10*time.Second)
		for _, denied := range []bool{true, false} {
			time.Sleep(time.Minute)
			if !denied {
				b.direct(func(string, int) reply { return reply{wait: 20 * time.Millisecond} })
			}
			b.mu.Lock()
			b.peak = 0
			b.mu.Unlock()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			env.Snapshot(ctx)
			cancel()
			if b.peak > 5 { // the width of 128 MB
				t.Errorf("denied=%v: %d calls at once", denied, b.peak)
			}
		}
		if _, err := env.Get(t.Context(), "P99"); err != nil {
			t.Errorf("after the recovery: %v", err)
		}
	})
}

// A caller has one budget, whatever becomes of the tries that it waits for.
func TestBudget_OncePerCaller(t *testing.T) {
	for _, deadline := range []time.Duration{0, 2 * time.Second, 5 * time.Second} {
		t.Run(fmt.Sprint("deadline ", deadline), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				clock := newClock()
				b := newBackend(func(string, int) reply { return reply{hang: true} })
				env := newEnv(t, b.parts(), single, secrets.WithClock(clock.now))
				budget, least := 10*time.Second, 10*time.Second
				if deadline > 0 {
					budget = deadline - 250*time.Millisecond
					least = budget - 50*time.Millisecond
				}
				ctx, stop := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { // others come, and find that the sandbox was frozen
					for range 3 {
						time.Sleep(budget / 10 * 9)
						if ctx.Err() == nil {
							clock.freeze(time.Hour)
							get(t, env, "A", 100*time.Millisecond)
						}
					}
				})
				r := get(t, env, "A", deadline)
				stop()
				if r.err == nil || r.took > budget || r.took < least-50*time.Millisecond {
					t.Errorf("%v, of a budget of %v", r, budget)
				}
				wg.Wait()
			})
		})
	}
	t.Run("a clock that ticks 2 s per reading", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			clock := newClock()
			b := newBackend(func(string, int) reply { return reply{wait: time.Millisecond} })
			ticking := func() (time.Time, time.Duration) {
				clock.freeze(2 * time.Second)
				return clock.now()
			}
			env := newEnv(t, b.parts(), single, secrets.WithTTL(time.Second), secrets.WithClock(ticking))
			r := get(t, env, "A", time.Second)
			if n := b.count("a"); n > 20 {
				t.Errorf("%d calls in one read: %v", n, r)
			}
		})
	})
}

// An Env over a Cache that others share reaches the backend where it says so.
func TestCache_Shared(t *testing.T) {
	t.Run("Refresh and Do", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBackend(nil)
			cache := newCache(t, b.parts(), secrets.WithTTL(time.Hour))
			env := newEnv(t, cache, single, secrets.WithTTL(time.Hour))
			wantRead(t, "at the start", get(t, env, "A", time.Second), "a-0", 0)
			b.rotate("a")
			if err := env.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
			wantRead(t, "after a Refresh", get(t, env, "A", time.Second), "a-1", 0)
			b.rotate("a")
			var used []string
			err := env.Do(t.Context(), "A", func(v secrets.Value) error {
				if used = append(used, v.Reveal()); v.Reveal() != "a-2" {
					return refused
				}
				return nil
			})
			if err != nil {
				t.Errorf("Do: %v, after %v", err, used)
			}
		})
	})
	t.Run("an inner stale value", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBackend(nil)
			cache := newCache(t, b.parts(), secrets.WithTTL(time.Minute))
			env := newEnv(t, cache, single, secrets.WithTTL(time.Minute))
			get(t, env, "A", time.Second)
			b.direct(func(string, int) reply { return reply{err: errServer} })
			time.Sleep(2 * time.Minute)
			for range 3 {
				r := get(t, env, "A", time.Second)
				if r.err != nil || !r.value.Stale() {
					t.Errorf("two minutes old: %v", r)
				}
			}
			b.direct(nil)
			b.rotate("a")
			time.Sleep(time.Minute)
			get(t, env, "A", time.Second)
			wantRead(t, "after the outage", get(t, env, "A", time.Second), "a-1", 0)
		})
	})
}

// A slowLog is a logger's handler that blocks.
type slowLog struct {
	slog.Handler
	wait time.Duration
}

func (h slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (h slowLog) Handle(context.Context, slog.Record) error {
	time.Sleep(h.wait)
	return nil
}

// A logger that blocks delays those whose reference it tells about, and no other.
func TestSlowLogger_OthersGoOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(func(string, int) reply { return reply{wait: time.Millisecond} })
		log := slog.New(slowLog{slog.DiscardHandler, time.Minute})
		environ := map[string]string{"A": "sm://a", "B": "sm://b?ttl=0s"}
		env := newEnv(t, b.parts(), environ, secrets.WithTTL(time.Minute), secrets.WithLogger(log))
		get(t, env, "A", time.Second)
		time.Sleep(time.Minute)
		b.direct(func(id string, _ int) reply {
			if id == "a" {
				return reply{wait: 10 * time.Millisecond, err: secrets.ErrAccessDenied}
			}
			return reply{wait: time.Millisecond}
		})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { get(t, env, "A", 2*time.Second) })
		}
		time.Sleep(10 * time.Millisecond) // A's answer comes now
		for range 200 {
			wg.Go(func() { wantRead(t, "while others log", get(t, env, "B", 2*time.Second), "b-0", 2*time.Second) })
		}
		wg.Wait()
	})
}

// A close that blocks holds nobody, and comes after the last use.
func TestDerive_SlowClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(nil)
		env := newEnv(t, b.parts(), single)
		var closed atomic.Bool
		d := secrets.Derive(env, "A",
			func(_ context.Context, v secrets.Value) (string, error) { return v.Reveal(), nil },
			func(string) { time.Sleep(time.Minute); closed.Store(true) })
		use := func() (used string, took time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			began := time.Now()
			if err := d.Do(ctx, func(it string) error { used, took = it, time.Since(began); return nil }); err != nil {
				t.Error(err)
			}
			return used, took
		}
		use()
		b.rotate("a")
		if err := env.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		if used, took := use(); used != "a-1" || took > 2*time.Second {
			t.Errorf("f ran with %s, %v after Do began", used, took)
		}
		time.Sleep(2 * time.Minute)
		if !closed.Load() {
			t.Error("the old one was never closed")
		}
	})
}

// A build that blocks holds nobody past the deadline, and a builder's time-out is its own.
func TestDerive_SlowBuild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(nil)
		env := newEnv(t, b.parts(), single)
		d := secrets.Derive(env, "A", func(ctx context.Context, v secrets.Value) (string, error) {
			limit, _ := ctx.Deadline()
			if time.Until(limit) < time.Second { // as a driver whose own timer is a little faster than the context
				time.Sleep(time.Until(limit) - time.Millisecond)
				return "", os.ErrDeadlineExceeded
			}
			time.Sleep(time.Second)
			return v.Reveal(), nil
		}, nil)
		//lint:ignore ST1008 the order of what is compared below
		do := func(deadline time.Duration) (err error, took time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			began := time.Now()
			err = d.Do(ctx, func(string) error { return nil })
			return err, time.Since(began)
		}
		var wg sync.WaitGroup
		wg.Go(func() { do(500 * time.Millisecond) })
		time.Sleep(time.Millisecond)
		wg.Go(func() {
			if err, took := do(20 * time.Second); err != nil || took > 3*time.Second {
				t.Errorf("the patient caller: %v after %v", err, took)
			}
		})
		wg.Go(func() {
			if _, took := do(300 * time.Millisecond); took > 300*time.Millisecond {
				t.Errorf("a caller with 300 ms waited %v", took)
			}
		})
		wg.Wait()
	})
}

// No f gets a credential that it refused before.
func TestDerive_RefusedOnce(t *testing.T) {
	for i := range 10 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBackend(func(string, int) reply { return reply{wait: 10 * time.Millisecond} })
				env := newEnv(t, b.parts(), single)
				var wg sync.WaitGroup
				d := secrets.Derive(env, "A", func(ctx context.Context, v secrets.Value) (string, error) {
					time.Sleep(time.Duration(20+7*i) * time.Millisecond)
					return v.Reveal(), nil
				}, nil)
				for caller := range 8 {
					wg.Go(func() {
						for round := range 10 {
							time.Sleep(time.Duration(5*caller+3*round) * time.Millisecond)
							ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
							var used []string
							d.Do(ctx, func(it string) error {
								if slices.Contains(used, it) {
									t.Errorf("f was given %s again, after %v", it, used)
								}
								used = append(used, it)
								time.Sleep(10 * time.Millisecond)
								return refused
							})
							cancel()
						}
					})
				}
				wg.Go(func() {
					for range 30 {
						b.rotate("a")
						env.Refresh(t.Context())
						time.Sleep(13 * time.Millisecond)
					}
				})
				wg.Wait()
			})
		})
	}
}

// Each credential that cannot be built from is logged, not only the first in a row.
func TestDerive_LaterFailureIsLogged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, log := newBackend(nil), &journal{lines: map[string]int{}}
		env := newEnv(t, b.parts(), single, secrets.WithLogger(slog.New(log)))
		d := secrets.Derive(env, "A", func(_ context.Context, v secrets.Value) (string, error) {
			if v.Reveal() != "a-0" {
				return "", errors.New("cannot be built")
			}
			return v.Reveal(), nil
		}, nil)
		for version := range 3 {
			if version > 0 {
				b.rotate("a")
				env.Refresh(t.Context())
			}
			if err := d.Do(t.Context(), func(string) error { return nil }); err != nil {
				t.Error(err)
			}
			if got := log.count("secrets.derive"); got != version {
				t.Errorf("version %d: %d lines of secrets.derive", version, got)
			}
			time.Sleep(time.Minute)
		}
	})
}

// A journal counts log lines by their message.
type journal struct {
	mu    sync.Mutex
	lines map[string]int
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines[r.Message]++
	return nil
}

func (j *journal) count(message string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines[message]
}

// A reference built in code has bounds of its own; those of a declared variable stay.
func TestResolve_LeavesDeclaredBounds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(nil)
		env := newEnv(t, b.parts(), single)
		mustWarm(t, env)
		if err := env.Refresh(t.Context()); err != nil { // its lifetime is 90 % of the TTL at least
			t.Fatal(err)
		}
		ref := secrets.Secret("a").With("ttl", "0s").With("stale", "0s")
		if _, err := env.Resolve(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		had := b.count("a")
		for range 100 {
			wantRead(t, "within the TTL", get(t, env, "A", time.Second), "a-0", 0)
			time.Sleep(time.Second)
		}
		if n := b.count("a") - had; n > 0 {
			t.Errorf("%d calls within the TTL", n)
		}
		b.direct(func(string, int) reply { return reply{err: errServer} })
		time.Sleep(5 * time.Minute)
		wantRead(t, "in an outage", get(t, env, "A", time.Second), "a-0*", time.Second)
	})
}

func TestWarm_SnapStartTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(nil)
		environ := maps.Clone(single)
		environ["AWS_LAMBDA_INITIALIZATION_TYPE"] = "snap-start"
		env := newEnv(t, b.parts(), environ)
		for range 3 {
			if err := env.Warm(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if n := b.count(""); n != 0 {
			t.Errorf("the snapshot holds the plaintext: %d calls", n)
		}
		wantRead(t, "after the restore", get(t, env, "A", time.Second), "a-0", 0)
	})
}

func TestFetch_LiteralStaysHere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(nil)
		env := newEnv(t, b.parts(), map[string]string{"L": "plain"}, secrets.WithVars(secrets.Literal, "L"))
		literal := env.Refs()[0].Ref
		if literal.Scheme() != secrets.Literal {
			t.Skip("a literal's Ref cannot be had from outside")
		}
		r := newCache(t, b.parts()).Fetch(t.Context(), []secrets.Ref{literal})[0]
		if b.count("") != 0 {
			t.Errorf("the provider was asked for a literal: %v, %v", b.asked, r.Err)
		}
		if r.Err == nil && r.Value.Reveal() != "plain" {
			t.Errorf("the literal came out as %q", r.Value.Reveal())
		}
	})
}

// panics reports whether f panics.
func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// A clock that panics takes the read that asks it along, and no lock. A lock that is held stops a bubble
// for ever, so this runs in real time.
func TestClock_PanicLeavesNoLock(t *testing.T) {
	t.Parallel()
	for reading := range 8 { // the one that panics
		t.Run(fmt.Sprint("reading ", reading), func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			var mu sync.Mutex
			armed, n := false, 0
			b := newBackend(nil)
			env := newEnv(t, b.parts(), single, secrets.WithTTL(0),
				secrets.WithClock(func() (time.Time, time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					stack := make([]byte, 1<<14)
					if armed && bytes.Contains(stack[:runtime.Stack(stack, false)], []byte("secrets.(*Env).Get(")) {
						if n++; n == reading+1 {
							panic("the clock panics")
						}
					}
					return clock.now()
				}))
			get(t, env, "A", time.Second)
			arm := func(on bool) {
				mu.Lock()
				armed = on
				mu.Unlock()
			}
			arm(true)
			panics(func() { get(t, env, "A", time.Second) })
			arm(false)
			done := make(chan read, 1)
			go func() { done <- get(t, env, "A", 10*time.Second) }()
			select {
			case r := <-done:
				if r.err != nil {
					t.Errorf("the next read: %v", r)
				}
			case <-time.After(15 * time.Second):
				t.Error("a lock is held for ever")
			}
		})
	}
}

// A close that panics leaves the new T in use, and everything that was replaced closed.
func TestDerive_PanickingClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(nil)
		env := newEnv(t, b.parts(), single)
		open := map[string]bool{}
		d := secrets.Derive(env, "A",
			func(_ context.Context, v secrets.Value) (string, error) {
				open[v.Reveal()] = true
				return v.Reveal(), nil
			},
			func(it string) {
				delete(open, it)
				if it == "a-0" {
					panic("close panics")
				}
			})
		for range 3 {
			panics(func() { d.Do(t.Context(), func(string) error { return nil }) })
			b.rotate("a")
			env.Refresh(t.Context())
		}
		panics(d.Close)
		time.Sleep(time.Second)
		if len(open) > 0 {
			t.Errorf("left open: %v", slices.Collect(maps.Keys(open)))
		}
	})
}
