// Command library holds the contenders of this module and of the SDK, and a cache to compare reads
// with. The driver runs it. It imports nothing that an older commit of this repository lacks, so
// that the driver can build it with one of those in the library's place: see -before there.
package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/middleware"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/bench"
	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/sdk"
)

// warmed returns an Env of s that has resolved everything. Like a function it finds its size in the
// environment.
func warmed(ctx context.Context, w *bench.World, s bench.Set, opts ...secrets.Option) (*secrets.Env, error) {
	environ := w.Environ(s)
	for name, value := range bench.Credentials {
		environ[name] = value
	}
	for _, name := range []string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_INITIALIZATION_TYPE"} {
		if v := os.Getenv(name); v != "" {
			environ[name] = v
		}
	}
	if bench.Width > 0 {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, err
		}
		cfg.APIOptions = append(cfg.APIOptions, bounded(bench.Width))
		opts = append(opts, secrets.WithAWSConfig(cfg))
	}
	env, err := secrets.New(append(opts, secrets.WithEnviron(environ))...)
	if err != nil {
		return nil, err
	}
	return env, env.Warm(ctx)
}

// bounded lets so many calls be under way to each service, from outside the library, whose own
// bound is at its widest here: that is how the curves are measured that its rule was chosen from.
func bounded(width int) func(*middleware.Stack) error {
	gates := map[string]chan struct{}{"SSM": nil, "Secrets Manager": nil, "KMS": nil}
	for id := range gates {
		gates[id] = make(chan struct{}, width)
	}
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc(
			"bounded",
			func(
				ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
			) (middleware.InitializeOutput, middleware.Metadata, error) {
				gate := gates[awsmiddleware.GetServiceID(ctx)]
				gate <- struct{}{}
				defer func() { <-gate }()
				return next.HandleInitialize(ctx, in)
			},
		), middleware.After)
	}
}

func cold(opts ...secrets.Option) func(context.Context, *bench.World, bench.Set) ([]string, error) {
	return func(ctx context.Context, w *bench.World, s bench.Set) ([]string, error) {
		env, err := warmed(ctx, w, s, opts...)
		if err != nil {
			return nil, err
		}
		var values []string
		for _, kind := range []struct {
			letter string
			n      int
		}{{"P", s.Parameters}, {"S", s.Secrets}, {"K", s.Ciphertexts}} {
			for i := range kind.n {
				v, err := env.Get(ctx, fmt.Sprintf("%s%02d", kind.letter, i))
				if err != nil {
					return nil, err
				}
				values = append(values, v.Reveal())
			}
		}
		return values, nil
	}
}

func get(ctx context.Context, w *bench.World, s bench.Set) (func(int), error) {
	env, err := warmed(ctx, w, s, secrets.WithTTL(24*time.Hour))
	names := readable()
	return func(n int) {
		for i := range n {
			if v, err := env.Get(ctx, names[i%bench.ReadNames]); err != nil || v.IsZero() {
				panic(err)
			}
		}
	}, err
}

func snapshot(ctx context.Context, w *bench.World, s bench.Set) (func(int), error) {
	env, err := warmed(ctx, w, s)
	if err != nil {
		return nil, err
	}
	snap := env.Snapshot(ctx)
	names := readable()
	return func(n int) {
		for i := range n {
			if v, err := snap.Get(names[i%bench.ReadNames]); err != nil || v.IsZero() {
				panic(err)
			}
		}
	}, nil
}

func readable() (names [bench.ReadNames]string) {
	for i := range names {
		names[i] = fmt.Sprintf("S%02d", i)
	}
	return names
}

// refresh makes the 25 secrets due, by a clock that the cache is given; the parameters live on.
func refresh(opts ...secrets.Option) func(context.Context, *bench.World) (due, valid func() error, err error) {
	return func(ctx context.Context, w *bench.World) (due, valid func() error, err error) {
		var ahead atomic.Int64
		base := time.Now()
		s, err := bench.SetNamed("25+25")
		if err != nil {
			return nil, nil, err
		}
		options := append(
			[]secrets.Option{secrets.WithTTL(5 * time.Minute), secrets.WithClock(func() (time.Time, time.Duration) {
				now := time.Now().Add(time.Duration(ahead.Load()))
				return now, now.Sub(base)
			})},
			opts...)
		// A day's TTL for the parameters: at least a tenth of it passes before one is due.
		for i := range s.Parameters {
			name, _ := bench.Parameter(i)
			options = append(
				options,
				secrets.WithRef(fmt.Sprintf("P%02d", i), secrets.SSMParameter(name).With("ttl", "24h")),
			)
		}
		env, err := warmed(ctx, w, s, options...)
		if err != nil {
			return nil, nil, err
		}
		read := func(name string) func() error {
			return func() error { _, err := env.Get(ctx, name); return err }
		}
		for i := range s.Secrets {
			if err := read(fmt.Sprintf("S%02d", i))(); err != nil {
				return nil, nil, err
			}
		}
		ahead.Store(int64(6 * time.Minute))
		return read("S00"), read("P00"), nil
	}
}

func floor(context.Context, *bench.World, bench.Set) (func(int), error) {
	return bench.FloorRead(), nil
}

func main() {
	bench.Main([]bench.Contender{
		{Name: "floor", Read: floor, Cold: sdk.One},
		{Name: "floor-method", Read: methodRead},
		{Name: "sdk-serial", Cold: sdk.Serial},
		{Name: "sdk-parallel", Cold: sdk.Parallel},
		{Name: "sdk-batched", Cold: sdk.Batched},
		{Name: "sdk-map", Read: ttlRead, Refresh: ttlRefresh},
		{Name: "aws.CredentialsCache", Read: credentialsRead},
		{Name: "otter", Read: otterRead},
		{Name: "secrets", Cold: cold(), Read: get, Refresh: refresh(), Growth: growth},
		{
			Name:    "secrets-batch",
			Cold:    cold(secrets.WithBatchGetSecretValue()),
			Refresh: refresh(secrets.WithBatchGetSecretValue()),
		},
		{Name: "secrets-snapshot", Read: snapshot},
	})
}
