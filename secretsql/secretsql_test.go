package secretsql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
)

// openDB returns a pool that opens a connection for each query.
func openDB(t *testing.T, c driver.Connector) *sql.DB {
	db := sql.OpenDB(c)
	db.SetMaxIdleConns(0)
	t.Cleanup(func() { db.Close() })
	return db
}

func TestConnector_SingleUserRotation(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		db := openDB(t, secretsql.Connector(l.env, "DB", l.open))
		defer db.Close()
		fetched := l.fake.Fetched("")
		query := func(when string) {
			t.Helper()
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if err := db.PingContext(t.Context()); err != nil {
						t.Errorf("%s: %v", when, err)
					}
				})
			}
			wg.Wait()
		}
		query("before the rotation")
		l.begin("two")
		query("between the database and AWSCURRENT")
		time.Sleep(30 * time.Second)
		query("at the end of a long window")
		l.finish("two")
		query("after the rotation")
		if n := l.fake.Fetched("") - fetched; n != 1 {
			t.Errorf("%d fetches for a rotation, want 1: AWSPENDING", n)
		}
	})
}

func TestConnector_CachedPassword(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.begin("two")
		l.finish("two")
		c, err := secretsql.Connector(l.env, "DB", l.open).Connect(t.Context())
		if err != nil || c == nil {
			t.Errorf("Connect = %v, %v, want a connection with the newer password", c, err)
		}
	})
}

// A password that is wrong for good is neither a flood of fetches nor of connections, and the
// caller sees the driver's own error.
func TestConnector_WrongPassword(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		connector := secretsql.Connector(l.env, "DB", l.open)
		l.server.set("nobody knows")
		fetched := l.fake.Fetched("")
		for range 100 {
			c, err := connector.Connect(t.Context())
			var state stateError
			if c != nil || !errors.As(err, &state) || state != "28P01" {
				t.Fatalf("Connect = %v, %v, want the driver's error", c, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := l.fake.Fetched("") - fetched; n > 6 {
			t.Errorf("%d fetches in 10 seconds, want 6 at most", n)
		}
		if n := l.count(); n > 110 {
			t.Errorf("%d connections for 100 calls of Connect", n)
		}
	})
}

func TestConnector_OtherErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		down := errors.New("connection reset by peer")
		l.server.set("two")
		l.server.refusal = down
		_, err := secretsql.Connector(l.env, "DB", l.open).Connect(t.Context())
		if !errors.Is(err, down) || l.count() != 1 || l.fake.Fetched("") != 1 {
			t.Errorf("Connect = %v after %d connections and %d fetches, want the error after one of each",
				err, l.count(), l.fake.Fetched(""))
		}
		_, err = secretsql.Connector(l.env, "DBB", l.open).Connect(t.Context())
		if !errors.Is(err, secrets.ErrNotReference) {
			t.Errorf("Connect with a variable that is not set = %v, want ErrNotReference", err)
		}
	})
}

func TestConnector_WithRejected(t *testing.T) {
	refused := errors.New("ORA-01017")
	inBubble(t, func(t *testing.T, l *lab) {
		l.server.refusal = refused
		l.begin("two")
		if _, err := secretsql.Connector(l.env, "DB", l.open).Connect(t.Context()); err != nil {
			t.Error(err)
		}
	}, secrets.WithRejected(func(err error) bool { return errors.Is(err, refused) }))
}

func TestConnector_Driver(t *testing.T) {
	db := openDB(t, secretsql.Connector(nil, "DB", nil))
	if _, err := db.Driver().Open("dsn"); err == nil {
		t.Error("the driver opens a connection by a data source name")
	}
}

// A passwordConnector is a driver's own connector.
type passwordConnector struct {
	l *lab
	v secrets.Value
}

func (c passwordConnector) Connect(ctx context.Context) (driver.Conn, error) {
	return c.l.open(ctx, c.v)
}
func (c passwordConnector) Driver() driver.Driver { return nil }

func TestConnectorFrom(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		bad := errors.New("bad configuration")
		var fail error
		connector := secretsql.ConnectorFrom(l.env, "DB", func(v secrets.Value) (driver.Connector, error) {
			return passwordConnector{l, v}, fail
		})
		l.begin("two")
		if c, err := connector.Connect(t.Context()); err != nil || c == nil {
			t.Errorf("Connect = %v, %v", c, err)
		}
		fail = bad
		if c, err := connector.Connect(t.Context()); !errors.Is(err, bad) || c != nil {
			t.Errorf("Connect = %v, %v, want the error of with", c, err)
		}
	})
}

type mysqlError struct {
	Number   uint16
	SQLState [5]byte
	Message  string
}

func (e *mysqlError) Error() string { return e.Message }

type nested struct{ *mysqlError }

type otherNumber struct{ Number int }

func (otherNumber) Error() string { return "1045" }

type pointerState struct{ state string }

func (e *pointerState) Error() string    { return "state" }
func (e *pointerState) SQLState() string { return e.state }

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"nil":                        {nil, false},
		"invalid_password":           {stateError("28P01"), true},
		"invalid_authorization":      {stateError("28000"), true},
		"invalid_catalog_name":       {stateError("3D000"), false},
		"too_many_connections":       {stateError("53300"), false},
		"wrapped":                    {errors.Join(errors.New("a"), wrap(stateError("28P01"))), true},
		"second host":                {wrap(errors.Join(stateError("57P03"), stateError("28P01"))), true},
		"nil with a method":          {(*pointerState)(nil), false},
		"pointer":                    {&pointerState{"28P01"}, true},
		"MySQL access denied":        {wrap(&mysqlError{Number: 1045}), true},
		"MySQL without a password":   {&mysqlError{Number: 1698}, true},
		"MySQL too many connections": {&mysqlError{Number: 1040}, false},
		"MySQL database denied":      {&mysqlError{Number: 1044}, false},
		"nil MySQL":                  {(*mysqlError)(nil), false},
		"embedded nil":               {nested{}, false},
		"another type of number":     {otherNumber{1045}, false},
		"text alone":                 {errors.New("Error 1045 (28000): Access denied"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := secretsql.Refused(c.err); got != c.want {
				t.Errorf("Refused(%v) = %v, want %v", c.err, got, c.want)
			}
		})
	}
}

type wrapped struct{ error }

func (w wrapped) Unwrap() error { return w.error }

func wrap(err error) error { return wrapped{err} }

// A config is the configuration of one connection of a pool that is not of database/sql.
type config struct {
	v       secrets.Value
	onError func(error)
}

// A pool asks before each connection, and connects once.
type pool struct {
	l      *lab
	before func(context.Context, *config) error
}

func newPool(l *lab) *pool {
	return &pool{l, secretsql.BeforeConnect(l.env, "DB", func(c *config, v secrets.Value, refused func(error)) error {
		c.v, c.onError = v, refused
		return nil
	})}
}

func (p *pool) query(ctx context.Context) error {
	var c config
	if err := p.before(ctx, &c); err != nil {
		return err
	}
	_, err := p.l.open(ctx, c.v)
	if err != nil {
		c.onError(err)
	}
	return err
}

// queries returns which of n queries failed, one second apart.
func (p *pool) queries(t *testing.T, n int) (failed []int) {
	for i := range n {
		if p.query(t.Context()) != nil {
			failed = append(failed, i)
		}
		time.Sleep(time.Second)
	}
	return failed
}

func TestBeforeConnect_SingleUserRotation(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		p, fetched := newPool(l), l.fake.Fetched("")
		if failed := p.queries(t, 3); failed != nil {
			t.Errorf("failed before the rotation: %v", failed)
		}
		l.begin("two")
		if failed := p.queries(t, 30); !slices.Equal(failed, []int{0}) {
			t.Errorf("failed between the database and AWSCURRENT: %v, want the first alone", failed)
		}
		l.finish("two")
		if failed := p.queries(t, 30); failed != nil {
			t.Errorf("failed after the rotation: %v", failed)
		}
		l.begin("three")
		l.finish("three")
		if failed := p.queries(t, 30); !slices.Equal(failed, []int{0}) {
			t.Errorf("failed after the second rotation: %v, want the first alone", failed)
		}
		if n := l.fake.Fetched("") - fetched; n > 4 {
			t.Errorf("%d fetches for two rotations, want 4 at most", n)
		}
	})
}

// The refused value is not tried again, however long nobody connects.
func TestBeforeConnect_SeldomUsed(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		p := newPool(l)
		l.begin("two")
		if err := p.query(t.Context()); err == nil {
			t.Error("the refused password works")
		}
		time.Sleep(time.Hour)
		if err := p.query(t.Context()); err != nil {
			t.Errorf("an hour after the refusal: %v", err)
		}
	})
}

// A rotation that is rolled back makes the first password the right one again.
func TestBeforeConnect_RolledBack(t *testing.T) {
	for _, after := range []int{2, 20} { // seconds: within the interval of a search, and beyond
		t.Run(time.Duration(after*int(time.Second)).String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *lab) {
				p, fetched := newPool(l), l.fake.Fetched("")
				l.begin("two")
				p.queries(t, after)
				l.server.set("one")
				l.fake.Delete(pending)
				if failed := p.queries(t, 60); !slices.Equal(failed, []int{0}) {
					t.Errorf("failed after the rollback: %v, want the first alone", failed)
				}
				if n := l.fake.Fetched("") - fetched; n > 6 {
					t.Errorf("%d fetches, want 6 at most", n)
				}
			})
		})
	}
}

// Neither value is right: no flood, and the right one is used once it is there.
func TestBeforeConnect_WrongPassword(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		p := newPool(l)
		l.begin("two")
		l.server.set("nobody knows")
		fetched := l.fake.Fetched("")
		if failed := p.queries(t, 60); len(failed) != 60 {
			t.Errorf("%d of 60 queries failed", len(failed))
		}
		if n := l.fake.Fetched("") - fetched; n > 36 {
			t.Errorf("%d fetches in a minute, want 36 at most", n)
		}
		l.server.set("two")
		if failed := p.queries(t, 40); len(failed) > 20 {
			t.Errorf("failed after the repair: %v, want those until the next search, 20 seconds after the last", failed)
		}
	})
}

// A rotation that is rolled back makes a refused value the right one again. The next rotation, seconds
// later, is noticed as fast as any.
func TestBeforeConnect_RotationAfterRollback(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		p, fetched := newPool(l), l.fake.Fetched("")
		for _, next := range []string{"two", "three"} {
			l.begin(next)
			if failed := p.queries(t, 2); !slices.Equal(failed, []int{0}) {
				t.Errorf("failed after the rotation to %s: %v, want the first alone", next, failed)
			}
			if next == "three" {
				break
			}
			l.server.set("one")
			l.fake.Delete(pending)
			if failed := p.queries(t, 2); !slices.Equal(failed, []int{0}) {
				t.Errorf("failed after the rollback: %v, want the first alone", failed)
			}
		}
		if n := l.fake.Fetched("") - fetched; n != 4 {
			t.Errorf("%d fetches, want 4: one for a rotation and two for the rollback", n)
		}
	})
}

// Where a rotation function died after it had set the password, the next rotation costs each caller one
// refused login: the password of before the first rotation is not tried again.
func TestBeforeConnect_RotationAfterDeadOne(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		p, fetched := newPool(l), l.fake.Fetched("")
		for _, next := range []string{"two", "three"} { // and AWSCURRENT stays
			l.begin(next)
			if failed := p.queries(t, 2); !slices.Equal(failed, []int{0}) {
				t.Errorf("failed after the rotation to %s: %v, want the first alone", next, failed)
			}
		}
		if n := l.fake.Fetched("") - fetched; n != 2 {
			t.Errorf("%d fetches for two rotations, want 2", n)
		}
	})
}

// What connects inside set loses no query.
func TestBeforeConnect_ConnectsInside(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		p := &pool{l, secretsql.BeforeConnect(l.env, "DB", func(c *config, v secrets.Value, refused func(error)) error {
			c.v, c.onError = v, refused
			_, err := l.open(t.Context(), v)
			return err
		})}
		l.begin("two")
		if failed := p.queries(t, 10); failed != nil {
			t.Errorf("failed: %v", failed)
		}
	})
}

func TestBeforeConnect_OtherErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		p := newPool(l)
		l.server.set("two")
		l.server.refusal = errors.New("connection reset by peer")
		p.queries(t, 3)
		if n := l.fake.Fetched(""); n != 1 {
			t.Errorf("%d fetches, want that of the warm alone", n)
		}
		unset := secretsql.BeforeConnect(l.env, "DBB", func(*config, secrets.Value, func(error)) error { return nil })
		if err := unset(t.Context(), &config{}); !errors.Is(err, secrets.ErrNotReference) {
			t.Errorf("a variable that is not set = %v, want ErrNotReference", err)
		}
	})
}
