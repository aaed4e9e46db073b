package secretstest

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
)

// Drill takes f, the part of a handler that uses a secret, through what production does to it: rotation, a frozen environment, throttling, denial,
// absence. Each is a subtest, which says what production would have seen. The minutes that these take pass in testing/synctest bubbles, so f must
// not use the network, and must leave no goroutine behind.
//
// f does what one invocation does, with the Env that it is given, and returns the plaintext that it used, and its error. It is called many times, as
// invocations are, each with a deadline of 3 seconds, Lambda's default timeout, and each in a goroutine of its own. Every subtest stands for a new execution
// environment, and has an Env of its own. What f writes to os.Stdout, os.Stderr, log and slog is searched for the plaintext; the builtin println is not seen.
//
// The variables that f reads are found by the errors it returns, or are named: "DB_PASSWORD", or with the shape of their value, in which %s is the
// plaintext: `DB={"user":"app","password":"%s"}`. They all hold the same plaintext; a shape without %s, "DB_PORT=5432", stays as it is.
//
// Drill takes over the process's standard output, error and loggers while f runs. It cannot be used in a parallel test.
func Drill(t *testing.T, f func(ctx context.Context, env *secrets.Env) (used string, err error), vars ...string) {
	t.Helper()
	notOnLambda()
	t.Setenv("SECRETSTEST_DRILL", t.Name()) // which fails in parallel tests
	logs := filepath.Join(t.TempDir(), "logs")
	if len(vars) == 0 {
		bubble(t, func(t *testing.T) { vars = discover(t, f, logs) })
	}
	if len(vars) == 0 {
		t.Fatal(`Drill cannot tell which variables the function reads, because it does not return the error of env.Get. Name them: Drill(t, f, "DB_PASSWORD")`)
	}
	for _, s := range []struct {
		name string
		run  func(*drill)
	}{
		{"rotation", rotation}, {"freeze", freeze}, {"throttling", throttling}, {"denial", denial}, {"absence", absence}, {"cold start under throttling", coldStart},
	} {
		t.Run(s.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { s.run(newDrill(t, f, vars, logs)) })
		})
	}
}

// bubble is synctest.Test, which panics if a goroutine is left in the bubble. That it does not say what this means for a function is why bubble says it before.
func bubble(t *testing.T, run func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		before := goroutines()
		run(t)
		for id, stack := range goroutines() {
			if before[id] == "" {
				t.Errorf("it leaves a goroutine behind: Lambda freezes it between invocations, with its timers and connections, and it takes the time of later ones. Drill ends here:\n%s", stack)
				break
			}
		}
	})
}

// discover finds the variables that f reads: an Env without any says in its error which one was asked for.
func discover(t *testing.T, f func(context.Context, *secrets.Env) (string, error), logs string) (vars []string) {
	t.Helper()
	environ := map[string]string{}
	for {
		r := call(t, f, Env(t, environ), logs, func() {}) // an f that ignores its error may panic, and has to be told the variables
		var missing *secrets.ResolveError
		if !errors.As(r.err, &missing) || !errors.Is(r.err, secrets.ErrNotReference) || environ[missing.Variable] != "" {
			return vars
		}
		environ[missing.Variable] = "to-find-the-next-one"
		vars = append(vars, missing.Variable)
	}
}

const (
	timeout = 3 * time.Second  // Lambda's default
	longest = 15 * time.Minute // that it can be set to
)

// A returned is how one call of f ended.
type returned struct {
	used     string
	err      error
	panicked any
	took     time.Duration // no less than longest if it did not end
	printed  string
}

// call calls f once, as Lambda would. If it does not end, relief is called for it to find what it may be waiting for.
func call(t *testing.T, f func(context.Context, *secrets.Env) (string, error), env *secrets.Env, logs string, relief func()) returned {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	r := returned{took: 2 * longest}
	r.printed = capture(t, logs, func() {
		began, ended := time.Now(), make(chan returned, 1)
		go func() {
			e := returned{panicked: "runtime.Goexit, as by FailNow of a test"}
			defer func() {
				if e.panicked != nil {
					if p := recover(); p != nil {
						e.panicked = p
					}
				}
				e.took = time.Since(began)
				ended <- e
			}()
			e.used, e.err = f(ctx, env)
			e.panicked = nil
		}()
		for range 2 {
			select {
			case r = <-ended:
			case <-time.After(longest):
				relief()
				continue
			}
			break
		}
		synctest.Wait() // for what is still being logged
	})
	return r
}

// goroutines returns those of bubbles: id → stack.
func goroutines() map[string]string {
	synctest.Wait()
	text := make([]byte, 1<<20)
	all := map[string]string{}
	for stack := range strings.SplitSeq(string(text[:runtime.Stack(text, true)]), "\n\n") {
		if id, state, _ := strings.Cut(stack, "["); strings.Contains(strings.SplitN(state, "\n", 2)[0], "synctest bubble") {
			all[id] = stack
		}
	}
	return all
}

// A drill is one subtest: one execution environment and what happens to it.
type drill struct {
	t     *testing.T
	f     func(context.Context, *secrets.Env) (string, error)
	vars  []string
	fake  *Fake
	clock *Clock
	env   *secrets.Env
	logs  string
	known []string // every plaintext so far, the current one last
	leak  bool     // was reported
}

func newDrill(t *testing.T, f func(context.Context, *secrets.Env) (string, error), vars []string, logs string) *drill {
	d := &drill{t: t, f: f, vars: vars, fake: NewFake(t, nil), clock: NewClock(), logs: logs}
	environ := map[string]string{}
	for _, v := range vars {
		name, _, _ := strings.Cut(v, "=")
		environ[name] = "sm://drill/" + name
	}
	d.env = d.fake.Env(environ, secrets.WithClock(d.clock.Now))
	return d
}

// rotate gives the secret a new value.
func (d *drill) rotate() {
	// A value that occurs nowhere else, and needs no quoting in JSON.
	value := fmt.Sprintf("drill-%s-%d-Xq7", strings.ReplaceAll(filepath.Base(d.t.Name()), "_", "-"), len(d.known)+1)
	d.known = append(d.known, value)
	for _, v := range d.vars {
		name, shape, shaped := strings.Cut(v, "=")
		if !shaped {
			shape = "%s"
		}
		d.fake.Set("sm://drill/"+name, strings.ReplaceAll(shape, "%s", value))
	}
}

// An outcome is what one invocation made of the secret.
type outcome struct {
	used string
	err  error
	bad  bool // already reported: a panic, a timeout
}

// invoke calls f once.
func (d *drill) invoke() outcome {
	d.t.Helper()
	r := call(d.t, d.f, d.env, d.logs, func() { d.fake.Heal(); d.rotate() })
	o := outcome{used: r.used, err: r.err}
	switch {
	case r.panicked != nil:
		r.printed += fmt.Sprint(r.panicked)
		d.t.Errorf("it panics: the invocation fails, and Lambda starts the environment anew, with another init, again and again while this lasts: %s", d.hide(fmt.Sprint(r.panicked)))
		o.bad = true
	case r.took > timeout:
		took := r.took.Round(time.Millisecond).String()
		if r.took >= longest {
			took = "for ever"
		}
		d.t.Errorf("it takes %s and does not heed its context: Lambda kills it after its timeout (%v by default), with the environment", took, timeout)
		o.bad = true
	}
	if o.err != nil {
		r.printed += o.err.Error()
		if o.used != "" {
			d.t.Error("it returns an error and says that it used a value: which of them would the caller see?")
		}
	}
	for _, value := range d.known {
		if strings.Contains(r.printed, value) && !d.leak {
			d.leak = true
			d.t.Error("it prints the plaintext, in its output, log, panic or error: production has it in CloudWatch Logs, for everybody who may read them, and an error goes to the invoker too")
		}
	}
	return o
}

// expect reports o unless it used the current value. The circumstances say when that was.
func (d *drill) expect(o outcome, circumstances string) bool {
	d.t.Helper()
	current := d.known[len(d.known)-1]
	switch {
	case o.bad:
	case errors.Is(o.err, secrets.ErrNotReference):
		d.t.Errorf("%s: it asks another Env than the one it is given, kept from an earlier environment, or a variable that Drill was not told of: %s", circumstances, d.hide(o.err.Error()))
	case o.err != nil:
		d.t.Errorf("%s: it fails, though there is a good value: %s", circumstances, d.hide(o.err.Error()))
	case o.used == current:
		return true
	default:
		d.t.Errorf("%s: it %s", circumstances, d.misuse(o.used))
	}
	return false
}

// misuse says what is wrong with using a value that is not the current one.
func (d *drill) misuse(used string) string {
	const ask = "It has to ask env.Get each time, which costs nothing, and to keep no string"
	_, notRef := secrets.ParseRef(used)
	switch {
	case used == "":
		return "returns no error and goes on with an empty value: an unauthenticated call, or an empty signing key"
	case used == secrets.Value{}.String():
		return "uses " + used + " as the value: a secrets.Value was printed, and every login would be refused. Reveal returns the plaintext"
	case notRef == nil:
		return "uses the reference itself as the value: every login would be refused. env.Get returns what it stands for"
	case slices.Contains(d.known, used):
		return "uses the old value, which is refused since. " + ask
	case slices.ContainsFunc(d.known, func(value string) bool { return strings.Contains(used, value) }):
		return "uses a text with the plaintext in it, rather than the plaintext: the whole secret where a field was meant, or a DSN"
	}
	return "uses a value that this Env never gave it: a default, or one kept from an earlier environment, in a package variable. " + ask
}

// expectError reports o if the function went on without a value.
func (d *drill) expectError(o outcome, circumstances string) bool {
	d.t.Helper()
	switch {
	case o.bad:
	case o.err != nil:
		return true
	case o.used == "":
		d.t.Errorf("%s: it ignores the error of env.Get and goes on with an empty value: an unauthenticated call, or an empty signing key", circumstances)
	case slices.Contains(d.known, o.used):
		d.t.Errorf("%s: it goes on with a value that it kept. What has been revoked must stop working", circumstances)
	default:
		d.t.Errorf("%s: it goes on, though there is no value, and %s", circumstances, d.misuse(o.used))
	}
	return false
}

// hide takes the plaintexts out of what Drill prints itself.
func (d *drill) hide(text string) string {
	for _, value := range d.known {
		text = strings.ReplaceAll(text, value, "[REDACTED]")
	}
	return text
}

// begin is the first invocation, all well.
func (d *drill) begin() bool {
	d.t.Helper()
	d.rotate()
	return d.expect(d.invoke(), "at the start, all well")
}

const (
	ttl     = 5 * time.Minute  // of the drill's Env, which has the defaults
	grace   = 5 * time.Minute  // of a value whose refresh is denied
	backoff = 30 * time.Second // the longest time in which a failure is remembered
)

func rotation(d *drill) {
	if !d.begin() {
		return
	}
	fetched := d.fake.Rounds()
	if d.expect(d.invoke(), "at once again") && d.fake.Rounds() > fetched {
		d.t.Error("it fetches in every invocation, as by Env.Refresh: AWS is asked, billed and waited for each time, and throttles sooner. env.Get fetches when the TTL has passed")
	}
	rotated := time.Now()
	d.rotate()
	for time.Since(rotated) <= ttl {
		if o := d.invoke(); o.used == d.known[1] {
			d.t.Logf("production would have seen: the new value at most %v after the rotation, at once with Env.Do", time.Since(rotated))
			return
		}
		time.Sleep(10 * time.Second)
	}
	d.expect(d.invoke(), fmt.Sprintf("%v after a rotation", ttl+10*time.Second))
}

func freeze(d *drill) {
	if !d.begin() {
		return
	}
	d.rotate()
	d.clock.Freeze(3 * time.Hour)
	if !d.expect(d.invoke(), "rotated while the environment was frozen for 3 h") {
		return
	}
	time.Sleep(ttl)
	release := d.fake.Hold()
	go func() {
		time.Sleep(100 * time.Millisecond)
		d.rotate()
		d.clock.Freeze(3 * time.Hour)
		release()
	}()
	if d.expect(d.invoke(), "frozen for 3 h in the middle of a refresh, and rotated meanwhile") {
		d.t.Log("production would have seen: the new value in the first invocation after the freeze, also where that came in the middle of a refresh")
	}
}

func throttling(d *drill) {
	if !d.begin() {
		return
	}
	time.Sleep(ttl)
	d.fake.Fail("", secrets.ErrThrottled, 0)
	for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(20 * time.Second) {
		if !d.expect(d.invoke(), fmt.Sprintf("AWS throttles, since %v", time.Since(began).Round(time.Second))) {
			return
		}
	}
	d.fake.Heal()
	d.rotate()
	time.Sleep(backoff)
	d.invoke() // one caller asks, and whoever else asks in this invocation is still served the old value
	if d.expect(d.invoke(), "30 s after ten minutes of throttling, in which the secret was rotated") {
		d.t.Log("production would have seen: the old value, for ten minutes, and no failed invocation; then the new one")
	}
}

func denial(d *drill) {
	if !d.begin() {
		return
	}
	time.Sleep(ttl)
	d.fake.Fail("", secrets.ErrAccessDenied, 0)
	if !d.expect(d.invoke(), "a policy denies, since a moment: it may be being replaced") {
		return
	}
	time.Sleep(grace + backoff)
	if !d.expectError(d.invoke(), "a policy denies, since 5 min 30 s") {
		return
	}
	d.fake.Heal()
	d.rotate()
	time.Sleep(backoff)
	if d.expect(d.invoke(), "30 s after the policy was mended") {
		d.t.Log("production would have seen: the old value for the 5 minutes of WithGrace, then failed invocations until the policy was mended, then the new value")
	}
}

func absence(d *drill) {
	if !d.expectError(d.invoke(), "the secret does not exist") {
		return
	}
	d.rotate()
	time.Sleep(backoff)
	if d.expect(d.invoke(), "30 s after the secret was created") {
		d.t.Log("production would have seen: failed invocations until the secret was created, then its value, in the same environment")
	}
}

func coldStart(d *drill) {
	d.rotate()
	d.fake.Fail("", secrets.ErrThrottled, 0)
	if !d.expectError(d.invoke(), "AWS throttles at the first invocation, and there is no value yet") {
		return
	}
	d.fake.Heal()
	time.Sleep(backoff)
	if d.expect(d.invoke(), "30 s after the throttling ended") {
		d.t.Log("production would have seen: failed invocations, each before its deadline, while AWS throttles; then the value, in the same environment")
	}
}

// capture returns what f writes to standard output and error, to log and to slog.
func capture(t *testing.T, path string, f func()) string {
	t.Helper()
	file, err := os.Create(path) // not a pipe: a bubble's clock stands still while a goroutine reads from one
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// What the pointers point to, rather than the variables: a logger that was made of os.Stdout before holds the pointer.
	stdout, stderr, logger, out, flags := *os.Stdout, *os.Stderr, slog.Default(), log.Writer(), log.Flags()
	defer func() {
		*os.Stdout, *os.Stderr = stdout, stderr
		slog.SetDefault(logger) // which changes package log too
		log.SetOutput(out)
		log.SetFlags(flags)
	}()
	*os.Stdout, *os.Stderr = *file, *file
	slog.SetDefault(slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug})))
	f()
	printed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(printed)
}
