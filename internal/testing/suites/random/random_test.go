package random_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/kit"
	"github.com/lambdasecrets/secrets/secretstest"
)

// A world is a backend that has bad days, and remembers what it said and when.
type world struct {
	mu      sync.Mutex
	rand    *rand.Rand
	things  map[string]*thing // by Ref.ID
	trouble error             // of every call; hang means no answer
	until   time.Time
	clock   *secretstest.Clock
}

// now returns the wall clock, which goes on while the sandbox is frozen.
func (w *world) now() time.Time { now, _ := w.clock.Now(); return now }

// A thing is one secret.
type thing struct {
	values  []stored  // all that were ever stored, the current one last
	gone    error     // what a read fails with instead, for a permanent reason
	until   time.Time // when that ends
	refused time.Time // when a read first failed so since the last success
	asked   []time.Time
}

type stored struct {
	plain    string
	from, to time.Time // to: zero while it is current
}

var errHang = errors.New("hang")

func (w *world) store(id string) {
	t, now := w.things[id], w.now()
	if n := len(t.values); n > 0 {
		t.values[n-1].to = now
	}
	t.values = append(t.values, stored{plain: fmt.Sprintf("PLAINTEXT of %s, number %d", id, len(t.values)), from: now})
}

func (w *world) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	w.mu.Lock()
	pause := time.Duration(w.rand.IntN(150)) * time.Millisecond
	trouble := w.trouble
	if !w.now().Before(w.until) {
		trouble = nil
	}
	for _, ref := range refs {
		w.things[ref.ID()].asked = append(w.things[ref.ID()].asked, time.Now())
	}
	w.mu.Unlock()

	results := make([]secrets.Result, len(refs))
	if trouble == errHang {
		pause = time.Hour
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		for i := range results {
			results[i].Err = ctx.Err()
		}
		return results
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, ref := range refs {
		t := w.things[ref.ID()]
		switch {
		case trouble != nil:
			results[i].Err = trouble
		case t.gone != nil && w.now().Before(t.until):
			results[i].Err = fmt.Errorf("scripted: %w", t.gone)
			if t.refused.IsZero() {
				t.refused = w.now()
			}
		default:
			t.refused = time.Time{}
			results[i].Value = secrets.NewValue(t.values[len(t.values)-1].plain, fmt.Sprint(len(t.values)))
		}
	}
	return results
}

// event makes something happen.
func (w *world) event(ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, id := w.now(), ids[w.rand.IntN(len(ids))]
	t := w.things[id]
	span := func(from, to time.Duration) time.Time { return now.Add(from + rand.N(to-from)) }
	switch n := w.rand.IntN(100); {
	case n < 40:
		w.store(id)
	case now.Before(w.until): // one trouble at a time
	case n < 55:
		w.trouble, w.until = secrets.ErrThrottled, span(5*time.Second, time.Minute)
	case n < 65:
		w.trouble, w.until = fmt.Errorf("503: %w", secrets.ErrUnavailable), span(5*time.Second, 2*time.Minute)
	case n < 70:
		w.trouble, w.until = errHang, span(5*time.Second, 30*time.Second)
	case now.Before(t.until):
	case n < 80:
		// a policy that is being replaced
		t.gone, t.until = secrets.ErrAccessDenied, span(5*time.Second, 40*time.Second)
	case n < 90:
		t.gone, t.until = secrets.ErrAccessDenied, span(12*time.Minute, 25*time.Minute)
	default:
		t.gone, t.until = secrets.ErrNotFound, span(10*time.Second, 20*time.Minute)
	}
}

// Two hours of throttling, 5xx, cut connections, denials that blink and denials that stay, deletions, rotations,
// freezes and clocks that are set back, and every read is checked.
func TestRandom_TwoHours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// the defaults, and the stale bound of half of the references
		const ttl, grace, bound = 5 * time.Minute, 5 * time.Minute, 20 * time.Minute
		seed := rand.Uint64()
		t.Log("seed", seed)
		w := &world{rand: rand.New(rand.NewPCG(seed, 1)), things: map[string]*thing{}, clock: secretstest.NewClock()}
		environ := map[string]string{}
		var names, ids []string
		for i := range 50 {
			name, id := fmt.Sprintf("V%02d", i), fmt.Sprintf("/v/%d", i)
			environ[name] = "ssm://" + id
			if i%4 < 2 {
				environ[name] = "sm://" + id
			}
			if i%2 == 0 {
				environ[name] += "?stale=20m"
			}
			names, ids = append(names, name), append(ids, id)
			w.things[id] = &thing{}
			w.store(id)
		}
		var log bytes.Buffer
		env, err := secrets.New(secrets.WithEnviron(environ), secrets.WithProvider(w), secrets.WithClock(w.clock.Now),
			secrets.WithLogger(slog.New(slog.NewJSONHandler(&kit.Locked{W: &log, Mu: new(sync.Mutex)}, nil))))
		if err != nil {
			t.Fatal(err)
		}
		if err := env.Warm(t.Context()); err != nil {
			t.Fatal(secrets.Detail(err))
		}

		// check judges what a read returned.
		var served, stale, failed, hidden int
		check := func(i int, v secrets.Value, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			now, thing := w.now(), w.things[ids[i]]
			if err != nil {
				if failed++; strings.Contains(err.Error()+secrets.Detail(err), "PLAINTEXT") {
					t.Errorf("%s: the error quotes the value", names[i])
				}
				return
			}
			served++
			at := slices.IndexFunc(thing.values, func(s stored) bool { return s.plain == v.Reveal() })
			if at < 0 {
				t.Errorf("%s: %q was never stored under it", names[i], v.Reveal())
				return
			}
			age := now.Sub(v.FetchedAt())
			if s := thing.values[at]; !s.to.IsZero() && s.to.Before(v.FetchedAt()) {
				t.Errorf("%s: had been replaced %v before it was fetched", names[i], v.FetchedAt().Sub(s.to))
			}
			if v.Stale() {
				stale++
			} else if age > ttl {
				t.Errorf("%s: %v old and not marked stale", names[i], age)
			}
			if i%2 == 0 && age > bound {
				t.Errorf("%s: %v old, the bound is %v", names[i], age, bound)
			}
			if !thing.refused.IsZero() {
				if hidden++; now.Sub(thing.refused) > grace {
					t.Errorf("%s: refused since %v, and still served", names[i], now.Sub(thing.refused))
				}
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for r := range 4 {
			random := rand.New(rand.NewPCG(seed, uint64(r+2)))
			readers.Go(func() {
				for ctx.Err() == nil {
					i := random.IntN(len(names))
					call, cancel := context.WithTimeout(ctx, time.Duration(500+random.IntN(2500))*time.Millisecond)
					v, err := env.Get(call, names[i])
					if ctx.Err() == nil {
						check(i, v, err)
					}
					cancel()
					time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
				}
			})
		}
		for began := time.Now(); time.Since(began) < 2*time.Hour; {
			time.Sleep(time.Duration(10+rand.IntN(40)) * time.Second)
			w.event(ids)
			switch rand.IntN(40) {
			case 0, 1, 2:
				kit.Shift(w.clock, rand.N(10*time.Minute), 0) // frozen, half-way through whatever goes on
			case 3:
				kit.Shift(w.clock, -rand.N(2*time.Second), 0) // NTP
			}
			if after := time.Since(began); after > 70*time.Minute && after < 71*time.Minute {
				w.mu.Lock() // an outage longer than the stale bound
				w.trouble, w.until = fmt.Errorf("503: %w", secrets.ErrUnavailable), w.now().Add(25*time.Minute)
				w.mu.Unlock()
			}
		}
		stop()
		readers.Wait()

		// All is well again: everything comes back, as it is.
		w.mu.Lock()
		w.until = time.Time{}
		for _, thing := range w.things {
			thing.gone = nil
		}
		w.mu.Unlock()
		time.Sleep(time.Minute)
		if err := env.Refresh(t.Context()); err != nil {
			t.Error(secrets.Detail(err))
		}
		for i, name := range names {
			if v, err := env.Get(t.Context(), name); err != nil ||
				v.Reveal() != w.things[ids[i]].values[len(w.things[ids[i]].values)-1].plain {
				t.Errorf("%s does not come back: %v", name, err)
			}
		}

		synctest.Wait() // a flight logs after it has answered

		// Within the backoff: at worst a reader fails in a flight of 3 s, with tries after 0.1, 0.2, 0.4, 0.8 and 1.6
		// s, and the next flight begins after 1, 2, 4 … 30 s, less a quarter. That is below 150 calls in ten minutes,
		// where 4 readers would make thousands.
		most := 0
		for _, thing := range w.things {
			for from := range thing.asked {
				to, _ := slices.BinarySearchFunc(thing.asked, thing.asked[from].Add(10*time.Minute), time.Time.Compare)
				most = max(most, to-from)
			}
		}
		if most > 150 {
			t.Errorf("%d calls for one reference in ten minutes", most)
		}
		if strings.Contains(log.String(), "PLAINTEXT") {
			t.Error("the log quotes a value")
		}
		for _, event := range []string{"secrets.stale", "secrets.denied", "secrets.dropped", "secrets.version"} {
			if !strings.Contains(log.String(), event) {
				t.Errorf("the log has no %s: the two hours were too quiet", event)
			}
		}
		t.Logf("%d reads served, %d of them stale, %d in spite of a refusal, %d failed; at most %d calls for "+
			"a reference in ten minutes", served, stale, hidden, failed, most)
		if stale == 0 || failed == 0 || hidden == 0 {
			t.Error("the two hours were too quiet")
		}
	})
}
