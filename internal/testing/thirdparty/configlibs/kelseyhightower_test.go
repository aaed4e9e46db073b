package configlibs

import (
	"context"
	"fmt"
	"os"

	"github.com/kelseyhightower/envconfig"

	"github.com/lambdasecrets/secrets"
)

// withKelseyhightower puts m into the process environment while the library reads it, because it
// reads nothing else. A function should not: see Example_kelseyhightower.
func withKelseyhightower(_ context.Context, m map[string]string, into any) error {
	for name, value := range m {
		old, set := os.LookupEnv(name)
		os.Setenv(name, value)
		defer func() {
			os.Unsetenv(name)
			if set {
				os.Setenv(name, old)
			}
		}()
	}
	return envconfig.Process("", into)
}

// A resolved is a field that resolves the reference that the library found in the process
// environment. The library makes the field, so the Env is a package variable.
type resolved struct{ secrets.Value }

var processEnv *secrets.Env

// Decode makes it an envconfig.Decoder.
func (r *resolved) Decode(text string) error {
	ref, err := secrets.ParseRef(text)
	if err != nil {
		return err
	}
	r.Value, err = processEnv.Resolve(context.Background(), ref)
	return err
}

var _ envconfig.Decoder = (*resolved)(nil)

// The library reads the process environment only. A field with a Decode method of its own resolves
// what it finds there.
func Example_kelseyhightower() {
	processEnv = exampleEnv(exampleTB{})
	os.Setenv("DB_PASSWORD", environ["DB_PASSWORD"]) // as Lambda does
	defer os.Unsetenv("DB_PASSWORD")

	var c struct {
		Password resolved `envconfig:"DB_PASSWORD"`
	}
	err := envconfig.Process("", &c)
	fmt.Println(c, c.Password.Reveal(), err)
	// Output: {[REDACTED]} swordfish <nil>
}
