// Package awsclient prepares aws.Config for calls in the credential path of a function that
// freezes: bounded attempts, quick retries of what a retry on the spot can heal, connections
// that a thaw does not turn into traps, bounded answers, no redirects, and no body logging.
package awsclient

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	smithymiddleware "github.com/aws/smithy-go/middleware"

	"github.com/lambdasecrets/secrets/internal/parallel"
)

// The limits of one attempt. They replace the SDK's defaults (30 s to connect, none for an
// answer) and only those: a config that states its own keeps them.
const (
	ConnectTimeout = time.Second
	AttemptTimeout = 2 * time.Second
	// IdleTimeout is how long, by the wall clock, a connection may be idle and used again. After
	// a freeze its other end may be gone, and no FIN came: it would cost a whole attempt.
	IdleTimeout = 20 * time.Second
	// Width is how many idle connections are kept per host.
	Width = parallel.Width
)

// unlogged is what the SDK does not log on our calls, whatever ClientLogMode says: bodies,
// which hold the secrets, and requests, whose headers hold the session token.
const unlogged = aws.LogRequestWithBody | aws.LogResponseWithBody | aws.LogRequest | aws.LogSigning

// UserAgent and Version make the token that CloudTrail shows in userAgent.
const (
	UserAgent = "lambdasecrets"
	Version   = "0.1.0"
)

// A Source hands out one prepared aws.Config. It loads the configuration on first need, and
// anew when its credentials were refused. Its exported fields must be set before its first use.
type Source struct {
	// Overridden, unless nil, is called before the first request of a service to an endpoint
	// that is not AWS's own for the service and Region, with its scheme and host.
	Overridden func(ctx context.Context, service, endpoint string)
	// AllowHTTP permits plain http on Lambda to hosts that are not loopback.
	AllowHTTP bool
	// Function is the name of the function, for CloudTrail, or "".
	Function string

	load func(context.Context) (aws.Config, error)
	seen sync.Map // overridden endpoint, with its service → struct{}

	mu     sync.Mutex
	cfg    *aws.Config
	seq    int  // of the loaded configuration
	proven bool // a call succeeded with it

	roles   map[string]aws.CredentialsProvider // ARN → its credentials
	rolesOf int                                // seq of the configuration they were made with
}

// Fixed returns a Source of cfg. Renewing it invalidates its cached credentials.
func Fixed(cfg aws.Config) *Source {
	loaded := false // under Source.mu
	return &Source{load: func(context.Context) (aws.Config, error) {
		// Not at the first load: what the user has cached already would cost a call.
		if c, ok := cfg.Credentials.(*aws.CredentialsCache); ok && loaded {
			c.Invalidate()
		}
		loaded = true
		return cfg.Copy(), nil
	}}
}

// Default returns a Source of the SDK's default configuration, in the given Region if it is not
// empty. Loading reads the environment and the shared files; it makes no call.
func Default(region string) *Source {
	return &Source{load: func(ctx context.Context) (aws.Config, error) {
		// The calls of STS that the configuration itself makes, for a role of a profile.
		opts := []func(*config.LoadOptions) error{
			config.WithAPIOptions([]func(*smithymiddleware.Stack) error{addCredentialsCheck}),
		}
		if region != "" {
			opts = append(opts, config.WithRegion(region))
		}
		return config.LoadDefaultConfig(ctx, opts...)
	}}
}

// Config returns the configuration and its sequence number.
func (s *Source) Config(ctx context.Context) (aws.Config, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg == nil {
		cfg, err := s.load(ctx)
		if err != nil {
			return aws.Config{}, 0, err
		}
		cfg = s.prepare(cfg)
		s.cfg, s.seq, s.proven = &cfg, s.seq+1, false
	}
	return *s.cfg, s.seq, nil
}

// Proven notes that a call succeeded with the configuration of number seq.
func (s *Source) Proven(seq int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq == s.seq {
		s.proven = true
	}
}

// Renew reports whether it is worth trying again after the credentials of configuration seq
// were refused: a newer one is there already, or this one worked before and is dropped. Loading
// one that never worked again would give the same.
func (s *Source) Renew(seq int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case seq != s.seq:
		return true
	case !s.proven:
		return false
	}
	s.cfg = nil
	return true
}

// prepare returns cfg with our transport, retryer and middleware. RetryMaxAttempts and RetryMode
// do not count as a Retryer that is stated: LoadDefaultConfig sets them from the environment
// too, and the SDK's retryer waits up to 20 s and gives up after a count, not at a deadline.
func (s *Source) prepare(cfg aws.Config) aws.Config {
	cfg.HTTPClient = hardened(cfg.HTTPClient)
	cfg.Credentials = remembering(cfg.Credentials)
	if cfg.Retryer == nil {
		cfg.Retryer = func() aws.Retryer { return newRetryer() }
		cfg.RetryMaxAttempts, cfg.RetryMode = 0, ""
	}
	cfg.APIOptions = append(cfg.APIOptions[:len(cfg.APIOptions):len(cfg.APIOptions)],
		middleware.AddUserAgentKeyValue(UserAgent, Version), s.addAttempt, addAnswer,
		addCredentialsCheck)
	return cfg
}
