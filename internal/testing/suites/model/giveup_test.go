package model

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
)

// What a caller does who cannot have what it waited for. The random driver found these.

// An answer that is older than its bounds when it comes is asked for again, while its caller has time.
func TestFreeze_OldAnswerIsAskedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		clock := newClock()
		b := newBackend(func(_ string, n int) reply {
			if n == 1 {
				time.AfterFunc(4900*time.Millisecond, func() { clock.freeze(3 * time.Hour) })
				return reply{wait: 5 * time.Second, deaf: true}
			}
			return reply{wait: 20 * time.Millisecond}
		})
		env := newEnv(t, b.parts(), map[string]string{"A": "sm://a?ttl=1h&stale=1m"}, secrets.WithClock(clock.now))
		wantRead(t, "with 20 s", get(t, env, "A", 20*time.Second), "a-0", 6*time.Second)
	})
}

// A value that outgrew its bounds long ago is none to wait a second with.
func TestExpired_WaitsItsWholeTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		clock := newClock()
		b := newBackend(func(string, int) reply { return reply{wait: 1500 * time.Millisecond} })
		env := newEnv(t, b.parts(), map[string]string{"A": "sm://a?ttl=1h&stale=20m"}, secrets.WithClock(clock.now))
		get(t, env, "A", 10*time.Second)
		clock.freeze(3 * time.Hour)
		wantRead(t, "three hours later", get(t, env, "A", 10*time.Second), "a-0", 1600*time.Millisecond)
	})
}

func TestExpired_Undeclared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(func(string, int) reply { return reply{wait: 1500 * time.Millisecond} })
		env := newEnv(t, b.parts(), nil)
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			_, err := env.Resolve(ctx, secrets.Secret("a").With("ttl", "10s").With("stale", "2s"))
			cancel()
			if err != nil {
				t.Error(secrets.Detail(err))
			}
			time.Sleep(10 * time.Minute)
		}
	})
}

// An older failure does not lengthen the silence of an impatient caller.
func TestTimeout_AfterAnOlderFailure(t *testing.T) {
	for name, err := range map[string]error{"transient": errServer, "permanent": secrets.ErrNotFound} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBackend(func(_ string, n int) reply {
					if n == 1 {
						return reply{err: err}
					}
					return reply{wait: 1500 * time.Millisecond}
				})
				env := newEnv(t, b.parts(), single)
				for range 12 {
					get(t, env, "A", 500*time.Millisecond)
					time.Sleep(5 * time.Second)
				}
				wantRead(t, "the patient caller", get(t, env, "A", 20*time.Second), "a-0", 1600*time.Millisecond)
			})
		})
	}
}

// With bounds of zero and answers that come too late a caller gives up, and does not go round in a circle.
func TestZeroBounds_NoCircle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(func(string, int) reply { return reply{wait: 5 * time.Second, deaf: true} })
		clock := newClock()
		env := newEnv(t, b.parts(), nil, secrets.WithClock(func() (time.Time, time.Duration) {
			if b.count("") > 100 {
				runtime.Goexit() // or the test would not end
			}
			return clock.now()
		}))
		done := make(chan bool)
		go func() {
			defer close(done)
			for range 3 {
				limited, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				env.Resolve(limited, secrets.Secret("a").With("ttl", "0s").With("stale", "0s"))
				cancel()
				time.Sleep(700 * time.Millisecond)
			}
		}()
		<-done
		time.Sleep(time.Minute) // until the provider has returned
		if n := b.count(""); n > 20 {
			t.Errorf("%d calls of three readers", n)
		}
	})
}
