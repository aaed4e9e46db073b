package main

import (
	"context"
	"errors"
	"testing"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

// region: test

func TestHandle(t *testing.T) {
	env = secretstest.Env(t, map[string]string{"SIGNING_KEY": "test"}) // variable → plaintext
	signature, err := handle(t.Context(), Order{ID: "42"})
	if err != nil || len(signature) != 64 {
		t.Errorf("got %q, %v", signature, err)
	}
}

func TestHandle_Denied(t *testing.T) {
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/orders": `{"signing_key":"test"}`})
	env = fake.Env(map[string]string{"SIGNING_KEY": "sm://prod/orders#signing_key"})
	fake.Fail("sm://prod/orders", secrets.ErrAccessDenied)
	if _, err := handle(t.Context(), Order{ID: "42"}); !errors.Is(err, secrets.ErrAccessDenied) {
		t.Errorf("got %v", err)
	}
}

// endregion

// region: drill

func TestHandle_Drill(t *testing.T) {
	secretstest.Drill(t, func(in *secretstest.Instance) secretstest.Handler {
		env = in.Env // what main does
		return func(ctx context.Context) (any, error) {
			order := Order{ID: "42"}
			signature, err := handle(ctx, order)
			if err != nil {
				return nil, err
			}
			// Which key was used? The one that makes the same signature.
			return signature, in.Match(func(key string) bool { return signature == sign(order, []byte(key)) })
		}
	})
}

// endregion
