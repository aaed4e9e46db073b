// Command provider is a Lambda function that reads its secrets through the AWS Parameters and
// Secrets Lambda Extension, rather than from AWS: an example of a [secrets.Provider] of one's own.
// extension.go is all there is to it.
//
// The extension answers 400 until init is over, so the function does not warm: the first invocation
// resolves. It keeps values for 300 seconds itself, which would hide a rotation from
// [secrets.Env.Refresh] and [secrets.Env.Do]: set SECRETS_MANAGER_TTL=0 and
// SSM_PARAMETER_STORE_TTL=0 in the function's environment, since the Env caches anyway.
package main

import (
	"context"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/lambdasecrets/secrets"
)

func main() {
	env, err := secrets.New(
		secrets.WithProvider(newExtension(os.Getenv), secrets.SSM, secrets.SecretsManager),
	) // kms:// goes to KMS as ever
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(func(ctx context.Context) (string, error) {
		password, err := env.Get(ctx, "DB_PASSWORD")
		if err != nil {
			log.Print(secrets.Detail(err))
			return "", err
		}
		return "resolved, version " + password.Version(), nil
	})
}
