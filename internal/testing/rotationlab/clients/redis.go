package clients

import (
	"context"
	"os"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/lambdasecrets/secrets"
)

// newRedis makes a client of the JSON of a login.
func newRedis(text string) (*redis.Client, error) {
	l, err := parse(text)
	if err != nil {
		return nil, err
	}
	return redis.NewClient(&redis.Options{
		Addr: Redis, Username: l.Username, Password: l.Password,
		ConnMaxLifetime: PoolLifetime,
	}), nil
}

func RedisBefore() (func(context.Context) error, error) {
	client, err := newRedis(os.Getenv("REDIS"))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return client.Ping(ctx).Err()
	}, nil
}

func RedisAfter(env *secrets.Env) (func(context.Context) error, error) {
	clients := secrets.Derive(env, "REDIS", revealed(newRedis), closeRedis)
	return func(ctx context.Context) error {
		return clients.Do(ctx, func(client *redis.Client) error { return client.Ping(ctx).Err() })
	}, nil
}

func closeRedis(c *redis.Client) { c.Close() }

// newRueidis connects a client with the JSON of a login.
func newRueidis(text string) (rueidis.Client, error) {
	l, err := parse(text)
	if err != nil {
		return nil, err
	}
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{Redis}, Username: l.Username, Password: l.Password,
		ConnLifetime: PoolLifetime, ForceSingleClient: true, DisableCache: true,
	})
}

func RueidisBefore() (func(context.Context) error, error) {
	client, err := newRueidis(os.Getenv("REDIS"))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return ping(ctx, client)
	}, nil
}

func RueidisAfter(env *secrets.Env) (func(context.Context) error, error) {
	clients := secrets.Derive(env, "REDIS", revealed(newRueidis), rueidis.Client.Close)
	return func(ctx context.Context) error {
		return clients.Do(ctx, func(client rueidis.Client) error { return ping(ctx, client) })
	}, nil
}

func ping(ctx context.Context, client rueidis.Client) error {
	return client.Do(ctx, client.B().Ping().Build()).Error()
}
