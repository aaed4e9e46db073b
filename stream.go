package secrets

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/lambdasecrets/secrets/internal/guard"
	"github.com/lambdasecrets/secrets/internal/parallel"
)

// A streamFunc fetches refs and calls deliver exactly once per ref, with its index in
// refs, as soon as its result is there, from any goroutine (several at once). It
// returns after the last delivery, soon after ctx ends.
type streamFunc func(ctx context.Context, refs []Ref, deliver func(i int, r Result))

// A streamer is a Provider that hands over each result as soon as it is there, so
// that a call that hangs costs only its own references.
//
// It is a struct and not an interface with an unexported method: a user's type that
// embeds a ProviderFunc would satisfy the interface too, and its own Fetch would
// never be called.
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

// stream fetches refs from any Provider as a streamFunc does. One that has no stream
// delivers when its Fetch returns. A provider that panics, ends its goroutine or
// miscounts fails the references that have no result yet, and takes nothing down.
func stream(ctx context.Context, p Provider, refs []Ref, deliver func(i int, r Result)) {
	d := &deliveries{to: deliver, done: make([]bool, len(refs))}
	problem := guard.Call(func() string {
		switch p := p.(type) {
		case *streamer:
			p.stream(ctx, refs, d.deliver)
		case ProviderFunc:
			p.stream(ctx, refs, d.deliver)
		case *Cache:
			p.stream(ctx, refs, d.deliver)
		default:
			results := p.Fetch(ctx, slices.Clone(refs)) // it may write into them
			if len(results) != len(refs) {
				return fmt.Sprintf("the provider returned %d results for %d references",
					len(results), len(refs))
			}
			whole := len(results) > 1 && !slices.ContainsFunc(results, answered)
			for i, r := range results {
				r.whole = whole
				d.deliver(i, r)
			}
		}
		return "the provider returned without a result"
	})
	for i, ref := range refs {
		if !d.has(i) {
			d.deliver(i, failed(ref, garbledError("", ref, problem)))
		}
	}
}

// answered reports whether r is no error.
func answered(r Result) bool { return r.Err == nil }

// streamEach is stream with a call of its own for each reference, as many at once as
// the width of ctx allows: for names that would take a batch of good ones down with
// them.
func streamEach(ctx context.Context, p Provider, refs []Ref, deliver func(i int, r Result)) {
	parallel.Do(ctx, len(refs), func(i int) {
		stream(ctx, p, refs[i:i+1], func(_ int, r Result) { deliver(i, r) })
	})
}

// deliverEach fetches each reference by a call of its own, as many at once as the
// width allows.
func deliverEach(
	ctx context.Context, refs []Ref, deliver func(i int, r Result),
	fetch func(context.Context, Ref) Result,
) {
	parallel.Do(ctx, len(refs), func(i int) { deliver(i, fetch(ctx, refs[i])) })
}

// deliverAll delivers results that came together.
func deliverAll(results []Result, deliver func(i int, r Result)) {
	for i, r := range results {
		deliver(i, r)
	}
}

// streamBatches divides refs into batches of at most size, and fetches all of them at
// once. In a batch all have the same key and no two the same name. Batches of several
// share the width: each may have to be taken apart.
func streamBatches(
	ctx context.Context, refs []Ref, deliver func(i int, r Result),
	size int, of func(Ref) (key together, name string), fetch streamFunc,
) {
	batches := parallel.Batches(len(refs), size,
		func(i int) (together, string) { return of(refs[i]) })
	several := 0
	for _, batch := range batches {
		if len(batch) > 1 {
			several++
		}
	}
	shared := parallel.Shared(ctx, several)
	parallel.Do(ctx, len(batches), func(k int) {
		some, deliverSome := pick(refs, deliver, batches[k])
		fetch(shared, some, deliverSome)
	})
}

// together is what the references of one batch have in common.
type together struct {
	scheme, region, role string
	kind                 string // of the names, see where it is set
	alone                bool   // in a batch of its own, see ref
	ref                  Ref
}

// pick returns the references at these indexes, and a deliver for them, so that who
// fetches them counts from 0 and needs to know no others.
func pick(refs []Ref, deliver func(i int, r Result), at []int) ([]Ref, func(i int, r Result)) {
	some := make([]Ref, len(at))
	for k, i := range at {
		some[k] = refs[i]
	}
	return some, func(k int, r Result) { deliver(at[k], r) }
}

// allBut picks every reference but one.
func allBut(refs []Ref, deliver func(i int, r Result), but int) ([]Ref, func(i int, r Result)) {
	var at []int
	for i := range refs {
		if i != but {
			at = append(at, i)
		}
	}
	return pick(refs, deliver, at)
}

// deliveries passes on the first result of each reference and drops every other.
type deliveries struct {
	to   func(i int, r Result)
	mu   sync.Mutex
	done []bool
}

// has reports whether a result of a reference was passed on.
func (d *deliveries) has(i int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done[i]
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
