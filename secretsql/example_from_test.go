package secretsql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
)

// A driverConnector stands in for a driver that has a connector of its own, as pgx, go-sql-driver and go-mssqldb have.
type driverConnector struct{ user, password string }

func (s driverConnector) Connect(context.Context) (driver.Conn, error) {
	fmt.Println(s.user, "logs in with", s.password)
	return session{}, nil
}

func (driverConnector) Driver() driver.Driver { return nil }

type session struct{ driver.Conn }

func (session) Close() error { return nil }

// The driver's connector is made from the value, and made again when it has changed.
func ExampleConnectorFrom() {
	env, err := secrets.New(
		secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}),
		secrets.WithLocalValues(map[string]string{"DB": `{"username":"orders","password":"swordfish"}`}))
	if err != nil {
		panic(err)
	}
	db := sql.OpenDB(secretsql.ConnectorFrom(env, "DB", func(v secrets.Value) (driver.Connector, error) {
		user, err := v.Field("username")
		if err != nil {
			return nil, err
		}
		password, err := v.Field("password")
		if err != nil {
			return nil, err
		}
		return driverConnector{user.Reveal(), password.Reveal()}, nil
	}))
	defer db.Close()
	fmt.Println("query:", db.Ping())
	// Output:
	// orders logs in with swordfish
	// query: <nil>
}
