package random_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
)

// A street is a backend of which a few names are ill at a time, and the others well. What becomes of an ill name, and
// of those that are asked for with it, depends on the provider.
type street struct {
	mu     sync.Mutex
	houses map[string]*house // by Ref.ID
}

type house struct {
	takes   time.Duration // its own call
	version int
	ill     bool
	well    time.Time     // since when, if it is
	waited  time.Duration // by readers, one after the other, who did not get what is new
}

var errIll = errors.New("500, and no reason is given")

// answer is what one name says, after the time that it takes.
func (s *street) answer(ctx context.Context, id string, hangs bool) (secrets.Value, error) {
	s.mu.Lock()
	h := *s.houses[id]
	s.mu.Unlock()
	if h.ill && hangs {
		<-ctx.Done()
		return secrets.Value{}, ctx.Err()
	}
	select {
	case <-time.After(h.takes):
	case <-ctx.Done():
		return secrets.Value{}, ctx.Err()
	}
	if h.ill {
		return secrets.Value{}, errIll
	}
	return secrets.NewValue(fmt.Sprintf("%s in version %d", id, h.version), fmt.Sprint(h.version)), nil
}

// oneByOne answers part by part; what is ill hangs.
func (s *street) oneByOne() secrets.Provider {
	return secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
		return s.answer(ctx, ref.ID(), true)
	})
}

// A whole answers all that it is asked for at once: when the slowest name has answered, or what it has when it is told
// to stop. With poison, one ill name fails all.
type whole struct {
	*street
	poison bool
}

func (w whole) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	results := make([]secrets.Result, len(refs))
	var all sync.WaitGroup
	for i, ref := range refs {
		all.Go(func() { results[i].Value, results[i].Err = w.answer(ctx, ref.ID(), !w.poison) })
	}
	all.Wait()
	for _, r := range results {
		if w.poison && r.Err != nil {
			for i := range results {
				results[i] = secrets.Result{Err: r.Err}
			}
			break
		}
	}
	return results
}

// oneRetry is the longest pause before a retry, and the slowest call.
const oneRetry = 2*time.Second + 200*time.Millisecond

// Two hours in which a few of fifty names hang or fail, and take along who is asked for with them. A name whose own
// answer is good is kept from its readers for no longer than its own call and one retry take (promise 4).
func TestRandom_GoodNeighbours(t *testing.T) {
	t.Parallel()
	for name, provider := range map[string]func(*street) secrets.Provider{
		"one by one, some hang":        (*street).oneByOne,
		"together, some hang":          func(s *street) secrets.Provider { return whole{s, false} },
		"together, one fails them all": func(s *street) secrets.Provider { return whole{s, true} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			synctest.Test(t, func(t *testing.T) { goodNeighbours(t, seed, provider) })
		})
	}
}

func goodNeighbours(t *testing.T, seed uint64, provider func(*street) secrets.Provider) {
	const ttl = time.Minute
	random := rand.New(rand.NewPCG(seed, 1))
	s := &street{houses: map[string]*house{}}
	environ := map[string]string{}
	var ids []string
	for i := range 50 {
		id := fmt.Sprint("/h/", i)
		ids = append(ids, id)
		environ[fmt.Sprint("V", i)] = []string{"ssm://", "sm://"}[i%2] + id
		s.houses[id] = &house{takes: time.Duration(10+random.IntN(190)) * time.Millisecond, well: time.Now()}
	}
	env, err := secrets.New(secrets.WithEnviron(environ), secrets.WithProvider(provider(s)), secrets.WithTTL(ttl),
		secrets.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Warm(t.Context()); err != nil {
		t.Fatal(secrets.Detail(err))
	}
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var reads, kept int
	var most time.Duration
	for r := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(r+2)))
		readers.Go(func() {
			for ctx.Err() == nil {
				i := random.IntN(len(ids))
				call, cancel := context.WithTimeout(ctx, time.Duration(1500+random.IntN(2500))*time.Millisecond)
				began := time.Now()
				v, err := env.Get(call, fmt.Sprint("V", i))
				cancel()
				s.mu.Lock()
				h := s.houses[ids[i]]
				reads++
				switch {
				case h.ill || began.Sub(h.well) < 2*time.Minute: // its own failure is remembered
					h.waited = 0
				default:
					h.waited += time.Since(began)
					most = max(most, h.waited-h.takes)
					if h.waited > h.takes+oneRetry {
						t.Errorf("seed %d: %s is good, and its readers waited %v for its new value: %v", seed, ids[i],
							h.waited, err)
					}
					if err == nil && !v.Stale() {
						h.waited = 0
					} else {
						kept++
					}
				}
				s.mu.Unlock()
				time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
			}
		})
	}
	for began := time.Now(); time.Since(began) < 2*time.Hour; {
		time.Sleep(time.Duration(5+random.IntN(20)) * time.Second)
		s.mu.Lock()
		h := s.houses[ids[random.IntN(len(ids))]]
		h.version++
		if ill := random.IntN(10) == 0; h.ill || ill {
			h.ill, h.well = !h.ill, time.Now()
		}
		s.mu.Unlock()
	}
	stop()
	readers.Wait()
	t.Logf("%d reads, %d without the new value of a good name, %v beyond its own call at most", reads, kept, most)
}
