package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lambdasecrets/secrets"
)

// providing makes a Provider of a function.
type providing func(ctx context.Context, refs []secrets.Ref) []secrets.Result

func (p providing) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	return p(ctx, refs)
}

// unhashable is a Provider that panics when it is compared or used as a key of a map.
type unhashable struct{ _ []string }

func (p unhashable) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	return make([]secrets.Result, len(refs))
}

type errorOfMine struct{ error }

// Whatever a provider does, the caller gets an error that says so, in time, and the next call may succeed.
func TestProvider_Misbehaves(t *testing.T) {
	t.Parallel()
	canary := "hunter2-canary"
	good := []secrets.Result{{Value: secrets.NewValue("good", "")}}
	tests := []struct {
		name  string
		fetch func(ctx context.Context, refs []secrets.Ref) []secrets.Result
		says  string
		kind  error
	}{
		{"panics", func(context.Context, []secrets.Ref) []secrets.Result { panic(canary) },
			"the provider panicked with a string", secrets.ErrUnavailable},
		{"panics with nil", func(context.Context, []secrets.Ref) []secrets.Result { panic(nil) },
			"the provider panicked with a *runtime.PanicNilError", secrets.ErrUnavailable},
		{"ends its goroutine", func(context.Context, []secrets.Ref) []secrets.Result { runtime.Goexit(); return nil },
			"the provider ended its goroutine", secrets.ErrUnavailable},
		{"returns too few", func(context.Context, []secrets.Ref) []secrets.Result { return nil },
			"0 results for 1 references", secrets.ErrUnavailable},
		{"returns too many", func(context.Context, []secrets.Ref) []secrets.Result { return append(good, good...) },
			"2 results for 1 references", secrets.ErrUnavailable},
		{"returns nothing", func(context.Context, []secrets.Ref) []secrets.Result { return make([]secrets.Result, 1) },
			"neither a value nor an error", secrets.ErrUnavailable},
		{"returns too much", func(context.Context, []secrets.Ref) []secrets.Result {
			return []secrets.Result{{Value: secrets.NewValue(strings.Repeat("x", 4<<20+1), "")}}
		}, "larger than 4 MiB", secrets.ErrInvalidReference},
		{"returns a typed nil", func(context.Context, []secrets.Ref) []secrets.Result {
			var none *secrets.ResolveError
			return []secrets.Result{{Err: none}}
		}, "empty *ResolveError", secrets.ErrUnavailable},
		{"returns an empty error", func(context.Context, []secrets.Ref) []secrets.Result {
			return []secrets.Result{{Err: &secrets.ResolveError{Code: "X"}}}
		}, "empty *ResolveError", secrets.ErrUnavailable},
		{"returns an error whose methods panic", func(context.Context, []secrets.Ref) []secrets.Result {
			return []secrets.Result{{Err: errorTree{}}}
		}, "panicked with", secrets.ErrUnavailable},
		{"returns a typed nil of its own", func(context.Context, []secrets.Ref) []secrets.Result {
			var none *os.PathError
			return []secrets.Result{{Err: none}}
		}, "panicked with", secrets.ErrUnavailable},
		{"returns an error whose text panics", func(context.Context, []secrets.Ref) []secrets.Result {
			return []secrets.Result{{Err: panicking{canary}}}
		}, "panicked with a string", secrets.ErrAccessDenied},
		{"panics when it is cancelled", func(ctx context.Context, _ []secrets.Ref) []secrets.Result {
			<-ctx.Done()
			panic(canary)
		}, "panicked with", secrets.ErrUnavailable},
		{"fails with a trap when it is cancelled", func(ctx context.Context, _ []secrets.Ref) []secrets.Result {
			<-ctx.Done()
			return []secrets.Result{{Err: trap{}}}
		}, "panicked with", secrets.ErrUnavailable},
		{"returns an error of its own", func(context.Context, []secrets.Ref) []secrets.Result {
			return []secrets.Result{{Err: errorOfMine{errors.New("odd")}}}
		}, "odd", secrets.ErrUnavailable},
		{"mixes up the references", func(_ context.Context, refs []secrets.Ref) []secrets.Result {
			refs[0] = secrets.Ref{}
			return nil
		}, "0 results for 1 references", secrets.ErrUnavailable},
		{"cannot be compared", unhashable{}.Fetch, "neither a value nor an error", secrets.ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bad := true
				p := providing(func(ctx context.Context, refs []secrets.Ref) []secrets.Result {
					if bad {
						return test.fetch(ctx, refs)
					}
					return good
				})
				env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}), secrets.WithProvider(p),
					secrets.WithLogger(quiet()))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err = env.Get(ctx, "A")
				text := secrets.Detail(err)
				if !errors.Is(err, test.kind) || !strings.Contains(text, test.says) {
					t.Errorf("%v, want an %v that says %q", text, test.kind, test.says)
				}
				if strings.Contains(text, canary) {
					t.Error("the text of the panic is in the error")
				}
				time.Sleep(time.Second)
				bad = false
				expect(t, env, "good")
			})
		})
	}
}

// panicking is a denial that cannot say so. A permanent failure is logged from the flight's goroutine, where a panic
// would be the end of the function.
type panicking struct{ with any }

func (p panicking) Error() string      { panic(p.with) }
func (panicking) Is(target error) bool { return target == secrets.ErrAccessDenied }

// errorTree is an error whose chain leads into a nil pointer.
type errorTree struct{ next *errorTree }

func (e errorTree) Error() string   { return "tree" }
func (e errorTree) Unwrap() []error { return []error{e.next} }

// The kind that a provider states wins over what AWS's code means to this package, and what it brings of the SDK's
// stays outside.
func TestProvider_WrapsSDKErrors(t *testing.T) {
	t.Parallel()
	response := &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: 503,
		Header: http.Header{"Canary": {"canary"}}}}, Err: errors.New("canary")}
	code := func(code string) error {
		return &smithy.OperationError{ServiceID: "S3", OperationName: "GetObject",
			Err: &smithy.GenericAPIError{Code: code, Message: "said"}}
	}
	for _, tc := range []struct {
		name string
		err  error
		kind error
		code string
	}{
		{"a code", code("AccessDenied"), secrets.ErrAccessDenied, "AccessDenied"},
		{"a code of another service", code("NoSuchKey"), secrets.ErrUnavailable, "NoSuchKey"},
		{"the same, classified", fmt.Errorf("%w: %w", secrets.ErrNotFound, code("NoSuchKey")),
			secrets.ErrNotFound, "NoSuchKey"},
		{"permanent, classified as transient", fmt.Errorf("%w: %w", secrets.ErrUnavailable, code("AccessDenied")),
			secrets.ErrUnavailable, "AccessDenied"},
		{"two kinds", errors.Join(secrets.ErrThrottled, secrets.ErrNotFound), secrets.ErrThrottled, ""},
		{"a response without a code", fmt.Errorf("wrapped: %w", &smithy.OperationError{ServiceID: "S3",
			OperationName: "GetObject", Err: response}), secrets.ErrUnavailable, ""},
		{"a request that was not answered",
			&smithy.OperationError{Err: &smithyhttp.RequestSendError{Err: &url.Error{Op: "Post", URL: "https://canary",
				Err: io.EOF}}}, secrets.ErrUnavailable, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, err := secrets.NewCache(fetcher(func([]secrets.Ref) []secrets.Result {
					return []secrets.Result{{Err: tc.err}}
				}), secrets.WithLogger(quiet()))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err = c.Fetch(ctx, []secrets.Ref{secrets.Secret("a")})[0].Err
				var e *secrets.ResolveError
				if !errors.As(err, &e) || e.Unwrap()[0] != tc.kind || e.Code != tc.code {
					t.Errorf("%v; want %v, code %q", err, tc.kind, tc.code)
				}
				if of := madeOf(err, "github.com/aws/", "net/"); of != "" ||
					leaks(walk(err)+secrets.Detail(err), "canary") != "" {
					t.Errorf("%s reaches a %s, or what it holds", secrets.Detail(err), of)
				}
			})
		})
	}
}

// trap is an error that does not like to be compared with context.Canceled.
type trap struct{}

func (trap) Error() string { return "trap" }
func (trap) Is(target error) bool {
	if target == context.Canceled {
		panic("hunter2-canary")
	}
	return false
}

// A provider that ignores its context keeps its goroutine, and nobody else: who waits leaves in time, and the next
// reader starts anew.
func TestProvider_NeverReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := &script{}
		p.Answer = func(context.Context, int, string) (string, error) { <-release; return "late", nil }
		env := p.One(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		took(t, "a caller with a deadline", 1750*time.Millisecond, 1800*time.Millisecond, func() {
			if _, err := env.Get(ctx, "A"); !errors.Is(err, secrets.ErrUnavailable) ||
				!errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
		took(t, "the next with as little time", 0, 0, func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			env.Get(ctx, "A")
		})
		p.Set(0, nil)
		expect(t, env, "a-2") // who has more time may well be answered
		close(release)
		synctest.Wait()
		expect(t, env, "a-2") // the late answer is dropped
	})
}

// A provider may keep the slice that it returned, and write to it.
func TestProvider_KeepsItsSlice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := []secrets.Result{{}}
		p := providing(func(context.Context, []secrets.Ref) []secrets.Result { return kept })
		c, err := secrets.NewCache(p)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Fetch(ctx, []secrets.Ref{secrets.Secret("a")})
		if kept[0].Err != nil {
			t.Error("the cache wrote into the provider's slice")
		}
	})
}

// The panic of a logger is its caller's, who may recover, and leaves no lock locked, nor unlocked twice.
type brokenHandler struct{ slog.Handler }

func (brokenHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (brokenHandler) Handle(context.Context, slog.Record) error { panic("logger") }
