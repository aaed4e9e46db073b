package awsclient

import (
	"context"
	"errors"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithymiddleware "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A Watch follows the attempts of one SDK call. The SDK loses both when a context ends while it backs off.
type Watch struct {
	mu   sync.Mutex
	host string
	err  error
}

type watchKey struct{}

// NewWatch returns a context whose SDK calls report to the Watch.
func NewWatch(ctx context.Context) (context.Context, *Watch) {
	w := &Watch{}
	return context.WithValue(ctx, watchKey{}, w), w
}

// Host returns the host that was asked last.
func (w *Watch) Host() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.host
}

// Cause returns the error of the last attempt that was answered or failed by itself, if err only says that the context ended.
func (w *Watch) Cause(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var canceled *aws.RequestCanceledError
	var canceled2 *smithy.CanceledError
	ended := errors.As(err, &canceled) || errors.As(err, &canceled2) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if ended && w.err != nil {
		return w.err
	}
	return err
}

func addWatch(stack *smithymiddleware.Stack) error {
	return stack.Deserialize.Add(smithymiddleware.DeserializeMiddlewareFunc("lambdasecrets.Watch",
		func(ctx context.Context, in smithymiddleware.DeserializeInput, next smithymiddleware.DeserializeHandler) (smithymiddleware.DeserializeOutput, smithymiddleware.Metadata, error) {
			w, _ := ctx.Value(watchKey{}).(*Watch)
			if r, ok := in.Request.(*smithyhttp.Request); ok && w != nil {
				w.mu.Lock()
				w.host = r.URL.Host
				w.mu.Unlock()
			}
			out, md, err := next.HandleDeserialize(ctx, in)
			if w != nil && err != nil && ctx.Err() == nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
			}
			return out, md, err
		}), smithymiddleware.Before)
}
