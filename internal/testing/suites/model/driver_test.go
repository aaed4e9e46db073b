package model

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
)

// draw makes the plan of a seed.
func draw(seed uint64) *plan {
	r := rand.New(rand.NewPCG(seed, 7))
	pick := func(of ...time.Duration) time.Duration { return of[r.IntN(len(of))] }
	const ms, s, m, h = time.Millisecond, time.Second, time.Minute, time.Hour
	p := &plan{seed: seed, whole: r.IntN(4) == 0, sameText: r.IntN(3) == 0, grace: pick(0, 30*s, 5*m, 5*m)}
	for i := range 1 + r.IntN(5) {
		src := &source{
			name: fmt.Sprint("S", i), scheme: "ssm",
			ttl: pick(0, s, 10*s, m, 5*m, h), stale: pick(0, 2*s, m, 20*m, 24*h, 24*h),
			latency: pick(ms, 5*ms, 20*ms, 20*ms, 200*ms, 1500*ms), fields: r.IntN(4) == 0, optional: r.IntN(5) == 0,
			undeclared: i > 0 && r.IntN(5) == 0,
		}
		if r.IntN(2) == 0 {
			src.scheme = "sm"
		}
		if r.IntN(4) == 0 {
			src.region = "us-east-1"
		}
		p.sources = append(p.sources, src)
	}
	span := pick(20*s, 2*m, 20*m, 3*h)
	at := time.Duration(0)
	for range 4 + r.IntN(40) {
		if r.IntN(2) == 0 {
			at = rand64(r, span)
		} else {
			at += rand64(r, 3*s)
		}
		p.ops = append(p.ops, drawOp(r, p, at.Truncate(ms)))
	}
	return p
}

func rand64(r *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(below)))
}

// drawOp draws one operation.
func drawOp(r *rand.Rand, p *plan, at time.Duration) *op {
	const ms, s, m, h = time.Millisecond, time.Second, time.Minute, time.Hour
	pick := func(of ...time.Duration) time.Duration { return of[r.IntN(len(of))] }
	o := &op{at: at, source: r.IntN(len(p.sources)), times: 1}
	src := p.sources[o.source]
	o.deadline = pick(0, 100*ms, 500*ms, s, 1600*ms, 3*s, 3*s, 10*s, 20*s)
	if r.IntN(8) == 0 {
		o.cancel = pick(ms, 50*ms, 700*ms, 2*s) + 313*time.Microsecond // no answer comes at that instant
	}
	names := slices.Sorted(maps.Keys(src.vars()))
	if len(names) > 0 {
		o.variable = names[r.IntN(len(names))]
	}
	switch n := r.IntN(100); {
	case n < 38:
		o.do = "get"
		if r.IntN(3) == 0 {
			o.times, o.every = 2+r.IntN(30), pick(50*ms, 300*ms, 900*ms, 5*s, 30*s)
		}
	case n < 44:
		o.do = "snapshot"
	case n < 47:
		o.do = "reveal"
	case n < 53:
		o.do, o.low = "resolve", !src.undeclared && r.IntN(4) == 0
	case n < 57:
		o.do = "do"
	case n < 63:
		o.do = "refresh"
		if r.IntN(3) == 0 {
			o.variable = ""
		}
	case n < 66:
		o.do = "warm"
	case n < 72:
		o.do = "rotate"
	case n < 78:
		o.do, o.by = "freeze", pick(2*s, m, 15*m, 3*h)
	case n < 80:
		o.do, o.by = "step", pick(-s, -m, -h, s, h)
	default:
		kinds := []string{
			"throttled", "unavailable", "unavailable", "denied", "not found", "unknown", "decrypt",
			"hang", "hang", "deaf", "slow",
		}
		o.do = "fault"
		o.fault = fault{of: src.name, kind: kinds[r.IntN(len(kinds))], from: at}
		o.fault.to = at + pick(300*ms, 2*s, 10*s, m, 10*m)
		if r.IntN(4) == 0 {
			o.fault.of = ""
		}
		if r.IntN(4) == 0 {
			o.fault.calls = 1 + r.IntN(3)
		}
		o.fault.wait = pick(500*ms, 1500*ms, 5*s, 40*s)
	}
	if src.undeclared && (o.do == "get" || o.do == "do") {
		o.do = "resolve"
	}
	if o.do == "refresh" && o.variable == "" && src.undeclared {
		o.variable = ""
	}
	return o
}

// A run is one execution of a plan, in a bubble.
type run struct {
	plan     *plan
	world    *world
	env      *secrets.Env
	mu       sync.Mutex
	outcomes []*outcome
	problems []string
}

// execute runs p and returns what it broke.
func execute(t *testing.T, p *plan) []string {
	problems, _ := executed(t, p)
	return problems
}

// executed is execute, and returns the run as well.
func executed(t *testing.T, p *plan) (problems []string, r *run) {
	synctest.Test(t, func(t *testing.T) {
		r = &run{plan: p}
		r.world = &world{
			began: time.Now(), sources: map[string]*source{}, version: map[string]int{},
			whole: p.whole, sameText: p.sameText,
		}
		environ := map[string]string{}
		for _, s := range p.sources {
			r.world.sources[s.id()] = s
			maps.Copy(environ, s.vars())
		}
		for _, o := range p.ops {
			if o.do == "fault" {
				f := o.fault
				r.world.faults = append(r.world.faults, &f)
			}
		}
		var err error
		r.env, err = secrets.New(secrets.WithEnviron(environ), secrets.WithProvider(r.world.provider()),
			withGrace(p.grace), secrets.WithClock(r.world.clock), secrets.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		r.drive(t.Context())
		if len(r.world.questions) <= tooMany {
			r.recover(t.Context())
		}
		time.Sleep(time.Minute) // for providers that ignore their context
		synctest.Wait()
		problems = append(r.problems, judge(r)...)
	})
	wanted := regexp.MustCompile(*about)
	return slices.DeleteFunc(problems, func(p string) bool { return !wanted.MatchString(p) }), r
}

// drive does the operations at their times.
func (r *run) drive(ctx context.Context) {
	ops := slices.Clone(r.plan.ops)
	slices.SortStableFunc(ops, func(a, b *op) int { return cmp.Compare(a.at, b.at) })
	var wg sync.WaitGroup
	for _, o := range ops {
		time.Sleep(o.at - time.Since(r.world.began))
		switch o.do {
		case "fault":
		case "rotate":
			r.world.mu.Lock()
			r.world.version[r.plan.sources[o.source].name]++
			r.world.mu.Unlock()
		case "freeze", "step":
			wg.Go(func() {
				time.Sleep(137 * time.Microsecond) // at no other's instant
				r.world.jump(o.by)
			})
		default:
			for i := range o.times {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * o.every)
					r.read(ctx, o)
				})
			}
		}
	}
	wg.Wait()
}

// read does one operation of a caller.
func (r *run) read(ctx context.Context, o *op) {
	if o.deadline > 0 {
		limited, cancel := context.WithTimeout(ctx, o.deadline)
		defer cancel()
		ctx = limited
	}
	if o.cancel > 0 {
		cancellable, cancel := context.WithCancel(ctx)
		defer time.AfterFunc(o.cancel, cancel).Stop()
		defer cancel()
		ctx = cancellable
	}
	out := &outcome{op: o, began: r.world.moment(), values: map[string]seen{}, errs: map[string]error{}}
	r.mu.Lock()
	r.outcomes = append(r.outcomes, out)
	r.mu.Unlock()
	note := func(name string, v secrets.Value, err error) {
		if err != nil {
			out.errs[name] = err
			return
		}
		out.values[name] = seen{v.Reveal(), v.Stale(), v.FetchedAt().Sub(r.world.began)}
	}
	var snapshot secrets.Snapshot
	var all map[string]string
	var value secrets.Value
	s := r.plan.sources[o.source]
	switch o.do {
	case "get":
		value, out.err = r.env.Get(ctx, o.variable)
	case "resolve":
		text := s.ref(s.ttl, s.stale)
		if o.low {
			text = s.ref(0, 0)
		}
		ref, err := secrets.ParseRef(text)
		if err != nil {
			panic(err)
		}
		value, out.err = r.env.Resolve(ctx, ref)
	case "snapshot":
		snapshot = r.env.Snapshot(ctx)
	case "reveal":
		all, out.err = r.env.RevealAll(ctx)
	case "refresh":
		if o.variable == "" {
			out.err = r.env.Refresh(ctx)
		} else {
			out.err = r.env.Refresh(ctx, o.variable)
		}
	case "warm":
		out.err = r.env.Warm(ctx)
	case "do":
		out.err = r.env.Do(ctx, o.variable, func(secrets.Value) error {
			out.late = out.late || out.runs > 0 && ctx.Err() != nil
			out.runs++
			return refused
		})
	}
	out.end, out.over = r.world.moment(), ctx.Err() != nil
	switch o.do {
	case "get":
		note(o.variable, value, out.err)
	case "resolve":
		note(s.name, value, out.err)
	case "snapshot":
		for _, s := range r.plan.sources {
			for name := range s.vars() {
				v, err := snapshot.Get(name)
				note(name, v, err)
			}
		}
	case "reveal":
		for name, text := range all {
			out.values[name] = seen{text, false, -1}
		}
	}
	r.mu.Lock()
	out.done = true
	r.mu.Unlock()
}

// recover checks that everything comes back when all is well again.
func (r *run) recover(ctx context.Context) {
	r.world.mu.Lock()
	r.world.faults = nil
	r.world.mu.Unlock()
	time.Sleep(61 * time.Second) // until no failure is remembered
	for _, s := range r.plan.sources {
		r.world.mu.Lock()
		r.world.version[s.name]++
		r.world.mu.Unlock()
	}
	ops := []*op{{do: "refresh"}}
	for i, s := range r.plan.sources {
		o := &op{do: "resolve", source: i}
		for name := range s.vars() {
			o = &op{do: "get", source: i, variable: name}
		}
		ops = append(ops, o)
	}
	for _, o := range ops {
		o.at, o.deadline, o.times = time.Since(r.world.began), 20*time.Second, 1
		r.read(ctx, o)
		s := r.plan.sources[o.source]
		outgrown := s.latency+patience > s.bound() // in the second for which a read waits with it in hand
		if err := r.outcomes[len(r.outcomes)-1].err; err != nil && !outgrown {
			problem := fmt.Sprintf("at the end, all well: %s: %s", o.text(r.plan), secrets.Detail(err))
			r.problems = append(r.problems, problem)
		}
	}
}

// shrink drops what p can do without and still fail. It returns what is left, and what happened when it failed.
func shrink(t *testing.T, p *plan) (small *plan, problems []string, history string) {
	fails := func(q *plan) bool {
		for range 4 { // lifetimes and backoffs are drawn by the engine
			if found, r := executed(t, q); len(found) > 0 {
				p, problems, history = q, found, r.history()
				return true
			}
		}
		return false
	}
	for range 20 {
		if fails(p) {
			break
		}
	}
	for size := len(p.ops); size > 0; size = min(size/2, len(p.ops)) {
		for from := 0; from < len(p.ops); {
			q := *p
			q.ops = slices.Delete(slices.Clone(p.ops), from, min(from+size, len(p.ops)))
			if !fails(&q) {
				from += size
			}
		}
	}
	for i := range p.ops { // a repeated read, fewer times
		for p.ops[i].times > 1 {
			q, o := *p, *p.ops[i]
			o.times /= 2
			q.ops = slices.Clone(p.ops)
			q.ops[i] = &o
			if !fails(&q) {
				break
			}
		}
	}
	return p, problems, history
}

// history tells what was asked and read, in the order of time.
func (r *run) history() string {
	type line struct {
		at   time.Duration
		text string
	}
	var lines []line
	add := func(at time.Duration, format string, args ...any) {
		lines = append(lines, line{at, fmt.Sprintf("  %12v  "+format+"\n", append([]any{at}, args...)...)})
	}
	for _, q := range r.world.questions {
		switch {
		case q.running:
			add(q.asked.at, "question %d for %s, never answered", q.n, q.source.name)
		case q.abandoned:
			add(q.asked.at, "question %d for %s, until %v, cancelled at %v: %v",
				q.n, q.source.name, q.ended.at, q.cancelled.at, q.err)
		default:
			add(q.asked.at, "question %d for %s, until %v: %v", q.n, q.source.name, q.ended.at, q.err)
		}
	}
	for _, o := range r.outcomes {
		add(o.began.at, "%s, until %v: %v %v %v", o.op.text(r.plan), o.end.at, o.values, o.errs, o.err)
	}
	for _, j := range r.world.jumps {
		add(j.at, "the clocks jump by %v", j.by)
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text)
	}
	return b.String()
}
