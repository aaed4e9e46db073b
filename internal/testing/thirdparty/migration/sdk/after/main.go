// A request needs a user and a password, which are one secret.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/lambdasecrets/secrets"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

type credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

var env *secrets.Env

func loadCredentials(ctx context.Context) (credentials, error) {
	var c credentials
	secret, err := env.Get(ctx, "DB_SECRET_ARN")
	if err != nil {
		return c, fmt.Errorf("read the database's secret: %w", err)
	}
	if err := json.Unmarshal(secret.RevealBytes(), &c); err != nil {
		return c, err
	}
	return c, nil
}

func handle(ctx context.Context, r events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	c, err := loadCredentials(ctx)
	if err != nil {
		return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusInternalServerError}, err
	}
	return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusOK, Body: used.With(c.Username, c.Password)}, nil
}

func main() {
	env = secrets.MustWarm(context.Background(), secrets.WithVars(secrets.SecretsManager, "DB_SECRET_ARN"))
	lambda.Start(handle)
}
