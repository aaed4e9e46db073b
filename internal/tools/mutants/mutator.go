package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// A mutant is one change.
type mutant struct {
	n        int
	file     string
	line     int
	function string
	code     string // what is changed
	change   string // into what
	nth      int    // of those with this text in this function
	reason   string // why it breaks no promise, if it survives
}

func (m mutant) String() string { return fmt.Sprintf("%s:%d: %s", m.file, m.line, m.key()) }

// key names the mutant without its line, which moves.
func (m mutant) key() string {
	key := fmt.Sprintf("%s %s: %s → %s", m.file, m.function, m.code, m.change)
	if m.nth > 1 {
		key += fmt.Sprintf(" (%d)", m.nth)
	}
	return key
}

// A mutator collects the mutants of one file as pieces of text to insert, or to put in an operator's place.
type mutator struct {
	file     string
	src      []byte
	set      *token.FileSet
	function string
	next     int
	mutants  []mutant
	edits    []edit
}

// An edit replaces skip bytes at an offset. Of several at one offset those that end something come first, the innermost
// first; those that begin something come last, the outermost first.
type edit struct {
	at, skip int
	text     string
	order    int // of edits at one offset
	seq      int // of edits of nodes that begin and end together
}

// helpers stand in each package that is changed. Each of them does what the source says, but for the mutant that is on.
const helpers = `
import (
	"cmp"
	"os"
	"strconv"
	"sync/atomic"
)

var (
	mutantOn__, _    = strconv.Atoi(os.Getenv("SECRETS_MUTANT"))
	mutantsReached__ = os.Getenv("SECRETS_MUTANTS_REACHED")
	mutantsWritten__ [1 << 14]atomic.Bool // no map, which would allocate: tests count that
)

// mutant__ reports whether mutant n is on.
func mutant__(n int) bool {
	if mutantsReached__ == "" {
		return n == mutantOn__
	}
	if !mutantsWritten__[n].Swap(true) {
		f, err := os.OpenFile(mutantsReached__, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		f.WriteString(strconv.Itoa(n) + "\n")
		f.Close()
	}
	return false
}

func mutantLess__[T cmp.Ordered](n int, x, y T) bool { return mutant__(n) && x == y || x < y }
func mutantUpTo__[T cmp.Ordered](n int, x, y T) bool { return !(mutant__(n) && x == y) && x <= y }
func mutantMore__[T cmp.Ordered](n int, x, y T) bool { return mutant__(n) && x == y || x > y }
func mutantFrom__[T cmp.Ordered](n int, x, y T) bool { return !(mutant__(n) && x == y) && x >= y }
func mutantNot__(n int, x bool) bool                 { return mutant__(n) != x }
func mutantIf__(n int, x bool) bool                  { return mutant__(n) || !mutant__(n+1) && x }
func mutantCase__[T ~int](n int, x T) T {
	if mutant__(n) {
		return -1 - x
	}
	return x
}
func mutantZero__[T any](n int, x T) (zero T) {
	if mutant__(n) {
		return zero
	}
	return x
}
func mutantAnd__(n int, x bool, y func() bool) bool {
	if mutant__(n) {
		return x || y()
	}
	return x && y()
}
func mutantOr__(n int, x bool, y func() bool) bool {
	if mutant__(n) {
		return x && y()
	}
	return x || y()
}
`

var ordered = map[token.Token]struct{ helper, into string }{
	token.LSS: {"mutantLess__", "<="}, token.LEQ: {"mutantUpTo__", "<"},
	token.GTR: {"mutantMore__", ">="}, token.GEQ: {"mutantFrom__", ">"},
}

func (f *mutator) offset(p token.Pos) int { return f.set.Position(p).Offset }

// source returns the code from one place to another, on one line.
func (f *mutator) source(from, to token.Pos) string {
	return strings.Join(strings.Fields(string(f.src[f.offset(from):f.offset(to)])), " ")
}

// add notes a mutant, and returns its number.
func (f *mutator) add(n ast.Node, code, change string) int {
	f.mutants = append(f.mutants, mutant{n: f.next, file: f.file, line: f.set.Position(n.Pos()).Line,
		function: f.function, code: code, change: change})
	f.next++
	return f.next - 1
}

// around puts text before and after a node.
func (f *mutator) around(n ast.Node, before, after string) {
	size, seq := int(n.End()-n.Pos()), len(f.edits)
	f.edits = append(f.edits,
		edit{at: f.offset(n.Pos()), text: before, order: 1<<30 - size, seq: seq},
		edit{at: f.offset(n.End()), text: after, order: size - 1<<30, seq: -seq})
}

// operator puts text in an operator's place.
func (f *mutator) operator(b *ast.BinaryExpr, text string) {
	f.edits = append(f.edits, edit{at: f.offset(b.OpPos), skip: len(b.Op.String()), text: text})
}

// walk finds the mutants of a file.
func (f *mutator) walk(file *ast.File) {
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		f.function = fn.Name.Name
		ast.Inspect(fn.Body, f.visit)
	}
}

func (f *mutator) visit(n ast.Node) (inside bool) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.IfStmt:
		f.condition(n.Cond)
	case *ast.SwitchStmt:
		f.cases(n)
	case *ast.TypeSwitchStmt:
		ast.Inspect(n.Body, f.visit)
		return false
	case *ast.AssignStmt:
		f.definitions(n)
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CaseClause:
		f.statements(n.Body)
	case *ast.CommClause:
		f.statements(n.Body)
		for _, s := range n.Body {
			ast.Inspect(s, f.visit)
		}
		return false
	}
	return true
}

// cases makes each case of a switch be taken always, and never; one that compares a value only never.
func (f *mutator) cases(s *ast.SwitchStmt) {
	for _, clause := range s.Body.List {
		for _, e := range clause.(*ast.CaseClause).List {
			if s.Tag == nil {
				f.condition(e)
				continue
			}
			f.around(e, fmt.Sprintf("mutantCase__(%d, ", f.add(e, "case "+f.source(e.Pos(), e.End()), "never")), ")")
		}
	}
}

// definitions makes the values that are defined zero, one at a time.
func (f *mutator) definitions(s *ast.AssignStmt) {
	if s.Tok != token.DEFINE || len(s.Lhs) != len(s.Rhs) {
		return
	}
	for i, e := range s.Rhs {
		if _, is := e.(*ast.FuncLit); is || isZero(e) {
			continue
		}
		name := f.source(s.Lhs[i].Pos(), s.Lhs[i].End())
		n := f.add(e, name+" := "+f.source(e.Pos(), e.End()), "zero")
		f.around(e, fmt.Sprintf("mutantZero__(%d, ", n), ")")
	}
}

// isZero reports whether e is a zero value as it is.
func isZero(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "false"
	case *ast.BasicLit:
		return e.Value == "0"
	}
	return false
}

// binary exchanges the operator of a comparison, or of what joins two.
func (f *mutator) binary(b *ast.BinaryExpr) {
	code := f.source(b.Pos(), b.End())
	change := func(op string) string {
		return f.source(b.X.Pos(), b.X.End()) + " " + op + " " + f.source(b.Y.Pos(), b.Y.End())
	}
	switch b.Op {
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		o := ordered[b.Op]
		n := f.add(b, code, change(o.into))
		negated := f.add(b, code, "!("+code+")")
		f.around(b, fmt.Sprintf("mutantNot__(%d, %s(%d, ", negated, o.helper, n), "))")
		f.operator(b, ",")
	case token.EQL:
		f.around(b, fmt.Sprintf("mutantNot__(%d, ", f.add(b, code, change("!="))), ")")
	case token.NEQ:
		f.around(b, fmt.Sprintf("mutantNot__(%d, ", f.add(b, code, change("=="))), ")")
	case token.LAND:
		f.around(b, fmt.Sprintf("mutantAnd__(%d, ", f.add(b, code, change("||"))), " })")
		f.operator(b, ", func() bool { return ")
	case token.LOR:
		f.around(b, fmt.Sprintf("mutantOr__(%d, ", f.add(b, code, change("&&"))), " })")
		f.operator(b, ", func() bool { return ")
	}
}

// condition makes a branch be taken always, and never.
func (f *mutator) condition(e ast.Expr) {
	code := f.source(e.Pos(), e.End())
	n := f.add(e, code, "true")
	f.add(e, code, "false")
	f.around(e, fmt.Sprintf("mutantIf__(%d, ", n), ")")
}

// statements leaves out assignments, one at a time.
func (f *mutator) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE || len(s.Lhs) == 1 && f.source(s.Lhs[0].Pos(), s.Lhs[0].End()) == "_" {
				continue
			}
		case *ast.IncDecStmt:
		default:
			continue
		}
		n := f.add(s, f.source(s.Pos(), s.End()), "nothing")
		f.around(s, fmt.Sprintf("if !mutant__(%d) { ", n), " }")
	}
}

// text returns the file with all mutants in it.
func (f *mutator) text() []byte {
	slices.SortStableFunc(f.edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order), cmp.Compare(a.seq, b.seq))
	})
	var out bytes.Buffer
	at := 0
	for _, e := range f.edits {
		out.Write(f.src[at:e.at])
		out.WriteString(e.text)
		at = e.at + e.skip
	}
	out.Write(f.src[at:])
	return out.Bytes()
}
