package secrets

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/deadline"
	"github.com/lambdasecrets/secrets/internal/guard"
	"github.com/lambdasecrets/secrets/internal/later"
)

const (
	patience   = time.Second      // how long a caller with a servable value waits for its refresh; doubled twice where it was too short
	boundless  = 10 * time.Second // how long a caller without a deadline waits
	maxBackoff = 2 * time.Second  // between the tries of one flight
	maxWindow  = 30 * time.Second // in which a failure is remembered
	longest    = 30 * time.Second // that a try takes
	maxLoose   = 1000             // references that were built in code and are kept
	maxBytes   = 4 << 20          // of one value, and of all values of such references together
	forever    = time.Duration(math.MaxInt64)
)

// A Cache is a [Provider] in front of a Provider: it keeps what was fetched, for its TTL, shares one fetch among all who ask at once, and
// serves the old value for a bounded time while a fetch fails. It knows nothing of AWS: it sees kinds of errors.
//
// It starts no goroutine that outlives the calls waiting for it, so it needs no closing. It is safe for concurrent use.
type Cache struct {
	next Provider
	cacheConfig

	mu       later.Mutex    // log lines are left to whoever unlocks it next
	entries  map[Ref]*entry // source → entry
	flights  uint64         // tries begun so far: the start number of the newest
	searches uint64         // begun so far, see search
	stats    Stats
}

// NewCache returns a Cache in front of next, with the defaults of its options; [Cache.Fetch] is how it is read. A nil next and options with wrong values are errors.
func NewCache(next Provider, opts ...CacheOption) (*Cache, error) {
	cfg := newCacheConfig()
	for _, o := range opts {
		o.applyCache(&cfg)
	}
	if guard.Nil(next) {
		cfg.fail(errors.New("secrets: NewCache: the provider is nil"))
	}
	if err := errors.Join(cfg.errs...); err != nil {
		return nil, err
	}
	return newCache(next, cfg), nil
}

func newCache(next Provider, cfg cacheConfig) *Cache {
	return &Cache{next: next, cacheConfig: cfg, entries: map[Ref]*entry{}, stats: Stats{Failures: map[string]uint64{}}}
}

var _ Provider = (*Cache)(nil)

// Fetch answers any mixture of references, of several schemes and Regions, with fields, TTLs and stale bounds. Where references share
// a source, the shortest TTL and stale bound win. It blocks for fetches only, at most until ctx ends (10 s if it has no deadline), 1 s where an old value can
// be served.
func (c *Cache) Fetch(ctx context.Context, refs []Ref) []Result {
	results := make([]Result, len(refs))
	asks := make(map[*entry]*ask, len(refs))
	var order []*ask
	of := make([]*ask, len(refs))
	c.mu.Lock()
	for i, ref := range refs {
		if err := ref.invalid(); err != nil {
			results[i].Err = err
			continue
		}
		e := c.entry(ref, false)
		if asks[e] == nil {
			asks[e] = &ask{entry: e}
			order = append(order, asks[e])
		}
		of[i] = asks[e]
	}
	c.mu.Unlock()
	c.settle(ctx, order, reading)
	c.evict(order)
	for i, ref := range refs {
		if of[i] == nil {
			continue
		}
		results[i].Value, results[i].Err = of[i].answer("", ref)
		if g := of[i].gen; g != nil {
			results[i].ARN = g.arn
		}
	}
	return results
}

// now reads both clocks.
func (c *Cache) now() clock.Moment { return clock.At(c.clock()) }

// A generation is what one fetch of a source brought. It is replaced whole, so fields of one secret cannot be torn apart.
type generation struct {
	number uint64 // 1, 2, 3, … per source, the same for the same content
	values []slot // the whole, then entry.parts
	arn    string
	at     clock.Moment  // just before the request was sent
	life   time.Duration // due at this age
	soon   time.Duration // to be refreshed by the next reader from this age on
	read   atomic.Bool   // since it was fetched
}

type slot struct {
	value Value
	err   *ResolveError
}

// within reports whether g is younger than d, by both clocks.
func (g *generation) within(d time.Duration, now clock.Moment) bool {
	return g.life == forever || now.Within(d, g.at)
}

// living returns g with another lifetime.
func (g *generation) living(life time.Duration) *generation {
	h := &generation{number: g.number, values: g.values, arn: g.arn, at: g.at, life: life, soon: min(g.soon, life/10*9)}
	h.read.Store(g.read.Load())
	return h
}

// An entry is one source: what was fetched, and what is going on.
type entry struct {
	source, shown Ref      // what is fetched; the same, as the log may print it
	parts         []part   // declared ones, fixed before the first read
	names         []string // of declared variables, for the log
	declared      bool
	optional      bool                       // all of them are: absence is no news
	gen           atomic.Pointer[generation] // nil: nothing to serve

	// The rest stands under Cache.mu.
	ttl, stale time.Duration
	call       *call  // in the running flight that others may join, or nil
	used       uint64 // start number of the last flight it was in, or of the first one it is to be in
	newest     uint64 // start number of the newest try that brought a generation, or failed for a lasting reason
	number     uint64 // of the last generation, as
	at         clock.Moment
	version    string   // of the last generation
	fail       *failure // since the last success, or nil
	wanted     bool     // by a warm that did not get it
	search     *search  // for another value than one that was refused: the last, or nil
	renewed    uint64   // the number of the last search that it was fetched for, and answered
}

// A failure is what is remembered between flights that fail.
type failure struct {
	err              *ResolveError
	steps            int           // flights that failed and opened a window
	at               clock.Moment  // when the last one did
	window           time.Duration // from at, in which nobody tries
	lasting          bool          // some failure was; since is the first
	since            clock.Moment
	cuts             int  // flights that were given up without an answer
	reported, denied bool // secrets.stale was logged, secrets.denied
}

func (f *failure) resting(now clock.Moment) bool { return f != nil && now.Within(f.window, f.at) }

// recent reports whether the backend is known to fail: one caller tries, the others need not wait with it.
func (f *failure) recent(now clock.Moment) bool { return f != nil && now.Within(2*maxWindow, f.at) }

// entry returns the entry of ref's source, a new one if need be, under mu.
func (c *Cache) entry(ref Ref, declared bool) *entry {
	source := ref.Source()
	e := c.entries[source]
	if e == nil {
		e = &entry{source: source, shown: source, declared: declared, ttl: forever, stale: forever, used: c.flights + 1}
		if ref.data().Unquoted {
			e.shown = source.unquoted()
		}
		c.entries[source] = e
	}
	ttl, stale := ref.data().Bounds(c.ttl, c.cacheConfig.stale)
	e.ttl, e.stale = min(e.ttl, ttl), min(e.stale, stale)
	if g := e.gen.Load(); g != nil && g.life != forever && g.life > e.ttl {
		e.gen.Store(g.living(e.ttl)) // it was fetched for somebody with a longer TTL
	}
	return e
}

// evict keeps references built in code within bounds, after asks brought some more: the oldest fetched go, never a declared one.
func (c *Cache) evict(asks []*ask) {
	if !slices.ContainsFunc(asks, func(a *ask) bool { return !a.entry.declared && (a.call != nil || a.gen == nil) }) {
		return // they brought nothing new
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	loose, bytes := c.loose(), 0
	slices.SortFunc(loose, func(a, b *entry) int { return cmp.Compare(b.used, a.used) })
	for i, e := range loose {
		if bytes += e.size(); e.call == nil && (i >= maxLoose || bytes > maxBytes) {
			delete(c.entries, e.source)
		}
	}
}

// loose returns the sources that are not declared, under mu.
func (c *Cache) loose() (loose []*entry) {
	for _, e := range c.entries {
		if !e.declared {
			loose = append(loose, e)
		}
	}
	return loose
}

// size returns how many bytes of plaintext e keeps.
func (e *entry) size() int {
	if g := e.gen.Load(); g != nil {
		return len(g.values[0].value.d.plain())
	}
	return 0
}

// fresh returns the generation of e if there is nothing to think about: no lock, no allocation, two atomic loads, and one store per generation.
func (e *entry) fresh(now clock.Moment) *generation {
	g := e.gen.Load()
	if g == nil || !g.within(g.soon, now) {
		return nil
	}
	if !g.read.Load() {
		g.read.Store(true)
	}
	return g
}

// A mode is what a caller wants of settle.
type mode int

const (
	reading  mode = iota // what is valid, or refreshed
	warming              // likewise; a passing failure opens no window, so that the first invocation tries at once
	renewing             // fetched by a flight that begins now
)

// An ask is one caller's question for one source, and its answer.
type ask struct {
	entry  *entry
	search uint64 // renewing: the number of a search; what was fetched for it, or a later one, will do

	gen   *generation
	stale bool
	err   *ResolveError

	call  *call
	until time.Time
	gone  error // why it stopped waiting for call, or nil
}

// answer returns what the ask brought for a reference to its source, which may be that of a variable.
func (a *ask) answer(variable string, ref Ref) (Value, error) {
	if a.gen == nil {
		return Value{}, a.err.named(variable, ref)
	}
	s := a.gen.slot(a.entry, ref.part())
	if s.err != nil {
		return Value{}, s.err.named(variable, ref)
	}
	s.value.stale = s.value.stale || a.stale
	return s.value, nil
}

// slot returns the whole value, or a part of it.
func (g *generation) slot(e *entry, p part) slot {
	if p == (part{}) {
		return g.values[0]
	}
	if i := slices.Index(e.parts, p); i >= 0 {
		return g.values[i+1]
	}
	v, err := g.values[0].value.part(e.source, p)
	return slot{v, err}
}

// settle answers all asks, which are of distinct entries. It starts the flights that are needed, all at once, and waits for those that the asks are in.
func (c *Cache) settle(ctx context.Context, asks []*ask, m mode) {
	for len(asks) > 0 {
		c.mu.Lock()
		now := c.now()
		var begin, waiting []*ask
		for _, a := range asks {
			if c.judge(ctx, a, m, now) {
				begin = append(begin, a)
			}
		}
		c.launch(ctx, begin, m, now)
		c.mu.Unlock()
		for _, a := range asks {
			if a.call != nil {
				a.wait(ctx)
				waiting = append(waiting, a)
			}
		}
		asks = c.leave(ctx, waiting, m)
	}
}

// judge answers a from what is there, or joins it to a running flight, or reports that one must begin.
func (c *Cache) judge(ctx context.Context, a *ask, m mode, now clock.Moment) (begin bool) {
	e := a.entry
	a.call, a.gone = nil, nil
	g := c.servable(e, now)
	if e.call != nil && now.Interrupted(e.call.flight.at, longest) {
		c.abandon(e.call.flight) // its answer, if it comes, is from before
	}
	a.until = time.Now().Add(deadline.Left(ctx, boundless))
	if g != nil && m != renewing {
		wait := patience
		if e.fail != nil {
			wait <<= min(e.fail.cuts, 2)
		}
		if t := time.Now().Add(wait); t.Before(a.until) {
			a.until = t
		}
	}
	valid := g != nil && g.within(g.life, now)
	switch {
	case m == renewing && g != nil && (g.life == forever || a.search > 0 && e.renewed >= a.search):
		c.serve(a, g, false, m, now)
	case m == renewing && a.search > 0 && e.fail != nil && (e.renewed >= a.search || e.fail.resting(now)):
		a.err = e.fail.err
	case m == renewing && a.search > 0 && e.call != nil && e.call.flight.search >= a.search:
		a.join(e.call)
	case ctx.Err() != nil && (m == renewing || g == nil && !e.fail.resting(now)):
		a.err = (*ResolveError)(nil).orGone(e.source, ctx.Err(), 0)
	case m == renewing:
		return true
	case valid && g.within(g.soon, now), valid && (e.call != nil || e.fail.resting(now)):
		c.serve(a, g, false, m, now)
	case g != nil && (e.fail.resting(now) || e.call != nil && e.fail.recent(now)):
		c.serve(a, g, true, m, now)
	case e.call != nil:
		a.join(e.call)
		if m == warming {
			e.call.flight.warm = true
		}
	case e.fail.resting(now):
		a.err = e.fail.err
	case ctx.Err() != nil:
		c.serve(a, g, !valid, m, now)
	default:
		return true
	}
	return false
}

// serve answers a with g, which may be stale. What only a warm or a Refresh asked for is not in use yet, so that no refresh takes it along.
func (c *Cache) serve(a *ask, g *generation, stale bool, m mode, now clock.Moment) {
	a.gen, a.stale, a.err = g, stale, nil
	if m == reading && !g.read.Load() {
		g.read.Store(true)
	}
	if !stale {
		return
	}
	c.stats.Stale++
	if e := a.entry; e.fail != nil && !e.fail.reported {
		e.fail.reported = true
		c.note(slog.LevelWarn, "secrets.stale", e, e.fail.err, "age", now.Since(g.at).Round(time.Second).String())
	}
}

func (a *ask) join(call *call) {
	a.call = call
	call.flight.waiters++
	if a.until.After(call.flight.until) {
		call.flight.until = a.until
	}
}

// wait waits for a's call, until ctx ends or a's patience does.
func (a *ask) wait(ctx context.Context) {
	timer := time.NewTimer(time.Until(a.until))
	defer timer.Stop()
	select {
	case <-a.call.done:
	case <-ctx.Done():
		a.gone = ctx.Err()
	case <-timer.C:
		a.gone = context.DeadlineExceeded
	}
}

// leave ends the waiting of asks and answers them, but for those it returns, whose flight was abandoned and who have to ask anew.
func (c *Cache) leave(ctx context.Context, asks []*ask, m mode) (again []*ask) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var silent []*flight
	empty := false
	for _, a := range asks {
		f := a.call.flight
		f.waiters--
		if a.gone != nil {
			f.gone = a.gone
			empty = empty || a.entry.gen.Load() == nil
		}
		if f.waiters == 0 && !f.over && c.land(f) {
			silent = append(silent, f)
		}
	}
	if empty && len(silent) > 0 {
		// The provider knows what it was waiting for, and has been told to stop. Whoever gets nothing else gets that: give it a moment to say so.
		c.mu.Release()
		moment, cancel := context.WithTimeout(context.Background(), min(deadline.Reserve/5, deadline.Left(ctx, boundless)))
		for _, f := range silent {
			select {
			case <-f.returned:
			case <-moment.Done():
			}
		}
		cancel()
		c.mu.Lock()
	}
	now := c.now()
	for _, a := range asks {
		call := a.call
		g := c.servable(a.entry, now)
		switch {
		case call.again && a.gone == nil:
			again = append(again, a)
		case call.gen != nil:
			c.serve(a, call.gen, a.entry.fail != nil && !call.gen.within(call.gen.life, now), m, now)
		case g != nil && m != renewing:
			c.serve(a, g, !g.within(g.life, now), m, now)
		default:
			a.err = call.err.orGone(a.entry.source, a.gone, time.Since(call.flight.begun))
		}
	}
	return again
}

// servable returns the generation that may still be served, fresh or stale. What may not is dropped.
func (c *Cache) servable(e *entry, now clock.Moment) *generation {
	g := e.gen.Load()
	if g == nil || g.life == forever {
		return g
	}
	why := ""
	switch {
	case e.fail != nil && e.fail.lasting && now.Since(e.fail.since) >= c.grace:
		why = "its refresh has failed for the whole grace period"
	case now.Since(g.at) >= e.stale && !g.within(g.life, now):
		why = "it is older than its stale bound"
	default:
		return g
	}
	e.gen.Store(nil)
	if e.fail != nil {
		c.note(slog.LevelError, "secrets.dropped", e, e.fail.err, "reason", why, "age", now.Since(g.at).Round(time.Second).String())
	}
	return nil
}

// answer checks a result and parses its fields.
func (e *entry) answer(r Result, at clock.Moment) answer {
	if r.Err != nil {
		err := providerError(e.source, r.Err)
		if err == nil || err.kind == nil {
			err = garbledError("", e.source, "the provider returned an empty *ResolveError")
		}
		return answer{err: err.named("", e.shown), ended: errors.Is(err, context.Canceled)}
	}
	if r.Value.IsZero() {
		return answer{err: garbledError("", e.source, "the provider returned neither a value nor an error")}
	}
	if len(r.Value.d.plain()) > maxBytes {
		return answer{err: &ResolveError{Ref: e.source, kind: ErrInvalidReference, problem: "the value is larger than 4 MiB"}}
	}
	return answer{gen: e.generation(r, at)}
}

// generation makes a generation of a result.
func (e *entry) generation(r Result, at clock.Moment) *generation {
	g := &generation{arn: r.ARN, at: at, values: make([]slot, 1, 1+len(e.parts))}
	g.values[0].value = r.Value.stamped(at)
	for _, p := range e.parts {
		v, err := g.values[0].value.part(e.source, p)
		g.values = append(g.values, slot{v, err})
	}
	return g
}

// install makes g what call's source serves, unless a later try was faster. It fails if that one dropped the source, or if g lacks a
// declared field that the source had.
func (c *Cache) install(call *call, g *generation, draw float64, now clock.Moment) *ResolveError {
	e := call.entry
	last, old := e.gen.Load(), c.servable(e, now)
	if call.flight.start < e.newest {
		if old != nil {
			call.gen = old
			return nil
		}
		if e.fail != nil {
			return e.fail.err
		}
	}
	broken := false
	for i, s := range g.values {
		if s.err != nil && old != nil && old.values[i].err == nil {
			return s.err
		}
		broken = broken || s.err != nil
	}
	part := 0.9 + 0.1*draw
	if e.number == 0 || now.Parted(e.at) > e.ttl {
		// A cold start, a restore or a long freeze: others had one at the same moment, and would all come back together.
		part = 0.1 + 0.9*draw
	}
	g.life = time.Duration(part * float64(e.ttl))
	switch {
	case e.source.data().Fixed():
		g.life = forever
	case broken:
		g.life = min(g.life, maxWindow) // a field is missing: look again soon
	}
	g.soon = g.life / 10 * 9
	if last == nil || !last.values[0].value.same(g.values[0].value) {
		e.number++
	}
	g.number, e.at = e.number, g.at
	if v := g.values[0].value.Version(); e.version != v {
		if e.number > 1 {
			c.note(slog.LevelInfo, "secrets.version", e, nil, "old", e.version, "new", v)
		}
		e.version = v
	}
	e.newest, e.fail, e.wanted = call.flight.start, nil, false
	e.gen.Store(g)
	c.stats.Values++
	call.gen = g
	return nil
}

// failed remembers that call's flight ended in call.err.
func (c *Cache) failed(call *call, draw float64, now clock.Moment) {
	e, err := call.entry, call.err
	if call.flight.start < e.newest {
		return // a later try knows better
	}
	if !err.passing() {
		e.newest = call.flight.start
	}
	c.stats.Failures[err.kind.Error()]++
	f := cmp.Or(e.fail, &failure{})
	e.fail, f.err = f, err
	if !err.passing() && !f.denied && !(e.optional && err.kind == ErrNotFound) {
		f.denied = true
		c.note(slog.LevelError, "secrets.denied", e, err)
	}
	if !err.passing() && !f.lasting {
		f.lasting, f.since = true, now
		if g := e.gen.Load(); g != nil && g.life != forever {
			due := g.living(g.life)
			due.soon = 0 // from now on readers come by judge, which keeps to the grace
			e.gen.Store(due)
		}
	}
	if call.flight.warm && err.passing() {
		return
	}
	f.steps++
	f.at = now
	f.window = time.Duration((1 - draw/4) * float64(min(maxWindow, time.Second<<min(f.steps-1, 5))))
}

// note leaves a log line about e and err, which may be nil, to be written without the lock: loggers block, and Detail calls methods of errors that are not ours.
func (c *Cache) note(level slog.Level, event string, e *entry, err *ResolveError, args ...any) {
	args = append([]any{"reference", e.shown.String(), "variables", e.names}, args...)
	c.mu.Do(func() {
		if err != nil {
			args = append(args, "error", err.named("", e.shown).detail())
		}
		c.logger().Log(context.Background(), level, event, args...)
	})
}
