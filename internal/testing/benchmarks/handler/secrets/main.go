// Command secrets is the handler with this library. BENCH_HOW=secrets-batch switches
// BatchGetSecretValue on.
package main

import (
	"context"
	"os"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/handler/app"
)

func main() {
	app.Run(func(ctx context.Context) (int, error) {
		var opts []secrets.Option
		if os.Getenv("BENCH_HOW") == "secrets-batch" {
			opts = batching()
		}
		env, err := secrets.New(opts...)
		if err != nil {
			return 0, err
		}
		if when := os.Getenv("BENCH_WHEN"); when == "init" || when == "exit" {
			err = env.Warm(ctx)
		} else {
			// The first round inside an invocation: what is left to do after a warm that failed,
			// or under SnapStart.
			_, err = env.RevealAll(ctx)
		}
		return int(env.Stats().Values), err
	})
}
