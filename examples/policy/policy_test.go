//go:build !secrets.nokms && !secrets.nossm && !secrets.nosm

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/examples/internal/environ"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/samples"
)

// lines writes an environment as env prints it.
func lines(environ map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		b.WriteString(name + "=" + environ[name] + "\n")
	}
	return b.String()
}

// printed runs the command and returns the policy.
func printed(t *testing.T, in string, args ...string) policy {
	t.Helper()
	var out bytes.Buffer
	if err := run(args, strings.NewReader(in), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var p policy
	if err := json.Unmarshal(out.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p policy) document() string {
	b, _ := json.Marshal(p)
	return string(b)
}

// without returns p without its i-th statement.
func (p policy) without(i int) policy {
	return policy{Version: p.Version, Statement: slices.Delete(slices.Clone(p.Statement), i, i+1)}
}

// failing warms an environment and returns the variables that are denied. Any other failure fails the test.
func failing(t *testing.T, cfg aws.Config, environ map[string]string, declared ...string) []string {
	t.Helper()
	env, err := secrets.New(secrets.WithAWSConfig(cfg), secrets.WithEnviron(environ),
		secrets.WithVars(secrets.KMS, declared...), secrets.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	// moto on a busy machine needs more than the 2 seconds of a warm
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var denied []string
	for _, e := range flatten(env.Warm(ctx)) {
		var failure *secrets.ResolveError
		if !errors.As(e, &failure) || !errors.Is(e, secrets.ErrAccessDenied) ||
			!strings.Contains(failure.Error(), failure.Variable) {
			t.Errorf("%s", secrets.Detail(e))
			continue
		}
		denied = append(denied, failure.Variable)
	}
	slices.Sort(denied)
	return denied
}

func flatten(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok && err != nil {
		if _, single := err.(*secrets.ResolveError); !single {
			return many.Unwrap()
		}
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// The policy that is printed for an environment of every kind is enough; without any one of its statements exactly the
// references that need it are denied.
func TestEnforced(t *testing.T) {
	t.Parallel()
	s := endpoint.New(endpoint.Options{})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const region, function = "eu-west-1", "orders"
	st := s.Region(region)
	key, other := st.CreateKey(), st.CreateKey()
	for _, p := range []endpoint.Parameter{
		{Name: "/app/plain", Value: "v"}, {Name: "/app/default", Type: "SecureString", Value: "v"},
		{Name: "/app/key", Type: "SecureString", Value: "v", KeyID: key},
		{Name: "/tree/a", Value: "v"}, {Name: "/tree/b/c", Type: "SecureString", Value: "v", KeyID: key},
		{Name: "bare", Value: "v"},
	} {
		st.PutParameter(p)
	}
	st.PutSecret("prod/default", "v")
	fullARN, _ := st.PutSecret("prod/arn", `{"user":"v"}`)
	partialARN, _ := st.PutSecret("prod/partial", "v")
	st.CreateSecret("prod/key", key)
	st.PutSecret("prod/key", "v")
	s.Region("us-east-1").PutSecret("prod/far", "v")
	ciphertext := func(key string, context map[string]string) string {
		return "kms://" + base64.StdEncoding.EncodeToString(st.Encrypt(key, []byte("v"), context))
	}
	environ := map[string]string{
		"AWS_REGION": region, "AWS_LAMBDA_FUNCTION_NAME": function, "PLAIN": "x",
		"P_PLAIN": "ssm:///app/plain", "P_DEFAULT": "ssm:///app/default:1", "P_KEY": "ssm:///app/key",
		"P_BARE": "ssm://bare", "P_TREE": "ssm:///tree/*",
		"P_SECRET": "ssm:///aws/reference/secretsmanager/prod/default",
		"S_FIELD":  "sm://" + fullARN + "#user", "S_PARTIAL": "sm://" + partialARN[:len(partialARN)-7],
		"S_KEY": "sm://prod/key", "S_FAR": "sm://prod/far?region=us-east-1",
		"S_OPTIONAL": "sm://prod/absent?optional",
		"K_NONE":     ciphertext(key, nil),
		"K_CONSOLE":  ciphertext(key, map[string]string{"LambdaFunctionName": function}),
		"K_STATED":   ciphertext(key, map[string]string{"app": "${x}"}) + "?context.app=%24{x}",
		"K_OTHER":    ciphertext(other, nil) + "?context=none&key=" + other,
		"K_BARE":     strings.TrimPrefix(ciphertext(key, map[string]string{"LambdaFunctionName": function}), "kms://"),
	}
	p := printed(t, lines(environ), "-account", "123456789012", "-key", key, "-function", function,
		"-vars", "kms:K_BARE")
	cfg := aws.Config{Region: region, BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", "")}

	if err := s.SetPolicy(p.document()); err != nil {
		t.Fatal(err)
	}
	if denied := failing(t, cfg, environ, "K_BARE"); denied != nil {
		t.Fatalf("with the whole policy %v are denied", denied)
	}
	want := map[string][]string{
		"Parameters":     {"P_BARE", "P_DEFAULT", "P_KEY", "P_PLAIN", "P_SECRET"},
		"ParameterTrees": {"P_TREE"},
		"ParametersKey":  {"P_KEY", "P_TREE"},
		"Secrets":        {"P_SECRET", "S_FAR", "S_FIELD", "S_KEY", "S_OPTIONAL", "S_PARTIAL"},
		"SecretsKey":     {"S_KEY"},
		"Ciphertexts":    {"K_BARE", "K_CONSOLE", "K_NONE"},
		"Ciphertexts2":   {"K_OTHER"},
		"Ciphertexts3":   {"K_STATED"},
	}
	if len(p.Statement) != len(want) {
		t.Errorf("%d statements, want %d:\n%s", len(p.Statement), len(want), p.document())
	}
	for i, st := range p.Statement {
		if err := s.SetPolicy(p.without(i).document()); err != nil {
			t.Fatal(err)
		}
		if denied := failing(t, cfg, environ, "K_BARE"); !slices.Equal(denied, want[st.Sid]) {
			t.Errorf("without %s %v are denied, want %v", st.Sid, denied, want[st.Sid])
		}
	}
	// Resources are as narrow: without any one of them, too, somebody is denied.
	for _, st := range p.Statement {
		all := st.Resource
		for i := range all {
			// what is absent needs its bare name only
			if len(all) == 1 || strings.HasSuffix(all[i], "prod/absent-??????") {
				continue
			}
			st.Resource = slices.Delete(slices.Clone(all), i, i+1)
			s.SetPolicy(p.document())
			if failing(t, cfg, environ, "K_BARE") == nil {
				t.Errorf("%s does not need %s", st.Sid, all[i])
			}
		}
		st.Resource = all
	}
}

// The same for the environment of the quickstart.
func TestQuickstartEnforced(t *testing.T) {
	t.Parallel()
	s := endpoint.New(endpoint.Options{})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	environ, key := samples.Store(s)
	p := printed(t, lines(environ), "-region", "eu-west-1", "-account", "123456789012", "-key", key, "-vars",
		"kms:CONSOLE_KEY")
	cfg := aws.Config{Region: "eu-west-1", BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", "")}
	want := map[string][]string{
		"Parameters":     {"API_KEY", "API_KEY_V1", "DB_HOST", "LICENSE"},
		"ParameterTrees": {"SETTINGS"},
		"ParametersKey":  nil, // the samples are under the default keys
		"Secrets":        {"DB_PASSWORD", "DB_PASSWORD_OLD", "DB_USER", "SIGNING_KEY"},
		"SecretsKey":     nil,
		"Ciphertexts":    {"CLI_KEY", "CONSOLE_KEY"},
	}
	if err := s.SetPolicy(p.document()); err != nil {
		t.Fatal(err)
	}
	if denied := failing(t, cfg, environ, "CONSOLE_KEY"); denied != nil {
		t.Fatalf("with the whole policy %v are denied:\n%s", denied, p.document())
	}
	for i, st := range p.Statement {
		if err := s.SetPolicy(p.without(i).document()); err != nil {
			t.Fatal(err)
		}
		denied := failing(t, cfg, environ, "CONSOLE_KEY")
		if expected, listed := want[st.Sid]; !listed || !slices.Equal(denied, expected) {
			t.Errorf("without %s %v are denied, want %v:\n%s", st.Sid, denied, expected, p.document())
		}
		t.Logf("without %-14s %d denied: %s", st.Sid, len(denied), strings.Join(denied, " "))
	}
}

// What nobody said stands in capitals, and is asked for.
func TestPlaceholders(t *testing.T) {
	t.Parallel()
	in := "P=ssm:///app/db\nS=sm://prod/db\nK=kms://AQICAHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4\n"
	for _, tc := range []struct {
		name        string
		args        []string
		has, hasNot []string
	}{
		{"none told", nil, []string{"arn:aws:ssm:REGION:ACCOUNT:parameter/app/db",
			"arn:aws:secretsmanager:REGION:ACCOUNT:secret:prod/db-??????",
			"arn:aws:kms:REGION:ACCOUNT:key/KEY-ID", "FUNCTION",
			"replace REGION", "replace ACCOUNT", "replace KEY-ID", "replace FUNCTION", "-key"}, nil},
		{"all told", []string{"-region", "cn-north-1", "-account", "123456789012", "-key", "1-2", "-function", "f"},
			[]string{"arn:aws-cn:ssm:cn-north-1:123456789012:parameter/app/db",
				"arn:aws-cn:kms:cn-north-1:123456789012:key/1-2", "ssm.cn-north-1.amazonaws.com.cn"},
			[]string{"replace", "ACCOUNT", "REGION"}},
		{"told by the input", []string{"-vars", "literal:X"}, []string{`"orders"`, ":eu-west-1:", "replace ACCOUNT"},
			[]string{"replace FUNCTION", "replace REGION"}},
		{"batch", []string{"-batch"}, []string{"secretsmanager:BatchGetSecretValue", `"*"`}, nil},
	} {
		var out, notes bytes.Buffer
		given := in
		if tc.name == "told by the input" {
			given += "Q=ssm:///app/FUNCTION/REGION\nX=x\nAWS_REGION=eu-west-1\nAWS_LAMBDA_FUNCTION_NAME=orders\n"
		}
		if err := run(tc.args, strings.NewReader(given), &out, &notes); err != nil {
			t.Fatal(err)
		}
		text := out.String() + notes.String()
		for _, want := range tc.has {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %s in\n%s", tc.name, want, text)
			}
		}
		for _, not := range tc.hasNot {
			if strings.Contains(text, not) {
				t.Errorf("%s: %s in\n%s", tc.name, not, text)
			}
		}
	}
	for name, args := range map[string][]string{"scheme": {"-vars", "x:P"}, "no name": {"-vars", "kms"},
		"no such variable": {"-vars", "kms:PASSWROD"}, "two files": {"a", "b"}, "no file": {"/nonexistent"},
		"flag": {"-nothing"}} {
		if err := run(args, strings.NewReader(in), io.Discard, io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := run(nil, strings.NewReader("A=1\n"), io.Discard, io.Discard); !errors.Is(err, errNothing) {
		t.Errorf("nothing to allow: %v", err)
	}
}

// What is left out is named with what to write, and every input is read or named as what it is.
func TestInputs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file, args   string
		allowed      string // resources, in order
		left         string // variables that are left out
		says         []string
		strict, fail bool
	}{
		{file: "mixed.env", allowed: "secret:prod/db-??????", left: "A B C", strict: true,
			says: []string{"-vars ssm:A", "ssm:///app/x", "ssm:///app/y"}},
		{file: "mixed.env", args: "-vars ssm:A", allowed: "secret:prod/db-?????? parameter/app/db",
			left: "B C", strict: true},
		{file: "template.json", allowed: "secret:REF_Db0000-?????? parameter/app/token",
			left: "P SECRET_ARN", strict: true,
			says: []string{"-vars sm:SECRET_ARN", "sm:P or ssm:P", "replace REF_Db0000"}},
		{file: "template.json", args: "-vars sm:SECRET_ARN,literal:P",
			allowed: "secret:REF_Db0000-?????? parameter/app/token"},
		{file: "sub.json", allowed: "secret:REF_Db-??????", says: []string{"replace REF_Db"}},
		{file: "outputs.json", allowed: "secret:prod/db-?????? parameter/a", left: "db_arn", strict: true,
			says: []string{"-vars sm:db_arn"}},
		{file: "outputs.json", args: "-vars sm:db_arn",
			allowed: "secret:rds!db-1-AbCdEf secret:prod/db-?????? parameter/a"},
		{file: "taskdef.json", left: "DB", fail: true, says: []string{"write ssm:///demo/x"}},
		{file: "utf16.env", allowed: "secret:a-??????"},
		{file: "template.yaml", fail: true, says: []string{"YAML", "synthesized JSON"}},
	} {
		var out, notes bytes.Buffer
		args := append(strings.Fields(tc.args), "testdata/"+tc.file)
		err := run(args, nil, &out, &notes)
		if (err != nil) != tc.fail {
			t.Errorf("%s: error %v", tc.file, err)
		}
		var p policy
		if !tc.fail {
			if err := json.Unmarshal(out.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
		}
		var resources, left []string
		for _, s := range p.Statement {
			for _, r := range s.Resource {
				resources = append(resources, strings.SplitN(r, ":", 6)[5])
			}
		}
		for line := range strings.Lines(notes.String()) {
			if rest, ok := strings.CutPrefix(line, "left out: "); ok {
				name, _, _ := strings.Cut(rest, ":")
				left = append(left, name)
			}
			if len([]rune(line)) > 81 && strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("%s: a line of more than 80 columns: %s", tc.file, line)
			}
		}
		if got := strings.Join(resources, " "); got != tc.allowed {
			t.Errorf("%s %s: allowed %q, want %q", tc.file, tc.args, got, tc.allowed)
		}
		if got := strings.Join(left, " "); got != tc.left {
			t.Errorf("%s %s: left out %q, want %q", tc.file, tc.args, got, tc.left)
		}
		said := strings.Join(strings.Fields(notes.String()+fmt.Sprint(err)), " ")
		for _, want := range tc.says {
			if !strings.Contains(said, want) {
				t.Errorf("%s: no %q in\n%s", tc.file, want, notes.String())
			}
		}
		err = run(append([]string{"-strict"}, args...), nil, io.Discard, io.Discard)
		if errors.Is(err, errStrict) != tc.strict || !tc.strict && (err != nil) != tc.fail {
			t.Errorf("%s %s -strict: %v", tc.file, tc.args, err)
		}
	}
}

var update = flag.Bool("update", false, "write the golden files")

// What people see of an input, at 80 columns: the notes, then the policy.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"testdata/mixed.env"}, {"testdata/template.json"},
		{"testdata/taskdef.json"}, {"-h"}} {
		var out, notes bytes.Buffer
		err := run(args, nil, &out, &notes)
		got := notes.String() + out.String()
		if err != nil {
			got += fmt.Sprintln(err)
		}
		for line := range strings.Lines(strings.ReplaceAll(got, "\t", "    ")) {
			if text := strings.TrimSpace(line); len([]rune(line)) > 81 && strings.Contains(text, " ") {
				t.Errorf("%s: %d columns: %s", args, len(line)-1, line)
			}
		}
		name := "testdata/" + strings.TrimLeft(filepath.Base(args[0]), "-") + ".golden"
		if *update {
			if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(name); err != nil || got != string(want) {
			t.Errorf("%v: got\n%s\nwant\n%s", err, got, want)
		}
	}
}

// A reference with a second Region is allowed in both.
func TestRegions(t *testing.T) {
	t.Parallel()
	ref, err := refsyntax.Parse("sm://own?region=eu-west-1,us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	p := printer{account: "123456789012"}
	p.add(environ.Environment{}, []environ.Reference{{Variable: "OWN", Ref: ref}})
	want := []string{"arn:aws:secretsmanager:eu-west-1:123456789012:secret:own-??????",
		"arn:aws:secretsmanager:us-east-1:123456789012:secret:own-??????"}
	if got := p.policy.Statement[0].Resource; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A reference with a role of its own takes both sides.
func TestRoles(t *testing.T) {
	t.Parallel()
	const role, other = "arn:aws:iam::210987654321:role/reader",
		"arn:aws:kms:eu-west-1:210987654321:key/11111111-2222-3333-4444-555555555555"
	var out, notes bytes.Buffer
	in := "THEIRS=sm://theirs?role=" + role + "\nTOO=ssm:///p?role=" + role + "\n"
	args := []string{"-region", "eu-west-1", "-account", "123456789012", "-role",
		"arn:aws:iam::123456789012:role/orders", "-key", other}
	if err := run(args, strings.NewReader(in), &out, &notes); err != nil {
		t.Fatal(err)
	}
	var documents []string
	d := json.NewDecoder(&out)
	for d.More() {
		var document struct {
			Statement []struct {
				Action    any
				Resource  []string
				Principal map[string]string
			}
		}
		if err := d.Decode(&document); err != nil {
			t.Fatal(err)
		}
		documents = append(documents, fmt.Sprint(document.Statement))
	}
	want := []string{
		"[{[sts:AssumeRole] [" + role + "] map[]}]",
		"[{[secretsmanager:GetSecretValue] " +
			"[arn:aws:secretsmanager:eu-west-1:210987654321:secret:theirs-??????] map[]} " +
			"{[kms:Decrypt] [" + other + "] map[]} {[ssm:GetParameter ssm:GetParameters] " +
			"[arn:aws:ssm:eu-west-1:210987654321:parameter/p] map[]} " +
			"{[kms:Decrypt] [" + other + "] map[]}]",
		"[{sts:AssumeRole [] map[AWS:arn:aws:iam::123456789012:role/orders]}]",
	}
	if !slices.Equal(documents, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(documents, "\n"), strings.Join(want, "\n"))
	}
	if said := strings.Join(strings.Fields(notes.String()), " "); !strings.Contains(said, "document 2 is for "+role) ||
		!strings.Contains(said, "document 3 is its trust policy") {
		t.Errorf("the notes do not tell the documents apart:\n%s", notes.String())
	}
}

// A key opens what is in its own Region: of another Region's, nothing is printed but a note.
func TestKeyOfAnotherRegion(t *testing.T) {
	t.Parallel()
	const in = "P=ssm:///app/db\nFAR=sm://prod/db?region=us-east-1\n"
	const id, mrk = "11111111-2222-3333-4444-555555555555", "mrk-11111111222233334444555555555555"
	for _, tc := range []struct{ key, resources, note string }{
		{"arn:aws:kms:eu-west-1:123456789012:key/" + id, "eu-west-1", ""},
		{"arn:aws:kms:us-east-1:123456789012:key/" + id, "us-east-1", ""},
		{"arn:aws:kms:eu-central-1:123456789012:key/" + id, "", "no reference is in its Region"},
		{id, "eu-west-1", ""},
		{"arn:aws:kms:eu-central-1:123456789012:key/" + mrk, "eu-west-1 us-east-1", ""},
		{"arn:aws:kms:eu-west-1:123456789012:key/" + id + ",arn:aws:kms:us-east-1:123456789012:key/" + id,
			"eu-west-1 us-east-1", ""},
	} {
		var out, notes bytes.Buffer
		if err := run([]string{"-region", "eu-west-1", "-key", tc.key}, strings.NewReader(in), &out,
			&notes); err != nil {
			t.Fatal(err)
		}
		var p policy
		json.Unmarshal(out.Bytes(), &p)
		var regions []string
		for _, s := range p.Statement {
			if s.Action[0] == "kms:Decrypt" {
				for _, r := range s.Resource {
					region := strings.Split(r, ":")[3]
					regions = append(regions, region)
					if via := s.Condition["StringEquals"]["kms:ViaService"]; !strings.Contains(via[0], region) {
						t.Errorf("%s: a dead statement: %s via %v", tc.key, r, via)
					}
				}
			}
		}
		slices.Sort(regions)
		if got := strings.Join(regions, " "); got != tc.resources || !strings.Contains(notes.String(), tc.note) {
			t.Errorf("%s: statements in %q, want %q; %s", tc.key, got, tc.resources, notes.String())
		}
	}
}

// Past IAM's limits it says so.
func TestLimits(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{10: "", 80: "an inline policy of the role",
		120: "divide its statements over several managed policies"} {
		var in strings.Builder
		for i := range n {
			fmt.Fprintf(&in, "S%d=sm://team/application/production/secret-%03d\n", i, i)
		}
		var notes bytes.Buffer
		if err := run(nil, strings.NewReader(in.String()), io.Discard, &notes); err != nil {
			t.Fatal(err)
		}
		said := strings.Join(strings.Fields(notes.String()), " ")
		if want == "" && strings.Contains(said, "characters") || !strings.Contains(said, want) {
			t.Errorf("%d secrets: want %q in\n%s", n, want, notes.String())
		}
	}
}
