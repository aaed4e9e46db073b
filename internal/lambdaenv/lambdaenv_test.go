package lambdaenv_test

import (
	"testing"
	"time"

	"github.com/lambdasecrets/secrets/internal/lambdaenv"
)

func TestEnv_InitTypes(t *testing.T) {
	for kind, want := range map[string]struct {
		budget       time.Duration
		first, later int
		snapshot     bool
	}{
		"":                         {2 * time.Second, 32, 5, false},
		"on-demand":                {2 * time.Second, 32, 5, false},
		"provisioned-concurrency":  {30 * time.Second, 5, 5, false},
		"lambda-managed-instances": {30 * time.Second, 5, 5, false},
		"snap-start":               {2 * time.Second, 5, 5, true},
	} {
		env := lambdaenv.Env{"AWS_LAMBDA_INITIALIZATION_TYPE": kind, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}
		if env.Budget() != want.budget || env.Width(true) != want.first || env.Width(false) != want.later ||
			env.Snapshot() != want.snapshot {
			t.Errorf("%q: %v, %d, %d, %t", kind, env.Budget(), env.Width(true), env.Width(false), env.Snapshot())
		}
	}
	for _, test := range []struct {
		env      lambdaenv.Env
		region   string
		deployed bool
	}{
		{nil, "", false},
		{lambdaenv.Env{"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b", "AWS_LAMBDA_FUNCTION_NAME": "f"}, "a", true},
		{lambdaenv.Env{"AWS_DEFAULT_REGION": "b", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_SAM_LOCAL": "true"}, "b",
			false},
	} {
		if test.env.Region() != test.region || test.env.Deployed() != test.deployed {
			t.Errorf("%v: %q, %t", test.env, test.env.Region(), test.env.Deployed())
		}
	}
	t.Setenv("LAMBDAENV_TEST", "a=b")
	if got := lambdaenv.Process()["LAMBDAENV_TEST"]; got != "a=b" {
		t.Errorf("the process's: %q", got)
	}
}
