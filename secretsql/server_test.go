package secretsql_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

const secret, pending = "sm://prod/db", "sm://prod/db?stage=AWSPENDING"

// A stateError is an error as pgx and lib/pq return it.
type stateError string

func (e stateError) Error() string    { return "SQLSTATE " + string(e) }
func (e stateError) SQLState() string { return string(e) }

// A server is a database that accepts one password.
type server struct {
	mu       sync.Mutex
	password string
	refusal  error // what it says to another password
	opened   int   // connections, with those that it refused
}

func (s *server) set(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = password
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

func (s *server) open(_ context.Context, v secrets.Value) (driver.Conn, error) {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	if !v.EqualString(s.password) {
		return nil, fmt.Errorf("cannot connect: %w", s.refusal)
	}
	return conn{}, nil
}

// A lab is a server, a secret that holds its password, and an Env.
type lab struct {
	*server
	fake *secretstest.Fake
	env  *secrets.Env
}

// inBubble runs f in a bubble, with a lab whose password is "one", already fetched.
func inBubble(t *testing.T, f func(t *testing.T, l *lab), opts ...secrets.Option) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := secretstest.NewFake(t, map[string]string{secret: "one"})
		opts := append([]secrets.Option{secrets.WithLogger(slog.New(slog.DiscardHandler)),
			secrets.WithTTL(24 * time.Hour)}, opts...)
		env := fake.Env(map[string]string{"DB": secret}, opts...)
		if err := env.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		f(t, &lab{&server{password: "one", refusal: stateError("28P01")}, fake, env})
	})
}

// begin does the first half of a single-user rotation: AWSPENDING, then the database.
func (l *lab) begin(password string) {
	l.fake.Set(pending, password)
	l.server.set(password)
}

// finish moves AWSCURRENT.
func (l *lab) finish(password string) {
	l.fake.Set(secret, password)
	l.fake.Delete(pending)
}
