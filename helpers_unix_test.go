//go:build unix

package secrets_test

import (
	"syscall"
	"testing"
)

// lowerFileLimit lets the process open n files.
func lowerFileLimit(t *testing.T, n uint64) {
	limit := syscall.Rlimit{Cur: n, Max: n}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}
