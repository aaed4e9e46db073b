//go:build !unix

// Package filelimit lowers the number of files that a test's process may open.
package filelimit

import "errors"

// Lower fails: there is no such limit here.
func Lower(uint64) error { return errors.ErrUnsupported }
