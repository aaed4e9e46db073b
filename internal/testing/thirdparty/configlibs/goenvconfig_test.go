package configlibs

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sethvargo/go-envconfig"

	"github.com/lambdasecrets/secrets"
)

func withGoEnvconfig(ctx context.Context, m map[string]string, into any) error {
	return envconfig.ProcessWith(ctx, &envconfig.Config{Target: into, Lookuper: envconfig.MapLookuper(m)})
}

// Fields of type secrets.Value need RevealAll: go-envconfig decodes them before it calls a Mutator.
func Example_goEnvconfig() {
	ctx := context.Background()
	env := exampleEnv(exampleTB{})
	all, err := env.RevealAll(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	var c config
	err = envconfig.ProcessWith(ctx, &envconfig.Config{Target: &c, Lookuper: envconfig.MapLookuper(all)})
	fmt.Printf("%+v %v\n", c, err)
	// Output: {Stage:prod Password:[REDACTED] Port:[REDACTED]} <nil>
}

// For fields of type string an Env is a Mutator. Only what the struct names is fetched.
func Example_goEnvconfigMutator() {
	ctx := context.Background()
	env := exampleEnv(exampleTB{})
	var c struct {
		Stage    string `env:"STAGE"`
		Password string `env:"DB_PASSWORD"`
	}
	err := envconfig.ProcessWith(ctx, &envconfig.Config{
		Target:   &c,
		Lookuper: envconfig.MapLookuper(environ), // the process environment if left out
		Mutators: []envconfig.Mutator{env},
	})
	fmt.Println(c.Stage, c.Password, err)
	// Output: prod swordfish <nil>
}

var _ envconfig.Mutator = (*secrets.Env)(nil)

// A prefix changes the name that the struct states into the variable's, which is the one that counts.
func TestGoEnvconfigPrefix(t *testing.T) {
	t.Parallel()
	var c struct {
		Password string `env:"PASSWORD"`
		Plain    string `env:"OTHER, default=plain"`
	}
	err := envconfig.ProcessWith(t.Context(), &envconfig.Config{Target: &c, Mutators: []envconfig.Mutator{exampleEnv(t)},
		Lookuper: envconfig.PrefixLookuper("DB_", envconfig.MapLookuper(environ))})
	if err != nil || c.Password != "swordfish" || c.Plain != "plain" {
		t.Errorf("got %q, %q, %v", c.Password, c.Plain, err)
	}
}

// A default that is a reference is none of the Env's variables. It must not become the password.
func TestGoEnvconfigDefault(t *testing.T) {
	t.Parallel()
	var c struct {
		Password string `env:"NOT_SET, default=sm://prod/db#password"`
	}
	err := envconfig.ProcessWith(t.Context(), &envconfig.Config{Target: &c, Mutators: []envconfig.Mutator{exampleEnv(t)},
		Lookuper: envconfig.MapLookuper(environ)})
	if !errors.Is(err, secrets.ErrNotReference) || c.Password != "" {
		t.Errorf("got %q, %v", c.Password, err)
	}
}

// A field of type secrets.Value next to the Mutator, rather than RevealAll, is refused.
func TestGoEnvconfigValueAndMutator(t *testing.T) {
	t.Parallel()
	var c config
	err := envconfig.ProcessWith(t.Context(), &envconfig.Config{Target: &c, Mutators: []envconfig.Mutator{exampleEnv(t)},
		Lookuper: envconfig.MapLookuper(environ)})
	if !errors.Is(err, secrets.ErrInvalidReference) {
		t.Errorf("got %v", err)
	}
}
