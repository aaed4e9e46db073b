// Package refcount keeps what is built from a value that changes: built on first use, rebuilt when the value is another one, the old one closed when its last user is done.
package refcount

import (
	"context"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets/internal/deadline"
)

// maxPause is the longest time between two builds that fail.
const maxPause = 30 * time.Second

// A Holder holds a T that is built from a V. Make it with New. It is safe for concurrent use.
type Holder[V value[V], T any] struct {
	build  func(context.Context, V) (T, error)
	end    func(T)
	failed func(V, error)
	before func(V, V) bool

	mu      sync.Mutex
	current *built[V, T]
	going   *building[V, T] // or nil
	fails   int             // builds that failed since the last success
	retry   time.Time       // no build before, while there is an old one to use
}

type value[V any] interface{ Equal(V) bool }

type built[V value[V], T any] struct {
	it      T
	from    V
	users   int
	retired bool // to be closed by its last user
}

// A building is a build that is going on.
type building[V value[V], T any] struct {
	from    V
	waiters int           // those who will be users of the result
	done    chan struct{} // closed when it is over
	b       *built[V, T]  // the result, or nil
	err     error         // why it failed, unless its caller's time was up
	closed  bool          // Close came meanwhile
}

// New returns a Holder that builds by build, closes each result once by end, and tells failed when a build begins to fail while there is an old
// one to use. Before reports whether the one value is older than the other.
func New[V value[V], T any](build func(context.Context, V) (T, error), end func(T), failed func(V, error), before func(V, V) bool) *Holder[V, T] {
	return &Holder[V, T]{build: build, end: end, failed: failed, before: before}
}

// Use runs f with what was built from v, building it first where there is none, and returns the value it was built from. Unless need, f may get what was built from
// another value: while somebody else builds, and for 1 second after a build that failed, doubling to 30.
func (h *Holder[V, T]) Use(ctx context.Context, v V, need bool, f func(T) error) (from V, err error) {
	b, err := h.acquire(ctx, v, need)
	if err != nil {
		return v, err
	}
	defer h.release(b)
	return b.from, f(b.it)
}

// Close closes what was built, when its last user is done. A later Use builds anew.
func (h *Holder[V, T]) Close() {
	h.mu.Lock()
	b := h.current
	h.current = nil
	if h.going != nil {
		h.going.closed = true
	}
	h.mu.Unlock()
	h.retire(b)
}

// acquire returns what was built from v, or, unless need, from another value while one from v is not to be had.
func (h *Holder[V, T]) acquire(ctx context.Context, v V, need bool) (*built[V, T], error) {
	for {
		h.mu.Lock()
		b, going := h.current, h.going
		if b != nil && (h.fits(b, v, need) || !need && (going != nil || ctx.Err() != nil || time.Now().Before(h.retry))) {
			b.users++
			h.mu.Unlock()
			return b, nil
		}
		if going == nil {
			spare := b != nil && !need
			going = &building[V, T]{from: v, done: make(chan struct{})}
			h.going = going
			h.mu.Unlock()
			b, err := h.rebuild(ctx, going, spare)
			if err == nil || !spare {
				return b, err
			}
			continue // with the old one
		}
		going.waiters++
		h.mu.Unlock()
		b, err := h.wait(ctx, going)
		switch {
		case b != nil && h.fits(b, v, need):
			return b, nil
		case b != nil:
			h.release(b)
		case err != nil && (ctx.Err() != nil || going.from.Equal(v)):
			return nil, err
		}
	}
}

// fits reports whether b will do for v. Who read the value before it changed, and does not need it, must not turn the clock back.
func (h *Holder[V, T]) fits(b *built[V, T], v V, need bool) bool {
	return b.from.Equal(v) || !need && h.before(v, b.from)
}

// wait returns the result of a build, of which the caller is a user then, or why there is none.
func (h *Holder[V, T]) wait(ctx context.Context, going *building[V, T]) (*built[V, T], error) {
	select {
	case <-going.done:
		return going.b, going.err
	case <-ctx.Done():
	}
	h.mu.Lock()
	going.waiters--
	b := going.b // it was finished at the same moment
	h.mu.Unlock()
	if b != nil {
		h.release(b)
	}
	return nil, ctx.Err()
}

// rebuild builds and replaces what there is. The caller becomes a user of the result. With spare it has an old one to go on with, and must have time to.
func (h *Holder[V, T]) rebuild(ctx context.Context, going *building[V, T], spare bool) (b *built[V, T], err error) {
	if _, ok := ctx.Deadline(); ok && spare { // the old one is there, and of no use to a caller whose time is up
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline.Left(ctx, 0))
		defer cancel()
	}
	defer func() { // also when build panics
		var old *built[V, T]
		report := false
		gone := ctx.Err()
		h.mu.Lock()
		switch {
		case b != nil:
			b.users += going.waiters
			if going.b = b; going.closed {
				b.retired = true // nobody else gets it
			} else {
				old, h.current, h.fails, h.retry = h.current, b, 0, time.Time{}
			}
		case gone != context.Canceled:
			h.retry = time.Now().Add(min(maxPause, time.Second<<min(h.fails, 5)))
			h.fails++
			report = err != nil && h.fails == 1 && h.current != nil
			if gone == nil {
				going.err = err
			}
		}
		h.going = nil
		close(going.done)
		h.mu.Unlock()
		h.retire(old)
		if report {
			h.failed(going.from, err)
		}
	}()
	it, err := h.build(ctx, going.from)
	if err != nil {
		return nil, err
	}
	return &built[V, T]{it: it, from: going.from, users: 1}, nil
}

// retire closes b now, or leaves it to its last user.
func (h *Holder[V, T]) retire(b *built[V, T]) {
	if b == nil {
		return
	}
	h.mu.Lock()
	b.retired = true
	idle := b.users == 0
	h.mu.Unlock()
	if idle {
		h.end(b.it)
	}
}

func (h *Holder[V, T]) release(b *built[V, T]) {
	h.mu.Lock()
	b.users--
	last := b.retired && b.users == 0
	h.mu.Unlock()
	if last {
		h.end(b.it)
	}
}
