package deploy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lambdasecrets/secrets"
)

var update = flag.Bool("update", false, "write testdata/cdk.golden")

const keyARN = "arn:aws:kms:" + region + ":" + account + ":key/11111111-2222-3333-4444-555555555555"

// An allowance is one action on one resource under conditions: "StringEquals kms:ViaService" → values.
type allowance struct {
	action, resource string
	conditions       map[string]string
}

func (a allowance) String() string {
	var under []string
	for key, values := range a.conditions {
		under = append(under, key+" "+values)
	}
	if under == nil {
		return a.action + " on " + a.resource + ", without a condition"
	}
	slices.Sort(under)
	return a.action + " on " + a.resource + ", if " + strings.Join(under, " and ")
}

// The CDK app synthesizes, its function's environment holds three references, and the printed policy stands beside what
// the app grants, statement by statement, in testdata/cdk.golden. Each allowance that is printed is granted at least as
// wide: the app's function may read its secrets.
func TestCDK(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("left out: the CDK app: -short")
	}
	template := synthesize(t)
	var printed, granted []allowance
	environ := template.environment(t)
	env, err := secrets.New(secrets.WithVars(secrets.KMS, "SIGNING_KEY"), secrets.WithEnviron(environ))
	if err != nil {
		t.Fatal(err)
	}
	if len(env.Refs()) != 3 || len(environ) != 5 {
		t.Errorf("%d references in %v, want 3 and two settings", len(env.Refs()), environ)
	}
	printed = template.printed(t)
	granted = template.granted(t)
	if len(printed) < 5 || len(granted) < 5 {
		t.Fatalf("printed %v, granted %v", printed, granted)
	}
	var text strings.Builder
	for _, p := range printed {
		fmt.Fprintf(&text, "printed: %s\n", p)
		covered := false
		for _, g := range granted {
			if g.covers(p) {
				fmt.Fprintf(&text, "  granted: %s\n", g)
				covered = true
			}
		}
		if !covered {
			t.Errorf("no grant covers %s", p)
		}
	}
	for _, g := range granted {
		if !slices.ContainsFunc(printed, func(p allowance) bool { return g.action == p.action && g.covers(p) }) {
			fmt.Fprintf(&text, "not printed: %s\n", g)
		}
	}
	const golden = "testdata/cdk.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(must[[]byte](t)(os.ReadFile(golden))); text.String() != want {
		t.Errorf("%s has other statements; go test ./deploy -run CDK -update writes these:\n%s", golden, text.String())
	}
}

// covers reports whether a allows what b allows, and perhaps more.
func (a allowance) covers(b allowance) bool {
	for key, values := range a.conditions {
		if b.conditions[key] != values {
			return false
		}
	}
	return a.action == b.action && (a.resource == b.resource || a.resource == "*")
}

// A cloudformation is a synthesized template and what its names stand for.
type cloudformation struct {
	file      string
	Resources map[string]struct {
		Type       string
		Properties map[string]any
	}
}

// synthesize runs the app as its first lines say.
func synthesize(t *testing.T) cloudformation {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "build"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "build", "bootstrap"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(tools(t), "cdk", "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "aws-cdk-lib")); err != nil {
		t.Skip("left out: the CDK app: install.sh did not install aws-cdk-lib")
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	ciphertext := strings.Repeat("QUFB", 40)
	app := exec.Command("node", "app.mjs")
	app.Dir = dir
	app.Env = append(os.Environ(), "CDK_OUTDIR="+filepath.Join(dir, "out"),
		`CDK_CONTEXT_JSON={"signingKey":"`+ciphertext+`"}`)
	if out, err := app.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("the app does not synthesize, or warns: %v\n%s", err, out)
	}
	template := cloudformation{file: filepath.Join(dir, "out", "Orders.template.json")}
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile(template.file)), &template); err != nil {
		t.Fatal(err)
	}
	return template
}

// environment is the function's, as Lambda sets it.
func (c cloudformation) environment(t *testing.T) map[string]string {
	t.Helper()
	environ := map[string]string{"AWS_REGION": region, "AWS_LAMBDA_FUNCTION_NAME": "orders"}
	for _, r := range c.Resources {
		if r.Type == "AWS::Lambda::Function" {
			for name, value := range r.Properties["Environment"].(map[string]any)["Variables"].(map[string]any) {
				environ[name] = strings.ReplaceAll(c.text(t, value), "??????", "AbCdEf")
			}
		}
	}
	return environ
}

// text evaluates an expression. Names that the deployment makes are those that the policy printer puts there.
func (c cloudformation) text(t *testing.T, v any) string {
	t.Helper()
	if s, ok := v.(string); ok {
		return s
	}
	for function, args := range v.(map[string]any) {
		switch name, _ := args.(string); {
		case function == "Fn::Join":
			var parts []string
			for _, part := range args.([]any)[1].([]any) {
				parts = append(parts, c.text(t, part))
			}
			return strings.Join(parts, args.([]any)[0].(string))
		case name == "AWS::Region":
			return region
		case name == "AWS::AccountId":
			return account
		case name == "AWS::Partition":
			return "aws"
		case c.Resources[name].Type == "AWS::SecretsManager::Secret":
			return "arn:aws:secretsmanager:" + region + ":" + account + ":secret:REF_" + name + "-??????"
		case function == "Fn::GetAtt":
			switch name := args.([]any)[0].(string); c.Resources[name].Type {
			case "AWS::KMS::Key":
				return keyARN
			case "AWS::IAM::Role":
				return "role"
			}
		}
	}
	t.Fatalf("this test does not know %v", v)
	return ""
}

// printed is what the policy printer says of the template.
func (c cloudformation) printed(t *testing.T) []allowance {
	t.Helper()
	cmd := exec.Command("go", "run", "github.com/lambdasecrets/secrets/examples/policy", "-region", region,
		"-account", account, "-key", keyARN, "-vars", "kms:SIGNING_KEY", "-strict", c.file)
	var notes bytes.Buffer
	cmd.Stderr = &notes
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, notes.String())
	}
	var p struct{ Statement []any }
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	return c.allowances(t, p.Statement)
}

// granted is what the role's policy and the key's policy allow the role.
func (c cloudformation) granted(t *testing.T) (all []allowance) {
	t.Helper()
	for _, r := range c.Resources {
		switch r.Type {
		case "AWS::IAM::Policy":
			all = append(all, c.allowances(t, r.Properties["PolicyDocument"].(map[string]any)["Statement"].([]any))...)
		case "AWS::KMS::Key":
			for _, a := range c.allowances(t, r.Properties["KeyPolicy"].(map[string]any)["Statement"].([]any)) {
				a.resource = keyARN // a key's policy speaks of its key
				all = append(all, a)
			}
		}
	}
	slices.SortFunc(all, func(a, b allowance) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// allowances takes statements apart. Of a key's policy it takes those for the role.
func (c cloudformation) allowances(t *testing.T, statements []any) (all []allowance) {
	t.Helper()
	for _, v := range statements {
		s := v.(map[string]any)
		if principal, _ := s["Principal"].(map[string]any); principal != nil && c.text(t, principal["AWS"]) != "role" {
			continue
		}
		conditions := map[string]string{}
		operators, _ := s["Condition"].(map[string]any)
		for operator, keys := range operators {
			for key, values := range keys.(map[string]any) {
				conditions[operator+" "+key] = strings.Join(c.list(t, values), ", ")
			}
		}
		for _, action := range c.list(t, s["Action"]) {
			for _, resource := range c.list(t, s["Resource"]) {
				all = append(all, allowance{action, resource, conditions})
			}
		}
	}
	return all
}

func (c cloudformation) list(t *testing.T, v any) (texts []string) {
	t.Helper()
	several, ok := v.([]any)
	if !ok {
		several = []any{v}
	}
	for _, one := range several {
		texts = append(texts, c.text(t, one))
	}
	return texts
}
