// Package awsclient prepares aws.Config for calls in the credential path of a function that freezes: bounded attempts, quick
// retries of what a retry on the spot can heal, connections that a thaw does not turn into traps, and no body logging.
package awsclient

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/lambdasecrets/secrets/internal/parallel"
)

// The limits of one attempt. They replace the SDK's defaults (30 s to connect, none for an answer) and only those: a config that states its own
// keeps them.
const (
	ConnectTimeout = time.Second
	AttemptTimeout = 2 * time.Second
	// IdleTimeout is how long, by the wall clock, a connection may have been idle to be used again. A sandbox that was frozen may hold
	// connections whose other end is long gone, and a paused machine gets no FIN: using one would cost a whole attempt.
	IdleTimeout = 20 * time.Second
	// Width is how many idle connections are kept per host: as many as there are calls at once.
	Width = parallel.Width
)

// Unlogged is what the SDK is kept from logging on our calls, whoever asked for it: bodies, which hold the secrets, and requests, whose headers
// hold the session token.
const Unlogged = aws.LogRequestWithBody | aws.LogResponseWithBody | aws.LogRequest | aws.LogSigning

// UserAgent is the token that CloudTrail shows in userAgent.
const (
	UserAgent = "lambdasecrets"
	Version   = "0.1.0"
)

// A Source hands out one prepared aws.Config, loaded on first need, and loads it anew when its credentials were refused.
type Source struct {
	load func(context.Context) (aws.Config, error)

	mu     sync.Mutex
	cfg    *aws.Config
	number int  // of the loaded config
	proven bool // a call succeeded with it
}

// Fixed returns a Source of cfg, which is copied. Renewing it invalidates its cached credentials.
func Fixed(cfg aws.Config) *Source {
	again := false // under Source.mu
	return &Source{load: func(context.Context) (aws.Config, error) {
		// Not at the first load: what the user has cached already would cost a call to fetch anew.
		if c, ok := cfg.Credentials.(*aws.CredentialsCache); ok && again {
			c.Invalidate()
		}
		again = true
		return cfg.Copy(), nil
	}}
}

// Default returns a Source of the SDK's default configuration, in the given Region if it is not empty. Loading reads the process environment
// and the shared configuration files; it makes no call.
func Default(region string) *Source {
	return &Source{load: func(ctx context.Context) (aws.Config, error) {
		var opts []func(*config.LoadOptions) error
		if region != "" {
			opts = append(opts, config.WithRegion(region))
		}
		return config.LoadDefaultConfig(ctx, opts...)
	}}
}

// Config returns the configuration and its number.
func (s *Source) Config(ctx context.Context) (aws.Config, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg == nil {
		cfg, err := s.load(ctx)
		if err != nil {
			return aws.Config{}, 0, err
		}
		cfg = prepare(cfg)
		s.cfg, s.number, s.proven = &cfg, s.number+1, false
	}
	return *s.cfg, s.number, nil
}

// Proven notes that a call succeeded with configuration number n.
func (s *Source) Proven(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == s.number {
		s.proven = true
	}
}

// Renew reports whether it is worth trying again after the credentials of configuration number n were refused: either a newer configuration is
// there already, or n worked before and is dropped, to be loaded anew. A configuration that never worked is not: loading it again would give the same.
func (s *Source) Renew(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case n != s.number:
		return true
	case !s.proven:
		return false
	}
	s.cfg = nil
	return true
}

// Clients makes one client per Region, on first need.
type Clients[C any] struct {
	Source *Source
	New    func(cfg aws.Config) C

	mu       sync.Mutex
	number   int // of the configuration that byRegion was made with
	byRegion map[string]C
}

// Get returns the client of a Region ("" for the configuration's own), the Region, and the configuration's number.
func (c *Clients[C]) Get(ctx context.Context, region string) (client C, in string, number int, err error) {
	cfg, number, err := c.Source.Config(ctx)
	if err != nil {
		return client, region, 0, err
	}
	if region == "" {
		region = cfg.Region
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if number != c.number {
		c.number, c.byRegion = number, map[string]C{}
	}
	client, ok := c.byRegion[region]
	if !ok {
		cfg.Region = region
		client = c.New(cfg)
		c.byRegion[region] = client
	}
	return client, region, number, nil
}

// prepare returns cfg with our transport, retryer and middleware, where cfg does not state its own.
func prepare(cfg aws.Config) aws.Config {
	switch client := cfg.HTTPClient.(type) {
	case nil:
		cfg.HTTPClient = newClient(awshttp.NewBuildableClient())
	case *awshttp.BuildableClient:
		cfg.HTTPClient = newClient(client)
	}
	if cfg.Retryer == nil && cfg.RetryMaxAttempts == 0 && cfg.RetryMode == "" {
		cfg.Retryer = func() aws.Retryer { return newRetryer() }
	}
	cfg.APIOptions = append(cfg.APIOptions[:len(cfg.APIOptions):len(cfg.APIOptions)],
		middleware.AddUserAgentKeyValue(UserAgent, Version), addWatch)
	return cfg
}
