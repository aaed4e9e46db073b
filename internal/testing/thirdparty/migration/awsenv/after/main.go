// Messages of a queue need a secret, a parameter and a ciphertext.
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

func handle(ctx context.Context, e events.SQSEvent) (string, error) {
	log.Printf("%d messages in %s", len(e.Records), os.Getenv("STAGE"))
	all, err := env.RevealAll(ctx)
	if err != nil {
		return "", err
	}
	return used.With(all["DB_PASSWORD"], all["API_KEY"], all["SIGNING_KEY"]), nil
}

func main() {
	lambda.Start(handle)
}
