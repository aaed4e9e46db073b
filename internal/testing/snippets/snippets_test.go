package snippets

import (
	"strings"
	"testing"
)

// TestDocumentation checks README.md and docs/. Snippets that import a package of another module are checked by internal/testing/thirdparty/configlibs, which requires
// them all.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	all, err := Extract("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 3 {
		t.Fatalf("found %d snippets", len(all))
	}
	skipped, err := Check("../../..", all)
	if err != nil {
		t.Error(err)
	}
	for _, s := range skipped {
		t.Logf("%s imports a package of another module; internal/testing/thirdparty/configlibs checks it", s.Place)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, source, want string }{
		{"file", "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println() }", ""},
		{"file with an error", "package main\n\nfunc main() { fmt.Printl() }", "undefined: fmt.Printl"},
		{"declarations", "var env *secrets.Env\n\nfunc init() { env = secrets.MustWarm(context.Background()) }", ""},
		{"declarations with an error", "func init() { env = secrets.MustWarmUp(ctx) }", "undefined: secrets.MustWarmUp"},
		{"statements", "v, err := env.Get(ctx, \"A\")\nif err != nil {\n\treturn Reply{}, err\n}\nreturn query(ctx, v.Reveal(), event)", ""},
		{"statements with an error", "v := env.Get(ctx, \"A\")", "assignment mismatch"},
		{"statements with an import", "import \"net/url\"\n\nu, err := url.Parse(\"x\")\n_, _ = u, err", ""},
		{"unused variable", "v, err := env.Get(ctx, \"A\")", ""},
		{"unknown name", "nobody.Knows()", "undefined: nobody"},
		{"no Go", "func {", "neither a file"},
		{"foreign import", "import \"example.com/none\"\n\nnone.X()", "skipped"},
		{"output", "fmt.Println(\"a\")\n// Output: a", ""},
		{"other output", "fmt.Println(\"b\")\n// Output: a", "it prints\nb\nand not\na"},
		{"program with output", "package main\n\nfunc main() {\n\tprintln()\n\tfmt.Println(\"a\\nb\")\n}\n\n// Output:\n// a\n// b", ""},
		{"declarations with output", "func f() {}\n// Output: a", "neither a program"},
		{"left out", "err := env.Do(ctx, \"A\", func(v secrets.Value) error { … }) // and so on …\nfmt.Println(\"…\", err)", ""},
		{"a struct's field is no package", "var x struct{ json string }\nx.json = \"\"", ""},
	}
	var all []Snippet // checked together: each check runs the go command
	for _, c := range cases {
		all = append(all, extract(c.name, "text\n```go\n"+c.source+"\n```\n")...)
	}
	skipped, err := Check("../../..", all)
	var errs []error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			place, got := c.name+":2", ""
			for _, err := range errs {
				for _, err := range parts(err) {
					if strings.HasPrefix(err.Error(), place+":") {
						got += err.Error()
					}
				}
			}
			for _, s := range skipped {
				if s.Place == place {
					got += "skipped"
				}
			}
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// parts returns what err joins.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func TestExtract(t *testing.T) {
	t.Parallel()
	all := extract("a.md", "```go\nx\n```\n- list\n\n  ```go\n  y\n    z\n  ```\n```sh\ngo\n```\n```diff go\n-old\n+new\n same\n```\n")
	if len(all) != 3 || all[2].Source != "new\nsame\n" || all[0].Source != "x\n" || all[1].Source != "y\n  z\n" || all[1].Place != "a.md:6" {
		t.Errorf("got %+v", all)
	}
}
