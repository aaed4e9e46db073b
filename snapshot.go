package secrets

import (
	"context"
	"maps"
	"slices"

	"github.com/lambdasecrets/secrets/internal/parallel"
)

// A Snapshot is one reading of all variables, with one generation per source: user and password of one secret belong together even while it rotates. Reading it asks no
// clock and takes no lock. Use one per invocation; it does not follow rotation.
type Snapshot struct {
	env  *Env
	asks map[*entry]*ask // source → its answer
}

// Snapshot refreshes what is due, and returns every variable's value or error. It blocks as [Env.Get] does, and never fails as a whole.
func (e *Env) Snapshot(ctx context.Context) Snapshot {
	ctx = parallel.WithWidth(ctx, e.config.environ().Width(false))
	e.payOff(ctx)
	asks := asksFor(e.order)
	e.cache.settle(ctx, slices.Collect(maps.Values(asks)), reading)
	return Snapshot{e, asks}
}

// Get returns the value of a variable as it was when the snapshot was taken, or the error of its fetch.
func (s Snapshot) Get(name string) (Value, error) {
	if s.env == nil {
		return Value{}, &ResolveError{Variable: name, kind: ErrNotReference, problem: "the Snapshot is zero"}
	}
	v := s.env.vars[name]
	if v == nil {
		return Value{}, s.env.unknown(name)
	}
	a := s.asks[v.entry]
	if a.gen != nil && a.gen.values[v.slot].err == nil { // without a look at the reference, which costs more than the rest
		value := a.gen.values[v.slot].value
		value.stale = value.stale || a.stale
		return value, nil
	}
	return a.answer(v.name, v.ref)
}
