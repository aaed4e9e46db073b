package pages

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme does what README.md tells a newcomer to do: its commands as printed, and its first
// program with its test in a module of their own.
func TestReadme(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("left out: the README's commands: -short")
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("left out: the README's commands: there is no bash")
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	clone, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	module := t.TempDir()
	run := func(dir, script string) {
		t.Helper()
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, out)
		}
	}
	if err := os.CopyFS(module, os.DirFS("readme")); err != nil {
		t.Fatal(err)
	}
	run(module, "go mod init orders")
	ran := 0
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		switch script := block[1]; {
		case strings.HasPrefix(script, "go get "): // not to be had from here: the next block takes its place
		case strings.HasPrefix(script, "go mod "):
			run(module, strings.ReplaceAll(script, "PATH-OF-THE-CLONE", clone)+"go test .\n")
			ran++
		default:
			run(clone, script)
			ran++
		}
	}
	if ran != 2 {
		t.Errorf("ran %d blocks of commands", ran)
	}
}
