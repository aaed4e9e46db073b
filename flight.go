package secrets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/deadline"
	"github.com/lambdasecrets/secrets/internal/guard"
)

// group is what leaves in one flight: one scheme and Region, and the good apart from the failed.
type group struct {
	scheme  Scheme
	region  string
	passing bool   // the last flight failed for a passing reason
	alone   *entry // the last flight failed for a lasting one: what AWS refuses would take a batch of good ones down with it
}

func groupOf(e *entry) group {
	g := group{scheme: e.source.Scheme(), region: e.source.Region()}
	if e.fail != nil {
		if g.passing = e.fail.err.passing(); !g.passing {
			g.alone = e
		}
	}
	return g
}

// launch starts a flight per group for the asks that need one. A flight takes along what else of its group is due, or soon, and in use.
func (c *Cache) launch(ctx context.Context, asks []*ask, m mode, now clock.Moment) {
	flights := map[group]*flight{}
	for _, a := range asks {
		key := groupOf(a.entry)
		f := flights[key]
		if f == nil {
			c.flights++
			f = &flight{cache: c, start: c.flights, at: now, begun: time.Now(), search: a.search, warm: m == warming, once: m == reading, returned: make(chan struct{})}
			flights[key] = f
		}
		f.add(a.entry)
		a.join(a.entry.call)
	}
	for key, f := range flights {
		if m != renewing && key.alone == nil {
			for _, e := range c.entries {
				if e.call == nil && groupOf(e) == key && e.inUse(now) && !e.fail.resting(now) {
					f.add(e)
				}
			}
		}
		flightCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f.cancel = cancel
		go f.run(flightCtx)
	}
}

// inUse reports whether a flight of e's group should take e along.
func (e *entry) inUse(now clock.Moment) bool {
	g := e.gen.Load()
	if g == nil {
		return e.wanted
	}
	return g.read.Load() && !g.within(g.soon, now)
}

// A flight is one running fetch of several sources of one scheme and Region, on behalf of the callers that wait for them. It belongs to nobody: who
// began it may leave first.
type flight struct {
	cache    *Cache
	begun    time.Time
	search   uint64 // the number of the one it was begun for, or 0
	cancel   context.CancelFunc
	returned chan struct{} // closed when run returned

	// The rest stands under Cache.mu.
	start   uint64       // of the running try: answers are ordered by it
	at      clock.Moment // likewise
	calls   []*call      // that are not settled
	waiters int
	until   time.Time // when the most patient of them leaves
	warm    bool      // a warm waits: a passing failure opens no window
	once    bool      // no second try: old values are in hand, and good yet or the backend is known to fail
	over    bool      // nobody waits any more, or all is settled: answers are dropped
	gone    error     // why the last caller with a reason left
}

// A call is one source's part of a flight.
type call struct {
	entry  *entry
	flight *flight
	done   chan struct{} // closed when it is settled
	gen    *generation
	err    *ResolveError // of the last try
	again  bool          // abandoned: who waits must ask anew
	cut    bool          // given up without an answer; err says only that
}

func (f *flight) add(e *entry) {
	g := e.gen.Load()
	f.once = f.once && g != nil && (e.fail != nil || g.within(g.life, f.at))
	e.call, e.used = &call{entry: e, flight: f, done: make(chan struct{})}, f.start
	f.calls = append(f.calls, e.call)
}

// run fetches until every call is settled or nobody waits any more.
func (f *flight) run(ctx context.Context) {
	c := f.cache
	defer close(f.returned)
	defer f.cancel()
	open, thawed := f.calls, false
	for try := 0; ; try++ {
		at := c.now() // before the request is sent: an answer that waited in a socket while the sandbox was frozen is as old as its question
		c.mu.Lock()
		c.flights++
		f.start, f.at = c.flights, at
		c.stats.Rounds++
		c.mu.Release()
		answers, draw := c.fetch(ctx, open, at), awsclient.Rand()
		c.mu.Lock()
		now := c.now()
		if f.over {
			for i, call := range open {
				call.late(answers[i])
			}
			c.mu.Release()
			return
		}
		if now.Interrupted(at, longest) && !thawed {
			thawed = true // ask once more: it is from before the freeze
			c.mu.Release()
			continue
		}
		open = f.take(open, answers, draw, now)
		f.calls, f.over = open, len(open) == 0
		left := time.Until(f.until) - deadline.Reserve
		c.mu.Release() // what is to be logged is written by those who wait, before they return: the sandbox may be frozen then
		if len(open) == 0 {
			return
		}
		backoff := awsclient.Jitter(min(maxBackoff, 100*time.Millisecond<<min(try, 5)), 0.5)
		if backoff > left && left > deadline.Reserve {
			backoff = awsclient.Jitter(left, 0.2) // a last try, while there is somebody to wait for it
		}
		pause := time.NewTimer(backoff)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// take settles the calls that have their answer, under mu, and returns the others, which are to be tried again.
func (f *flight) take(open []*call, answers []answer, draw float64, now clock.Moment) (retry []*call) {
	c := f.cache
	for i, call := range open {
		if call.err = answers[i].err; call.err == nil {
			call.err = c.install(call, answers[i].gen, draw, now)
		}
		if call.err == nil || call.err.kind == ErrNotFound {
			call.entry.renewed = max(call.entry.renewed, f.search)
		}
		switch {
		case call.err == nil:
			call.settle()
		case call.err.passing() && !f.once:
			retry = append(retry, call)
		default:
			c.failed(call, draw, now)
			call.settle()
		}
	}
	return retry
}

// settle ends the call, under mu.
func (call *call) settle() {
	if call.entry.call == call {
		call.entry.call = nil
	}
	close(call.done)
}

// An answer is what a try brought for one source: a generation or an error.
type answer struct {
	gen   *generation
	err   *ResolveError
	ended bool // err says that ctx was cancelled
}

// fetch asks the provider, and parses what it brings, without a lock. A provider that panics or miscounts fails these references and takes nothing down.
func (c *Cache) fetch(ctx context.Context, calls []*call, at clock.Moment) []answer {
	refs, answers := make([]Ref, len(calls)), make([]answer, len(calls))
	for i, call := range calls {
		refs[i] = call.entry.source
	}
	problem := guard.Call(func() string {
		results := c.next.Fetch(ctx, refs)
		if len(results) != len(calls) {
			return fmt.Sprintf("the provider returned %d results for %d references", len(results), len(calls))
		}
		for i, r := range results {
			answers[i] = calls[i].entry.answer(r, at)
		}
		return ""
	})
	if problem != "" {
		for i, call := range calls {
			answers[i] = answer{err: garbledError("", call.entry.source, problem)}
		}
	}
	return answers
}

// land ends a flight that nobody waits for any more, under mu. It reports whether the provider has not said yet what is wrong.
func (c *Cache) land(f *flight) (silent bool) {
	f.over = true
	f.cancel()
	now, draw, after := c.now(), awsclient.Rand(), time.Since(f.begun)
	for _, call := range f.calls {
		e := call.entry
		switch {
		case f.gone == context.Canceled && call.err == nil:
			// Whoever asked changed their mind. That says nothing about the backend.
		case call.err != nil:
			c.failed(call, draw, now)
		case c.servable(e, now) != nil || after >= patience:
			call.err, call.cut = call.err.orGone(e.source, context.DeadlineExceeded, after), true
			c.failed(call, draw, now)
			if e.fail != nil {
				e.fail.cuts++
			}
			silent = true
		default:
			silent = f.gone != nil
		}
		e.wanted = e.wanted || f.warm && e.gen.Load() == nil
		call.settle()
	}
	return silent
}

// late takes what the provider said after the flight was given up, which is more than that nobody could wait, under mu.
func (call *call) late(a answer) {
	if a.err == nil || call.err != nil && !call.cut || a.ended {
		return // that it was cancelled, by us, is no news
	}
	if f := call.entry.fail; f != nil && f.err == call.err && call.cut {
		f.err = a.err
	}
	call.err = a.err
}

// abandon ends a flight that was frozen half-way, under mu. Those that wait for it ask anew.
func (c *Cache) abandon(f *flight) {
	f.over = true
	f.cancel()
	for _, call := range f.calls {
		call.again = true
		call.settle()
	}
}

// orGone returns what a caller is told that could not wait any longer: the last failure, if one is known, and that time was up.
func (e *ResolveError) orGone(source Ref, gone error, after time.Duration) *ResolveError {
	if gone == nil {
		return e
	}
	if e == nil {
		return &ResolveError{Ref: source, kind: ErrUnavailable, cause: gone, problem: fmt.Sprintf("no answer within %v", after.Round(time.Millisecond))}
	}
	told := *e
	told.cause = errors.Join(e.cause, gone)
	return &told
}
