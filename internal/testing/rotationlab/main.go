// Rotationlab rotates the passwords of real servers while clients query them, by the ways of
// docs/clients.md, and prints what happened:
//
//	go run . -rotations 1000
//
// It starts the servers on loopback, in temporary directories, and stops them in the end; secrets
// are in an endpoint of its own that answers as Secrets Manager does. Each rotation goes in AWS's
// order: a new version under AWSPENDING, then the password in the database, then AWSCURRENT. The
// window between the last two is drawn from 0 to 30 seconds of the clock of the Env. That clock goes on
// 5 seconds whenever every worker has ended a query. In a tenth of the rotations the function dies after
// it has set the password, and hours pass; a tenth are rolled back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets/internal/testing/rotationlab/clients"
)

func main() {
	rotations := flag.Int("rotations", 1000, "rotations of each of the main ways")
	snippets := flag.Int("snippets", 100, "rotations of each of the others")
	only := flag.String("only", "", "the ways whose server, name and users match this expression")
	seed := flag.Uint64("seed", 1, "for what is drawn")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := runAll(ctx, os.Stdout, *rotations, *snippets, *only, *seed); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const header = "server     way                              users       rotations                         queries " +
	"failed at once  fetches most more hours seconds"

// runAll carries out a plan for each way: those of one server one after the other, the servers side
// by side.
func runAll(ctx context.Context, w io.Writer, rotations, snippets int, only string, seed uint64) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	clients.PoolLifetime = 20 * time.Millisecond
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed []error
	)
	fmt.Fprintln(w, header)
	for name := range servers {
		named := func(w way) bool {
			return w.server == name && match.MatchString(w.server+" "+w.what+", "+w.users())
		}
		if !slices.ContainsFunc(ways, named) {
			continue
		}
		wg.Go(func() {
			err := runServer(ctx, name, func(s server) {
				for i, way := range ways {
					if !named(way) {
						continue
					}
					p := plan{way, fmt.Sprint("app", i), rotations, seed}
					if way.snippet {
						p.rotations = snippets
					}
					r, err := carryOut(ctx, s, p)
					mu.Lock()
					if r != nil && err == nil {
						fmt.Fprintln(w, r)
						err = r.check()
					}
					if err != nil {
						failed = append(failed, fmt.Errorf("%s, %s: %w", name, way.what, err))
					}
					mu.Unlock()
				}
			})
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, errMissing) {
				fmt.Fprintf(w, "left out: %s: %v\n", name, err)
			} else if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// runServer starts a server, tells the clients where it is, and stops it in the end.
func runServer(ctx context.Context, name string, f func(server)) error {
	s, err := servers[name](ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	*map[string]*string{
		"PostgreSQL": &clients.PostgreSQL, "MariaDB": &clients.MariaDB, "Redis": &clients.Redis,
		"RabbitMQ": &clients.RabbitMQ, "NATS": &clients.NATS,
	}[name] = s.address()
	f(s)
	return nil
}
