package refcount

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets/internal/deadline"
)

// version is a value; the smaller is older.
type version int

func (v version) same(w version) bool   { return v == w }
func (v version) before(w version) bool { return v < w }

// Who read an old value, and does not need it, gets what is there; who needs it gets it.
func TestUse_OldValue(t *testing.T) {
	tests := []struct {
		name string
		v    version
		need bool
		want version
	}{
		{"the same", 2, false, 2},
		{"an older one", 1, false, 2},
		{"an older one that is needed", 1, true, 1},
		{"a newer one", 3, false, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := New(func(_ context.Context, v version) (version, error) { return v, nil }, func(version) {},
				nil, version.before, version.same)
			use := func(v version, need bool) (got version) {
				from, err := h.Use(t.Context(), v, need, func(it version) error { got = it; return nil })
				if err != nil || from != got {
					t.Errorf("built from %d, said to be from %d: %v", got, from, err)
				}
				return got
			}
			use(2, false)
			if got := use(test.v, test.need); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// While builds fail, the old one is used and the pauses grow to 30 seconds; a caller who gives up opens none, and one
// whose time is up does not build.
func TestUse_PausesAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		builds, reports := 0, 0
		over, giveUp := context.WithCancel(t.Context())
		h := New(func(ctx context.Context, v version) (int, error) {
			if v == 1 {
				return 1, nil
			}
			builds++
			giveUp()
			return 0, errors.Join(errors.New("broken"), ctx.Err())
		}, func(int) {}, func(context.Context, version, error) { reports++ }, version.before, version.same)
		use := func(ctx context.Context, v version) {
			if _, err := h.Use(ctx, v, false, func(int) error { return nil }); err != nil {
				t.Error(err)
			}
		}
		use(t.Context(), 1)
		use(over, 2)
		use(over, 2)
		if use(t.Context(), 2); builds != 2 {
			t.Errorf("%d builds, want one for him who gave up and one for the next", builds)
		}
		for began := time.Now(); time.Since(began) < 121*time.Second; time.Sleep(100 * time.Millisecond) {
			use(t.Context(), 2)
		}
		// After 0, 1, 3, 7, 15, 31, 61, 91 and 121 s, to the tenth.
		if builds != 1+9 && builds != 1+8 {
			t.Errorf("%d builds in two minutes", builds-1)
		}
		if reports != 1 {
			t.Errorf("%d reports, want 1", reports)
		}
	})
}

// A rebuild that hangs leaves its caller time for the old one, and keeps the next ones from waiting for the same.
func TestUse_HangingRebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		builds, reports := 0, 0
		h := New(func(ctx context.Context, v version) (version, error) {
			if v == 2 {
				builds++
				<-ctx.Done()
			}
			return v, ctx.Err()
		}, func(version) {}, func(context.Context, version, error) { reports++ }, version.before, version.same)
		invoke := func(v version) (took time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			began := time.Now()
			if from, err := h.Use(ctx, v, false, func(version) error { return ctx.Err() }); err != nil || from != 1 {
				t.Errorf("version %d, %v; want the old one, and time to use it", from, err)
			}
			return time.Since(began)
		}
		invoke(1)
		if took := invoke(2); took != 3*time.Second-deadline.Reserve {
			t.Errorf("the first took %v", took)
		}
		for range 10 {
			if took := invoke(2); took != 0 {
				t.Errorf("one of the next took %v", took)
			}
		}
		if builds != 1 || reports != 1 {
			t.Errorf("%d builds, %d reports, want one of each", builds, reports)
		}
	})
}

// Close while a build goes on: those who wait for it get it, the last of them closes it, and one who gave up is not
// waited for.
func TestClose_WhileBuilding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		builds, open, served := 0, 0, 0
		var mu sync.Mutex
		h := New(func(_ context.Context, v version) (version, error) {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			builds++
			open++
			return v, nil
		}, func(version) {
			mu.Lock()
			defer mu.Unlock()
			open--
		}, nil, version.before, version.same)
		over, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		use := func(ctx context.Context, want error) {
			wg.Go(func() {
				_, err := h.Use(ctx, 1, false, func(version) error {
					mu.Lock()
					defer mu.Unlock()
					if served++; open != 1 {
						t.Error("closed while in use")
					}
					return nil
				})
				if err != want {
					t.Errorf("got %v, want %v", err, want)
				}
			})
		}
		use(t.Context(), nil)
		synctest.Wait()
		for range 10 {
			use(t.Context(), nil)
			use(over, context.Canceled)
		}
		time.Sleep(500 * time.Millisecond)
		h.Close()
		cancel()
		wg.Wait()
		if builds != 1 || open != 0 || served != 11 {
			t.Errorf("%d builds, %d open, %d served, want 1, 0 and 11", builds, open, served)
		}
	})
}

// A build that does not return, by a panic or runtime.Goexit, takes down its caller only.
func TestUse_BuildDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		builds, served := 0, 0
		h := New(func(_ context.Context, v version) (version, error) {
			builds++
			time.Sleep(time.Second)
			switch builds {
			case 1:
				runtime.Goexit()
			case 2:
				panic("broken")
			}
			return v, nil
		}, func(version) {}, nil, version.before, version.same)
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 10 {
			wg.Go(func() {
				defer func() { recover() }()
				h.Use(t.Context(), 1, false, func(version) error {
					mu.Lock()
					defer mu.Unlock()
					served++
					return nil
				})
			})
		}
		wg.Wait()
		if builds != 3 || served != 8 {
			t.Errorf("%d builds and %d served, want 3 and 8", builds, served)
		}
		if h.current.users != 0 {
			t.Errorf("%d users are left", h.current.users)
		}
	})
}

// Who waits for somebody else's build keeps the reserve of its own deadline.
func TestUse_WaitKeepsReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(func(_ context.Context, v version) (version, error) {
			time.Sleep(time.Minute)
			return v, nil
		}, func(version) {}, nil, version.before, version.same)
		f := func(version) error { return nil }
		go h.Use(t.Context(), 1, false, f)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := h.Use(ctx, 1, false, f)
		if took := time.Since(began); err != context.DeadlineExceeded || took != time.Second-deadline.Reserve {
			t.Errorf("%v after %v", err, took)
		}
		time.Sleep(time.Minute)
	})
}

// A builder and those who wait for it may share a context that ends.
func TestUse_AllGiveUpTogether(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			h := New(func(ctx context.Context, v version) (version, error) {
				time.Sleep(time.Second)
				cancel()
				return v, ctx.Err()
			}, func(version) {}, nil, version.before, version.same)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if _, err := h.Use(ctx, 1, false, func(version) error { return nil }); err != context.Canceled {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
}

// A panic of close reaches who has waited for it, with a deadline as without.
func TestUse_ClosePanics(t *testing.T) {
	for name, limit := range map[string]time.Duration{"with a deadline": time.Minute, "without": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := New(func(_ context.Context, v version) (version, error) { return v, nil },
					func(version) { panic("broken") }, nil, version.before, version.same)
				ctx, cancel := t.Context(), func() {}
				if limit > 0 {
					ctx, cancel = context.WithTimeout(ctx, limit)
				}
				defer cancel()
				f := func(version) error { return nil }
				h.Use(ctx, 1, false, f)
				defer func() {
					if p := recover(); p != "broken" {
						t.Errorf("recovered %v, want the panic of close", p)
					}
				}()
				h.Use(ctx, 2, true, f)
			})
		})
	}
}

// A close that takes its time costs a caller with a deadline no more than it has.
func TestUse_SlowCloseKeepsReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(func(_ context.Context, v version) (version, error) { return v, nil },
			func(version) { time.Sleep(time.Minute) }, nil, version.before, version.same)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f := func(version) error { return nil }
		h.Use(ctx, 1, false, f)
		began := time.Now()
		h.Use(ctx, 2, true, f)
		if took := time.Since(began); took != time.Second-deadline.Reserve {
			t.Errorf("it took %v", took)
		}
		time.Sleep(time.Minute)
	})
}

// Without a deadline the caller itself closes what it used last, whatever became of its context: a panic of the close
// function shows where it comes from, and nothing goes on after the caller has returned.
func TestUse_ClosesItselfWithoutDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := false
		h := New(func(_ context.Context, v version) (version, error) { return v, nil },
			func(version) { time.Sleep(time.Second); ended = true }, nil, version.before, version.same)
		if _, err := h.Use(ctx, 1, false, func(version) error { h.Close(); cancel(); return nil }); err != nil {
			t.Error(err)
		}
		if !ended {
			t.Error("the caller has returned, and the close goes on")
		}
	})
}

// What is built first is all that its caller waits for, so that the build has all of its time. A rebuild leaves the
// reserve for the old one.
func TestUse_TimeOfBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var has time.Duration
		h := New(func(ctx context.Context, v version) (version, error) {
			end, _ := ctx.Deadline()
			has = time.Until(end)
			return v, nil
		}, func(version) {}, nil, version.before, version.same)
		for v, want := range map[version]time.Duration{1: time.Second, 2: time.Second - deadline.Reserve} {
			if v == 2 {
				h.Use(t.Context(), 1, false, func(version) error { return nil })
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			h.Use(ctx, v, false, func(version) error { return nil })
			cancel()
			if has != want {
				t.Errorf("the build of %d has %v, want %v", v, has, want)
			}
			h.Close()
		}
	})
}

// What was closed is never used again, nor closed twice.
func TestClose_LaterUseBuildsAnew(t *testing.T) {
	builds, open := 0, 0
	h := New(func(_ context.Context, v version) (version, error) { builds++; open++; return v, nil },
		func(version) { open-- }, nil, version.before, version.same)
	for n := 1; n <= 2; n++ {
		_, err := h.Use(t.Context(), 1, false, func(version) error { return nil })
		if err != nil || builds != n || open != 1 {
			t.Errorf("use %d: %v, %d builds, %d open", n, err, builds, open)
		}
		h.Close()
		h.Close()
		if open != 0 {
			t.Errorf("%d are open after Close", open)
		}
	}
}

// A builder whose time is up says nothing of the value, in whatever words: who waited with more time builds for itself.
func TestUse_TimeOutOfBuilderIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		builds := 0
		h := New(func(ctx context.Context, v version) (version, error) {
			if builds++; builds == 1 {
				<-ctx.Done()
				return 0, errors.New("the server did not answer")
			}
			return v, nil
		}, func(version) {}, nil, version.before, version.same)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f := func(version) error { return nil }
		go h.Use(short, 1, false, f)
		synctest.Wait()
		if _, err := h.Use(t.Context(), 1, false, f); err != nil || builds != 2 {
			t.Errorf("%v after %d builds, want a build of its own", err, builds)
		}
	})
}

// Who waits for one build after the other, because each is of another value than it needs, keeps the reserve that it
// began with, and leaves nothing open of what it did not use.
func TestUse_WaitsForSeveralBuilds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		built, ended := 0, 0
		count := func(n *int) {
			mu.Lock()
			defer mu.Unlock()
			*n++
		}
		h := New(func(_ context.Context, v version) (version, error) {
			time.Sleep(250 * time.Millisecond)
			count(&built)
			return v, nil
		}, func(version) { count(&ended) }, nil, version.before, version.same)
		var wg sync.WaitGroup
		late := 0
		for v := range version(20) {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
				defer cancel()
				began := time.Now()
				_, err := h.Use(ctx, v, true, func(version) error { return nil })
				if took := time.Since(began); err != nil && took != 300*time.Millisecond {
					t.Errorf("%v after %v, want the deadline less a quarter", err, took)
				} else if err == nil {
					count(&late)
				}
			})
		}
		wg.Wait()
		h.Close()
		synctest.Wait() // one is closed for a caller whose time is up
		if late != 2 || built != 2 || ended != built {
			t.Errorf("%d built and %d closed for %d users, want 2", built, ended, late)
		}
	})
}

// What is in use is not closed, whoever replaces it or leaves first.
func TestUse_ClosedByLastUser(t *testing.T) {
	closed := 0
	h := New(func(_ context.Context, v version) (version, error) { return v, nil },
		func(version) { closed++ }, nil, version.before, version.same)
	use := func(v version, need bool, f func()) {
		t.Helper()
		if _, err := h.Use(t.Context(), v, need, func(version) error { f(); return nil }); err != nil {
			t.Error(err)
		}
	}
	use(1, false, func() {
		use(1, false, func() {
			if use(2, true, func() {}); closed != 0 {
				t.Error("closed while two use it")
			}
		})
		if closed != 0 {
			t.Error("closed while one uses it")
		}
	})
	if closed != 1 {
		t.Errorf("%d are closed, want what was replaced", closed)
	}
}
