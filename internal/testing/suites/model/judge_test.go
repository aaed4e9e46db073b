package model

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets"
)

// The model: what the promises of docs/design.md allow, given everything that the provider was asked and answered. It
// knows nothing of flights, windows and draws. Where a promise leaves freedom, so does the model.

const (
	slack     = 2 * time.Millisecond
	lastWords = 60 * time.Millisecond // that a provider has to say what it was waiting for
	jumpSlack = 3 * time.Second       // that a clock may jump unnoticed: the engine tells a freeze from a second on
	window    = 31 * time.Second      // longest time in which a failure is remembered, and a little
	patience  = time.Second           // with a value in hand
)

// A verdict collects what is broken.
type verdict struct {
	*run
	found []string
}

func (v *verdict) fail(o *outcome, promise int, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	v.found = append(v.found, fmt.Sprintf("promise %d: %v, %s: %s", promise, o.began.at, o.op.text(v.plan), what))
}

// judge returns what a run broke.
func judge(r *run) []string {
	v := &verdict{run: r}
	if len(r.world.questions) > tooMany {
		return []string{fmt.Sprintf("promise 6: more than %d questions", tooMany)}
	}
	for _, o := range r.outcomes {
		if !o.done {
			v.fail(o, 8, "it never returned")
			continue
		}
		v.waits(o)
		for name, got := range o.values {
			v.value(o, name, got)
		}
		for name, err := range o.errs {
			v.failure(o, r.source(name), err)
		}
		v.together(o)
		if o.op.do == "do" && (o.runs > 4 || o.late) {
			v.fail(o, 8, "f ran %d times, after its context ended: %v", o.runs, o.late)
		}
		if o.err != nil && strings.Contains(o.err.Error()+secrets.Detail(o.err), "PLAIN") {
			v.fail(o, 11, "the error quotes the value: %s", secrets.Detail(o.err))
		}
	}
	v.backwards()
	v.calls()
	return v.found
}

// source returns the source that a variable reads.
func (r *run) source(variable string) *source {
	name, _, _ := strings.Cut(variable, "_")
	for _, s := range r.plan.sources {
		if s.name == name {
			return s
		}
	}
	return nil
}

// jumped reports whether a clock jumped between two instants of the bubble; backwards: only back.
func (r *run) jumped(from, to time.Duration, backwards bool) bool {
	return slices.ContainsFunc(r.world.jumps, func(j jump) bool {
		return from <= j.at && j.at <= to && (j.by < 0 || !backwards)
	})
}

// of returns the questions for s that satisfy f.
func (r *run) of(s *source, f func(q *question) bool) (all []*question) {
	for _, q := range r.world.questions {
		if q.source == s && f(q) {
			all = append(all, q)
		}
	}
	return all
}

var tokens = regexp.MustCompile(`PLAIN-\w+-[qv]\d+\.`)

// origin returns the question that a value came from, or nil. Of several with the same text it is the one whose moment
// the value has, or the newest.
func (r *run) origin(s *source, o *outcome, got seen) (origin *question) {
	found := slices.Compact(tokens.FindAllString(got.text, -1))
	if len(found) != 1 {
		return nil
	}
	answered := r.of(s, func(q *question) bool { return q.ok() && q.token == found[0] && q.ended.at <= o.end.at })
	for _, q := range answered {
		if origin == nil || origin.asked.wall != got.fetched || q.asked.wall == got.fetched {
			origin = q
		}
	}
	return origin
}

// value judges one value that was read: whose it is, how old, whether it is marked, what else is known.
func (v *verdict) value(o *outcome, name string, got seen) {
	s := v.source(name)
	q := v.origin(s, o, got)
	if q == nil {
		v.fail(o, 10, "%s: %q was never answered for it, or is of two generations", name, got.text)
		return
	}
	if got.fetched >= 0 && got.fetched > q.asked.wall+slack {
		v.fail(o, 2, "%s: it claims to be %v younger than its question", name, got.fetched-q.asked.wall)
	}
	age, ttl, bound := o.end.since(q.asked), s.ttl, s.bound()
	// One who waited for an answer gets it though it took longer than the bounds, unless the sandbox was frozen.
	waited := q.ended.at >= o.began.at && age <= o.end.at-q.asked.at+jumpSlack
	back := v.jumped(q.asked.at, o.end.at, true)
	switch {
	case waited, o.op.low:
	case age > bound+lastWords:
		v.fail(o, 5, "%s: %v old, and the bound is %v", name, age, bound)
	case o.several() && age <= ttl+o.took()+jumpSlack: // it was young when it was read, and no refresh failed since
	case got.fetched >= 0 && !got.stale && age > ttl+lastWords:
		v.fail(o, 2, "%s: %v old at a TTL of %v, and not marked stale", name, age, ttl)
	case got.stale && !back && age < ttl-slack:
		v.fail(o, 2, "%s: %v old at a TTL of %v, and marked stale", name, age, ttl)
	}
	unasked := waited || o.over || o.several()      // the value was taken without a refresh that failed
	jumped := v.jumped(q.asked.at, o.end.at, false) // it aged on its way, and there was no time to ask again
	if got.stale && !unasked && !jumped && !v.troubled(s, q, o) {
		v.fail(o, 5, "%s: marked stale, though nothing failed", name)
	}
	// A wall clock that stepped back and a freeze may hide the time from both clocks.
	if since, denied := v.denied(s, q, o.end); denied && since > v.plan.grace+lastWords && !waited && !back {
		v.fail(o, 5, "%s: served %v after a permanent failure, at a grace of %v", name, since, v.plan.grace)
	}
}

// troubled reports whether anything went wrong with s since q: a failure, silence, a caller without time.
func (v *verdict) troubled(s *source, q *question, o *outcome) bool {
	bad := v.of(s, func(p *question) bool {
		later := p != q && p.asked.at >= q.asked.at && p.asked.at <= o.end.at
		late := p.ended.at >= o.end.at || p.ended.at-p.asked.at > patience/2
		return later && (!p.ok() || !p.sure() || late)
	})
	return len(bad) > 0 || o.budget() < 200*time.Millisecond || o.op.cancel > 0
}

// denied returns for how long the engine has known for sure that a read of s, newer than q, fails for good.
func (v *verdict) denied(s *source, q *question, now moment) (since time.Duration, known bool) {
	for _, p := range v.of(s, func(p *question) bool {
		return p.sure() && p.denied() && p.asked.at > q.asked.at && p.ended.at <= now.at
	}) {
		since, known = max(since, now.since(p.ended)), true
	}
	return since, known
}

// inHand returns the newest question whose value the engine must have all the time from one moment to another, or nil.
func (v *verdict) inHand(s *source, from, to moment) (newest *question) {
	for _, q := range v.of(s, func(q *question) bool { return q.ok() && q.sure() && q.ended.at < from.at-slack }) {
		if to.since(q.asked) >= s.bound()-lastWords || v.jumped(q.asked.at, to.at, true) {
			continue
		}
		dropped := v.of(s, func(p *question) bool {
			newer := p.denied() && p.asked.at >= q.asked.at && p.ended.at <= to.at
			return newer && (p.ended.at <= q.ended.at+slack || to.since(p.ended) >= v.plan.grace-lastWords)
		})
		if len(dropped) == 0 && (newest == nil || q.asked.at > newest.asked.at) {
			newest = q
		}
	}
	return newest
}

// failure judges an error that a read of s got.
func (v *verdict) failure(o *outcome, s *source, err error) {
	if q := v.inHand(s, o.began, o.end); q != nil && !o.op.low {
		v.fail(o, 5, "it fails though question %d, of %v, brought a good value: %s",
			q.n, q.asked.at, secrets.Detail(err))
		return
	}
	last := v.of(s, func(q *question) bool { return !q.running && q.ended.at <= o.end.at })
	v.kind(o, last, err)
	if o.over || o.took() >= o.budget()-lastWords {
		return
	}
	// It gave up early. A failure that is remembered, or that it met, may be the reason.
	if q := v.reason(o, s, last); q != nil {
		cold := len(v.of(s, (*question).ok)) == 0
		waited := o.took() > 100*time.Millisecond && !v.jumped(o.began.at, o.end.at, false)
		if waited && cold && !q.denied() && o.op.do != "snapshot" {
			v.fail(o, 6, "it gave up after %v of %v, on a transient failure: %s",
				o.took(), o.budget(), secrets.Detail(err))
		}
		return
	}
	had := v.of(s, func(q *question) bool {
		return q.ok() && q.ended.at <= o.began.at && o.began.since(q.asked) < s.bound()
	})
	if len(had) > 0 && o.took() >= patience-lastWords {
		return // it had a value, which outgrew its bounds in the second for which it waits then
	}
	brought := v.of(s, func(q *question) bool { return q.ok() && q.ended.at >= o.began.at && q.ended.at <= o.end.at })
	outgrown := o.several() && len(brought) > 0 && o.took() > s.bound() // while others were fetched
	if v.probed(o, s) || outgrown {
		return
	}
	// Or silence, of a length that says something about this caller.
	if v.jumped(o.began.at, o.end.at, false) {
		return // the failure that it met was known before the clocks jumped
	}
	if v.silence(s, o) < o.budget()-lastWords {
		v.fail(o, 4, "it gave up after %v of %v, with no failure known and no silence as long: %s",
			o.took(), o.budget(), secrets.Detail(err))
	}
}

// reason returns the last failure of s that may be remembered when o ends, or nil.
func (v *verdict) reason(o *outcome, s *source, last []*question) *question {
	for _, q := range slices.Backward(last) {
		switch {
		case q.ok() && q.ended.at == o.end.at: // it may be booked a moment later
		case q.ok() && q.sure() && s.bound() > q.ended.at-q.asked.at:
			return nil
		case q.err != nil && (!q.abandoned || permanent(q.err)) && o.end.since(q.ended) <= window:
			return q
		}
	}
	return nil
}

// probed reports whether a neighbour of s, which fails too, failed lately: one name may be asked for all of its scheme
// and Region then.
func (v *verdict) probed(o *outcome, s *source) bool {
	if !slices.ContainsFunc(v.of(s, (*question).failed), func(q *question) bool { return q.ended.at <= o.end.at }) {
		return false
	}
	return slices.ContainsFunc(v.world.questions, func(q *question) bool {
		neighbour := q.source.scheme == s.scheme && q.source.region == s.region
		lately := q.failed() && q.ended.at <= o.end.at && o.end.since(q.ended) <= window
		return neighbour && lately && !permanent(q.err)
	})
}

// silence returns the longest time that somebody waited in vain for s, as remembered when o ended.
func (v *verdict) silence(s *source, o *outcome) (longest time.Duration) {
	for _, p := range v.outcomes { // whose wait may have spanned several tries
		vain := p.done && p != o && p.end.at <= o.end.at && o.end.since(p.end) <= window
		if vain && (p.fails(s) || p.old(s)) {
			longest = max(longest, p.took())
		}
	}
	for _, q := range v.of(s, func(q *question) bool { return q.asked.at <= o.end.at }) {
		end := o.end
		if q.abandoned && q.cancelled.at < end.at {
			end = q.cancelled
		} else if !q.running && q.ended.at < end.at {
			end = q.ended
		}
		if o.end.since(end) <= window {
			longest = max(longest, end.at-q.asked.at)
		}
	}
	return longest
}

// kind checks that the error tells what happened.
func (v *verdict) kind(o *outcome, last []*question, err error) {
	kinds := []error{secrets.ErrNotFound, secrets.ErrAccessDenied, secrets.ErrThrottled, secrets.ErrDecrypt}
	for _, kind := range kinds {
		if !errors.Is(err, kind) {
			continue
		}
		failedSo := func(q *question) bool { return errors.Is(q.err, kind) && q.ended.at <= o.end.at }
		shared := !permanent(kind) && slices.ContainsFunc(v.world.questions, failedSo) // by a probe, see probed
		if !shared && !slices.ContainsFunc(last, failedSo) {
			v.fail(o, 7, "nothing failed so: %s", secrets.Detail(err))
		}
		return
	}
	if !errors.Is(err, secrets.ErrUnavailable) { // a time-out, or an error of no kind
		v.fail(o, 7, "an error of no kind: %v", err)
	}
}

// waits judges how long a caller was kept.
func (v *verdict) waits(o *outcome) {
	limit := o.budget() + lastWords
	if o.op.do == "do" && o.op.deadline > 0 {
		limit = o.op.deadline // it may wait thrice
	} else if o.op.do == "do" {
		limit *= 3
	}
	if o.op.cancel > 0 {
		limit = min(limit, o.op.cancel+lastWords)
	}
	if o.took() > limit {
		v.fail(o, 5, "it took %v, and had %v", o.took(), limit-lastWords)
	}
	if o.several() || o.op.low {
		return
	}
	s := v.plan.sources[o.op.source]
	if q := v.inHand(s, o.began, o.end); q != nil {
		most := patience
		silent := v.of(s, func(p *question) bool {
			vain := p.abandoned || p.running || p.ended.at-p.asked.at > patience-lastWords
			return p.asked.at > q.asked.at && p.asked.at < o.began.at && vain
		})
		if len(silent) > 0 || q.ended.at-q.asked.at > patience-lastWords {
			most = 4 * patience // shorter waits were cut off
		}
		if o.took() > most+lastWords {
			v.fail(o, 5, "it waited %v with the value of question %d in hand", o.took(), q.n)
		}
		v.remembered(o, s, q)
	}
	v.healthy(o, s)
}

// remembered: with a value in hand nobody waits just after a failure. A try that failed is known, whoever else still
// waits.
func (v *verdict) remembered(o *outcome, s *source, value *question) {
	if o.took() <= slack {
		return
	}
	for _, q := range v.of(s, func(q *question) bool { return q.sure() && q.failed() && q.asked.at > value.asked.at }) {
		known := q.ended.at < o.began.at-slack && o.began.since(q.ended) < 700*time.Millisecond
		// A warm and who reads afresh go on trying, and open no window by each try.
		excused := v.during(q.asked.at, q.ended.at, func(p *outcome) bool { return p.several() })
		excused = excused || v.cured(q, o.began) || v.nextStep(q, o)
		if !known || excused || v.inHand(s, q.asked, o.end) == nil || v.jumped(q.asked.at, o.end.at, false) {
			continue
		}
		v.fail(o, 6, "it waited %v, %v after question %d had failed, with a value in hand",
			o.took(), o.began.at-q.ended.at, q.n)
		return
	}
}

// cured reports whether the failure of q was no news any more at some moment: its source was answered since, or, unless
// it was throttled, a neighbour. That may have been a probe, after which each of those that failed with it is asked.
func (v *verdict) cured(q *question, now moment) bool {
	return slices.ContainsFunc(v.world.questions, func(p *question) bool {
		neighbour := p.source.scheme == q.source.scheme && p.source.region == q.source.region
		related := p.source == q.source || neighbour && !errors.Is(q.err, secrets.ErrThrottled)
		return related && p.ok() && p.ended.at >= q.ended.at && p.ended.at <= now.at
	})
}

// nextStep reports whether o itself asks anew after the failure of q, in a search for a bad name: q failed together
// with a neighbour, and its source had made trouble before, for which it was asked alone.
func (v *verdict) nextStep(q *question, o *outcome) bool {
	asks := v.of(q.source, func(p *question) bool { return p.asked.at == o.began.at })
	trouble := v.of(q.source, func(p *question) bool { return p.asked.at < q.asked.at && !p.ok() })
	if len(asks) == 0 || len(trouble) == 0 {
		return false
	}
	return slices.ContainsFunc(v.world.questions, func(p *question) bool {
		together := p.source != q.source && p.asked.at == q.asked.at
		return together && p.failed() && p.source.scheme == q.source.scheme && p.source.region == q.source.region
	})
}

// healthy: a source that answers is served within its own call and one retry, whatever its neighbours do.
func (v *verdict) healthy(o *outcome, s *source) {
	need := 2*s.latency + 150*time.Millisecond
	hurried := need > o.budget() || o.op.cancel > 0 && o.op.cancel < need
	if v.plan.whole || hurried || v.jumped(o.began.at-window, o.end.at, false) {
		return
	}
	for _, other := range v.plan.ops {
		f := other.fault
		if other.do == "fault" && (f.of == "" || f.of == s.name) && f.from <= o.end.at && f.to > o.began.at {
			return
		}
	}
	for _, q := range v.of(s, func(q *question) bool { return q.asked.at <= o.began.at }) {
		lately := q.running || q.ended.at > o.began.at-2*window
		joined := q.running || q.ended.at >= o.began.at
		if lately && !(q.ok() && q.sure()) || joined && q.ended.at-q.asked.at > need {
			return // it failed lately, or it answers a question of its bad days
		}
	}
	if v.held(s, o.began) {
		return
	}
	if o.took() > need {
		v.fail(o, 4, "it waited %v for a source that answers in %v", o.took(), s.latency)
	}
	if o.err != nil {
		v.fail(o, 4, "it fails, and the source is well: %s", secrets.Detail(o.err))
	}
	for _, got := range o.values {
		if got.stale && need < patience {
			v.fail(o, 4, "it is served a stale value, and the source is well")
		}
	}
}

// held reports whether s may wait for probes of its neighbours: its own last question was in vain, however long ago,
// and one of theirs was lately.
func (v *verdict) held(s *source, now moment) bool {
	asked := v.of(s, func(q *question) bool { return q.asked.at < now.at })
	if len(asked) == 0 || asked[len(asked)-1].ok() {
		return false
	}
	return slices.ContainsFunc(v.world.questions, func(q *question) bool {
		neighbour := q.source.scheme == s.scheme && q.source.region == s.region
		lately := q.asked.at < now.at && (q.running || q.ended.at > now.at-2*window)
		return neighbour && lately && !(q.ok() && q.sure())
	})
}

// together: what one read brings of one source is of one generation.
func (v *verdict) together(o *outcome) {
	first := map[*source]string{}
	for name, got := range o.values {
		s := v.source(name)
		token := tokens.FindString(got.text)
		if had, ok := first[s]; ok && had != token {
			v.fail(o, 10, "%s is of two generations: %s and %s", s.name, had, token)
		}
		first[s] = token
	}
}

// backwards: no read brings a value older than one that was served before.
func (v *verdict) backwards() {
	type served struct {
		o *outcome
		q *question
	}
	all := map[*source][]served{}
	for _, o := range v.outcomes {
		for name, got := range o.values {
			if q := v.origin(v.source(name), o, got); q != nil && got.fetched >= 0 {
				all[q.source] = append(all[q.source], served{o, q})
			}
		}
	}
	for _, reads := range all {
		for _, later := range reads {
			if later.q.source.bound() == 0 && later.q.ended.at >= later.o.began.at {
				continue // nothing is kept, so nobody knows of a newer one
			}
			since := later.o.end.at
			if later.o.several() {
				since = later.o.began.at // of several sources one may have been in hand since then
			}
			for _, earlier := range reads {
				if earlier.o.end.at < since-slack && earlier.q.asked.at > later.q.asked.at+slack {
					v.fail(later.o, 4, "question %d of %v, after question %d of %v was served at %v",
						later.q.n, later.q.asked.at, earlier.q.n, earlier.q.asked.at, earlier.o.end.at)
					break
				}
			}
		}
	}
}

// during reports whether some outcome was under way in a stretch of time, and satisfies f.
func (v *verdict) during(from, to time.Duration, f func(o *outcome) bool) bool {
	return slices.ContainsFunc(v.outcomes, func(o *outcome) bool {
		return o.began.at <= to && o.end.at >= from && f(o)
	})
}

func anybody(*outcome) bool { return true }

// again reports whether o asks for a call that begins after it did.
func again(o *outcome) bool { return o.op.do == "refresh" || o.op.do == "do" || o.op.low }

func (v *verdict) failQuestion(q *question, promise int, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	v.found = append(v.found,
		fmt.Sprintf("promise %d: question %d, for %s, of %v: %s", promise, q.n, q.source.name, q.asked.at, what))
}

// calls judges what was asked: for callers only, once per source, not before it is due, not too often.
func (v *verdict) calls() {
	for _, s := range v.plan.sources {
		all := v.of(s, func(*question) bool { return true })
		for i, q := range all {
			if !v.during(q.asked.at-slack, q.asked.at, anybody) {
				v.failQuestion(q, 3, "nobody reads")
			}
			if over := q.over().at; !q.running && !v.during(over-lastWords, over, anybody) {
				v.failQuestion(q, 3, "it goes on until %v, and nobody waits", over)
			}
			for _, p := range all[:i] {
				v.pair(s, p, q)
			}
			if v.flood(s, q) {
				return
			}
		}
	}
}

// pair judges a question in view of one before it.
func (v *verdict) pair(s *source, p, q *question) {
	between := q.asked.at - p.asked.at
	overlap := (p.running || p.over().at > q.asked.at+slack) && between < 29*time.Second
	if overlap && !v.jumped(p.asked.at, q.asked.at, false) && !v.during(p.asked.at, q.asked.at, again) {
		v.failQuestion(q, 4, "question %d of %v is still under way", p.n, p.asked.at)
	}
	early := p.ok() && p.sure() && p.ended.at < q.asked.at && q.asked.since(p.asked) < s.ttl/100*9-slack
	if !early || v.during(q.asked.at-slack, q.asked.at, again) || v.jumped(p.asked.at, q.asked.at, true) {
		return
	}
	dropped := v.of(s, func(f *question) bool {
		return f.denied() && f.asked.at >= p.asked.at && f.ended.at <= q.asked.at
	})
	if len(dropped) == 0 {
		v.failQuestion(q, 12, "question %d is %v old at a TTL of %v", p.n, q.asked.since(p.asked), s.ttl)
	}
}

// flood judges how many questions there were in the minute before q, where all failed.
func (v *verdict) flood(s *source, q *question) bool {
	from := q.asked.at - time.Minute
	minute := v.of(s, func(p *question) bool { return p.asked.at > from && p.asked.at <= q.asked.at })
	most := 60
	for _, o := range v.outcomes {
		switch meanwhile := o.began.at <= q.asked.at && o.end.at >= from; {
		case meanwhile && again(o):
			most += 12 // each begins with a try of its own
		case meanwhile && min(o.budget(), cmp.Or(o.op.cancel, o.budget())) < patience-lastWords:
			most++ // its wait was too short to say anything to those who come after it
		}
	}
	for _, j := range v.world.jumps {
		if j.at <= q.asked.at && j.at >= from {
			most += 6 // it ends the backoff
		}
	}
	if len(minute) <= most || slices.ContainsFunc(minute, (*question).ok) {
		return false
	}
	v.failQuestion(q, 6, "%d questions in a minute, and each failed", len(minute))
	return true
}
