package awsclient

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
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

	// turn is taken by who asks the cache while nothing is known of it, so that whoever
	// asks next sees the failure before it would start the command again.
	turn chan struct{}

	mu     sync.Mutex
	proven bool      // the last answer was credentials
	failed error     // of the command, or nil
	until  time.Time // from when on it may be started again
}

func (c *rememberingCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	proven, err := c.known()
	if err != nil {
		return aws.Credentials{}, err
	}
	if proven {
		return c.retrieve(ctx)
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return aws.Credentials{}, &aws.RequestCanceledError{Err: ctx.Err()}
	}
	if _, err := c.known(); err != nil {
		return aws.Credentials{}, err
	}
	return c.retrieve(ctx)
}

// known returns whether the last answer was credentials, and the failure that is still
// remembered.
func (c *rememberingCredentials) known() (proven bool, failed error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil && time.Now().Before(c.until) {
		return false, c.failed
	}
	return c.proven, nil
}

func (c *rememberingCredentials) retrieve(ctx context.Context) (aws.Credentials, error) {
	got, err := c.CredentialsCache.Retrieve(ctx)
	var command *processcreds.ProviderError
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proven, c.failed = err == nil, nil
	if errors.As(err, &command) && ctx.Err() == nil {
		c.failed, c.until = err, time.Now().Add(commandRest)
	}
	return got, err
}

// FilesRead returns the shared configuration files in which a profile was looked for in
// vain, or "".
func FilesRead(err error) string {
	var none config.SharedConfigProfileNotExistError
	if !errors.As(err, &none) {
		return ""
	}
	files := none.Filename // the SDK leaves it empty
	for variable, usual := range map[string]string{
		"AWS_CONFIG_FILE":             config.DefaultSharedConfigFilename(),
		"AWS_SHARED_CREDENTIALS_FILE": config.DefaultSharedCredentialsFilename(),
	} {
		files = append(files, cmp.Or(os.Getenv(variable), usual))
	}
	slices.Sort(files)
	return strings.Join(files, ", ")
}
