package clients

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the changes into docs/clients.md")

const page = "../../../../docs/clients.md"

// maxChanged is how many lines a program may have to change or add. Lines of brackets alone do not
// count, nor does indentation.
const maxChanged = 3

var change = regexp.MustCompile("(?ms)^<!-- change: (\\w+) -->\n```diff\n(.*?)^```$")

// Each change on the page is what leads from the function NameBefore to NameAfter, both of which
// compile, and is small.
func TestPage(t *testing.T) {
	t.Parallel()
	bodies := functions(t)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	updated := change.ReplaceAllStringFunc(string(text), func(old string) string {
		m := change.FindStringSubmatch(old)
		name := m[1]
		shown[name] = true
		before, after := bodies[name+"Before"], bodies[name+"After"]
		if before == nil || after == nil {
			t.Errorf("%s: there are no functions %sBefore and %sAfter", page, name, name)
			return old
		}
		lines, changed := diff(before, after)
		if changed > maxChanged {
			t.Errorf("%s changes %d lines, more than %d:\n%s", name, changed, maxChanged, lines)
		}
		t.Logf("%-10s %d lines", name, changed)
		if m[2] != lines && !*update {
			t.Errorf("%s: %s is another change; go test ./clients -update writes it:\n%s", page, name, lines)
		}
		return fmt.Sprintf("<!-- change: %s -->\n```diff\n%s```", name, lines)
	})
	for name := range bodies {
		if name, ok := strings.CutSuffix(name, "After"); ok && !shown[name] {
			t.Errorf("%s does not show %s", page, name)
		}
	}
	if *update && updated != string(text) {
		if err := os.WriteFile(page, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// functions returns the lines of all functions of this package's programs: name → body.
func functions(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string][]string{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			body := string(text[fset.Position(f.Body.Lbrace).Offset+1 : fset.Position(f.Body.Rbrace).Offset])
			bodies[f.Name.Name] = strings.Split(strings.Trim(body, "\n"), "\n")
		}
	}
	return bodies
}

// diff returns what leads from a to b, indentation aside, and how many of b's lines are not in a.
func diff(a, b []string) (text string, changed int) {
	// common[i][j] is how many lines a[i:] and b[j:] have in common, in order.
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	same := func(i, j int) bool { return strings.TrimSpace(a[i]) == strings.TrimSpace(b[j]) }
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if same(i, j) {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out strings.Builder
	line := func(mark, text string) { fmt.Fprintf(&out, "%s%s\n", mark, strings.TrimPrefix(text, "\t")) }
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && same(i, j):
			line(" ", b[j])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			line("-", a[i])
			i++
		default:
			line("+", b[j])
			if strings.Trim(b[j], "\t(){},") != "" {
				changed++
			}
			j++
		}
	}
	return out.String(), changed
}

// The count can fail.
func TestDiff(t *testing.T) {
	t.Parallel()
	text, changed := diff([]string{"\ta", "\tb", "\t})"}, []string{"\ta", "\tx {", "\t\tb", "\ty", "\t}", "\t})"})
	if want := " a\n+x {\n \tb\n+y\n+}\n })\n"; text != want || changed != 2 {
		t.Errorf("%d lines, %q; want 2, %q", changed, text, want)
	}
}
