package secrets

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/lambdasecrets/secrets/internal/guard"
	"github.com/lambdasecrets/secrets/internal/parallel"
)

// A streamFunc fetches refs and calls deliver exactly once per ref, with its index in refs, as
// soon as its result is there, from any goroutine (several at once). It returns after the last
// delivery, soon after ctx ends.
type streamFunc func(ctx context.Context, refs []Ref, deliver func(i int, r Result))

// A streamer is a Provider that hands over each result as soon as it is there, so that a call
// that hangs costs only its own references.
//
// It is a struct and not an interface with an unexported method: a user's type that embeds a
// ProviderFunc would satisfy the interface too, and its own Fetch would never be called.
type streamer struct{ stream streamFunc }

func (s *streamer) Fetch(ctx context.Context, refs []Ref) []Result {
	return s.stream.collect(ctx, refs)
}

// collect returns what s delivers, in the order of refs.
func (s streamFunc) collect(ctx context.Context, refs []Ref) []Result {
	results := make([]Result, len(refs))
	s(ctx, refs, func(i int, r Result) { results[i] = r }) // no lock: each has its own element
	return results
}

// stream fetches refs from any Provider as a streamFunc does. One that has no stream delivers
// when its Fetch returns. A provider that panics, ends its goroutine or miscounts fails the
// references that have no result yet, and takes nothing down. What deliver does is not guarded.
func stream(ctx context.Context, p Provider, refs []Ref, deliver func(i int, r Result)) {
	d := &deliveries{to: deliver, done: make([]bool, len(refs))}
	problem := guard.Call(func() string {
		switch p := p.(type) {
		case *streamer:
			p.stream(ctx, refs, d.deliver)
		case ProviderFunc:
			p.stream(ctx, refs, d.deliver)
		default:
			results := p.Fetch(ctx, slices.Clone(refs)) // it may write into them
			if len(results) != len(refs) {
				return fmt.Sprintf("the provider returned %d results for %d references",
					len(results), len(refs))
			}
			for i, r := range results {
				d.deliver(i, r)
			}
		}
		return "the provider returned without a result"
	})
	for i, ref := range refs {
		d.deliver(i, failed(ref, garbledError("", ref, problem)))
	}
}

// streamEach is stream with a call of its own for each reference, as many at once as the width
// of ctx allows: for names that would take a batch of good ones down with them.
func streamEach(ctx context.Context, p Provider, refs []Ref, deliver func(i int, r Result)) {
	parallel.Do(ctx, len(refs), func(i int) {
		stream(ctx, p, refs[i:i+1], func(_ int, r Result) { deliver(i, r) })
	})
}

// deliveries passes on the first result of each reference and drops every other.
type deliveries struct {
	to   func(i int, r Result)
	mu   sync.Mutex
	done []bool
}

func (d *deliveries) deliver(i int, r Result) {
	d.mu.Lock()
	first := !d.done[i]
	d.done[i] = true
	d.mu.Unlock()
	if first {
		d.to(i, r)
	}
}
