//lint:file-ignore U1000 The pages quote what stands here; nothing calls it.

// Package pages holds the Go that README.md and docs/ quote. A page names the region that it
// quotes:
//
//	<!-- go: rotation.go connector -->
//
// stands before its block, and TestPages holds the block equal to what stands in rotation.go
// between
//
//	// region: connector
//	// endregion
//
// without the indentation. go test ./pages -update writes the regions into the pages.
package pages

import (
	"context"
)

// What the regions use and their pages do not explain.
type (
	Event struct{ ID string }
	Reply struct{}
)

func query(context.Context, string, Event) (Reply, error) { return Reply{}, nil }

func connect(context.Context, string) error { return nil }
