// Package deadline says how long a caller may be kept waiting.
package deadline

import (
	"context"
	"time"
)

// Reserve is what is left of a caller's deadline when it gets its answer, or a
// quarter of it where that is less: it has something to do with it.
const Reserve = 250 * time.Millisecond

// Left returns the time until ctx's deadline less the reserve, not negative, or what
// is said for a ctx without one.
func Left(ctx context.Context, without time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return without
	}
	left := time.Until(deadline)
	return max(0, left-min(Reserve, left/4))
}
