package tests

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
	"github.com/lambdasecrets/secrets/secretstest"
)

// region: throttled

func TestOrder_Throttled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := secretstest.NewFake(t, map[string]string{"sm://prod/api": "swordfish"})
		env := fake.Env(map[string]string{"TOKEN": "sm://prod/api"})
		f := &Function{env: env, api: newAPI(env, http.DefaultTransport)}
		fake.Fail("sm://prod/api", secrets.ErrThrottled) // until fake.Heal

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // as Lambda's
		defer cancel()
		if _, err := f.Handle(ctx, "42"); !errors.Is(err, secrets.ErrThrottled) {
			t.Errorf("got %v", err)
		}
	})
}

// endregion

// region: rotated

func TestToken_Rotated(t *testing.T) {
	clock := secretstest.NewClock()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/api": "old"})
	env := fake.Env(map[string]string{"TOKEN": "sm://prod/api"}, secrets.WithClock(clock.Now))
	if err := env.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	fake.Set("sm://prod/api", "new")
	clock.Advance(5 * time.Minute) // the TTL; clock.Freeze is an environment that was frozen
	token, err := env.Get(t.Context(), "TOKEN")
	if err != nil || !token.EqualString("new") {
		t.Errorf("an old token, %v", err)
	}
}

// endregion

// region: drill-sql

func TestFunction_Drill(t *testing.T) {
	secretstest.Drill(t, func(in *secretstest.Instance) secretstest.Handler {
		open := func(_ context.Context, v secrets.Value) (driver.Conn, error) {
			if err := in.Use(v.Reveal()); err != nil { // the server's answer to the login
				return nil, err
			}
			return conn{}, nil
		}
		db := sql.OpenDB(secretsql.Connector(in.Env, "DB_PASSWORD", open))
		db.SetMaxIdleConns(0) // each invocation logs in, so that Drill sees what is used
		in.Cleanup(func() { db.Close() })
		f := &Function{env: in.Env, db: db}
		return func(ctx context.Context) (any, error) { return f.Handle(ctx, "42") }
	})
}

// endregion

// region: drill-http

// A server answers a request of its client.
type server struct{ in *secretstest.Instance }

func (s server) RoundTrip(req *http.Request) (*http.Response, error) {
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	status := http.StatusOK
	if err := s.in.Use(token); err != nil {
		status = http.StatusUnauthorized
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: req}, nil
}

func TestFunction_DrillHTTP(t *testing.T) {
	secretstest.Drill(t, func(in *secretstest.Instance) secretstest.Handler {
		f := &Function{env: in.Env, api: newAPI(in.Env, server{in})}
		return func(ctx context.Context) (any, error) { return f.Handle(ctx, "42") }
	})
}

// endregion

type conn struct{}

func (conn) Ping(context.Context) error          { return nil }
func (conn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("no statements") }
func (conn) Begin() (driver.Tx, error)           { return nil, errors.New("no transactions") }
func (conn) Close() error                        { return nil }
