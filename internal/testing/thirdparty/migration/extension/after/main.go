// A schedule needs a password.
package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/lambdasecrets/secrets"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

var env *secrets.Env

func handle(ctx context.Context, e events.EventBridgeEvent) (string, error) {
	password, err := env.Get(ctx, "DB_PASSWORD")
	if err != nil {
		slog.Error("no password", "error", err)
		return "", err
	}
	return used.With(password.Reveal()), nil
}

func main() {
	env = secrets.MustWarm(context.Background())
	lambda.Start(handle)
}
