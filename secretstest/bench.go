package secretstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
)

const (
	timeout     = 3 * time.Second  // Lambda's default
	initTimeout = 10 * time.Second // of an init, which cannot be changed
	forever     = 15 * time.Minute // the longest time-out that a function can have
	slack       = time.Second / 10 // in which an invocation ends whose context has ended
)

// A bench is what the subtests of one Drill share.
type bench struct {
	start func(*Instance) Handler
	vars  []*variable
	logs  string // the file that takes what the handler prints
	watchdog

	mu      sync.Mutex
	earlier map[string]*variable // plaintexts of all environments
	caching map[*variable]bool   // the handler keeps its value for some time only
}

// A variable is one that the handler reads.
type variable struct {
	name     string
	optional bool
	shape    string // in which %s is the plaintext
}

// parseVariable parses NAME, NAME?optional, NAME=shape and NAME?optional=shape.
func parseVariable(text string) (*variable, error) {
	name, shape, shaped := strings.Cut(text, "=")
	name, option, marked := strings.Cut(name, "?")
	if name == "" || marked && option != "optional" {
		return nil, fmt.Errorf("secretstest: Drill: %q is not a variable: write NAME, NAME?optional or "+
			"NAME=shape, in which %%s stands for the plaintext", text)
	}
	if !shaped {
		shape = "%s"
	}
	return &variable{name: name, optional: marked, shape: shape}, nil
}

// ref returns the reference that the variable holds in a drill.
func (v *variable) ref() string { return "sm://drill/" + v.name }

// environ returns the variable's text in the environment.
func (v *variable) environ() string {
	if v.optional {
		return v.ref() + "?optional"
	}
	return v.ref()
}

// constant reports whether the variable holds no plaintext, so that nothing is judged.
func (v *variable) constant() bool { return !strings.Contains(v.shape, "%s") }

// whole returns the variable's value with a plaintext in it.
func (v *variable) whole(plaintext string) string {
	return strings.ReplaceAll(v.shape, "%s", plaintext)
}

// json reports whether the value is an object, of which a handler uses a field.
func (v *variable) json() bool { return strings.HasPrefix(strings.TrimSpace(v.shape), "{") }

// plaintext makes one that occurs nowhere else, and needs no quoting in JSON and URLs.
func (b *bench) plaintext(v *variable) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := fmt.Sprintf("drill-%d-%s-Xq7", len(b.earlier)+1, strings.ReplaceAll(v.name, "_", "-"))
	b.earlier[text] = v
	return text
}

// A drill is one subtest: execution environments, one after the other, and what happens to them.
type drill struct {
	*bench
	t     *testing.T
	fake  *Fake
	clock *drillClock
	in    *Instance // nil before its init, and after one that failed
	run   Handler
	// denied says that nothing is to be had, and no retry helps: then an init may panic.
	denied    bool
	discovers bool // any plaintext is right
	hung      bool // something does not end: what it leaves needs no words
	told      map[fault]bool

	mu    sync.Mutex
	known map[*variable][]string // its plaintexts so far, the current one last
}

func (b *bench) newDrill(t *testing.T) *drill {
	d := &drill{bench: b, t: t, fake: NewFake(t, nil), clock: &drillClock{Clock: NewClock()},
		known: map[*variable][]string{}, told: map[fault]bool{}}
	d.fake.pause = d.clock.pause
	return d
}

// rotate gives variables a new value; none means all.
func (d *drill) rotate(vars ...*variable) {
	if len(vars) == 0 {
		vars = d.vars
	}
	for _, v := range vars {
		plaintext := d.plaintext(v)
		d.mu.Lock()
		d.known[v] = append(d.known[v], plaintext)
		d.mu.Unlock()
		d.fake.Set(v.ref(), v.whole(plaintext))
	}
}

// init starts an environment. The outcome is that of an init that failed.
func (d *drill) init() (outcome, bool) {
	d.t.Helper()
	environ := map[string]string{}
	for _, v := range d.vars {
		environ[v.name] = v.environ()
	}
	in := &Instance{d: d}
	if d.discovers {
		in.Env = d.discoveryEnv()
	} else {
		in.Env = d.fake.Env(environ,
			secrets.WithClock(d.clock.now), secrets.WithRejected(secretsql.Refused))
	}
	d.in = in
	var run Handler
	r := d.call(initTimeout, func(context.Context) (any, error) {
		run = d.bench.start(in)
		return nil, nil
	})
	if r.panicked == nil && run == nil && r.took < forever {
		d.t.Fatal("secretstest: Drill: start returns no Handler")
	}
	d.run = run
	if r.panicked == nil {
		return outcome{}, d.judgeCall(r, initTimeout, "the init")
	}
	if d.denied || d.discovers {
		r.err, r.panicked = asError(r.panicked), nil // it is to fail
	}
	d.judgeCall(r, initTimeout, "the init")
	d.endInstance()
	return outcome{err: r.err, bad: !d.denied && !d.discovers}, false
}

func asError(panicked any) error {
	if err, ok := panicked.(error); ok {
		return err
	}
	return fmt.Errorf("%v", panicked)
}

// An outcome is what one invocation made of the secrets.
type outcome struct {
	last map[*variable]use // of each variable that was used
	odd  []use             // of no variable
	err  error
	bad  bool // it is told already: a panic, a time-out
}

// invoke is one invocation, after an init if there is no environment.
func (d *drill) invoke() outcome {
	d.t.Helper()
	if d.in == nil {
		if o, ok := d.init(); !ok {
			return o
		}
	}
	calls := d.fake.Rounds()
	d.clock.reads.Store(0)
	r := d.call(timeout, d.run)
	o := outcome{err: r.err, last: map[*variable]use{}, bad: !d.judgeCall(r, timeout, "an invocation")}
	times := 1 + int(r.took/timeout) // what may happen in 3 seconds may happen so many times
	switch {
	case d.fake.Rounds()-calls > times*maxCalls*len(d.vars):
		d.report(storm, "", fmt.Sprintf("more than %d calls for one value in one invocation", maxCalls))
	case d.clock.reads.Load() > int64(times*maxReads):
		d.report(storm, "", "it calls Env in a loop, without a pause")
	}
	d.in.mu.Lock()
	defer d.in.mu.Unlock()
	for _, u := range d.in.uses {
		if u.variable != nil {
			o.last[u.variable] = u
		} else {
			o.odd = append(o.odd, u)
		}
	}
	d.in.uses = nil
	return o
}

// maxCalls is more than the tries that one read makes before its deadline.
const maxCalls = 12

// A returned is how one call of the handler ended.
type returned struct {
	reply    any
	err      error
	panicked any
	took     time.Duration // no less than forever if it did not end
	printed  string
}

// exited stands for the panic of a goroutine that ended without a panic and a return.
const exited = "runtime.Goexit, as by FailNow of a test"

// call calls f once, as Lambda would. If f does not end, AWS gets well, for what f may wait for.
func (d *drill) call(limit time.Duration, f Handler) returned {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r := returned{took: 2 * forever}
	r.printed = d.capture(d.t, func() {
		began, ended := time.Now(), make(chan returned, 1)
		go func() {
			e := returned{panicked: exited}
			defer func() {
				if e.panicked != nil {
					if p := recover(); p != nil {
						e.panicked = p
					}
				}
				e.took = time.Since(began)
				ended <- e
			}()
			e.reply, e.err = f(ctx)
			e.panicked = nil
		}()
		for range 2 {
			select {
			case r = <-ended:
			case <-time.After(forever):
				d.fake.Heal()
				if !d.discovers {
					d.rotate()
				}
				continue
			}
			break
		}
		synctest.Wait() // for what is still being logged
	})
	d.progress.Add(1)
	return r
}

// judgeCall reports a call that panicked, hung or printed a plaintext.
func (d *drill) judgeCall(r returned, limit time.Duration, who string) (ok bool) {
	d.t.Helper()
	ok = true
	switch {
	case d.discovers:
		d.hung = r.took >= forever
		return r.panicked == nil && !d.hung
	case r.panicked == fatalCall{}:
		d.report(exits, "", fmt.Sprintf("%s calls log.Fatal", who))
		ok = false
	case r.panicked != nil:
		d.report(panics, "", fmt.Sprintf("in %s: %s", who, d.hide(fmt.Sprint(r.panicked))))
		ok = false
	case r.took >= forever:
		d.report(hangs, "", who+" never ends")
		ok, d.hung = false, true
	case r.took > limit+slack:
		d.report(hangs, "", fmt.Sprintf("%s does not end at its deadline of %v", who, limit))
		ok = false
	case r.took >= limit:
		d.t.Logf("%s ends only at its deadline of %v, when Lambda kills the environment: "+
			"give what it waits for a shorter time-out", who, limit)
	}
	d.judgeTexts(r)
	return ok
}

// discover finds the variables that the handler reads: an Env without any says in its error which
// one was asked for.
func (b *bench) discover(t *testing.T) {
	for {
		d := b.newDrill(t)
		d.discovers = true
		o := d.invoke()
		d.end()
		var missing *secrets.ResolveError
		known := func(v *variable) bool { return v.name == missing.Variable }
		if !errors.As(o.err, &missing) || !errors.Is(o.err, secrets.ErrNotReference) ||
			slices.ContainsFunc(b.vars, known) {
			return
		}
		b.vars = append(b.vars, &variable{name: missing.Variable, shape: "%s"})
	}
}

// discoveryEnv returns an Env of the variables that are found so far.
func (d *drill) discoveryEnv() *secrets.Env {
	values := map[string]string{}
	for _, v := range d.vars {
		values[v.name] = d.plaintext(v)
	}
	return Env(d.t, values)
}
