// Mutants changes one comparison, branch or assignment of the engine at a time, and says which changes no test sees.
//
// All mutants stand in one build of each test binary, and a variable of the environment picks one, so that trying one
// costs a run of a few tests and no build. The source tree is not touched: go build reads the changed files through an
// overlay. Each test runs once without a mutant, to learn which mutants it reaches and how long it takes. A mutant is
// then tried by the tests that reach it, the quickest first. It is killed by a test that fails, twice unless it runs in
// a bubble, or that takes much longer than before. What no test reaches survives at once.
//
// A comparison has its bound moved and is negated; && and || are exchanged; a condition is true, then false; a case of
// a switch is never taken; an assignment is left out, and a value that is defined is zero. Left out are the steps of
// loops, which would only hang, and definitions of several values by one call.
//
// A file lists the survivors that break no promise, one a line: the mutant as it is printed, without its line, and the
// reason. A mutant that survives without a reason fails the run, and so does a reason whose mutant is gone or killed.
//
// usage: go run ./mutants [-every N] [-only RE] [-run RE] [-v] FILE.go ... (in internal/tools)
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	root    = flag.String("root", "../..", "directory of the module under test")
	every   = flag.Int("every", 1, "try each so many-th mutant alone")
	only    = flag.String("only", "", "try those mutants alone whose file:line, function or text matches this")
	judges  = flag.String("run", "^(Test|Fuzz)", "let those tests judge alone whose name matches this")
	workers = flag.Int("parallel", 2, "mutants to try at once")
	slowest = flag.Duration("slowest", 2*time.Second, "leave out tests that take more CPU than this")
	verbose = flag.Bool("v", false, "print each mutant and the test that killed it")
	accept  = flag.String("accepted", "mutants/accepted.txt", "file of the survivors that break no promise")
)

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
	pick, err := regexp.Compile(*only)
	if err != nil {
		return err
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
	tests, err := prepare(dir, overlay)
	if err != nil {
		return err
	}
	var chosen []mutant
	for i, m := range mutants {
		if i%*every == 0 && pick.MatchString(m.String()) {
			chosen = append(chosen, m)
		}
	}
	survivors := survive(chosen, newCourt(tests))
	report(chosen, survivors, accepted)
	needless := needless(accepted, files, mutants, chosen, survivors)
	for _, line := range needless {
		fmt.Println(line)
	}
	if len(needless) > 0 || slices.ContainsFunc(survivors, func(m mutant) bool { return m.reason == "" }) {
		return errors.New("mutants survive without a reason, or reasons without a mutant")
	}
	return nil
}

// needless returns a line for each reason whose mutant is gone, or is killed.
func needless(accepted map[string]string, files []string, all, tried, survivors []mutant) (lines []string) {
	known := func(of []mutant, key string) bool {
		return slices.ContainsFunc(of, func(m mutant) bool { return m.key() == key })
	}
	for key := range accepted {
		file, _, _ := strings.Cut(key, " ")
		switch {
		case !slices.Contains(files, file):
		case !known(all, key):
			lines = append(lines, "accepted, but gone: "+key)
		case known(tried, key) && !known(survivors, key):
			lines = append(lines, "accepted, but killed: "+key)
		}
	}
	slices.Sort(lines)
	return lines
}

// survive tries mutants, and returns those that no test kills.
func survive(mutants []mutant, tests *court) (survivors []mutant) {
	var mu sync.Mutex
	inParallel(mutants, func(_ int, m mutant) {
		by := tests.kill(m.n)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case by == "":
			survivors = append(survivors, m)
			if *verbose {
				fmt.Println("not killed:", m)
			}
		case *verbose:
			fmt.Printf("killed by %s: %s\n", by, m)
		}
	})
	slices.SortFunc(survivors, func(a, b mutant) int { return a.n - b.n })
	return survivors
}

// inParallel calls do for each of all, some at once.
func inParallel[T any](all []T, do func(i int, one T)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range *workers {
		wg.Go(func() {
			for i := range next {
				do(i, all[i])
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	wg.Wait()
}

// report prints the survivors without a reason, and the figures of each file. It notes the reasons of the others.
func report(tried, survivors []mutant, accepted map[string]string) {
	type figures struct{ tried, killed, explained int }
	var all figures
	byFile := map[string]*figures{}
	var files []string
	for _, m := range tried {
		if byFile[m.file] == nil {
			byFile[m.file] = &figures{}
			files = append(files, m.file)
		}
		byFile[m.file].tried++
		byFile[m.file].killed++
	}
	for i := range survivors {
		m := &survivors[i]
		f := byFile[m.file]
		f.killed--
		if m.reason = accepted[m.key()]; m.reason != "" {
			f.explained++
			continue
		}
		fmt.Println("survives:", m)
	}
	for _, file := range files {
		f := byFile[file]
		fmt.Printf("%-36s %4d mutants, %4d killed, %3d explained\n", file, f.tried, f.killed, f.explained)
		all = figures{all.tried + f.tried, all.killed + f.killed, all.explained + f.explained}
	}
	share := func(n int) float64 { return 100 * float64(n) / float64(max(1, all.tried)) }
	fmt.Printf("%d mutants, %d killed (%.1f %%), %d explained (%.1f %% killed or explained)\n", all.tried,
		all.killed, share(all.killed), all.explained, share(all.killed+all.explained))
}

// mutate writes the changed files below dir, and returns the mutants in them and the overlay.
func mutate(files []string, dir string) (all []mutant, overlay map[string]string, err error) {
	overlay = map[string]string{}
	packages := map[string]string{} // directory → name of the package
	seen := map[string]int{}
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
	for i := range all {
		key := all[i].key()
		seen[key]++
		all[i].nth = seen[key]
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

// readAccepted returns the mutants of a file of lines "mutant # reason", and their reasons.
func readAccepted(path string) (reasons map[string]string, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	reasons = map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, reason, _ := strings.Cut(strings.TrimSpace(line), " # ")
		if key == "" || strings.HasPrefix(key, "#") {
			continue
		}
		if reason == "" {
			return nil, fmt.Errorf("%s: no reason is given for %q", path, key)
		}
		reasons[strings.TrimSpace(key)] = reason
	}
	return reasons, err
}
