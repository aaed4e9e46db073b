package kit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
)

// Errors that a Script may return.
var (
	ErrThrottled = fmt.Errorf("rate exceeded: %w", secrets.ErrThrottled)
	ErrDenied    = fmt.Errorf("no policy allows it: %w", secrets.ErrAccessDenied)
	ErrOdd       = errors.New("an error of no known kind")
)

// A Script is a Provider that a test directs call by call, which [secretstest.Fake] is not: a call takes Delay, unless
// its context ends before, and then answers what Answer says, or else the name and the number of the call. It keeps the
// names that each call asked for.
type Script struct {
	Delay  time.Duration
	Answer func(ctx context.Context, call int, id string) (string, error) // called without the lock, once per reference

	mu    sync.Mutex
	calls [][]string // the names that each call asked for, sorted
}

// Fetch is the Script's side of secrets.Provider.
func (p *Script) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	var ids []string
	for _, ref := range refs {
		ids = append(ids, ref.ID())
	}
	slices.Sort(ids)
	p.mu.Lock()
	p.calls = append(p.calls, ids)
	call, delay, answer := len(p.calls), p.Delay, p.Answer
	p.mu.Unlock()
	results := make([]secrets.Result, len(refs))
	err := Pause(ctx, delay)
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

// Pause waits for d, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) error {
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

// Set changes how p answers from now on.
func (p *Script) Set(delay time.Duration, answer func(ctx context.Context, call int, id string) (string, error)) {
	p.mu.Lock()
	p.Delay, p.Answer = delay, answer
	p.mu.Unlock()
}

// Fail makes p fail from now on; Fail(nil) makes it answer.
func (p *Script) Fail(err error) {
	if err == nil {
		p.Set(0, nil)
		return
	}
	p.Set(0, func(context.Context, int, string) (string, error) { return "", err })
}

// Hang makes p answer when its caller is gone, if at all.
func (p *Script) Hang() { p.Set(time.Hour, nil) }

// Reset makes p forget its calls.
func (p *Script) Reset() *Script {
	p.mu.Lock()
	p.calls = nil
	p.mu.Unlock()
	return p
}

// Count returns how often p was called.
func (p *Script) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

// Asked returns the names that call number n asked for, as "a b".
func (p *Script) Asked(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < 1 || n > len(p.calls) {
		return "no such call"
	}
	return strings.Join(p.calls[n-1], " ")
}

// Env returns an Env over p. Each of vars is a name and a reference.
func (p *Script) Env(t testing.TB, vars map[string]string, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	env, err := secrets.New(append([]secrets.Option{secrets.WithEnviron(vars), secrets.WithProvider(p),
		secrets.WithLogger(Quiet())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// One returns an Env with the single variable A, which reads sm://a.
func (p *Script) One(t testing.TB, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	return p.Env(t, map[string]string{"A": "sm://a"}, opts...)
}
