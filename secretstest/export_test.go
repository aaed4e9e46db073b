package secretstest

import (
	"testing"
	"time"
)

// StuckAfter shortens the time after which a call counts as stuck.
func StuckAfter(t testing.TB, d time.Duration) {
	before := stuckAfter
	stuckAfter = d
	t.Cleanup(func() { stuckAfter = before })
}

// FaultNames returns the names of all faults.
func FaultNames() (names []string) {
	for _, f := range []fault{keeps, caches, without, wrongPart, failing, panics, hangs, prints, replies, fetching,
		storm, leaves, otherEnv, silent, unjudged, exits, stuck} {
		names = append(names, f.name)
	}
	return names
}
