// Package secretstest tests programs that use package secrets, without AWS: no network, no
// credentials, no AWS package to import.
//
// A handler that is given its Env needs one line:
//
//	env := secretstest.Env(t, map[string]string{"DB_PASSWORD": "swordfish"})
//
// Where a test is about rotation, outages or permissions, a [Fake] stands in for AWS, and a [Clock]
// moves time. [Drill] takes a handler through what production does to it, and names its faults.
// Where the SDK should run too, an [Endpoint] answers as KMS, Parameter Store and Secrets Manager
// do.
//
// Everything belongs to the test that made it: parallel tests share nothing, except in [Drill].
// Everything works in a testing/synctest bubble if it is made in the bubble, and everything panics
// on Lambda, where AWS_LAMBDA_RUNTIME_API is set: no production may run on a fake.
package secretstest

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/lambdaenv"
)

// Env returns an Env in which Get of each name returns its value, as it is, even if it looks like a
// reference. Nothing is fetched, and the process environment is not read. It ends the test if an
// option is wrong.
func Env(t testing.TB, values map[string]string, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	notOnLambda()
	all := []secrets.Option{secrets.WithEnviron(values)}
	for name := range values {
		if !lambdaenv.Reserved(name) { // New refuses to declare what Lambda and the SDK read
			all = append(all, secrets.WithVars(secrets.Literal, name))
		}
	}
	env, err := secrets.New(append(all, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// notOnLambda panics where a function runs. The emulators that set the variable run what would be
// deployed: they count.
func notOnLambda() {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		panic("secretstest: AWS_LAMBDA_RUNTIME_API is set: this is a Lambda function, " +
			"and secretstest is for tests")
	}
}

// A Clock is time for a test to move, for [secrets.WithClock]: WithClock(clock.Now). It runs with
// time.Now, that of the bubble in a bubble, and is ahead of it by what the test says. It is safe for
// concurrent use.
type Clock struct {
	start time.Time

	mu         sync.Mutex
	wall, mono time.Duration // ahead of time.Now
}

// NewClock returns a Clock that tells the time.
func NewClock() *Clock {
	notOnLambda()
	return &Clock{start: time.Now()}
}

// Now returns the wall clock and the monotonic one.
func (c *Clock) Now() (wall time.Time, mono time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return now.Add(c.wall), now.Sub(c.start) + c.mono
}

// Advance lets d pass on both clocks, as in an environment that is busy, or waits without being
// frozen.
func (c *Clock) Advance(d time.Duration) { c.move(d, d) }

// Freeze lets d pass on the wall clock only: Lambda freezes an environment between invocations, and
// its monotonic clock with it.
func (c *Clock) Freeze(d time.Duration) { c.move(d, 0) }

// SetBack turns the wall clock back by d, as a time server may.
func (c *Clock) SetBack(d time.Duration) { c.move(-d, 0) }

func (c *Clock) move(wall, mono time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += wall
	c.mono += mono
}
