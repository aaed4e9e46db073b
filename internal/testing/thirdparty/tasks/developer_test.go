package tasks

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
	"github.com/lambdasecrets/secrets/secretstest"
)

// get returns the value of a variable.
func get(t *testing.T, env *secrets.Env, name string) secrets.Value {
	t.Helper()
	v, err := env.Get(t.Context(), name)
	if err != nil {
		t.Fatal(secrets.Detail(err))
	}
	return v
}

// Read what the Lambda console's helper encrypted: bare base64, bound to the function's name.
func TestDeveloper_ConsoleCiphertext(t *testing.T) {
	t.Parallel()
	e := secretstest.StartEndpoint(t)
	ref := e.Encrypt("hello", map[string]string{"LambdaFunctionName": "orders"})
	bare, _, _ := strings.Cut(strings.TrimPrefix(ref, "kms://"), "?")
	env, err := secrets.New(
		secrets.WithVars(secrets.KMS, "API_KEY"),
		secrets.WithAWSConfig(e.Config()),
		secrets.WithEnviron(map[string]string{"API_KEY": bare, "AWS_LAMBDA_FUNCTION_NAME": "orders"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	if v := get(t, env, "API_KEY"); v.Reveal() != "hello" {
		t.Error("another value")
	}
}

// Read user and password, never of two versions.
func TestDeveloper_TwoFields(t *testing.T) {
	t.Parallel()
	env := secretstest.Env(t, map[string]string{"DB": `{"username":"orders","password":"swordfish"}`})
	db := get(t, env, "DB")
	user, err := db.Field("username")
	if err != nil {
		t.Fatal(err)
	}
	password, err := db.Field("password")
	if err != nil {
		t.Fatal(err)
	}
	if user.Reveal() != "orders" || password.Reveal() != "swordfish" {
		t.Error("other values")
	}
}

// Read a parameter of another Region, and one that is fresh for 30 seconds.
func TestDeveloper_RegionAndTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := secretstest.NewFake(t, map[string]string{
			"ssm:///app/key?region=us-east-1": "far", "ssm:///app/short": "1",
		})
		env := fake.Env(map[string]string{
			"FAR": "ssm:///app/key?region=us-east-1", "SHORT": "ssm:///app/short?ttl=30s",
		})
		if get(t, env, "FAR").Reveal() != "far" || get(t, env, "SHORT").Reveal() != "1" {
			t.Error("other values")
		}
		fake.Set("ssm:///app/short", "2")
		time.Sleep(31 * time.Second)
		if get(t, env, "SHORT").Reveal() != "2" {
			t.Error("the old value after 31 seconds")
		}
	})
}

// Read a secret whose name comes with the event.
func TestDeveloper_NameAtRunTime(t *testing.T) {
	t.Parallel()
	env := secretstest.NewFake(t, map[string]string{"sm://tenants/a": "key-of-a"}).Env(nil)
	v, err := env.Resolve(t.Context(), secrets.Secret("tenants/"+"a"))
	if err != nil {
		t.Fatal(err)
	}
	if v.Reveal() != "key-of-a" {
		t.Error("another value")
	}
}

// Test a handler without AWS: a value, a throttle, a rotation.
func TestDeveloper_TestWithoutAWS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := secretstest.NewFake(t, map[string]string{"sm://key": "1"})
		env := fake.Env(map[string]string{"KEY": "sm://key"})
		if get(t, env, "KEY").Reveal() != "1" {
			t.Error("another value")
		}
		fake.Fail("sm://key", secrets.ErrThrottled)
		time.Sleep(6 * time.Minute)
		if v := get(t, env, "KEY"); v.Reveal() != "1" || !v.Stale() {
			t.Error("the old value is not served as stale")
		}
		fake.Heal()
		fake.Set("sm://key", "2")
		time.Sleep(6 * time.Minute)
		if v := get(t, env, "KEY"); v.Reveal() != "2" || v.Stale() {
			t.Error("the rotation has not arrived")
		}
	})
}

// Keep a pool of database/sql connected through a rotation.
func TestDeveloper_Pool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := "tuna" // the password that it takes
		fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": `{"username":"orders","password":"tuna"}`})
		env := fake.Env(map[string]string{"DB": "sm://prod/db"})
		db := sql.OpenDB(secretsql.ConnectorFrom(env, "DB", func(v secrets.Value) (driver.Connector, error) {
			password, err := v.Field("password")
			if err != nil {
				return nil, err
			}
			return connector{password.Reveal(), &server}, nil
		}))
		defer db.Close()
		db.SetMaxIdleConns(0)
		if err := db.PingContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		server = "cod"
		fake.Set("sm://prod/db?stage=AWSPENDING", `{"username":"orders","password":"cod"}`)
		if err := db.PingContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A connector is a driver's own.
type connector struct {
	password string
	server   *string
}

func (c connector) Connect(context.Context) (driver.Conn, error) {
	if c.password != *c.server {
		return nil, secrets.Rejected(errors.New("password authentication failed"))
	}
	return connection{}, nil
}

func (connector) Driver() driver.Driver { return nil }

type connection struct{ driver.Conn }

func (connection) Close() error { return nil }

// Take a default where a value is absent, and never where it is denied.
func TestDeveloper_Optional(t *testing.T) {
	t.Parallel()
	limit := func(env *secrets.Env) (string, error) {
		v, err := env.Get(t.Context(), "LIMIT")
		switch {
		case errors.Is(err, secrets.ErrNotFound):
			return "100", nil
		case err != nil:
			return "", err
		}
		return v.Reveal(), nil
	}
	environ := map[string]string{"LIMIT": "ssm:///app/limit?optional"}
	env, err := secrets.New(secrets.WithAWSConfig(secretstest.StartEndpoint(t).Config()), secrets.WithEnviron(environ))
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Warm(t.Context()); err != nil {
		t.Error(err)
	}
	if got, err := limit(env); got != "100" {
		t.Errorf("absent: %q, %v", got, err)
	}
	fake := secretstest.NewFake(t, map[string]string{"ssm:///app/limit": "5"})
	fake.Fail("ssm:///app/limit", secrets.ErrAccessDenied)
	if got, err := limit(fake.Env(environ)); !errors.Is(err, secrets.ErrAccessDenied) {
		t.Errorf("denied: %q, %v", got, err)
	}
}

// Read a port, a number of twenty digits, and bytes.
func TestDeveloper_NumbersAndBytes(t *testing.T) {
	t.Parallel()
	fake := secretstest.NewFake(t, map[string]string{
		"sm://db": `{"port":5432,"serial":12345678901234567890}`, "sm://bytes": "AP8K",
	})
	env := fake.Env(map[string]string{
		"PORT": "sm://db#port", "SERIAL": "sm://db#serial", "BYTES": "sm://bytes?decode=base64",
	})
	if port, err := strconv.Atoi(get(t, env, "PORT").Reveal()); err != nil || port != 5432 {
		t.Error("another port")
	}
	serial, bytes := get(t, env, "SERIAL").Reveal(), get(t, env, "BYTES").RevealBytes()
	if serial != "12345678901234567890" || string(bytes) != "\x00\xff\n" {
		t.Error("other values")
	}
}

// Work on a laptop with values from a file; the same program refuses them on Lambda.
func TestDeveloper_LocalValues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.json")
	if err := os.WriteFile(file, []byte(`{"SIGNING_KEY":"local"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func() (*secrets.Env, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var values map[string]string
		if err := json.Unmarshal(text, &values); err != nil {
			return nil, err
		}
		return secrets.New(secrets.WithLocalValues(values))
	}
	t.Setenv("SIGNING_KEY", "sm://prod/orders#signing_key")
	env, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if get(t, env, "SIGNING_KEY").Reveal() != "local" {
		t.Error("another value")
	}
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
	t.Setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
	if _, err := load(); err == nil {
		t.Error("local values are taken on Lambda")
	}
}

// Verify webhooks that were signed on either side of a rotation.
func TestDeveloper_CurrentAndPrevious(t *testing.T) {
	t.Parallel()
	e := secretstest.StartEndpoint(t)
	e.PutSecret("webhook", "old")
	env, err := secrets.New(secrets.WithAWSConfig(e.Config()), secrets.WithEnviron(map[string]string{
		"WEBHOOK_SECRET":          "sm://webhook",
		"WEBHOOK_SECRET_PREVIOUS": "sm://webhook?stage=AWSPREVIOUS&optional",
	}))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(key string) bool {
		t.Helper()
		for _, name := range []string{"WEBHOOK_SECRET", "WEBHOOK_SECRET_PREVIOUS"} {
			v, err := env.Get(t.Context(), name)
			if errors.Is(err, secrets.ErrNotFound) && name == "WEBHOOK_SECRET_PREVIOUS" {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if v.EqualString(key) {
				return true
			}
		}
		return false
	}
	if err := env.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !verify("old") || verify("new") {
		t.Error("before the rotation")
	}
	e.PutSecret("webhook", "new")
	if err := env.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !verify("old") || !verify("new") || verify("forged") {
		t.Error("after the rotation")
	}
}
