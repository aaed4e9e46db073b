package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets"
)

// A moment is a reading of three clocks: the bubble's, which drives timers, and the two that the engine is given.
type moment struct{ at, wall, mono time.Duration }

// since returns the time from m to n by the clock of the engine that went further.
func (n moment) since(m moment) time.Duration { return max(n.wall-m.wall, n.mono-m.mono) }

// A source is what a seed draws of one reference.
type source struct {
	name       string // of its variable; with fields, of the variable for the whole
	scheme     string
	region     string // "" or another
	ttl, stale time.Duration
	fields     bool
	optional   bool
	undeclared bool // reached by Resolve alone
	latency    time.Duration
}

func (s *source) ref(ttl, stale time.Duration) string {
	text := fmt.Sprintf("%s://%s?ttl=%v&stale=%v", s.scheme, s.id(), ttl, stale)
	if s.region != "" {
		text += "&region=" + s.region
	}
	if s.optional {
		text += "&optional"
	}
	return text
}

func (s *source) id() string {
	if s.scheme == "ssm" {
		return "/" + s.name
	}
	return s.name
}

// vars are the variables that read s, and their references.
func (s *source) vars() map[string]string {
	if s.undeclared {
		return nil
	}
	ref := s.ref(s.ttl, s.stale)
	if !s.fields {
		return map[string]string{s.name: ref}
	}
	return map[string]string{s.name: ref, s.name + "_USER": ref + "#user", s.name + "_PASSWORD": ref + "#password"}
}

// bound is the age that no value of s outlives.
func (s *source) bound() time.Duration { return max(s.ttl, s.stale) }

// A fault is a bad day of one source, or of all.
type fault struct {
	of       string // a source's name, or ""
	kind     string // a key of faultErrors, or hang, deaf, slow
	from, to time.Duration
	calls    int // it ends after so many questions; 0 is no limit
	wait     time.Duration
	used     int
}

var faultErrors = map[string]error{
	"throttled": secrets.ErrThrottled, "unavailable": secrets.ErrUnavailable, "denied": secrets.ErrAccessDenied,
	"not found": secrets.ErrNotFound, "unknown": errors.New("nobody knows"), "decrypt": secrets.ErrDecrypt,
}

// permanent reports whether a retry cannot cure err.
func permanent(err error) bool {
	kinds := []error{secrets.ErrAccessDenied, secrets.ErrNotFound, secrets.ErrDecrypt}
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

// tooMany questions are asked by no plan that ends. From then on each caller ends where it reads the clock, so that a
// circle in the engine does not keep the bubble's time from going on.
const tooMany = 2000

// A question is one call of the provider for one source, and what became of it.
type question struct {
	n         int
	source    *source
	token     string // in the plaintext
	asked     moment
	ended     moment // when the provider returned; meaningless while running
	running   bool
	err       error
	cancelled moment // when its context ended, if it did before the answer
	abandoned bool   // it did
	jumps     int    // of the clocks, before it was asked
	across    bool   // the clocks jumped meanwhile
}

func (q *question) ok() bool { return !q.running && q.err == nil }

// failed reports whether the provider answered with an error.
func (q *question) failed() bool { return !q.running && q.err != nil }

// denied reports whether it answered with one that a retry cannot cure.
func (q *question) denied() bool { return q.failed() && permanent(q.err) }

// over is when the engine stopped waiting for it; meaningless while it goes on.
func (q *question) over() moment {
	if q.abandoned {
		return q.cancelled
	}
	return q.ended
}

// sure reports whether the engine has the answer: it still wanted it, and no clock jumped meanwhile.
func (q *question) sure() bool { return !q.running && !q.abandoned && !q.across }

// A world is the provider, the clocks and the history of both.
type world struct {
	began    time.Time
	sources  map[string]*source // by Ref.ID
	whole    bool
	sameText bool // the plaintext changes with each rotation, rather than with each question

	mu         sync.Mutex
	wall, mono time.Duration // ahead of the bubble
	jumps      []jump
	version    map[string]int
	faults     []*fault
	questions  []*question
}

// A jump is a freeze, or a step of the wall clock.
type jump struct {
	at, by time.Duration
}

func (w *world) clock() (time.Time, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.questions) > tooMany {
		runtime.Goexit()
	}
	now := time.Now()
	return now.Round(0).Add(w.wall), now.Sub(w.began) + w.mono
}

// now reads all clocks. It is called under mu.
func (w *world) now() moment {
	at := time.Since(w.began)
	return moment{at, at + w.wall, at + w.mono}
}

func (w *world) moment() moment {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now()
}

// jump moves the wall clock.
func (w *world) jump(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wall += by
	w.jumps = append(w.jumps, jump{time.Since(w.began), by})
}

// faultOf returns what is wrong with s now, under mu.
func (w *world) faultOf(s *source) *fault {
	at := time.Since(w.began)
	for _, f := range slices.Backward(w.faults) {
		if (f.of == "" || f.of == s.name) && f.from <= at && at < f.to && (f.calls == 0 || f.used < f.calls) {
			return f
		}
	}
	return nil
}

//lint:ignore ST1008 a provider's two results come first
func (w *world) ask(ctx context.Context, ref secrets.Ref) (secrets.Value, error, *question) {
	w.mu.Lock()
	s := w.sources[ref.ID()]
	if s == nil || ref.Stage() == "AWSPENDING" {
		w.mu.Unlock()
		return secrets.Value{}, secrets.ErrNotFound, nil
	}
	q := &question{n: len(w.questions) + 1, source: s, asked: w.now(), running: true, jumps: len(w.jumps)}
	q.token = fmt.Sprintf("PLAIN-%s-q%d.", s.name, q.n)
	if w.sameText {
		q.token = fmt.Sprintf("PLAIN-%s-v%d.", s.name, w.version[s.name])
	}
	w.questions = append(w.questions, q)
	context.AfterFunc(ctx, func() { w.abandon(q) })
	wait, deaf, hang := s.latency, false, false
	if f := w.faultOf(s); f != nil {
		f.used++
		q.err = faultErrors[f.kind]
		switch f.kind {
		case "hang":
			hang = true
		case "deaf":
			wait, deaf = f.wait, true
		case "slow":
			wait = f.wait
		}
	}
	w.mu.Unlock()

	var timer <-chan time.Time
	if !hang {
		timer = time.After(wait)
	}
	select {
	case <-timer:
	case <-ctx.Done():
		w.abandon(q) // it may be faster than the other goroutine
		if deaf {
			<-timer
		} else {
			q.err = ctx.Err()
		}
	}
	if q.err != nil {
		return secrets.Value{}, fmt.Errorf("scripted: %w", q.err), q
	}
	text := q.token
	if s.fields {
		text = fmt.Sprintf(`{"user":%q,"password":%q}`, q.token, q.token)
	}
	return secrets.NewValue(text, q.token), nil, q
}

// abandon notes that the engine has told the provider to stop.
func (w *world) abandon(q *question) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q.running && !q.abandoned {
		q.abandoned, q.cancelled = true, w.now()
	}
}

// end notes that the engine has q's answer.
func (w *world) end(q *question) {
	if q == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	q.running, q.ended, q.across = false, w.now(), len(w.jumps) > q.jumps
}

// provider is w as the engine sees it.
func (w *world) provider() secrets.Provider {
	if w.whole {
		return sliceProvider{w}
	}
	return secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
		v, err, q := w.ask(ctx, ref)
		w.end(q)
		return v, err
	})
}

type sliceProvider struct{ *world }

func (p sliceProvider) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	results, questions := make([]secrets.Result, len(refs)), make([]*question, len(refs))
	var wg sync.WaitGroup
	for i, ref := range refs {
		wg.Go(func() { results[i].Value, results[i].Err, questions[i] = p.ask(ctx, ref) })
	}
	wg.Wait()
	for _, q := range questions {
		p.end(q)
	}
	return results
}

// An op is one thing that a seed makes happen.
type op struct {
	at       time.Duration
	do       string // get, snapshot, reveal, resolve, do, refresh, warm; fault, rotate, freeze, step
	source   int    // that it is about
	variable string // that it reads
	deadline time.Duration
	cancel   time.Duration // after which the caller changes its mind, or 0
	every    time.Duration // a get that is repeated
	times    int
	by       time.Duration // of freeze and step
	fault    fault
	low      bool // a resolve with ttl=0s and stale=0s
}

// An outcome is what became of an op that reads.
type outcome struct {
	op         *op
	began, end moment
	values     map[string]seen // variable → what was read; a resolve's is under its source's name
	errs       map[string]error
	err        error // of the whole, as of Refresh and RevealAll
	runs       int   // of a Do's f
	late       bool  // f was run again after the context had ended
	over       bool  // the context had ended before
	done       bool
}

// seen is a value that was read.
type seen struct {
	text    string
	stale   bool
	fetched time.Duration // FetchedAt, since the world began; -1 if unknown
}

func (o *outcome) took() time.Duration { return o.end.at - o.began.at }

// several reports whether o reads more than one source, and judges them at its end.
func (o *outcome) several() bool { return o.op.do != "get" && o.op.do != "resolve" }

// fails reports whether o did not get a value of s.
func (o *outcome) fails(s *source) bool {
	for name := range o.errs {
		if name == s.name || strings.HasPrefix(name, s.name+"_") {
			return true
		}
	}
	return o.err != nil && o.several()
}

// old reports whether o was served an old value of s.
func (o *outcome) old(s *source) bool {
	for name, got := range o.values {
		if got.stale && (name == s.name || strings.HasPrefix(name, s.name+"_")) {
			return true
		}
	}
	return false
}

// reserve is what is left of a caller's deadline.
func reserve(left time.Duration) time.Duration { return min(250*time.Millisecond, left/4) }

// budget is how long the caller may wait.
func (o *outcome) budget() time.Duration {
	d := o.op.deadline
	if o.op.do == "warm" && d == 0 {
		d = 2 * time.Second
	}
	if d == 0 {
		return 10 * time.Second
	}
	return d - reserve(d)
}

// A plan is what a seed draws.
type plan struct {
	seed     uint64
	sources  []*source
	ops      []*op
	whole    bool
	sameText bool
	grace    time.Duration
}

func (p *plan) String() string {
	var b strings.Builder
	form := "parts"
	if p.whole {
		form = "whole slices"
	}
	fmt.Fprintf(&b, "seed %d: a provider of %s, grace %v, a text per rotation: %v\n", p.seed, form, p.grace, p.sameText)
	for _, s := range p.sources {
		more := ""
		if s.undeclared {
			more = ", undeclared"
		}
		if s.fields {
			more += ", fields"
		}
		fmt.Fprintf(&b, "  %s = %s, answers in %v%s\n", s.name, s.ref(s.ttl, s.stale), s.latency, more)
	}
	ops := slices.Clone(p.ops)
	slices.SortStableFunc(ops, func(a, b *op) int { return cmp.Compare(a.at, b.at) })
	for _, o := range ops {
		fmt.Fprintf(&b, "  %12v  %s\n", o.at, o.text(p))
	}
	return b.String()
}

func (o *op) text(p *plan) string {
	text := o.do
	switch o.do {
	case "fault":
		of := cmp.Or(o.fault.of, "everything")
		text = fmt.Sprintf("%s: %s for %v", of, o.fault.kind, o.fault.to-o.fault.from)
		if o.fault.wait > 0 {
			text += fmt.Sprintf(", %v each", o.fault.wait)
		}
		if o.fault.calls > 0 {
			text += fmt.Sprintf(", %d calls", o.fault.calls)
		}
		return text
	case "freeze", "step":
		return fmt.Sprintf("%s %v", o.do, o.by)
	case "rotate":
		return "rotate " + p.sources[o.source].name
	case "get", "do", "refresh":
		text += " " + cmp.Or(o.variable, "everything")
	case "resolve":
		text += " " + p.sources[o.source].name
		if o.low {
			text += " with ttl=0s and stale=0s"
		}
	}
	if o.deadline > 0 {
		text += fmt.Sprintf(", deadline %v", o.deadline)
	}
	if o.cancel > 0 {
		text += fmt.Sprintf(", cancelled after %v", o.cancel)
	}
	if o.times > 1 {
		text += fmt.Sprintf(", %d times, every %v", o.times, o.every)
	}
	return text
}
