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
	"github.com/lambdasecrets/secrets/secretstest"
)

// vault is a Secrets Manager with one secret, and a database that accepts one password.
type vault struct {
	mu                         sync.Mutex
	current, pending, accepted string
	fetched                    int
	delay                      time.Duration
}

func (v *vault) fetch(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
	v.mu.Lock()
	v.fetched++
	text := v.current
	if ref.Stage() == "AWSPENDING" {
		text = v.pending
	}
	v.mu.Unlock()
	time.Sleep(v.delay)
	if text == "" {
		return secrets.Value{}, fmt.Errorf("no such stage: %w", secrets.ErrNotFound)
	}
	return secrets.NewValue(fmt.Sprintf(`{"user":"u-%s","password":%q}`, text, text), "version-"+text), nil
}

func (v *vault) set(current, pending, accepted string) {
	v.mu.Lock()
	v.current, v.pending, v.accepted = current, pending, accepted
	v.mu.Unlock()
}

func (v *vault) calls() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.fetched
}

var errDatabase = errors.New("28P01 password authentication failed")

func (v *vault) connect(password secrets.Value) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if password.EqualString(v.accepted) {
		return nil
	}
	return errDatabase
}

func (v *vault) env(t testing.TB, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	environ := map[string]string{"DB_USER": "sm://db#user", "DB_PASSWORD": "sm://db#password"}
	env, err := secrets.New(append([]secrets.Option{secrets.WithEnviron(environ),
		secrets.WithProvider(secrets.ProviderFunc(v.fetch)), secrets.WithTTL(time.Hour),
		secrets.WithLogger(quiet())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	return env
}

func TestDo_FollowsRotation(t *testing.T) {
	tests := []struct {
		name  string
		steps [][3]string // current, pending, accepted
		calls int         // for all steps, beyond the warm
	}{
		{"nothing rotates", [][3]string{{"a", "", "a"}, {"a", "", "a"}}, 0},
		{"current has moved", [][3]string{{"b", "", "b"}}, 2},
		{"current has moved, the label AWSPENDING stays on it", [][3]string{{"b", "b", "b"}}, 1},
		{"the database goes first", [][3]string{{"a", "b", "b"}}, 1},
		{"then current moves: the pending one was kept", [][3]string{{"a", "b", "b"}, {"b", "", "b"}}, 1},
		{"two rotations", [][3]string{{"a", "b", "b"}, {"b", "", "b"}, {"b", "c", "c"}, {"c", "", "c"}}, 2},
		{"a rotation died, and the next one goes on from its password",
			[][3]string{{"a", "b", "b"}, {"a", "c", "c"}}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := &vault{current: "a", accepted: "a"}
			env := v.env(t)
			warm := v.calls()
			for _, s := range test.steps {
				v.set(s[0], s[1], s[2])
				if err := env.Do(t.Context(), "DB_PASSWORD",
					func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) }); err != nil {
					t.Fatal(err)
				}
				user, password := mustGet(t, env, "DB_USER").Reveal(), mustGet(t, env, "DB_PASSWORD").Reveal()
				if password != s[2] || user != "u-"+s[2] {
					t.Errorf("after %v the cache holds %s, %s", s, user, password)
				}
			}
			if got := v.calls() - warm; got != test.calls {
				t.Errorf("%d fetches, want %d", got, test.calls)
			}
		})
	}
}

func TestDo_ReturnsErrorOfF(t *testing.T) {
	v := &vault{current: "a", accepted: "a"}
	env := v.env(t)
	other := errors.New("no such table")
	runs := 0
	if err := env.Do(t.Context(), "DB_PASSWORD", func(secrets.Value) error { runs++; return other }); err != other ||
		runs != 1 {
		t.Errorf("an error that is no rejection: %v after %d runs", err, runs)
	}
	if n := v.calls(); n != 1 {
		t.Errorf("%d fetches for an error that is no rejection", n-1)
	}
	v.set("a", "", "z")
	runs = 0
	if err := env.Do(t.Context(), "DB_PASSWORD", func(p secrets.Value) error {
		runs++
		return secrets.Rejected(v.connect(p))
	}); err != errDatabase || runs != 1 {
		t.Errorf("a rejection without anything newer: %v after %d runs", err, runs)
	}
	if err := env.Do(t.Context(), "NOPE", nil); !errors.Is(err, secrets.ErrNotReference) {
		t.Errorf("unknown variable: %v", err)
	}
	predicate := v.env(t, secrets.WithRejected(func(err error) bool { return errors.Is(err, errDatabase) }))
	v.set("b", "", "b")
	if err := predicate.Do(t.Context(), "DB_PASSWORD", v.connect); err != nil {
		t.Errorf("with a predicate: %v", err)
	}
	if secrets.Rejected(nil) != nil {
		t.Error("Rejected(nil) is not nil")
	}
	if _, err := secrets.New(secrets.WithEnviron(nil), secrets.WithRejected(nil)); err == nil {
		t.Error("New takes WithRejected(nil)")
	}
}

// A stored password that is simply wrong: 1,000 requests in a minute cause at most 8 fetches.
func TestDo_WrongPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{current: "wrong", accepted: "right", delay: 20 * time.Millisecond}
		env := v.env(t)
		warm := v.calls()
		var wg sync.WaitGroup
		var own atomic.Int64
		for range 1000 {
			wg.Go(func() {
				err := env.Do(t.Context(), "DB_PASSWORD",
					func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) })
				if err == errDatabase {
					own.Add(1)
				}
			})
			time.Sleep(time.Minute / 1000)
		}
		wg.Wait()
		t.Logf("%d fetches, %d callers saw the database's own error", v.calls()-warm, own.Load())
		if n := v.calls() - warm; n > 8 {
			t.Errorf("%d fetches, want at most 8", n)
		}
		if own.Load() != 1000 {
			t.Errorf("%d of 1000 callers saw the database's own error", own.Load())
		}
	})
}

// When a search that found nothing is made again.
func TestDo_SearchesAgain(t *testing.T) {
	tests := []struct {
		name  string
		tries time.Duration // the second try, after the first
		found bool          // by the second, when the store is right
	}{
		{"too early", 9 * time.Second, false},
		{"after ten seconds", 10 * time.Second, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vault{current: "wrong", accepted: "right"}
				env := v.env(t)
				do := func() error {
					return env.Do(t.Context(), "DB_PASSWORD",
						func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) })
				}
				if err := do(); err != errDatabase {
					t.Fatalf("the first try: %v", err)
				}
				v.set("right", "", "right")
				time.Sleep(test.tries)
				if err := do(); (err == nil) != test.found {
					t.Errorf("the second try: %v", err)
				}
			})
		})
	}
}

// A search that AWS throttles is no search in vain: the next caller, a backoff later, finds the password.
func TestDo_Throttled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{current: "a", accepted: "a"}
		var throttled atomic.Bool
		env := v.env(t,
			secrets.WithProvider(secrets.ProviderFunc(func(ctx context.Context,
				ref secrets.Ref) (secrets.Value, error) {
				if throttled.Load() {
					v.fetch(ctx, ref)
					return secrets.Value{}, secrets.ErrThrottled
				}
				return v.fetch(ctx, ref)
			})))
		do := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			return env.Do(ctx, "DB_PASSWORD", func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) })
		}
		v.set("b", "", "b")
		throttled.Store(true)
		if err := do(); err != errDatabase {
			t.Errorf("while throttled: %v, want the database's own error", err)
		}
		calls := v.calls()
		for range 100 {
			if err := do(); err != errDatabase {
				t.Errorf("while throttled: %v", err)
			}
		}
		if n := v.calls() - calls; n > 5 { // the backoff of the pending version ends a second earlier
			t.Errorf("%d fetches within the backoff", n)
		}
		throttled.Store(false)
		time.Sleep(2 * time.Second)
		if err := do(); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// parameter is a Parameter Store with one parameter, which has no pending version, and a variable P for it.
type parameter struct {
	text  string
	calls int
}

func (p *parameter) env(t testing.TB, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	env, err := secrets.New(append([]secrets.Option{secrets.WithEnviron(map[string]string{"P": "ssm:///p"}),
		secrets.WithLogger(quiet()), secrets.WithTTL(time.Hour), secrets.WithProvider(secrets.ProviderFunc(
			func(context.Context, secrets.Ref) (secrets.Value, error) {
				p.calls++
				return secrets.NewValue(p.text, ""), nil
			}))}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// What one search has fetched need not be fetched again by the next one, which begins because that was refused, too.
func TestDo_RefusedTwiceFetchesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &parameter{text: "a"}
		env := p.env(t)
		mustGet(t, env, "P")
		p.text = "b"
		var tried []string
		err := env.Do(t.Context(), "P", func(v secrets.Value) error {
			tried = append(tried, v.Reveal())
			return secrets.Rejected(errDatabase)
		})
		if got := strings.Join(tried, " "); err != errDatabase || got != "a b" || p.calls != 2 {
			t.Errorf("%v after %s and %d fetches, want the database's after a b and 2", err, got, p.calls)
		}
	})
}

// A value that a search has brought works as soon as one Do says so, be it the next one: a rotation that follows is
// looked for at once.
func TestDo_AcceptedByTheNextOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &parameter{text: "a"}
		env := p.env(t)
		mustGet(t, env, "P")
		accepts, broken := "b", errors.New("no such table")
		connect := func(v secrets.Value) error {
			switch {
			case !v.EqualString(accepts):
				return secrets.Rejected(errDatabase)
			case broken != nil:
				return broken
			}
			return nil
		}
		p.text = "b"
		if err := env.Do(t.Context(), "P", connect); err != broken {
			t.Errorf("%v, want what f says of another matter", err)
		}
		broken = nil
		if err := env.Do(t.Context(), "P", connect); err != nil {
			t.Error(err)
		}
		p.text, accepts = "c", "c"
		if err := env.Do(t.Context(), "P", connect); err != nil {
			t.Errorf("after the next rotation: %v", err)
		}
	})
}

// Nor is a search over because somebody still works with the value that it is to replace.
func TestDo_OldValueAcceptsNoSearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &parameter{text: "a"}
		env := p.env(t)
		refuse := func(secrets.Value) error { return secrets.Rejected(errDatabase) }
		env.Do(t.Context(), "P", refuse)
		calls := p.calls
		if err := env.Do(t.Context(), "P", func(secrets.Value) error { return nil }); err != nil {
			t.Error(err)
		}
		if env.Do(t.Context(), "P", refuse); p.calls != calls {
			t.Errorf("%d fetches for the same value within 10 s", p.calls-calls)
		}
	})
}

// Nor does it end a failure of the source, as a pending value that works does.
func TestDo_OldValueEndsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, ill := &parameter{text: "a"}, false
		env := p.env(t, secrets.WithProvider(secrets.ProviderFunc(
			func(context.Context, secrets.Ref) (secrets.Value, error) {
				if ill {
					return secrets.Value{}, errDenied
				}
				return secrets.NewValue("a", ""), nil
			})))
		env.Do(t.Context(), "P", func(secrets.Value) error { return secrets.Rejected(errDatabase) })
		ill = true
		if err := env.Refresh(t.Context()); !errors.Is(err, secrets.ErrAccessDenied) {
			t.Errorf("Refresh: %v", err)
		}
		if err := env.Do(t.Context(), "P", func(secrets.Value) error { return nil }); err != nil {
			t.Error(err)
		}
		if err := failureOf(env, "P"); !errors.Is(err, secrets.ErrAccessDenied) {
			t.Errorf("%v is remembered, want the denial", err)
		}
	})
}

// Credentials that are always new and never right cost four searches in a row, and no more before 20 seconds are over.
// What somebody else has brought by then is tried all the same.
func TestDo_AlwaysNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"X": "sm://x"}), secrets.WithLogger(quiet()),
			secrets.WithProvider(secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
				calls++
				return secrets.NewValue(fmt.Sprint(calls), ""), nil
			})))
		if err != nil {
			t.Fatal(err)
		}
		do := func(meanwhile func()) (tried string) {
			if err := env.Do(t.Context(), "X", func(v secrets.Value) error {
				tried += v.Reveal() + " "
				if meanwhile != nil {
					meanwhile()
				}
				return secrets.Rejected(errDatabase)
			}); err != errDatabase {
				t.Error(err)
			}
			return tried
		}
		// Each search brings a pending value and a current one, and the last one of a Do half of that.
		for i, want := range []string{"1 2 3 4 ", "3 4 5 6 ", "5 6 7 8 ", "7 8 9 ", "9 "} {
			if got := do(nil); got != want {
				t.Errorf("Do %d tries %s, want %s", i+1, got, want)
			}
		}
		refreshed := false
		if got := do(func() {
			if !refreshed {
				refreshed = true
				env.Refresh(t.Context())
			}
		}); got != "9 10 " || calls != 10 {
			t.Errorf("Do tries %s after %d fetches, want 9, and 10 that a Refresh has brought", got, calls)
		}
		time.Sleep(20 * time.Second)
		if got := do(nil); got != "10 11 12 " {
			t.Errorf("20 s later Do tries %s", got)
		}
	})
}

// What Do finds is as old as it is.
func TestDo_FoundIsMarkedStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &parameter{text: "a"}
		env := p.env(t)
		var marks []bool
		if err := env.Do(t.Context(), "P", func(v secrets.Value) error {
			if marks = append(marks, v.Stale()); len(marks) > 1 {
				return nil
			}
			p.text = "b"
			if err := env.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Hour)
			return secrets.Rejected(errDatabase)
		}); err != nil || len(marks) != 2 || marks[0] || !marks[1] || p.calls != 2 {
			t.Errorf("%v, marked %v after %d fetches; want that the second is, and no third fetch", err, marks, p.calls)
		}
	})
}

// A pending value that works ends the failure of its secret.
func TestDo_PendingEndsFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := &vault{current: "a", accepted: "a"}
		ill := false
		env := v.env(t, secrets.WithProvider(secrets.ProviderFunc(
			func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
				if ill && ref.Stage() == "" {
					return secrets.Value{}, errDenied
				}
				return v.fetch(ctx, ref)
			})))
		ill = true
		if err := env.Refresh(t.Context()); !errors.Is(err, secrets.ErrAccessDenied) {
			t.Errorf("Refresh: %v", err)
		}
		v.set("a", "b", "b")
		if err := env.Do(t.Context(), "DB_PASSWORD",
			func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) }); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Minute) // the grace of the old value is over
		if got, err := env.Get(t.Context(), "DB_PASSWORD"); err != nil || got.Reveal() != "b" ||
			failureOf(env, "DB_PASSWORD") != nil {
			t.Errorf("%q, %v; remembered %v", got.Reveal(), err, failureOf(env, "DB_PASSWORD"))
		}
	})
}

// What Do does not do.
func TestDo_Limits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		v := &vault{current: "wrong", accepted: "right"}
		env := v.env(t, secrets.WithLogger(textLog(&log)),
			secrets.WithRef("STAGED", secrets.Secret("staged").With("stage", "AWSCURRENT").With("field", "password")))
		runs := 0
		do := func(ctx context.Context, name string) (fetches int) {
			t.Helper()
			before := v.calls()
			runs = 0
			if err := env.Do(ctx, name, func(p secrets.Value) error {
				runs++
				return secrets.Rejected(v.connect(p))
			}); err != errDatabase {
				t.Error(err)
			}
			return v.calls() - before
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if n := do(ctx, "DB_PASSWORD"); n != 0 {
			t.Errorf("a caller whose time is up: %d fetches", n)
		}
		v.set("wrong", "right", "neither")
		if n := do(t.Context(), "STAGED"); n != 1 || runs != 1 {
			t.Errorf("a secret with a stated stage: %d fetches, %d runs, want 1 and 1: AWSPENDING is none of its "+
				"business", n, runs)
		}
		if n := do(t.Context(), "DB_PASSWORD"); n != 2 || runs != 2 {
			t.Errorf("a pending version that does not work: %d fetches, %d runs, want 2 and 2", n, runs)
		}
		if n := do(t.Context(), "DB_PASSWORD"); n != 0 || runs != 1 {
			t.Errorf("the next caller: %d fetches, %d runs, want 0 and 1: each try is a failed login", n, runs)
		}
		time.Sleep(time.Minute)
		v.set("wrong", "", "right")
		do(t.Context(), "DB_PASSWORD")
		if strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("that there is no pending version is no error:\n%s", log.String())
		}
	})
	t.Run("four runs", func(t *testing.T) {
		runs := 0
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"X": "sm://x"}), secrets.WithLogger(quiet()),
			secrets.WithProvider(secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
				return secrets.NewValue(fmt.Sprint(runs), ""), nil // another one each time, and none works
			})))
		if err != nil {
			t.Fatal(err)
		}
		if err := env.Do(t.Context(), "X", func(secrets.Value) error {
			runs++
			return secrets.Rejected(errDatabase)
		}); err != errDatabase || runs != 4 {
			t.Errorf("%d runs and %v, want 4 and f's own error", runs, err)
		}
	})
}

// 64 callers that are rejected at once share one look at the pending version.
func TestDo_SharedSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{current: "a", accepted: "a", delay: 20 * time.Millisecond}
		env := v.env(t)
		warm := v.calls()
		v.set("a", "b", "b")
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if err := env.Do(t.Context(), "DB_PASSWORD", func(p secrets.Value) error {
					time.Sleep(5 * time.Millisecond)
					return secrets.Rejected(v.connect(p))
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := v.calls() - warm; n != 1 {
			t.Errorf("%d fetches for 64 rejected callers, want 1", n)
		}
	})
}

// One search serves everybody who holds the refused value, however late they come: more callers must not mean more
// fetches.
func TestDo_Latecomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{current: "a", accepted: "a", delay: 20 * time.Millisecond}
		env := v.env(t)
		warm := v.calls()
		v.set("a", "b", "b")
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if err := env.Do(t.Context(), "DB_PASSWORD", func(p secrets.Value) error {
					time.Sleep(7 * time.Millisecond)
					return secrets.Rejected(v.connect(p))
				}); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		if n := v.calls() - warm; n != 1 {
			t.Errorf("%d fetches for 200 callers, want 1", n)
		}
	})
}

// AWSCURRENT moves, and AWSPENDING goes, while a search begins: two fetches are enough, in whatever order they see it.
func TestDo_RotationEndsMeanwhile(t *testing.T) {
	v := &vault{current: "a", accepted: "a"}
	env := v.env(t,
		secrets.WithProvider(secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			if ref.Stage() == "AWSPENDING" {
				v.set("b", "", "b")
			}
			return v.fetch(ctx, ref)
		})))
	v.set("a", "b", "b")
	warm := v.calls()
	if err := env.Do(t.Context(), "DB_PASSWORD",
		func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) }); err != nil {
		t.Error(err)
	}
	if n := v.calls() - warm; n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
}

// Who is refused while another search ends takes what it brought: two fetches are enough for everybody, in a thousand
// rotations of which 16 callers hear at the same time.
func TestDo_SearchEndsMeanwhile(t *testing.T) {
	t.Parallel()
	v := &vault{current: "0", accepted: "0"}
	env := v.env(t)
	for i := range 1000 {
		text := fmt.Sprint(i + 1)
		v.set(text, "", text)
		before := v.calls()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				err := env.Do(t.Context(), "DB_PASSWORD", func(p secrets.Value) error {
					return secrets.Rejected(v.connect(p))
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := v.calls() - before; n != 2 {
			t.Fatalf("rotation %d: %d fetches, want 2", i, n)
		}
	}
}

// A caller who gives up during the search does not spoil it for the others.
func TestDo_CallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{current: "a", accepted: "a", delay: 100 * time.Millisecond}
		env := v.env(t)
		do := func(ctx context.Context) error {
			return env.Do(ctx, "DB_PASSWORD", func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) })
		}
		v.set("a", "b", "b")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if err := do(ctx); err != errDatabase {
			t.Errorf("the one who gives up gets %v, want the database's own error", err)
		}
		if err := do(t.Context()); err != nil {
			t.Errorf("the next one: %v", err)
		}
		time.Sleep(time.Second) // the provider does not heed the context of the first one
	})
}

// A role that may not read AWSPENDING: the caller sees the database's own error, the log says what to allow and for
// which variables, and there is no flood. The next rotation works as it can: from AWSCURRENT.
func TestDo_PendingDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{current: "a", accepted: "a"}
		var log strings.Builder
		env := v.env(t, secrets.WithLogger(textLog(&log)),
			secrets.WithProvider(secrets.ProviderFunc(func(ctx context.Context,
				ref secrets.Ref) (secrets.Value, error) {
				value, err := v.fetch(ctx, ref)
				if ref.Stage() == "AWSPENDING" {
					return secrets.Value{}, fmt.Errorf("kept to AWSCURRENT: %w", secrets.ErrAccessDenied)
				}
				return value, err
			})))
		do := func() error {
			return env.Do(t.Context(), "DB_PASSWORD",
				func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) })
		}
		warm := v.calls()
		v.set("a", "b", "b")
		for range 100 {
			if err := do(); err != errDatabase {
				t.Fatal(err)
			}
		}
		if n := v.calls() - warm; n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
		if s := log.String(); strings.Count(s, "secrets.denied") != 1 || !strings.Contains(s, "stage=AWSPENDING") ||
			!strings.Contains(s, `variables="[DB_PASSWORD DB_USER]"`) {
			t.Errorf("logged:\n%s", s)
		}
		v.set("b", "", "b")
		time.Sleep(10 * time.Second)
		if err := do(); err != nil {
			t.Errorf("after AWSCURRENT has moved: %v", err)
		}
	})
}

// The database takes back what a rotation changed, and AWSPENDING stays where AWS leaves it.
func TestDo_RolledBack(t *testing.T) {
	v := &vault{current: "a", accepted: "a"}
	env := v.env(t)
	for _, s := range []struct {
		name                       string
		current, pending, accepted string
		err                        error
		calls                      int
	}{
		{"the database goes first", "a", "b", "b", nil, 1},
		{"and takes it back", "a", "b", "a", nil, 2},
		{"once more", "a", "b", "b", nil, 1},
		{"AWSCURRENT has moved, the label AWSPENDING stays on it", "b", "b", "b", nil, 0},
		{"so it is not another value", "b", "b", "neither", errDatabase, 2},
	} {
		v.set(s.current, s.pending, s.accepted)
		before := v.calls()
		if err := env.Do(t.Context(), "DB_PASSWORD",
			func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) }); err != s.err {
			t.Errorf("%s: %v", s.name, err)
		}
		if n := v.calls() - before; n != s.calls {
			t.Errorf("%s: %d fetches, want %d", s.name, n, s.calls)
		}
	}
}

// What is fetched again after a refusal, by the form of the reference. Without a value f does not run.
func TestDo_FormsOfReference(t *testing.T) {
	tests := []struct {
		name, ref string
		asked     string // what is fetched, one letter each: c for the reference itself, p for AWSPENDING
		runs      int
		err       error
	}{
		{"secret", "sm://db", "pc", 1, errDatabase},
		{"field of a secret", "sm://db#password", "pc", 1, errDatabase},
		{"secret with a stated stage", "sm://db?stage=AWSCURRENT", "c", 1, errDatabase},
		{"secret with a pinned version", "sm://db?version=0123456789abcdef0123456789abcdef", "", 1, errDatabase},
		{"parameter", "ssm:///db", "c", 1, errDatabase},
		{"parameter with a label", "ssm:///db:blue", "c", 1, errDatabase},
		{"parameter with a pinned version", "ssm:///db:3", "", 1, errDatabase},
		{"ciphertext", "kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "", 1, errDatabase},
		{"literal", "text", "", 1, errDatabase},
		{"missing optional secret", "sm://gone?optional", "", 0, secrets.ErrNotFound},
		{"missing field", "sm://db#nope", "", 0, secrets.ErrField},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			asked, runs := "", 0
			options := []secrets.Option{secrets.WithEnviron(map[string]string{"X": test.ref}),
				secrets.WithLogger(quiet()),
				secrets.WithProvider(secrets.ProviderFunc(func(_ context.Context,
					ref secrets.Ref) (secrets.Value, error) {
					switch {
					case ref.Stage() == "AWSPENDING":
						asked += "p"
						return secrets.Value{}, secrets.ErrNotFound
					case ref.ID() == "gone":
						return secrets.Value{}, secrets.ErrNotFound
					}
					asked += "c"
					return secrets.NewValue(`{"password":"a"}`, "1"), nil
				}))}
			if test.ref == "text" {
				options = append(options, secrets.WithVars(secrets.Literal, "X"))
			}
			env, err := secrets.New(options...)
			if err != nil {
				t.Fatal(err)
			}
			env.Warm(t.Context())
			asked = ""
			err = env.Do(t.Context(), "X", func(secrets.Value) error {
				runs++
				return fmt.Errorf("log in: %w", secrets.Rejected(errDatabase))
			})
			if !errors.Is(err, test.err) || asked != test.asked || runs != test.runs {
				t.Errorf("%v after %d runs, asked for %q; want %v, %d, %q", err, runs, asked, test.err,
					test.runs, test.asked)
			}
		})
	}
}

// What Do needed the pending version for is nobody else's business, and over with the rotation.
func TestDo_KeepsNoPending(t *testing.T) {
	v := &vault{current: "a", accepted: "a"}
	var log strings.Builder
	env := v.env(t, secrets.WithLogger(textLog(&log)))
	for _, next := range []string{"b", "c"} {
		v.set(v.current, next, next)
		if err := env.Do(t.Context(), "DB_PASSWORD",
			func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) }); err != nil {
			t.Fatal(err)
		}
		v.set(next, "", next)
	}
	if n := len(env.Refs()); n != 2 {
		t.Errorf("Refs lists %d references, want the 2 variables", n)
	}
	if err := env.Refresh(t.Context()); err != nil {
		t.Errorf("a Refresh of everything after the rotation: %v", err)
	}
	if n := strings.Count(log.String(), "secrets.version"); n != 2 || strings.Contains(log.String(), "PENDING") {
		t.Errorf("%d version lines for 2 rotations:\n%s", n, log.String())
	}
}

// The log says what was denied, and of a declared variable its length.
func TestDo_DeniedPendingIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for text, shown := range map[string]string{"sm://prod/db": "reference=\"sm://prod/db?stage=AWSPENDING\"",
			"prod/db": `reference="sm://(`} {
			v := &vault{current: "a", accepted: "b"}
			var log strings.Builder
			opts := []secrets.Option{secrets.WithEnviron(map[string]string{"DB": text}),
				secrets.WithLogger(textLog(&log)),
				secrets.WithProvider(secrets.ProviderFunc(func(ctx context.Context,
					ref secrets.Ref) (secrets.Value, error) {
					if ref.Stage() == "AWSPENDING" {
						return secrets.Value{}, secrets.ErrAccessDenied
					}
					return v.fetch(ctx, ref)
				}))}
			if text == "prod/db" {
				opts = append(opts, secrets.WithVars(secrets.SecretsManager, "DB"))
			}
			if err := v.env(t, opts...).Do(t.Context(), "DB",
				func(p secrets.Value) error { return secrets.Rejected(v.connect(p)) }); err != errDatabase {
				t.Error(err)
			}
			synctest.Wait() // the flight logs after it has told its callers
			if !strings.Contains(log.String(), "secrets.denied "+shown) || shown[len(shown)-1] == '(' &&
				strings.Contains(log.String(), "prod/db") {
				t.Errorf("%s: want %s in %s", text, shown, log.String())
			}
		}
	})
}

// A value that works under AWSPENDING is kept where the provider names no versions, too, and never put in place of one
// that came later.
func TestDo_KeepsWorkingPending(t *testing.T) {
	tests := []struct {
		name string
		then string // AWSCURRENT, refreshed while f still runs with the pending value
		err  error  // of f
		want string
	}{
		{"the pending one", "a", nil, "b"},
		{"not in place of a later one", "c", nil, "c"},
		{"not one of which f does not say that it works", "a", errors.New("connection reset"), "a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := &vault{current: "a", accepted: "a"}
			env := v.env(t,
				secrets.WithProvider(secrets.ProviderFunc(func(ctx context.Context,
					ref secrets.Ref) (secrets.Value, error) {
					value, err := v.fetch(ctx, ref)
					if err != nil {
						return value, err
					}
					return secrets.NewValue(value.Reveal(), ""), nil
				})))
			v.set("a", "b", "b")
			if err := env.Do(t.Context(), "DB_PASSWORD", func(p secrets.Value) error {
				if err := v.connect(p); err != nil {
					return secrets.Rejected(err)
				}
				v.set(test.then, "", "b")
				if err := env.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
				return test.err
			}); err != test.err {
				t.Fatal(err)
			}
			if got := mustGet(t, env, "DB_PASSWORD"); !got.EqualString(test.want) {
				t.Errorf("the cache holds %s, want %s", got.Reveal(), test.want)
			}
		})
	}
}

// A refresh that began before a pending password was found to work, and ends after, does not bring the refused one
// back.
func TestDo_LateRefreshKeepsPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := providing(func(ctx context.Context, refs []secrets.Ref) []secrets.Result {
			pause(ctx, time.Second)
			if refs[0].Stage() == "AWSPENDING" {
				return []secrets.Result{{Value: secrets.NewValue("new", "2")}}
			}
			return []secrets.Result{{Value: secrets.NewValue("old", "1")}}
		})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}), secrets.WithProvider(p),
			secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		refreshed := make(chan error, 1)
		if err := env.Do(t.Context(), "A", func(v secrets.Value) error {
			if !v.EqualString("new") {
				return secrets.Rejected(errors.New("wrong password"))
			}
			go func() { refreshed <- env.Refresh(t.Context()) }()
			time.Sleep(500 * time.Millisecond)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := <-refreshed; err != nil {
			t.Error(err)
		}
		expect(t, env, "new")
	})
}

// Who is refused while a search goes on takes what it has found out, however long ago: that there is no pending version
// is asked once.
func TestDo_AsksOnceForPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls, pending atomic.Int64
		p := providing(func(ctx context.Context, refs []secrets.Ref) []secrets.Result {
			if refs[0].Stage() == "AWSPENDING" {
				pending.Add(1)
				return []secrets.Result{{Err: secrets.ErrNotFound}}
			}
			if calls.Add(1) == 2 { // after the pending version
				pause(ctx, 5*time.Second)
			}
			return []secrets.Result{{Value: secrets.NewValue("wrong", "1")}}
		})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}), secrets.WithProvider(p),
			secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		refused := func(secrets.Value) error { return secrets.Rejected(errors.New("wrong password")) }
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 1500 * time.Millisecond)
				if err := env.Do(t.Context(), "A", refused); err == nil {
					t.Error("a wrong password was accepted")
				}
			})
		}
		all.Wait()
		if calls.Load() != 2 || pending.Load() != 1 {
			t.Errorf("%d calls, and %d for AWSPENDING; want 2 and 1", calls.Load(), pending.Load())
		}
	})
}

// What WithRejected is given is asked about failures alone.
func TestDo_SuccessIsNotRejected(t *testing.T) {
	v := &vault{current: "a", accepted: "a"}
	env := v.env(t, secrets.WithRejected(func(err error) bool { return err.Error() != "" }))
	f := func(p secrets.Value) error { return v.connect(p) }
	if err := env.Do(t.Context(), "DB_PASSWORD", f); err != nil {
		t.Error(err)
	}
}

// A value that is dropped while f runs with it is looked for again when f refuses it.
func TestDo_ValueDroppedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		env := p.One(t, secrets.WithGrace(0))
		runs := 0
		err := env.Do(t.Context(), "A", func(v secrets.Value) error {
			if runs++; runs > 1 {
				return nil
			}
			p.Fail(errDenied)
			env.Refresh(t.Context())
			env.Get(t.Context(), "A")
			if p.Fail(nil); env.Refs()[0].Version != "" {
				t.Error("the value is still there")
			}
			time.Sleep(time.Minute)
			return secrets.Rejected(errDatabase)
		})
		if err != nil || runs != 2 {
			t.Errorf("%v after %d runs", err, runs)
		}
	})
}

// A pending version that lacks a field of another variable works for its own caller, and replaces nothing.
func TestDo_PendingLacksField(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
			if ref.Stage() == "AWSPENDING" {
				return secrets.NewValue(`{"password":"b"}`, "2"), nil
			}
			return secrets.NewValue(`{"user":"u","password":"a"}`, "1"), nil
		})
		env := (&vault{current: "a"}).env(t, secrets.WithProvider(p))
		if err := env.Do(t.Context(), "DB_PASSWORD", func(v secrets.Value) error {
			if !v.EqualString("b") {
				return secrets.Rejected(errDatabase)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		user, password := mustGet(t, env, "DB_USER").Reveal(), mustGet(t, env, "DB_PASSWORD").Reveal()
		if user != "u" || password != "a" {
			t.Errorf("the cache holds %s and %s, want u and a", user, password)
		}
	})
}

// A search asks anew, however the last one ended: what that one fetched is no answer to a later refusal. A parameter
// has no pending version, so a search makes one call.
func TestDo_SearchFetchesAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		first error // what f says of "b", which the first search finds
		after time.Duration
	}{
		{"soon after one whose value worked", nil, time.Second},
		{"later than one whose value worked", nil, time.Minute},
		{"later than one whose value was refused", secrets.Rejected(errDatabase), time.Minute},
		{"later than one whose value was not tried", errors.New("connection reset"), time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				current := "a"
				p := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
					return secrets.NewValue(current, ""), nil
				})
				env := (&vault{current: "a"}).env(t, secrets.WithProvider(p),
					secrets.WithEnviron(map[string]string{"P": "ssm:///p"}))
				do := func(works string, b error) error {
					return env.Do(t.Context(), "P", func(v secrets.Value) error {
						switch {
						case v.EqualString(works):
							return nil
						case v.EqualString("b"):
							return b
						}
						return secrets.Rejected(errDatabase)
					})
				}
				current = "b"
				if err := do("", test.first); (err == nil) != (test.first == nil) {
					t.Fatal(err)
				}
				time.Sleep(test.after)
				current = "c"
				if err := do("c", secrets.Rejected(errDatabase)); err != nil {
					t.Errorf("%v, although the parameter has the password that works", err)
				}
			})
		})
	}
}

// A Snapshot that waits for another source when a pending password turns out to work has that one, as
// those have who read after it.
func TestDo_SnapshotTakesWorkingPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
			switch {
			case ref.ID() == "slow":
				return secrets.NewValue("slow", ""), pause(ctx, time.Second)
			case ref.Stage() == "AWSPENDING":
				return secrets.NewValue("new", "2"), nil
			}
			return secrets.NewValue("old", "1"), nil
		})
		env := (&vault{current: "a"}).env(t, secrets.WithProvider(p), secrets.WithTTL(ttl),
			secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://slow"}))
		snapshot := make(chan secrets.Snapshot, 1)
		if err := env.Do(t.Context(), "A", func(v secrets.Value) error {
			if !v.EqualString("new") {
				return secrets.Rejected(errDatabase)
			}
			time.Sleep(ttl)
			go func() { snapshot <- env.Snapshot(t.Context()) }()
			time.Sleep(500 * time.Millisecond) // the old one came again
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if v, err := (<-snapshot).Get("A"); err != nil || v.Reveal() != "new" {
			t.Errorf("%s, %v; want new", v.Reveal(), err)
		}
	})
}

// A pending value that is adopted in the middle of the search for a bad name ends that search for its source
// (promise 4).
func TestDo_PendingAdoptedInSearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sick, whole := false, 0
		env, _ := secrets.New(secrets.WithLogger(quiet()), secrets.WithTTL(time.Minute),
			secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "sm://b", "C": "sm://c"}),
			secrets.WithProvider(batch(func(_ context.Context, refs []secrets.Ref) []secrets.Result {
				if len(refs) == 3 {
					whole++
				}
				switch {
				case refs[0].Stage() == "AWSPENDING":
					return []secrets.Result{{Value: secrets.NewValue("pending", "p")}}
				case sick:
					return same(refs, secrets.ErrUnavailable)
				}
				return same(refs, nil)
			})))
		env.Snapshot(t.Context())
		time.Sleep(2 * time.Minute)
		sick = true
		for whole < 5 { // a b c, a b c, a, b: an outage; a b c, a b c: c alone is next
			env.Snapshot(t.Context())
			time.Sleep(time.Second)
		}
		if err := env.Do(t.Context(), "A", func(v secrets.Value) error {
			if v.Reveal() != "pending" {
				return secrets.Rejected(errors.New("28P01"))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		sick = false
		time.Sleep(2 * time.Minute)
		began := time.Now()
		s := env.Snapshot(t.Context())
		for _, n := range []string{"A", "B", "C"} {
			if v, err := s.Get(n); err != nil || v.Stale() {
				t.Errorf("all is well, but %s is stale after %v (%v)", n, time.Since(began), err)
			}
		}
	})
}

// What a second run of Do gets is judged by the clock, too (promise 5).
func TestDo_StaleBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clk, p := secretstest.NewClock(), &script{}
		env := p.Env(t, map[string]string{"A": "ssm:///a"}, secrets.WithClock(clk.Now))
		n := 0
		env.Do(t.Context(), "A", func(v secrets.Value) error {
			if n++; n == 1 {
				env.Refresh(t.Context()) // another reader brings /a-2
				p.Fail(secrets.ErrUnavailable)
				clk.Freeze(25 * time.Hour)
				return secrets.Rejected(errors.New("28P01"))
			}
			if !v.Stale() {
				t.Errorf("run %d got %s, 25 h old, unmarked", n, v.Reveal())
			}
			return nil
		})
	})
}

// F does not run again where its context ended while another value came.
func TestDo_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &script{}
		p.Set(0, func(_ context.Context, call int, _ string) (string, error) {
			if call == 2 {
				cancel() // in the moment of the answer
			}
			return fmt.Sprint(call), nil
		})
		env := p.Env(t, map[string]string{"A": "ssm:///a"})
		runs := 0
		env.Do(ctx, "A", func(secrets.Value) error {
			runs++
			return secrets.Rejected(errors.New("refused"))
		})
		if runs != 1 {
			t.Errorf("f ran %d times, want once", runs)
		}
	})
}

// A pending version that hangs or is throttled costs the search a second at most: the current one is asked for, too.
func TestDo_PendingDoesNotHideCurrent(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for name, pending := range map[string]func(context.Context) error{
		"hangs": hang, "throttled": func(context.Context) error { return errThrottled },
	} {
		for _, limit := range []time.Duration{time.Second, 3 * time.Second, 15 * time.Second} {
			t.Run(fmt.Sprint(name, " ", limit), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { pendingBesideCurrent(t, pending, limit) })
			})
		}
	}
}

func pendingBesideCurrent(t *testing.T, pending func(context.Context) error, limit time.Duration) {
	current := "old"
	var calls atomic.Int32
	p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
		calls.Add(1)
		if ref.Stage() != "" {
			return secrets.Value{}, pending(ctx)
		}
		return secrets.NewValue(current, ""), pause(ctx, 20*time.Millisecond)
	})
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}), secrets.WithProvider(p),
		secrets.WithLogger(quiet()), secrets.WithTTL(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	mustGet(t, env, "A")
	current = "new"
	for i := range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		began := time.Now()
		err := env.Do(ctx, "A", func(v secrets.Value) error {
			if v.Reveal() != "new" {
				return secrets.Rejected(errors.New("refused"))
			}
			return nil
		})
		cancel()
		if err != nil {
			t.Errorf("Do %d: %v", i+1, err)
		}
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("Do %d took %v, want a second for the pending version at most", i+1, took)
		}
		time.Sleep(5 * time.Second)
	}
	if n := calls.Load(); n > 30 {
		t.Errorf("%d calls in the search", n)
	}
}

// What the pending version answered decides how the search goes on.
func TestDo_PendingDecidesOnSearch(t *testing.T) {
	t.Parallel()
	const slow = 1500 * time.Millisecond
	for name, test := range map[string]struct {
		pending error // in the first three seconds if throttled, then it has the password; nil: it has a wrong one
		current string
		takes   time.Duration
		first   bool // the first Do finds the password
		second  bool // the one five seconds after it
		most    int  // calls in the minute after that
	}{
		"throttled":              {errThrottled, "old", 0, false, true, 0},
		"refused, too":           {nil, "new", 0, false, true, 0}, // the current one is throttled
		"absent":                 {secrets.ErrNotFound, "old", 0, false, false, 16},
		"absent, current slowly": {secrets.ErrNotFound, "new", slow, true, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, calls, changed := time.Now(), 0, false
				p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
					calls++
					over := time.Since(began) > 3*time.Second
					switch {
					case ref.Stage() != "" && test.pending == nil:
						return secrets.NewValue("bad", ""), nil
					case test.pending == nil && changed && !over:
						return secrets.Value{}, errThrottled
					case ref.Stage() != "" && (!over || test.pending != errThrottled):
						return secrets.Value{}, test.pending
					case ref.Stage() != "":
						return secrets.NewValue("new", ""), nil
					case !changed:
						return secrets.NewValue("old", ""), nil
					}
					return secrets.NewValue(test.current, ""), pause(ctx, test.takes)
				})
				env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}), secrets.WithProvider(p),
					secrets.WithLogger(quiet()), secrets.WithTTL(time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				mustGet(t, env, "A")
				changed = true
				do := func() bool {
					ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
					defer cancel()
					return env.Do(ctx, "A", func(v secrets.Value) error {
						if v.Reveal() != "new" {
							return secrets.Rejected(errors.New("refused"))
						}
						return nil
					}) == nil
				}
				if got := do(); got != test.first {
					t.Errorf("the first Do: %t, want %t", got, test.first)
				}
				time.Sleep(5 * time.Second)
				if got := do(); got != test.second {
					t.Errorf("the second Do: %t, want %t", got, test.second)
				}
				before := calls
				for range 60 {
					do()
					time.Sleep(time.Second)
				}
				if n := calls - before; n > test.most {
					t.Errorf("%d calls in a minute, want %d at most", n, test.most)
				}
			})
		})
	}
}
