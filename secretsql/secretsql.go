// Package secretsql keeps database/sql, and pools like it, connected while the password rotates.
//
// A pool of database/sql needs one change. [Connector] takes the place of the driver's own
// connector, and opens each new connection with [secrets.Env.Do]:
//
//	db := sql.OpenDB(secretsql.Connector(env, "DB", open))
//
// Here open connects with a given value of the variable DB. If the server refuses the login, the
// connector gets the newer password and opens again, before any query notices. Connections that
// are open stay open, since databases check the password at login only.
//
// Drivers that come with a connector of their own need less code with [ConnectorFrom]. A pool
// that is not of database/sql and asks for the password before each connection, as pgxpool does,
// takes [BeforeConnect].
//
// The package knows a refused login of PostgreSQL, MySQL and MariaDB; see [Refused]. Errors of
// other databases are marked by [secrets.Rejected], or known by [secrets.WithRejected].
package secretsql

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/lambdasecrets/secrets"
)

// Connector returns a connector for [database/sql.OpenDB] that opens each connection by open, with
// the value of the variable name. If the server refuses the login, open runs again with a newer
// value, up to three times more; [secrets.Env.Do] says where that comes from. The error is that of
// the last open, or that of env.
//
// open must not keep the value: the next connection may need another one. A context without a
// deadline bounds the fetch of a value by 10 seconds, and open not at all, so give the driver a
// time-out for connecting.
func Connector(
	env *secrets.Env,
	name string,
	open func(ctx context.Context, v secrets.Value) (driver.Conn, error),
) driver.Connector {
	return &connector{env: env, name: name, open: open}
}

// ConnectorFrom is [Connector] for a driver that has connectors of its own: with makes one that
// logs in with v, and the connection is opened by it. It is made for each connection, which costs
// no more than a copy of the driver's configuration.
func ConnectorFrom(
	env *secrets.Env,
	name string,
	with func(v secrets.Value) (driver.Connector, error),
) driver.Connector {
	open := func(ctx context.Context, v secrets.Value) (driver.Conn, error) {
		c, err := with(v)
		if err != nil {
			return nil, err
		}
		return c.Connect(ctx)
	}
	return Connector(env, name, open)
}

type connector struct {
	env  *secrets.Env
	name string
	open func(ctx context.Context, v secrets.Value) (driver.Conn, error)
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	var conn driver.Conn
	err := c.env.Do(ctx, c.name, func(v secrets.Value) error {
		var err error
		conn, err = c.open(ctx, v)
		if Refused(err) {
			return secrets.Rejected(err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Driver returns what [database/sql.DB.Driver] shows. The connector knows the driver only by the
// connections that open makes, so it cannot be opened by a data source name.
func (c *connector) Driver() driver.Driver { return unnamed{} }

type unnamed struct{}

func (unnamed) Open(string) (driver.Conn, error) {
	return nil, errors.New("secretsql: the driver opens connections by its connector only: " +
		"use sql.OpenDB(secretsql.Connector(…))")
}
