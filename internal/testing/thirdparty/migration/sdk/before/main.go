// A request needs a user and a password, which are one secret.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

type credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

var client *secretsmanager.Client

func loadCredentials(ctx context.Context) (credentials, error) {
	var c credentials
	id := os.Getenv("DB_SECRET_ARN")
	out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return c, fmt.Errorf("read the database's secret: %w", err)
	}
	if err := json.Unmarshal([]byte(*out.SecretString), &c); err != nil {
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
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		panic(err)
	}
	client = secretsmanager.NewFromConfig(cfg)
	lambda.Start(handle)
}
