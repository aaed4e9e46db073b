package awsclient

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Clients makes one client per Region, on first need.
type Clients[C any] struct {
	Source *Source
	New    func(cfg aws.Config) C

	mu       sync.Mutex
	seq      int // of the configuration that byRegion was made with
	byRegion map[string]C
}

// Get returns the client of a Region ("" for the configuration's own), the Region, and the
// configuration's sequence number.
func (c *Clients[C]) Get(ctx context.Context, region string) (client C, in string, seq int, err error) {
	cfg, seq, err := c.Source.Config(ctx)
	if err != nil {
		return client, region, 0, err
	}
	if region == "" {
		region = cfg.Region
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if seq != c.seq {
		c.seq, c.byRegion = seq, map[string]C{}
	}
	client, ok := c.byRegion[region]
	if !ok {
		cfg.Region = region
		client = c.New(cfg)
		c.byRegion[region] = client
	}
	return client, region, seq, nil
}
