//lint:file-ignore U1000 The pages quote what stands here; nothing calls it.

package pages

import (
	"context"
	"database/sql/driver"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lambdasecrets/secrets"
)

func dial(context.Context, secrets.Value) (driver.Conn, error) { return nil, nil }

func refused(error) bool { return false }

func login(*pgx.ConnConfig, secrets.Value) error { return nil }

func newPool(context.Context, secrets.Value) (*pgxpool.Pool, error) { return nil, nil }

func work(driver.Conn) error { return nil }

func rotationDo(ctx context.Context) error {
	// region: do
	err := env.Do(ctx, "DB", func(v secrets.Value) error {
		conn, err := dial(ctx, v)
		if refused(err) { // PostgreSQL 28P01, HTTP 401
			return secrets.Rejected(err)
		}
		if err != nil {
			return err
		}
		defer conn.Close()
		return work(conn)
	})
	// endregion
	return err
}

func beforeConnect(poolConfig *pgxpool.Config) {
	// region: before-connect
	poolConfig.BeforeConnect = func(ctx context.Context, cc *pgx.ConnConfig) error {
		v, err := env.Get(ctx, "DB")
		if err != nil {
			return err
		}
		return login(cc, v) // user and password of one value
	}
	// endregion
}

// region: connector

type connector struct {
	env     *secrets.Env
	connect func(context.Context, secrets.Value) (driver.Conn, error)
}

func (c connector) Connect(ctx context.Context) (conn driver.Conn, err error) {
	err = c.env.Do(ctx, "DB", func(v secrets.Value) error {
		conn, err = c.connect(ctx, v)
		return err
	})
	return conn, err
}

// endregion

func derive(ctx context.Context) error {
	// region: derive
	pools := secrets.Derive(env, "DB", newPool, (*pgxpool.Pool).Close)

	err := pools.Do(ctx, func(p *pgxpool.Pool) error { return p.Ping(ctx) })
	// endregion
	return err
}

func snapshot(ctx context.Context) (secrets.Value, secrets.Value, error) {
	// region: snapshot
	s := env.Snapshot(ctx)
	user, err := s.Get("DB_USER") // sm://prod/db#username
	if err != nil {
		return user, user, err
	}
	password, err := s.Get("DB_PASSWORD") // sm://prod/db#password
	// endregion
	return user, password, err
}
