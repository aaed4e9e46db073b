package awsclient

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// A deadline that fires while the SDK backs off hides why it backed off. The Watch remembers.
func TestWatch_CauseOfDeadline(t *testing.T) {
	t.Parallel()
	slow := func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Hour, nil })
		})
	}
	for _, tc := range []struct {
		name  string
		fault endpoint.Fault
		code  string // of the cause; "" is none
	}{
		{"throttle", endpoint.Fault{Do: endpoint.Throttle}, "ThrottlingException"},
		{"500", endpoint.Fault{Do: endpoint.Fail, Code: "InternalServerError", Status: 500}, "InternalServerError"},
		{"hang", endpoint.Fault{Do: endpoint.Hang}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, cfg := startPipe(t)
				cfg.Retryer = slow
				s.Fault(tc.fault)
				ctx, w := NewWatch(within(t, time.Second))
				err := get(ctx, prepare(cfg))
				var api smithy.APIError
				if errors.As(err, &api) {
					t.Fatalf("the SDK tells the cause by itself: %v", err)
				}
				err = w.Cause(err)
				switch told := errors.As(err, &api); {
				case told != (tc.code != ""), told && api.ErrorCode() != tc.code:
					t.Errorf("cause %v; want code %q", err, tc.code)
				case !told && !errors.Is(err, context.DeadlineExceeded):
					t.Errorf("cause %v; want the deadline", err)
				}
				if w.Host() != "ssm.aws.test" {
					t.Errorf("host %q", w.Host())
				}
			})
		})
	}
}

// A later failure that has a cause of its own is told as it is.
func TestWatch_KeepsLastError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, cfg := startPipe(t)
		s.Fault(endpoint.Fault{Do: endpoint.Throttle, Times: 1})
		s.Fault(endpoint.Fault{Do: endpoint.Deny})
		cfg.Retryer = func() aws.Retryer { return retry.NewStandard() }
		ctx, w := NewWatch(within(t, time.Minute))
		var api smithy.APIError
		if err := w.Cause(get(ctx, prepare(cfg))); !errors.As(err, &api) || api.ErrorCode() != "AccessDeniedException" {
			t.Errorf("cause %v", err)
		}
	})
}

// A VPC without an endpoint for the service: packets go nowhere. (Promise 9.)
func TestDial_ConnectTimeout(t *testing.T) {
	t.Parallel()
	hole := func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * time.Minute): // as the kernel gives up
			return nil, syscall.ETIMEDOUT
		}
	}
	for _, tc := range []struct {
		name   string
		client *awshttp.BuildableClient
		limit  time.Duration // of the caller
		took   time.Duration
		failed bool // for want of a connection
	}{
		{"within a second", awshttp.NewBuildableClient(), time.Minute, ConnectTimeout, true},
		{"a shorter deadline", awshttp.NewBuildableClient(), time.Second / 2, time.Second / 2, false},
		{"a dialer with a limit of its own", awshttp.NewBuildableClient().WithDialerOptions(func(d *net.Dialer) {
			d.Timeout = time.Hour
		}).WithTimeout(time.Minute), time.Hour, time.Minute, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := base("http://ssm.aws.test")
				cfg.HTTPClient = tc.client.WithTransportOptions(func(t *http.Transport) { t.DialContext = hole })
				ctx, w := NewWatch(within(t, tc.limit))
				began := time.Now()
				err := w.Cause(get(ctx, prepare(cfg)))
				if took := time.Since(began); took != tc.took || ConnectFailed(err) != tc.failed ||
					w.Host() != "ssm.aws.test" {
					t.Errorf("after %v, host %q, connect failed %v: %v", took, w.Host(), ConnectFailed(err), err)
				}
				time.Sleep(2 * time.Minute) // net/http goes on dialing when nobody waits any more
			})
		})
	}
}
