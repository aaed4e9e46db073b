package clients

import (
	"context"
	"database/sql"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

// shape is the secret of the page's clients.
const shape = `DB={"username":"app","password":"%s"}`

// The pools of docs/clients.md go through Drill with pgx's own code, and a server in the bubble.
func TestDrill(t *testing.T) {
	for name, start := range map[string]func(*secretstest.Instance) func(context.Context) error{
		"pgxpool in Derive": func(in *secretstest.Instance) func(context.Context) error {
			pools := secrets.Derive(in.Env, "DB", revealed(newPool), (*pgxpool.Pool).Close)
			in.Cleanup(pools.Close)
			return func(ctx context.Context) error {
				return pools.Do(ctx, func(pool *pgxpool.Pool) error { return query(ctx, pool) })
			}
		},
		"pgxpool with secretsql.BeforeConnect": func(in *secretstest.Instance) func(context.Context) error {
			pool, err := PgxpoolAfter(context.Background(), in.Env)
			if err != nil {
				t.Fatal(err)
			}
			in.Cleanup(pool.Close)
			return func(ctx context.Context) error { return query(ctx, pool) }
		},
		"database/sql with secretsql.ConnectorFrom": func(in *secretstest.Instance) func(context.Context) error {
			db, err := PgxAfter(in.Env)
			if err != nil {
				t.Fatal(err)
			}
			in.Cleanup(func() { db.Close() })
			db.SetConnMaxIdleTime(time.Second)
			return func(ctx context.Context) error { return queryDB(ctx, db) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { dial = nil })
			secretstest.Drill(t, func(in *secretstest.Instance) secretstest.Handler {
				dial = dialFake(in)
				handle := start(in)
				return func(ctx context.Context) (any, error) { return nil, handle(ctx) }
			}, shape)
		})
	}
}

func queryDB(ctx context.Context, db *sql.DB) error {
	var one int
	return db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// dialFake connects to a server that asks the drill whether a password is right.
func dialFake(in *secretstest.Instance) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			backend := pgproto3.NewBackend(server, server)
			if authenticate(in, backend) == nil {
				serve(backend)
			}
		}()
		return client, nil
	}
}

// authenticate asks for the password.
func authenticate(in *secretstest.Instance, b *pgproto3.Backend) error {
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return err
	}
	if err := b.SetAuthType(pgproto3.AuthTypeCleartextPassword); err != nil {
		return err
	}
	b.Send(&pgproto3.AuthenticationCleartextPassword{})
	if err := b.Flush(); err != nil {
		return err
	}
	m, err := b.Receive()
	if err != nil {
		return err
	}
	if err := in.Use(m.(*pgproto3.PasswordMessage).Password); err != nil {
		b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "password authentication failed"})
		b.Flush()
		return err
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.BackendKeyData{SecretKey: []byte{0, 0, 0, 1}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return b.Flush()
}

// serve answers each query with a row that holds 1.
func serve(b *pgproto3.Backend) {
	columns := &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
		{Name: []byte("one"), DataTypeOID: 23, DataTypeSize: 4, TypeModifier: -1},
	}}
	for {
		m, err := b.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *pgproto3.Parse:
			b.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Describe:
			if m.ObjectType == 'S' { // a statement
				b.Send(&pgproto3.ParameterDescription{})
			}
			b.Send(columns)
		case *pgproto3.Bind:
			b.Send(&pgproto3.BindComplete{})
		case *pgproto3.Execute:
			b.Send(&pgproto3.DataRow{Values: [][]byte{{0, 0, 0, 1}}})
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		case *pgproto3.Query: // a ping of database/sql
			b.Send(&pgproto3.EmptyQueryResponse{})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Sync:
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Terminate:
			return
		}
		if b.Flush() != nil {
			return
		}
	}
}
