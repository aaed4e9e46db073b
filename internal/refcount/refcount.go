// Package refcount keeps what is built from a value that changes: built on first use,
// rebuilt when the value is another one, the old one closed when its last user is
// done.
package refcount

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets/internal/deadline"
)

// maxPause is the longest time between two builds that fail.
const maxPause = 30 * time.Second

// A Holder holds a T that is built from a V. Make it with New. It is safe for
// concurrent use.
type Holder[V, T any] struct {
	build  func(context.Context, V) (T, error)
	end    func(T)
	failed func(context.Context, V, error)
	before func(V, V) bool
	same   func(V, V) bool

	mu       sync.Mutex
	current  *built[V, T]
	running  *building[V, T] // or nil
	failures int             // builds that failed since the last success
	retryAt  time.Time       // no build before, while there is an old one to use
	told     *building[V, T] // the last build whose failure was reported, or nil
}

// built is the result of a build.
type built[V, T any] struct {
	it      T
	from    V
	users   int
	retired bool // to be closed by its last user
}

// A building is a build that runs.
type building[V, T any] struct {
	from    V
	waiters int           // those who become users of the result
	done    chan struct{} // closed when it has ended
	b       *built[V, T]  // the result, or nil
	err     error         // why it failed, unless its caller's time was up
	closed  bool          // Close came meanwhile
}

// New returns a Holder that builds by build, closes each result once by end, and
// tells failed, once per value, when a build fails while there is an old one to use.
// Before reports whether one value is older than the other.
func New[V, T any](build func(context.Context, V) (T, error), end func(T),
	failed func(context.Context, V, error), before, same func(V, V) bool) *Holder[V, T] {
	return &Holder[V, T]{build: build, end: end, failed: failed, before: before, same: same}
}

// Use runs f with what was built from v, building it first where there is none, and
// returns the value it was built from. Unless need, f may get what was built from
// another value: while somebody else builds, and for 1 second after a build that
// failed, doubling to 30.
//
// What Use replaces, or uses last, it closes after f, and waits for that until ctx's
// deadline less the reserve.
func (h *Holder[V, T]) Use(ctx context.Context, v V, need bool, f func(T) error) (
	used V, err error,
) {
	b, replaced, err := h.acquire(ctx, v, need)
	if err != nil {
		return v, err
	}
	defer h.close(ctx, replaced)
	defer h.release(ctx, b)
	return b.from, f(b.it)
}

// Close closes what was built, when its last user is done. A later Use builds anew.
func (h *Holder[V, T]) Close() {
	h.mu.Lock()
	b := h.current
	h.current = nil
	if h.running != nil {
		h.running.closed = true
	}
	idle := retire(b)
	h.mu.Unlock()
	h.close(context.Background(), idle)
}

// acquire returns what was built from v, or, unless need, from another value while
// one from v is not to be had. The caller becomes its user, and closes what it
// replaced.
func (h *Holder[V, T]) acquire(ctx context.Context, v V, need bool) (
	b, replaced *built[V, T], err error,
) {
	var limited context.Context
	for {
		gone := ctx.Err() != nil // a context may be the caller's own: not under the lock
		h.mu.Lock()
		if b := h.current; b != nil && h.usable(gone, b, v, need) {
			b.users++
			h.mu.Unlock()
			return b, nil, nil
		}
		if h.running == nil {
			spare := h.current != nil && !need
			running := &building[V, T]{from: v, done: make(chan struct{})}
			h.running = running
			h.mu.Unlock()
			b, replaced, err := h.rebuild(ctx, running, spare)
			if err == nil || !spare {
				return b, replaced, err
			}
			continue // with the old one
		}
		running := h.running
		running.waiters++
		h.mu.Unlock()
		if limited == nil { // once: each new look at the deadline would leave less of it
			var cancel context.CancelFunc
			limited, cancel = within(ctx)
			defer cancel()
		}
		b, err := h.wait(limited, running)
		switch {
		case b != nil && h.fits(b, v, need):
			return b, nil, nil
		case b != nil:
			h.release(ctx, b)
		case err != nil && h.failsLikewise(v, running, err):
			return nil, nil, err
		case limited.Err() != nil:
			// The build may have ended at the same moment, without an error to share.
			return nil, nil, limited.Err()
		}
	}
}

// failsLikewise reports whether a build of v would fail as one that has ended.
func (h *Holder[V, T]) failsLikewise(v V, ended *building[V, T], err error) bool {
	return h.same(ended.from, v) && !isTimeout(err)
}

// isTimeout reports whether err says that a builder had no more time, which is no
// fault of the value: who waited with more time builds for itself.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// usable reports whether the caller takes b now: it fits, or a better one is not to
// be had.
func (h *Holder[V, T]) usable(gone bool, b *built[V, T], v V, need bool) bool {
	if h.fits(b, v, need) {
		return true
	}
	busy := h.running != nil || time.Now().Before(h.retryAt)
	return !need && (busy || gone)
}

// fits reports whether b will do for v. Who read the value before it changed, and
// does not need it, must not turn the clock back.
func (h *Holder[V, T]) fits(b *built[V, T], v V, need bool) bool {
	return h.same(b.from, v) || !need && h.before(v, b.from)
}

// wait returns the result of a build, of which the caller is a user then, or why
// there is none.
func (h *Holder[V, T]) wait(limited context.Context, running *building[V, T]) (
	*built[V, T], error,
) {
	select {
	case <-running.done:
		return running.b, running.err
	case <-limited.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	running.waiters--
	return running.b, limited.Err() // it may have been finished at the same moment
}

// within returns ctx with its deadline less the reserve.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, deadline.Left(ctx, 0))
}

// rebuild builds and replaces what there is, which it returns if the caller has to
// close it. The caller becomes a user of the result. With spare it has an old one to
// go on with, and must have time to.
func (h *Holder[V, T]) rebuild(ctx context.Context, running *building[V, T], spare bool) (
	b, replaced *built[V, T], err error,
) {
	limited := ctx
	if spare {
		var cancel context.CancelFunc
		limited, cancel = within(ctx)
		defer cancel()
	}
	defer func() { // also when build panics
		replaced = h.finish(limited, running, b, err)
		told := err != nil && spare && limited.Err() != context.Canceled
		if told && h.isNews(running) {
			h.failed(ctx, running.from, err)
		}
	}()
	it, err := h.build(limited, running.from)
	if err != nil {
		return nil, nil, err
	}
	return &built[V, T]{it: it, from: running.from, users: 1}, nil, nil
}

// isNews reports whether no failure was reported of the value of a build.
func (h *Holder[V, T]) isNews(running *building[V, T]) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told != nil && h.same(h.told.from, running.from) {
		return false
	}
	h.told = running
	return true
}

// finish ends a build whose result is b, or nil, and returns what it replaced and
// nobody uses.
func (h *Holder[V, T]) finish(ctx context.Context, running *building[V, T], b *built[V, T],
	err error) (replaced *built[V, T]) {
	ended := endOf(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case b != nil:
		b.users += running.waiters
		running.b = b
		if running.closed {
			b.retired = true // nobody else gets it
			break
		}
		replaced = retire(h.current)
		h.current, h.failures, h.retryAt, h.told = b, 0, time.Time{}, nil
	case ended != context.Canceled:
		h.retryAt = time.Now().Add(min(maxPause, time.Second<<min(h.failures, 5)))
		h.failures++
		if ended == nil {
			running.err = err
		}
	}
	h.running = nil
	close(running.done)
	return replaced
}

// endOf returns ctx.Err(). If that panics, as code of the caller's own may, the build counts
// as given up: it has to come to its end, because others may wait for it.
func endOf(ctx context.Context) (err error) {
	defer func() {
		if recover() != nil {
			err = context.Canceled
		}
	}()
	return ctx.Err()
}

// retire leaves b, which may be nil, to its last user, or returns it if there is
// none.
func retire[V, T any](b *built[V, T]) (idle *built[V, T]) {
	if b == nil {
		return nil
	}
	b.retired = true
	if b.users > 0 {
		return nil
	}
	return b
}

// release ends the use of b.
func (h *Holder[V, T]) release(ctx context.Context, b *built[V, T]) {
	h.mu.Lock()
	b.users--
	last := b.retired && b.users == 0
	h.mu.Unlock()
	if last {
		h.close(ctx, b)
	}
}

// close ends what was built. A pool waits for its connections when it is closed: a
// caller with a deadline does not wait longer than it has time.
func (h *Holder[V, T]) close(ctx context.Context, b *built[V, T]) {
	if b == nil {
		return
	}
	if _, ok := ctx.Deadline(); !ok {
		h.end(b.it)
		return
	}
	limited, cancel := within(ctx)
	defer cancel()
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		h.end(b.it)
	}()
	select {
	case p := <-ended:
		if p != nil {
			panic(p)
		}
	case <-limited.Done():
	}
}
