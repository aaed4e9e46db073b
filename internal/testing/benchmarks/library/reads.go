package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/maypok86/otter/v2"

	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/bench"
	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/sdk"
)

// ttlCache is the cache that people write around the SDK: a mutex, a map, a time to live. The lock
// is held while a value is fetched, or two requests would fetch it twice.
type ttlCache struct {
	mu      sync.Mutex
	now     func() time.Time
	entries map[int]ttlEntry // number of the secret → its entry
	clients sdk.Clients
}

type ttlEntry struct {
	value   string
	expires time.Time
}

func (c *ttlCache) get(ctx context.Context, i int) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if e, ok := c.entries[i]; ok && now.Before(e.expires) {
		return e.value, nil
	}
	value, err := c.clients.Secret(ctx, i)
	if err != nil {
		return "", err
	}
	c.entries[i] = ttlEntry{value, now.Add(5 * time.Minute)}
	return value, nil
}

func ttlRead(ctx context.Context, _ *bench.World, s bench.Set) (func(int), error) {
	cl, err := sdk.New(ctx)
	if err != nil {
		return nil, err
	}
	// By name, as people do: a key of a number would be cheaper than what it is compared to.
	type named struct {
		mu      sync.Mutex
		entries map[string]ttlEntry
	}
	c := &named{entries: map[string]ttlEntry{}}
	var names [bench.ReadNames]string
	for i := range names {
		value, err := cl.Secret(ctx, i)
		if err != nil {
			return nil, err
		}
		names[i], _ = bench.Secret(i)
		c.entries[names[i]] = ttlEntry{value, time.Now().Add(time.Hour)}
	}
	return func(n int) {
		for i := range n {
			c.mu.Lock()
			e := c.entries[names[i%bench.ReadNames]]
			c.mu.Unlock()
			if !time.Now().Before(e.expires) {
				panic("expired")
			}
		}
	}, nil
}

// ttlRefresh makes the 25 due one after the other, as reads do that come one by one.
func ttlRefresh(ctx context.Context, _ *bench.World) (due, valid func() error, err error) {
	cl, err := sdk.New(ctx)
	if err != nil {
		return nil, nil, err
	}
	var ahead atomic.Int64
	c := &ttlCache{
		clients: cl,
		entries: map[int]ttlEntry{},
		now:     func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	}
	for i := range bench.Most {
		if _, err := c.get(ctx, i); err != nil {
			return nil, nil, err
		}
	}
	ahead.Store(int64(6 * time.Minute))
	c.entries[bench.Most] = ttlEntry{"valid", time.Now().Add(time.Hour)}
	due = func() error {
		for i := range bench.Most {
			if _, err := c.get(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	return due, func() error { _, err := c.get(ctx, bench.Most); return err }, nil
}

// credentialsRead is the SDK's own cached read, of credentials that expire, as a function's role
// has them.
func credentialsRead(ctx context.Context, _ *bench.World, _ bench.Set) (func(int), error) {
	c := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID:     "AKIDEXAMPLE",
			SecretAccessKey: "secret-access-key",
			CanExpire:       true,
			Expires:         time.Now().Add(time.Hour),
		}, nil
	}))
	if _, err := c.Retrieve(ctx); err != nil {
		return nil, err
	}
	return func(n int) {
		for range n {
			if _, err := c.Retrieve(ctx); err != nil {
				panic(err)
			}
		}
	}, nil
}

// A keeper does what the floor does behind a method like Env.Get: that is the least that a cached
// read can cost which is no loop of its own.
type keeper struct {
	held map[string]*atomic.Pointer[generation]
}

type generation struct {
	value   string
	expires int64
}

var errExpired = errors.New("expired")

//go:noinline
func (k *keeper) get(_ context.Context, name string) (string, error) {
	held := k.held[name]
	if held == nil {
		return "", errExpired
	}
	if g := held.Load(); g != nil && time.Now().UnixNano() < g.expires {
		return g.value, nil
	}
	return "", errExpired
}

func methodRead(ctx context.Context, _ *bench.World, _ bench.Set) (func(int), error) {
	k := &keeper{map[string]*atomic.Pointer[generation]{}}
	names := readable()
	for i := range 2 * bench.Most { // as many as the library has variables
		name := fmt.Sprintf("S%02d", i)
		p := &atomic.Pointer[generation]{}
		p.Store(&generation{name, time.Now().Add(time.Hour).UnixNano()})
		k.held[name] = p
	}
	return func(n int) {
		for i := range n {
			if v, err := k.get(ctx, names[i%bench.ReadNames]); err != nil || v == "" {
				panic(err)
			}
		}
	}, nil
}

// otterRead is a read of a cache with a time to live that others wrote.
func otterRead(_ context.Context, _ *bench.World, _ bench.Set) (func(int), error) {
	c, err := otter.New(
		&otter.Options[string, string]{
			MaximumSize:      1000,
			ExpiryCalculator: otter.ExpiryWriting[string, string](time.Hour),
		},
	)
	if err != nil {
		return nil, err
	}
	var names [bench.ReadNames]string
	for i := range bench.Most {
		name, value := bench.Secret(i)
		c.Set(name, value)
		if i < len(names) {
			names[i] = name
		}
	}
	if _, ok := c.GetIfPresent(names[0]); !ok {
		return nil, errors.New("otter lost an entry")
	}
	return func(n int) {
		for i := range n {
			if _, ok := c.GetIfPresent(names[i%bench.ReadNames]); !ok {
				panic("expired")
			}
		}
	}, nil
}
