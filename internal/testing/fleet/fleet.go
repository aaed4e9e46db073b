// Package fleet simulates many execution environments that share the quotas of one AWS account: how
// long they take to start together, how their refreshes spread, what an outage and a rotation do to
// them, and what the calls cost.
//
// The environments run the library itself, its cache, policies and clocks, on a simulated account
// instead of sockets. Time is that of a testing/synctest bubble, which only a test can open: the
// command is .ci/fleet, and the figures of docs/scale.md are its output.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets"
)

// A Scenario is one run.
type Scenario struct {
	Name   string
	Starts []time.Duration // when each environment starts; see Burst and Poisson
	Life   time.Duration   // after which an environment ends; 0: it lives until the end
	Length time.Duration   // of the run
	Every  time.Duration   // between two invocations of an environment, give or take a half; 0: one invocation only
	Seed   uint64

	// What the function needs, each read in every invocation.
	Parameters, Secrets, Ciphertexts int

	Timeout time.Duration // of the function; 0: 30 s
	TTL     time.Duration // 0: 5 minutes
	Client  Client
	Batch   bool             // WithBatchGetSecretValue
	Options []secrets.Option // of the Library

	Quotas  Quotas
	Outages []Outage
	Rotated time.Duration // when all values change; 0: never
	// what the function calls refuses the old value of the first secret from that moment on, so that it asks by Env.Do
	Refused bool

	environ map[string]string
	refs    map[string]secrets.Ref
	names   []string
}

// Burst returns the starts of n environments, spread evenly at random over d.
func Burst(n int, d time.Duration, seed uint64) []time.Duration {
	rng := rand.New(rand.NewPCG(seed, 1))
	starts := make([]time.Duration, n)
	for i := range starts {
		starts[i] = time.Duration(rng.Float64() * float64(d))
	}
	slices.Sort(starts)
	return starts
}

// Poisson returns the starts of environments that arrive independently of each other, rate per
// second on average, until d.
func Poisson(rate float64, d time.Duration, seed uint64) (starts []time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 2))
	for t := time.Duration(0); ; {
		t += time.Duration(rng.ExpFloat64() / rate * float64(time.Second))
		if t >= d {
			return starts
		}
		starts = append(starts, t)
	}
}

func (s *Scenario) prepare() error {
	if s.Timeout == 0 {
		s.Timeout = 30 * time.Second
	}
	if s.TTL == 0 {
		s.TTL = 5 * time.Minute
	}
	s.environ, s.refs = map[string]string{"AWS_REGION": "eu-west-1"}, map[string]secrets.Ref{}
	for _, kind := range []struct {
		name, text string
		n          int
	}{{"SECRET", "sm://app/secret-%d", s.Secrets}, {"PARAMETER", "ssm:///app/parameter-%d", s.Parameters},
		{"CIPHERTEXT", "kms://AQICAHh" + strings.Repeat("A", 36) + "%d", s.Ciphertexts}} {
		for i := range kind.n {
			name := fmt.Sprintf("%s_%d", kind.name, i)
			ref, err := secrets.ParseRef(fmt.Sprintf(kind.text, 1000+i))
			if err != nil {
				return err
			}
			s.environ[name], s.refs[name] = ref.Text(), ref
			s.names = append(s.names, name)
		}
	}
	if len(s.names) == 0 {
		return errors.New("fleet: the function needs nothing")
	}
	return nil
}

// Run runs s and returns what happened. It must be called inside a testing/synctest bubble;
// anywhere else it takes as long as it simulates.
func Run(s Scenario) (*Report, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	r := &Report{Scenario: s, Environments: make([]Environment, len(s.Starts)), account: newAccount(s)}
	ctx, cancel := until(context.Background(), s.Length)
	defer cancel()
	var all sync.WaitGroup
	for i, start := range s.Starts {
		all.Go(func() {
			if sleep(ctx, start) == nil {
				e := &environment{
					Environment: &r.Environments[i],
					scenario:    &r.Scenario,
					account:     r.account,
					start:       start,
					rng:         rand.New(rand.NewPCG(s.Seed, uint64(i)+10)),
				}
				e.live(ctx)
			}
		})
	}
	all.Wait()
	return r, nil
}

// until returns a context that ends after d but has no deadline: a deadline would replace the
// warm's budget.
func until(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(d, cancel)
	return ctx, func() { timer.Stop(); cancel() }
}

// An Environment is what one environment experienced. Durations are since its start, moments since
// that of the run.
type Environment struct {
	Warm       time.Duration // that the init phase took for its secrets; 0: it did not begin
	WarmFailed bool          // Warm returned an error; the first invocation resolved the rest
	Crashes    int           // inits that ended in a panic
	Ready      time.Duration // until an invocation had everything; 0: never
	Reads      int           // by invocations that were not the first
	Failed     int           // reads that returned an error, by environments that were ready
	Refused    int           // invocations that could not get past a refused credential
	Invoked    int
	Stale      int           // reads that got a stale value
	Fresh      time.Duration // moment of the first invocation after the end of the last stale one
	Rotated    time.Duration // since the rotation, until the first value was the new one
}

type environment struct {
	*Environment
	scenario *Scenario
	account  *account
	start    time.Duration
	client   client
	rng      *rand.Rand
}

// live is the life of one environment: init, invocations one after the other, end.
func (e *environment) live(ctx context.Context) {
	s := e.scenario
	if s.Life > 0 {
		var cancel context.CancelFunc
		ctx, cancel = until(ctx, s.Life)
		defer cancel()
	}
	if !e.begin(ctx) {
		return
	}
	for s.Every > 0 && sleep(ctx, time.Duration((0.5+e.rng.Float64())*float64(s.Every))) == nil {
		e.invoke(ctx)
	}
}

// begin runs the init phase and the invocation that it was for. A function that crashes in init is
// started again within the same invocation, and once that failed too by the caller's next try, a
// second later.
func (e *environment) begin(ctx context.Context) bool {
	for try := 0; ctx.Err() == nil; try++ {
		if try > 0 && try%2 == 0 && sleep(ctx, time.Second) != nil {
			return false
		}
		b := &backend{account: e.account, batch: e.scenario.Batch, rngs: map[secrets.Scheme]*rand.Rand{}}
		for _, scheme := range []secrets.Scheme{secrets.SSM, secrets.SecretsManager, secrets.KMS} {
			b.rngs[scheme] = rand.New(rand.NewPCG(e.rng.Uint64(), 3))
		}
		e.client = e.scenario.newClient(b)
		began := e.account.now()
		failed, crash := e.client.init(ctx)
		if e.Warm == 0 {
			e.Warm, e.WarmFailed = e.account.now()-began, failed
		}
		if crash == nil {
			break
		}
		e.Crashes++
	}
	for ctx.Err() == nil {
		if e.all(ctx, nil) == nil {
			e.Ready = e.account.now() - e.start
			return true
		}
		if sleep(ctx, time.Second) != nil {
			return false
		}
	}
	return false
}

// invoke is one invocation of a warm environment.
func (e *environment) invoke(ctx context.Context) {
	e.Invoked++
	stale, current, first := false, false, true
	err := e.all(ctx, func(v secrets.Value, err error) {
		e.Reads++
		switch {
		case err != nil && ctx.Err() == nil: // not because the run is over
			e.Failed++
		case err == nil && v.Stale():
			e.Stale++
			stale = true
		}
		if first {
			first, current = false, err == nil && v.Version() == "2"
		}
	})
	now := e.account.now()
	if s := e.scenario; err == nil && s.Rotated > 0 && now > s.Rotated && e.start < s.Rotated {
		if e.Rotated == 0 && current {
			e.Rotated = now - s.Rotated
		}
		if s.Refused && e.use(ctx) != nil && ctx.Err() == nil {
			e.Refused++
		}
	}
	if stale {
		e.Fresh = 0
	} else if e.Stale > 0 && e.Fresh == 0 && err == nil {
		e.Fresh = now
	}
}

// all reads everything, within the function's timeout, and tells each how it went.
func (e *environment) all(ctx context.Context, tell func(secrets.Value, error)) error {
	ctx, cancel := context.WithTimeout(ctx, e.scenario.Timeout)
	defer cancel()
	var first error
	for _, name := range e.scenario.names {
		v, err := e.client.get(ctx, name)
		if tell != nil {
			tell(v, err)
		}
		if err != nil && first == nil {
			first = err
		}
	}
	return first
}

// use is what the function does with its first secret: something that refuses yesterday's.
func (e *environment) use(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.scenario.Timeout)
	defer cancel()
	return e.client.do(ctx, e.scenario.names[0], func(v secrets.Value) error {
		if v.Version() != e.account.version() {
			return secrets.Rejected(errors.New("password authentication failed"))
		}
		return nil
	})
}
