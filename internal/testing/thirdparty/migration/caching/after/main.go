// A webhook is verified and paid with two secrets.
package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/lambdasecrets/secrets"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

type event struct {
	OrderID string `json:"orderId"`
}

var env *secrets.Env

func init() {
	env = secrets.MustWarm(context.Background(),
		secrets.WithVars(secrets.SecretsManager, "WEBHOOK_SECRET", "PAYMENT_SECRET"))
}

func handle(ctx context.Context, raw json.RawMessage) (string, error) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return "", errors.New("not an order")
	}
	signingKey, err := env.Get(ctx, "WEBHOOK_SECRET")
	if err != nil {
		return "", err
	}
	payment, err := env.Get(ctx, "PAYMENT_SECRET")
	if err != nil {
		return "", err
	}
	var account struct{ Token string }
	if err := json.Unmarshal(payment.RevealBytes(), &account); err != nil {
		return "", err
	}
	return used.With(signingKey.Reveal(), account.Token), nil
}

func main() { lambda.Start(handle) }
