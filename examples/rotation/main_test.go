package main

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestRotation carries out the plans against one PostgreSQL server, all at once: 2,000 queries and 20 rotations for the first, shorter ones for the others.
func TestRotation(t *testing.T) {
	l, err := newLab(t.Context())
	if errors.Is(err, errNoPostgres) {
		t.Skipf("left out: rotation against a real PostgreSQL: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	for i, p := range plans {
		if i > 0 {
			p.queries, p.rotations = 500, 5
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			r, err := l.run(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			r.print(&b)
			t.Log(b.String())
			if err := r.check(); err != nil {
				t.Error(err)
			}
			if len(r.rotations) != p.rotations {
				t.Errorf("%d rotations, want %d", len(r.rotations), p.rotations)
			}
		})
	}
}

// The server stops and its files go, whatever its clients do.
func TestPostgresStops(t *testing.T) {
	p, err := startPostgres(t.Context())
	if errors.Is(err, errNoPostgres) {
		t.Skipf("left out: starting and stopping PostgreSQL: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("its directory is left: %v", err)
	}
	select {
	case <-p.exited:
	default:
		t.Error("the server runs on")
	}
}
