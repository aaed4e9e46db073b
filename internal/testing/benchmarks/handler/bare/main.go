// Command bare is the handler with the three SDK clients and the three calls that resolving needs
// at the least: what the library's own weight is measured against. It makes the calls only if it is
// told to resolve.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/handler/app"
)

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		panic(err)
	}
	keys, parameters, secrets := kms.NewFromConfig(cfg), ssm.NewFromConfig(cfg), secretsmanager.NewFromConfig(cfg)
	app.Run(func(ctx context.Context) (int, error) {
		p, err := parameters.GetParameters(
			ctx,
			&ssm.GetParametersInput{Names: []string{os.Getenv("PARAMETER")}, WithDecryption: aws.Bool(true)},
		)
		if err != nil {
			return 0, err
		}
		_, err = secrets.GetSecretValue(
			ctx,
			&secretsmanager.GetSecretValueInput{SecretId: aws.String(os.Getenv("SECRET"))},
		)
		if err != nil {
			return 0, err
		}
		_, err = keys.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: []byte(os.Getenv("CIPHERTEXT"))})
		return len(p.Parameters), err
	})
}
