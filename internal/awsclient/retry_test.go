package awsclient

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

func TestRetryer_Attempts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		fault    endpoint.Fault
		attempts int // with a fault that does not end
		limit    time.Duration
	}{
		{"half an answer", endpoint.Fault{Do: endpoint.Truncated}, 3, time.Second},
		{"half a JSON text", endpoint.Fault{Do: endpoint.TruncatedJSON}, 1, time.Millisecond},
		{"no JSON", endpoint.Fault{Do: endpoint.Garbled}, 1, time.Millisecond},
		{"wrong types", endpoint.Fault{Do: endpoint.WrongTypes}, 1, time.Millisecond},
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

// A clock that is off, as in a sandbox that was restored from a snapshot, costs attempts and no call; so does one
// that is set right later.
func TestRetryer_SkewedClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{20 * time.Minute, -20 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				off := ahead // of the service's clock
				s, cfg := startPipe(t, endpoint.Options{Now: func() time.Time { return time.Now().Add(off) }})
				s.Fault(endpoint.Fault{Do: endpoint.Skew})
				c := ssm.NewFromConfig(prepare(cfg))
				for call := range 6 {
					if call == 3 {
						off = 0
					}
					before, began := len(s.Calls()), time.Now()
					_, err := c.GetParameter(within(t, time.Minute), &ssm.GetParameterInput{Name: aws.String("/a")})
					if n, took := len(s.Calls())-before, time.Since(began); err != nil || n > 3 || took > time.Second {
						t.Errorf("call %d, the clock being off by %v: %d attempts in %v: %v", call, off, n, took, err)
					}
				}
			})
		})
	}
}

// Only a Retryer that code states wins over ours. The numbers come from the environment too, where they are the usual
// advice against throttling.
func TestRetryer_OnlyStatedByCode(t *testing.T) {
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
		{"attempts", func(c *aws.Config) { c.RetryMaxAttempts = 4 }, 1},
		{"mode", func(c *aws.Config) { c.RetryMode = aws.RetryModeStandard }, 1},
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
