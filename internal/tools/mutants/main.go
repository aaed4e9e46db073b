// Mutants changes one comparison, branch or assignment of the engine at a time, and says which changes no test sees.
//
// All mutants stand in one build of each test binary, and a variable of the environment picks one, so that trying one
// costs a run of the tests and no build. The source tree is not touched: go build reads the changed files through an
// overlay.
//
// usage: go run ./mutants [-every N] [-from N] [-v] FILE.go ... (in internal/tools)
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

var (
	root    = flag.String("root", "../..", "directory of the module under test")
	every   = flag.Int("every", 1, "try each so many-th mutant alone")
	from    = flag.Int("from", 1, "begin with this mutant")
	timeout = flag.Duration("timeout", 2*time.Minute, "of one test binary; a mutant that needs longer is killed")
	verbose = flag.Bool("v", false, "print each mutant and what killed it")
	judge   = flag.String("model", "-seeds 150", "arguments of the model's test binary")
	skip    = flag.String("skip", "^TestWarm_RetrySettings", "root tests to leave out: they take seconds of wall time")
	accept  = flag.String("accepted", "mutants/accepted.txt", "file of the survivors that break no promise")
)

// suites are the test binaries that judge a mutant, the quickest first.
var suites = []suite{
	{pkg: "./internal/refcount", only: "internal/refcount"},
	{pkg: modelPackage},
	{pkg: ".", args: []string{"-test.run", engineTests}},
}

const modelPackage = "./internal/testing/suites/model"

// engineTests are the root tests that read through the cache; those of parsers, printers and backends see no mutant.
const engineTests = `^Test(Get|Warm|Refresh|Snapshot|Cache|Fetch|Resolve|Do|Derive|Stale|Denied|Flight|Leader|Late|` +
	`Frozen|Freeze|Age|Window|Backoff|Retry|Stats|Fresh|Grace|Evict|Loose|Two|Budget|Time|Cancel|Adopt|Pending|Reject|` +
	`Rotat|Consistent|Entry|Decide|Decision|Request|Try|Round)`

type suite struct {
	pkg  string
	only string // the directory whose mutants it judges, or all
	args []string
	bin  string
}

func main() {
	flag.Parse()
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(files []string) error {
	if len(files) == 0 {
		return errors.New("name the files to change, from the root of the module")
	}
	accepted, err := readAccepted(*accept)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	mutants, overlay, err := mutate(files, dir)
	if err != nil {
		return err
	}
	if err := build(dir, overlay); err != nil {
		return err
	}
	var broken []string
	for by, out := try(0, ""); by != ""; by, out = try(0, "") {
		fmt.Printf("left out: %s, which fails without a mutant:\n%s\n", by, out)
		broken = append(broken, by)
		suites = slices.DeleteFunc(suites, func(s suite) bool { return s.pkg == by })
	}
	fmt.Printf("%d mutants\n", len(mutants))
	var tried, killed, known int
	for _, m := range mutants {
		if m.n < *from || (m.n-*from)%*every != 0 {
			continue
		}
		tried++
		by, _ := try(m.n, filepath.Dir(m.file))
		switch {
		case by != "":
			killed++
			if *verbose {
				fmt.Printf("%d killed by %s: %s\n", m.n, by, m)
			}
		case slices.Contains(accepted, m.key()):
			known++
		default:
			fmt.Printf("%d survives: %s\n", m.n, m)
		}
	}
	fmt.Printf("%d of %d mutants tried, %d killed (%.1f %%), %d survivors accepted\n",
		tried, len(mutants), killed, 100*float64(killed)/float64(max(1, tried)), known)
	if len(broken) > 0 {
		return fmt.Errorf("judged without %s", strings.Join(broken, ", "))
	}
	if killed+known < tried {
		return errors.New("some mutants survive")
	}
	return nil
}

// mutate writes the changed files below dir, and returns the mutants in them and the overlay.
func mutate(files []string, dir string) (all []mutant, overlay map[string]string, err error) {
	overlay = map[string]string{}
	packages := map[string]string{} // directory → name of the package
	for _, file := range files {
		path, err := filepath.Abs(filepath.Join(*root, file))
		if err != nil {
			return nil, nil, err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, path, src, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		f := &mutator{file: file, src: src, set: set, next: len(all) + 1}
		f.walk(parsed)
		changed := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(changed, f.text(), 0o600); err != nil {
			return nil, nil, err
		}
		overlay[path] = changed
		packages[filepath.Dir(path)] = parsed.Name.Name
		all = append(all, f.mutants...)
	}
	for at, name := range packages {
		helper := filepath.Join(dir, strings.ReplaceAll(at, "/", "_")+"_helper.go")
		if err := os.WriteFile(helper, []byte("package "+name+"\n"+helpers), 0o600); err != nil {
			return nil, nil, err
		}
		overlay[filepath.Join(at, "zz_mutants.go")] = helper
	}
	return all, overlay, nil
}

// build makes the test binaries.
func build(dir string, overlay map[string]string) error {
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return err
	}
	for i := range suites {
		s := &suites[i]
		switch s.pkg {
		case ".":
			s.args = append(s.args, "-test.skip", *skip)
		case modelPackage:
			s.args = strings.Fields(*judge)
		}
		s.bin = filepath.Join(dir, fmt.Sprintf("test%d", i))
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", list, "-o", s.bin, s.pkg)
		cmd.Dir, cmd.Env = *root, append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s does not build: %w\n%s", s.pkg, err, out)
		}
	}
	return nil
}

// try runs the suites that judge mutant n, and returns the first that fails, and what it says.
func try(n int, dir string) (killer, out string) {
	for _, s := range suites {
		if s.only != "" && n > 0 && s.only != dir {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), *timeout)
		cmd := exec.CommandContext(ctx, s.bin, append([]string{"-test.failfast", "-test.timeout", "10m"}, s.args...)...)
		cmd.Dir = filepath.Join(*root, s.pkg)
		cmd.Env = append(os.Environ(), fmt.Sprint("SECRETS_MUTANT=", n))
		text, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			return s.pkg, string(text)
		}
	}
	return "", ""
}

// readAccepted returns the mutants of a file of lines "mutant # reason".
func readAccepted(path string) (keys []string, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for line := range strings.Lines(string(text)) {
		key, reason, explained := strings.Cut(strings.TrimSpace(line), " # ")
		if key == "" || strings.HasPrefix(key, "#") {
			continue
		}
		if !explained || reason == "" {
			return nil, fmt.Errorf("%s: no reason is given for %q", path, key)
		}
		keys = append(keys, strings.TrimSpace(key))
	}
	return keys, err
}
