//lint:file-ignore U1000 The pages quote what stands here; nothing calls it.

// Package before holds what programs do before they use package secrets. It is compiled and never
// run.
package before

import (
	"context"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/lambdasecrets/secrets"
)

// region: getenv

var client *ssm.Client

var apiKey string

func init() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	client = ssm.NewFromConfig(cfg)
	out, err := client.GetParameter(ctx, &ssm.GetParameterInput{
		Name:           aws.String(os.Getenv("API_KEY_PARAMETER")), // /app/prod/api-key
		WithDecryption: aws.Bool(true),
	})
	if err != nil {
		log.Fatal(err)
	}
	apiKey = aws.ToString(out.Parameter.Value)
}

func useAPIKey(ctx context.Context) error {
	return connect(ctx, apiKey)
}

// endregion

// region: once

// Right until the first rotation.
var password = mustRead("prod/db")

func mustRead(id string) string {
	ctx := context.Background()
	v, err := secrets.MustWarm(ctx).Resolve(ctx, secrets.Secret(id))
	if err != nil {
		panic(err)
	}
	return v.Reveal()
}

// endregion

func connect(context.Context, string) error { return nil }
