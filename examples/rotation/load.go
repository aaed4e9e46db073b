package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

const (
	workers = 8
	gap     = 300 * time.Millisecond // from ALTER ROLE until AWSCURRENT is moved, as a rotation function takes for its test step
	region  = "eu-west-1"
)

// A lab is a PostgreSQL server and an endpoint that answers as Secrets Manager does.
type lab struct {
	postgres *postgres
	aws      *endpoint.Server
}

func newLab(ctx context.Context) (*lab, error) {
	p, err := startPostgres(ctx)
	if err != nil {
		return nil, err
	}
	l := &lab{postgres: p, aws: endpoint.New(endpoint.Options{})}
	if _, err := l.aws.Start(); err != nil {
		p.stop()
		return nil, err
	}
	l.aws.SetLatency("*", 20*time.Millisecond)
	return l, nil
}

func (l *lab) close() {
	l.aws.Close()
	l.postgres.stop()
}

// calls returns how many times a secret's value was fetched.
func (l *lab) calls(secret string) (n int) {
	for _, c := range l.aws.Calls() {
		if c.Operation == "secretsmanager:GetSecretValue" && c.Resources[0] == secret {
			n++
		}
	}
	return n
}

// A plan is one run: queries in one way, while the password rotates.
type plan struct {
	name        string
	way         way
	alternating bool // two users, else one
	ttl         time.Duration
	period      time.Duration // from one rotation to the next, at least
	queries     int
	rotations   int
}

// A rotation is what happened in one of them. Times are from the beginning of the run.
type rotation struct {
	pending, altered, current time.Duration // AWSPENDING put, ALTER ROLE done, AWSCURRENT moved
	first                     time.Duration // the first answer after ALTER ROLE
	inside                    int           // answers between ALTER ROLE and AWSCURRENT
	refused                   int64         // connections, until the next rotation; while the run goes on, how many there were before
	early                     int64         // those of them before AWSCURRENT was moved
	fetched                   int           // calls of GetSecretValue, until the next rotation
}

type report struct {
	plan
	rotations     []rotation
	failures      int
	failure       error // the first
	refused       int64
	fetched       int
	built, closed int64
	took          time.Duration
}

// run carries out a plan.
func (l *lab) run(ctx context.Context, p plan) (*report, error) {
	secret, store := "app/"+p.name, l.aws.Region(region)
	user := func(i int) string {
		if p.alternating && i%2 == 1 {
			return p.name + "_clone" // as AWS's rotation functions call it
		}
		return p.name
	}
	// text makes the login that rotation i brings, and the secret's JSON of it. Number 0 is the one before the first rotation.
	text := func(i int) (login, string) {
		l := login{user(i), rand.Text()}
		b, _ := json.Marshal(l)
		return l, string(b)
	}
	first, value := text(0)
	if err := l.postgres.setPassword(ctx, first.Username, first.Password); err != nil {
		return nil, err
	}
	store.PutSecret(secret, value)

	env, err := secrets.New(
		secrets.WithEnviron(map[string]string{"DB": "sm://" + secret}),
		secrets.WithAWSConfig(aws.Config{Region: region, BaseEndpoint: aws.String(l.aws.URL()), Credentials: aws.CredentialsProviderFunc(credentials)}),
		secrets.WithTTL(p.ttl),
		secrets.WithRejected(refused),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return nil, err
	}
	if err := env.Warm(ctx); err != nil {
		return nil, err
	}
	a := &app{env: env, database: l.postgres.config}
	handle, end, err := p.way(a)
	if err != nil {
		return nil, err
	}

	var (
		mu      sync.Mutex
		r       = &report{plan: p}
		wg      sync.WaitGroup
		began   = time.Now()
		warm    = l.calls(secret)
		queries = make(chan struct{})
	)
	for range workers {
		wg.Go(func() {
			for range queries {
				err := handle(ctx)
				mu.Lock()
				r.count(err, time.Since(began))
				mu.Unlock()
			}
		})
	}
	// rotate rotates the password, in AWS's order.
	rotate := func(i int, altered chan<- struct{}) error {
		defer close(altered)
		next, value := text(i)
		this := rotation{fetched: l.calls(secret), refused: a.refused.Load()}
		store.PutPending(secret, value)
		this.pending = time.Since(began)
		if err := l.postgres.setPassword(ctx, next.Username, next.Password); err != nil {
			return err
		}
		this.altered = time.Since(began)
		mu.Lock()
		r.rotations = append(r.rotations, this)
		mu.Unlock()
		altered <- struct{}{}
		time.Sleep(gap)
		store.FinishRotation(secret)
		mu.Lock()
		r.rotations[i-1].current, r.rotations[i-1].early = time.Since(began), a.refused.Load()-this.refused
		mu.Unlock()
		return nil
	}
	share := p.queries / p.rotations
	pace := time.NewTicker(p.period / time.Duration(share))
	defer pace.Stop()
	ask := func(n int) {
		for range n {
			queries <- struct{}{}
			<-pace.C
		}
	}
	// Each rotation has its share of the queries: some while ALTER ROLE runs, most before AWSCURRENT moves, the rest after.
	ask(share / 2)
	for i := 1; i <= p.rotations && err == nil; i++ {
		altered, moved := make(chan struct{}, 1), make(chan error)
		go func() { moved <- rotate(i, altered) }()
		ask(share / 4)
		<-altered
		ask(share / 4)
		err = errors.Join(<-moved, ctx.Err())
		if i < p.rotations {
			ask(share - share/4*2)
		} else {
			ask(p.queries - share*p.rotations + share - share/2 - share/4*2)
		}
	}
	close(queries)
	wg.Wait()
	end()
	r.took, r.fetched, r.refused, r.built, r.closed = time.Since(began), l.calls(secret)-warm, a.refused.Load(), a.built.Load(), a.closed.Load()
	for i := range r.rotations {
		fetched, refused := warm+r.fetched, r.refused
		if i+1 < len(r.rotations) {
			fetched, refused = r.rotations[i+1].fetched, r.rotations[i+1].refused
		}
		r.rotations[i].fetched, r.rotations[i].refused = fetched-r.rotations[i].fetched, refused-r.rotations[i].refused
	}
	return r, err
}

// count takes an answer, or an error, that came at a time.
func (r *report) count(err error, at time.Duration) {
	if err != nil {
		r.failures++
		if r.failure == nil {
			r.failure = err
		}
		return
	}
	if n := len(r.rotations); n > 0 {
		last := &r.rotations[n-1]
		if last.first == 0 {
			last.first = at
		}
		if last.current == 0 {
			last.inside++
		}
	}
}

func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret-access-key"}, nil
}

// print writes the timeline and the figures.
func (r *report) print(w io.Writer) {
	users := "one user"
	if r.alternating {
		users = "alternating users"
	}
	fmt.Fprintf(w, "%s: %s, %d queries over %d goroutines, %d rotations, TTL %v\n", r.name, users, r.queries, workers, len(r.rotations), r.ttl)
	ms := func(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }
	for i, t := range r.rotations {
		first := "nobody gets an answer"
		if t.first > 0 {
			first = ms(t.first) + " first answer"
		}
		fmt.Fprintf(w, "  %2d  %s AWSPENDING put, %s ALTER ROLE done, %s, %d answers and %d refusals until %s AWSCURRENT moved; %d connections refused in all, %d GetSecretValue\n",
			i+1, ms(t.pending), ms(t.altered), first, t.inside, t.early, ms(t.current), t.refused, t.fetched)
	}
	fmt.Fprintf(w, "  %d of %d queries failed for their callers; %d connections refused; %d GetSecretValue after the warm, %.1f per rotation; %.1f s\n",
		r.failures, r.queries, r.refused, r.fetched, float64(r.fetched)/float64(len(r.rotations)), r.took.Seconds())
	if r.built > 0 {
		fmt.Fprintf(w, "  %d pools built, %d closed\n", r.built, r.closed)
	}
	if r.failure != nil {
		fmt.Fprintf(w, "  the first failure: %v\n", r.failure)
	}
	fmt.Fprintln(w)
}

// check returns what did not go as promised.
func (r *report) check() error {
	if r.name == "control" {
		if r.failures == 0 {
			return errors.New("the control did not fail: the other runs prove nothing")
		}
		return nil
	}
	if r.failures > 0 {
		return fmt.Errorf("%d queries failed for their callers: %w", r.failures, r.failure)
	}
	empty := 0
	for _, t := range r.rotations {
		if t.inside == 0 || t.early == 0 && !r.alternating {
			empty++ // the machine is so busy that none was answered within 300 ms, or nobody presented the old password
		}
	}
	if empty > len(r.rotations)/2 {
		return fmt.Errorf("in %d of %d rotations no query was refused and answered before AWSCURRENT moved: they prove nothing", empty, len(r.rotations))
	}
	if r.ttl == time.Hour && r.fetched > 3*len(r.rotations) {
		return fmt.Errorf("%d GetSecretValue for %d rotations, more than 3 for each", r.fetched, len(r.rotations))
	}
	if r.built != r.closed {
		return fmt.Errorf("%d pools built, %d closed", r.built, r.closed)
	}
	return nil
}
