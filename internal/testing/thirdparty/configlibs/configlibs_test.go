package configlibs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

// config is what the examples fill. The tags of the libraries differ only in name.
type config struct {
	Stage    string        `env:"STAGE" envconfig:"STAGE" koanf:"STAGE" mapstructure:"STAGE"`
	Password secrets.Value `env:"DB_PASSWORD" envconfig:"DB_PASSWORD" koanf:"DB_PASSWORD" mapstructure:"DB_PASSWORD"`
	Port     secrets.Value `env:"DB_PORT" envconfig:"DB_PORT" koanf:"DB_PORT" mapstructure:"DB_PORT"`
}

// environ is the function's environment in the examples.
var environ = map[string]string{
	"STAGE":       "prod",
	"DB_PASSWORD": "sm://prod/db#password",
	"DB_PORT":     "sm://prod/db#port",
}

// exampleEnv returns an Env of environ. In a function it is secrets.MustWarm(ctx).
func exampleEnv(t testing.TB) *secrets.Env {
	return secretstest.NewFake(
		t,
		map[string]string{"sm://prod/db": `{"password":"swordfish","port":5432}`},
	).Env(
		environ,
	)
}

// parsePort reads a number out of a Value, with an error that does not show it: strconv's would.
func parsePort(v secrets.Value) (int, error) {
	n, err := strconv.Atoi(v.Reveal())
	if err != nil {
		return 0, errors.New("DB_PORT is not a number")
	}
	return n, nil
}

// anyMap is m as koanf and viper want it.
func anyMap(m map[string]string) map[string]any {
	a := make(map[string]any, len(m))
	for name, value := range m {
		a[name] = value
	}
	return a
}

// libraries are ways to fill a struct from a map.
var libraries = map[string]struct {
	fill   func(ctx context.Context, m map[string]string, into any) error
	quotes bool // the error of a bad int quotes the plaintext
}{
	"go-envconfig":              {fill: withGoEnvconfig, quotes: true},
	"caarlos0/env":              {fill: withCaarlos0, quotes: true},
	"kelseyhightower/envconfig": {fill: withKelseyhightower, quotes: true},
	"koanf":                     {fill: withKoanf},
	"viper":                     {fill: withViper},
}

// TestLibraries is not parallel: one of the libraries reads the process environment only.
func TestLibraries(t *testing.T) {
	resolved, err := exampleEnv(t).RevealAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, library := range libraries {
		t.Run(name, func(t *testing.T) {
			t.Run("fills", func(t *testing.T) {
				var c config
				if err := library.fill(t.Context(), resolved, &c); err != nil {
					t.Fatal(err)
				}
				port, err := parsePort(c.Port)
				if c.Stage != "prod" || c.Password.Reveal() != "swordfish" || port != 5432 || err != nil {
					t.Errorf("got %q, %q, %d, %v", c.Stage, c.Password.Reveal(), port, err)
				}
			})
			t.Run("stays redacted", func(t *testing.T) {
				var c config
				if err := library.fill(t.Context(), resolved, &c); err != nil {
					t.Fatal(err)
				}
				for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
					for _, x := range []any{c, &c} {
						if text := fmt.Sprintf(format, x); strings.Contains(text, "swordfish") ||
							strings.Contains(text, fmt.Sprintf("%x", "swordfish")) {
							t.Errorf("%s shows the plaintext: %s", format, text)
						}
					}
				}
			})
			t.Run("takes no reference", func(t *testing.T) {
				var c config
				err := library.fill(t.Context(), environ, &c) // not the map of RevealAll
				if err == nil || !strings.Contains(err.Error(), "invalid reference") || !c.Password.IsZero() {
					t.Errorf("err %v, password set: %v", err, !c.Password.IsZero())
				}
			})
			t.Run("bad value", func(t *testing.T) {
				var c struct {
					Port int `env:"DB_PORT" envconfig:"DB_PORT" koanf:"DB_PORT" mapstructure:"DB_PORT"`
				}
				bad := maps.Clone(resolved)
				bad["DB_PORT"] = "swordfish"
				err := library.fill(t.Context(), bad, &c)
				if err == nil {
					t.Fatal("no error")
				}
				if got := strings.Contains(err.Error(), "swordfish"); got != library.quotes {
					t.Errorf("quotes the plaintext: %v, documented: %v: %v", got, library.quotes, err)
				}
				if _, err := parsePort(secrets.NewValue("swordfish", "")); err == nil ||
					strings.Contains(err.Error(), "swordfish") {
					t.Errorf("parsePort: %v", err)
				}
			})
		})
	}
}

// exampleTB lets the examples use secretstest, which wants a test.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()           {}
func (exampleTB) Cleanup(func())    {}
func (exampleTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// A struct that must follow rotation holds what asks, not what was answered.
func Example_rotation() {
	ctx := context.Background()
	fake := secretstest.NewFake(exampleTB{}, map[string]string{"sm://prod/db": `{"password":"old","port":5432}`})
	env := fake.Env(environ)

	type config struct {
		Stage    string
		Password func(context.Context) (secrets.Value, error)
	}
	c := config{
		Stage:    "prod",
		Password: func(ctx context.Context) (secrets.Value, error) { return env.Get(ctx, "DB_PASSWORD") },
	}
	password, err := c.Password(ctx)
	fmt.Println(password.Reveal(), err)
	fake.Set("sm://prod/db", `{"password":"new","port":5432}`)
	env.Refresh(ctx) // or five minutes later
	password, err = c.Password(ctx)
	fmt.Println(password.Reveal(), err)
	// Output:
	// old <nil>
	// new <nil>
}
