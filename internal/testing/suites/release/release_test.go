// Package release runs the release script on copies of the repository.
package release

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var run = flag.Bool("release", false, "run the release script, which takes minutes")

const root = "../../../.."

// A clone is a copy of the last commit in a folder of its own, with a bare repository to push to.
type clone struct{ dir, bare string }

func newClone(t *testing.T) clone {
	t.Helper()
	if !*run {
		t.Skip("left out: the release script; go test ./internal/testing/suites/release -args -release")
	}
	c := clone{filepath.Join(t.TempDir(), "secrets"), filepath.Join(t.TempDir(), "bare")}
	command(t, ".", "git", "clone", "-q", root, c.dir)
	command(t, ".", "git", "init", "-q", "--bare", c.bare)
	for _, tag := range strings.Fields(c.git(t, "tag")) { // those of the repository are no part of the test
		c.git(t, "tag", "-d", tag)
	}
	c.git(t, "config", "user.name", "Test")
	c.git(t, "config", "user.email", "test@example.com")
	return c
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (c clone) git(t *testing.T, args ...string) string { return command(t, c.dir, "git", args...) }

// release runs the script.
func (c clone) release(t *testing.T, version string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), ".ci/release", version, c.bare)
	cmd.Dir = c.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// replace changes a file.
func (c clone) replace(t *testing.T, name, old, text string) {
	t.Helper()
	path := filepath.Join(c.dir, name)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	after := strings.ReplaceAll(string(before), old, text)
	if after == string(before) {
		t.Fatalf("%s does not contain %q", name, old)
	}
	if err := os.WriteFile(path, []byte(after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// files returns the content of what a release made, by name.
func (c clone) files(t *testing.T, version string) map[string][]byte {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(c.dir, "dist", version, "*"))
	files := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = text
	}
	return files
}

// The same commit gives the same bytes in two folders, a tag in the repository that it is pushed to, and an SBOM.
func TestRelease_SameBytes(t *testing.T) {
	a, b := newClone(t), newClone(t)
	for _, c := range []clone{a, b} {
		if out, err := c.release(t, "v0.1.0"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	made, again := a.files(t, "v0.1.0"), b.files(t, "v0.1.0")
	for _, name := range []string{
		"secrets-v0.1.0.zip", "secrets-v0.1.0.go.sum", "secrets-v0.1.0.cdx.json", "SHA256SUMS",
		"example-handler-linux-amd64", "example-handler-linux-arm64", "API-CHANGES",
	} {
		if len(made[name]) == 0 || !bytes.Equal(made[name], again[name]) {
			t.Errorf("%s: %d bytes, and %d that are not the same", name, len(made[name]), len(again[name]))
		}
	}
	for name, text := range made {
		if bytes.Contains(text, []byte(a.dir)) {
			t.Errorf("%s holds the folder's name", name)
		}
	}
	command(t, filepath.Join(a.dir, "dist", "v0.1.0"), "sha256sum", "--check", "--strict", "SHA256SUMS")
	if tags := command(t, a.bare, "git", "tag", "-n99"); !strings.Contains(tags, "v0.1.0") ||
		!strings.Contains(tags, ".cdx.json") {
		t.Errorf("tags of the remote: %s", tags)
	}
	var bom struct {
		BOMFormat  string
		Components []struct {
			PURL     string
			Licenses []struct{ License struct{ ID string } }
		}
	}
	if err := json.Unmarshal(made["secrets-v0.1.0.cdx.json"], &bom); err != nil || bom.BOMFormat != "CycloneDX" {
		t.Fatal(err)
	}
	var listed []string
	for _, c := range bom.Components {
		listed = append(listed, c.PURL)
		if len(c.Licenses) != 1 || c.Licenses[0].License.ID == "" {
			t.Errorf("%s has no licence", c.PURL)
		}
	}
	if !slices.ContainsFunc(listed, func(p string) bool { return strings.Contains(p, "service/kms@v") }) {
		t.Errorf("the SBOM lists %q", listed)
	}
}

// A release is refused that breaks what its number promises, or that its pages do not name, and nothing is tagged.
func TestRelease_Refused(t *testing.T) {
	c := newClone(t)
	probe := filepath.Join(c.dir, "probe.go")
	if err := os.WriteFile(probe, []byte("package secrets\n\n// Probe is removed again.\nfunc Probe() {}\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	refused := func(version, why string) {
		t.Helper()
		out, err := c.release(t, version)
		if err == nil || !strings.Contains(out, why) {
			t.Errorf("%s: %v: %s", version, err, out)
		}
	}
	refused("v0.1.0", "changes")
	c.git(t, "add", "-A")
	c.git(t, "commit", "-q", "-m", "probe: add a name")
	refused("v0.1", "form")
	refused("v0.3.0", "CHANGELOG")
	if out, err := c.release(t, "v0.1.0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	refused("v0.1.0", "tagged already")

	os.Remove(probe)
	number := "0.1.0"
	next := func(to string) {
		c.replace(t, "CHANGELOG.md", "## ["+number+"] - ", "## ["+to+"] - ")
		c.replace(t, "CHANGELOG.md", "["+number+"]: ", "["+to+"]: ")
		c.replace(t, "CHANGELOG.md", "/v"+number, "/v"+to)
		c.replace(t, "internal/awsclient/awsclient.go", `"`+number+`"`, `"`+to+`"`)
		c.git(t, "add", "-A")
		c.git(t, "commit", "-q", "-m", "all: say "+to)
		number = to
	}
	next("0.1.1")
	refused("v0.1.1", "other versions are named")
	c.replace(t, "README.md", "secrets@v0.1.0", "secrets@v0.1.1")
	c.git(t, "commit", "-q", "-a", "-m", "README: say 0.1.1")
	refused("v0.1.1", "is a patch of v0.1.0, and changes the API")
	if tags := command(t, c.bare, "git", "tag"); strings.TrimSpace(tags) != "v0.1.0" {
		t.Errorf("tags of the remote: %s", tags)
	}
	c.replace(t, "README.md", "secrets@v0.1.1", "secrets@v0.2.0")
	next("0.2.0")
	out, err := c.release(t, "v0.2.0")
	if err != nil || !strings.Contains(string(c.files(t, "v0.2.0")["API-CHANGES"]), "Probe: removed") {
		t.Errorf("%v\n%s", err, out)
	}
}
