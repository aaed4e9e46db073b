package awsclient

import (
	"context"
	"errors"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	smithymiddleware "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A Watch follows the attempts of one SDK call: the SDK drops the host and the last error when
// a context ends while it backs off.
type Watch struct {
	mu    sync.Mutex
	host  string
	proxy string // host of the proxy that a failed attempt went through, or ""
	err   error
}

type watchKey struct{}

// NewWatch returns a context whose SDK calls report to the Watch.
func NewWatch(ctx context.Context) (context.Context, *Watch) {
	w := &Watch{}
	return context.WithValue(ctx, watchKey{}, w), w
}

// Host returns the host of the last attempt.
func (w *Watch) Host() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.host
}

// Cause returns the error of the last attempt that was answered or failed by itself, if err
// only says that the context ended.
func (w *Watch) Cause(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil && contextEnded(err) {
		return w.err
	}
	return err
}

func contextEnded(err error) bool {
	var request *aws.RequestCanceledError
	var call *smithy.CanceledError
	if errors.As(err, &request) || errors.As(err, &call) {
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// begin and end note an attempt. The receiver is nil where nobody watches.
func (w *Watch) begin(host string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.host = host
}

func (w *Watch) end(err error) {
	if w == nil || err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// addAttempt adds what surrounds one attempt. The request is signed, its URL final, and nothing
// is sent yet.
func (s *Source) addAttempt(stack *smithymiddleware.Stack) error {
	return stack.Deserialize.Add(smithymiddleware.DeserializeMiddlewareFunc("lambdasecrets.Attempt",
		func(
			ctx context.Context, in smithymiddleware.DeserializeInput,
			next smithymiddleware.DeserializeHandler,
		) (
			out smithymiddleware.DeserializeOutput, md smithymiddleware.Metadata, err error,
		) {
			w, _ := ctx.Value(watchKey{}).(*Watch)
			if r, ok := in.Request.(*smithyhttp.Request); ok {
				w.begin(r.URL.Host)
				if err = s.checkEndpoint(ctx, r.URL); err != nil {
					w.end(err)
					return out, md, err
				}
			}
			// Whatever the deserializer does with the answer, it is done with it when next
			// returns.
			a := &answer{operation: middleware.GetOperationName(ctx)}
			defer a.release()
			out, md, err = next.HandleDeserialize(context.WithValue(ctx, answerKey{}, a), in)
			if ctx.Err() == nil {
				w.end(err)
			}
			return out, md, err
		}), smithymiddleware.Before)
}
