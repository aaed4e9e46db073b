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

// WholeCall and Outgrown report what the cache reads of an error, and Warning of a result.
func WholeCall(err error) bool { return err.(*ResolveError).wholeCall }
func Outgrown(err error) bool  { return err.(*ResolveError).outgrown }
func Warning(r Result) string  { return r.warning }

// NewBatchingSecretsManager is what WithBatchGetSecretValue makes, without the cache that retries.
func NewBatchingSecretsManager(cfg aws.Config) Provider {
	return newSecretsManager(backendConfig{source: awsclient.Fixed(cfg), batch: true})
}
