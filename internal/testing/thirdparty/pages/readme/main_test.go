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
	fake.Fail("sm://prod/orders", secrets.ErrAccessDenied, 0)
	if _, err := handle(t.Context(), Order{ID: "42"}); !errors.Is(err, secrets.ErrAccessDenied) {
		t.Errorf("got %v", err)
	}
}

// endregion

// region: drill

func TestSigningKey_Drill(t *testing.T) {
	secretstest.Drill(t, func(ctx context.Context, env *secrets.Env) (used string, err error) {
		key, err := env.Get(ctx, "SIGNING_KEY") // the part of the handler that uses a secret
		if err != nil {
			return "", err
		}
		return key.Reveal(), nil // the plaintext that it used
	})
}

// endregion
