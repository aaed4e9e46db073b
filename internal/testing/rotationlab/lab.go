package main

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/rotationlab/clients"
)

const (
	maxWindow = 30 * time.Second // between database and AWSCURRENT
	ttl       = 24 * time.Hour
	between   = time.Minute // two rotations

	// step is how far the clock of the Env goes on before every worker has ended a query: a busy
	// machine must not make a login take as long as the 10 seconds between two searches of Do.
	step = 5 * time.Second

	// maxFetches is how many fetches a change of the password may cost: AWSPENDING and AWSCURRENT.
	maxFetches = 2

	workers = 4
	pause   = 10 * time.Millisecond // of a worker between two queries
	region  = "eu-west-1"
)

// A clock runs as the machine's, and jumps.
type clock struct {
	start time.Time
	ahead atomic.Int64
}

func (c *clock) now() (wall time.Time, mono time.Duration) {
	d := time.Since(c.start) + time.Duration(c.ahead.Load())
	return c.start.Add(d), d
}

func (c *clock) jump(d time.Duration) { c.ahead.Add(int64(d)) }

// A kind is what becomes of a rotation.
type kind int

const (
	complete   kind = iota // AWSCURRENT moves at the end of the window
	dies                   // the function dies after the password is set: AWSPENDING stays for hours
	rolledBack             // somebody sets the old password again and takes AWSPENDING away
)

func (k kind) String() string {
	return [...]string{"complete", "the function dies", "rolled back"}[k]
}

// draw draws a kind: a tenth of the rotations die, and a tenth are rolled back.
func draw(r *rand.Rand) kind {
	switch r.IntN(10) {
	case 0:
		return dies
	case 1:
		return rolledBack
	}
	return complete
}

// A plan is one run: queries by one way, while the password rotates.
type plan struct {
	way
	user      string // the first one
	rotations int
	seed      uint64
}

// A report is what came of a run.
type report struct {
	plan
	kinds    map[kind]int
	window   time.Duration // the sum, by the clock of the Env
	queries  int
	failures int
	worst    int   // failures in one change of the password, or when the TTL had passed
	failure  error // the first

	changes    int // of the password: a rotation that is rolled back has two
	fetched    int
	most       int // fetches of one change
	more       int // changes that cost more than maxFetches
	noticed    int // changes that led to a fetch
	afterHours int // fetches when the TTL had passed, with AWSPENDING still there
	took       time.Duration
}

// A run is one plan that is carried out.
type run struct {
	plan
	server server
	aws    *endpoint.Server
	store  *endpoint.Store
	clock  *clock
	handle func(context.Context) error
	random *rand.Rand

	epoch   atomic.Int64 // a query belongs to the epoch in which it began
	mu      sync.Mutex
	done    [workers]int64 // by worker: the epoch of the last query that ended
	report  *report
	burst   int // failures since the last change
	current login
}

// A login is the JSON that AWS's rotation functions keep in a secret.
type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

func (l login) text() string {
	b, _ := json.Marshal(l)
	return string(b)
}

func parseLogin(text string) (l login, err error) {
	if json.Unmarshal([]byte(text), &l) != nil {
		return login{}, errors.New("the secret is not the JSON of a login")
	}
	return l, nil
}

// carryOut runs a plan against a server.
func carryOut(ctx context.Context, s server, p plan) (*report, error) {
	r := &run{
		plan: p, server: s, clock: &clock{start: time.Now()}, random: rand.New(rand.NewPCG(p.seed, 1)),
		aws:     endpoint.New(endpoint.Options{}),
		report:  &report{plan: p, kinds: map[kind]int{}},
		current: login{p.user, cryptorand.Text()},
	}
	if _, err := r.aws.Start(); err != nil {
		return nil, err
	}
	defer r.aws.Close()
	r.aws.SetLatency("*", time.Millisecond)
	r.store = r.aws.Region(region)
	r.store.PutSecret("app", r.current.text())
	if err := s.setPassword(ctx, r.current.Username, r.current.Password); err != nil {
		return nil, err
	}
	env, err := secrets.New(
		secrets.WithEnviron(map[string]string{variables[p.way.server]: "sm://app"}),
		secrets.WithAWSConfig(aws.Config{
			Region: region, BaseEndpoint: aws.String(r.aws.URL()),
			Credentials: aws.CredentialsProviderFunc(credentials),
		}),
		secrets.WithTTL(ttl), secrets.WithClock(r.clock.now), secrets.WithRejected(clients.Refused),
		secrets.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	if err := env.Warm(ctx); err != nil {
		return nil, err
	}
	handle, end, err := p.open(ctx, env)
	if err != nil {
		return nil, err
	}
	defer end()
	r.handle = handle
	return r.report, r.all(ctx)
}

func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example"}, nil
}

// all does all rotations, while the workers query.
func (r *run) all(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		wg.Wait()
		r.report.took = time.Since(began)
	}()
	stop := make(chan struct{})
	defer close(stop) // before cancel: the last queries end by themselves
	for i := range workers {
		wg.Go(func() { r.work(ctx, i, stop) })
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	for range r.rotations {
		if err := r.rotate(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) work(ctx context.Context, i int, stop <-chan struct{}) {
	for {
		epoch := r.epoch.Load()
		err := r.handle(ctx)
		if ctx.Err() != nil {
			return
		}
		r.mu.Lock()
		r.done[i] = epoch
		r.report.queries++
		if err != nil {
			r.report.failures++
			r.burst++
			if r.report.failure == nil {
				r.report.failure = err
			}
		}
		r.mu.Unlock()
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
	}
}

// settle waits until every worker has ended a query that began after now.
func (r *run) settle(ctx context.Context) error {
	epoch := r.epoch.Add(1)
	for waits := 0; ; waits++ {
		time.Sleep(time.Millisecond)
		r.mu.Lock()
		done := true
		for _, d := range r.done {
			done = done && d >= epoch
		}
		r.mu.Unlock()
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case waits == 60_000: // by count, since a virtual machine may stand still
			return errors.New("a query takes more than a minute")
		}
	}
}

// pass lets d pass by the clock of the Env. It ends in the middle of whatever the workers do.
func (r *run) pass(ctx context.Context, d time.Duration) error {
	for ; d > step; d -= step {
		r.clock.jump(step)
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	r.clock.jump(d)
	time.Sleep(d / 100)
	return nil
}

// change does what changes the password, and counts what it costs.
func (r *run) change(ctx context.Context, f func() error) error {
	before := r.fetched()
	if err := f(); err != nil {
		return err
	}
	for range 2 { // the first query may be one that is refused
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	n := r.fetched() - before
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.changes++
	r.report.fetched += n
	r.report.most = max(r.report.most, n)
	if n > maxFetches {
		r.report.more++
	}
	r.report.worst, r.burst = max(r.report.worst, r.burst), 0
	if n > 0 {
		r.report.noticed++
	}
	return nil
}

func (r *run) fetched() int { return r.aws.Count("secretsmanager:GetSecretValue") }

// rotate does one rotation, in AWS's order.
func (r *run) rotate(ctx context.Context) error {
	r.clock.jump(between)
	k := draw(r.random)
	r.report.kinds[k]++
	next := login{r.current.Username, cryptorand.Text()}
	if r.alternating {
		next.Username = r.user
		if r.current.Username == r.user {
			next.Username += "_clone" // as AWS's rotation functions call it
		}
	}
	before := r.current
	err := r.change(ctx, func() error {
		r.store.PutPending("app", next.text())
		if err := r.server.setPassword(ctx, next.Username, next.Password); err != nil {
			return err
		}
		window := time.Duration(r.random.Int64N(int64(maxWindow)))
		r.report.window += window
		if err := r.pass(ctx, window); err != nil {
			return err
		}
		if k == complete {
			r.store.FinishRotation("app")
			r.current = next
		}
		return nil
	})
	if err != nil {
		return err
	}
	if r.apart && k != dies {
		return r.hours(ctx)
	}
	switch k {
	case dies:
		return r.hours(ctx)
	case rolledBack:
		return r.change(ctx, func() error {
			r.store.MoveStage("app", "AWSPENDING", "")
			if r.alternating {
				return nil // the user of AWSCURRENT was not touched
			}
			return r.server.setPassword(ctx, before.Username, before.Password)
		})
	}
	return nil
}

// hours lets hours pass in which the rotation is not taken up again, so that the TTL passes and the
// refresh brings AWSCURRENT back, with a password that does not work.
func (r *run) hours(ctx context.Context) error {
	before := r.fetched()
	r.clock.jump(3 * ttl)
	for range 2 {
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.afterHours += r.fetched() - before
	r.report.worst, r.burst = max(r.report.worst, r.burst), 0
	return nil
}

// String returns a line of a table.
func (r *report) String() string {
	return fmt.Sprintf("%-10s %-32s %-11s %5d (%d died, %d rolled back) %7d %6d %7d %8.2f %4d %4d %5d %7.1f",
		r.way.server, r.what, r.users(), r.rotations, r.kinds[dies], r.kinds[rolledBack], r.queries, r.failures,
		r.worst, float64(r.fetched)/float64(r.changes), r.most, r.more, r.afterHours, r.took.Seconds())
}

// check returns what did not go as promised.
func (r *report) check() error {
	switch {
	case r.expect == manyFail:
		if r.failures == 0 {
			return errors.New("nothing failed without the library's help: the other runs prove nothing")
		}
		return nil
	case r.expect == noneFail && r.failures > 0:
		return fmt.Errorf("%d queries failed for their callers: %w", r.failures, r.failure)
	case r.expect == someFail && r.worst > workers:
		return fmt.Errorf("%d queries of %d workers failed after one change of the password: %w",
			r.worst, workers, r.failure)
	case r.more > 0:
		return fmt.Errorf("%d changes of the password cost more than %d fetches, one of them %d",
			r.more, maxFetches, r.most)
	case r.noticed < r.rotations/2 && !r.alternating:
		return fmt.Errorf("%d of %d rotations were noticed: they prove nothing", r.noticed, r.rotations)
	}
	return nil
}
