// Package lambdaenv reads what Lambda tells a function about itself in its environment.
package lambdaenv

import (
	"cmp"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/parallel"
)

// An Env is an environment: name → text.
type Env map[string]string

// Process returns the environment of the process.
func Process() Env {
	all := os.Environ()
	env := make(Env, len(all))
	for _, entry := range all {
		name, text, _ := strings.Cut(entry, "=")
		env[name] = text
	}
	return env
}

// Region returns the function's Region, or "".
func (env Env) Region() string { return cmp.Or(env["AWS_REGION"], env["AWS_DEFAULT_REGION"]) }

// LocalName is the variable that says, by LocalWord, that what looks like Lambda is an
// emulator on somebody's machine. Nobody sets it to that by accident.
const (
	LocalName = "SECRETS_LOCAL_VALUES"
	LocalWord = "not-production"
)

// Deployed reports whether this is a function on Lambda, rather than a program elsewhere
// or an emulator: sam local says so itself, others by [LocalName].
func (env Env) Deployed() bool {
	// Not compared where they are looked up: the compiler would look once for each byte.
	sam, local := env["AWS_SAM_LOCAL"], env[LocalName]
	emulated := sam == "true" || local == LocalWord
	return env["AWS_LAMBDA_FUNCTION_NAME"] != "" && !emulated
}

// Snapshot reports whether SnapStart keeps an image of what is initialized here.
func (env Env) Snapshot() bool { return env.initialization() == "snap-start" }

// Budget returns how long an init may wait, of the 10 seconds that it has on demand, and
// of much more where instances are kept ready.
func (env Env) Budget() time.Duration {
	switch env.initialization() {
	case "provisioned-concurrency", "lambda-managed-instances":
		return 30 * time.Second
	}
	return 2 * time.Second
}

// Width returns how many calls to one service may go out at once, in an init or inside an
// invocation. An on-demand init has nearly a whole CPU, whatever the memory size.
func (env Env) Width(init bool) int {
	kind := env.initialization()
	onDemand := kind == "" || kind == "on-demand"
	if init && onDemand {
		return parallel.Width
	}
	return parallel.ForMemory(env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
}

// Small reports whether the function has so little memory, up to 512 MB, that its share
// of a CPU makes each TLS handshake dear. It is false where nothing states the size.
func (env Env) Small() bool {
	mb, err := strconv.Atoi(env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
	return err == nil && mb <= 512
}

func (env Env) initialization() string { return env["AWS_LAMBDA_INITIALIZATION_TYPE"] }
