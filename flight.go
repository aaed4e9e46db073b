package secrets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/deadline"
	"github.com/lambdasecrets/secrets/internal/jitter"
	"github.com/lambdasecrets/secrets/internal/parallel"
)

const (
	maxTry     = 30 * time.Second // a try that takes longer stood still
	maxBackoff = 2 * time.Second  // between the tries of callers who wait
	minAlong   = 50 * time.Millisecond
	maxAlong   = time.Second
	slowAnswer = maxAlong / 2 // who took longer delays those who do not

	outageProbes = 2 // names that fail alone: an outage
)

// A group is what may leave in one round: one scheme, Region and role.
type group struct {
	scheme       Scheme
	region, role string
}

func groupOf(source Ref) group {
	return group{source.Scheme(), source.Region(), source.Role()}
}

// A round is the tries of one group that left together. It draws its random numbers
// once, because numbers per source would spread what can be fetched together.
type round struct {
	cache  *Cache
	seq    uint64 // results are ordered by it
	at     clock.Moment
	began  time.Time
	draw   float64 // of lifetimes, windows and backoff
	retry  bool    // by a caller who has seen the last try fail
	tries  []*try
	cancel context.CancelFunc

	// The rest is under Cache.mu.
	waited      int       // tries that somebody waits for
	needed      int       // callers who wait and have no old value
	retryAt     time.Time // the next tries of what failed leave together, too
	cancelledAt time.Time // zero before that
}

// A try is one attempt to fetch one source. It belongs to nobody: who began it may
// leave first.
type try struct {
	round *round
	entry *entry
	call  *call

	// The rest is under Cache.mu.
	waiters  int
	done     bool // its result is booked, or was dropped
	timedOut bool // a caller with an old value gave up
	// lastWords are what the provider said when it was cancelled, or nil.
	lastWords *ResolveError
	held      []*entry // these wait for its result, see suspicion
}

func (t *try) seq() uint64 { return t.round.seq }

// A call is what the provider gets in one piece.
type call struct {
	tries []*try

	// Under Cache.mu: how many tries brought a value, and which entries got no answer
	// in time.
	answered   int
	unanswered []*entry
}

// Suspicion is how far the search is for a name that makes a whole call fail. Such a
// failure is either an outage, where every further call is a burden, or the fault of
// one name, which must not keep its neighbours from their values. So one name is
// asked alone, and its neighbours only once it was answered. Two names that both fail alone
// tell an outage: their batch is asked again then, because the call that ends an outage
// should bring all of them.
const (
	trusted    = iota // it leaves with all others
	outage            // two probes failed, too: it leaves with others like it
	failedOnce        // its call failed as a whole: it leaves with others like it
	probing           // again: one name of those is asked alone, and the others wait for its result
	cleared           // that one was answered: the others leave together once more
	apart             // that call failed, too: each is asked alone
)

// startLocked begins a try for each of wants, in one round per group. It is the only
// place where anything is asked of a provider, and always on behalf of a caller who
// waits.
func (c *Cache) startLocked(r *request, wants []*want, now clock.Moment) {
	byGroup := map[group][]*want{}
	for _, w := range wants {
		byGroup[w.entry.group] = append(byGroup[w.entry.group], w)
	}
	for g, wants := range byGroup {
		// Numbered under the lock, before the request is sent: a later number means a
		// later question, whichever answer comes first.
		c.seq++
		round := &round{cache: c, seq: c.seq, at: now, began: time.Now(), draw: jitter.Draw(),
			retry: wants[0].answered}
		// Values of the caller's context (spans, the width) go along; its end does
		// not, because others may wait for the same result.
		var ctx context.Context
		ctx, round.cancel = context.WithCancel(context.WithoutCancel(r.ctx))
		if r.mode >= renewing {
			ctx = context.WithValue(ctx, renewKey{}, true)
		}
		leaving, along := c.departuresLocked(r, g, wants, now)
		calls := c.collectLocked(round, leaving)
		for _, w := range slices.Concat(wants, along) {
			c.joinLocked(w, w.entry.try)
		}
		c.stats.Fetches += uint64(len(calls))
		go round.run(ctx, calls)
	}
}

// Three kinds of sources leave together: those that the caller wants; those whose
// callers pause before their next try, because one batch that failed is best asked
// again as one batch; and those that are due and in use, because they would each cost
// a call soon.

// departuresLocked returns the entries that leave in a round: those of wants, those
// of the group whose callers pause before their next try, and those that a refresh
// takes along. For the last it adds wants to r.
func (c *Cache) departuresLocked(r *request, g group, wants []*want, now clock.Moment) (
	leaving []*entry, along []*want,
) {
	var failing *failure
	var took time.Duration
	known := false
	for _, w := range wants {
		leaving = append(leaving, w.entry)
		took = max(took, w.entry.took)
		if w.entry.failure != nil {
			failing = w.entry.failure
		}
		if w.entry.declared || w.entry.gen.Load() != nil {
			known = true
		}
	}
	if r.mode >= renewing || !known {
		return leaving, nil // a Refresh asks for what it names; a new name brings no old ones
	}
	// A caller of one expired value pays for its neighbours too: they would each cost
	// a call of their own a moment later.
	isIn := map[*entry]bool{}
	for _, e := range leaving {
		isIn[e] = true
	}
	c.eachOf(g, !wants[0].entry.declared, func(e *entry) {
		switch {
		case isIn[e] || e.try.runs(now):
		case failing != nil && e.pausingCallers():
			leaving = append(leaving, e)
		case e.keepsUp(took) && e.comesAlong(failing, now):
			leaving = append(leaving, e)
			along = append(along, r.takeAlongLocked(e))
		}
	})
	return leaving, along
}

// eachOf calls f for the declared entries of a group, and with others also for all
// others.
func (c *Cache) eachOf(g group, others bool, f func(*entry)) {
	for _, e := range c.groups[g] {
		f(e)
	}
	if !others {
		return
	}
	c.kept.each(func(e *entry) {
		if e.group == g {
			f(e)
		}
	})
}

// runs reports whether t, which may be nil, runs and did not stand still over a
// freeze: what it waits for then may never come.
func (t *try) runs(now clock.Moment) bool {
	if t == nil || t.done {
		return false
	}
	return !now.Interrupted(t.round.at, maxTry)
}

// pausingCallers reports whether callers wait for e's next try after a transient
// failure: not those that took it along.
func (e *entry) pausingCallers() bool {
	own := func(w *want) bool { return !w.along }
	return e.failure.isTransient() && slices.ContainsFunc(e.waiting, own)
}

// keepsUp reports whether e may be expected to come in the time that a caller waits for
// what it takes along, if its own took so long last time. What hangs or is slow would
// delay a good one, by as much as a provider takes that answers all at once.
func (e *entry) keepsUp(took time.Duration) bool {
	return e.took <= max(slowAnswer, 2*took)
}

// comesAlong reports whether a refresh of its neighbours takes e along: it is due, or
// will be soon, and in use. What fails comes along only with what fails, so that it
// delays no good one, and while its window is open only with what failed in the same call:
// that is best asked again as one call, too.
func (e *entry) comesAlong(failing *failure, now clock.Moment) bool {
	if f := e.failure; f != nil {
		if failing == nil || !f.isTransient() {
			return false
		}
		if f.open(now) && !f.sharedWith(failing) {
			return false
		}
	}
	g := e.gen.Load()
	if g == nil {
		return e.wanted && e.suspect != apart
	}
	return g.used.Load() && !g.within(refreshAt(g.life(e.bounds.ttl)), now)
}

// takeAlongLocked adds e to r. Nothing runs unless a caller waits, so r waits for it
// as well, but not much longer than for its own.
func (r *request) takeAlongLocked(e *entry) *want {
	w := r.add(e, e.bounds)
	w.along = true
	w.alongUntil = r.until // while the caller waits for its own anyway
	r.open++
	return w
}

// hurryLocked limits how long r, which has its own results, waits for what it took
// along: as long again as it took so far, at least 50 ms and at most 1 s from the
// start.
func (c *Cache) hurryLocked(r *request) {
	for _, w := range r.wants {
		if w.settled || w.try == nil {
			continue
		}
		began := w.try.round.began
		limit := began.Add(min(maxAlong, max(minAlong, 2*time.Since(began))))
		limit = earlier(limit, later(time.Now(), r.began.Add(maxAlong)))
		w.alongUntil = earlier(w.alongUntil, limit)
		r.nextAt = earlier(r.nextAt, w.alongUntil)
	}
}

// stepAlongLocked settles what was taken along when it has its result, or when its
// time is up. What did not come in time is not taken along again until somebody reads
// it.
func (c *Cache) stepAlongLocked(w *want, now clock.Moment) {
	switch {
	case w.try == nil, w.try.done && !w.try.unanswered():
		c.settleLocked(w)
	case w.try.done, w.request.ended != nil || !time.Now().Before(w.alongUntil):
		c.leaveAlongLocked(w, now)
		c.settleLocked(w)
	}
}

// leaveAlongLocked gives up what was taken along. If its neighbours in the same call were
// answered, it stays behind from now on. If nobody was, it shares their silence and their
// window: in an outage what was asked in one call is asked in one call again.
func (c *Cache) leaveAlongLocked(w *want, now clock.Moment) {
	if now.Interrupted(w.try.round.at, maxTry) {
		return // a freeze says nothing of it
	}
	g := w.entry.gen.Load()
	silent := w.try.call.answered == 0 && w.request.ended == nil
	if silent && g != nil {
		c.bookSilenceLocked(w, true, now)
		return
	}
	if g != nil {
		g.used.Store(false)
	}
	w.entry.wanted = false
}

// Failures divide the sources. A throttle, a time-out or a lost connection says
// nothing of a name, so those leave with the good ones. A failure of its own keeps a
// name apart until it succeeds. A failure of the whole call may be either, see
// suspicion.

// collectLocked makes a try for each entry and divides the tries into calls. What
// failed on its own leaves alone, so that it takes no good one down with it.
func (c *Cache) collectLocked(r *round, leaving []*entry) (calls []*call) {
	// Good names and suspects never share a call: whatever the backend has against
	// one of them, it has against the whole of it.
	var good, suspects call
	var probes []*entry
	for _, e := range leaving {
		e.trustAgain(r.at)
		switch {
		case e.suspect == probing:
			probes = append(probes, e)
		case e.suspect == apart || e.failedAlone():
			calls = append(calls, c.tryLocked(r, e, &call{}))
		case e.suspect == trusted, e.suspect == cleared && e.failure == nil:
			c.tryLocked(r, e, &good)
		default:
			c.tryLocked(r, e, &suspects)
		}
	}
	for _, batch := range []*call{&good, &suspects} {
		if len(batch.tries) > 0 {
			calls = append(calls, batch)
		}
	}
	if len(probes) > 0 {
		calls = append(calls, c.probeLocked(r, probes))
	}
	return calls
}

// trustAgain ends a suspicion that is older than any failure that is news: nobody waits
// for a probe because of an outage that ended long ago.
func (e *entry) trustAgain(now clock.Moment) {
	if e.suspect != apart && !now.Within(2*maxWindow, e.asked) {
		e.suspect, e.probes = trusted, 0
	}
	e.asked = now
}

// failedAlone reports whether e failed for a reason that is its own: not by a
// throttle, a time-out or a lost connection, which say nothing of a name, nor with
// its whole call.
func (e *entry) failedAlone() bool {
	f := e.failure
	if !f.spoken() || f.nature.interrupted {
		return false
	}
	return !f.nature.whole
}

// A caller has at most one try that it waits for, and a source at most one that
// newcomers join. Older ones may still run, for those who began with them.

// tryLocked makes a try of e in a call, and lets everybody wait for it who has no
// other.
func (c *Cache) tryLocked(r *round, e *entry, in *call) *call {
	t := &try{round: r, entry: e, call: in}
	in.tries = append(in.tries, t)
	r.tries = append(r.tries, t)
	c.adoptWaitersLocked(e, t)
	return in
}

// adoptWaitersLocked makes t the try of e: those who pause, or wait for one that
// stood still, wait for t.
func (c *Cache) adoptWaitersLocked(e *entry, t *try) {
	// From now on newcomers join t. Those who wait for an older try that still runs
	// stay with it: they are woken by whatever is booked first.
	e.try = t
	for _, w := range e.waiting {
		switch {
		case w.isReady, w.closing: // it has its result and looks at it next, or leaves
		case w.waits && w.try.runs(t.round.at):
		default:
			c.joinLocked(w, t)
		}
	}
}

// In an outage a probe costs one call where the batches of its group would cost many,
// and each further round asks another name, so that a bad one is no probe for ever.

// probeLocked asks one of the entries alone, the one that was so asked longest ago.
// The others wait for its result.
func (c *Cache) probeLocked(r *round, entries []*entry) *call {
	longestAgo := func(a, b *entry) int { return cmp.Compare(a.probed, b.probed) }
	first := slices.MinFunc(entries, longestAgo)
	first.probed = r.seq
	in := c.tryLocked(r, first, &call{})
	t := in.tries[0]
	for _, e := range entries {
		if e != first {
			t.held = append(t.held, e)
			c.adoptWaitersLocked(e, t)
		}
	}
	return in
}

// run makes the calls of a round, as many at once as the width of ctx. Each result is
// booked when it comes.
func (r *round) run(ctx context.Context, calls []*call) {
	defer r.cancel()
	ctx = withFailover(ctx, r.nothingToServe)
	var batches, alone []*call
	for _, c := range calls {
		if len(c.tries) > 1 {
			batches = append(batches, c)
		} else {
			alone = append(alone, c)
		}
	}
	// A batch may be many calls of the backend, so all of them together share the
	// width. Those that leave alone take no more of it than they need.
	parts := len(batches) + min(1, len(alone))
	few := min(len(alone), max(1, parallel.WidthOf(ctx)/parts))
	rest := parallel.WithWidth(ctx, parallel.WidthOf(ctx)-few)
	shared := parallel.Shared(rest, len(batches))
	parallel.Do(ctx, parts, func(i int) {
		if i < len(batches) {
			r.fetch(shared, batches[i])
			return
		}
		each := func(k int) { r.fetch(ctx, alone[k]) }
		parallel.Do(parallel.WithWidth(ctx, few), len(alone), each)
	})
}

// fetch makes one call.
func (r *round) fetch(ctx context.Context, c *call) {
	refs := make([]Ref, len(c.tries))
	for k, t := range c.tries {
		refs[k] = t.entry.source
	}
	stream(ctx, r.cache.next, refs, func(k int, res Result) { r.cache.deliver(c.tries[k], res) })
}

// nothingToServe reports whether the second Region of a source may be asked: an old
// value is better than one from there, unless it is too old for somebody who waits.
// Nor is it asked for what the first one refused last: that may still stand there. A
// Refresh and a search have nothing from there.
func (r *round) nothingToServe(source Ref) bool {
	i := slices.IndexFunc(r.tries, func(t *try) bool { return t.entry.source == source })
	if i < 0 {
		return false
	}
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	e := r.tries[i].entry
	return !e.failure.isPermanent() && slices.ContainsFunc(e.waiting, func(w *want) bool {
		return w.needs && w.request.mode < renewing
	})
}

// Nothing runs in the background: a sandbox may be frozen as soon as the last caller
// has its answer, and a call that was frozen half-way would fail, or be late, after
// the thaw.

// cancelLocked ends a round that nobody waits for any more. Values that it still
// brings are kept.
func (c *Cache) cancelLocked(r *round) {
	// Nobody joins it from here on; its tries stay open until the provider has
	// returned, since what it still brings counts.
	r.cancelledAt = time.Now()
	r.cancel()
	for _, t := range r.tries {
		t.detachLocked(t.entry)
		for _, e := range t.held {
			t.detachLocked(e)
		}
	}
}

func (r *round) cancelled() bool { return !r.cancelledAt.IsZero() }

// detachLocked makes t no longer the try of e.
func (t *try) detachLocked(e *entry) {
	if e.try == t {
		e.try = nil
	}
}

// An outcome is what a try brought: a generation, or a failure and what it means. All
// that calls code of others (errors of providers) is done before the lock is taken.
type outcome struct {
	gen *generation
	err *ResolveError
	failureNature
}

// failureNature is what a failure means for the source and its neighbours.
type failureNature struct {
	transient   bool // a retry may cure it
	interrupted bool // it says nothing of the names in the call
	whole       bool // its call failed as a whole
	refused     bool // by an answer that an outage hardly gives
	givenUp     bool // it says only that the call was cancelled
	cancelled   bool // the same, and nothing else
	text        int  // bytes of the provider's own error

	configuration string // what is wrong with it, or nothing
}

// natureOf returns what a failure means. It asks the provider's own error, which may
// call the cache, and so holds no lock.
func natureOf(err *ResolveError) failureNature {
	text := textOf(err.cause)
	n := failureNature{text: len(text),
		transient: err.transient(), interrupted: err.interrupted(),
		whole: err.wholeCall, refused: err.blamesRequest(), givenUp: err.givenUp(),
		cancelled: errors.Is(err, context.Canceled)}
	if err.kind == ErrConfiguration {
		n.configuration = err.problem + text
	}
	return n
}

// textOf returns the text of a provider's own error, and nothing where there is none, or
// where asking for it panics.
func textOf(err error) (text string) {
	defer func() { _ = recover() }() // from nil, too
	return err.Error()
}

// outcomeOf returns what a result means for e. An error whose methods panic, as those
// of a nil pointer may, is a garbled answer.
func outcomeOf(e *entry, shown Ref, res Result, asked, now clock.Moment) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			problem := fmt.Sprintf("the provider's error panicked with a %T", p)
			o = outcome{err: garbledError("", e.source, problem)}
			o.failureNature = natureOf(o.err)
		}
	}()
	o.gen, o.err = e.parse(shown, res, asked, now)
	if o.err == nil {
		o.err = o.gen.lacks(e.gen.Load())
	}
	if o.err != nil {
		o.gen, o.failureNature = nil, natureOf(o.err)
		if res.whole && o.transient && !o.interrupted {
			o.whole = true // a provider of somebody else's does not say so itself
		}
	}
	if o.err != nil && o.err.outgrown {
		// A tree past its limits was good: it is served as through an outage.
		o.transient = e.gen.Load() != nil
	}
	return o
}

// nowOr reads both clocks, or takes at if the clock panics: callers see the panic at
// their own readings, and a try that it ended would never be booked.
func (c *Cache) nowOr(at clock.Moment) (now clock.Moment) {
	defer func() {
		if recover() != nil {
			now = at
		}
	}()
	return c.now()
}

// deliver books the result of t, on the provider's goroutine. It may come long after
// everybody has left, after a newer one, or after a freeze: each rule about that
// stands here or in what it calls, and nowhere else. No second one comes: see deliveries.
func (c *Cache) deliver(t *try, res Result) {
	now := c.nowOr(t.round.at)
	c.mu.Lock()
	shown := t.entry.shown // a Resolve of the same source may change it
	c.mu.Unlock()
	o := outcomeOf(t.entry, shown, res, t.round.at, now)
	if o.err != nil {
		o.err = c.withoutValues(o.err, t.entry)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// The order matters: results first, then who waits, and the round last, because
	// it may be over now.
	t.done = true // nobody joins it any more
	var news bool
	if o.gen != nil {
		news = c.installLocked(t, o.gen)
	} else {
		news = c.bookFailureLocked(t, o, now)
	}
	c.releaseHeldLocked(t, o, now)
	c.wakeLocked(t.entry, news)
	c.keepLocked(t.entry)
	c.forgetLocked(t.entry) // those who gave up before the whole round did could not
	if t.waiters > 0 {
		c.unwaitLocked(t.round)
	}
}

// isUnneeded reports whether r runs for callers alone who have an old value.
func (r *round) isUnneeded() bool { return r.needed == 0 && !r.cancelled() }

// unwaitLocked takes note that one try less of a round is waited for. When there is
// none, what still runs is cancelled.
func (c *Cache) unwaitLocked(r *round) {
	r.waited--
	if r.waited == 0 {
		c.cancelLocked(r)
	}
}

// parse checks a result and parses its fields.
func (e *entry) parse(shown Ref, res Result, asked, now clock.Moment) (*generation, *ResolveError) {
	switch {
	case res.Err != nil:
		err := providerError(e.source, res.Err)
		if err == nil || err.kind == nil {
			err = garbledError("", e.source, "the provider returned an empty *ResolveError")
		}
		return nil, err.forVariable("", shown)
	case res.Value.IsZero():
		return nil, garbledError("", e.source, "the provider returned neither a value nor an error")
	case len(res.Value.d.plain()) > maxValue:
		return nil, &ResolveError{Ref: e.source, kind: ErrInvalidReference,
			problem: "the value is larger than 4 MiB"}
	}
	if res.age > 0 { // it comes from a Cache, which knows how old it is
		asked = clock.Moment{Wall: now.Wall - int64(res.age), Mono: now.Mono - int64(res.age)}
	}
	return e.generation(res, asked), nil
}

// generation makes a generation of a result, without what installing it decides.
func (e *entry) generation(res Result, at clock.Moment) *generation {
	// Every declared part is parsed now, once, so that a cached read is a look into a
	// slice.
	g := &generation{arn: res.ARN, at: at, warning: res.warning, region: res.region,
		fixed: e.source.data().Fixed(),
		slots: make([]slot, 1, 1+len(e.parts))}
	g.slots[0].value = res.Value.stamped(at)
	for _, p := range e.parts {
		v, err := g.slots[0].value.part(e.source, p)
		g.slots = append(g.slots, slot{v, err})
		g.broken = g.broken || err != nil
	}
	return g
}

// A value is as old as its question, whoever still waits for it: it is judged by its
// true age when it is served. So even a late one is kept, unless something newer is
// known.

// installLocked makes g the value of t's source, unless a later try has brought one,
// or a permanent failure: that was news to those who wait when it was booked, and those
// who came since wait for another.
func (c *Cache) installLocked(t *try, g *generation) (news bool) {
	e := t.entry
	// Even a value that is too late to be served says that its neighbours could be
	// answered.
	t.call.answered++
	t.call.setApart()
	e.answered = max(e.answered, t.seq())
	if t.seq() <= e.booked {
		return false
	}
	g.seq = t.seq()
	if e.took = time.Since(t.round.began); t.round.cancelled() {
		e.took = 0 // it may have waited for its neighbours in the call
	}
	c.setLocked(e, g, t.round.draw)
	e.suspect = t.suspicionAfterValue()
	if !g.slots[0].value.stale { // else another Cache could not refresh it
		e.failure, e.probes, e.wanted, e.thawed = nil, 0, false, false
		c.stats.Values++
	}
	for _, w := range e.waiting {
		w.brought, w.broughtAt = g, time.Now()
	}
	return true
}

// Environments that start together would also refresh together, again and again: the
// lifetimes that are drawn drive them apart.

// setLocked gives g its lifetime and its number, and serves it from now on.
func (c *Cache) setLocked(e *entry, g *generation, draw float64) {
	// A cold start, a restore or a long freeze: others had one at the same moment.
	together := e.content == 0 || g.at.Parted(e.last) > e.bounds.ttl
	g.share = drawLife(draw, together)
	g.refreshAfter = refreshAt(g.life(e.bounds.ttl))
	if g.warning != "" && g.warning != e.warned {
		c.noteLocked(slog.LevelWarn, "secrets.tree", e, nil, "warning", g.warning)
	}
	e.warned = g.warning
	c.noteRegionLocked(e, g)
	// The number tells a Do whether another generation is another content. A refresh
	// that brings the same content is no news to it.
	if old := e.gen.Load(); old == nil || !old.slots[0].value.same(g.slots[0].value) {
		e.content++
	}
	g.number, e.last, e.booked = e.content, g.at, g.seq
	c.noteVersionLocked(e, g)
	e.gen.Store(g)
}

// suspicionAfterValue returns how far a source is trusted that was answered. One that
// was asked alone may be asked with others again, but after the first failure of such
// a call it is asked alone at once.
func (t *try) suspicionAfterValue() int {
	if len(t.call.tries) == 1 && t.entry.suspect >= probing {
		return cleared
	}
	return trusted
}

// bookFailureLocked remembers that t failed, if that is news: see the cases. It
// reports whether those who wait know more now.
func (c *Cache) bookFailureLocked(t *try, o outcome, now clock.Moment) (news bool) {
	e := t.entry
	switch {
	case t.outdated(e):
		return false
	case o.givenUp && t.round.cancelled():
		c.bookUnansweredLocked(t, o)
		return false
	case now.Interrupted(t.round.at, maxTry) && !e.thawed:
		e.thawed = true
		return false // an error across a freeze is about the freeze: who waits tries again, once
	case o.transient && t.isLate():
		return false
	}
	c.recordLocked(e, t, o, now)
	return true
}

// outdated reports whether a later try knows better than a failure of t. A caller who
// waited for a later one in vain does not.
func (t *try) outdated(e *entry) bool {
	if e.failure.spoken() && t.seq() < e.failure.seq {
		return true
	}
	return t.seq() <= e.booked
}

// isLate reports whether nobody waits for t and its round was cancelled a while ago, so
// that an error is no news. What a provider says when it is cancelled is: it may return
// what it has got.
func (t *try) isLate() bool {
	mine := func(w *want) bool { return w.try == t }
	awaited := func(e *entry) bool { return slices.ContainsFunc(e.waiting, mine) }
	if awaited(t.entry) || slices.ContainsFunc(t.held, awaited) {
		return false
	}
	return t.round.cancelled() && time.Since(t.round.cancelledAt) > maxLastWords
}

// bookUnansweredLocked: t was cancelled, which says nothing of the source, but
// perhaps which host did not answer.
func (c *Cache) bookUnansweredLocked(t *try, o outcome) {
	if !o.cancelled {
		t.lastWords = o.err
	}
	t.call.unanswered = append(t.call.unanswered, t.entry)
	t.call.setApart()
	t.call.suspectSilence()
}

// unanswered reports whether t was cancelled before there was a result.
func (t *try) unanswered() bool { return slices.Contains(t.call.unanswered, t.entry) }

// setApart has the entries without an answer asked alone from now on, if their
// neighbours in the same call were answered: a provider that returns all results at
// once makes them wait for each other.
func (c *call) setApart() {
	if c.answered == 0 {
		return // it may be an outage
	}
	for _, e := range c.unanswered {
		e.suspect = apart
	}
}

// suspectSilence moves the search for a bad name on where a whole call was cancelled
// without a result: one name that hangs may be the reason, as well as an outage.
func (c *call) suspectSilence() {
	if len(c.tries) < 2 || len(c.unanswered) < len(c.tries) {
		return
	}
	for _, e := range c.unanswered {
		e.suspectWhole(failureNature{transient: true, whole: true})
	}
}

// Three things follow from a failure, and each has its own owner: the window, which
// is for callers who come later; the pause, which is for those who wait; and the
// grace, which is for the old value.

// recordLocked makes the outcome of t the failure of e.
func (c *Cache) recordLocked(e *entry, t *try, o outcome, now clock.Moment) {
	c.stats.Failures[o.err.kind.Error()]++
	if e.failure == nil {
		e.failure = &failure{}
	}
	f := e.failure
	f.err, f.seq, f.silence, f.nature = o.err, t.seq(), 0, o.failureNature
	f.said = now
	f.tries++
	e.thawed = false
	// A denial orders later results as a value does: an older value must not undo it.
	if !o.transient {
		e.booked = t.seq()
		c.recordPermanentLocked(e, o, now)
	}
	// A step of the search for a bad name is no backoff step: its neighbours are
	// waiting.
	atOnce := e.suspectWhole(o.failureNature)
	f.retryAt = c.retryAtLocked(e, t.round, atOnce)
	switch holds := e.gen.Load() != nil; {
	case atOnce:
	case !holds && o.transient: // who gives up opens it
	case f.open(now), t.round.retry && f.window > 0:
		// It opened for another reason, or callers who were there tried again: it begins
		// anew and does not grow.
		f.at = now
	default:
		c.openLocked(f, t.round.draw, now)
	}
	if !e.declared {
		c.noteUndeclaredLocked(e, o.err, now)
	}
}

// knownConfigLocked reports whether a configuration that is so wrong was logged already: it
// takes every source down alike, and one line tells it.
func (c *Cache) knownConfigLocked(configuration string) bool {
	known := configuration != "" && configuration == c.badConfig
	c.badConfig = configuration
	return known
}

// recordPermanentLocked begins the grace, and logs the failure unless it is the
// absence of what is optional.
func (c *Cache) recordPermanentLocked(e *entry, o outcome, now clock.Moment) {
	f := e.failure
	forgiven := e.optional && o.err.kind == ErrNotFound
	if told := f.deniedLogged || c.knownConfigLocked(o.configuration); !told && !forgiven {
		f.deniedLogged = true
		c.noteLocked(slog.LevelError, "secrets.denied", e, o.err)
	}
	if f.permanent {
		return
	}
	f.permanent, f.since = true, now
	if g := e.gen.Load(); g != nil && !g.fixed {
		e.gen.Store(g.guarded())
	}
}

// suspectWhole moves the search for the name that fails whole calls one step on, and
// reports whether the next step should be taken at once. An unknown 4xx is hardly an
// outage; a 5xx may be, and gets a second chance.
func (e *entry) suspectWhole(n failureNature) (atOnce bool) {
	if !n.whole {
		return false
	}
	switch {
	case e.suspect == trusted && !n.refused:
		e.suspect = failedOnce
		return false
	case e.suspect == trusted:
		e.suspect = probing
		return true
	case e.suspect == outage:
		e.suspect = failedOnce
		return false
	case e.suspect == failedOnce:
		e.suspect = probing
		return false
	case e.suspect == cleared:
		e.suspect = apart
		return true
	}
	return false
}

// retryAtLocked returns when callers who wait may try e again: after a backoff that
// the round drew, or a little earlier if that is the last chance of one of them.
func (c *Cache) retryAtLocked(e *entry, r *round, atOnce bool) time.Time {
	if atOnce {
		return time.Time{}
	}
	// Tries of one round that fail one after the other wait for the same moment, so
	// that they leave in one call again.
	now := time.Now()
	if now.Before(r.retryAt) {
		return r.retryAt
	}
	f := e.failure
	longest := min(maxBackoff, 100*time.Millisecond<<min(f.tries-1, 5))
	backoff := jitter.LessBy(longest, 0.5, r.draw)
	// The source's time moves, not each caller's: 64 callers would make 64 last tries.
	// Nor does it move twice in a row, for callers who leave one after the other.
	left := e.shortestLeft(now)
	f.hurried = left < backoff && !f.hurried
	if f.hurried {
		backoff = jitter.LessBy(left, 0.2, r.draw)
	}
	r.retryAt = now.Add(backoff)
	return r.retryAt
}

// shortestLeft returns the least time that one of those who wait for e has for a last
// try, if it is less than a backoff.
func (e *entry) shortestLeft(now time.Time) time.Duration {
	least := maxBackoff
	for _, w := range e.waiting {
		left := w.request.until.Sub(now) - deadline.Reserve
		if w.persists && left > deadline.Reserve {
			least = min(least, left)
		}
	}
	return least
}

// A probe stands for all that wait for it. If it is answered, the backend is well,
// and one of the others is at fault: they leave together once more, and apart after
// that. If it fails likewise, all of them have failed once more, at the cost of one
// call.

// releaseHeldLocked tells the entries that waited for a probe its result: they may
// leave together if it was answered, and share its failure if not.
func (c *Cache) releaseHeldLocked(t *try, o outcome, now clock.Moment) {
	if len(t.held) == 0 {
		return
	}
	cut := t.cutShort(o)
	if cut && !t.entry.cut {
		t.entry.probed = 0 // it is its turn once more
	}
	if t.entry.cut = cut; cut {
		for _, e := range t.held {
			c.wakeLocked(e, false)
		}
		return
	}
	answered := !o.transient // by a value or a permanent failure
	for _, e := range t.held {
		c.shareProbeLocked(e, t, o, now)
		if answered && e.failure != nil {
			e.failure.retryAt, e.failure.window = time.Time{}, 0
		}
		// An answered probe says nothing of those that waited for it: each is asked now.
		c.wakeLocked(e, !answered && !o.givenUp)
	}
	if !answered {
		t.entry.outageProbed(o)
	}
}

// cutShort reports whether a probe was given up before its answer could be expected, which
// is no sign of an outage.
func (t *try) cutShort(o outcome) bool {
	if !o.givenUp || !t.round.cancelled() {
		return false
	}
	return time.Since(t.round.began) < max(minAlong, min(staleTimeout, 2*t.entry.took))
}

// shareProbeLocked tells one entry that waited for the probe t what came of it.
func (c *Cache) shareProbeLocked(e *entry, t *try, o outcome, now clock.Moment) {
	switch {
	case e.suspect != probing: // an older try brought its value meanwhile
	case !o.transient && e.failedAsProbe():
		e.suspect = apart
	case !o.transient:
		e.suspect = cleared
	case o.givenUp && t.round.cancelled():
		e.outageProbed(o)
	case !t.outdated(e) && !t.isLate():
		c.recordLocked(e, t, o, now)
		e.outageProbed(o)
	}
}

// failedAsProbe reports whether e was asked alone before, and failed while others were
// answered: not if that was an outage, or silence.
func (e *entry) failedAsProbe() bool {
	if !e.failure.spoken() {
		return false
	}
	return e.probed > 0 && e.probes < outageProbes
}

// outageProbed: a probe failed as the whole call did, so it is an outage, or the bad name
// itself. Another name is probed next, whose failure would not be its own, either.
func (e *entry) outageProbed(o outcome) {
	if e.suspect != probing {
		return
	}
	if e.failure != nil {
		e.failure.nature.whole = true // it stands for the whole call
	}
	if o.givenUp || !o.interrupted {
		e.probes++
	}
	if e.probes >= outageProbes {
		e.suspect = outage
	}
}
