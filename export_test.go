package secrets

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/awserr"
)

// Stream and StreamEach are how the cache fetches from a provider.
var (
	Stream     = stream
	StreamEach = streamEach
)

// FailingOver is a provider whose second Region may be asked under WithFailover, and ResultRegion
// that Region if r came from there.
func FailingOver(p Provider) Provider {
	next := func(ctx context.Context, refs []Ref, deliver func(int, Result)) { stream(ctx, p, refs, deliver) }
	return &streamer{failingOver(next)}
}

var WithFailover = withFailover

func ResultRegion(r Result) string { return r.region }

// RegionalError is an error after which the second Region is asked.
func RegionalError(ref Ref) error {
	return &ResolveError{Ref: ref, kind: ErrUnavailable, cause: &awserr.Error{Status: 503}}
}

// WholeCall and Outgrown report what the cache reads of an error, and Warning of a result.
func WholeCall(err error) bool { return err.(*ResolveError).wholeCall }
func Outgrown(err error) bool  { return err.(*ResolveError).outgrown }
func Warning(r Result) string  { return r.warning }

// NewBatchingSecretsManager is what WithBatchGetSecretValue makes, without the cache that retries.
func NewBatchingSecretsManager(cfg aws.Config) Provider {
	return newSecretsManager(backendConfig{source: awsclient.Fixed(cfg), batch: true})
}

// LogText is what attributes of log lines are escaped by.
var LogText = logText
