package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The map of CONTRIBUTING.md names files, packages, functions and tests that are there, each where
// its row says, and leaves out no file of the root package and no package that ships.
func TestContributing_Map(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(read(t, "CONTRIBUTING.md"), "## Where to change what\n")
	text, _, found := strings.Cut(text, "\n## Rules")
	if !found {
		t.Fatal("CONTRIBUTING.md has no map")
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	all := tests(t)
	for row := range strings.Lines(text) {
		cells := strings.Split(row, "|")
		if len(cells) < 5 || !strings.Contains(cells[2], "`") {
			continue
		}
		source := sources(t, cells[2])
		for _, m := range quoted.FindAllStringSubmatch(row, -1) {
			name := m[1]
			switch {
			case strings.HasPrefix(name, "Test"):
				if !all[name] {
					t.Errorf("there is no test %s", name)
				}
			case strings.HasSuffix(name, ".go"), strings.HasPrefix(name, "internal/"):
				if !inMap(name, cells[2]) {
					t.Errorf("there is no %s", name)
				}
			}
		}
		for _, m := range regexp.MustCompile("\\(`([\\w.]+)`\\)").FindAllStringSubmatch(cells[1], -1) {
			name := m[1][strings.LastIndex(m[1], ".")+1:]
			declared := regexp.MustCompile(`(?m)^func (\(.*\) )?` + regexp.QuoteMeta(name) + `\(`)
			if name != "go" && !declared.MatchString(source) {
				t.Errorf("%s is not in %s", m[1], cells[2])
			}
		}
	}
	for _, pattern := range []string{"*.go", "internal/*"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatal(pattern, err)
		}
		for _, path := range paths {
			name := strings.Replace(pattern, pattern[strings.Index(pattern, "*"):], filepath.Base(path), 1)
			switch {
			case strings.HasSuffix(name, "_test.go"), strings.HasSuffix(name, "_off.go"):
			case name == "internal/testing", name == "internal/tools":
			case !strings.Contains(text, "`"+name+"`"):
				t.Errorf("%s is not in the map", name)
			}
		}
	}
}

// inMap reports whether a path of the map is there, or, of a file alone, in a package of its row.
func inMap(name, row string) bool {
	for _, dir := range append([]string{"."}, packages(row)...) {
		if _, err := os.Stat(filepath.Join(root, dir, name)); err == nil {
			return true
		}
	}
	return false
}

func packages(row string) (dirs []string) {
	for _, m := range regexp.MustCompile("`(internal/[\\w/]+|secret\\w+)`").FindAllStringSubmatch(row, -1) {
		dirs = append(dirs, m[1])
	}
	return dirs
}

// sources returns the text of the files and packages that a cell names.
func sources(t *testing.T, cell string) string {
	t.Helper()
	var text strings.Builder
	for _, m := range regexp.MustCompile("`(\\w+\\.go)`").FindAllStringSubmatch(cell, -1) {
		if _, err := os.Stat(filepath.Join(root, m[1])); err == nil {
			text.WriteString(read(t, m[1]))
		}
	}
	for _, dir := range packages(cell) {
		paths, _ := filepath.Glob(filepath.Join(root, dir, "*.go"))
		for _, path := range paths {
			source, _ := filepath.Rel(root, path)
			text.WriteString(read(t, source))
		}
	}
	return text.String()
}
