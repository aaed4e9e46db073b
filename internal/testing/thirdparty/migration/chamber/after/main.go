// An order needs the parameters of orders-prod.
package main

import (
	"context"
	"errors"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/lambdasecrets/secrets"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

var env = secrets.MustWarm(context.Background())

type order struct {
	ID string `json:"id"`
}

func handle(ctx context.Context, o order) (string, error) {
	if o.ID == "" {
		return "", errors.New("an order needs an ID")
	}
	password, err := env.Get(ctx, "DB_PASSWORD")
	if err != nil {
		return "", err
	}
	apiKey, err := env.Get(ctx, "API_KEY")
	if err != nil {
		return "", err
	}
	return used.With(password.Reveal(), apiKey.Reveal()), nil
}

func main() {
	lambda.Start(handle)
}
