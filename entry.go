package secrets

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/jitter"
)

// This file holds what is known of one source: plain values and rules over them.
// Nothing here takes a lock, does I/O or reads a clock; the time is an argument.

const (
	maxWindow    = 30 * time.Second // in which a failure is remembered, see failure
	brokenLife   = 30 * time.Second // of a generation that lacks a declared field
	refreshShare = 0.9              // of a lifetime, after which a reader refreshes
)

// bounds are the limits under which a value may be served. Both count from its fetch.
type bounds struct {
	ttl      time.Duration // older values are refreshed before they are served
	maxStale time.Duration // older values are not served, unless the TTL is longer
}

// tighter returns the smaller of each bound.
func (b bounds) tighter(other bounds) bounds {
	return bounds{min(b.ttl, other.ttl), min(b.maxStale, other.maxStale)}
}

// A generation is what one fetch of a source brought. It is replaced whole, so that
// fields of one secret cannot be torn apart.
type generation struct {
	number uint64 // 1, 2, 3, … per source; the same for the same content
	seq    uint64 // results are ordered by it
	slots  []slot // the whole value, then entry.parts
	arn    string
	at     clock.Moment // just before the request was sent: the value is at least as new
	fixed  bool         // it can never change: ciphertext, a pinned version
	broken bool         // it lacks a declared field

	region  string  // the second one that the reference states, if it comes from there
	warning string  // of the backend, see Result
	share   float64 // of a TTL: the lifetime that was drawn for its round

	refreshAfter time.Duration // the age from which cached reads think twice, see entry.fresh
	used         atomic.Bool   // somebody has read it: a refresh of its neighbours takes it along
}

// A slot is the value of one part, or why there is none.
type slot struct {
	value Value
	err   *ResolveError
}

// life returns the age from which g is due under a TTL: the lifetime that was drawn,
// and less where a declared field is missing, because the next generation may have
// it.
func (g *generation) life(ttl time.Duration) time.Duration {
	life := time.Duration(g.share * float64(ttl))
	if g.broken {
		life = min(life, brokenLife)
	}
	return life
}

// drawLife returns the share of the TTL that a generation lives. A round draws once
// for all that it brings. Environments that started, were restored or thawed together
// would come back together, so their first lifetime is spread over nearly the whole
// TTL, and later ones over a tenth.
func drawLife(draw float64, together bool) float64 {
	if together {
		return 0.1 + 0.9*draw
	}
	return 0.9 + 0.1*draw
}

// within reports whether g is younger than d by both clocks. A clock that stepped
// back says nothing, so it is then not.
func (g *generation) within(d time.Duration, now clock.Moment) bool {
	return g.fixed || now.Within(d, g.at)
}

// slot returns the value of a part of e.
func (g *generation) slot(e *entry, p part) slot {
	if p == (part{}) {
		return g.slots[0]
	}
	if i := slices.Index(e.parts, p); i >= 0 {
		return g.slots[i+1]
	}
	v, err := g.slots[0].value.part(e.source, p)
	return slot{v, err}
}

// guarded returns a copy of g whose cached reads all think twice: a permanent failure
// is known, and the grace must end on time.
func (g *generation) guarded() *generation {
	h := &generation{number: g.number, seq: g.seq, slots: g.slots, arn: g.arn, at: g.at,
		fixed: g.fixed, broken: g.broken, share: g.share, region: g.region, warning: g.warning}
	h.used.Store(g.used.Load())
	return h
}

// An entry is one source.
type entry struct {
	source   Ref      // what is fetched
	group    group    // of source: what it may leave with
	shown    Ref      // the same, as the log may print it
	parts    []part   // declared ones, fixed before the first read
	names    []string // of declared variables, for the log
	declared bool
	optional bool   // for all variables: absence is no failure
	bounds   bounds // the tightest of all declared variables; the cache's own for others
	gen      atomic.Pointer[generation]

	searching atomic.Bool // a search goes on, or brought nothing that is known to work

	// The rest is under Cache.mu.
	failure *failure // since the last success, or nil
	try     *try     // the newest running try, which others may join, or nil
	waiting []*want  // what callers wait for: they are woken when something is booked
	booked  uint64   // seq of the newest try that brought a value or a permanent failure
	// answered is the seq of the newest try that brought a value, taken or not: a
	// Refresh is content with it, even if a pending value was adopted meanwhile.
	answered uint64
	content  uint64     // number of the last generation
	version  *versionOf // of the last generation
	last     clock.Moment
	wanted   bool          // a warm did not get it: the next round of its group takes it along
	took     time.Duration // that its last value came after, or a warm waited in vain
	suspect  int           // how far the search for a name that fails whole calls is
	asked    clock.Moment  // when it last left, or a probe that it waited for
	probed   uint64        // seq of the last round that asked it alone for its group
	cut      bool          // the last such try was given up too soon to tell anything
	probes   int           // of single names that failed since its last value
	noticed  bool          // it was logged that callers wait for it
	warned   string        // the last warning that was logged
	thawed   bool          // an error across a freeze was dropped: the next one counts
	region   string        // of the last generation, see generation
	search   *search
	kept     kept // its place among the references that were not declared
}

// fresh returns the generation of e if there is nothing to think about. With use it is
// the cached read: no lock and no allocation, two atomic loads, and one store per
// generation. Both are small enough for the compiler to put into their callers.
func (e *entry) fresh(now clock.Moment) *generation {
	g := e.gen.Load()
	if g == nil || !g.within(g.refreshAfter, now) {
		return nil
	}
	return g
}

// use marks g as read.
func (g *generation) use() {
	if !g.used.Load() {
		g.used.Store(true)
	}
}

// valueState says what may be done with the value that is in hand.
type valueState int

const (
	missing valueState = iota // nothing that may be served
	due                       // to be refreshed before it is served, and served if that fails
	dueSoon                   // to be served, and refreshed by one of its readers
	fresh                     // to be served
)

// state returns the state of the value of e for a caller with its own bounds.
func (e *entry) state(b bounds, grace time.Duration, now clock.Moment) (*generation, valueState) {
	g := e.gen.Load()
	switch {
	case g == nil, e.dropReason(g, b, grace, now) != "":
		return nil, missing
	case g.fixed:
		return g, fresh
	case !g.within(g.life(b.ttl), now):
		return g, due
	case e.failure.isPermanent(), !g.within(refreshAt(g.life(b.ttl)), now):
		return g, dueSoon
	}
	return g, fresh
}

// refreshAt returns the age from which one reader of a valid value refreshes it.
func refreshAt(life time.Duration) time.Duration {
	return time.Duration(refreshShare * float64(life))
}

// dropReason says why g may not be served any more, or nothing.
func (e *entry) dropReason(g *generation, b bounds, grace time.Duration, now clock.Moment) string {
	if g.fixed {
		return ""
	}
	age := now.Since(g.at)
	switch {
	case e.failure.isPermanent() && now.Since(e.failure.since) >= grace:
		return "its refresh has failed for the whole grace period"
	case age >= b.maxStale && age >= b.ttl:
		return "it is older than its stale bound"
	}
	return ""
}

// stale reports whether g has outlived the TTL of its reader.
func (g *generation) stale(b bounds, now clock.Moment) bool {
	return !g.fixed && now.Since(g.at) >= b.ttl
}

// lacks returns the error of a declared part that old has and g lacks, or nil: a new
// generation that lost a field is a permanent failure of the source, and the old one
// stays.
func (g *generation) lacks(old *generation) *ResolveError {
	if old == nil {
		return nil
	}
	for i, s := range g.slots {
		if s.err != nil && old.slots[i].err == nil {
			return s.err
		}
	}
	return nil
}

// A failure is what is remembered of a source since its last success.
type failure struct {
	err    *ResolveError
	nature failureNature // of err
	seq    uint64        // of the try that failed
	said   clock.Moment  // when it did

	// A window turns away callers who come while it is open: they get err, or the old
	// value. It opens when a try fails while an old value is in hand, when a failure
	// is permanent, and when a caller gives up with nothing in hand.
	at      clock.Moment  // when the window opened
	window  time.Duration // how long it is open; 0 before the first
	opened  uint64        // its number among all windows of the cache, see request.arrived
	windows int           // that opened since the last success
	silence time.Duration // if not 0, all that is known is that nothing came within that time

	// Between the tries of callers who wait there is a pause, the same for all of
	// them.
	retryAt time.Time
	tries   int  // that failed one after the other
	hurried bool // the last pause was cut short for a caller's last try

	permanent bool         // some failure was; since is the first
	since     clock.Moment // see permanent
	// timeouts are the callers with an old value that waited in vain: the next waits longer.
	timeouts int

	staleLogged, deniedLogged bool
}

// isPermanent reports whether some failure since the last success was permanent.
func (f *failure) isPermanent() bool { return f != nil && f.permanent }

// isTransient reports whether the last failure may be cured by a retry.
func (f *failure) isTransient() bool { return f != nil && f.nature.transient }

// spoken reports whether a try has said what is wrong, rather than nothing in time.
func (f *failure) spoken() bool { return f != nil && f.silence == 0 }

// fresh reports whether a try has said so lately: not before a freeze of hours.
func (f *failure) fresh(now clock.Moment) bool {
	return f.spoken() && now.Within(2*maxWindow, f.said)
}

// sharedWith reports whether f is the failure of a whole call, which other failed of, too.
func (f *failure) sharedWith(other *failure) bool {
	return f.nature.whole && f.seq == other.seq
}

// open reports whether the window is open.
func (f *failure) open(now clock.Moment) bool { return f != nil && now.Within(f.window, f.at) }

// recent reports whether the source is known to fail: one caller tries, and the
// others need not wait with it. A failure from before the longest windows is no news.
func (f *failure) recent(now clock.Moment) bool {
	if f.fresh(now) {
		return true // in a search for a bad name there may be no window yet
	}
	return f != nil && now.Within(2*maxWindow, f.at)
}

// openWindow opens the next window, unless one is open: 1 second, doubling to 30,
// less a share of a quarter that the round drew.
func (f *failure) openWindow(number uint64, draw float64, now clock.Moment) {
	if f.open(now) {
		return
	}
	f.windows++
	f.opened, f.at = number, now
	f.window = jitter.LessBy(min(maxWindow, time.Second<<min(f.windows-1, 5)), 0.25, draw)
}

// turnsAway reports whether an open window answers a caller who came when the window
// with the number arrived was the last to have opened.
func (f *failure) turnsAway(arrived uint64, has time.Duration, holds bool, now clock.Moment) bool {
	if !f.open(now) || f.opened > arrived {
		return false
	}
	return f.concerns(has, holds)
}

// concerns reports whether f says anything to a caller with so much time. Silence does
// only to those who would wait no longer than was waited in vain: who waits longer may
// well be answered.
func (f *failure) concerns(has time.Duration, holds bool) bool {
	switch {
	case f.spoken(): // a try has said what is wrong
		return true
	case holds: // it leaves when its patience ends, a moment before its time does
		has = min(has, staleTimeout)
		has -= lastWords(has)
	}
	return has <= f.silence
}
