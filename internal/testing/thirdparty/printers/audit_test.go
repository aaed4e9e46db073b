package printers

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/davecgh/go-spew/spew"
	"github.com/google/go-cmp/cmp"
	"github.com/k0kubun/pp/v3"
	"github.com/kr/pretty"
	"github.com/onsi/gomega/format"
	"github.com/sanity-io/litter"
	"github.com/stretchr/testify/assert"

	"github.com/lambdasecrets/secrets"
)

type hidden struct{ thing any }

// What an audit prints (references, an Env, a Snapshot, errors) shows no plaintext either: not that of a literal,
// of a local value, nor of what was fetched.
func TestAudit(t *testing.T) {
	t.Parallel()
	document, _ := json.Marshal(map[string]string{"password": canary})
	provider := secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
		if ref.ID() == "denied" {
			return secrets.Value{}, secrets.ErrAccessDenied
		}
		return secrets.NewValue(string(document), "1"), nil
	})
	quiet := secrets.WithLogger(slog.New(slog.DiscardHandler))
	env, err := secrets.New(quiet, secrets.WithProvider(provider), secrets.WithVars(secrets.Literal, "LITERAL"),
		secrets.WithEnviron(map[string]string{"DB": "sm://db#password", "BAD": "sm://denied", "LITERAL": canary,
			"COMPOSED": "postgres://app:" + canary + "@h/{{sm://db#password}}"}))
	if err != nil {
		t.Fatal(err)
	}
	failed := env.Warm(t.Context())
	if failed == nil {
		t.Fatal("nothing was denied: the test is void")
	}
	local, err := secrets.New(quiet, secrets.WithEnviron(nil),
		secrets.WithLocalValues(map[string]string{"LOCAL": canary}))
	if err != nil {
		t.Fatal(err)
	}
	things := map[string]any{
		"Env": env, "local Env": local, "Snapshot": env.Snapshot(t.Context()), "Refs": env.Refs(),
		"local Refs": local.Refs(), "error": failed,
	}
	for _, info := range append(env.Refs(), local.Refs()...) {
		things["Ref of "+info.Variable] = info.Ref
		things["map of Ref of "+info.Variable] = map[secrets.Ref]int{info.Ref: 1}
	}
	litter := litter.Options{HidePrivateFields: false}
	printer := pp.New()
	printer.SetColoringEnabled(false)
	control := struct{ S string }{canary}
	for _, printed := range []string{printer.Sprint(control), pretty.Sprint(control), litter.Sdump(control),
		format.Object(control, 1), spew.Sdump(control)} {
		if shows(printed) == "" {
			t.Errorf("a plain string is not seen in %q: the test is void", printed)
		}
	}
	for name, thing := range things {
		for library, print := range map[string]func() string{
			"fmt": func() string {
				return fmt.Sprintf("%v %+v %#v %s %d %e %x", thing, thing, thing, thing, thing, thing, thing)
			},
			"fmt, unexported": func() string {
				x := hidden{thing}
				return fmt.Sprintf("%v %+v %#v %s %d", x, x, x, x, x)
			},
			"spew":          func() string { return spew.Sdump(thing) + spew.Sprintf("%#+v", thing) },
			"pp":            func() string { return printer.Sprint(thing) },
			"kr/pretty":     func() string { return pretty.Sprint(thing) },
			"litter":        func() string { return litter.Sdump(thing) },
			"gomega":        func() string { return format.Object(thing, 1) },
			"encoding/json": func() string { b, err := json.Marshal(thing); return fmt.Sprint(string(b), err) },
			"testify":       func() string { var x text; assert.Nil(&x, thing); return x.b.String() },
			"go-cmp": func() (s string) {
				defer func() { s += fmt.Sprint(recover()) }() // it refuses unexported fields
				return cmp.Diff(thing, nil)
			},
		} {
			if form := shows(print()); form != "" {
				t.Errorf("%s of %s shows %q", library, name, form)
			}
		}
	}
}
