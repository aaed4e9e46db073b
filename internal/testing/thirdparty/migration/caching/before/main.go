// A webhook is verified and paid with two secrets.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-secretsmanager-caching-go/v2/secretcache"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

type event struct {
	OrderID string `json:"orderId"`
}

var cache *secretcache.Cache

func init() {
	var err error
	if cache, err = secretcache.New(); err != nil {
		log.Fatal(err)
	}
}

func handle(ctx context.Context, raw json.RawMessage) (string, error) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return "", errors.New("not an order")
	}
	signingKey, err := cache.GetSecretStringWithContext(ctx, os.Getenv("WEBHOOK_SECRET"))
	if err != nil {
		return "", err
	}
	payment, err := cache.GetSecretStringWithContext(ctx, os.Getenv("PAYMENT_SECRET"))
	if err != nil {
		return "", err
	}
	var account struct{ Token string }
	if err := json.Unmarshal([]byte(payment), &account); err != nil {
		return "", err
	}
	return used.With(signingKey, account.Token), nil
}

func main() { lambda.Start(handle) }
