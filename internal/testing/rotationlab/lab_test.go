package main

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// A small run of everything, by every server that this machine has. See .ci/rotations for the full
// one.
func TestRotations(t *testing.T) {
	var out strings.Builder
	err := runAll(t.Context(), &out, 12, 5, "", 1)
	t.Log("\n" + out.String()) // with a line that begins with "left out" for a server that is missing
	if err != nil {
		t.Error(err)
	}
}

// A server stops and its files go, whatever its clients do.
func TestServersStop(t *testing.T) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := start(t.Context())
			if errors.Is(err, errMissing) {
				t.Skipf("left out: starting and stopping %s: %v", name, err)
			}
			if err != nil {
				t.Fatal(err)
			}
			p := s.files()
			s.stop()
			if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
				t.Errorf("its directory is left: %v", err)
			}
			select {
			case <-p.exited:
			default:
				t.Error("the server runs on")
			}
		})
	}
}
