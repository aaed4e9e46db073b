package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fzipp/gocyclo"
)

// A file is one file of Go that ships.
type file struct {
	name   string
	source []byte
	fset   *token.FileSet
	syntax *ast.File
}

func parse(name string) (*file, error) {
	source, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, source, parser.ParseComments)
	return &file{name, source, fset, syntax}, err
}

// A count is a number and where it was counted.
type count struct {
	n     int
	where string
}

// over returns the places of the counts above bound, the largest first, or the place of the largest if there are none.
func over(counts []count, bound int) (largest int, where []string) {
	slices.SortStableFunc(counts, func(a, b count) int { return cmp.Compare(b.n, a.n) })
	for i, c := range counts {
		if i == 0 || c.n > bound {
			where = append(where, fmt.Sprintf("%s: %d", c.where, c.n))
		}
	}
	if len(counts) > 0 {
		largest = counts[0].n
	}
	return largest, where
}

func widths(files []*file) []figure {
	counts := lineWidths(files)
	longest, where := over(counts, widthLongest)
	// over has sorted them, the longest first.
	at95 := counts[len(counts)-1-min(len(counts)-1, len(counts)*95/100)].n
	return []figure{
		{"line width, 95th percentile", fmt.Sprint(at95), fmt.Sprint("<= ", widthP95), at95 <= widthP95, nil},
		{"line width, longest", fmt.Sprint(longest), fmt.Sprint("<= ", widthLongest), longest <= widthLongest, where},
	}
}

// testWidth is the width of what does not ship.
func testWidth(files []*file) figure {
	longest, where := over(lineWidths(files), widthTests)
	return figure{"line width, tests and examples", fmt.Sprint(longest), fmt.Sprint("<= ", widthTests),
		longest <= widthTests, where}
}

// lineWidths returns the width of each line that is not blank.
func lineWidths(files []*file) []count {
	var counts []count
	for _, f := range files {
		i := 0
		for line := range strings.Lines(string(f.source)) {
			i++
			if line = strings.TrimRight(line, "\n"); strings.TrimSpace(line) != "" {
				width := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
				counts = append(counts, count{width, fmt.Sprintf("%s:%d", f.name, i)})
			}
		}
	}
	return counts
}

func lengths(files []*file) figure {
	var counts []count
	for _, f := range files {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				from, to := f.fset.Position(fn.Pos()), f.fset.Position(fn.End())
				counts = append(counts, count{to.Line - from.Line + 1,
					fmt.Sprintf("%s:%d %s", f.name, from.Line, fn.Name.Name)})
			}
		}
	}
	longest, where := over(counts, functionLines)
	return figure{"function length, lines", fmt.Sprint(longest), fmt.Sprint("<= ", functionLines),
		longest <= functionLines, where}
}

func cyclomatics(files []*file) figure {
	var counts []count
	for _, f := range files {
		for _, s := range gocyclo.AnalyzeASTFile(f.syntax, f.fset, nil) {
			counts = append(counts, count{s.Complexity, fmt.Sprintf("%s:%d %s", f.name, s.Pos.Line, s.FuncName)})
		}
	}
	highest, where := over(counts, cyclomatic)
	return figure{"cyclomatic complexity, highest", fmt.Sprint(highest), fmt.Sprint("<= ", cyclomatic),
		highest <= cyclomatic, where}
}

// conditions counts the conditions of three and more terms: of a && b || !c there is one, of three terms.
func conditions(files []*file) figure {
	var where []string
	for _, f := range files {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			e, ok := n.(*ast.BinaryExpr)
			if !ok || e.Op != token.LAND && e.Op != token.LOR {
				return true
			}
			if k := terms(e); k >= 3 {
				where = append(where, fmt.Sprintf("%s: %d terms", f.fset.Position(e.Pos()), k))
			}
			return false
		})
	}
	n := len(where)
	return figure{"conditions of 3 and more terms", fmt.Sprint(n), fmt.Sprint("<= ", longConditions),
		n <= longConditions, where}
}

func terms(e ast.Expr) int {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if e.Op == token.LAND || e.Op == token.LOR {
			return terms(e.X) + terms(e.Y)
		}
	case *ast.ParenExpr:
		return terms(e.X)
	case *ast.UnaryExpr:
		return terms(e.X)
	}
	return 1
}

func comments(files []*file) []figure {
	var figures []figure
	for _, name := range commented {
		f := figure{name: "comments of " + name + ".go", measured: "none", bound: fmt.Sprintf(">= %d %%", commentShare)}
		i := slices.IndexFunc(files, func(f *file) bool { return f.name == name+".go" })
		if i < 0 {
			f.where = []string{"there is no such file"}
		} else {
			share := files[i].commentShare()
			f.measured, f.ok = fmt.Sprintf("%.1f %%", share), share >= commentShare
		}
		figures = append(figures, f)
	}
	return figures
}

// commentShare is the percentage of lines that hold a comment.
func (f *file) commentShare() float64 {
	lines := strings.Split(strings.TrimSuffix(string(f.source), "\n"), "\n")
	held := map[int]bool{}
	for _, group := range f.syntax.Comments {
		for _, c := range group.List {
			for l := f.fset.Position(c.Pos()).Line; l <= f.fset.Position(c.End()).Line; l++ {
				held[l] = true
			}
		}
	}
	n := 0
	for _, line := range lines {
		if strings.TrimSpace(line) != "" {
			n++
		}
	}
	return 100 * float64(len(held)) / float64(n)
}
