package peers_test

import (
	"context"

	"github.com/lambdasecrets/secrets"
)

// unhashable is a Provider that panics when it is compared or used as a key of a map.
type unhashable struct{ _ []string }

func (p unhashable) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	return make([]secrets.Result, len(refs))
}
