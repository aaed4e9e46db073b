// A notice needs the token of a chat.
package main

import (
	"context"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

var slackToken string

func init() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	name, decrypt := os.Getenv("SLACK_TOKEN_PARAMETER"), true
	out, err := ssm.NewFromConfig(cfg).GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: &decrypt})
	if err != nil {
		log.Fatal(err)
	}
	slackToken = *out.Parameter.Value
}

func handle(ctx context.Context, e events.SNSEvent) (string, error) {
	log.Printf("%d messages to %s", len(e.Records), os.Getenv("CHANNEL"))
	return used.With(slackToken), nil
}

func main() {
	lambda.Start(handle)
}
