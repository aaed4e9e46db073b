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
	someFail        // those that are connecting when the password changes
	manyFail        // the control
)

// A way is one way to use a secret that rotates.
type way struct {
	name        string // of the user
	server      string
	what        string
	variable    string
	alternating bool
	apart       bool // between two rotations the TTL passes
	snippet     bool // one of many: fewer rotations do
	expect      expect
	open        opener
}

// An opener returns what does one query, and what to do in the end.
type opener func(context.Context, *secrets.Env) (handle func(context.Context) error, end func(), err error)

// ways are all that the lab knows.
var ways = []way{
	{name: "pg1", server: "PostgreSQL", what: "secretsql.Connector, pgx", variable: "DB", open: pgxConnector},
	{name: "pg2", server: "PostgreSQL", what: "secretsql.Connector, pgx", variable: "DB", alternating: true, open: pgxConnector},
	{name: "pg3", server: "PostgreSQL", what: "the cached password", variable: "DB", snippet: true, expect: manyFail, open: pgxCached},
	{name: "my1", server: "MariaDB", what: "secretsql.Connector, mysql", variable: "DB", open: mysqlConnector},
	{name: "my2", server: "MariaDB", what: "secretsql.Connector, mysql", variable: "DB", alternating: true, open: mysqlConnector},
	{name: "my3", server: "MariaDB", what: "the cached password", variable: "DB", snippet: true, expect: manyFail, open: mysqlCached},
	{name: "re1", server: "Redis", what: "Derive, go-redis", variable: "REDIS", open: goRedis},
	{name: "re2", server: "Redis", what: "Derive, go-redis", variable: "REDIS", alternating: true, open: goRedis},
	{name: "re3", server: "Redis", what: "the cached password", variable: "REDIS", snippet: true, expect: manyFail, open: redisCached},
	{name: "re4", server: "Redis", what: "Derive, rueidis", variable: "REDIS", snippet: true, open: goRueidis},
	{name: "mq1", server: "RabbitMQ", what: "Do, amqp091", variable: "BROKER", snippet: true, open: rabbit},
	{name: "mq2", server: "RabbitMQ", what: "Do, amqp091", variable: "BROKER", alternating: true, snippet: true, open: rabbit},
	{name: "na1", server: "NATS", what: "Do, nats.go", variable: "BROKER", snippet: true, expect: someFail, open: natsDo},
	{name: "na2", server: "NATS", what: "Do, nats.go", variable: "BROKER", alternating: true, snippet: true, expect: someFail, open: natsDo},
	{name: "pg4", server: "PostgreSQL", what: "BeforeConnect, pgxpool", variable: "DB", snippet: true, expect: someFail, open: pgxPool},
	{name: "pg5", server: "PostgreSQL", what: "BeforeConnect, pgxpool", variable: "DB", alternating: true, apart: true, snippet: true, open: pgxPool},
	{name: "pg6", server: "PostgreSQL", what: "Derive, pgxpool", variable: "DB", snippet: true, open: derivedPool},
	{name: "pg7", server: "PostgreSQL", what: "secretsql.Connector, sqlx", variable: "DB", snippet: true, open: sqlxConnector},
	{name: "pg8", server: "PostgreSQL", what: "secretsql.Connector, gorm", variable: "DB", snippet: true, open: gormConnector},
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
