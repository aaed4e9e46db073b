// Package snippets checks the Go in the documentation: every block that begins with ```go in README.md and docs/ is completed to a file and
// type-checked, and run where it says what it prints. Of a block that begins with ```diff go, that is done to what the change leads to.
//
// A block is a file, or declarations, or the statements of a function; in the last two cases it is completed so:
//
//   - Packages that it names and does not import are imported, if [imports] lists them.
//   - Names that it uses and does not declare are declared, if [names] lists them: ctx, env, Event and so on.
//   - Statements become the body of a function, whose results are as many as their return statements have.
//   - An ellipsis, …, is a statement that is left out.
//
// Unused variables and imports are forgiven, since a snippet leaves out what it is not about; nothing else is. A program, or statements, with a
// comment "// Output:" at the end are run, and have to print that.
package snippets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const library = "github.com/lambdasecrets/secrets"

// imports are the packages that a snippet may use without saying so: name → path.
var imports = map[string]string{
	"secrets": library, "secretstest": library + "/secretstest",
	"aws": "github.com/aws/aws-sdk-go-v2/aws", "config": "github.com/aws/aws-sdk-go-v2/config", "lambda": "github.com/aws/aws-lambda-go/lambda",
	"kms": "github.com/aws/aws-sdk-go-v2/service/kms", "ssm": "github.com/aws/aws-sdk-go-v2/service/ssm",
	"secretsmanager": "github.com/aws/aws-sdk-go-v2/service/secretsmanager",
	"context":        "context", "errors": "errors", "fmt": "fmt", "log": "log", "os": "os", "strings": "strings", "testing": "testing", "time": "time",
	"strconv": "strconv", "io": "io", "slog": "log/slog", "sql": "database/sql", "http": "net/http", "json": "encoding/json", "maps": "maps",
	"base64": "encoding/base64", "driver": "database/sql/driver", "pgx": "github.com/jackc/pgx/v5", "pgxpool": "github.com/jackc/pgx/v5/pgxpool",
	"sync": "sync", "hmac": "crypto/hmac", "sha256": "crypto/sha256", "synctest": "testing/synctest",
}

// names are what a snippet may use without declaring it: name → declaration.
var names = map[string]string{
	"ctx":    `var ctx = context.Background()`,
	"env":    `var env *secrets.Env`,
	"err":    `var err error`,
	"t":      `var t *testing.T`,
	"cfg":    `var cfg aws.Config`,
	"db":     `var db *sql.DB`,
	"req":    `var req *http.Request`,
	"Event":  `type Event struct{ ID string }`,
	"Reply":  `type Reply struct{}`,
	"event":  `var event Event`,
	"handle": `func handle(ctx context.Context, event Event) (Reply, error) { return Reply{}, nil }`,
	"query":  `func query(ctx context.Context, password string, event Event) (Reply, error) { return Reply{}, nil }`,
	// Of README.md, where they are declared in full.
	"Order": `type Order struct{ ID string }`,
	"sign":  `func sign(ctx context.Context, order Order) (signature string, err error) { return "", nil }`,
	// Of docs/rotation.md.
	"poolConfig": `var poolConfig *pgxpool.Config`,
	"newPool":    `func newPool(ctx context.Context, v secrets.Value) (*pgxpool.Pool, error) { return nil, nil }`,
	"login":      `func login(cc *pgx.ConnConfig, v secrets.Value) error { return nil }`,
	"dial":       `func dial(ctx context.Context, v secrets.Value) (driver.Conn, error) { return nil, nil }`,
	"refused":    `func refused(err error) bool { return false }`,

	// Of docs/providers.md, where they are declared in full.
	"split":    "type split struct {\n\tprefix string\n\twith, others secrets.Provider\n}\nfunc (split) Fetch(context.Context, []secrets.Ref) []secrets.Result { return nil }",
	"newVault": `func newVault(address string, token func(context.Context) (string, error)) secrets.Provider { return nil }`,
	"token":    `func token(context.Context) (string, error) { return "", nil }`,

	"connect": `func connect(ctx context.Context, password string) error { return nil }`,
}

// A Snippet is one block of Go in a document.
type Snippet struct {
	Place  string // file:line
	Source string

	file   string // the whole file that it was completed to
	output string // what it prints; "" if it is not to be run
}

// Extract returns the snippets of README.md and of the Markdown files below docs, in root.
func Extract(root string) ([]Snippet, error) {
	var files []string
	for _, start := range []string{"README.md", "docs"} {
		err := filepath.WalkDir(filepath.Join(root, start), func(path string, d fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".md" {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var all []Snippet
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name, _ := filepath.Rel(root, path)
		all = append(all, extract(filepath.ToSlash(name), string(text))...)
	}
	return all, nil
}

func extract(name, text string) (all []Snippet) {
	var block []string
	place, indent, diff := "", "", false
	for i, line := range strings.Split(text, "\n") {
		bare := strings.TrimSpace(line)
		switch {
		case place == "" && (bare == "```go" || bare == "```diff go"):
			place, block, diff = fmt.Sprintf("%s:%d", name, i+1), nil, bare != "```go"
			indent = line[:strings.Index(line, "`")] // of a block in a list
		case place != "" && bare == "```":
			all = append(all, Snippet{Place: place, Source: strings.Join(block, "\n") + "\n"})
			place = ""
		case place != "":
			line = strings.TrimPrefix(line, indent)
			if diff && strings.HasPrefix(line, "-") {
				continue
			}
			if diff && line != "" {
				line = line[1:]
			}
			block = append(block, line)
		}
	}
	return all
}

// complete makes s a file.
func (s *Snippet) complete() error {
	var err error
	fset := token.NewFileSet()
	parse := func(source string) *ast.File {
		var f *ast.File
		f, err = parser.ParseFile(fset, s.Place, source, parser.ParseComments|parser.SkipObjectResolution)
		return f
	}
	_, after, runs := strings.Cut(s.Source, "\n// Output:")
	if runs {
		s.output = strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(after, "\n// ", "\n"), "\n//", "\n"))
	}
	text := fillIn(s.Source)
	source := text
	f := parse(source)
	if f == nil || !f.Package.IsValid() {
		source = "package snippet\n" + text
		f = parse(source)
	}
	if err != nil {
		asFile := err
		head, body := splitImports(text)
		f = parse("package snippet\n" + head + "func _() {\n" + body + "\n}\n")
		switch {
		case err != nil:
			return fmt.Errorf("%s: neither a file nor declarations (%v), nor statements (%v)", s.Place, asFile, err)
		case runs:
			source = "package main\n" + head + "func main() {\n" + body + "\n}\n"
		default:
			source = "package snippet\n" + head + "func _() " + results(f) + "{\n" + body + "\npanic(\"not to be reached\")\n}\n" // statements need not end in a return
		}
		f = parse(source)
	}
	if runs && f.Name.Name != "main" {
		return fmt.Errorf("%s: it has an output, and is neither a program nor statements", s.Place)
	}
	// What is used and not declared, until nothing is added: a declaration may use another.
	added := map[string]bool{}
	for {
		declared, used := identifiers(f)
		var more string
		for _, name := range slices.Sorted(maps.Keys(used)) {
			if names[name] != "" && !declared[name] && !added[name] {
				added[name] = true
				more += names[name] + "\n"
			}
		}
		if more == "" {
			break
		}
		source += more
		if f = parse(source); err != nil {
			return err
		}
	}
	declared, used := identifiers(f)
	var missing string
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if imports[name] != "" && !declared[name] {
			missing += "import " + strconv.Quote(imports[name]) + "\n"
		}
	}
	if missing != "" {
		end := fset.Position(f.Name.End()).Offset
		source = source[:end] + "\n" + missing + source[end:]
	}
	formatted, err := format.Source([]byte(source))
	s.file = string(formatted)
	return err
}

// fillIn makes a statement of every ellipsis that is neither in a text nor in a comment.
func fillIn(source string) string {
	var sc scanner.Scanner
	sc.Init(token.NewFileSet().AddFile("", -1, len(source)), []byte(source), nil, scanner.ScanComments)
	var out strings.Builder
	done := 0
	for {
		pos, tok, text := sc.Scan()
		if tok == token.EOF {
			return out.String() + source[done:]
		}
		if tok == token.ILLEGAL && text == "…" {
			at := int(pos) - 1 // the only file of its set begins at 1
			out.WriteString(source[done:at] + `panic("left out")`)
			done = at + len(text)
		}
	}
}

// splitImports splits statements from the import declarations in front of them.
func splitImports(source string) (head, body string) {
	lines := strings.SplitAfter(source, "\n")
	end, open := 0, false
	for i, line := range lines {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "import ("):
			open, end = true, i+1
		case open || strings.HasPrefix(line, "import "):
			end = i + 1
			open = open && line != ")"
		case line != "":
			return strings.Join(lines[:end], ""), strings.Join(lines[end:], "")
		}
	}
	return source, ""
}

// results returns the results of a function whose body has f's return statements.
func results(f *ast.File) string {
	n := 0
	ast.Inspect(f.Decls[len(f.Decls)-1], func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			n = max(n, len(node.Results))
		}
		return true
	})
	if n == 0 {
		return ""
	}
	return "(" + strings.Repeat("_ any, ", n-1) + "err error) "
}

// identifiers returns the names that f declares, at the top or as a variable of a function, and those that it uses.
func identifiers(f *ast.File) (declared, used map[string]bool) {
	declared, used = map[string]bool{}, map[string]bool{}
	for _, spec := range f.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		name := filepath.Base(path)
		for known, p := range imports {
			if p == path {
				name = known
			}
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		declared[name] = true
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				declared[d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					declared[spec.Name.Name] = true
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						declared[name.Name] = true
					}
				}
			}
		}
	}
	ast.Inspect(f, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.SelectorExpr:
			// Sel is a field, or belongs to a package.
			ast.Inspect(node.X, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					used[id.Name] = true
				}
				return true
			})
			return false
		case *ast.Ident:
			used[node.Name] = true
		}
		return true
	})
	return declared, used
}

// Check completes the snippets, type-checks them with the packages that the module in dir has, and runs those that have an output. It returns what is wrong,
// and the snippets that import what that module does not have, which are only parsed.
func Check(dir string, all []Snippet) (skipped []Snippet, err error) {
	var errs []error
	paths := map[string]bool{"context": true} // at least one, or go list lists dir
	for i := range all {
		if err := all[i].complete(); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, path := range importsOf(all[i]) {
			paths[path] = true
		}
	}
	exports, err := exportData(dir, slices.Sorted(maps.Keys(paths)))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	packages := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})
	var run []Snippet
	for _, s := range all {
		switch {
		case s.file == "":
		case slices.ContainsFunc(importsOf(s), func(path string) bool { return exports[path] == "" && path != "unsafe" }):
			skipped = append(skipped, s)
		default:
			if err := s.check(fset, packages); err != nil {
				errs = append(errs, err)
			} else if s.output != "" {
				run = append(run, s)
			}
		}
	}
	if err := runAll(dir, run); err != nil {
		errs = append(errs, err)
	}
	return skipped, errors.Join(errs...)
}

func importsOf(s Snippet) (paths []string) {
	f, err := parser.ParseFile(token.NewFileSet(), s.Place, s.file, parser.ImportsOnly)
	if err != nil {
		return nil
	}
	for _, spec := range f.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

func (s *Snippet) check(fset *token.FileSet, packages types.Importer) error {
	f, err := parser.ParseFile(fset, s.Place, s.file, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var errs []error
	conf := types.Config{Importer: packages, Error: func(err error) {
		var e types.Error
		if errors.As(err, &e) && e.Soft && !strings.Contains(e.Msg, "missing return") {
			return
		}
		errs = append(errs, fmt.Errorf("%s: %s", s.Place, e.Msg))
	}}
	conf.Check("snippet", fset, []*ast.File{f}, nil)
	if len(errs) > 0 {
		return fmt.Errorf("%w\n%s", errors.Join(errs...), s.file)
	}
	return nil
}

// exportData returns where the compiled packages are that paths need, as far as the module in dir has them.
func exportData(dir string, paths []string) (map[string]string, error) {
	cmd := exec.Command("go", append([]string{"list", "-e", "-export", "-deps", "-json=ImportPath,Export"}, paths...)...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); err == io.EOF {
			return exports, nil
		} else if err != nil {
			return nil, err
		}
		if exports[p.ImportPath] = p.Export; p.Export == "" && strings.HasPrefix(p.ImportPath, library) {
			return nil, fmt.Errorf("%s does not compile: %s", p.ImportPath, stderr.String())
		}
	}
}

// runAll runs snippets as programs of dir's module that are not on its disk.
func runAll(dir string, all []Snippet) error {
	if len(all) == 0 {
		return nil
	}
	tmp, err := os.MkdirTemp("", "snippets")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	root, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	args := []string{"build", "-overlay", filepath.Join(tmp, "overlay.json"), "-o", tmp + string(filepath.Separator)}
	program := func(i int) string { return fmt.Sprintf("zz_snippet%d", i) }
	for i, s := range all {
		file := filepath.Join(tmp, program(i)+".go")
		if err := os.WriteFile(file, []byte(s.file), 0o600); err != nil {
			return err
		}
		overlay.Replace[filepath.Join(root, program(i), "main.go")] = file
		args = append(args, "./"+program(i))
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "overlay.json"), text, 0o600); err != nil {
		return err
	}
	build := exec.Command("go", args...)
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	var errs []error
	for i, s := range all {
		var stderr bytes.Buffer
		cmd := exec.Command(filepath.Join(tmp, program(i)))
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w: %s", s.Place, err, stderr.String()))
		} else if got := strings.TrimSpace(string(out)); got != s.output {
			errs = append(errs, fmt.Errorf("%s: it prints\n%s\nand not\n%s", s.Place, got, s.output))
		}
	}
	return errors.Join(errs...)
}
