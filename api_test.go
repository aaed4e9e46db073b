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
	"slices"
	"strings"
	"testing"
)

// The exported API is a committed file, so that a change of it is seen in review.
func TestAPI_IsGolden(t *testing.T) {
	t.Parallel()
	for golden, dir := range map[string]string{
		"api.golden":             ".",
		"api-secretstest.golden": "secretstest",
		"api-secrethttp.golden":  "secrethttp",
		"api-secretsql.golden":   "secretsql",
	} {
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
				t.Errorf("the exported API is not what %s says; if it should be, run go test -run TestAPI_IsGolden "+
					". -update\n%s", golden, changes(string(want), got))
			}
		})
	}
}

// Every exported name says in a comment more than its name: functions, types, their methods and fields, constants and
// variables.
func TestAPI_HasComments(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "secretstest", "secrethttp", "secretsql"} {
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range pkg.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(dir, name),
				nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			said := func(comments ...*ast.CommentGroup) bool {
				return slices.ContainsFunc(comments,
					func(c *ast.CommentGroup) bool { return len(strings.Fields(c.Text())) > 1 })
			}
			ast.Inspect(file, func(n ast.Node) bool {
				var names []*ast.Ident
				ok := false
				switch n := n.(type) {
				case *ast.FuncDecl:
					if recv := n.Recv; recv == nil || ast.IsExported(receiver(recv.List[0].Type)) {
						names, ok = []*ast.Ident{n.Name}, said(n.Doc)
					}
					n.Body, n.Type.TypeParams = nil, nil // nothing in them is exported
				case *ast.GenDecl:
					for _, spec := range n.Specs {
						switch spec := spec.(type) {
						case *ast.TypeSpec:
							if !spec.Name.IsExported() {
								return false
							}
							spec.TypeParams = nil
							names, ok = append(names, spec.Name), said(n.Doc, spec.Doc)
						case *ast.ValueSpec:
							names, ok = append(names, spec.Names...), said(n.Doc, spec.Doc, spec.Comment)
						}
					}
				case *ast.Field:
					names, ok = n.Names, said(n.Doc, n.Comment)
				}
				for _, id := range names {
					if id.IsExported() && !ok {
						t.Errorf("%s: %s has no comment that says more than its name", fset.Position(id.Pos()), id.Name)
					}
				}
				return true
			})
		}
	}
}

// receiver returns the name of a receiver's type.
func receiver(typ ast.Expr) string {
	switch typ := typ.(type) {
	case *ast.StarExpr:
		return receiver(typ.X)
	case *ast.IndexExpr:
		return receiver(typ.X)
	case *ast.Ident:
		return typ.Name
	}
	return ""
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

// Every exported function, option, kind and method is used in an Example, so that its page shows how.
func TestAPI_HasExamples(t *testing.T) {
	t.Parallel()
	for dir, golden := range map[string]string{".": "api", "secretstest": "api-secretstest",
		"secretsql": "api-secretsql", "secrethttp": "api-secrethttp"} {
		used := usedInExamples(t, dir)
		text, err := os.ReadFile("testdata/" + golden + ".golden")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			name := line
			switch {
			case strings.HasPrefix(line, "func ("):
				_, name, _ = strings.Cut(line, ") ")
			case strings.HasPrefix(line, "func "):
				name = strings.TrimPrefix(line, "func ")
			case strings.HasPrefix(line, "\tErr") && strings.Contains(line, "errors.New"):
				name = strings.TrimPrefix(line, "\t")
			default:
				continue
			}
			if name = name[:strings.IndexAny(name, "([ ")]; !used[name] {
				t.Errorf("%s: no Example uses %s", dir, name)
			}
		}
	}
}

// usedInExamples returns the names that the Examples of a package select.
func usedInExamples(t *testing.T, dir string) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	// What prints a Value or a Ref is used by fmt, log/slog and encoding/json, and so in every Example.
	for _, name := range []string{"Format", "GoString", "LogValue", "MarshalText", "String", "UnmarshalText",
		"Error", "Unwrap"} {
		used[name] = true
	}
	files, err := filepath.Glob(filepath.Join(dir, "example*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no Examples: %v", dir, err)
	}
	for _, file := range files {
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(source, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				used[s.Sel.Name] = true
			}
			return true
		})
	}
	return used
}
