package configlibs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme does what README.md tells a newcomer to do, from the quickstart to the deployable binary: its commands as printed, in one shell, its files under the
// names that it gives them.
func TestReadme(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("left out: the README's commands: -short")
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("left out: the README's commands: there is no bash")
	}
	if out, err := exec.Command("go", "list", "-m", "github.com/sethvargo/go-envconfig@latest").CombinedOutput(); err != nil {
		t.Skipf("left out: the README's commands: the module proxy does not answer: %s", out)
	}
	text, err := os.ReadFile("../../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	path, _, ok := strings.Cut(string(text), "## How it works")
	if !ok {
		t.Fatal("README.md has no heading How it works")
	}
	// Work on a copy: the last commands build into the tree.
	tmp := t.TempDir()
	clone := filepath.Join(tmp, "clone")
	if err := os.CopyFS(clone, os.DirFS("../../../..")); err != nil {
		t.Fatal(err)
	}
	script, files := "set -euo pipefail\n", []string{"main.go", "main_test.go", "config.go"}
	for _, block := range regexp.MustCompile("(?ms)^```(go|sh)\n(.*?)^```$").FindAllStringSubmatch(path, -1) {
		switch {
		case block[2] == "go test ./...\n": // which .ci/run does, and takes a minute or two
		case block[1] == "sh":
			script += block[2]
		case strings.HasPrefix(block[2], "package ") && len(files) > 0:
			file := filepath.Join(tmp, files[0])
			if err := os.WriteFile(file, []byte(block[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			if files[0] != "main.go" { // which stands before the folder is made
				script += "cp " + filepath.Join(tmp, "main.go") + " " + file + " .\n"
			}
			files = files[1:]
		}
	}
	if len(files) > 0 {
		t.Fatalf("README.md does not have %v", files)
	}
	cmd := exec.Command("bash", "-c", script+"test -s build/bootstrap\n")
	cmd.Dir = clone
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, script, out)
	}
}
