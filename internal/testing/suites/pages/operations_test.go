package pages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A lines holds the attributes of log lines by message and level, as "secrets.stale WARN".
type lines map[string]map[string]bool

func (l lines) add(line string, keys ...string) {
	if l[line] == nil {
		l[line] = map[string]bool{}
	}
	for _, key := range keys {
		l[line][key] = true
	}
}

var (
	message = regexp.MustCompile(`^secrets\.[a-z]+$`)
	key     = regexp.MustCompile(`^[a-z]+$`)
	level   = regexp.MustCompile(`^(?:Level)?(Info|Warn|Error)(?:Context)?$`)
)

// loggedLines returns what the sources of the root package log.
func loggedLines(t *testing.T) lines {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := lines{}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if line, keys := lineOf(n); line != "" {
				all.add(line, keys...)
			}
			return true
		})
	}
	return all
}

// lineOf returns the line that n makes, which is a call with a message among its arguments, or an event.
func lineOf(n ast.Node) (line string, keys []string) {
	var parts []ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		parts = append(n.Args, n.Fun)
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "noteLocked" {
			keys = append(keys, "reference", "variables")
			if id, ok := n.Args[3].(*ast.Ident); !ok || id.Name != "nil" {
				keys = append(keys, "error")
			}
		}
	case *ast.CompositeLit:
		for _, e := range n.Elts {
			field, ok := e.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			parts = append(parts, field.Value)
			switch name, _ := field.Key.(*ast.Ident); {
			case name == nil:
			case name.Name == "source":
				keys = append(keys, "reference")
			case name.Name == "err":
				keys = append(keys, "error")
			}
		}
	}
	if !slices.ContainsFunc(parts, func(e ast.Expr) bool { return message.MatchString(literal(e)) }) {
		return "", nil
	}
	var name, of string
	for _, part := range parts {
		ast.Inspect(part, func(n ast.Node) bool {
			switch text := literal(n); {
			case message.MatchString(text):
				name = text
			case key.MatchString(text):
				keys = append(keys, text)
			}
			if id, ok := n.(*ast.Ident); ok && level.MatchString(id.Name) {
				of = strings.ToUpper(level.FindStringSubmatch(id.Name)[1])
			}
			return true
		})
	}
	return name + " " + of, keys
}

func literal(n ast.Node) string {
	lit, ok := n.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(lit.Value)
	return text
}

// tableLines returns the table of docs/operations.md.
func tableLines(t *testing.T) lines {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `(secrets\\.[a-z]+)` \\| ([A-Z]+) \\|[^|]*\\|([^|]*)\\|$")
	quoted := regexp.MustCompile("`([a-z]+)`")
	table := lines{}
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/operations.md"), -1) {
		attributes := regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(m[3], "")
		table.add(m[1] + " " + m[2])
		for _, name := range quoted.FindAllStringSubmatch(attributes, -1) {
			table.add(m[1]+" "+m[2], name[1])
		}
	}
	return table
}

// Lines and attributes are part of the API: what the code logs, what docs/operations.md says, and what the filters of
// all pages and templates read are the same.
func TestOperations_LinesAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	code, table := loggedLines(t), tableLines(t)
	if len(code) < 12 {
		t.Errorf("found %d lines in the code", len(code))
	}
	for line := range maps.Keys(code) {
		if !maps.Equal(code[line], table[line]) {
			t.Errorf("%s: the code logs %v, the table says %v", line, slices.Sorted(maps.Keys(code[line])),
				slices.Sorted(maps.Keys(table[line])))
		}
	}
	for line := range table {
		if code[line] == nil {
			t.Errorf("%s is in the table, and not in the code", line)
		}
	}

	filter := regexp.MustCompile(`\{ \$\.[^{}]*\}`)
	field := regexp.MustCompile(`\$\.(\w+)`)
	names := regexp.MustCompile(`secrets\.[a-z]+`)
	filters := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !slices.Contains([]string{".md", ".yaml", ".yml", ".tf", ".json"}, filepath.Ext(path)) {
			return err
		}
		page, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, f := range filter.FindAllString(read(t, page), -1) {
			said := names.FindAllString(f, -1)
			if len(said) == 0 {
				continue
			}
			filters++
			known := map[string]bool{"msg": true, "message": true, "level": true}
			for _, name := range said {
				found := false
				for line := range code {
					if strings.HasPrefix(line, name+" ") {
						found = true
						maps.Copy(known, code[line])
					}
				}
				if !found {
					t.Errorf("%s: no line is named %s: %s", page, name, f)
				}
			}
			for _, m := range field.FindAllStringSubmatch(f, -1) {
				if !known[m[1]] {
					t.Errorf("%s: no line of %v has %s: %s", page, said, m[1], f)
				}
			}
		}
		return nil
	})
	if err != nil || filters < 5 {
		t.Errorf("%d filters: %v", filters, err)
	}
}
