package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/lambdasecrets/secrets"
)

// A read that waits longer than a second with nothing to serve says so once, for all who wait for the same variables.
func TestJournal_WaitIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: 3 * time.Second}
		var log bytes.Buffer
		env := p.Env(t, map[string]string{"A": "sm://a"}, secrets.WithLogger(textLog(&log)))
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() { mustGet(t, env, "A") })
		}
		readers.Wait()
		if got := log.String(); strings.Count(got, "msg=secrets.wait") != 1 ||
			!strings.Contains(got, "level=WARN msg=secrets.wait waiting=[A] for=1s\n") {
			t.Errorf("logged:\n%s", got)
		}
	})
}

// A read that ends within a second, or has an old value, is silent about its wait.
func TestJournal_ShortWaitIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{Delay: 900 * time.Millisecond}
		var log bytes.Buffer
		env := p.Env(t, map[string]string{"A": "sm://a"}, secrets.WithLogger(textLog(&log)))
		mustGet(t, env, "A")
		time.Sleep(6 * time.Minute)
		p.Set(3*time.Second, nil)
		if v := mustGet(t, env, "A"); !v.Stale() {
			t.Error("the old value is not stale")
		}
		if strings.Contains(log.String(), "secrets.wait") {
			t.Errorf("logged:\n%s", log.String())
		}
	})
}

// Failures of references that are not variables are logged at most once a minute, with their number.
func TestJournal_UndeclaredOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := new(script)
		p.Fail(secrets.ErrNotFound)
		var log bytes.Buffer
		env := p.Env(t, map[string]string{}, secrets.WithLogger(textLog(&log)))
		for i := range 12 { // at 0 s, 10 s, … 110 s
			if _, err := env.Resolve(t.Context(), secrets.Secret(fmt.Sprint("s", i))); err == nil {
				t.Error("no error")
			}
			time.Sleep(10 * time.Second)
		}
		var lines []string
		for line := range strings.Lines(log.String()) {
			_, line, _ = strings.Cut(line, "msg=")
			line, _, _ = strings.Cut(line, " error=")
			lines = append(lines, line)
		}
		want := []string{"secrets.undeclared reference=sm://s0 failures=1",
			"secrets.undeclared reference=sm://s6 failures=6"}
		if fmt.Sprint(lines) != fmt.Sprint(want) {
			t.Errorf("got  %q\nwant %q", lines, want)
		}
	})
}

// records is a handler that keeps what it is given, and how a handler that quotes nothing would print it.
type records struct {
	mu   sync.Mutex
	keys map[string]bool // "secrets.denied reference"
	text []string
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.Attrs(func(a slog.Attr) bool {
		r.keys[rec.Message+" "+a.Key] = true
		r.text = append(r.text, rec.Message+" "+a.Key+"="+fmt.Sprint(a.Value.Any()))
		return true
	})
	return nil
}

// A handler that prints attributes as they are is not obeyed by a terminal or a log viewer, whatever a name, a version,
// a Region's answer or an error of a build holds. The line breaks of a warm's error are ours.
func TestLog_EscapesAttributes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testEscapesAttributes)
}

func testEscapesAttributes(t *testing.T) {
	const evil = "x\n\x1b[2J\u202e\u2028\x00"
	log := &records{keys: map[string]bool{}}
	var calls, now atomic.Int64
	var fail atomic.Value // func() error
	fail.Store(func() error { return nil })
	provider := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		n := calls.Add(1)
		return secrets.NewValue(fmt.Sprint("plaintext", n), fmt.Sprint(n)+evil), fail.Load().(func() error)()
	})
	failWith := func(kind error) { fail.Store(func() error { return fmt.Errorf("%w: %s", kind, evil) }) }
	env, err := secrets.New(secrets.WithEnviron(map[string]string{}), secrets.WithProvider(provider),
		secrets.WithLogger(slog.New(log)), secrets.WithRef("A"+evil, secrets.Secret("id")),
		secrets.WithRef("B"+evil, secrets.SSMParameter("/p")), secrets.WithGrace(0),
		secrets.WithClock(func() (time.Time, time.Duration) {
			return time.Unix(0, now.Load()), time.Duration(now.Load())
		}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := env.Warm(ctx); err != nil {
		t.Fatal(err)
	}
	broken := false
	d := secrets.Derive(env, "A"+evil, func(context.Context, secrets.Value) (int, error) {
		if broken {
			return 0, errors.New("cannot parse " + evil)
		}
		return 0, nil
	}, nil)
	use := func(int) error { return nil }
	d.Do(ctx, use)
	broken = true
	env.Refresh(ctx) // another version
	d.Do(ctx, use)
	failWith(secrets.ErrUnavailable)
	now.Store(int64(6 * time.Minute))
	env.Get(ctx, "A"+evil)
	failWith(secrets.ErrAccessDenied)
	env.Refresh(ctx)
	env.Get(ctx, "A"+evil)
	env.Resolve(ctx, secrets.Secret("other"))
	env.Warm(ctx)

	log.mu.Lock()
	defer log.mu.Unlock()
	for _, want := range []string{
		"secrets.version new", "secrets.denied error", "secrets.dropped reason", "secrets.undeclared reference",
		"secrets.warm error", "secrets.stale variables", "secrets.derive error", "secrets.derive version",
	} {
		if !log.keys[want] {
			t.Errorf("no line has %s: what it may print was not tested", want)
		}
	}
	for _, line := range log.text {
		ours := strings.ReplaceAll(line, "\n  ", "")
		if i := strings.IndexFunc(ours, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%.60q prints %q", line, ours[i:min(i+20, len(ours))])
		}
	}
}

func TestLogger_Panics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "ssm:///a", "B": "sm://b"}),
			secrets.WithLogger(slog.New(brokenHandler{slog.DiscardHandler})),
			secrets.WithProvider(secrets.ProviderFunc(func(ctx context.Context, r secrets.Ref) (secrets.Value, error) {
				if r.Scheme() == secrets.SSM {
					return secrets.Value{}, secrets.ErrAccessDenied
				}
				<-ctx.Done()
				return secrets.Value{}, ctx.Err()
			})))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			env.Snapshot(ctx)
		}()
		env.Refs() // takes the lock
	})
}

// Each wait is logged, also of a source that somebody has waited for before.
func TestJournal_NextWaitIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{}
		journal, logger := newJournal()
		env := p.One(t, logger)
		p.Hang()
		for n := 1; n <= 2; n++ {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			env.Get(ctx, "A")
			cancel()
			if got := journal.Count("secrets.wait"); got != n {
				t.Errorf("%d lines after %d waits", got, n)
			}
			time.Sleep(time.Minute)
		}
	})
}
