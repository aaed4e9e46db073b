// A notice needs the token of a chat.
package main

import (
	"context"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/lambdasecrets/secrets"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

var env *secrets.Env

func init() {
	ctx := context.Background()
	env = secrets.MustWarm(ctx)
}

func handle(ctx context.Context, e events.SNSEvent) (string, error) {
	log.Printf("%d messages to %s", len(e.Records), os.Getenv("CHANNEL"))
	slackToken, err := env.Get(ctx, "SLACK_TOKEN")
	if err != nil {
		return "", err
	}
	return used.With(slackToken.Reveal()), nil
}

func main() {
	lambda.Start(handle)
}
