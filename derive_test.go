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

// The error of a build that wants a field which is not there names the variable, wrapped or not, to the caller and in
// the log: nobody could tell which of ten pools failed.
func TestDerive_FieldErrorNamesVariable(t *testing.T) {
	t.Parallel()
	text := `{"host":"db","app":"{\"user\":\"u\"}"}`
	var log strings.Builder
	provider := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue(text, ""), nil
	})
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"ORDERS_DB": "sm://db"}),
		secrets.WithProvider(provider), secrets.WithLogger(textLog(&log)))
	if err != nil {
		t.Fatal(err)
	}
	build := func(path ...string) func(context.Context, secrets.Value) (string, error) {
		return func(_ context.Context, v secrets.Value) (string, error) {
			for _, field := range path {
				var err error
				if v, err = v.Field(field); err != nil {
					return "", fmt.Errorf("the pool of orders: %w", err)
				}
			}
			return v.Reveal(), nil
		}
	}
	use := func(string) error { return nil }
	for _, path := range [][]string{{"password"}, {"app", "password"}} {
		err := secrets.Derive(env, "ORDERS_DB", build(path...), nil).Do(t.Context(), use)
		var e *secrets.ResolveError
		if !errors.As(err, &e) || e.Variable != "ORDERS_DB" ||
			!strings.Contains(err.Error(), "ORDERS_DB: no such field") {
			t.Errorf("%v: %v", path, err)
		}
	}

	d := secrets.Derive(env, "ORDERS_DB", build("host"), nil)
	if err := d.Do(t.Context(), use); err != nil {
		t.Fatal(err)
	}
	text = `{"hosts":[]}`
	if err := env.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Do(t.Context(), use); err != nil {
		t.Errorf("the old one is not used: %v", err)
	}
	if said := log.String(); !strings.Contains(said, "secrets.derive") ||
		!strings.Contains(said, "ORDERS_DB: no such field") {
		t.Errorf("the log says %s", said)
	}
	// A Value that is not built from is nobody's.
	v, err := env.Get(t.Context(), "ORDERS_DB")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Field("host"); err == nil || strings.Contains(err.Error(), "ORDERS_DB") {
		t.Errorf("outside Derive: %v", err)
	}
}

type pool struct {
	password string
	users    atomic.Int64
	closed   atomic.Int64
}

// Derive under 1,000 rotations and 64 users: every pool built is closed once, none while in use.
func TestDerive_EveryPoolIsClosedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{current: "0", accepted: "0"}
		env := v.env(t)
		var mu sync.Mutex
		var pools []*pool
		d := secrets.Derive(env, "DB_PASSWORD", func(ctx context.Context, p secrets.Value) (*pool, error) {
			time.Sleep(3 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			pools = append(pools, &pool{password: p.Reveal()})
			return pools[len(pools)-1], nil
		}, func(p *pool) {
			if p.users.Load() != 0 {
				t.Error("closed while in use")
			}
			p.closed.Add(1)
		})
		done := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					if err := d.Do(t.Context(), func(p *pool) error {
						p.users.Add(1)
						defer p.users.Add(-1)
						if p.closed.Load() != 0 {
							t.Error("a closed pool was handed out")
						}
						if err := v.connect(secrets.NewValue(p.password, "")); err != nil {
							return secrets.Rejected(err)
						}
						// some are at work with the old one when it is replaced
						time.Sleep(time.Duration(1+i%8) * time.Millisecond)
						return nil
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range 1000 {
			v.set(fmt.Sprint(i), "", fmt.Sprint(i))
			time.Sleep(10 * time.Millisecond)
		}
		close(done)
		wg.Wait()
		d.Close()
		open := 0
		for _, p := range pools {
			switch p.closed.Load() {
			case 0:
				open++
			case 1:
			default:
				t.Errorf("a pool was closed %d times", p.closed.Load())
			}
		}
		t.Logf("%d pools built, %d fetches", len(pools), v.calls())
		if open > 0 || len(pools) < 900 {
			t.Errorf("%d of %d pools left open", open, len(pools))
		}
	})
}

func TestDerive_KeepsOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{current: "a", accepted: "a"}
		var log strings.Builder
		env := v.env(t, secrets.WithLogger(textLog(&log)))
		builds, broken := 0, false
		d := secrets.Derive(env, "DB_PASSWORD", func(ctx context.Context, p secrets.Value) (string, error) {
			if builds++; broken {
				return "", fmt.Errorf("cannot parse postgres://app:%s@db/app", p.Reveal())
			}
			return p.Reveal(), nil
		}, nil)
		use := func() (got string) {
			t.Helper()
			if err := d.Do(t.Context(), func(s string) error { got = s; return nil }); err != nil {
				t.Error(err)
			}
			return got
		}
		if got := use(); got != "a" {
			t.Errorf("got %s", got)
		}
		v.set("canary", "", "canary")
		broken = true
		env.Refresh(t.Context())
		for range 100 {
			if got := use(); got != "a" {
				t.Errorf("a failed rebuild: got %s, want the old one", got)
			}
		}
		if builds != 2 {
			t.Errorf("%d builds, want one more that failed", builds)
		}
		if said := log.String(); !strings.Contains(said, "secrets.derive") ||
			!strings.Contains(said, "postgres://app:[REDACTED]@db") || strings.Contains(said, "app:canary") {
			t.Errorf("the failed rebuild was not logged, or with its password: %s", said)
		}
		time.Sleep(time.Second)
		broken = false
		if got := use(); got != "canary" {
			t.Errorf("after the backoff: got %s", got)
		}
		var fresh = secrets.Derive(env, "DB_PASSWORD",
			func(context.Context, secrets.Value) (int, error) { return 0, errDatabase }, nil)
		if err := fresh.Do(t.Context(), func(int) error { return nil }); err != errDatabase {
			t.Errorf("a first build that fails: %v", err)
		}
	})
}

// What is built follows the value also after the wall clock was turned back.
func TestDerive_ClockStepsBack(t *testing.T) {
	var back atomic.Int64
	base := time.Now()
	v := &vault{current: "a", accepted: "a"}
	env := v.env(t, secrets.WithClock(func() (time.Time, time.Duration) {
		return time.Now().Add(-time.Duration(back.Load())), time.Since(base)
	}))
	d := secrets.Derive(env, "DB_PASSWORD",
		func(_ context.Context, p secrets.Value) (string, error) { return p.Reveal(), nil }, nil)
	for _, want := range []string{"a", "b"} {
		v.set(want, "", want)
		if err := env.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := d.Do(t.Context(), func(got string) error {
			if got != want {
				t.Errorf("built from %s, want %s", got, want)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		back.Store(int64(time.Hour))
	}
}

// Callers who wait for a first build share its failure; but not that of a caller who gave up.
func TestDerive_FirstBuildFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := (&vault{current: "a", accepted: "a"}).env(t)
		var builds atomic.Int64
		failing := errors.New("no route to the database")
		d := secrets.Derive(env, "DB_PASSWORD", func(ctx context.Context, _ secrets.Value) (int, error) {
			builds.Add(1)
			select {
			case <-time.After(time.Second):
				return 0, failing
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}, nil)
		began := time.Now()
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if err := d.Do(ctx, func(int) error { return nil }); err != context.Canceled {
				t.Errorf("the one who gives up: %v", err)
			}
		})
		synctest.Wait()
		for range 63 {
			wg.Go(func() {
				if err := d.Do(t.Context(), func(int) error { return nil }); err != failing {
					t.Errorf("one who waits: %v", err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		cancel()
		wg.Wait()
		if n, took := builds.Load(), time.Since(began); n != 2 || took > 2*time.Second {
			t.Errorf("%d builds in %v, want 2: one given up, one for all", n, took)
		}
	})
}

// What is built while Close runs is closed by the caller it was built for.
func TestDerive_CloseWhileBuilding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := (&vault{current: "a", accepted: "a"}).env(t)
		var open atomic.Int64
		d := secrets.Derive(env, "DB_PASSWORD", func(context.Context, secrets.Value) (int, error) {
			time.Sleep(time.Second)
			open.Add(1)
			return 0, nil
		}, func(int) { open.Add(-1) })
		time.AfterFunc(500*time.Millisecond, d.Close)
		if err := d.Do(t.Context(), func(int) error {
			if open.Load() != 1 {
				t.Error("closed while in use")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if n := open.Load(); n != 0 {
			t.Errorf("%d are open after Close", n)
		}
	})
}

// A build that panics leaves the holder usable.
func TestDerive_BuildPanics(t *testing.T) {
	env := (&vault{current: "a", accepted: "a"}).env(t)
	broken := true
	d := secrets.Derive(env, "DB_PASSWORD", func(context.Context, secrets.Value) (int, error) {
		if broken {
			panic("broken")
		}
		return 7, nil
	}, nil)
	func() {
		defer func() { recover() }()
		d.Do(t.Context(), func(int) error { return nil })
		t.Error("the panic was swallowed")
	}()
	broken = false
	if err := d.Do(t.Context(), func(int) error { return nil }); err != nil {
		t.Error(err)
	}
}

// A JSON value that is quoted is written with backslashes.
func TestDerive_QuotedValueIsHidden(t *testing.T) {
	const plain = "{\"user\": \"app\",\n \"password\": \"canary\"}"
	var log strings.Builder
	text := "a"
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"DB": "sm://db"}), secrets.WithLogger(textLog(&log)),
		secrets.WithProvider(secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
			return secrets.NewValue(text, ""), nil
		})))
	if err != nil {
		t.Fatal(err)
	}
	d := secrets.Derive(env, "DB", func(_ context.Context, p secrets.Value) (string, error) {
		if p.EqualString(plain) {
			return "", fmt.Errorf("cannot parse %q", p.Reveal())
		}
		return "", nil
	}, nil)
	d.Do(t.Context(), func(string) error { return nil })
	text = plain
	env.Refresh(t.Context())
	d.Do(t.Context(), func(string) error { return nil })
	if text := log.String(); !strings.Contains(text, "secrets.derive") || strings.Contains(text, "canary") {
		t.Error(text)
	}
}

// A second use of the same try counts as a run.
func TestDerive_DoRunsFourTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, broken := &script{}, false
		env := p.Env(t, map[string]string{"A": "ssm:///a"})
		d := secrets.Derive(env, "A", func(context.Context, secrets.Value) (int, error) {
			if broken {
				return 0, errors.New("no build")
			}
			return 1, nil
		}, nil)
		d.Do(t.Context(), func(int) error { return nil })
		time.Sleep(time.Millisecond)
		env.Refresh(t.Context())
		broken = true
		d.Do(t.Context(), func(int) error { return nil }) // goes on with the old one, for a second
		broken = false
		n := 0
		d.Do(t.Context(), func(int) error {
			n++
			time.Sleep(time.Millisecond)
			env.Refresh(t.Context()) // each time there is a newer value
			return secrets.Rejected(errors.New("28P01"))
		})
		if n > 4 {
			t.Errorf("f ran %d times", n)
		}
	})
}

// While a rebuild fails, the old one is used. If that is refused, the new value is what it needs: it is built again.
func TestDerive_RefusedOldOneIsRebuilt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := &vault{current: "a", accepted: "a"}
		env := v.env(t)
		builds := 0
		d := secrets.Derive(env, "DB_PASSWORD", func(_ context.Context, p secrets.Value) (string, error) {
			if builds++; builds == 2 {
				return "", errors.New("the database restarts")
			}
			return p.Reveal(), nil
		}, nil)
		use := func() error {
			return d.Do(t.Context(), func(password string) error {
				if v.accepted != password {
					return secrets.Rejected(errDatabase)
				}
				return nil
			})
		}
		if err := use(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		v.set("b", "", "b")
		if err := env.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := use(); err != nil || builds != 3 {
			t.Errorf("%v after %d builds, want none after 3", err, builds)
		}
	})
}

// A context whose Err closes the Derived, or panics, leaves no lock held.
func TestDerive_ContextMayClose(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		t.Run(map[bool]string{false: "closes", true: "panics"}[panics], func(t *testing.T) {
			t.Parallel()
			for n := range 12 { // of the calls of Err
				synctest.Test(t, func(t *testing.T) { contextInTheWay(t, n, panics, false) })
				synctest.Test(t, func(t *testing.T) { contextInTheWay(t, n, panics, true) })
			}
		})
	}
}

// contextInTheWay rebuilds, or builds first, under a context whose Err closes the Derived or panics, the nth time that
// it is called.
func contextInTheWay(t *testing.T, n int, panics, cold bool) {
	env := (&script{}).One(t, secrets.WithTTL(ttl))
	d := secrets.Derive(env, "A", func(_ context.Context, v secrets.Value) (string, error) {
		return v.Reveal(), nil
	}, nil)
	do := func(ctx context.Context) (err error) {
		defer func() { _ = recover() }()
		return d.Do(ctx, func(string) error { return nil })
	}
	if !cold {
		do(t.Context())
	}
	time.Sleep(ttl)
	calls := 0
	do(ownContext{t.Context(), func() error {
		if calls++; calls == n+1 && panics {
			panic("a broken context")
		} else if calls == n+1 {
			d.Close()
		}
		return t.Context().Err()
	}})
	began := time.Now()
	if err := do(t.Context()); err != nil || time.Since(began) > 0 {
		t.Errorf("the next Do, after call %d of Err: %v after %v", n+1, err, time.Since(began))
	}
	d.Close()
}

// An empty value is as good as any: what was built from it is kept.
func TestDerive_EmptyValueIsKept(t *testing.T) {
	t.Parallel()
	env, err := secrets.New(secrets.WithLogger(quiet()), secrets.WithEnviron(map[string]string{"A": "literal://"}))
	if err != nil {
		t.Fatal(err)
	}
	built, closed := 0, 0
	d := secrets.Derive(env, "A", func(context.Context, secrets.Value) (int, error) { built++; return 0, nil },
		func(int) { closed++ })
	for range 10 {
		if err := d.Do(t.Context(), func(int) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if built != 1 || closed != 0 {
		t.Errorf("%d built and %d closed for one value, want 1 and 0", built, closed)
	}
}

// Where an old T was refused and its caller has left, nothing is rebuilt, and f does not run again.
func TestDerive_DoEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		env := (&script{}).One(t, secrets.WithTTL(ttl))
		fail := false
		d := secrets.Derive(env, "A", func(_ context.Context, v secrets.Value) (string, error) {
			if fail {
				fail = false
				return "", errOdd
			}
			return v.Reveal(), nil
		}, nil)
		d.Do(t.Context(), func(string) error { return nil })
		time.Sleep(ttl)
		fail = true
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		d.Do(ctx, func(string) error {
			runs++
			cancel()
			return secrets.Rejected(errors.New("refused"))
		})
		if runs != 1 {
			t.Errorf("f ran %d times, want once: ctx ended in it", runs)
		}
	})
}
