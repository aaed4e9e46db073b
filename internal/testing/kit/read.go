package kit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

// Got is what one reader was given, and after how long.
type Got struct {
	Text  string
	Stale bool
	Err   error
	Took  time.Duration
}

// Read starts a reader of name, in a bubble.
func Read(ctx context.Context, env *secrets.Env, name string) <-chan Got {
	c := make(chan Got, 1)
	began := time.Now()
	go func() {
		v, err := env.Get(ctx, name)
		g := Got{Err: err, Took: time.Since(began)}
		if err == nil {
			g.Text, g.Stale = v.Reveal(), v.Stale()
		}
		c <- g
	}()
	synctest.Wait()
	return c
}

// MustGet gets name, and ends the test where that fails.
func MustGet(t testing.TB, env *secrets.Env, name string) secrets.Value {
	t.Helper()
	v, err := env.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("Get(%s): %s", name, secrets.Detail(err))
	}
	return v
}

// Expect gets A and compares it with want, which ends in an asterisk for a stale value.
func Expect(t testing.TB, env *secrets.Env, want string) {
	t.Helper()
	v, err := env.Get(t.Context(), "A")
	if err != nil {
		t.Errorf("Get(A): %s; want %s", secrets.Detail(err), want)
		return
	}
	got := v.Reveal()
	if v.Stale() {
		got += "*"
	}
	if got != want {
		t.Errorf("Get(A) = %s, want %s", got, want)
	}
}

// Took runs f and checks how long it took.
func Took(t testing.TB, what string, least, most time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if d := time.Since(began); d < least || d > most {
		t.Errorf("%s took %v, want %v to %v", what, d, least, most)
	}
}

// Shift moves the wall clock by wall and the monotonic one by mono.
func Shift(c *secretstest.Clock, wall, mono time.Duration) {
	c.Advance(mono)
	c.Freeze(wall - mono)
}
