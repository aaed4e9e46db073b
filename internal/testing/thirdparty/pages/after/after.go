//lint:file-ignore U1000 The pages quote what stands here; nothing calls it.

// Package after holds what they do instead. It is compiled and never run.
package after

import (
	"context"

	"github.com/lambdasecrets/secrets"
)

// region: getenv

// API_KEY=ssm:///app/prod/api-key
var env *secrets.Env

func init() { env = secrets.MustWarm(context.Background()) }

func useKey(ctx context.Context) error {
	apiKey, err := env.Get(ctx, "API_KEY")
	if err != nil {
		return err
	}
	return connect(ctx, apiKey.Reveal())
}

// endregion

func connect(context.Context, string) error { return nil }
