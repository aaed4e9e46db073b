package awsclient

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
)

// commandRest is how long the failure of a credential_process is remembered. Each start
// may be a prompt on somebody's screen, and a warm would start it at every try of every
// reference.
const commandRest = 30 * time.Second

// remembering returns credentials that start a failing command once per commandRest. It
// leaves everything but the SDK's own cache as it is: there is no command below it.
func remembering(p aws.CredentialsProvider) aws.CredentialsProvider {
	cache, ok := p.(*aws.CredentialsCache)
	if !ok {
		return p
	}
	return &rememberingCredentials{CredentialsCache: cache, turn: make(chan struct{}, 1)}
}

// rememberingCredentials embeds the cache for what the SDK asks of it besides: its
// sources and its type.
type rememberingCredentials struct {
	*aws.CredentialsCache

	// turn is held by who asks the cache, and guards what follows: whoever asks next sees
	// the failure before it would start the command again.
	turn   chan struct{}
	failed error     // the last answer, or nil
	until  time.Time // who asked before then shares it
}

func (c *rememberingCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	began := time.Now()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return aws.Credentials{}, &aws.RequestCanceledError{Err: ctx.Err()}
	}
	if c.failed != nil && began.Before(c.until) {
		return aws.Credentials{}, c.failed
	}
	got, err := c.CredentialsCache.Retrieve(ctx)
	c.failed, c.until = nil, time.Now()
	if ctx.Err() != nil {
		return got, err // the failure may be this caller's own
	}
	var command *processcreds.ProviderError
	if c.failed = err; errors.As(err, &command) {
		c.until = c.until.Add(commandRest)
	}
	return got, err
}

// FilesRead returns the shared configuration files in which a profile was looked for in
// vain, or "". The SDK's error does not name them.
func FilesRead(err error) string {
	var none config.SharedConfigProfileNotExistError
	if !errors.As(err, &none) {
		return ""
	}
	credentials, settings := os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), os.Getenv("AWS_CONFIG_FILE")
	return cmp.Or(credentials, config.DefaultSharedCredentialsFilename()) + ", " +
		cmp.Or(settings, config.DefaultSharedConfigFilename())
}
