package fleet

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets"
)

// A Client is how a function comes by its secrets.
type Client int

const (
	Library Client = iota // package secrets, with its defaults and Scenario.Options
	// what people write: a call per name, one after the other, the SDK's own retries, a map with a TTL, a panic in init
	PerName
)

// initLimit is how long Lambda lets an on-demand init phase run.
const initLimit = 10 * time.Second

// A client is one environment's.
type client interface {
	// init does what the function does before its first invocation. After an error it has crashed.
	init(ctx context.Context) (warmFailed bool, crash error)
	get(ctx context.Context, name string) (secrets.Value, error)
	// do runs f with the value of name, and lets the library look for a newer one when f says that
	// it was refused.
	do(ctx context.Context, name string, f func(secrets.Value) error) error
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))

func (s Scenario) newClient(b *backend) client {
	if s.Client == PerName {
		rng := b.rngs[secrets.SSM]
		retryer := retry.NewStandard(func(o *retry.StandardOptions) {
			// The SDK's default, but drawn from the scenario's seed.
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
				return time.Duration(rng.Float64() * float64(time.Second<<attempt)), nil
			})
		})
		return &perName{
			backend: b,
			ttl:     s.TTL,
			retryer: retryer,
			kept:    map[string]kept{},
			refs:    s.refs,
			names:   s.names,
		}
	}
	return &library{scenario: s, backend: b}
}

// library is package secrets as MustWarm runs it.
type library struct {
	scenario Scenario
	backend  *backend
	env      *secrets.Env
}

func (l *library) init(ctx context.Context) (bool, error) {
	opts := append(
		[]secrets.Option{
			secrets.WithProvider(l.backend),
			secrets.WithEnviron(l.scenario.environ),
			secrets.WithTTL(l.scenario.TTL),
			secrets.WithLogger(quiet),
		},
		l.scenario.Options...)
	var err error
	if l.env, err = secrets.New(opts...); err != nil {
		return true, err
	}
	// MustWarm, with its panic as an error.
	if err = l.env.Warm(ctx); err != nil && !secrets.Retryable(err) {
		return true, err
	}
	return err != nil, nil
}

func (l *library) get(ctx context.Context, name string) (secrets.Value, error) {
	return l.env.Get(ctx, name)
}

func (l *library) do(ctx context.Context, name string, f func(secrets.Value) error) error {
	return l.env.Do(ctx, name, f)
}

// perName is the client to compare with. Its retries are the SDK's standard retryer: three
// attempts, rand[0,1) · 2^attempt seconds between them, and a budget per client.
type perName struct {
	backend *backend
	refs    map[string]secrets.Ref
	names   []string
	ttl     time.Duration
	retryer *retry.Standard
	kept    map[string]kept
}

type kept struct {
	value secrets.Value
	at    time.Time
}

func (p *perName) init(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, initLimit)
	defer cancel()
	for _, name := range p.names {
		if _, err := p.get(ctx, name); err != nil {
			return true, err
		}
	}
	return false, nil
}

func (p *perName) get(ctx context.Context, name string) (secrets.Value, error) {
	if k, ok := p.kept[name]; ok && time.Since(k.at) < p.ttl {
		return k.value, nil
	}
	for attempt := 1; ; attempt++ {
		r := p.backend.Fetch(ctx, []secrets.Ref{p.refs[name]})[0]
		if r.Err == nil {
			p.kept[name] = kept{r.Value, time.Now()}
			return r.Value, nil
		}
		// The SDK's retryer knows AWS's errors, not the library's.
		api := &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
		if attempt == p.retryer.MaxAttempts() || ctx.Err() != nil {
			return secrets.Value{}, r.Err
		}
		if _, err := p.retryer.GetRetryToken(ctx, api); err != nil {
			return secrets.Value{}, fmt.Errorf("%w: %w", r.Err, err)
		}
		delay, err := p.retryer.RetryDelay(attempt, api)
		if err != nil {
			return secrets.Value{}, err
		}
		if err := sleep(ctx, delay); err != nil {
			return secrets.Value{}, err
		}
	}
}

func (p *perName) do(ctx context.Context, name string, f func(secrets.Value) error) error {
	v, err := p.get(ctx, name)
	if err != nil {
		return err
	}
	return f(v)
}
