package secretstest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tests that the pages show pass.
func TestExamples_Run(t *testing.T) {
	t.Run("Drill", drillOrders)
	t.Run("Instance.Match", drillSigner)
	t.Run("Fake.Fail", connectThrottled)
}

// Each exported name is used in an Example, and each Example is a page of its own: it uses nothing
// that another file declares, and declares nothing beside another Example.
func TestExamples_OwnPages(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("example_*test.go")
	if err != nil {
		t.Fatal(err)
	}
	used, files, declared := map[string]bool{}, map[string]*ast.File{}, map[string]string{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if path == "example_pages_test.go" {
			continue
		}
		files[path] = file
		examples, others := 0, 0
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if strings.HasPrefix(d.Name.Name, "Example") {
					examples++
					continue
				}
				declared[d.Name.Name] = path
				others++
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						declared[spec.Name.Name] = path
						others++
					}
				}
				if d.Tok == token.VAR || d.Tok == token.CONST {
					t.Errorf("%s has a variable that a page may not show", path)
				}
			}
		}
		if others > 0 && examples != 1 {
			t.Errorf("%s declares something beside %d Examples: no page shows it", path, examples)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				used[s.Sel.Name] = true
			}
			return true
		})
	}
	for path, file := range files {
		for _, id := range file.Unresolved {
			if from := declared[id.Name]; from != "" && from != path {
				t.Errorf("%s uses %s of %s, which its page does not show", path, id.Name, from)
			}
		}
	}
	golden, err := os.ReadFile("../testdata/api-secretstest.golden")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^(?:func(?: \(.*?\))?|type|const) (\w+)`)
	for _, m := range names.FindAllStringSubmatch(string(golden), -1) {
		// types that a function returns
		if name := m[1]; !used[name] && name != "Endpoint" && name != "Fake" && name != "Clock" {
			t.Errorf("no Example uses %s", name)
		}
	}
}
