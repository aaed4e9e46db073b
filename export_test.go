//go:build !secrets.nosm

package secrets

import (
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets/internal/awsclient"
)

// NewBatchingSecretsManager is what WithBatchGetSecretValue makes, without the cache that retries.
func NewBatchingSecretsManager(cfg aws.Config) Provider {
	return newSecretsManager(backendConfig{source: awsclient.Fixed(cfg), batch: true})
}
