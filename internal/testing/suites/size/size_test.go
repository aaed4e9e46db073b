// Package size prints how many bytes of code each part of the library adds to a program.
package size

import (
	"cmp"
	"debug/elf"
	"debug/gosym"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var run = flag.Bool("size", false, "build a program and print the size of the library's parts in it")

// program reads one variable and uses nothing else.
const program = `package main

import (
	"context"
	"os"

	"github.com/lambdasecrets/secrets"
)

func main() {
	v, err := secrets.MustWarm(context.Background()).Get(context.Background(), "X")
	if err != nil {
		os.Exit(1)
	}
	os.Exit(len(v.Reveal()))
}
`

const module = "github.com/lambdasecrets/secrets/"

// What a program does not import is not in it. What it imports is printed by source file, for most files
// hold one feature: failover.go, tree.go, internal/awsclient/role.go. Data and type descriptors, which
// have no file, are left out.
func TestSize_LeftOut(t *testing.T) {
	if !*run {
		t.Skip("left out: the size of a program: go test ./internal/testing/suites/size -size -v")
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	// A program of the module that is in no folder of it.
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(root, "sized", "main.go"): write("main.go", program)}})
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "sized")
	build := exec.Command("go", "build", "-trimpath", "-overlay", write("overlay.json", string(overlay)), "-o",
		binary, "./sized")
	build.Dir = root
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	bytes, all := byFile(t, binary)
	if len(bytes) < 10 {
		t.Fatalf("found %v", bytes)
	}
	total := uint64(0)
	for _, file := range slices.SortedFunc(maps.Keys(bytes),
		func(a, b string) int { return cmp.Compare(bytes[b], bytes[a]) }) {
		total += bytes[file]
		t.Logf("%8d  %s", bytes[file], file)
		first, _, _ := strings.Cut(file, "/")
		unused := []string{"secretsql", "secrethttp", "secretstest", "rotation.go", "derive.go"}
		if slices.Contains(unused, first) || strings.HasPrefix(file, "internal/testing/") {
			t.Errorf("%s is in a program that does not import it", file)
		}
	}
	t.Logf("%8d  the library, of %d bytes of code and a file of %d", total, all, info.Size())
}

// byFile returns the bytes of code of each source file of the library, and of everything.
func byFile(t *testing.T, binary string) (bytes map[string]uint64, all uint64) {
	t.Helper()
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := f.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(lines, f.Section(".text").Addr))
	if err != nil {
		t.Fatal(err)
	}
	bytes = map[string]uint64{}
	for _, fn := range table.Funcs {
		all += fn.End - fn.Entry
		file, _, _ := table.PCToLine(fn.Entry)
		// With -trimpath the main module's files begin with its path.
		if name, ok := strings.CutPrefix(file, module); ok && !strings.HasPrefix(name, "sized/") {
			bytes[name] += fn.End - fn.Entry
		}
	}
	return bytes, all
}
