package main

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/rotationlab/clients"
)

// expect is what a way promises to those who query.
type expect int

const (
	noneFail expect = iota
	someFail        // of each worker the one that is connecting when the password changes
	manyFail        // the control
)

// A way is one way to use a secret that rotates.
type way struct {
	server      string
	what        string
	alternating bool
	apart       bool // between two rotations the TTL passes
	snippet     bool // one of many: fewer rotations do
	expect      expect
	open        opener
}

func (w way) users() string {
	if w.alternating {
		return "alternating"
	}
	return "one user"
}

// variables say by which variable the programs of a server know the login.
var variables = map[string]string{
	"PostgreSQL": "DB", "MariaDB": "DB", "Redis": "REDIS", "RabbitMQ": "BROKER", "NATS": "BROKER",
}

// An opener returns what does one query, and what to do in the end.
type opener func(context.Context, *secrets.Env) (handle func(context.Context) error, end func(), err error)

// ways are all that the lab knows.
var ways = []way{
	{server: "PostgreSQL", what: "secretsql.Connector, pgx", open: pgxConnector},
	{server: "PostgreSQL", what: "secretsql.Connector, pgx", alternating: true, open: pgxConnector},
	{server: "PostgreSQL", what: "the cached password", snippet: true, expect: manyFail, open: pgxCached},
	{server: "MariaDB", what: "secretsql.Connector, mysql", open: mysqlConnector},
	{server: "MariaDB", what: "secretsql.Connector, mysql", alternating: true, open: mysqlConnector},
	{server: "MariaDB", what: "the cached password", snippet: true, expect: manyFail, open: mysqlCached},
	{server: "Redis", what: "Derive, go-redis", open: goRedis},
	{server: "Redis", what: "Derive, go-redis", alternating: true, open: goRedis},
	{server: "Redis", what: "the cached password", snippet: true, expect: manyFail, open: redisCached},
	{server: "Redis", what: "Derive, rueidis", snippet: true, open: goRueidis},
	{server: "RabbitMQ", what: "Do, amqp091", snippet: true, open: rabbit},
	{server: "RabbitMQ", what: "Do, amqp091", alternating: true, snippet: true, open: rabbit},
	{server: "NATS", what: "Do, nats.go", snippet: true, open: natsDo},
	{server: "NATS", what: "Do, nats.go", alternating: true, snippet: true, open: natsDo},
	{server: "PostgreSQL", what: "BeforeConnect, pgxpool", snippet: true, expect: someFail, open: pgxPool},
	{
		server: "PostgreSQL", what: "BeforeConnect, pgxpool", alternating: true, apart: true,
		snippet: true, open: pgxPool,
	},
	{server: "PostgreSQL", what: "Derive, pgxpool", snippet: true, open: derivedPool},
	{server: "PostgreSQL", what: "secretsql.Connector, sqlx", snippet: true, open: sqlxConnector},
	{server: "PostgreSQL", what: "secretsql.Connector, gorm", snippet: true, open: gormConnector},
}

func nothing() {}

// querying returns what pings with a new connection each time: one that is kept would not notice a
// rotation.
func querying(db *sql.DB, err error) (func(context.Context) error, func(), error) {
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxIdleConns(0)
	return db.PingContext, func() { db.Close() }, nil
}

func pgxConnector(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	return querying(clients.PgxAfter(env))
}

func mysqlConnector(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	return querying(clients.MySQLAfter(env))
}

func sqlxConnector(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	db, err := clients.SqlxAfter(env)
	if err != nil {
		return nil, nil, err
	}
	return querying(db.DB, nil)
}

func gormConnector(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	g, err := clients.GormAfter(env)
	if err != nil {
		return nil, nil, err
	}
	return querying(g.DB())
}

func pgxPool(ctx context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	pool, err := clients.PgxpoolAfter(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	return pool.Ping, pool.Close, nil
}

func derivedPool(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	query, err := clients.PoolAfter(env)
	return query, nothing, err
}

func goRedis(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	query, err := clients.RedisAfter(env)
	return query, nothing, err
}

func goRueidis(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	query, err := clients.RueidisAfter(env)
	return query, nothing, err
}

func rabbit(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	return func(ctx context.Context) error {
		conn, err := clients.AMQPAfter(ctx, env)
		if err != nil {
			return err
		}
		return conn.Close()
	}, nothing, nil
}

func natsDo(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	return func(ctx context.Context) error {
		conn, err := clients.NATSAfter(ctx, env)
		if err != nil {
			return err
		}
		conn.Close()
		return nil
	}, nothing, nil
}

// cached returns what connects with the password that the Env has, and does nothing about a refusal.
func cached(env *secrets.Env, variable string, connect func(context.Context, login) error) func(context.Context) error {
	return func(ctx context.Context) error {
		v, err := env.Get(ctx, variable)
		if err != nil {
			return err
		}
		l, err := parseLogin(v.Reveal())
		if err != nil {
			return err
		}
		return connect(ctx, l)
	}
}

func pgxCached(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	return cached(env, "DB", func(ctx context.Context, l login) error {
		config, err := postgresConfig(clients.PostgreSQL, l.Username, l.Password)
		if err != nil {
			return err
		}
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}), nothing, nil
}

func mysqlCached(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	return cached(env, "DB", func(ctx context.Context, l login) error {
		db, err := sql.Open("mysql", mysqlConfig(clients.MariaDB, l.Username, l.Password).FormatDSN())
		if err != nil {
			return err
		}
		defer db.Close()
		return db.PingContext(ctx)
	}), nothing, nil
}

func redisCached(_ context.Context, env *secrets.Env) (func(context.Context) error, func(), error) {
	return cached(env, "REDIS", func(ctx context.Context, l login) error {
		c := redisClient(clients.Redis, l.Username, l.Password)
		defer c.Close()
		return c.Ping(ctx).Err()
	}), nothing, nil
}
