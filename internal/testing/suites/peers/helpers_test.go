package peers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
)

const region = "eu-west-1"

var (
	errThrottled = fmt.Errorf("rate exceeded: %w", secrets.ErrThrottled)
	errDenied    = fmt.Errorf("no policy allows it: %w", secrets.ErrAccessDenied)
	errOdd       = errors.New("an error of no known kind")
)

// A script is a Provider that a test directs: it takes delay for a call, unless ctx ends before, and then answers what
// answer says, or else the name and the number of the call. It keeps what it was asked.
type script struct {
	delay  time.Duration
	answer func(ctx context.Context, call int, id string) (string, error) // called without the lock, once per reference

	mu    sync.Mutex
	calls [][]string // the names that each call asked for, sorted
}

func (p *script) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	var ids []string
	for _, ref := range refs {
		ids = append(ids, ref.ID())
	}
	slices.Sort(ids)
	p.mu.Lock()
	p.calls = append(p.calls, ids)
	call, delay, answer := len(p.calls), p.delay, p.answer
	p.mu.Unlock()
	results := make([]secrets.Result, len(refs))
	err := pause(ctx, delay)
	for i, ref := range refs {
		text := fmt.Sprintf("%s-%d", ref.ID(), call)
		if err == nil && answer != nil {
			text, results[i].Err = answer(ctx, call, ref.ID())
		} else {
			results[i].Err = err
		}
		if results[i].Err == nil {
			results[i].Value = secrets.NewValue(text, fmt.Sprint(call))
		}
	}
	return results
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// set changes how p answers from now on.
func (p *script) set(delay time.Duration, answer func(ctx context.Context, call int, id string) (string, error)) {
	p.mu.Lock()
	p.delay, p.answer = delay, answer
	p.mu.Unlock()
}

// fail makes p fail from now on; fail(nil) makes it answer.
func (p *script) fail(err error) {
	if err == nil {
		p.set(0, nil)
		return
	}
	p.set(0, func(context.Context, int, string) (string, error) { return "", err })
}

// count returns how often p was called.
func (p *script) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

// asked returns the names that call number n asked for, as "a b".
func (p *script) asked(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < 1 || n > len(p.calls) {
		return "no such call"
	}
	return strings.Join(p.calls[n-1], " ")
}

// env returns an Env over p. Each of vars is a name and a reference.
func (p *script) env(t testing.TB, vars map[string]string, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	env, err := secrets.New(append([]secrets.Option{secrets.WithEnviron(vars), secrets.WithProvider(p),
		secrets.WithLogger(quiet())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// one returns an Env with the single variable A, which reads sm://a.
func (p *script) one(t testing.TB, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	return p.env(t, map[string]string{"A": "sm://a"}, opts...)
}

// expect gets A and compares it with want, which ends in an asterisk for a stale value.
func expect(t testing.TB, env *secrets.Env, want string) {
	t.Helper()
	v, err := env.Get(t.Context(), "A")
	if err != nil {
		t.Errorf("Get(A): %s; want %s", secrets.Detail(err), want)
		return
	}
	got := v.Reveal()
	if v.Stale() {
		got += "*"
	}
	if got != want {
		t.Errorf("Get(A) = %s, want %s", got, want)
	}
}

// took runs f and checks how long it took.
func took(t testing.TB, what string, least, most time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if d := time.Since(began); d < least || d > most {
		t.Errorf("%s took %v, want %v to %v", what, d, least, most)
	}
}

func mustGet(t testing.TB, env *secrets.Env, name string) secrets.Value {
	t.Helper()
	v, err := env.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("Get(%s): %s", name, secrets.Detail(err))
	}
	return v
}

// quiet returns a logger that writes nothing.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// textLog returns a logger that writes to w.
func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// got is what one reader was given, and after how long.
type got struct {
	text  string
	stale bool
	err   error
	took  time.Duration
}

// read starts a reader of name.
func read(ctx context.Context, env *secrets.Env, name string) <-chan got {
	c := make(chan got, 1)
	began := time.Now()
	go func() {
		v, err := env.Get(ctx, name)
		g := got{err: err, took: time.Since(began)}
		if err == nil {
			g.text, g.stale = v.Reveal(), v.Stale()
		}
		c <- g
	}()
	synctest.Wait()
	return c
}

// unhashable is a Provider that panics when it is compared or used as a key of a map.
type unhashable struct{ _ []string }

func (p unhashable) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	return make([]secrets.Result, len(refs))
}
