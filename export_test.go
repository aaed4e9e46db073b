package secrets

import (
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets/internal/awsclient"
)

// Stream and StreamEach are how the cache fetches from a provider.
var (
	Stream     = stream
	StreamEach = streamEach
)

// NewBatchingSecretsManager is what WithBatchGetSecretValue makes, without the cache that retries.
func NewBatchingSecretsManager(cfg aws.Config) Provider {
	return newSecretsManager(backendConfig{source: awsclient.Fixed(cfg), batch: true})
}
