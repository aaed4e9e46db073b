package secrets

import (
	"context"
	"slices"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/parallel"
)

// A Snapshot is one reading of all variables, with one generation per source: user
// and password of one secret belong together even while it rotates. Reading it asks
// no clock and takes no lock. Use one per invocation; it does not follow rotation.
type Snapshot struct {
	env   *Env
	wants []*want // in the order of Env.order
}

// Snapshot refreshes what is due, and returns every variable's value or error. It
// blocks as [Env.Get] does, and never fails as a whole.
func (e *Env) Snapshot(ctx context.Context) Snapshot {
	ctx = parallel.WithWidth(ctx, e.config.environ().Width(false))
	e.warmAfterRestore(ctx)
	r := e.cache.newRequest(ctx, reading)
	wants := r.wantVariables(e.order)
	e.cache.resolveTogether(r)
	return Snapshot{e, wants}
}

// Get returns the value of a variable as it was when the snapshot was taken, or the
// error of its fetch.
func (s Snapshot) Get(name string) (Value, error) {
	if s.env == nil {
		return Value{}, &ResolveError{Variable: name, kind: ErrNotReference,
			problem: "the Snapshot is zero"}
	}
	v := s.env.vars[name]
	if v == nil {
		return Value{}, s.env.unknown(name)
	}
	w := s.wants[v.place]
	// Without a look at the reference, which costs more than the rest.
	if w.gen != nil && w.gen.slots[v.slot].err == nil {
		value := w.gen.slots[v.slot].value
		value.stale = value.stale || w.stale
		return value, nil
	}
	return w.resultOf(v)
}

// resolveTogether is resolve for several sources whose results are used together.
// Some were in hand while the caller waited for others: they are judged once more at
// the end. What has outgrown its bounds is asked for again, once, and is an error
// after that.
func (c *Cache) resolveTogether(r *request) {
	c.resolve(r)
	outgrown := c.judgeAgain(r.wants)
	if len(outgrown) == 0 {
		return
	}
	second := c.newRequest(r.ctx, r.mode)
	second.until = r.until
	for _, w := range outgrown {
		second.add(w.entry, w.bounds)
	}
	c.resolve(second)
	now := c.now()
	for _, w := range c.judgeAgain(second.wants) {
		if !w.waitedFor(now) {
			w.gen, w.err = nil, outgrownError(w.entry)
		}
	}
	for i, w := range outgrown {
		again := second.wants[i]
		if again.gen == nil && w.waitedFor(now) {
			continue // what others took long for must not cost this one its value
		}
		w.gen, w.stale, w.err, w.brought = again.gen, again.stale, again.err, again.brought
		w.broughtAt = again.broughtAt
	}
	for _, w := range c.judgeAgain(r.wants) {
		if !slices.Contains(outgrown, w) { // it outgrew its bounds during the second wait
			w.gen, w.err = nil, outgrownError(w.entry)
		}
	}
}

// judgeAgain marks the results that have outlived their TTL meanwhile, and returns
// those that are too old to be served, or were in hand for too long.
func (c *Cache) judgeAgain(wants []*want) (outgrown []*want) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for _, w := range wants {
		if w.along || w.gen == nil {
			continue
		}
		if w.gen.fixed {
			continue // it never outgrows anything
		}
		tooOld := w.entry.dropReason(w.gen, w.bounds, c.grace, now) != ""
		if w.waitedFor(now) && !w.entry.failure.isPermanent() {
			// However short its bounds are, it was not too old when it came.
			inHand := time.Since(w.broughtAt)
			w.stale = w.stale || inHand >= max(w.bounds.ttl, staleTimeout)
			tooOld = tooOld && inHand >= max(w.bounds.ttl, w.bounds.maxStale, staleTimeout)
		} else {
			w.stale = w.stale || w.gen.stale(w.bounds, now)
		}
		if tooOld {
			outgrown = append(outgrown, w)
		}
	}
	return outgrown
}

// waitedFor reports whether w's value came while its caller waited, and not over a
// freeze.
func (w *want) waitedFor(now clock.Moment) bool {
	return w.gen == w.brought && !now.Interrupted(w.gen.at, maxTry)
}

func outgrownError(e *entry) *ResolveError {
	return &ResolveError{Ref: e.source, kind: ErrUnavailable,
		problem: "the value outlived its stale bound while others were fetched"}
}
