// A schedule needs a password.
package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

func handle(ctx context.Context, e events.EventBridgeEvent) (string, error) {
	text, err := getSecret(ctx, os.Getenv("SECRET_ID"))
	if err != nil {
		slog.Error("no password", "error", err)
		return "", err
	}
	var db struct {
		Password string `json:"password"`
	}
	if err := json.Unmarshal([]byte(text), &db); err != nil {
		return "", err
	}
	return used.With(db.Password), nil
}

func main() {
	lambda.Start(handle)
}
