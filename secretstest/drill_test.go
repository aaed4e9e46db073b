package secretstest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secrethttp"
	"github.com/lambdasecrets/secrets/secretsql"
	"github.com/lambdasecrets/secrets/secretstest"
)

type (
	instance = secretstest.Instance
	handler  = secretstest.Handler
)

// A planned handler is one that Drill is given.
type planned struct {
	start func(*instance) handler
	vars  []string
}

// each makes a start of a handler that needs no set-up.
func each(f func(ctx context.Context, in *instance) (any, error)) func(*instance) handler {
	return func(in *instance) handler {
		return func(ctx context.Context) (any, error) { return f(ctx, in) }
	}
}

// get reads a variable and uses it.
func get(ctx context.Context, in *instance, name string) error {
	v, err := in.Env.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	slog.Info("connecting", "password", v)
	return in.Use(v.Reveal())
}

func good(ctx context.Context, in *instance) (any, error) {
	return "done", get(ctx, in, "DB_PASSWORD")
}

// A server stands in for a database: a login is a use.
type server struct{ in *instance }

func (s server) connect(_ context.Context, v secrets.Value) (driver.Conn, error) {
	if err := s.in.Use(v.Reveal()); err != nil {
		return nil, err
	}
	return conn{}, nil
}

type conn struct{}

func (conn) Ping(context.Context) error          { return nil }
func (conn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not here") }
func (conn) Begin() (driver.Tx, error)           { return nil, errors.New("not here") }
func (conn) Close() error                        { return nil }

// A doConnector is the connector of docs/rotation.md.
type doConnector struct{ in *instance }

func (c doConnector) Connect(ctx context.Context) (conn driver.Conn, err error) {
	err = c.in.Env.Do(ctx, "DB", func(v secrets.Value) error {
		conn, err = server(c).connect(ctx, v)
		return err
	})
	return conn, err
}

func (doConnector) Driver() driver.Driver { return nil }

// pinging is a handler that queries a pool of database/sql.
func pinging(connector func(*instance) driver.Connector, set func(*sql.DB)) func(*instance) handler {
	return func(in *instance) handler {
		db := sql.OpenDB(connector(in))
		set(db)
		in.Cleanup(func() { db.Close() })
		return func(ctx context.Context) (any, error) { return nil, db.PingContext(ctx) }
	}
}

func closeIdle(db *sql.DB)     { db.SetMaxIdleConns(0) }
func closeOld(db *sql.DB)      { db.SetConnMaxLifetime(30 * time.Minute) }
func closeUnwanted(db *sql.DB) { db.SetConnMaxIdleTime(time.Second) }
func fromValue(in *instance) func(secrets.Value) (driver.Connector, error) {
	return func(v secrets.Value) (driver.Connector, error) { return fixed{in, v}, nil }
}

// A fixed connector logs in with one password for ever, as that of a driver does.
type fixed struct {
	in *instance
	v  secrets.Value
}

func (c fixed) Connect(ctx context.Context) (driver.Conn, error) {
	return server{c.in}.connect(ctx, c.v)
}
func (fixed) Driver() driver.Driver { return nil }

// A pool is one as of pgxpool: it logs in when it is made, and checks its connections by a goroutine
// of its own until it is closed.
type pool struct {
	stop chan struct{}
	done chan struct{}
}

func newPool(ctx context.Context, in *instance, v secrets.Value) (*pool, error) {
	if _, err := (server{in}).connect(ctx, v); err != nil {
		return nil, err
	}
	p := &pool{make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(p.done)
		for tick := time.NewTicker(time.Minute); ; {
			select {
			case <-tick.C:
			case <-p.stop:
				tick.Stop()
				return
			}
		}
	}()
	return p, nil
}

func (p *pool) close() {
	close(p.stop)
	<-p.done
}

// A connConfig is what a pool's BeforeConnect changes.
type connConfig struct {
	password string
	refused  func(error)
}

// A roundTripper is a server that takes a bearer token.
type roundTripper struct{ in *instance }

func (s roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	status := http.StatusOK
	if s.in.Use(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")) != nil {
		status = http.StatusUnauthorized
	}
	return &http.Response{StatusCode: status, Request: req, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader("ok"))}, nil
}

// The handler of README.md, with its package variable.
var readmeEnv *secrets.Env

func readmeHandle(ctx context.Context, order string) (string, error) {
	key, err := readmeEnv.Get(ctx, "SIGNING_KEY")
	if err != nil {
		return "", err
	}
	return sign(order, key.RevealBytes()), nil
}

func sign(order string, key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(order))
	return hex.EncodeToString(mac.Sum(nil))
}

// healthy are handlers as the pages recommend them.
var healthy = map[string]planned{
	"Get": {start: each(good)},
	"Get, two of them": {start: each(func(ctx context.Context, in *instance) (any, error) {
		return nil, errors.Join(get(ctx, in, "USER"), get(ctx, in, "PASSWORD"))
	})},
	"Get, two of them, one after the other": {start: each(func(ctx context.Context, in *instance) (any, error) {
		if err := get(ctx, in, "USER"); err != nil {
			return nil, err
		}
		return nil, get(ctx, in, "PASSWORD")
	})},
	"the handler of README.md": {start: func(in *instance) handler {
		readmeEnv = in.Env
		return func(ctx context.Context) (any, error) {
			signature, err := readmeHandle(ctx, "42")
			if err != nil {
				return nil, err
			}
			return signature, in.Match(func(key string) bool { return signature == sign("42", []byte(key)) })
		}
	}},
	"Do": {start: each(func(ctx context.Context, in *instance) (any, error) {
		return nil, in.Env.Do(ctx, "DB_PASSWORD", func(v secrets.Value) error { return in.Use(v.Reveal()) })
	})},
	"Do in a connector of database/sql": {start: pinging(func(in *instance) driver.Connector {
		return doConnector{in}
	}, closeIdle)},
	"Do in a connector, idle for " +
		"a second": {start: pinging(func(in *instance) driver.Connector { return doConnector{in} }, closeUnwanted)},
	"Do in a connector, open for 30 " +
		"minutes": {start: pinging(func(in *instance) driver.Connector { return doConnector{in} }, closeOld)},
	"secretsql.Connector": {start: pinging(func(in *instance) driver.Connector {
		return secretsql.Connector(in.Env, "DB", server{in}.connect)
	}, closeIdle)},
	"secretsql.ConnectorFrom": {start: pinging(func(in *instance) driver.Connector {
		return secretsql.ConnectorFrom(in.Env, "DB", fromValue(in))
	}, closeIdle)},
	"secretsql.BeforeConnect": {start: func(in *instance) handler {
		before := secretsql.BeforeConnect(in.Env, "DB",
			func(c *connConfig, v secrets.Value, refused func(error)) error {
				c.password, c.refused = v.Reveal(), refused
				return nil
			})
		return func(ctx context.Context) (any, error) {
			var c connConfig
			if err := before(ctx, &c); err != nil {
				return nil, err
			}
			err := in.Use(c.password)
			c.refused(err)
			return nil, err
		}
	}},
	"a pool in Derive": {start: func(in *instance) handler {
		pools := secrets.Derive(in.Env, "DB",
			func(ctx context.Context, v secrets.Value) (*pool, error) { return newPool(ctx, in, v) }, (*pool).close)
		in.Cleanup(pools.Close)
		return func(ctx context.Context) (any, error) { return nil, pools.Do(ctx, func(*pool) error { return nil }) }
	}},
	"two pools in Derive": {start: func(in *instance) handler {
		build := func(ctx context.Context, v secrets.Value) (*pool, error) { return newPool(ctx, in, v) }
		reader := secrets.Derive(in.Env, "READER", build, (*pool).close)
		writer := secrets.Derive(in.Env, "WRITER", build, (*pool).close)
		in.Cleanup(reader.Close)
		in.Cleanup(writer.Close)
		return func(ctx context.Context) (any, error) {
			return nil, reader.Do(ctx, func(*pool) error { return writer.Do(ctx, func(*pool) error { return nil }) })
		}
	}},
	"a refresher that ends with the environment": {start: func(in *instance) handler {
		ctx, cancel := context.WithCancel(context.Background())
		in.Cleanup(cancel)
		go func() {
			for tick := time.NewTicker(time.Minute); ctx.Err() == nil; {
				select {
				case <-tick.C:
					in.Env.Refresh(ctx)
				case <-ctx.Done():
					tick.Stop()
				}
			}
		}()
		return func(ctx context.Context) (any, error) { return good(ctx, in) }
	}},
	"a goroutine that ends a second later": {start: each(func(ctx context.Context, in *instance) (any, error) {
		go func() { time.Sleep(time.Second) }()
		return good(ctx, in)
	})},
	"secrethttp.Transport": {start: func(in *instance) handler {
		client := &http.Client{Transport: &secrethttp.Transport{
			Env: in.Env, Name: "TOKEN", Origin: "https://api.example.com", Base: roundTripper{in},
		}}
		return func(ctx context.Context) (any, error) {
			req, err := http.NewRequestWithContext(ctx, "GET", "https://api.example.com/orders", nil)
			if err != nil {
				return nil, err
			}
			resp, err := client.Do(req)
			if err != nil {
				return nil, err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return nil, errors.New(resp.Status)
			}
			return io.ReadAll(resp.Body)
		}
	}},
	"Snapshot": {start: each(func(ctx context.Context, in *instance) (any, error) {
		v, err := in.Env.Snapshot(ctx).Get("DB_PASSWORD")
		if err != nil {
			return nil, err
		}
		return nil, in.Use(v.Reveal())
	})},
	"RevealAll": {vars: []string{"DB_PASSWORD"}, start: each(func(ctx context.Context, in *instance) (any, error) {
		all, err := in.Env.RevealAll(ctx)
		if err != nil {
			return nil, err
		}
		return nil, in.Use(all["DB_PASSWORD"])
	})},
	"a warm that panics for what no retry cures": {vars: []string{"DB_PASSWORD"}, start: func(in *instance) handler {
		if err := in.Env.Warm(context.Background()); err != nil && !secrets.Retryable(err) {
			panic(secrets.Detail(err))
		}
		return func(ctx context.Context) (any, error) { return good(ctx, in) }
	}},
	"a warm in each invocation": {vars: []string{"DB_PASSWORD"},
		start: each(func(ctx context.Context, in *instance) (any, error) {
			if err := in.Env.Warm(ctx); err != nil && !secrets.Retryable(err) {
				return nil, err
			}
			return good(ctx, in)
		})},
	"goroutines that it waits for": {start: each(func(ctx context.Context, in *instance) (any, error) {
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = good(ctx, in) })
		}
		wg.Wait()
		return nil, errors.Join(errs...)
	})},
	"a field": {vars: []string{`DB={"user":"app","password":"%s"}`},
		start: each(func(ctx context.Context, in *instance) (any, error) {
			v, err := in.Env.Get(ctx, "DB")
			if err != nil {
				return nil, err
			}
			if v, err = v.Field("password"); err != nil {
				return nil, err
			}
			return nil, in.Use(v.Reveal())
		})},
	"a connection string": {vars: []string{"DSN=postgres://app:%s@db.internal/app"},
		start: each(func(ctx context.Context, in *instance) (any, error) { return nil, get(ctx, in, "DSN") })},
	"a variable with a constant": {vars: []string{"DB_PORT=5432", "DB_PASSWORD"},
		start: each(func(ctx context.Context, in *instance) (any, error) {
			port, err := in.Env.Get(ctx, "DB_PORT")
			if err != nil {
				return nil, err
			}
			if !port.EqualString("5432") {
				return nil, errors.New("not the port")
			}
			return good(ctx, in)
		})},
	"an optional variable": {vars: []string{"API_KEY?optional", "DB_PASSWORD"},
		start: each(func(ctx context.Context, in *instance) (any, error) {
			err := get(ctx, in, "API_KEY")
			if err != nil && !errors.Is(err, secrets.ErrNotFound) {
				return nil, err
			}
			return good(ctx, in)
		})},
	"a background goroutine that ends with the environment": {start: func(in *instance) handler {
		ctx, cancel := context.WithCancel(context.Background())
		in.Cleanup(cancel)
		go func() {
			for ctx.Err() == nil {
				select {
				case <-time.After(time.Minute):
				case <-ctx.Done():
				}
			}
		}()
		return func(ctx context.Context) (any, error) { return good(ctx, in) }
	}},
}

func TestDrill_Healthy(t *testing.T) {
	for name, p := range healthy {
		t.Run(name, func(t *testing.T) { secretstest.Drill(t, p.start, p.vars...) })
	}
}
