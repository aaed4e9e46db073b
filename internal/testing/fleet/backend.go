package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets"
)

const (
	ssmBatch     = 10              // names in a GetParameters, as in ssm.go
	smBatch      = 20              // ids in a BatchGetSecretValue, as in secretsmanager.go
	attemptLimit = 2 * time.Second // of one call, as in internal/awsclient
)

// A backend is a [secrets.Provider] that makes the calls the library's backends would make, against
// the simulated account. TestFleet_CallsAreThoseOfBackends holds the two side by side.
type backend struct {
	account *account
	batch   bool // WithBatchGetSecretValue

	mu sync.Mutex
	// of latencies; apart, because the flights of two schemes begin in no particular order
	rngs map[secrets.Scheme]*rand.Rand
}

func (b *backend) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	results := make([]secrets.Result, len(refs))
	// All calls of a round leave together: no round here is wider than the 32 that the library lets
	// out at once.
	var last time.Duration
	for _, c := range b.calls(refs) {
		verdict, outage := b.account.call(c.op, c.to-c.from)
		took := b.latency(refs[0].Scheme())
		err := error(nil)
		switch {
		case verdict == throttled:
			err = fmt.Errorf("%s: %w", c.op, secrets.ErrThrottled)
		case verdict == failed:
			err = fmt.Errorf("%s: %w", c.op, secrets.ErrUnavailable)
			if outage.Hang {
				took = attemptLimit
			}
		}
		last = max(last, took)
		version := b.account.version()
		for i := c.from; i < c.to; i++ {
			if results[i].Err = err; err == nil {
				results[i].Value = secrets.NewValue("plaintext", version)
			}
		}
	}
	if err := sleep(ctx, last); err != nil {
		for i := range results {
			results[i] = secrets.Result{Err: fmt.Errorf("%w: %w", secrets.ErrUnavailable, err)}
		}
	}
	return results
}

// A call fetches refs[from:to].
type call struct {
	op       string
	from, to int
}

// calls returns the calls that fetch refs, which are of one scheme.
func (b *backend) calls(refs []secrets.Ref) (calls []call) {
	size, one, many := 1, "kms:Decrypt", ""
	switch scheme := refs[0].Scheme(); {
	case scheme == secrets.SSM:
		size, one, many = ssmBatch, "ssm:GetParameter", "ssm:GetParameters"
	case scheme == secrets.SecretsManager && b.batch:
		size, one, many = smBatch, "secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"
	case scheme == secrets.SecretsManager:
		one = "secretsmanager:GetSecretValue"
	}
	for from := 0; from < len(refs); from += size {
		c := call{op: many, from: from, to: min(from+size, len(refs))}
		if c.to-c.from == 1 {
			c.op = one
		}
		calls = append(calls, c)
	}
	return calls
}

// latency draws the time of one call inside a Region: 8 ms and an exponential tail of 12 ms on
// average.
func (b *backend) latency(scheme secrets.Scheme) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return 8*time.Millisecond + time.Duration(b.rngs[scheme].ExpFloat64()*float64(12*time.Millisecond))
}

// sleep returns after d, or with ctx's error when ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
