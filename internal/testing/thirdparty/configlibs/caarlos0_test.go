package configlibs

import (
	"context"
	"fmt"

	"github.com/caarlos0/env/v11"
)

func withCaarlos0(_ context.Context, m map[string]string, into any) error {
	return env.ParseWithOptions(into, env.Options{Environment: m})
}

func Example_caarlos0Env() {
	all, err := exampleEnv(exampleTB{}).RevealAll(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := env.ParseAsWithOptions[config](env.Options{Environment: all})
	fmt.Printf("%+v %v\n", c, err)
	// Output: {Stage:prod Password:[REDACTED] Port:[REDACTED]} <nil>
}
