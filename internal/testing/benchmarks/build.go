package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// A program holds contenders. Its suffix tells their names from those of another program.
type program struct{ path, suffix string }

// buildPrograms builds the contenders: this module's, the older commit's and other modules'.
func (d *driver) buildPrograms(ctx context.Context, peers bool, before string) error {
	if before != "" {
		if err := d.writeModFile(before); err != nil {
			return err
		}
	}
	for _, p := range []struct {
		pkg, modFile, suffix string
		wanted               bool
	}{
		{"./library", "", "", true},
		{"./library", d.before, "@before", before != ""},
		{"./contenders", "", "", peers},
	} {
		if !p.wanted {
			continue
		}
		out := filepath.Join(d.dir, fmt.Sprintf("program%d", len(d.programs)))
		if err := d.goBuild(ctx, p.modFile, runtime.GOARCH, "-o", out, p.pkg); err != nil {
			if p.pkg != "./contenders" {
				return err
			}
			// Other modules are large: some 300 of them. Without them the rest is measured all the same.
			fmt.Fprintln(os.Stderr, "left out: the contenders of other modules:", err)
			continue
		}
		d.programs = append(d.programs, program{out, p.suffix})
	}
	return nil
}

// writeModFile writes this module's go.mod with the library of another directory.
func (d *driver) writeModFile(library string) error {
	library, err := filepath.Abs(library)
	if err != nil {
		return err
	}
	source, err := sourceDir()
	if err != nil {
		return err
	}
	d.before = filepath.Join(d.dir, "before.mod")
	for file, copied := range map[string]string{
		"go.mod": d.before, "go.sum": strings.TrimSuffix(d.before, "mod") + "sum",
	} {
		text, err := os.ReadFile(filepath.Join(source, file))
		if err != nil {
			return err
		}
		const here = "replace github.com/lambdasecrets/secrets => ../../..\n"
		if file == "go.mod" && !strings.Contains(string(text), here) {
			return errors.New("go.mod has no line: " + here)
		}
		there := strings.Replace(here, "../../..", library, 1)
		if err := os.WriteFile(copied, []byte(strings.Replace(string(text), here, there, 1)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// goBuild builds for Linux on Lambda: static, and without paths of this machine.
func (d *driver) goBuild(ctx context.Context, modFile, arch string, args ...string) error {
	source, err := sourceDir()
	if err != nil {
		return err
	}
	build := []string{"build", "-trimpath"}
	if modFile != "" {
		build = append(build, "-modfile", modFile)
	}
	cmd := exec.CommandContext(ctx, "go", append(build, args...)...)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %v: %w\n%s", args, err, out)
	}
	return nil
}

// A handler is a function as it is deployed: stripped, static, without the runtime's RPC mode.
type handler struct {
	name, pkg string
	tags      []string
	before    bool // with the older commit of the library
}

// handlers returns them, ours with each backend left out too, and the older commit's.
func (d *driver) handlers() []handler {
	all := []handler{
		{name: "none", pkg: "none"},
		{name: "bare-sdk", pkg: "bare"},
		{name: "hand-written", pkg: "sdk"},
		{name: "secrets", pkg: "secrets"},
		{name: "secrets-single", pkg: "secrets", tags: []string{"bench.single"}},
		{name: "secrets-nokms", pkg: "secrets", tags: []string{"secrets.nokms"}},
		{name: "secrets-nossm", pkg: "secrets", tags: []string{"secrets.nossm"}},
		{name: "secrets-nosm", pkg: "secrets", tags: []string{"secrets.nosm"}},
		{name: "secrets-no-backend", pkg: "secrets",
			tags: []string{"secrets.nokms", "secrets.nossm", "secrets.nosm"}},
	}
	if d.before != "" {
		all = append(all, handler{name: "secrets@before", pkg: "secrets", before: true})
	}
	if d.quick { // to link each takes seconds
		tagged := func(h handler) bool { return strings.HasPrefix(h.name, "secrets-no") }
		all = slices.DeleteFunc(all, tagged)
	}
	return all
}

// handlerNamed returns one of them.
func (d *driver) handlerNamed(name string) (handler, error) {
	for _, h := range d.handlers() {
		if h.name == name {
			return h, nil
		}
	}
	return handler{}, fmt.Errorf("no handler %q", name)
}

// buildHandler builds h for an architecture, and returns its path.
func (d *driver) buildHandler(ctx context.Context, h handler, arch string) (string, error) {
	dir := filepath.Join(d.dir, "handlers", arch, h.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	out := filepath.Join(dir, "bootstrap")
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	modFile := ""
	if h.before {
		modFile = d.before
	}
	tags := strings.Join(append([]string{"lambda.norpc"}, h.tags...), ",")
	return out, d.goBuild(ctx, modFile, arch, "-tags", tags, "-ldflags", "-s -w", "-o", out, "./handler/"+h.pkg)
}

// sourceDir is where this module lies: below the current directory, or where it was built.
func sourceDir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if dir := filepath.Dir(file); ok && filepath.IsAbs(dir) {
		return dir, nil
	}
	return filepath.Abs(".")
}
