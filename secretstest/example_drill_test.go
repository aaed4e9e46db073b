package secretstest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
	"github.com/lambdasecrets/secrets/secretstest"
)

// In a file that ends in _test.go, this function is called TestOrders.
func drillOrders(t *testing.T) {
	secretstest.Drill(t, func(in *secretstest.Instance) secretstest.Handler {
		// What main does, with a driver that asks the test in place of a server.
		db := sql.OpenDB(secretsql.Connector(in.Env, "DB_PASSWORD",
			func(_ context.Context, v secrets.Value) (driver.Conn, error) {
				if err := in.Use(v.Reveal()); err != nil { // the login
					return nil, err
				}
				return fakeConn{}, nil
			}))
		in.Cleanup(func() { db.Close() })
		db.SetMaxIdleConns(0) // each invocation logs in, so that Drill sees what it uses

		// One invocation.
		return func(ctx context.Context) (any, error) { return handleOrder(ctx, db) }
	})
}

// handleOrder is the handler.
func handleOrder(ctx context.Context, db *sql.DB) (string, error) {
	if err := db.PingContext(ctx); err != nil {
		return "", err
	}
	return "ordered", nil
}

type fakeConn struct{}

func (fakeConn) Ping(context.Context) error          { return nil }
func (fakeConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("no statements") }
func (fakeConn) Begin() (driver.Tx, error)           { return nil, errors.New("no transactions") }
func (fakeConn) Close() error                        { return nil }

// A handler of orders goes through rotations, freezes and outages, in a test.
func ExampleDrill() {
	_ = drillOrders
}
