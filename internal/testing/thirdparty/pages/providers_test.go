package pages

import (
	"context"
	"fmt"

	"github.com/lambdasecrets/secrets"
)

func Example_provider() {
	ctx := context.Background()
	// region: own
	store := map[string]string{"prod/db": `{"user":"app","password":"swordfish"}`}
	provider := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
		text, ok := store[ref.ID()]
		if !ok {
			return secrets.Value{}, fmt.Errorf("the map has no %s: %w", ref.ID(), secrets.ErrNotFound)
		}
		return secrets.NewValue(text, "1"), nil
	})
	env := secrets.MustWarm(ctx,
		secrets.WithProvider(provider, secrets.SecretsManager),
		secrets.WithEnviron(map[string]string{"DB_PASSWORD": "sm://prod/db#password"}))
	password, err := env.Get(ctx, "DB_PASSWORD")
	fmt.Println(password, password.Reveal(), err) // [REDACTED] swordfish <nil>
	// endregion
	// Output: [REDACTED] swordfish <nil>
}
