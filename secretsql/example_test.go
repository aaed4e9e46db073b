package secretsql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
)

// A vault stands in for Secrets Manager: staging label → password.
type vault map[string]string

func (v vault) fetch(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
	stage := ref.Stage()
	if stage == "" {
		stage = "AWSCURRENT"
	}
	if password, ok := v[stage]; ok {
		return secrets.NewValue(password, "version of "+password), nil
	}
	return secrets.Value{}, secrets.ErrNotFound
}

// A database stands in for a driver and its server.
type database struct{ password string }

type loginError struct{}

func (loginError) Error() string    { return "password authentication failed (SQLSTATE 28P01)" }
func (loginError) SQLState() string { return "28P01" }

func (d *database) connect(_ context.Context, password string) (driver.Conn, error) {
	if password != d.password {
		fmt.Println("the server refuses a connection")
		return nil, loginError{}
	}
	fmt.Println("the server accepts a connection")
	return conn{}, nil
}

type conn struct{}

func (conn) Ping(context.Context) error                { return nil }
func (conn) Prepare(query string) (driver.Stmt, error) { return nil, errors.New("not here") }
func (conn) Begin() (driver.Tx, error)                 { return nil, errors.New("not here") }
func (conn) Close() error                              { return nil }

// A pool of database/sql goes through a single-user rotation, in which the database has the new
// password before AWSCURRENT moves.
func ExampleConnector() {
	secret, server := vault{"AWSCURRENT": "yesterday"}, &database{"yesterday"}
	env, err := secrets.New(
		secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}),
		secrets.WithProvider(secrets.ProviderFunc(secret.fetch)),
		secrets.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		panic(err)
	}
	open := func(ctx context.Context, v secrets.Value) (driver.Conn, error) {
		return server.connect(ctx, v.Reveal())
	}
	db := sql.OpenDB(secretsql.Connector(env, "DB", open))
	defer db.Close()
	db.SetMaxIdleConns(0) // each query opens a connection, so that the rotation is seen at once

	fmt.Println("query:", db.Ping())
	secret["AWSPENDING"], server.password = "today", "today"
	fmt.Println("query:", db.Ping())
	fmt.Println("query:", db.Ping())
	// Output:
	// the server accepts a connection
	// query: <nil>
	// the server refuses a connection
	// the server accepts a connection
	// query: <nil>
	// the server accepts a connection
	// query: <nil>
}
