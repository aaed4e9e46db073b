package awsclient

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lambdasecrets/secrets/internal/jitter"
)

// newRetryer retries, quickly, what another attempt on the spot can heal: a connection that
// broke, an answer that it cut short, a clock that is off. Throttles, 5xx and timeouts are
// left to the caller, who knows how long somebody waits and what else is due.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 3
		o.RateLimiter = ratelimit.None
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return jitter.Less(20*time.Millisecond<<min(attempt, 4), 0.5), nil
		})
		o.Retryables = []retry.IsErrorRetryable{retry.IsErrorRetryableFunc(heals)}
	})
}

// heals reports whether another attempt on the spot can heal err. An answer that did not come
// to its end in time is not one that arrived garbled, although the SDK reports it as such.
func heals(err error) aws.Ternary {
	var refused *Refusal
	var send *smithyhttp.RequestSendError
	var network net.Error
	var skewed interface{ RetryableError() bool } // the SDK says that the clock is off by minutes
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &refused), errors.As(err, &untrusted),
		errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return aws.FalseTernary
	case errors.Is(err, io.ErrUnexpectedEOF), // the answer was cut short
		errors.As(err, &skewed) && skewed.RetryableError(), clockOff(err), errors.As(err, &send):
		return aws.TrueTernary
	}
	return aws.FalseTernary
}

// clockOff knows AWS's codes for a signature of another time, such as a sandbox writes whose
// wall clock is still that of its snapshot. The SDK signs the next attempt by AWS's clock, but
// versions from before 2026 do not retry all of these.
func clockOff(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed",
		"InvalidSignatureException", "SignatureDoesNotMatch":
		return true
	}
	return false
}
