// Command sdk is the handler that resolves 25 parameters and 25 secrets with the SDK alone, in the
// way that BENCH_HOW says.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/bench"
	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/handler/app"
	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/sdk"
)

func main() {
	resolve := map[string]func(context.Context, *bench.World, bench.Set) ([]string, error){
		"sdk-serial": sdk.Serial, "sdk-parallel": sdk.Parallel, "sdk-batched": sdk.Batched,
	}[os.Getenv("BENCH_HOW")]
	app.Run(func(ctx context.Context) (int, error) {
		if resolve == nil {
			return 0, fmt.Errorf("no way %q", os.Getenv("BENCH_HOW"))
		}
		set := bench.Set{Parameters: 25, Secrets: 25}
		values, err := resolve(ctx, nil, set)
		if err == nil {
			err = set.Check(values)
		}
		return len(values), err
	})
}
