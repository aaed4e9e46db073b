package lambdasim

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Build compiles the main package pkg of the module in dir to the file out, as users build a function:
//
//	CGO_ENABLED=0 GOOS=linux go build -trimpath -tags lambda.norpc -o out pkg
//
// with further tags and linker flags if given. Away from Linux it builds for the system it is on, since Start could
// not run the other. It uses this process's environment and go command and blocks until they are done; the error
// holds the compiler's output.
func Build(ctx context.Context, dir, pkg, out string, tags []string, ldflags ...string) error {
	args := []string{"build", "-trimpath", "-tags", strings.Join(append([]string{"lambda.norpc"}, tags...), ",")}
	if len(ldflags) > 0 {
		args = append(args, "-ldflags", strings.Join(ldflags, " "))
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", out, pkg)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("lambdasim: build %s: %w\n%s", pkg, err, output)
	}
	return nil
}
