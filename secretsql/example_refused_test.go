package secretsql_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
)

// A loginFailure stands in for mysql.MySQLError.
type loginFailure struct{ Number uint16 }

func (e *loginFailure) Error() string { return fmt.Sprintf("Error %d: Access denied", e.Number) }

// Do, and what Derive builds, learn from Refused which errors are refused logins: nothing has to be marked.
func ExampleRefused() {
	fmt.Println(secretsql.Refused(errors.New("no route to host")))
	env, err := secrets.New(
		secrets.WithRejected(secretsql.Refused),
		secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}),
		secrets.WithLocalValues(map[string]string{"DB": "swordfish"}))
	if err != nil {
		panic(err)
	}
	err = env.Do(context.Background(), "DB", func(secrets.Value) error {
		return fmt.Errorf("connect: %w", &loginFailure{1045})
	})
	fmt.Println(secretsql.Refused(err), err)
	// Output:
	// false
	// true connect: Error 1045: Access denied
}
