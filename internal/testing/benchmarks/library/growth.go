package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/bench"
)

// instant is a backend without a network: what grows is the library's own part.
type instant struct{ document string }

func (p instant) Fetch(_ context.Context, refs []secrets.Ref) []secrets.Result {
	results := make([]secrets.Result, len(refs))
	for i := range refs {
		results[i].Value = secrets.NewValue(p.document, "1")
	}
	return results
}

// grown returns an Env with n variables: each a secret of its own, or a field of one secret.
func grown(n int, fields bool) (*secrets.Env, error) {
	environ := make(map[string]string, n)
	var document strings.Builder
	for i := range n {
		name := fmt.Sprintf("V%05d", i)
		environ[name] = "sm://app/" + name
		if fields {
			environ[name] = "sm://app/all#" + name
			fmt.Fprintf(&document, `,%q:"x"`, name)
		}
	}
	text := "{" + strings.TrimPrefix(document.String(), ",") + "}"
	return secrets.New(secrets.WithEnviron(environ), secrets.WithProvider(instant{text}))
}

// growth has an operation for each thing that must cost no more per item when there are more: of
// variables, or of names that Resolve is asked for one after the other, of which the cache keeps
// 1,000.
var growth = map[string]bench.Growth{
	"launch": {Sizes: variables, Prepare: func(_ context.Context, n int) (func() error, error) {
		return func() error { _, err := grown(n, false); return err }, nil
	}},
	"warm":        {Sizes: variables, Prepare: warming(false)},
	"warm-fields": {Sizes: variables, Prepare: warming(true)},
	"snapshot": {Sizes: variables, Prepare: onWarm(func(ctx context.Context, env *secrets.Env) {
		env.Snapshot(ctx)
	})},
	"refs":    {Sizes: variables, Prepare: onWarm(func(_ context.Context, env *secrets.Env) { env.Refs() })},
	"refresh": {Sizes: variables, Prepare: onWarm(func(ctx context.Context, env *secrets.Env) { env.Refresh(ctx) })},
	"resolve-evict": {Sizes: []int{1_000, 10_000, 100_000}, Prepare: func(
		ctx context.Context, n int) (func() error, error) {
		env, err := grown(1, false)
		if err != nil {
			return nil, err
		}
		return func() error {
			for i := range n {
				if _, err := env.Resolve(ctx, secrets.Secret(fmt.Sprintf("name/%06d", i))); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}},
}

var variables = []int{50, 500, 5_000}

func warming(fields bool) func(context.Context, int) (func() error, error) {
	return func(ctx context.Context, n int) (func() error, error) {
		env, err := grown(n, fields)
		return func() error { return env.Warm(ctx) }, err
	}
}

func onWarm(do func(context.Context, *secrets.Env)) func(context.Context, int) (func() error, error) {
	return func(ctx context.Context, n int) (func() error, error) {
		env, err := grown(n, false)
		if err != nil {
			return nil, err
		}
		return func() error { do(ctx, env); return nil }, env.Warm(ctx)
	}
}
