// Messages of a queue need a secret, a parameter and a ciphertext.
package main

import (
	"context"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/awsenv"
	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

func init() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := awsenv.Populate(ctx, cfg); err != nil {
		log.Fatal(err)
	}
}

func handle(ctx context.Context, e events.SQSEvent) (string, error) {
	log.Printf("%d messages in %s", len(e.Records), os.Getenv("STAGE"))
	return used.With(os.Getenv("DB_PASSWORD"), os.Getenv("API_KEY"), os.Getenv("SIGNING_KEY")), nil
}

func main() {
	lambda.Start(handle)
}
