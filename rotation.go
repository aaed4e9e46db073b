package secrets

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/parallel"
)

// fruitless is for how long a source is not fetched again because of rejections, after a search that brought nothing new, and twice that after the
// second one in a row: a password that is simply wrong must not become a flood of requests.
const fruitless = 10 * time.Second

// Rejected marks err as the refusal of a credential, for [Env.Do] and [Derived.Do]. Rejected(nil) is nil.
func Rejected(err error) error {
	if err == nil {
		return nil
	}
	return &rejected{err}
}

type rejected struct{ error }

func (r *rejected) Unwrap() error { return r.error }

// WithRejected tells [Env.Do] and [Derived.Do] which errors mean that the credential was refused, so that they need not be marked by [Rejected]: a
// PostgreSQL error with code 28P01, an HTTP 401.
func WithRejected(is func(error) bool) Option {
	return option(func(c *config) {
		if is == nil {
			c.fail(errors.New("secrets: WithRejected(nil)"))
		}
		c.rejected = is
	})
}

func (c *config) isRejected(err error) bool {
	var r *rejected
	return err != nil && (errors.As(err, &r) || c.rejected != nil && c.rejected(err))
}

// Do runs f with the value of a variable. If f says that the credential was refused, by [Rejected] or [WithRejected], Do looks for another plaintext and runs f again
// with it: a newer one that the cache has meanwhile; else one that it fetches, once for all who were refused; else, for a secret without a
// stated stage, the one under AWSPENDING, because a single-user rotation changes the database before it moves AWSCURRENT. A pending value that
// works is kept for everybody. If there is nothing else, Do returns f's own error, at once where the last such search, less than 10 seconds ago (20 from the second
// on), brought nothing.
//
// Do blocks as [Env.Get] does, and for f, which may run up to four times.
func (e *Env) Do(ctx context.Context, name string, f func(Value) error) error {
	return e.do(ctx, name, func(v Value, _ bool) error { return f(v) })
}

// do is Do for an f that is also told whether v replaces a value that was refused.
func (e *Env) do(ctx context.Context, name string, f func(v Value, again bool) error) error {
	v := e.vars[name]
	if v == nil {
		return e.unknown(name)
	}
	g, value, err := e.read(ctx, v)
	if err != nil {
		return err
	}
	seen, tried := g.number, []Value{value}
	for err = f(value, false); e.config.isRejected(err); {
		next, from := e.newer(ctx, v, seen, tried)
		if next == nil {
			break
		}
		value = next.slot(from, v.ref.part()).value
		tried = append(tried, value)
		if err = f(value, true); from == v.entry {
			seen = next.number
		} else if err == nil {
			e.cache.adopt(v.entry, seen, next)
		}
	}
	if mark, ok := err.(*rejected); ok {
		return mark.error
	}
	return err
}

// A search is for another value than one that was refused, by all who were refused with it.
type search struct {
	number  uint64 // what was fetched for it, or for one with a higher number, is its answer
	of      uint64 // the generation that was refused
	begun   clock.Moment
	pending *entry // the secret's pending version, if it may have one
	over    bool   // in vain
	vain    int    // searches of the same generation that were
}

// newer returns a generation whose value for v is none of those that were tried, and its entry: v's own, or that of the pending version. It returns nil
// if there is none. The last generation of v's own that was tried has the number seen.
func (e *Env) newer(ctx context.Context, v *variable, seen uint64, tried []Value) (*generation, *entry) {
	c, own := e.cache, v.entry
	differs := func(g *generation, from *entry) bool {
		if g == nil {
			return false
		}
		s := g.slot(from, v.ref.part())
		return s.err == nil && !slices.ContainsFunc(tried, s.value.same)
	}
	if g := own.gen.Load(); differs(g, own) {
		return g, own
	}
	if own.source.data().Fixed() || len(tried) > 3 || ctx.Err() != nil {
		return nil, nil
	}
	s := c.seek(own, seen)
	if s == nil {
		return nil, nil
	}
	ctx = parallel.WithWidth(ctx, e.config.environ().Width(false))
	look := func(from *entry, number uint64) (*generation, *ResolveError) {
		a := &ask{entry: from, search: number}
		if c.settle(ctx, []*ask{a}, renewing); differs(a.gen, from) {
			return a.gen, nil
		}
		return nil, a.err
	}
	g, err := look(own, s.number)
	if g == nil && err == nil && s.pending != nil {
		if g, err = look(s.pending, s.number); g != nil {
			return g, s.pending
		}
		if err != nil && err.kind == ErrNotFound {
			g, err = look(own, s.number+1) // the rotation may have ended, and taken AWSPENDING away, since the first look
		}
	}
	if g == nil && (err == nil || !err.passing()) {
		c.mu.Lock()
		if !s.over {
			s.over, s.vain = true, s.vain+1
		}
		c.mu.Unlock()
	}
	return g, own
}

// seek returns the search for another value than e's generation of: the one that goes on, or a new one; nil while the last one that was in vain is too recent.
func (c *Cache) seek(e *entry, of uint64) *search {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, s := c.now(), &search{of: of}
	if last := e.search; last != nil && last.of == of {
		rest := fruitless
		if last.vain > 1 {
			rest *= 2
		}
		switch recent := now.Since(last.begun) < rest; {
		case recent && last.over:
			return nil
		case recent:
			return last
		}
		s.vain = last.vain
	}
	c.searches += 2 // it may look twice
	s.number, s.begun = c.searches, now
	if e.source.Scheme() == SecretsManager && e.source.Stage() == "" {
		// Not one of c.entries: it is asked for by nobody else, and gone after the rotation.
		s.pending = &entry{source: e.source.With("stage", "AWSPENDING"), shown: e.shown.With("stage", "AWSPENDING"), names: e.names, optional: true, ttl: e.ttl, stale: e.stale}
	}
	e.search = s
	return s
}

// adopt makes what another reference brought the generation of e, in place of the one with the number refused: the pending password that turned out to be the one that
// works. It will be AWSCURRENT soon; if not, the next refresh brings the old one back.
func (c *Cache) adopt(e *entry, refused uint64, from *generation) {
	g := e.generation(Result{Value: from.values[0].value, ARN: from.arn}, from.at)
	c.mu.Lock()
	defer c.mu.Unlock()
	if g0 := e.gen.Load(); g0 != nil && g0.number == refused { // else somebody was faster, or AWSCURRENT has moved on
		c.flights++
		c.install(&call{entry: e, flight: &flight{start: c.flights}}, g, 0, c.now())
	}
}
