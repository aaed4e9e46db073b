package secrets_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The exported API is a committed file, so that a change of it is seen in review.
func TestAPI(t *testing.T) {
	t.Parallel()
	for golden, dir := range map[string]string{"api.golden": ".", "api-secretstest.golden": "secretstest"} {
		t.Run(dir, func(t *testing.T) {
			golden, got := filepath.Join("testdata", golden), api(t, dir)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the exported API is not what %s says; if it should be, run go test -run TestAPI . -update\n%s", golden, changes(string(want), got))
			}
		})
	}
}

// api returns the exported declarations of the package in dir, without comments, in the order of go doc.
func api(t *testing.T, dir string) string {
	t.Helper()
	pkg, err := build.ImportDir(dir, 0) // which files belong to it
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range pkg.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	d, err := doc.NewFromFiles(fset, files, "")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	decl := func(n ast.Decl) {
		if f, ok := n.(*ast.FuncDecl); ok {
			f.Body = nil
		}
		if err := format.Node(&b, fset, n); err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n")
	}
	values := func(values []*doc.Value) {
		for _, v := range values {
			decl(v.Decl)
		}
	}
	funcs := func(funcs []*doc.Func) {
		for _, f := range funcs {
			decl(f.Decl)
		}
	}
	fmt.Fprintf(&b, "package %s\n\n", d.Name)
	values(d.Consts)
	values(d.Vars)
	funcs(d.Funcs)
	for _, typ := range d.Types {
		b.WriteString("\n")
		decl(typ.Decl)
		values(typ.Consts)
		values(typ.Vars)
		funcs(typ.Funcs)
		funcs(typ.Methods)
	}
	return b.String()
}

// changes lists the lines that only one of two texts has.
func changes(want, got string) string {
	var b strings.Builder
	list := func(sign, in, than string) {
		have := map[string]bool{}
		for line := range strings.Lines(than) {
			have[line] = true
		}
		for line := range strings.Lines(in) {
			if !have[line] {
				b.WriteString(sign + line)
			}
		}
	}
	list("- ", want, got)
	list("+ ", got, want)
	if b.Len() == 0 {
		return "the same lines in another order"
	}
	return b.String()
}
