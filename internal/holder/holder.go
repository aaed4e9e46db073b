// Package holder keeps what is built from a value that changes: built on first use, rebuilt when the value is another one, the old one closed when its last user is done.
package holder

import (
	"context"
	"sync"
	"time"
)

// maxPause is the longest time between two builds that fail.
const maxPause = 30 * time.Second

// A Holder holds a T that is built from a V. Make it with New. It is safe for concurrent use.
type Holder[V value[V], T any] struct {
	build  func(context.Context, V) (T, error)
	end    func(T)
	failed func(V, error)

	mu      sync.Mutex
	current *built[V, T]
	going   *building[V] // or nil
	fails   int          // builds that failed since the last success
	retry   time.Time    // no build before, while there is an old one to use
}

type value[V any] interface {
	Equal(V) bool
	FetchedAt() time.Time // orders them
}

type built[V, T any] struct {
	it      T
	from    V
	users   int
	retired bool // to be closed by its last user
}

// A building is a build that is going on.
type building[V any] struct {
	from   V
	done   chan struct{} // closed when it is over
	err    error         // why it failed, unless its caller gave up
	closed bool          // Close came meanwhile
}

// New returns a Holder that builds by build, closes each result once by end, and tells failed when a build begins to fail while there is an old
// one to use.
func New[V value[V], T any](build func(context.Context, V) (T, error), end func(T), failed func(V, error)) *Holder[V, T] {
	return &Holder[V, T]{build: build, end: end, failed: failed}
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
		// Who read the value before it changed must not turn the clock back.
		fits := b != nil && (b.from.Equal(v) || !need && v.FetchedAt().Before(b.from.FetchedAt()))
		if fits || b != nil && !need && (going != nil || time.Now().Before(h.retry)) {
			b.users++
			h.mu.Unlock()
			return b, nil
		}
		if going != nil {
			h.mu.Unlock()
			select {
			case <-going.done:
				if going.err != nil && going.from.Equal(v) {
					return nil, going.err
				}
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		going = &building[V]{from: v, done: make(chan struct{})}
		h.going = going
		h.mu.Unlock()
		b, err := h.rebuild(ctx, going)
		if err == nil || need {
			return b, err
		}
		h.mu.Lock()
		if b = h.current; b != nil {
			b.users++
			err = nil
		}
		h.mu.Unlock()
		return b, err
	}
}

// rebuild builds and replaces what there is. The caller becomes a user of the result.
func (h *Holder[V, T]) rebuild(ctx context.Context, going *building[V]) (b *built[V, T], err error) {
	defer func() { // also when build panics
		var old *built[V, T]
		report := false
		h.mu.Lock()
		switch {
		case b != nil && going.closed:
			b.retired = true // nobody else gets it
		case b != nil:
			old, h.current, h.fails, h.retry = h.current, b, 0, time.Time{}
		case ctx.Err() == nil:
			h.retry = time.Now().Add(min(maxPause, time.Second<<min(h.fails, 5)))
			h.fails++
			going.err, report = err, err != nil && h.fails == 1 && h.current != nil
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
