package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/lambdasecrets/secrets"
)

// An app is what a function keeps between invocations.
type app struct {
	env      *secrets.Env
	database *pgx.ConnConfig // where it is; user and password come from the variable DB

	refused       atomic.Int64 // connections that PostgreSQL refused
	built, closed atomic.Int64 // pools
}

// refused reports whether PostgreSQL did not accept the user or the password: invalid_password, invalid_authorization_specification.
// It is what the program gives to secrets.WithRejected.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "28P01" || pg.Code == "28000")
}

// A login is the JSON that AWS's rotation functions keep in a secret.
type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// login puts user and password into config. Both come from one Value of the whole secret, so they belong together.
func (a *app) login(config *pgx.ConnConfig, v secrets.Value) error {
	var l login
	if err := json.Unmarshal(v.RevealBytes(), &l); err != nil {
		return errors.New("the secret DB is not the JSON of a login") // not err, which may quote it
	}
	config.User, config.Password = l.Username, l.Password
	return nil
}

// connect opens one connection.
func (a *app) connect(ctx context.Context, v secrets.Value) (*pgx.Conn, error) {
	config := a.database.Copy()
	if err := a.login(config, v); err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if refused(err) {
		a.refused.Add(1)
	}
	return conn, err
}

// query is what every invocation does: connect, ask, close.
func (a *app) query(ctx context.Context, v secrets.Value) error {
	conn, err := a.connect(ctx, v)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var one int
	return conn.QueryRow(ctx, "SELECT 1").Scan(&one)
}

// A way is one way to use a secret that rotates: it makes a handler, and what to do in the end.
type way func(a *app) (handle func(context.Context) error, end func(), err error)

// byDo opens a connection per invocation inside Env.Do: a refused password is replaced, and the connection opened again.
func byDo(a *app) (func(context.Context) error, func(), error) {
	return func(ctx context.Context) error {
		return a.env.Do(ctx, "DB", func(v secrets.Value) error { return a.query(ctx, v) })
	}, func() {}, nil
}

// byGet is the control: the cached password, and no second try.
func byGet(a *app) (func(context.Context) error, func(), error) {
	return func(ctx context.Context) error {
		v, err := a.env.Get(ctx, "DB")
		if err != nil {
			return err
		}
		return a.query(ctx, v)
	}, func() {}, nil
}

// byBeforeConnect gives a pool the password for each new connection. It is all that alternating users need where the TTL is shorter than the time between
// two rotations: the user of the last rotation can still log in.
func byBeforeConnect(a *app) (func(context.Context) error, func(), error) {
	config, err := poolConfig(a.database)
	if err != nil {
		return nil, nil, err
	}
	config.BeforeConnect = func(ctx context.Context, cc *pgx.ConnConfig) error {
		v, err := a.env.Get(ctx, "DB")
		if err != nil {
			return err
		}
		return a.login(cc, v)
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) error { return queryPool(ctx, pool) }, pool.Close, nil
}

// byConnector is the same for database/sql, with Env.Do around each new connection, so that it also withstands a single-user rotation.
func byConnector(a *app) (func(context.Context) error, func(), error) {
	db := sql.OpenDB(connector{a})
	db.SetMaxIdleConns(0) // a new connection for each query: one that is kept would not notice a rotation here
	return func(ctx context.Context) error {
		var one int
		return db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	}, func() { db.Close() }, nil
}

type connector struct{ *app }

func (c connector) Connect(ctx context.Context) (conn driver.Conn, err error) {
	err = c.env.Do(ctx, "DB", func(v secrets.Value) error {
		config := c.database.Copy()
		if err := c.login(config, v); err != nil {
			return err
		}
		conn, err = stdlib.GetConnector(*config).Connect(ctx)
		if refused(err) {
			c.refused.Add(1)
		}
		return err
	})
	return conn, err
}

func (c connector) Driver() driver.Driver { return stdlib.GetDefaultDriver() }

// byDerive makes a new pool of each password. Use it for what cannot ask for the password by itself.
func byDerive(a *app) (func(context.Context) error, func(), error) {
	pools := secrets.Derive(a.env, "DB", func(ctx context.Context, v secrets.Value) (*pgxpool.Pool, error) {
		config, err := poolConfig(a.database)
		if err != nil {
			return nil, err
		}
		if err := a.login(config.ConnConfig, v); err != nil {
			return nil, err
		}
		a.built.Add(1)
		return pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	}, func(p *pgxpool.Pool) {
		p.Close()
		a.closed.Add(1)
	})
	return func(ctx context.Context) error {
		return pools.Do(ctx, func(p *pgxpool.Pool) error {
			err := queryPool(ctx, p)
			if refused(err) {
				a.refused.Add(1)
			}
			return err
		})
	}, pools.Close, nil
}

// poolConfig returns the settings of a pool that opens new connections all the time: one that keeps them would not notice a rotation here.
func poolConfig(database *pgx.ConnConfig) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(database.ConnString())
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MaxConnLifetime = 8, 50*time.Millisecond
	return config, nil
}

func queryPool(ctx context.Context, pool *pgxpool.Pool) error {
	var one int
	return pool.QueryRow(ctx, "SELECT 1").Scan(&one)
}
