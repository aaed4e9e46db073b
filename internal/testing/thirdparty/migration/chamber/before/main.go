// An order needs the parameters of orders-prod.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

type order struct {
	ID string `json:"id"`
}

func handle(ctx context.Context, o order) (string, error) {
	if o.ID == "" {
		return "", errors.New("an order needs an ID")
	}
	password := os.Getenv("DB_PASSWORD")
	apiKey := os.Getenv("API_KEY")
	return used.With(password, apiKey), nil
}

func main() {
	lambda.Start(handle)
}
