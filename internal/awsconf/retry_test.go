package awsconf

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/lambdasecrets/secrets/internal/endpoint"
)

func TestRetries(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		fault    endpoint.Fault
		attempts int // with a fault that does not end
		limit    time.Duration
	}{
		{"half an answer", endpoint.Fault{Do: endpoint.Truncated}, 3, time.Second},
		{"half a JSON text", endpoint.Fault{Do: endpoint.TruncatedJSON}, 3, time.Second},
		{"no JSON", endpoint.Fault{Do: endpoint.Garbled}, 3, time.Second},
		{"wrong types", endpoint.Fault{Do: endpoint.WrongTypes}, 3, time.Second},
		{"closed", endpoint.Fault{Do: endpoint.CutFIN}, 3, time.Second},
		{"reset", endpoint.Fault{Do: endpoint.CutRST}, 3, time.Second},
		{"throttled", endpoint.Fault{Do: endpoint.Throttle}, 1, time.Millisecond},
		{"500", endpoint.Fault{Do: endpoint.Fail, Code: "InternalServerError", Status: 500}, 1, time.Millisecond},
		{"a proxy's 503", endpoint.Fault{Do: endpoint.HTML503}, 1, time.Millisecond},
		{"denied", endpoint.Fault{Do: endpoint.Deny}, 1, time.Millisecond},
		{"no answer", endpoint.Fault{Do: endpoint.Hang}, 1, AttemptTimeout},
		{"headers and no body", endpoint.Fault{Do: endpoint.HangAfterHeaders}, 1, AttemptTimeout},
		{"dead connection", endpoint.Fault{Do: endpoint.CutSilent}, 1, AttemptTimeout},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, cfg := startPipe(t)
				cfg = prepare(cfg)
				h := s.Fault(tc.fault)
				began := time.Now()
				if err := get(within(t, time.Minute), cfg); err == nil {
					t.Error("no error")
				}
				if took := time.Since(began); h.Hits() != tc.attempts || took > tc.limit {
					t.Errorf("%d attempts in %v; want %d in %v", h.Hits(), took, tc.attempts, tc.limit)
				}
				h.Remove()
				if tc.attempts == 1 {
					return
				}
				tc.fault.Times = tc.attempts - 1
				s.Fault(tc.fault)
				if err := get(within(t, time.Minute), cfg); err != nil {
					t.Errorf("the last attempt was good: %v", err)
				}
			})
		})
	}
}

// What a config says of retries wins over our retryer.
func TestUsersRetries(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		set      func(*aws.Config)
		attempts int // of a throttled call
	}{
		{"nothing", func(*aws.Config) {}, 1},
		{"retryer", func(c *aws.Config) {
			c.Retryer = func() aws.Retryer {
				return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 5 })
			}
		}, 5},
		{"attempts", func(c *aws.Config) { c.RetryMaxAttempts = 4 }, 4},
		{"mode", func(c *aws.Config) { c.RetryMode = aws.RetryModeStandard }, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, cfg := startPipe(t)
				tc.set(&cfg)
				h := s.Fault(endpoint.Fault{Do: endpoint.Throttle})
				get(within(t, 10*time.Minute), prepare(cfg))
				if h.Hits() != tc.attempts {
					t.Errorf("%d attempts, want %d", h.Hits(), tc.attempts)
				}
			})
		})
	}
}
