package secrets

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/holder"
	"github.com/lambdasecrets/secrets/internal/par"
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
		value = next.slot(from, v.ref.Field()).value
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
		s := g.slot(from, v.ref.Field())
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
	ctx = par.WithWidth(ctx, e.config.environ().Width(false))
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

// A Derived holds what is built from a secret: a connection pool, a client, a signing key.
type Derived[T any] struct {
	env    *Env
	name   string
	holder *holder.Holder[Value, T]
}

// Derive returns a holder for what build makes of a variable's value. Nothing happens until [Derived.Do]. The context that build gets is that of the caller who needs the
// result: it must not be kept in what is built. An error of build is logged: the whole value is taken out of it, but it must not quote parts of it, as those of many parsers do. close, which may be nil, is called
// once for everything that was built and replaced, when its last user is done.
//
// Where a library asks for the password per connection (pgx.BeforeConnect, driver.Connector), give it [Env.Get] instead: that needs no rebuild.
func Derive[T any](env *Env, name string, build func(ctx context.Context, v Value) (T, error), close func(T)) *Derived[T] {
	if close == nil {
		close = func(T) {}
	}
	return &Derived[T]{env: env, name: name, holder: holder.New(build, close, func(v Value, err error) {
		text := Detail(err)
		if plain := v.Reveal(); len(plain) > 3 { // shorter ones are in every other word
			quoted := strconv.Quote(plain) // as %q writes it, whose quotes stay
			text = strings.NewReplacer(plain, redacted, quoted[1:len(quoted)-1], redacted).Replace(text)
		}
		env.config.logger().Error("secrets.derive", "variable", name, "version", v.Version(), "error", text)
	}, Value.before)}
}

// Do runs f with what was built from the value, building it first where there is none. When the value has changed, one caller rebuilds while the others go on with the
// old one; a rebuild that fails keeps the old one, logs secrets.derive, and is tried again after 1 second, doubling to 30. If f says that the credential was refused, as in
// [Env.Do], Do rebuilds from the newer value and runs f again.
func (d *Derived[T]) Do(ctx context.Context, f func(T) error) error {
	return d.env.do(ctx, d.name, func(v Value, again bool) error {
		from, err := d.holder.Use(ctx, v, again, f)
		if d.env.config.isRejected(err) && !from.Equal(v) {
			_, err = d.holder.Use(ctx, v, true, f) // it was the old one that was refused
		}
		return err
	})
}

// Close closes what was built: at once, or when the last Do that uses it is done, for which it does not wait. A later Do builds anew, and so does one that runs if its credential is
// refused then.
func (d *Derived[T]) Close() { d.holder.Close() }

// A Snapshot is one reading of all variables, with one generation per source: user and password of one secret belong together even while it rotates. Reading it asks no
// clock and takes no lock. Use one per invocation; it does not follow rotation.
type Snapshot struct {
	env  *Env
	asks map[*entry]*ask // source → its answer
}

// Snapshot refreshes what is due, and returns every variable's value or error. It blocks as [Env.Get] does, and never fails as a whole.
func (e *Env) Snapshot(ctx context.Context) Snapshot {
	ctx = par.WithWidth(ctx, e.config.environ().Width(false))
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
