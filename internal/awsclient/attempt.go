package awsclient

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	smithymiddleware "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A Watch follows the attempts of one SDK call: the SDK drops the host and the last error when
// a context ends while it backs off. Its credentials may come by attempts of another goroutine.
type Watch struct {
	mu    sync.Mutex
	host  string
	proxy string
	err   error
}

type watchKey struct{}

// NewWatch returns a context whose SDK calls report to the Watch.
func NewWatch(ctx context.Context) (context.Context, *Watch) {
	w := &Watch{}
	return context.WithValue(ctx, watchKey{}, w), w
}

// note calls f with the Watch of ctx, if there is one.
func note(ctx context.Context, f func(w *Watch)) {
	if w, ok := ctx.Value(watchKey{}).(*Watch); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		f(w)
	}
}

// Host returns the host of the last attempt.
func (w *Watch) Host() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.host
}

// Proxy returns the host of the proxy that the last failed attempt went through, or "".
func (w *Watch) Proxy() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.proxy
}

// Cause returns the error of the last attempt that was answered or failed by itself, if err
// only says that the context ended.
func (w *Watch) Cause(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if w.err != nil && ended {
		return w.err
	}
	return err
}

// noteProxy notes which proxy a failed request went through: its host, never its user and
// password. The SDK's error often does not name it.
func noteProxy(r *http.Request, t *http.Transport) {
	if t.Proxy == nil {
		return
	}
	if u, err := t.Proxy(r); err == nil && u != nil {
		note(r.Context(), func(w *Watch) { w.proxy = u.Host })
	}
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
			defer func() {
				if err != nil && ctx.Err() == nil {
					note(ctx, func(w *Watch) { w.err = err })
				}
			}()
			if r, ok := in.Request.(*smithyhttp.Request); ok {
				note(ctx, func(w *Watch) { w.host = r.URL.Host })
				if err = s.checkEndpoint(ctx, r.URL); err != nil {
					return out, md, err
				}
			}
			// Whatever the deserializer does with the answer, it is done with it when next
			// returns.
			a := &answer{operation: middleware.GetOperationName(ctx)}
			defer a.release()
			return next.HandleDeserialize(context.WithValue(ctx, answerKey{}, a), in)
		}), smithymiddleware.Before)
}
