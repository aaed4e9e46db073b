package awsconf

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// newRetryer retries, quickly, what another attempt on the spot can heal: a connection that broke, an answer that arrived garbled. Throttles, 5xx and
// timeouts are left to the caller, who knows how long somebody waits and what else is due; the SDK's own first backoff of up to 2 s would
// outlast most of them. It takes no tokens: the attempts are bounded.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 3
		o.RateLimiter = ratelimit.None
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return Jitter(20*time.Millisecond<<min(attempt, 4), 0.5), nil
		})
		o.Retryables = []retry.IsErrorRetryable{retry.IsErrorRetryableFunc(heals)}
	})
}

// heals reports whether another attempt on the spot can heal err. An answer that did not come to its end in time is not one that arrived garbled,
// although the SDK reports it as such.
func heals(err error) aws.Ternary {
	var garbled *smithy.DeserializationError
	var status interface{ HTTPStatusCode() int }
	var send *smithyhttp.RequestSendError
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return aws.FalseTernary
	case errors.As(err, &garbled):
		return aws.BoolTernary(errors.As(err, &status) && status.HTTPStatusCode() == http.StatusOK)
	}
	var untrusted *tls.CertificateVerificationError
	return aws.BoolTernary(errors.As(err, &send) && !errors.As(err, &untrusted))
}
