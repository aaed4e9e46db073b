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

// Fields of type string need a Mutator. Only what the struct names is fetched.
func Example_goEnvconfigMutator() {
	ctx := context.Background()
	env := exampleEnv(exampleTB{})
	var c struct {
		Stage    string `env:"STAGE"`
		Password string `env:"DB_PASSWORD"`
	}
	// region: mutators
	err := envconfig.ProcessWith(ctx, &envconfig.Config{
		Target:   &c,
		Lookuper: envconfig.MapLookuper(environ), // the process environment if left out
		Mutators: []envconfig.Mutator{mutator{env}},
	})
	// endregion
	fmt.Println(c.Stage, c.Password, err)
	// Output: prod swordfish <nil>
}

// region: mutator

// A mutator lets go-envconfig resolve the references that it finds in string fields.
type mutator struct{ env *secrets.Env }

func (m mutator) EnvMutate(ctx context.Context, _, name, _, text string) (string, bool, error) {
	v, err := m.env.Get(ctx, name)
	if err == nil {
		return v.Reveal(), false, nil
	}
	// A plain value stays as it is. A default that is a reference does not: nobody resolved it.
	var plain secrets.Value
	if errors.Is(err, secrets.ErrNotReference) && plain.UnmarshalText([]byte(text)) == nil {
		return text, false, nil
	}
	return "", true, err
}

// endregion

// A prefix changes the name that the struct states into the variable's, which is the one that
// counts.
func TestGoEnvconfigPrefix(t *testing.T) {
	t.Parallel()
	var c struct {
		Password string `env:"PASSWORD"`
		Plain    string `env:"OTHER, default=plain"`
	}
	err := envconfig.ProcessWith(
		t.Context(),
		&envconfig.Config{Target: &c, Mutators: []envconfig.Mutator{mutator{exampleEnv(t)}},
			Lookuper: envconfig.PrefixLookuper("DB_", envconfig.MapLookuper(environ))},
	)
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
	err := envconfig.ProcessWith(
		t.Context(),
		&envconfig.Config{Target: &c, Mutators: []envconfig.Mutator{mutator{exampleEnv(t)}},
			Lookuper: envconfig.MapLookuper(environ)},
	)
	if !errors.Is(err, secrets.ErrNotReference) || c.Password != "" {
		t.Errorf("got %q, %v", c.Password, err)
	}
}

// A field of type secrets.Value next to the Mutator, rather than RevealAll, is refused.
func TestGoEnvconfigValueAndMutator(t *testing.T) {
	t.Parallel()
	var c config
	err := envconfig.ProcessWith(
		t.Context(),
		&envconfig.Config{Target: &c, Mutators: []envconfig.Mutator{mutator{exampleEnv(t)}},
			Lookuper: envconfig.MapLookuper(environ)},
	)
	if !errors.Is(err, secrets.ErrInvalidReference) {
		t.Errorf("got %v", err)
	}
}
