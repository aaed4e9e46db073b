// Command style measures how the code that ships reads, prints each figure with its bound, and fails if one is past it.
// It runs in the root of the repository: .ci/run style.
//
//	style [-list KIND] [-open KIND]
//
// -list prints every offender of one kind instead: width, length, cyclomatic, conditions, comments, tests. A figure of
// the kind of -open is printed, and past its bound it fails nothing.
//
// What ships is what `go list -deps .` names of this module, with the files that build tags leave out. A tab counts as
// four columns. Lines are those that are not blank. The comment share is the share of lines that hold a comment.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The bounds.
const (
	widthP95       = 90
	widthLongest   = 100
	widthTests     = 120 // of all other Go: tests, their helpers, examples
	functionLines  = 60
	cyclomatic     = 15
	longConditions = 20 // of three and more terms
	commentShare   = 25 // percent, of each of commented
	nestedModules  = 4
	shippedBytes   = 290_000
)

var (
	// commented are the files whose reader needs the reasons most.
	commented = []string{"cache", "entry", "flight", "rotation", "ssm", "secretsmanager"}
	// unsourced are the names of root test files that no source file has.
	unsourced = []string{"api", "bench", "example", "export", "fuzz", "helpers"}
)

// A figure is one line of the report.
type figure struct {
	name     string
	measured string
	bound    string
	ok       bool
	where    []string // what is past the bound, or the worst one
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("style: ")
	list := flag.String("list", "", "print every offender of `KIND`")
	open := flag.String("open", "", "let figures of `KIND` be past their bound")
	flag.Parse()
	figures, err := measure()
	if err != nil {
		log.Fatal(err)
	}
	failed := 0
	for _, f := range figures {
		if *list != "" {
			if strings.Contains(f.name, *list) {
				fmt.Println(strings.Join(f.where, "\n"))
			}
			continue
		}
		mark := "ok  "
		switch isOpen := *open != "" && strings.Contains(f.name, *open); {
		case f.ok:
		case isOpen:
			mark = "OPEN"
		default:
			mark = "FAIL"
			failed++
		}
		worst := ""
		if len(f.where) > 0 {
			worst = f.where[0]
		}
		if len(f.where) > 1 && !f.ok {
			worst += fmt.Sprintf(" and %d more", len(f.where)-1)
		}
		fmt.Printf("%s %-34s %9s  %-9s %s\n", mark, f.name, f.measured, f.bound, worst)
	}
	if failed > 0 {
		log.Fatalf("%d of %d figures are past their bound", failed, len(figures))
	}
}

func measure() ([]figure, error) {
	packages, err := shipped()
	if err != nil {
		return nil, err
	}
	var files []*file
	size := 0
	for _, p := range packages {
		for _, name := range p.files {
			f, err := parse(name)
			if err != nil {
				return nil, err
			}
			files = append(files, f)
			size += len(f.source)
		}
	}
	others, err := unshipped(files)
	if err != nil {
		return nil, err
	}
	figures := append(widths(files), testWidth(others), lengths(files), cyclomatics(files), conditions(files))
	figures = append(figures, comments(files)...)
	tests, err := testNames()
	if err != nil {
		return nil, err
	}
	modules, err := modules()
	if err != nil {
		return nil, err
	}
	listed, err := packageList(packages)
	if err != nil {
		return nil, err
	}
	figures = append(figures, tests, modules,
		figure{"bytes of source that ship", fmt.Sprint(size), fmt.Sprint("<= ", shippedBytes),
			size <= shippedBytes, nil},
		listed)
	return figures, nil
}

// A pkg is a package that ships.
type pkg struct {
	path  string   // relative to the module: "internal/iam"
	files []string // paths
}

// shipped returns the packages of this module that a program which imports the root package links.
func shipped() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,Module,GoFiles,IgnoredGoFiles", ".")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir         string
			Module                  *struct{ Main bool }
			GoFiles, IgnoredGoFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		if p.Module == nil || !p.Module.Main {
			continue
		}
		wd, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(wd, p.Dir)
		if err != nil {
			return nil, err
		}
		one := pkg{path: filepath.ToSlash(rel)}
		for _, name := range append(p.GoFiles, p.IgnoredGoFiles...) {
			if !strings.HasSuffix(name, "_test.go") {
				one.files = append(one.files, filepath.Join(rel, name))
			}
		}
		packages = append(packages, one)
	}
}

// unshipped returns the repository's other files of Go: tests, their helpers, examples, tools.
func unshipped(ships []*file) ([]*file, error) {
	shipped := map[string]bool{}
	for _, f := range ships {
		shipped[filepath.ToSlash(f.name)] = true
	}
	out, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.go").Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	var files []*file
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		if shipped[name] || strings.Contains(name, "testdata/") {
			continue
		}
		source, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, and not yet committed
		} else if err != nil {
			return nil, err
		}
		files = append(files, &file{name: name, source: source})
	}
	return files, nil
}

// testNames checks that a root test file is named after the source file that it tests.
func testNames() (figure, error) {
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		return figure{}, err
	}
	var stray []string
	for _, name := range names {
		subject := strings.TrimSuffix(name, "_test.go")
		if slices.Contains(unsourced, subject) {
			continue
		}
		if _, err := os.Stat(subject + ".go"); err != nil {
			stray = append(stray, name)
		}
	}
	return figure{"root tests of no source file", fmt.Sprint(len(stray)), "= 0", len(stray) == 0, stray}, nil
}

func modules() (figure, error) {
	var found []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.Name() == "go.mod" && path != "go.mod":
			found = append(found, filepath.Dir(path))
		}
		return nil
	})
	return figure{"nested modules", fmt.Sprint(len(found)), fmt.Sprint("= ", nestedModules),
		len(found) == nestedModules, found}, err
}

// A listing is one line of SECURITY.md's list of packages: a bullet or a row that begins with the package's path.
var listing = regexp.MustCompile("(?m)^(?:[-*] |\\| )`([^` ]+)`")

// packageList compares the packages that ship with those that SECURITY.md lists under a heading with the word "ships".
func packageList(packages []pkg) (figure, error) {
	f := figure{name: "packages, as in SECURITY.md", bound: "the same"}
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		return f, err
	}
	listed := map[string]bool{}
	section := regexp.MustCompile(`(?ms)^## [^\n]*\bships\b[^\n]*\n(.*?)(?:^## |\z)`).FindSubmatch(text)
	if section == nil {
		f.where = append(f.where, "SECURITY.md has no heading with the word ships")
	} else {
		for _, m := range listing.FindAllSubmatch(section[1], -1) {
			listed[strings.TrimPrefix(string(m[1]), "github.com/lambdasecrets/secrets/")] = true
		}
	}
	for _, p := range packages {
		name := p.path
		if name == "." {
			name = "github.com/lambdasecrets/secrets"
		}
		if !listed[name] {
			f.where = append(f.where, name+" ships and is not listed")
		}
		delete(listed, name)
	}
	for name := range listed {
		f.where = append(f.where, name+" is listed and does not ship")
	}
	slices.Sort(f.where)
	f.measured, f.ok = fmt.Sprint(len(packages)), len(f.where) == 0
	return f, nil
}
