// Package fips runs the library and what users test with under GODEBUG=fips140=only, where Go's cryptography panics
// at what FIPS 140-3 does not permit.
//
// Tests inside a testing/synctest bubble cannot run so: Go seeds its random numbers from the jitter of the real
// clock, which a bubble does not have, and panics with "failed to obtain initial entropy". This is Go's, and no
// program meets it.
package fips

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

const only = "fips140=only"

func TestFIPS_Only(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"secretstest": {os.Args[0], "-test.run=^TestFIPS_ReadsEachService$", "-test.v"},
		"quickstart":  {"go", "run", "../../../../examples/quickstart"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
			cmd.Env = append(os.Environ(), "GODEBUG="+only)
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Contains(string(out), "SKIP") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestFIPS_ReadsEachService reads one value of each service, once more after a rotation.
func TestFIPS_ReadsEachService(t *testing.T) {
	if os.Getenv("GODEBUG") != only {
		t.Skip("run by TestFIPS_Only")
	}
	e := secretstest.StartEndpoint(t)
	e.PutParameter("/p", "parameter")
	e.PutSecret("s", "secret")
	env, err := secrets.New(secrets.WithAWSConfig(e.Config()), secrets.WithEnviron(map[string]string{
		"P": "ssm:///p", "S": "sm://s", "K": e.Encrypt("key", map[string]string{"app": "x"}),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Warm(t.Context()); err != nil {
		t.Fatal(secrets.Detail(err))
	}
	e.BeginRotation("s", "rotated")
	e.FinishRotation("s")
	if err := env.Refresh(t.Context()); err != nil {
		t.Fatal(secrets.Detail(err))
	}
	for name, want := range map[string]string{"P": "parameter", "S": "rotated", "K": "key"} {
		if v, err := env.Get(t.Context(), name); err != nil || !v.EqualString(want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
