// Rotation runs a handler against a real PostgreSQL server while the password rotates, and prints what happened:
//
//	go run .
//
// It starts the server on loopback, in a temporary directory, and stops it in the end; secrets are in an endpoint of its own that answers as Secrets
// Manager does. Each rotation goes in AWS's order: a new version under AWSPENDING, then ALTER ROLE, and 300 ms later AWSCURRENT moves. See docs/rotation.md.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

// plans are the runs, in the order in which docs/rotation.md speaks of them.
var plans = []plan{
	{name: "do", way: byDo, ttl: time.Hour, period: 450 * time.Millisecond, queries: 2000, rotations: 20},
	{name: "control", way: byGet, ttl: time.Hour, period: 450 * time.Millisecond, queries: 2000, rotations: 20},
	{name: "do_alternating", way: byDo, alternating: true, ttl: time.Hour, period: 450 * time.Millisecond, queries: 2000, rotations: 20},
	{name: "before_connect", way: byBeforeConnect, alternating: true, ttl: 200 * time.Millisecond, period: time.Second, queries: 1000, rotations: 10},
	{name: "connector", way: byConnector, ttl: time.Hour, period: 450 * time.Millisecond, queries: 1000, rotations: 10},
	{name: "derive", way: byDerive, ttl: time.Hour, period: 450 * time.Millisecond, queries: 1000, rotations: 10},
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer) error {
	l, err := newLab(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	failed := 0
	for _, p := range plans {
		r, err := l.run(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		r.print(w)
		if err := r.check(); err != nil {
			fmt.Fprintf(w, "  NOT AS PROMISED: %v\n\n", err)
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d runs did not go as promised", failed, len(plans))
	}
	return nil
}
