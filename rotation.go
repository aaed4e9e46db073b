package secrets

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
)

const (
	// searchInterval is the time between two searches for another value that brought
	// none that works, and half the time from the second one in a row on: a password
	// that is simply wrong must not become a flood of requests.
	searchInterval = 10 * time.Second
	maxRuns        = 4 // of the function of one Do
)

// Rejected marks err as the refusal of a credential, for [Env.Do] and [Derived.Do].
// Rejected(nil) is nil.
func Rejected(err error) error {
	if err == nil {
		return nil
	}
	return &rejected{err}
}

type rejected struct{ error }

func (r *rejected) Unwrap() error { return r.error }

// WithRejected tells [Env.Do] and [Derived.Do] which errors mean that the credential
// was refused, in place of marking them by [Rejected]: a PostgreSQL error with code
// 28P01, an HTTP 401.
func WithRejected(is func(error) bool) Option {
	return option(func(c *config) {
		if is == nil {
			c.fail("WithRejected(nil)")
		}
		c.rejected = is
	})
}

func (c *config) isRejected(err error) bool {
	var r *rejected
	switch {
	case err == nil:
		return false
	case errors.As(err, &r):
		return true
	}
	return c.rejected != nil && c.rejected(err)
}

// Do runs f with the value of a variable. If f says that the credential was refused,
// by [Rejected] or [WithRejected], Do looks for another plaintext and runs f again
// with it. It takes a newer one that the cache has. Else, for a secret without a stated
// stage, it fetches AWSPENDING, because a single-user rotation changes the database
// before it moves AWSCURRENT. Else it fetches the current one. It fetches each of these
// once for all callers that were refused. A pending value that works is kept for
// everybody. If there is nothing else, Do returns f's own error.
//
// A search that brings no value that works is repeated after 10 seconds, and after 20
// from the second one on; until then Do returns f's error at once.
//
// Do blocks as [Env.Get] does, and for f, which runs up to four times. f does not run
// again after ctx has ended.
func (e *Env) Do(ctx context.Context, name string, f func(Value) error) error {
	return e.do(ctx, name, func(v Value, _ bool) (Value, int, error) { return v, 1, f(v) })
}

// do is Do for an f that is also told whether v replaces a value that was refused,
// and that says which value it used.
func (e *Env) do(ctx context.Context, name string,
	f func(v Value, again bool) (used Value, runs int, err error)) error {
	v := e.vars[name]
	if v == nil {
		return e.unknown(name)
	}
	g, value, err := e.read(ctx, v)
	if err != nil {
		return err
	}
	// Without a refusal nothing of this costs more than a Get.
	t := &trial{env: e, variable: v, seen: g.number, gen: g, from: v.entry}
	used, runs, err := f(value, false)
	if err == nil && v.entry.searching.Load() {
		t.accepted(nil)
	}
	for e.config.isRejected(err) && runs < maxRuns {
		t.tried = append(t.tried, value, used)
		if ctx.Err() != nil || !t.find(ctx) {
			break
		}
		if ctx.Err() != nil { // it ended in the moment of the answer
			break
		}
		value = t.found()
		var more int
		used, more, err = f(value, true)
		runs += more
		t.accepted(err)
	}
	if mark, ok := err.(*rejected); ok {
		return mark.error
	}
	return err
}

// A trial is one Do after a refusal: what was tried, and what was found. It belongs
// to one call; what callers share is the search.
type trial struct {
	env      *Env
	variable *variable
	tried    []Value     // and refused
	seen     uint64      // number of the newest own generation that was tried
	gen      *generation // what was found, or read at first
	from     *entry      // and where: the variable's own entry, or that of the pending version
	stale    bool        // it has outlived its TTL
}

// found returns the value that was found.
func (t *trial) found() Value {
	v := t.gen.slot(t.from, t.variable.data.Part).value
	v.stale = v.stale || t.stale
	return v
}

// accepted notes that the value works, if f came to its end, and keeps a pending one
// for everybody.
func (t *trial) accepted(err error) {
	if err != nil {
		return // it failed for another reason, which says nothing of the credential
	}
	c, own := t.env.cache, t.variable.entry
	pending := t.from != own
	if pending {
		c.adopt(own, t.seen, t.gen)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := own.search
	if s == nil {
		return
	}
	if pending || t.gen.number > s.of { // else f was given what the search is to replace
		s.accepted = true
		own.searching.Store(false)
	}
}

// takes reports whether g holds a value that was not tried, and takes it if so.
func (t *trial) takes(g *generation, from *entry, stale bool) bool {
	if g == nil {
		return false
	}
	s := g.slot(from, t.variable.data.Part)
	if s.err != nil || slices.ContainsFunc(t.tried, s.value.same) {
		return false
	}
	t.gen, t.from, t.stale = g, from, stale
	return true
}

// takesInHand is takes for what the cache has, if its bounds allow that it is served.
func (t *trial) takesInHand(own *entry) bool {
	c := t.env.cache
	c.mu.Lock()
	defer c.mu.Unlock() // a clock may panic
	now := c.now()
	g, state := own.state(own.bounds, c.grace, now)
	return t.takes(g, own, state != missing && g.stale(own.bounds, now))
}

// find finds a value that was not tried: the one that the cache has, or one that a
// search brings.
func (t *trial) find(ctx context.Context) bool {
	own, c := t.variable.entry, t.env.cache
	g := own.gen.Load()
	if t.takesInHand(own) {
		return true
	}
	if g != nil {
		t.seen = g.number // it was tried, perhaps by way of what was built from it
	}
	if own.source.data().Fixed() {
		return false
	}
	// All callers that were refused with the same value share one search.
	s := c.joinSearch(own, t.seen)
	if s == nil {
		return false
	}
	if t.takesInHand(own) {
		return true // another search has brought it since the first look
	}
	found, err := t.lookBoth(ctx, s)
	if !found && err == nil { // else the next caller looks again
		c.endSearch(s)
	}
	return found
}

// lookBoth looks for the pending value, and for the current one if there is no
// pending one that works. In this order two fetches are enough: the rotation stored
// the pending version before the login was refused, and that version keeps its label
// until AWSCURRENT has moved to it, so where it has none any more, AWSCURRENT is the
// newer one. In the other order a rotation may end between the two fetches, and
// AWSCURRENT needs a second one.
func (t *trial) lookBoth(ctx context.Context, s *search) (found bool, err *ResolveError) {
	own := t.variable.entry
	if s.pending == nil {
		return t.look(ctx, own, s.after)
	}
	found, err = t.look(ctx, s.pending, s.after)
	if found {
		return true, nil
	}
	found, late := t.look(ctx, own, t.env.cache.afterPending(s))
	if err != nil && err.transient() {
		return found, err // the next caller looks for the pending value again
	}
	return found, late
}

// look fetches an entry by a try later than after, and takes its value if it was not
// tried. It leaves the current version half of the time where the pending one hangs.
func (t *trial) look(ctx context.Context, from *entry, after uint64) (bool, *ResolveError) {
	c := t.env.cache
	r := c.newRequest(ctx, searching)
	r.after = after
	if from != t.variable.entry {
		r.until = earlier(r.until, r.began.Add(min(staleTimeout, r.patience()/2)))
	}
	w := r.add(from, from.bounds)
	c.resolve(r)
	if t.takes(w.gen, from, w.stale) {
		return true, nil
	}
	return false, w.err
}

// A search is for another value than one that was refused. All callers that were
// refused with that value share it.
type search struct {
	after    uint64 // the results of tries with higher numbers are its own
	later    uint64 // the same for those of the current value, or 0: see afterPending
	of       uint64 // the number of the generation that was refused
	begun    clock.Moment
	pending  *entry // the secret's pending version, if it may have one
	accepted bool   // what it brought works
	ended    bool   // it brought nothing
	vain     int    // searches in a row, this one included, that brought nothing that works
}

// joinSearch returns the search for another value than the generation of e with that
// number: the one that goes on, or a new one; nil while the last one that brought
// nothing is too recent. What it brought may be refused as well, because rotations
// follow each other, so a search for something newer begins at once; but credentials
// that are always new and never right must not become a flood either.
func (c *Cache) joinSearch(e *entry, of uint64) *search {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, last := c.now(), e.search
	s := &search{of: of, begun: now, after: c.seq, vain: 1}
	if last != nil && !last.accepted {
		recent, same := now.Since(last.begun) < last.interval(), last.of == of
		vain := same || last.vain >= maxRuns
		switch {
		case recent && same && !last.ended:
			return last
		case recent && vain:
			return nil
		}
		s.vain = last.vain + 1
		if recent && !same {
			// What the last one has just fetched need not be fetched again.
			s.after = last.after
		}
	}
	s.pending = c.pendingOf(e)
	e.search = s
	e.searching.Store(true)
	return s
}

// interval returns for how long a search that brought nothing that works is not
// repeated.
func (s *search) interval() time.Duration {
	if s.vain > 1 {
		return 2 * searchInterval
	}
	return searchInterval
}

// pendingOf returns an entry of the secret's pending version, or nil. It is none of
// c.entries: nobody else asks for it, and it goes with the search.
func (c *Cache) pendingOf(e *entry) *entry {
	if e.source.Scheme() != SecretsManager || e.source.Stage() != "" {
		return nil
	}
	source := e.source.With("stage", "AWSPENDING")
	return &entry{source: source, shown: e.shown.With("stage", "AWSPENDING"),
		group: groupOf(source), names: e.names, declared: true, optional: true, bounds: e.bounds}
}

// afterPending returns the number that tries of the current value must exceed to be later
// than the pending one's, the same for all.
func (c *Cache) afterPending(s *search) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.later == 0 {
		s.later = c.seq
	}
	return s.later
}

// endSearch notes that a search brought nothing.
func (c *Cache) endSearch(s *search) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.ended = true
}

// adopt makes what another reference brought the value of e, in place of the
// generation with the number refused: the pending password that turned out to work.
// It will be AWSCURRENT soon; if not, the next refresh brings the old one back.
func (c *Cache) adopt(e *entry, refused uint64, from *generation) {
	g := e.generation(Result{Value: from.slots[0].value, ARN: from.arn}, from.at)
	c.mu.Lock()
	defer c.mu.Unlock()
	old := e.gen.Load()
	if old == nil || old.number != refused {
		return // somebody was faster, or AWSCURRENT has moved on
	}
	if g.lacks(old) != nil {
		return
	}
	// Its own number: a refresh that began earlier must not bring the refused one
	// back.
	c.seq++
	g.seq = c.seq
	e.failure, e.suspect, e.probes = nil, trusted, 0
	c.setLocked(e, g, 0)
	c.wakeLocked(e, true)
}
