//go:build unix

// Package filelimit lowers the number of files that a test's process may open.
package filelimit

import "syscall"

// Lower lets the process open n files.
func Lower(n uint64) error {
	limit := syscall.Rlimit{Cur: n, Max: n}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
