package secrets_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/aws/smithy-go/middleware"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

type spanKey struct{}

// What a caller puts into its context, such as its span, reaches the SDK's middleware: at a warm, a
// read, a refresh, and a read of a reference in code.
func TestInfo_ContextReachesMiddleware(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	st.PutSecret("a", "hunter2")
	st.PutParameter(endpoint.Parameter{Name: "/b", Value: "hunter3"})
	var mu sync.Mutex
	var spans []string
	note := middleware.InitializeMiddlewareFunc("span", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		span, _ := ctx.Value(spanKey{}).(string)
		mu.Lock()
		spans = append(spans, span)
		mu.Unlock()
		return next.HandleInitialize(ctx, in)
	})
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(note, middleware.Before)
	})
	env := newEnv(t, cfg, map[string]string{"A": "sm://a", "B": "ssm:///b"})
	for _, step := range []struct {
		span  string
		calls int
		do    func(ctx context.Context) error
	}{
		{"read", 1, func(ctx context.Context) error { _, err := env.Get(ctx, "A"); return err }},
		{"warm", 1, env.Warm},
		{"cached", 0, func(ctx context.Context) error { _, err := env.Get(ctx, "A"); return err }},
		{"refresh", 2, func(ctx context.Context) error { return env.Refresh(ctx) }},
	} {
		spans = nil
		if err := step.do(context.WithValue(patient(t), spanKey{}, step.span)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(spans, slices.Repeat([]string{step.span}, step.calls)) {
			t.Errorf("%s: the middleware saw %q", step.span, spans)
		}
	}
	if n := len(s.Calls()); n != 4 {
		t.Errorf("%d calls", n)
	}
}
