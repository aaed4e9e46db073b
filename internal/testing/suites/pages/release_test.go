package pages

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What users get with what they import stands in LICENSES.md, with its version and its licence.
func TestLicences_ShippedModules(t *testing.T) {
	t.Parallel()
	const format = "{{with .Module}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}"
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", format, ".", "./secretstest", "./secretsql",
		"./secrethttp")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) < 3 || strings.HasPrefix(fields[0], "github.com/lambdasecrets/") {
			continue
		}
		row := fmt.Sprintf("| `%s` | %s | Apache-2.0 |", fields[0], fields[1])
		if listed[row] {
			continue
		}
		listed[row] = true
		if !strings.Contains(read(t, "LICENSES.md"), row+"\n") {
			t.Errorf("LICENSES.md lacks the row %s", row)
		}
		text, err := os.ReadFile(filepath.Join(fields[2], "LICENSE.txt"))
		if os.IsNotExist(err) {
			text, err = os.ReadFile(filepath.Join(fields[2], "LICENSE"))
		}
		if err != nil || !regexp.MustCompile(`Apache License\s+Version 2\.0`).Match(text) {
			t.Errorf("%s is not under the licence of its row: %v", fields[0], err)
		}
	}
	if n := strings.Count(read(t, "LICENSES.md"), "\n| `"); n != len(listed) || n == 0 {
		t.Errorf("LICENSES.md has %d rows for %d modules", n, len(listed))
	}
}

// walk calls f for each file of the repository that is text.
func walk(t *testing.T, f func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "dist"):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		text, err := os.ReadFile(path)
		f(filepath.ToSlash(path), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A function that is built as the templates say holds no path of the machine, and is the same from every folder.
func TestTemplates_Trimpath(t *testing.T) {
	t.Parallel()
	build, found := regexp.MustCompile(`(?m)^.*GOOS=linux.*go build.*$`), 0
	walk(t, func(path, text string) {
		for _, line := range build.FindAllString(text, -1) {
			found++
			if !strings.Contains(line, "-trimpath") && !strings.HasSuffix(path, "_test.go") {
				t.Errorf("%s: without -trimpath: %s", path, line)
			}
		}
	})
	if found < 3 {
		t.Errorf("%d builds were found", found)
	}
}

// Every module pins what it needs.
func TestModules_HaveSums(t *testing.T) {
	t.Parallel()
	modules := 0
	walk(t, func(path, text string) {
		if filepath.Base(path) != "go.mod" || !strings.Contains(text, "require") {
			return
		}
		modules++
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), "go.sum")); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	})
	if modules < 4 {
		t.Errorf("%d modules were found", modules)
	}
}

// Users download every file of the module: none is large, and none is a program that a build left behind.
func TestModule_NoBinaries(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Skip("left out: what a release holds; this is no clone: ", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil || len(text) > 256<<10 || strings.HasPrefix(string(text), "\x7fELF") {
			t.Errorf("%s: %d bytes, error %v", name, len(text), err)
		}
	}
}
