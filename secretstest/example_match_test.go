package secretstest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

// In a file that ends in _test.go, this function is called TestSigner_Drill.
func drillSigner(t *testing.T) {
	secretstest.Drill(t, func(in *secretstest.Instance) secretstest.Handler {
		s := signer{env: in.Env}
		return func(ctx context.Context) (any, error) {
			signature, err := s.sign(ctx, "order 42")
			if err != nil {
				return nil, err
			}
			// Which key was used? The one that makes the same signature.
			return signature, in.Match(func(key string) bool {
				return signature == hmacOf("order 42", []byte(key))
			})
		}
	})
}

// A signer is the handler.
type signer struct{ env *secrets.Env }

func (s signer) sign(ctx context.Context, text string) (string, error) {
	key, err := s.env.Get(ctx, "SIGNING_KEY")
	if err != nil {
		return "", err
	}
	return hmacOf(text, key.RevealBytes()), nil
}

func hmacOf(text string, key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// A handler that signs shows no plaintext, only what it made of one.
func ExampleInstance_Match() {
	_ = drillSigner
}
