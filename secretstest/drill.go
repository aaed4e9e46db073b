package secretstest

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lambdasecrets/secrets"
)

// A Handler handles one invocation: it calls the handler that is tested, with an event of the
// test's choice, and returns its reply and its error.
type Handler func(ctx context.Context) (reply any, err error)

// Drill takes a handler through what production does to it: rotation, a frozen environment,
// throttling, denial, absence, a cold start during an outage. Each of these is a subtest, which
// names the faults that it finds, with the variable and the next step, and logs what production
// would have seen.
//
// start does what main or init does in production: it builds the handler from [Instance.Env].
// Drill calls start once for each execution environment, and the Handler any number of times, each
// time with a deadline of 3 seconds, Lambda's default timeout. What start opens, it closes by
// [Instance.Cleanup]. The secret's way out of the handler (a login, a header, a signature) tells
// Drill what was used, by [Instance.Use] or [Instance.Match].
//
// Drill finds the variables by the errors that the Handler returns. A handler that does not return
// the error of Env.Get, or that goes on without a value, needs their names: "DB_PASSWORD", with
// the option "API_KEY?optional", or with the shape of the value, in which %s is the plaintext:
// `DB={"user":"app","password":"%s"}`. A shape without %s, "DB_PORT=5432", stays as it is.
// Each variable has a plaintext of its own, which rotates by itself.
//
// Drill names these faults:
//
//   - keeps the value: after a rotation, a freeze or a revocation it uses an old one, for ever;
//   - caches the value beyond its TTL: it uses an old one, for some time;
//   - goes on without a value: it uses an empty text, a default or the reference itself;
//   - uses more than the plaintext: the whole JSON where a field is meant;
//   - fails with a good value in hand;
//   - panics, or exits the process by log.Fatal;
//   - hangs: an invocation does not end when its context does;
//   - prints the plaintext: in its output, log, error or panic, base64 included;
//   - replies with the plaintext;
//   - fetches in every invocation, and asks AWS without end: a call storm during an outage;
//   - leaves a goroutine, after what start gave to Cleanup is done;
//   - uses another Env, or a variable that Drill was not told of;
//   - does not say what it used;
//   - cannot be judged, because a pool keeps its connections open and does not log in again: let the
//     test close the idle ones, as by db.SetMaxIdleConns(0).
//
// The handler runs in testing/synctest bubbles, in which minutes take no time. So it must not use
// the network: give it a driver, a dialer or an http.RoundTripper that the test provides. Drill
// takes over the process's standard output, error and loggers while the handler runs. It cannot be
// used in a parallel test.
func Drill(t *testing.T, start func(in *Instance) Handler, vars ...string) {
	t.Helper()
	notOnLambda()
	t.Setenv("SECRETSTEST_DRILL", t.Name()) // which fails in parallel tests
	if inBubble() {
		t.Fatal("secretstest: Drill makes bubbles of its own: call it outside of synctest.Test")
	}
	b := &bench{start: start, logs: filepath.Join(t.TempDir(), "logs"),
		earlier: map[string]*variable{}, caching: map[*variable]bool{}}
	for _, text := range vars {
		v, err := parseVariable(text)
		if err != nil {
			t.Fatal(err)
		}
		b.vars = append(b.vars, v)
	}
	if len(vars) == 0 {
		b.bubble(t, b.discover)
	}
	if len(b.vars) == 0 && !t.Failed() {
		t.Fatal("secretstest: Drill cannot tell which variables the handler reads, because its errors " +
			"do not say so. Return the error of env.Get, or name the variables: " +
			`Drill(t, start, "DB_PASSWORD")`)
	}
	for _, s := range scenarios {
		if b.stuck {
			return
		}
		t.Run(s.name, func(t *testing.T) {
			b.bubble(t, func(t *testing.T) {
				d := b.newDrill(t)
				s.run(d)
				d.end()
			})
		})
	}
}

// An Instance is one execution environment of the function that [Drill] tests.
type Instance struct {
	// Env is what secrets.New or MustWarm returns in production. It knows the login errors that
	// package secretsql knows, as by WithRejected.
	Env *secrets.Env

	d *drill

	mu   sync.Mutex
	ends []func()
	uses []use // since the last invocation began
}

// Use says that the handler used a plaintext: it logs in with it, sends it or signs with it. It
// stands for the other side, and returns nil if the plaintext is the current one. Otherwise the
// error is a refusal: package secretsql knows it as one of a database, and it is marked by
// secrets.Rejected, so that Env.Do and Derived.Do look for a newer value.
//
// Use is safe for concurrent use, and may be called in start too.
func (in *Instance) Use(plaintext string) error {
	return in.record(in.d.useOf(plaintext))
}

// Match is [Instance.Use] for a handler that shows only what it made of the plaintext, such as a
// signature: f reports whether it is made of a given plaintext.
func (in *Instance) Match(f func(plaintext string) bool) error {
	return in.record(in.d.useThat(f))
}

// Cleanup has f run when the environment ends: the last one first, after the last invocation. Only
// then Drill looks for goroutines that are left.
func (in *Instance) Cleanup(f func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ends = append(in.ends, f)
}

func (in *Instance) record(u use) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.uses = append(in.uses, u)
	if u.refused {
		return secrets.Rejected(refusal{})
	}
	return nil
}

// A refusal is what the other side says of a plaintext that is not the current one.
type refusal struct{}

func (refusal) Error() string {
	return "secretstest: the plaintext is refused: it is not the current one"
}

// SQLState is that of invalid_password, by which package secretsql knows a refused login.
func (refusal) SQLState() string { return "28P01" }
