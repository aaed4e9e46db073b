package awsclient

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Clients makes one client per Region and role, on first need.
type Clients[C any] struct {
	*Source
	New func(cfg aws.Config) C

	mu   sync.Mutex
	seq  int // of the configuration that made was made with
	made map[clientKey]C
}

type clientKey struct{ region, role string }

// NewClients returns the clients of one service, whose package has newFromConfig. Bodies are
// not logged, whatever optFns say: mode is where the service's options have their ClientLogMode.
func NewClients[C, O any](
	source *Source, newFromConfig func(aws.Config, ...func(*O)) C, optFns []func(*O),
	mode func(*O) *aws.ClientLogMode,
) *Clients[C] {
	optFns = append(slices.Clip(optFns), func(o *O) { *mode(o) &^= unlogged })
	return &Clients[C]{Source: source, New: func(cfg aws.Config) C {
		return newFromConfig(cfg, optFns...)
	}}
}

// Get returns the client of a Region ("" for the configuration's own) and a role ("" for
// the program's own credentials), the Region, and the configuration's sequence number.
func (c *Clients[C]) Get(
	ctx context.Context, region, role string,
) (client C, in string, seq int, err error) {
	cfg, seq, err := c.Source.Config(ctx)
	if err != nil {
		return client, region, 0, err
	}
	region = cmp.Or(region, cfg.Region)
	c.mu.Lock()
	defer c.mu.Unlock()
	if seq != c.seq {
		c.seq, c.made = seq, map[clientKey]C{}
	}
	key := clientKey{region, role}
	client, ok := c.made[key]
	if ok {
		return client, region, seq, nil
	}
	if role != "" {
		cfg.Region = cmp.Or(cfg.Region, region) // STS is asked at home, wherever the secret is
		cfg.Credentials = c.Source.assume(cfg, seq, role)
	}
	cfg.Region = region
	client = c.New(cfg)
	c.made[key] = client
	return client, region, seq, nil
}
