package secretstest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

// In a file that ends in _test.go, this function is called TestConnect_Throttled. It takes no time,
// because the seconds of a bubble do not.
func connectThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
		env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})
		fake.Fail("sm://prod/db", secrets.ErrThrottled)

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // as Lambda's
		defer cancel()
		if err := connect(ctx, env); !errors.Is(err, secrets.ErrThrottled) {
			t.Errorf("got %v", err)
		}
		if ctx.Err() != nil {
			t.Error("too late to tell the invoker")
		}
	})
}

// connect is the part of the handler that is tested.
func connect(ctx context.Context, env *secrets.Env) error {
	password, err := env.Get(ctx, "DB_PASSWORD")
	if err != nil {
		return err
	}
	_ = password.Reveal() // … the login …
	return nil
}

// AWS throttles until the invocation ends, in a test.
func ExampleFake_Fail() {
	_ = connectThrottled
}
