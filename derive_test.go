package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lambdasecrets/secrets"
)

// The error of a build that wants a field which is not there names the variable, wrapped or not, to the caller and in
// the log: nobody could tell which of ten pools failed.
func TestDerive_FieldErrorNamesVariable(t *testing.T) {
	t.Parallel()
	text := `{"host":"db","app":"{\"user\":\"u\"}"}`
	var log strings.Builder
	provider := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue(text, ""), nil
	})
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"ORDERS_DB": "sm://db"}),
		secrets.WithProvider(provider), secrets.WithLogger(textLog(&log)))
	if err != nil {
		t.Fatal(err)
	}
	build := func(path ...string) func(context.Context, secrets.Value) (string, error) {
		return func(_ context.Context, v secrets.Value) (string, error) {
			for _, field := range path {
				var err error
				if v, err = v.Field(field); err != nil {
					return "", fmt.Errorf("the pool of orders: %w", err)
				}
			}
			return v.Reveal(), nil
		}
	}
	use := func(string) error { return nil }
	for _, path := range [][]string{{"password"}, {"app", "password"}} {
		err := secrets.Derive(env, "ORDERS_DB", build(path...), nil).Do(t.Context(), use)
		var e *secrets.ResolveError
		if !errors.As(err, &e) || e.Variable != "ORDERS_DB" || !strings.Contains(err.Error(), "ORDERS_DB: no such field") {
			t.Errorf("%v: %v", path, err)
		}
	}

	d := secrets.Derive(env, "ORDERS_DB", build("host"), nil)
	if err := d.Do(t.Context(), use); err != nil {
		t.Fatal(err)
	}
	text = `{"hosts":[]}`
	if err := env.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Do(t.Context(), use); err != nil {
		t.Errorf("the old one is not used: %v", err)
	}
	if said := log.String(); !strings.Contains(said, "secrets.derive") || !strings.Contains(said, "ORDERS_DB: no such field") {
		t.Errorf("the log says %s", said)
	}
	// A Value that is not built from is nobody's.
	v, err := env.Get(t.Context(), "ORDERS_DB")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Field("host"); err == nil || strings.Contains(err.Error(), "ORDERS_DB") {
		t.Errorf("outside Derive: %v", err)
	}
}
