package secretsql

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets"
)

// BeforeConnect returns a hook for a pool that asks for the login before each connection, such as
// BeforeConnect of pgxpool's Config. set puts the value of the variable name into the
// configuration of the connection, and arranges that refused hears of an error of that connection:
//
//	config.BeforeConnect = secretsql.BeforeConnect(env, "DB",
//		func(cc *pgx.ConnConfig, v secrets.Value, refused func(error)) error {
//			cc.Password = v.Reveal()
//			closes := cc.OnPgError
//			cc.OnPgError = func(c *pgconn.PgConn, err *pgconn.PgError) bool {
//				refused(err)
//				return closes(c, err)
//			}
//			return nil
//		})
//
// Such a pool does not connect again by itself. When a single-user rotation has changed the
// password, the connections that it is opening at that moment fail, and whoever waits for them.
// The next attempt logs in with the newer value, from where [secrets.Env.Do] finds one, the
// AWSPENDING version included. Where no query may fail, use [Connector], or connect inside set
// and return the error: set runs again with the newer value if [Refused] knows the error.
//
// refused ignores errors that Refused does not know. It may be called at any time, from any
// goroutine. The hook blocks as Env.Get does. The value that was refused last is not used again
// if there is another one.
func BeforeConnect[C any](
	env *secrets.Env,
	name string,
	set func(config C, v secrets.Value, refused func(error)) error,
) func(ctx context.Context, config C) error {
	var r refusals
	return func(ctx context.Context, config C) error {
		use := func(v secrets.Value) error {
			return set(config, v, func(err error) {
				if Refused(err) {
					r.add(v)
				}
			})
		}
		var skipped []secrets.Value
		err := env.Do(ctx, name, func(v secrets.Value) error {
			if r.holds(v) {
				skipped = append(skipped, v)
				return secrets.Rejected(errSkipped)
			}
			err := use(v)
			if Refused(err) {
				return secrets.Rejected(err)
			}
			return err
		})
		if errors.Is(err, errSkipped) {
			// Every value that there is was refused. The database may have gone back to one of
			// them, most likely to that which it refused the longest time ago.
			return use(r.oldest(skipped))
		}
		return err
	}
}

var errSkipped = errors.New("secretsql: the server refused this value before")

const (
	searchInterval = 10 * time.Second // in which Env.Do looks for a newer value once

	// maxTurns is how often a value may be refused in searchInterval, with others in between.
	maxTurns = 3
)

// refusals are the values that the server refused, oldest first: the last one, and those before it
// that are not older than searchInterval, since no old plaintext is to be kept for long.
type refusals struct {
	mu   sync.Mutex
	list []refusal
}

type refusal struct {
	v     secrets.Value
	at    time.Time
	times int // that it became the last one
}

// add notes that v was refused. All connections that were being opened when the password changed
// are refused with the same value, which counts once.
func (r *refusals) add(v secrets.Value) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := refusal{v: v, at: time.Now(), times: 1}
	if i := r.index(v); i >= 0 && i == len(r.list)-1 {
		x.times = r.list[i].times
	} else if i >= 0 {
		x.times = r.list[i].times + 1
	}
	r.list = slices.DeleteFunc(r.list, func(old refusal) bool {
		return old.v.Equal(v) || x.at.Sub(old.at) >= searchInterval
	})
	r.list = append(r.list, x)
}

// holds reports whether v is to be passed over: it was refused last, or again and again. What was
// refused before another value works again if a rotation was rolled back, but if neither value
// works, the two must not take turns for ever, since each turn costs fetches.
func (r *refusals) holds(v secrets.Value) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.index(v)
	if i < 0 {
		return false
	}
	again := r.list[i].times >= maxTurns && time.Since(r.list[i].at) < searchInterval
	return again || i == len(r.list)-1
}

// index returns the place of v in the list, or -1.
func (r *refusals) index(v secrets.Value) int {
	return slices.IndexFunc(r.list, func(x refusal) bool { return x.v.Equal(v) })
}

// oldest returns that of the values, of which there is one at least, that was refused the longest
// time ago, and forgets that it was refused.
func (r *refusals) oldest(values []secrets.Value) secrets.Value {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := values[0]
	for _, x := range r.list {
		if slices.ContainsFunc(values, x.v.Equal) {
			v = x.v
			break
		}
	}
	r.list = slices.DeleteFunc(r.list, func(x refusal) bool { return x.v.Equal(v) })
	return v
}
