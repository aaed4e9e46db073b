// Package printers shows that test libraries, which print what differs by reflection, print no
// plaintext.
package printers

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/davecgh/go-spew/spew"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"

	"github.com/lambdasecrets/secrets"
)

const canary = "Canary-7f3a\"<&>\n-end"

// shows returns the form in which text shows the canary, or "".
func shows(text string) string {
	quoted := strconv.Quote(canary)
	for _, form := range []string{canary, quoted[1 : len(quoted)-1], "Canary-7f3a", hex.EncodeToString([]byte(canary)),
		"43 61 6e 61 72 79", strings.Trim(fmt.Sprint([]byte(canary)), "[]")} {
		if strings.Contains(text, form) {
			return form
		}
	}
	return ""
}

type exported struct{ Password secrets.Value }
type unexported struct{ password secrets.Value }

// text is a testing.T that keeps what is printed.
type text struct{ b strings.Builder }

func (t *text) Errorf(format string, args ...any) { fmt.Fprintf(&t.b, format, args...) }

func TestLibraries(t *testing.T) {
	t.Parallel()
	v, other := secrets.NewValue(canary, "1"), secrets.NewValue(canary+"2", "2")
	pairs := map[string][2]any{
		"value":      {v, other},
		"pointer":    {&v, &other},
		"exported":   {exported{v}, exported{other}},
		"unexported": {unexported{v}, unexported{other}},
		"pointers":   {&unexported{v}, &unexported{other}},
		"slice":      {[]secrets.Value{v}, []secrets.Value{other}},
		"map":        {map[string]any{"k": unexported{v}}, map[string]any{"k": unexported{other}}},
		"result":     {secrets.Result{Value: v}, secrets.Result{Value: other}},
	}
	all := cmp.Exporter(func(reflect.Type) bool { return true })
	walker := spew.ConfigState{Indent: " ", DisableMethods: true, MaxDepth: 30}
	for name, pair := range pairs {
		for library, print := range map[string]func() string{
			"spew":                 func() string { return spew.Sdump(pair) + spew.Sprintf("%#+v", pair) },
			"spew without methods": func() string { return walker.Sdump(pair) + walker.Sprintf("%#+v", pair) },
			"cmp with an exporter": func() string { return cmp.Diff(pair[0], pair[1], all) },
			"cmp, methods ignored": func() string {
				return cmp.Diff(pair[0], pair[1], all, cmp.FilterPath(isValue, cmp.Transformer("fields", fields)))
			},
			"cmp without types": func() string {
				return cmp.Diff(pair[0], pair[1], cmpopts.IgnoreUnexported(exported{}, unexported{}, secrets.Result{}))
			},
			"testify's Equal": func() string { var x text; assert.Equal(&x, pair[0], pair[1]); return x.b.String() },
			"testify's Contains": func() string {
				var x text
				assert.Contains(&x, []any{pair[0]}, pair[1])
				return x.b.String()
			},
			"testify's Nil": func() string { var x text; assert.Nil(&x, pair[0]); return x.b.String() },
			"testify's ElementsOf": func() string {
				var x text
				assert.ElementsMatch(&x, []any{pair[0]}, []any{pair[1]})
				return x.b.String()
			},
			"testify's EqualValues": func() string {
				var x text
				assert.EqualValues(&x, pair[0], pair[1], "%+v", pair[0])
				return x.b.String()
			},
		} {
			if form := shows(print()); form != "" {
				t.Errorf("%s of %s shows %q", library, name, form)
			}
		}
	}
	if shows(walker.Sdump(&struct{ s string }{canary})) == "" ||
		shows(cmp.Diff(struct{ s string }{canary}, struct{ s string }{}, all)) == "" {
		t.Error("a plain string is not seen: the test is void")
	}
}

// isValue keeps cmp from calling Value.Equal, so that it looks inside.
func isValue(p cmp.Path) bool { return p.Last().Type() == reflect.TypeFor[secrets.Value]() }

// fields takes a Value apart by reflection.
func fields(v secrets.Value) []string {
	var all []string
	for i := range reflect.TypeOf(v).NumField() {
		all = append(all, fmt.Sprintf("%+v", reflect.ValueOf(v).Field(i)))
	}
	return all
}
