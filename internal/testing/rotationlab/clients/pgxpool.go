package clients

import (
	"context"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
)

// PoolLifetime is how long connections of the pools live. It is short in the lab, since a
// connection that stays open does not notice a rotation.
var PoolLifetime = time.Hour

// dial, if it is not nil, connects to PostgreSQL in place of the network.
var dial pgconn.DialFunc

// poolConfig makes the configuration of a pool, without a login.
func poolConfig() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig("postgres://" + PostgreSQL + "/postgres?sslmode=disable&connect_timeout=10")
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MaxConnLifetime = 8, PoolLifetime
	setDial(&config.ConnConfig.Config)
	return config, nil
}

func setDial(config *pgconn.Config) {
	if dial != nil {
		config.DialFunc = dial
	}
}

// setLogin puts the JSON of a login into the configuration of a connection.
func setLogin(cc *pgx.ConnConfig, text string) error {
	l, err := parse(text)
	cc.User, cc.Password = l.Username, l.Password
	return err
}

func PgxpoolBefore(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := poolConfig()
	if err != nil {
		return nil, err
	}
	if err := setLogin(config.ConnConfig, os.Getenv("DB")); err != nil {
		return nil, err
	}
	return pgxpool.NewWithConfig(ctx, config)
}

func PgxpoolAfter(ctx context.Context, env *secrets.Env) (*pgxpool.Pool, error) {
	config, err := poolConfig()
	if err != nil {
		return nil, err
	}
	config.BeforeConnect = secretsql.BeforeConnect(env, "DB", loginAndListen)
	return pgxpool.NewWithConfig(ctx, config)
}

// region: login-and-listen

// loginAndListen logs in with v, and tells refused what the server says.
func loginAndListen(cc *pgx.ConnConfig, v secrets.Value, refused func(error)) error {
	onError := cc.OnPgError
	cc.OnPgError = func(c *pgconn.PgConn, err *pgconn.PgError) bool {
		refused(err)
		return onError(c, err)
	}
	return setLogin(cc, v.Reveal())
}

// endregion

// newPool makes a pool of the JSON of a login.
func newPool(text string) (*pgxpool.Pool, error) {
	config, err := poolConfig()
	if err != nil {
		return nil, err
	}
	if err := setLogin(config.ConnConfig, text); err != nil {
		return nil, err
	}
	return pgxpool.NewWithConfig(context.Background(), config)
}

func PoolBefore() (func(context.Context) error, error) {
	pool, err := newPool(os.Getenv("DB"))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return query(ctx, pool)
	}, nil
}

func PoolAfter(env *secrets.Env) (func(context.Context) error, error) {
	pools := secrets.Derive(env, "DB", revealed(newPool), (*pgxpool.Pool).Close)
	return func(ctx context.Context) error {
		return pools.Do(ctx, func(pool *pgxpool.Pool) error { return query(ctx, pool) })
	}, nil
}

func query(ctx context.Context, pool *pgxpool.Pool) error {
	var one int
	return pool.QueryRow(ctx, "SELECT 1").Scan(&one)
}
