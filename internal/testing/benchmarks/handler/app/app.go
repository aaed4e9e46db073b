// Package app is what all handlers of the benchmarks share: a function that logs through slog and
// answers with what its start cost.
package app

import (
	"context"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

// An Answer is what the handler returns.
type Answer struct {
	Values int   // resolved
	Wall   int64 // ns that resolving took, during init or inside this invocation
	CPU    int64 // ns of processor time up to there, from exec if it was during init
}

// Run resolves, during init if BENCH_WHEN is init, inside each invocation if it is invoke, never
// otherwise; and serves events. If BENCH_WHEN is exit it resolves and ends the process, if it is
// start it ends the process at once: that is what instructions are counted of.
func Run(resolve func(context.Context) (int, error)) {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	var start Answer
	when := os.Getenv("BENCH_WHEN")
	measure := func(ctx context.Context) (Answer, error) {
		began := time.Now()
		n, err := resolve(ctx)
		return Answer{Values: n, Wall: int64(time.Since(began))}, err
	}
	if when == "start" {
		return
	}
	if when == "init" || when == "exit" {
		var err error
		ctx := context.Background()
		if when == "exit" {
			// Whatever counts the instructions slows the process down.
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Minute)
			defer cancel()
		}
		if start, err = measure(ctx); err != nil {
			panic(err)
		}
	}
	if when == "exit" {
		return
	}
	start.CPU = cpu()
	lambda.Start(func(ctx context.Context) (Answer, error) {
		if when != "invoke" {
			return start, nil
		}
		before := cpu()
		answer, err := measure(ctx)
		answer.CPU = cpu() - before
		slog.InfoContext(ctx, "resolved", "values", answer.Values)
		return answer, err
	})
}

func cpu() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
