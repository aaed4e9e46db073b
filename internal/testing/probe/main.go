// Command probe is a Lambda function that tells what package secrets does inside it: the tests
// beside it run it on the simulated Lambda, built as users build a function, where the handler of
// examples/handler cannot show a case.
//
// It warms every reference of its environment, then answers {"get":["A","B"]} with what
// [secrets.Env.Get] returned for each, asked all at once. With PROBE_CRASH naming a file that does
// not exist, it makes that file after its warm and exits: a crash in init that happens once. With
// PROBE_LOGGER=lambdacontext it logs by AWS's own logger.
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/lambdasecrets/secrets"
)

type event struct {
	Get []string `json:"get"`
	// Do is a variable to run [secrets.Env.Do] with: its function sends each value to the URL in Ask, and takes it as
	// refused if the answer is not 200.
	Do  string `json:"do,omitempty"`
	Ask string `json:"ask,omitempty"`
}

// reply holds one answer per name.
type reply map[string]answer

type answer struct {
	Value  string `json:"value"` // these are no secrets
	Stale  bool   `json:"stale"`
	Error  string `json:"error"`  // its Detail
	Kind   string `json:"kind"`   // of the failures that the tests bring about
	Micros int64  `json:"micros"` // that Get took
}

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if os.Getenv("PROBE_LOGGER") == "lambdacontext" {
		slog.SetDefault(lambdacontext.NewLogger())
	}
	env := secrets.MustWarm(context.Background())
	if file := os.Getenv("PROBE_CRASH"); file != "" {
		if _, err := os.Stat(file); err != nil {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				panic(err)
			}
			os.Exit(1)
		}
	}
	lambda.Start(func(ctx context.Context, e event) (reply, error) {
		r := reply{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, name := range e.Get {
			wg.Go(func() {
				a := ask(ctx, env, name)
				mu.Lock()
				defer mu.Unlock()
				r[name] = a
			})
		}
		wg.Wait()
		if e.Do != "" {
			r[e.Do] = do(ctx, env, e)
		}
		return r, nil
	})
}

// do returns the last value that the function was given.
func do(ctx context.Context, env *secrets.Env, e event) (a answer) {
	err := env.Do(ctx, e.Do, func(v secrets.Value) error {
		a.Value, a.Stale = v.Reveal(), v.Stale()
		res, err := http.Post(e.Ask, "text/plain", strings.NewReader(a.Value))
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return secrets.Rejected(errors.New(res.Status))
		}
		return nil
	})
	if err != nil {
		a.Error = secrets.Detail(err)
	}
	return a
}

func ask(ctx context.Context, env *secrets.Env, name string) answer {
	start := time.Now()
	v, err := env.Get(ctx, name)
	a := answer{Micros: time.Since(start).Microseconds()}
	if err != nil {
		a.Error = secrets.Detail(err)
		for _, kind := range []error{secrets.ErrThrottled, secrets.ErrUnavailable} {
			if errors.Is(err, kind) {
				a.Kind = kind.Error()
			}
		}
		return a
	}
	a.Value, a.Stale = v.Reveal(), v.Stale()
	return a
}
