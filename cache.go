package secrets

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/deadline"
	"github.com/lambdasecrets/secrets/internal/guard"
	"github.com/lambdasecrets/secrets/internal/jitter"
)

// How long callers wait. The patience with an old value in hand is short, because the
// old value is good enough; without one a caller has nothing better to do than to
// wait.
const (
	staleTimeout   = time.Second      // how long a caller with an old value waits for its refresh
	defaultTimeout = 10 * time.Second // how long a caller without a deadline waits
	noticeAfter    = time.Second      // a caller with nothing to serve logs what it waits for

	// maxThaws bounds how often one caller leaves a try that stood still over a
	// freeze. Under a clock that jumps on and on every try seems to, and callers
	// would cancel each other's for ever.
	maxThaws = 2

	// maxLastWords is the moment that a provider gets to say what it knows when
	// nobody can wait longer.
	maxLastWords = 50 * time.Millisecond
)

// A Cache is a [Provider] in front of a Provider. It keeps what was fetched for its
// TTL, shares one fetch among all callers of a source, and serves the old value for a
// bounded time while a fetch fails. It knows nothing of AWS: it sees kinds of errors.
//
// It starts no goroutine that outlives the calls waiting for it, so it needs no
// closing. It is safe for concurrent use.
type Cache struct {
	next Provider
	cacheConfig

	mu      sync.Mutex         // no I/O, and no code of others but the clock, runs under it
	entries map[Ref]*entry     // source → entry
	groups  map[group][]*entry // the declared entries, by what leaves in one round
	seq     uint64             // of the newest round
	windows uint64             // number of the newest window
	kept    keptList           // the entries that were not declared
	stats   Stats              // see Env.Stats
	journal journal            // log lines that are to be written
	// badConfig is the cause of the last failed configuration that was logged.
	badConfig string
	others    undeclaredFailures // of references that were not declared, for the log
}

// NewCache returns a Cache in front of next, with the defaults of its options. Read it
// with [Cache.Fetch]. A nil next and options with wrong values are errors.
func NewCache(next Provider, opts ...CacheOption) (*Cache, error) {
	cfg := newCacheConfig()
	for _, o := range opts {
		o.applyCache(&cfg)
	}
	if guard.Nil(next) {
		cfg.fail("NewCache: the provider is nil")
	}
	if err := errors.Join(cfg.errs...); err != nil {
		return nil, err
	}
	return newCache(next, cfg), nil
}

func newCache(next Provider, cfg cacheConfig) *Cache {
	return &Cache{next: next, cacheConfig: cfg, entries: map[Ref]*entry{},
		groups: map[group][]*entry{}, stats: Stats{Failures: map[string]uint64{}}}
}

var _ Provider = (*Cache)(nil)

// Fetch resolves any mixture of references, of several schemes and Regions, with
// fields, TTLs and stale bounds. Where references share a source, the shortest TTL
// and stale bound win. It waits as [Env.Get] does.
func (c *Cache) Fetch(ctx context.Context, refs []Ref) []Result {
	r, wants, results := c.fetchRequest(ctx, refs)
	c.resolveTogether(r)
	now := c.now()
	for i, w := range wants {
		if w != nil { // else it is in results already
			results[i] = w.resultAt(refs[i], now)
		}
	}
	return results
}

// stream is Fetch for a Cache in front of this one: it delivers each result as soon
// as it is there, so that what hangs here delays nothing there. None is judged again
// at the end, as Fetch does: each is delivered in the moment that it was judged.
func (c *Cache) stream(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	r, wants, results := c.fetchRequest(ctx, refs)
	// Fields of one secret share a want, and each has a place of its own in refs: what
	// one want brings is delivered as often as it was asked for, which may be never.
	places := map[*want][]int{}
	for i, w := range wants {
		if w == nil {
			deliver(i, results[i])
			continue
		}
		places[w] = append(places[w], i)
	}
	r.deliver = func(w *want) {
		now := c.now()
		for _, i := range places[w] {
			deliver(i, w.resultAt(refs[i], now))
		}
	}
	c.resolve(r)
}

// fetchRequest returns the request of a Fetch, what each of refs wants of it, and the
// results of those that want nothing.
func (c *Cache) fetchRequest(ctx context.Context, refs []Ref) (*request, []*want, []Result) {
	r := c.newRequest(ctx, reading)
	if ctx.Value(renewKey{}) != nil {
		r.mode = renewing // the Cache in front of this one wants a newer value
	}
	results := make([]Result, len(refs))
	return r, c.wantAll(r, refs, results), results
}

// resultAt returns what the want brought, with its age: another Cache in front of
// this one counts from its own clock.
func (w *want) resultAt(ref Ref, now clock.Moment) (res Result) {
	res.Value, res.Err = w.result(ref)
	if w.gen != nil {
		res.ARN, res.age = w.gen.arn, now.Since(w.gen.at)
	}
	return res
}

// wantAll adds what refs need to r. Invalid references and literals need nothing and
// get their result at once.
func (c *Cache) wantAll(r *request, refs []Ref, results []Result) []*want {
	wants := make([]*want, len(refs))
	// Fields of one secret share its want, so that they come from one generation.
	bySource := make(map[*entry]*want, len(refs))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, ref := range refs {
		if err := ref.invalid(); err != nil {
			results[i].Err = err
			continue
		}
		if ref.Scheme() == Literal {
			results[i].Value = ref.value()
			continue
		}
		d := ref.data()
		e := c.entryLocked(ref.Source(), &d)
		b := c.boundsOf(&d)
		if e.declared {
			b = b.tighter(e.bounds)
		} else {
			e.bounds = b // those of its last use: a refresh of its neighbours goes by them
		}
		w := bySource[e]
		if w == nil {
			w = r.add(e, b)
			bySource[e] = w
		}
		w.bounds = w.bounds.tighter(b)
		wants[i] = w
	}
	return wants
}

// renewKey is the context key by which one Cache asks another behind it for a newer
// value.
type renewKey struct{}

// now reads both clocks. It is called under the lock as well, so a user's clock must
// be quick and must not call the cache.
func (c *Cache) now() clock.Moment {
	if c.clock == nil {
		return clock.Now()
	}
	return clock.At(c.clock())
}

// boundsOf returns the bounds that d states, or the cache's where it states none: a
// reference knows best how fresh and how old its value may be.
func (c *Cache) boundsOf(d *refData) bounds {
	ttl, maxStale := d.Bounds(c.ttl, c.stale)
	return bounds{ttl, maxStale}
}

// entryLocked returns the entry of the source of d, a new one if need be. It is given
// both, because New would make a handle of each reference only to have it taken apart.
func (c *Cache) entryLocked(source Ref, d *refData) *entry {
	e := c.entries[source]
	if e == nil {
		e = &entry{source: source, shown: source, group: groupOf(source),
			bounds: bounds{c.ttl, c.stale}}
		c.entries[source] = e
	}
	if d.Unquoted {
		e.shown = source.unquoted()
	}
	return e
}

// The bounds of a declared source are the tightest of all its variables, and never
// change after New. References that are built in code bring their own bounds along
// each time, so that one Resolve cannot loosen or tighten what others are promised.

// declare returns the entry of a variable's reference and the place of its part in
// generation.slots. New declares all variables before the first read.
func (c *Cache) declare(name string, d *refData) (e *entry, place int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e = c.entryLocked(d.source().ref(), d)
	b := c.boundsOf(d)
	if e.declared {
		e.bounds = e.bounds.tighter(b)
	} else {
		e.declared, e.bounds = true, b
		c.groups[e.group] = append(c.groups[e.group], e)
	}
	// One variable that must exist makes absence a failure for all of the source.
	e.optional = d.Optional && (e.optional || len(e.names) == 0)
	e.names = append(e.names, name)
	if p := d.Part; p != (part{}) {
		e.parts = append(e.parts, p)
		place = len(e.parts) // 0 is the whole value's
	}
	if d.literal != nil {
		e.gen.Store(&generation{number: 1, fixed: true, at: c.now(),
			slots: []slot{{value: Value{d: d.literal}}}})
	}
	return e, place
}

// A request goes through three phases, each with a short lock section of its own:
//
//	begin     look at every source, start what must start, together
//	proceed   look again at the sources of which something became known
//	finish    settle what is left, and write the log
//
// Between them the caller sleeps without a lock, on one channel and one timer.
// Nothing is decided while it sleeps: who books a result wakes those who wait for the
// source, and each of them decides for itself. So no caller ever acts for another,
// and none is asked whether another may leave.

// A request is one caller's question for one or more sources.
type request struct {
	cache *Cache
	ctx   context.Context
	mode  mode
	after uint64 // renewing: the result of a try with a higher number will do
	wants []*want
	began time.Time
	until time.Time     // when it gives up, computed once
	wake  chan struct{} // holds an element when ready does

	deliver func(*want) // gets each want once it is settled, or nil
	settled []*want     // for it; only the request's own goroutine settles

	// How ctx ended, see end. Only the request's own goroutine reads and writes them.
	ended     error
	cancelled bool

	// The rest is under Cache.mu.
	arrived uint64    // number of the newest window when it came
	ready   []*want   // something was booked for them
	open    int       // wants that are not settled
	own     int       // the same, without what was taken along
	nextAt  time.Time // no want has anything to do before
}

// A want is one source that a request wants, and later its result.
type want struct {
	request *request
	entry   *entry
	bounds  bounds
	along   bool // a refresh takes it along: the caller did not ask for it

	// The rest is under Cache.mu until the want is settled.
	staleUntil time.Time // when it takes an old value
	holds      bool      // it has one to take
	alongUntil time.Time // when its caller leaves what was taken along
	persists   bool      // it tries again after a transient failure
	try        *try      // the last one it waited for
	waits      bool      // it counts among the waiters of try
	heardAt    time.Time // when it last heard of its source, or came
	needs      bool      // and among those who have no old value
	closing    bool      // its time ends in a moment: the try is told to say what it knows
	answered   bool      // something was booked since it waits
	brought    *generation
	broughtAt  time.Time
	outgrown   int       // values that were too old when they came
	pauseUntil time.Time // see outgrown
	thaws      int       // tries that it left because they stood still
	isReady    bool
	settled    bool

	gen   *generation
	stale bool
	err   *ResolveError
}

// newRequest returns a request without wants. Its time is read once: a caller that
// looks again and again at its deadline would give away a little more of it each
// time.
func (c *Cache) newRequest(ctx context.Context, m mode) *request {
	began := time.Now()
	return &request{cache: c, ctx: ctx, mode: m, began: began,
		until: began.Add(deadline.Left(ctx, defaultTimeout)), wake: make(chan struct{}, 1)}
}

// wantVariables adds the sources of variables, each once, and returns the want of each
// variable. Variables that are fields of one secret share a want.
func (r *request) wantVariables(vars []*variable) []*want {
	bySource := make(map[*entry]*want, len(vars))
	wants := make([]*want, len(vars))
	for i, v := range vars {
		if bySource[v.entry] == nil {
			bySource[v.entry] = r.add(v.entry, v.entry.bounds)
		}
		wants[i] = bySource[v.entry]
	}
	return wants
}

// add adds a source. A request wants each source once.
func (r *request) add(e *entry, b bounds) *want {
	w := &want{request: r, entry: e, bounds: b, heardAt: time.Now()}
	r.wants = append(r.wants, w)
	return w
}

// result returns what the want brought for a reference to its source.
func (w *want) result(ref Ref) (Value, error) {
	var s slot
	if w.gen != nil {
		s = w.gen.slot(w.entry, ref.part())
	}
	value, err := w.show(s)
	if err != nil {
		return Value{}, err.forVariable("", ref)
	}
	return value, nil
}

// resultOf is result for a variable, whose part has its place: a search among
// thousands of fields of one secret would be a quadratic warm.
func (w *want) resultOf(v *variable) (Value, error) {
	var s slot
	if w.gen != nil {
		s = w.gen.slots[v.slot]
	}
	value, err := w.show(s)
	if err != nil {
		return Value{}, err.forVariable(v.name, v.ref())
	}
	return value, nil
}

// show returns what is in a slot of the generation, or why there is nothing. The value
// is stale for this caller, whose bounds may be tighter than those of others.
func (w *want) show(s slot) (Value, *ResolveError) {
	err := s.err
	if w.gen == nil {
		err = w.err // a settled want has one of both
	}
	if err != nil {
		return Value{}, err
	}
	s.value.stale = s.value.stale || w.stale
	return s.value, nil
}

// resolve settles all wants of r: begin, then wait and proceed until nothing is open.
// The log lines that it caused are written before it returns, because the sandbox may
// be frozen then.
func (c *Cache) resolve(r *request) {
	defer c.leaveAll(r) // a logger that panics must leave nobody waiting
	done := c.begin(r)
	for r.deliverSettled(); !done; r.deliverSettled() {
		timeUp, ended := r.sleep()
		done = c.proceed(r, timeUp, ended)
		c.writeLog(r.ctx)
	}
	c.takeNewer(r)
	c.writeLog(r.ctx)
}

// deliverSettled hands on what was settled since the last time, if somebody wants it
// before the whole. It runs without the lock: who gets a result books it under the
// lock of another Cache.
func (r *request) deliverSettled() {
	for _, w := range r.settled {
		r.deliver(w)
	}
	r.settled = r.settled[:0]
}

// takeNewer gives each want the value that came after it was settled, while r waited
// for others: other callers have seen it, and values do not go backwards. An error is
// replaced, too, since the source has been cured meanwhile.
func (c *Cache) takeNewer(r *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for _, w := range r.wants {
		g := w.entry.gen.Load()
		if g == nil || !w.mayTake(g, now) {
			continue
		}
		w.gen, w.err, w.brought, w.broughtAt = g, nil, g, time.Now()
		w.stale = g.stale(w.bounds, now) && !w.acceptable(now)
	}
}

// mayTake reports whether w, which is settled, takes g instead of what it has. A Refresh
// that failed stays one.
func (w *want) mayTake(g *generation, now clock.Moment) bool {
	if w.gen != nil {
		return g.seq > w.gen.seq
	}
	if w.request.mode != reading {
		return false
	}
	_, state := w.entry.state(w.bounds, w.request.cache.grace, now)
	return state != missing
}

// leaveAll settles what is open, if a panic has ended resolve.
func (c *Cache) leaveAll(r *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range r.wants {
		if !w.settled {
			c.settleLocked(w)
		}
	}
	c.evictLocked()
}

// begin takes the first step for every want.
func (c *Cache) begin(r *request) (done bool) {
	r.end(r.ctx.Err())
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	// A Refresh wants a try that begins after it did; a search may accept an earlier
	// one.
	if r.mode >= renewing && r.after == 0 {
		r.after = c.seq
	}
	// Windows that open from now on are for those who come later.
	r.arrived = c.windows
	for _, w := range r.wants {
		c.arriveLocked(w, now)
	}
	r.nextAt = r.until
	return c.stepLocked(r, r.wants, now)
}

// arriveLocked fixes how long a want waits and whether it tries again. Both are
// decided by what is known now: a failure that becomes known later must not shorten
// the wait of those who came before it, or callers who overlap would take it from
// each other.
func (c *Cache) arriveLocked(w *want, now clock.Moment) {
	r, f := w.request, w.entry.failure
	r.open, r.own = r.open+1, r.own+1
	// Each wait that was too short doubles the next, up to four seconds: a backend
	// that needs longer than one would otherwise never be heard.
	timeouts := 0
	if f != nil {
		timeouts = f.timeouts
	}
	w.staleUntil = r.began.Add(staleTimeout << min(timeouts, 2))
	c.lookLocked(w, now)
	_, state := w.entry.state(w.bounds, c.grace, now)
	switch state {
	case missing:
		w.persists = true
	case due:
		w.persists = !w.failing(now) // else one try per window is enough
	}
	w.persists = w.persists || r.mode >= renewing
}

// end notes how the context has ended, if it has. It may be the caller's own, and so may its
// error: both are asked without the lock.
func (r *request) end(err error) {
	r.ended, r.cancelled = err, errors.Is(err, context.Canceled)
}

// sleep returns when a want is ready, when one may have something to do (timeUp), or
// when the caller's context ends.
func (r *request) sleep() (timeUp bool, ended error) {
	// A runtime timer, not the cache's clock: it stands still while the sandbox is
	// frozen, and a caller that thaws has the rest of its time.
	timer := time.NewTimer(time.Until(r.nextAt))
	defer timer.Stop()
	select {
	case <-r.wake:
		return false, nil
	case <-timer.C:
		return true, nil
	case <-r.ctx.Done():
		return true, r.ctx.Err()
	}
}

// proceed takes the next step for the wants that are ready, or for all if time is up
// for some.
func (c *Cache) proceed(r *request, timeUp bool, ended error) (done bool) {
	r.end(ended)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	// With thousands of sources, each result must not cost a look at all of them.
	wants := r.ready
	r.ready = nil
	for _, w := range wants {
		w.isReady = false
	}
	if timeUp {
		wants = slices.Clone(r.wants) // starting a try may add some
		r.nextAt = r.until
		c.noticeLocked(r)
	}
	return c.stepLocked(r, wants, now)
}

// stepLocked takes the next step for each of wants, and starts all tries that they
// need together.
func (c *Cache) stepLocked(r *request, wants []*want, now clock.Moment) (done bool) {
	var starts []*want
	for _, w := range wants {
		if w.settled {
			continue
		}
		if w.along {
			c.stepAlongLocked(w, now)
			continue
		}
		c.lookLocked(w, now)
		if c.closeLocked(w) {
			continue
		}
		g, s := c.situationLocked(w, now)
		switch s.next() {
		case serve:
			c.serveLocked(w, g, s, now)
		case fail:
			c.failLocked(w, s, now)
		case wait:
			c.joinLocked(w, w.running(now))
		case pause:
			c.pauseLocked(w)
		case start:
			if w.outgrew() {
				c.pauseLocked(w)
				break
			}
			if w.isWaiting() {
				w.thaws++
			}
			starts = append(starts, w)
		}
	}
	// All together: what leaves in one round shares calls, and draws its lifetime
	// once.
	c.startLocked(r, starts, now)
	if r.own == 0 {
		c.hurryLocked(r)
	}
	for _, w := range wants {
		r.wakeAtLocked(w)
	}
	return r.open == 0
}

// situationLocked gathers, and next decides: everything that a decision may depend on
// stands in one plain value, so that the rules can be read and tested without a
// clock.
//
// It returns what is known of w's source and of w, and the generation that may be
// served.
func (c *Cache) situationLocked(w *want, now clock.Moment) (*generation, situation) {
	e, r := w.entry, w.request
	g, state := e.state(w.bounds, c.grace, now)
	if w.acceptable(now) {
		g, state = w.brought, fresh
	}
	s := situation{
		mode: r.mode, value: state,
		running: w.running(now) != nil,
		failing: w.failing(now),
		pausing: w.pausing(),
		joined:  w.waits, answered: w.answered, persists: w.persists,
		over: w.over(),
	}
	if f := e.failure; f != nil {
		s.turnedAway = f.turnsAway(r.arrived, r.patience(), w.holds, now)
		news := w.answered
		if r.mode >= renewing {
			news = f.seq > r.after
		}
		s.refused = news && !f.nature.transient
	}
	if g != nil {
		s.renewed = g.fixed || e.answered > r.after
	}
	return g, s
}

// patience is how long r waits without an old value.
func (r *request) patience() time.Duration { return r.until.Sub(r.began) }

// failing reports whether w's source is known to fail, as far as w is concerned.
func (w *want) failing(now clock.Moment) bool {
	f := w.entry.failure
	return f.recent(now) && f.concerns(w.request.patience(), w.holds)
}

// acceptable reports whether w takes the value that came while it waited, however
// short the TTL is. What is later known has the last word, and a value that stood
// still on its way is as old as it is.
func (w *want) acceptable(now clock.Moment) bool {
	g := w.brought
	if g == nil || w.entry.failure != nil {
		return false
	}
	// A Cache behind this one that serves an old value could not refresh it either.
	if !g.slots[0].value.stale && now.Interrupted(g.at, maxTry) {
		return false
	}
	return w.try == nil || g.seq >= w.try.seq()
}

// outgrew reports whether w has to pause before its next try, because what came was
// too old when it came: after a freeze it tries again at once, but not on and on
// under a clock that is broken.
func (w *want) outgrew() bool {
	if w.brought == nil {
		return false
	}
	w.brought = nil
	w.outgrown++
	if w.outgrown == 1 {
		return false
	}
	w.pauseUntil = time.Now().Add(min(maxBackoff, 100*time.Millisecond<<min(w.outgrown, 5)))
	return true
}

// running returns the try that w waits for or may join, or nil. One that stood still
// over a freeze is not joined: what it is waiting for may never come.
func (w *want) running(now clock.Moment) *try {
	if w.isWaiting() && (w.thaws >= maxThaws || w.mayWaitFor(w.try, now)) {
		return w.try
	}
	if t := w.entry.try; w.mayWaitFor(t, now) {
		return t
	}
	return nil
}

// isWaiting reports whether w waits for a try that still runs.
func (w *want) isWaiting() bool { return w.waits && !w.try.done }

// mayWaitFor reports whether the result of t, which may be nil, will do for w.
func (w *want) mayWaitFor(t *try, now clock.Moment) bool {
	if !t.runs(now) {
		return false
	}
	return w.request.mode < renewing || t.seq() > w.request.after
}

// pausing reports whether the next try has to wait.
func (w *want) pausing() bool {
	return time.Now().Before(later(w.pauseUntil, w.retryAt()))
}

// limit returns when w gives up, which is sooner for who holds an old value: it has
// something to answer with, and its own caller is waiting as well.
func (w *want) limit() time.Time {
	if w.holds && w.staleUntil.Before(w.request.until) {
		return w.staleUntil
	}
	return w.request.until
}

// over reports whether w has to take what there is.
func (w *want) over() bool {
	switch {
	case w.request.ended != nil:
		return true
	case w.closing && w.try.done: // it has said its last words
		return true
	}
	limit := w.limit()
	if idle := !w.waits && !w.closing; idle && w.holds {
		limit = w.hurriesAt(limit) // a try that began now would be told to stop at once
	}
	return !time.Now().Before(limit)
}

// lastWords is the moment before the end of a wait in which a provider is told to stop: it
// may say what it was waiting for, or return what it has got.
func lastWords(wait time.Duration) time.Duration { return min(maxLastWords, wait/10) }

// hurriesAt is when w, which waits until limit, begins to wait for last words.
func (w *want) hurriesAt(limit time.Time) time.Time {
	return limit.Add(-lastWords(limit.Sub(w.request.began)))
}

// lookLocked notes whether w has an old value to take, which its own bounds allow.
// What is too old even for the variables of its source goes.
func (c *Cache) lookLocked(w *want, now clock.Moment) {
	c.dropLocked(w.entry, now)
	_, state := w.entry.state(w.bounds, c.grace, now)
	w.holds = state != missing && w.request.mode < renewing
}

// closeLocked lets w leave its try when its time is nearly up. If nobody else waits,
// or only callers with an old value, and the try has outlasted their patience, it is
// cancelled, and w gets what it says in its last words: a provider that returns all
// results at once hands over what it has. It reports whether w waits for those.
func (c *Cache) closeLocked(w *want) (closing bool) {
	limit := w.limit()
	if w.waits && !time.Now().Before(w.hurriesAt(limit)) {
		w.closing = true
		c.leaveLocked(w)
		// Who has its result, or came with little time, gives up nothing that others wait for.
		if outlasted := !w.try.done && w.outlasted(); outlasted && w.try.round.isUnneeded() {
			c.cancelLocked(w.try.round)
		}
	}
	return w.closing && !w.over()
}

// One timer serves all wants of a request: it fires at the earliest moment at which
// one of them has something to do, and all are looked at then.

// wakeAtLocked sees to it that r wakes up when w has something to do.
func (r *request) wakeAtLocked(w *want) {
	if w.settled {
		return
	}
	limit := w.limit()
	switch {
	case w.along:
		limit = w.alongUntil
	case w.waits:
		limit = w.hurriesAt(limit)
	case w.pausing():
		limit = earlier(limit, later(w.pauseUntil, w.retryAt()))
	}
	r.nextAt = earlier(r.nextAt, limit)
	if notice := r.began.Add(noticeAfter); time.Now().Before(notice) {
		r.nextAt = earlier(r.nextAt, notice)
	}
}

func (w *want) retryAt() (at time.Time) {
	if f := w.entry.failure; f != nil {
		at = f.retryAt
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// joinLocked makes w wait for t. Callers with an old value are counted apart: when
// only those are left, a try that takes too long is given up for all of them at once,
// and a provider that returns everything together hands over what it has.
func (c *Cache) joinLocked(w *want, t *try) {
	if w.waits && w.try == t {
		return
	}
	// First out, then in: the round that is left may be the last one's, and end.
	c.leaveLocked(w)
	w.try, w.waits, w.closing = t, true, false
	t.waiters++
	if t.waiters == 1 {
		t.round.waited++
	}
	if w.needs = !w.along && !w.holds; w.needs {
		t.round.needed++
	}
	c.registerLocked(w)
}

// A caller who pauses is no waiter of any try: nothing runs for it meanwhile, and a
// round that only such callers are left of ends.

// pauseLocked makes w wait until its source may be tried again.
func (c *Cache) pauseLocked(w *want) {
	c.leaveLocked(w)
	c.registerLocked(w)
}

// registerLocked adds w to those that are woken when something is booked for its
// source.
func (c *Cache) registerLocked(w *want) {
	// A want may join several tries one after the other, and is woken by each result.
	if !slices.Contains(w.entry.waiting, w) {
		w.entry.waiting = append(w.entry.waiting, w)
	}
}

// A round runs as long as one of its tries is waited for. The counts tell when that
// ends without a look at all tries: with a thousand sources, each result would cost a
// thousand steps otherwise.

// leaveLocked ends w's waiting for its try, and cancels a round that nobody waits for
// any more.
func (c *Cache) leaveLocked(w *want) {
	if !w.waits {
		return
	}
	w.waits = false
	t := w.try
	if w.needs {
		t.round.needed--
	}
	t.waiters--
	if t.waiters == 0 && !t.done {
		c.unwaitLocked(t.round)
	}
}

// Who books a result decides nothing for those who wait: it only wakes them. Each
// looks at what is known by then, which may be more than that result.

// wakeLocked makes all who wait for e look again, with the news that something is
// known of it, or without any.
func (c *Cache) wakeLocked(e *entry, news bool) {
	for _, w := range e.waiting {
		if news {
			w.answered, w.heardAt = true, time.Now()
		}
		if w.isReady {
			continue
		}
		w.isReady = true
		w.request.ready = append(w.request.ready, w)
		// One element is enough: the caller takes all that is ready when it wakes.
		select {
		case w.request.wake <- struct{}{}:
		default:
		}
	}
}

// settleLocked ends a want. The pause between tries ends with the last of those who
// waited: it spaces their tries, and must not delay who comes after them.
func (c *Cache) settleLocked(w *want) {
	c.leaveLocked(w)
	e := w.entry
	if i := slices.Index(e.waiting, w); i >= 0 {
		e.waiting = slices.Delete(e.waiting, i, i+1)
	}
	if len(e.waiting) == 0 {
		e.noticed = false
		if e.failure != nil {
			e.failure.retryAt = time.Time{} // it spaces the tries of callers who wait together
		}
	}
	w.settled = true
	w.request.open--
	if w.request.deliver != nil {
		w.request.settled = append(w.request.settled, w)
	}
	if !w.along {
		w.request.own--
		c.keepLocked(e)
	}
	c.forgetLocked(e)
}

// A value that is served is in use from then on, and refreshed with its neighbours.

// serveLocked settles w with g, which may be stale. What only a warm or a Refresh
// asked for is not in use yet, so that no refresh takes it along.
func (c *Cache) serveLocked(w *want, g *generation, s situation, now clock.Moment) {
	w.gen = g
	// What came while it waited is as fresh as can be, even under a TTL of zero.
	w.stale = g.stale(w.bounds, now) && !w.acceptable(now)
	if w.request.mode == reading {
		g.use()
	}
	if s.over && s.value != fresh {
		c.partLocked(w, true, now)
	}
	if w.stale {
		c.stats.Stale++
		c.noteStaleLocked(w.entry, g, now)
	}
	c.settleLocked(w)
}

// failLocked settles w with an error: the failure that is known, and where time
// decided that as well, so that errors.Is finds both.
func (c *Cache) failLocked(w *want, s situation, now clock.Moment) {
	e := w.entry
	if s.over {
		c.partLocked(w, s.mode >= renewing && e.gen.Load() != nil, now)
	}
	if f := e.failure; f != nil {
		w.err = f.err
	}
	// A failure that time did not cause is the whole truth. Otherwise the caller also
	// learns that its time was up.
	if !s.told(e.failure) {
		w.err = w.withTimeout(w.err)
	}
	c.settleLocked(w)
}

// told reports whether f, which may be nil, is all that a caller needs to know,
// whatever its context says: what turned it away, and a permanent failure, which more
// time would not cure. A Refresh does not repeat what is remembered.
func (s situation) told(f *failure) bool {
	switch {
	case s.refused:
		return true
	case s.turnedAway: // no window turns a Refresh away
		return s.mode != renewing
	}
	return s.mode < renewing && f != nil && !f.nature.transient
}

// withTimeout returns the error for a caller whose wait ended: the last failure if
// one is known, joined with the context's error.
func (w *want) withTimeout(known *ResolveError) *ResolveError {
	gone := w.request.ended
	if gone == nil {
		gone = context.DeadlineExceeded
	}
	if w.try == nil && w.request.mode >= renewing {
		known = nil // it was never tried: what is remembered is no result of a Refresh
	}
	if known == nil && w.try != nil {
		known = w.try.lastWords
	}
	if known == nil {
		return noAnswer(w.entry.source, gone, time.Since(w.request.began))
	}
	// A copy: the failure is remembered, and others have not waited as long.
	both := *known
	both.cause = errors.Join(known.cause, gone)
	return &both
}

// What a caller leaves behind is the most delicate part: it knows only that nothing
// came in its own time. So it never says more than that, and only to callers with as
// little.

// partLocked remembers what the leaving of w says of its source, see parting.
func (c *Cache) partLocked(w *want, holds bool, now clock.Moment) {
	e, r := w.entry, w.request
	p := parting{
		holds: holds, warming: r.mode == warming,
		cancelled: r.cancelled,
		tried:     w.try != nil,
		frozen:    w.try != nil && now.Interrupted(w.try.round.at, maxTry),
		known:     w.answered && e.failure.fresh(now),
		waited:    time.Since(w.heardAt),
	}
	if r.mode == warming && !holds {
		e.wanted = true
		if w.try != nil && !w.answered {
			// It is as slow as that at least: see keepsUp.
			e.took = time.Since(w.try.round.began)
		}
	}
	switch p.says() {
	case remember:
		if holds {
			e.failure.at = now // it opened while this caller tried again: the others come after it
		}
		c.openLocked(e.failure, jitter.Draw(), now)
	case silent:
		c.bookSilenceLocked(w, holds, now)
	}
}

// openLocked opens the next window of a failure. The number orders windows and
// requests: a caller that came before a window is never turned away by it.
func (c *Cache) openLocked(f *failure, draw float64, now clock.Moment) {
	c.windows++
	f.openWindow(c.windows, draw, now)
}

// bookSilenceLocked remembers that nothing came while w waited.
func (c *Cache) bookSilenceLocked(w *want, holds bool, now clock.Moment) {
	e := w.entry
	if w.try.seq() < e.answered {
		return // a later try was answered
	}
	// The wait without a word, over all tries that others gave up meanwhile: that is
	// what the next caller's time is compared with.
	waited := time.Since(w.heardAt)
	if e.failure == nil {
		e.failure = &failure{seq: w.try.seq()}
	}
	f := e.failure
	longer := !f.spoken() && f.silence < waited // what a try has said is more than silence
	if longer || !f.open(now) {
		f.err, f.silence = w.withTimeout(nil), waited
		f.nature = failureNature{transient: true, interrupted: true}
	}
	if counts := holds && w.outlasted(); counts && !w.try.timedOut {
		w.try.timedOut = true
		f.timeouts++
	}
	c.stats.Failures[f.err.kind.Error()]++
	if waited < staleTimeout {
		f.windows = 0 // who had so little time learned little: the window does not grow
	}
	c.openLocked(f, w.try.round.draw, now)
}

// outlasted reports whether w's patience was too short for its try: not the caller's own
// deadline, nor what was left of the patience when the try began, nor that of a probe.
func (w *want) outlasted() bool {
	if w.try.entry != w.entry || w.staleUntil.After(w.request.until) {
		return false
	}
	return time.Since(w.try.round.began) >= staleTimeout-maxLastWords
}

// noAnswer returns the error of a caller who got none. It says how long that caller
// waited, since another may have more time and be answered.
func noAnswer(source Ref, gone error, waited time.Duration) *ResolveError {
	problem := "no answer within " + waited.Round(time.Millisecond).String()
	if waited < time.Millisecond {
		problem = "the context had ended before a call could be made"
	}
	return &ResolveError{Ref: source, kind: ErrUnavailable, cause: gone, problem: problem}
}

// A value is dropped by whoever looks at it first after its time: nothing runs in the
// background that could do it on time.

// dropLocked drops a value that may not be served any more.
func (c *Cache) dropLocked(e *entry, now clock.Moment) {
	g := e.gen.Load()
	if g == nil {
		return
	}
	// References that were not declared have no bounds but their callers': each
	// judges for itself, and none drops what another may still have.
	if why := e.dropReason(g, e.bounds, c.grace, now); why != "" && e.declared {
		e.gen.Store(nil)
		c.noteDroppedLocked(e, g, why, now)
	}
}
