package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// suites are the packages whose tests judge a mutant, and what their binaries are given.
var suites = []*suite{
	{pkg: "./internal/refcount"},
	{pkg: "."},
	{pkg: "./internal/testing/suites/peers"},
	{pkg: "./internal/testing/suites/model", args: []string{"-seeds", "300"}},
}

type suite struct {
	pkg  string
	args []string
	bin  string
}

// A test is one test of a suite, which passes without a mutant.
type test struct {
	suite   *suite
	name    string
	steady  bool          // it runs in a bubble, where a busy machine makes nothing late
	takes   time.Duration // of CPU
	reaches map[int]bool
}

// prepare builds the test binaries and runs each test once, alone.
func prepare(dir string, overlay map[string]string) (tests []*test, err error) {
	var all []*test
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return nil, err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return nil, err
	}
	for i, s := range suites {
		s.bin = filepath.Join(dir, fmt.Sprintf("test%d", i))
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", list, "-o", s.bin, s.pkg)
		cmd.Dir, cmd.Env = *root, append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s does not build: %w\n%s", s.pkg, err, out)
		}
		cmd = exec.Command(s.bin, "-test.list", *judges)
		names, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s does not list its tests: %w", s.pkg, err)
		}
		steady, err := s.inBubbles()
		if err != nil {
			return nil, err
		}
		for _, name := range strings.Fields(string(names)) {
			all = append(all, &test{suite: s, name: name, steady: steady[name]})
		}
	}
	return learn(all, dir), nil
}

// inBubbles returns the tests of a suite that run in a bubble of package synctest.
func (s *suite) inBubbles() (names map[string]bool, err error) {
	files, err := filepath.Glob(filepath.Join(*root, s.pkg, "*_test.go"))
	if err != nil {
		return nil, err
	}
	names = map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, function := range strings.Split(string(text), "\nfunc ") {
			name, body, _ := strings.Cut(function, "(")
			names[name] = strings.Contains(body, "synctest.Test(")
		}
	}
	return names, nil
}

// learn returns those of tests that are of use.
func learn(tests []*test, dir string) (useful []*test) {
	var mu sync.Mutex
	inParallel(tests, func(i int, t *test) {
		if t.learn(filepath.Join(dir, fmt.Sprint("reached", i))) {
			mu.Lock()
			useful = append(useful, t)
			mu.Unlock()
		}
	})
	return useful
}

// learn finds out which mutants t reaches. It reports whether t is of use.
func (t *test) learn(file string) bool {
	out, took, err := t.suite.run(*slowest, []string{t.name}, "SECRETS_MUTANTS_REACHED="+file)
	if err != nil { // a busy machine
		out, took, err = t.suite.run(*slowest, []string{t.name}, "SECRETS_MUTANTS_REACHED="+file)
	}
	t.takes = took
	switch {
	case errors.Is(err, errTooLong):
		fmt.Printf("left out: %s, which takes longer than %v\n", t.name, *slowest)
		return false
	case err != nil:
		fmt.Printf("left out: %s, which fails without a mutant:\n%s\n", t.name, out)
		return false
	}
	reached, err := os.ReadFile(file)
	if err != nil {
		return false // it reaches none
	}
	t.reaches = map[int]bool{}
	for _, n := range strings.Fields(string(reached)) {
		var i int
		fmt.Sscan(n, &i)
		t.reaches[i] = true
	}
	return true
}

var errTooLong = errors.New("the tests take too long")

// run runs tests of a suite. The limit is one of CPU, which a busy machine does not use up; what sleeps has sixty
// times as long.
func (s *suite) run(limit time.Duration, names []string, env ...string) (out []byte, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*limit)
	defer cancel()
	args := []string{"-c", `ulimit -t "$0" && exec "$@"`, fmt.Sprint(int(limit.Seconds()) + 1), s.bin,
		"-test.failfast", "-test.v", "-test.run", "^(" + strings.Join(names, "|") + ")$"}
	cmd := exec.CommandContext(ctx, "sh", append(args, s.args...)...)
	cmd.Dir = filepath.Join(*root, s.pkg)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	out, err = cmd.CombinedOutput()
	if p := cmd.ProcessState; p != nil {
		took = p.UserTime() + p.SystemTime()
	}
	if ctx.Err() != nil || took >= limit {
		err = errTooLong
	}
	return out, took, err
}

var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// A court is the tests that judge mutants.
type court struct {
	mu    sync.Mutex
	quick []*test // the one that killed last first: it likely kills the next mutant, which is a neighbour
	slow  []*test // the quickest first
}

func newCourt(tests []*test) *court {
	slices.SortStableFunc(tests, func(a, b *test) int { return int(a.takes - b.takes) })
	i, _ := slices.BinarySearchFunc(tests, 200*time.Millisecond, func(t *test, d time.Duration) int {
		return int(t.takes - d)
	})
	return &court{quick: tests[:i], slow: tests[i:]}
}

// kill tries mutant n, and returns the test that kills it.
func (c *court) kill(n int) (by string) {
	c.mu.Lock()
	quick, slow := slices.Clone(c.quick), c.slow
	c.mu.Unlock()
	passesBy := func(t *test) bool { return !t.reaches[n] }
	rest := append(slices.DeleteFunc(quick, passesBy), slices.DeleteFunc(slices.Clone(slow), passesBy)...)
	for size := 8; len(rest) > 0; size *= 4 {
		some := rest[:min(size, len(rest))]
		for _, s := range suites {
			if by = s.kill(n, some); by != "" {
				c.praise(by)
				return by
			}
		}
		rest = rest[len(some):]
	}
	return ""
}

// praise moves a quick test to the front.
func (c *court) praise(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.quick, func(t *test) bool { return t.name == name }); i > 0 {
		t := c.quick[i]
		copy(c.quick[1:i+1], c.quick[:i])
		c.quick[0] = t
	}
}

// kill tries mutant n by those of tests that are of s.
func (s *suite) kill(n int, tests []*test) (by string) {
	var names []string
	steady := map[string]bool{}
	limit := 2 * time.Second
	for _, t := range tests {
		if t.suite == s {
			names = append(names, t.name)
			steady[t.name] = t.steady
			limit += 3 * t.takes
		}
	}
	for len(names) > 0 {
		on := fmt.Sprint("SECRETS_MUTANT=", n)
		out, _, err := s.run(limit, names, on)
		if err == nil {
			return ""
		}
		if errors.Is(err, errTooLong) {
			return s.pkg + " (time-out)"
		}
		failed := failedTest.FindSubmatch(out)
		if failed == nil {
			return s.pkg + " (crash)"
		}
		if steady[string(failed[1])] || bytes.Contains(out, []byte("\npanic: ")) {
			return string(failed[1])
		}
		// A test that fails for another reason, as by a busy machine, fails hardly twice.
		by = string(failed[1])
		if _, _, err := s.run(limit, []string{by}, on); err != nil {
			return by
		}
		names = slices.DeleteFunc(names, func(name string) bool { return name == by })
	}
	return ""
}
