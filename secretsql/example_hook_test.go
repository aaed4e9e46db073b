package secretsql_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
)

// A pgError stands in for pgconn.PgError.
type pgError struct{ code string }

func (e pgError) Error() string    { return "SQLSTATE " + e.code }
func (e pgError) SQLState() string { return e.code }

// A pool that asks for the password before each connection. The connection after a refusal has the newer one.
func ExampleBeforeConnect() {
	ctx := context.Background()
	stored := "yesterday"
	fetch := func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue(stored, stored), nil
	}
	env, err := secrets.New(
		secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}),
		secrets.WithProvider(secrets.ProviderFunc(fetch)), // in place of AWS
		secrets.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		panic(err)
	}

	type config struct { // in place of pgx.ConnConfig
		Password string
		OnError  func(error)
	}
	beforeConnect := secretsql.BeforeConnect(env, "DB", func(c *config, v secrets.Value, refused func(error)) error {
		c.Password, c.OnError = v.Reveal(), refused
		return nil
	})
	var c config
	fmt.Println(beforeConnect(ctx, &c), c.Password)
	stored = "today"
	c.OnError(pgError{"28P01"}) // the server refuses the password
	fmt.Println(beforeConnect(ctx, &c), c.Password)
	// Output:
	// <nil> yesterday
	// <nil> today
}
