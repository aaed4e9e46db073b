package model

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
)

// bubble runs f in a bubble of its own, in parallel with others.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// withGrace is the option that bounds how long a value outlives permanent failures.
func withGrace(d time.Duration) secrets.CacheOption { return secrets.WithGrace(d) }

// A twoClock is the bubble's clock with two sides that a test moves apart.
type twoClock struct {
	base time.Time

	mu         sync.Mutex
	wall, mono time.Duration // ahead of the bubble
}

func newClock() *twoClock { return &twoClock{base: time.Now()} }

func (c *twoClock) now() (wall time.Time, mono time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return now.Round(0).Add(c.wall), now.Sub(c.base) + c.mono
}

// freeze lets d pass on the wall clock alone, as in a frozen sandbox.
func (c *twoClock) freeze(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
}

// A reply is how a backend answers one question.
type reply struct {
	text string // the plaintext; by default the name and the version in force when the question was asked
	err  error
	wait time.Duration
	hang bool // no answer until ctx ends
	deaf bool // the answer comes after wait, whether ctx ended or not
}

// A backend answers questions as a test directs, and remembers them.
type backend struct {
	script func(id string, n int) reply // n counts the questions for id from 1; nil answers at once

	mu      sync.Mutex
	version map[string]int
	asked   map[string][]time.Time
	calls   int // of a whole-slice provider
	running int
	peak    int // most questions in flight at once
}

func newBackend(script func(id string, n int) reply) *backend {
	return &backend{script: script, version: map[string]int{}, asked: map[string][]time.Time{}}
}

// rotate gives id its next version.
func (b *backend) rotate(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version[id]++
}

// direct replaces the script.
func (b *backend) direct(script func(id string, n int) reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.script = script
}

// count returns how many questions there were for id, or for everything if id is "".
func (b *backend) count(id string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, times := range b.asked {
		if id == "" || id == name {
			n += len(times)
		}
	}
	return n
}

// ask answers one question.
func (b *backend) ask(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
	id := ref.ID()
	b.mu.Lock()
	b.asked[id] = append(b.asked[id], time.Now())
	b.running++
	b.peak = max(b.peak, b.running)
	n, version, script := len(b.asked[id]), b.version[id], b.script
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.running--
		b.mu.Unlock()
	}()
	var r reply
	if script != nil {
		r = script(id, n)
	}
	var timer <-chan time.Time
	if !r.hang {
		timer = time.After(r.wait)
	}
	done := ctx.Done()
	if r.deaf {
		done = nil
	}
	select {
	case <-timer:
	case <-done:
		return secrets.Value{}, ctx.Err()
	}
	if r.err != nil {
		return secrets.Value{}, r.err
	}
	if r.text == "" {
		r.text = fmt.Sprintf("%s-%d", id, version)
	}
	return secrets.NewValue(r.text, fmt.Sprint(version)), nil
}

// parts is the backend as a provider that answers reference by reference.
func (b *backend) parts() secrets.Provider { return secrets.ProviderFunc(b.ask) }

// whole is the backend as a provider that returns when all its references have their answer, or ctx ended.
func (b *backend) whole() secrets.Provider { return wholeProvider{b} }

type wholeProvider struct{ *backend }

func (p wholeProvider) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	p.mu.Lock()
	p.calls++
	p.mu.Unlock()
	results := make([]secrets.Result, len(refs))
	var wg sync.WaitGroup
	for i, ref := range refs {
		wg.Go(func() { results[i].Value, results[i].Err = p.ask(ctx, ref) })
	}
	wg.Wait()
	return results
}

// newEnv returns an Env over p that logs nothing.
func newEnv(t testing.TB, p secrets.Provider, environ map[string]string, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	all := []secrets.Option{secrets.WithEnviron(environ), secrets.WithLogger(slog.New(slog.DiscardHandler))}
	if p != nil {
		all = append(all, secrets.WithProvider(p))
	}
	env, err := secrets.New(append(all, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// newCache returns a Cache over p that logs nothing.
func newCache(t testing.TB, p secrets.Provider, opts ...secrets.CacheOption) *secrets.Cache {
	t.Helper()
	opts = append([]secrets.CacheOption{secrets.WithLogger(slog.New(slog.DiscardHandler))}, opts...)
	cache, err := secrets.NewCache(p, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// A read is what one read brought, and when.
type read struct {
	value secrets.Value
	err   error
	took  time.Duration
}

func (r read) String() string {
	if r.err != nil {
		return fmt.Sprintf("%s, after %v", secrets.Detail(r.err), r.took)
	}
	mark := ""
	if r.value.Stale() {
		mark = ", stale"
	}
	return fmt.Sprintf("%s%s, after %v", r.value.Reveal(), mark, r.took)
}

// get reads a variable under a deadline; 0 is none.
func get(t testing.TB, env *secrets.Env, name string, deadline time.Duration) read {
	ctx := t.Context()
	if deadline > 0 {
		limited, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		ctx = limited
	}
	began := time.Now()
	v, err := env.Get(ctx, name)
	return read{v, err, time.Since(began)}
}

// wantRead fails the test unless r is the text, within a time. A text that ends in an asterisk is stale.
func wantRead(t testing.TB, what string, r read, text string, within time.Duration) {
	t.Helper()
	got := "error"
	if r.err == nil {
		if got = r.value.Reveal(); r.value.Stale() {
			got += "*"
		}
	}
	if got != text || r.took > within {
		t.Errorf("%s: %v; want %s within %v", what, r, text, within)
	}
}

// warm warms under a deadline and returns its error.
func warm(t testing.TB, env *secrets.Env, deadline time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	return env.Warm(ctx)
}

var errServer = fmt.Errorf("scripted 500: %w", secrets.ErrUnavailable)

// mustWarm ends the test if the warm fails.
func mustWarm(t testing.TB, env *secrets.Env) {
	t.Helper()
	if err := env.Warm(t.Context()); err != nil {
		t.Fatal(secrets.Detail(err))
	}
}

// refused is what a user's f returns for every credential.
var refused = secrets.Rejected(errors.New("password refused"))
