// Command readme is the first program of README.md.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/lambdasecrets/secrets"
)

// An Order is the event.
type Order struct{ ID string }

// region: first

var env *secrets.Env

func main() {
	env = secrets.MustWarm(context.Background()) // fetches every secret that the environment names
	lambda.Start(handle)
}

func handle(ctx context.Context, order Order) (string, error) {
	key, err := env.Get(ctx, "SIGNING_KEY") // SIGNING_KEY=sm://prod/orders#signing_key
	if err != nil {
		return "", err
	}
	return sign(order, key.RevealBytes()), nil
}

// endregion

func sign(order Order, key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(order.ID))
	return hex.EncodeToString(mac.Sum(nil))
}
