//go:build !secrets.nokms && !secrets.nossm && !secrets.nosm

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets/examples/internal/environ"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

var update = flag.Bool("update", false, "write testdata/verify.golden")

const (
	region = "eu-west-1"
	role   = "arn:aws:iam::123456789012:role/orders"
	kmsARN = "arn:aws:kms:eu-west-1:123456789012:key/"
	ssmARN = "arn:aws:ssm:eu-west-1:123456789012:parameter"
	secARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
)

// account is an endpoint with one thing of each kind that is right, and of each that is wrong, and the environment that
// refers to them: a variable is named after what is wrong with it.
func account(t *testing.T) (s *endpoint.Server, environ map[string]string,
	load func(context.Context) (aws.Config, error)) {
	t.Helper()
	s = endpoint.New(endpoint.Options{})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	st := s.Region(region)
	key, disabled, pending, denying, silent := st.CreateKey(), st.CreateKey(), st.CreateKey(),
		st.CreateKey(), st.CreateKey()
	seal := func(key string, context map[string]string) string {
		return "kms://" + base64.StdEncoding.EncodeToString(st.Encrypt(key, []byte("v"), context)) + "?key=" + key
	}
	put := func(name, key string) {
		st.PutParameter(endpoint.Parameter{Name: name, Type: "SecureString", Value: "v", KeyID: key})
	}
	put("/app/plain", "")
	put("/app/key", key)
	put("/app/disabled", disabled)
	put("/other/p", "")
	put("/tree/a", key)
	st.LabelParameter("/app/plain", 1, "prod")
	s.Region("us-east-1").PutSecret("prod/both", "v")
	st.PutSecret("prod/both", "v")
	_, version := st.PutSecret("prod/db", "v")
	st.PutSecret("prod/db", "v")
	_, unstaged := st.PutSecret("prod/old", "v")
	st.PutSecret("prod/old", "v")
	st.PutSecret("prod/old", "v")
	arn := st.CreateSecret("prod/keyed", pending)
	st.PutSecret("prod/keyed", "v")
	st.PutSecret("prod/deleted", "v")
	st.DeleteSecret("prod/deleted")
	st.CreateSecret("prod/empty", "")
	st.PutSecret("other/secret", "v")
	environ = map[string]string{
		"OK_PARAMETER": "ssm:///app/plain:1", "OK_LABEL": "ssm:///app/plain:prod", "OK_KEY": "ssm:///app/key",
		"OK_TREE":   "ssm:///tree/*",
		"OK_SECRET": "sm://prod/db#password", "OK_STAGE": "sm://prod/db?stage=AWSPREVIOUS",
		"OK_VERSION":  "sm://prod/db?version=" + version,
		"OK_UNSTAGED": "sm://prod/old?version=" + unstaged, "OK_OPTIONAL": "sm://prod/none?optional",
		"OK_CIPHERTEXT": seal(key, nil), "OK_CONSOLE": seal(key, map[string]string{"LambdaFunctionName": "orders"}),
		"OK_THROUGH": "ssm:///aws/reference/secretsmanager/prod/db",

		"TYPO_PARAMETER": "ssm:///app/plian", "TYPO_SECRET": "sm://prod/bd", "TYPO_TREE": "ssm:///teer/*",
		"TYPO_SYNTAX": "SSM:///app/plain",
		"NO_VERSION":  "ssm:///app/plain:7", "NO_LABEL": "ssm:///app/plain:dev",
		"NO_STAGE": "sm://prod/db?stage=AWSPENDING", "NO_VALUE": "sm://prod/empty",
		"NO_SECRET_VERSION": "sm://prod/db?version=11111111-2222-3333-4444-555555555555",
		"ROLE_PARAMETER":    "ssm:///other/p", "ROLE_SECRET": "sm://other/secret",
		"KEY_DENIES": seal(denying, nil), "KEY_SILENT": seal(silent, nil), "KEY_DISABLED": seal(disabled, nil),
		"KEY_OF_PARAMETER": "ssm:///app/disabled",
		"KEY_PENDING":      "sm://" + arn, "DELETED": "sm://prod/deleted",
		"CONTEXT":    seal(key, map[string]string{"app": "x"}),
		"UNDECLARED": arn, "ROLE_ASSUMED": "sm://theirs?role=arn:aws:iam::210987654321:role/reader",
	}
	st.DisableKey(disabled)
	st.ScheduleKeyDeletion(pending)
	st.SetKeyPolicy(denying,
		`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"kms:*",
		"Resource":"*"},
		{"Effect":"Deny","Principal":{"AWS":"`+role+`"},"Action":["kms:Dec*"],"Resource":"*"}]}`)
	st.SetKeyPolicy(silent,
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/admin"},`+
			`"Action":"kms:*","Resource":"*"}}`)
	if err := s.AddRole(endpoint.Role{ARN: role, Policy: `{"Statement":[
		{"Effect":"Allow","Action":["ssm:GetParameter","ssm:GetParameters"],"Resource":["` + ssmARN + `/app/*",
		"` + ssmARN + `/aws/reference/secretsmanager/*"]},
		{"Effect":"Allow","Action":"ssm:GetParametersByPath","Resource":"` + ssmARN + `/tree/*"},
		{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":["` + secARN + `prod/*",
		"arn:aws:secretsmanager:us-east-1:*:secret:prod/*"]},
		{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}]}`}); err != nil {
		t.Fatal(err)
	}
	return s, environ, func(context.Context) (aws.Config, error) {
		return aws.Config{Region: region, BaseEndpoint: &url,
			Credentials: credentials.NewStaticCredentialsProvider("AKIDDEPLOYER", "secret", "")}, nil
	}
}

// configuration is what aws lambda get-function-configuration prints.
func configuration(environ map[string]string) string {
	b, _ := json.Marshal(map[string]any{
		"FunctionName": "orders", "FunctionArn": "arn:aws:lambda:" + region + ":123456789012:function:orders",
		"Role":        role,
		"Environment": map[string]any{"Variables": environ},
	})
	return string(b)
}

// Whatever is wrong with a reference is found, and no plaintext was asked for.
func TestVerify(t *testing.T) {
	t.Parallel()
	s, environ, load := account(t)
	var out, notes bytes.Buffer
	err := run(t.Context(), []string{"-json"}, load, strings.NewReader(configuration(environ)), &out, &notes)
	if !errors.Is(err, errFailed) {
		t.Errorf("error %v, want that checks failed", err)
	}
	var results []result
	if err := json.Unmarshal(out.Bytes(), &results); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{ // variable → failed checks, and a part of what is said
		"TYPO_PARAMETER": "exists|no parameter /app/plian", "TYPO_SECRET": "exists|no secret prod/bd",
		"TYPO_TREE": "exists|below /teer", "TYPO_SYNTAX": "reads|lower case",
		"NO_VERSION": "version|no version 7: the newest is 1", "NO_LABEL": "version|no label dev",
		"NO_STAGE": "version|no version of it is AWSPENDING",
		"NO_VALUE": "version|no version of it is AWSCURRENT", "NO_SECRET_VERSION": "version|no version 11111111",
		"ROLE_PARAMETER": "role|may not ssm:GetParameter", "ROLE_SECRET": "role|may not secretsmanager:GetSecretValue",
		"ROLE_ASSUMED": "role|may not sts:AssumeRole",
		"KEY_DENIES":   "decrypts|denies the role", "KEY_SILENT": "decrypts|neither to the role",
		"KEY_DISABLED": "decrypts|disabled", "KEY_OF_PARAMETER": "decrypts|disabled",
		"KEY_PENDING": "decrypts|pending deletion", "DELETED": "exists|marked for deletion",
		"CONTEXT": "decrypts|another encryption context",
	}
	for _, r := range results {
		var bad []string
		for name, check := range map[string]status{"reads": r.Reads, "exists": r.Exists, "version": r.Version,
			"role": r.Role, "decrypts": r.Decrypts} {
			if check == failed {
				bad = append(bad, name)
			}
		}
		checks, says, _ := strings.Cut(want[r.Variable], "|")
		switch {
		case r.Variable == "UNDECLARED":
			if r.Status != unchecked || !strings.Contains(r.Findings[0].Next, "-vars sm:UNDECLARED") {
				t.Errorf("%+v", r)
			}
		case checks == "" && (r.Status != ok || !strings.HasPrefix(r.Variable, "OK_")):
			t.Errorf("%+v, want that all is well", r)
		case strings.Join(bad, " ") != checks:
			t.Errorf("%s: %v failed, want %s: %+v", r.Variable, bad, checks, r.Findings)
		case checks != "" && (!strings.Contains(r.Findings[0].Problem, says) || r.Findings[0].Next == ""):
			t.Errorf("%s: %+v, want %q and a next step", r.Variable, r.Findings, says)
		}
	}
	if len(results) != len(environ) {
		t.Errorf("%d results of %d variables", len(results), len(environ))
	}
	for _, c := range s.Calls() {
		if c.Plaintexts > 0 || c.Operation == "secretsmanager:GetSecretValue" || c.AccessKeyID != "AKIDDEPLOYER" {
			t.Errorf("a plaintext was asked for: %+v", c)
		}
	}
	if s.Count("kms:Decrypt") == 0 || s.Count("iam:SimulatePrincipalPolicy") == 0 {
		t.Error("the endpoint saw no dry run or no simulation")
	}
	if notes.Len() > 0 {
		t.Errorf("a progress line where there is no terminal: %q", notes.String())
	}
}

// A reference with a second Region is checked in both.
func TestVerify_Regions(t *testing.T) {
	t.Parallel()
	_, _, load := account(t)
	cfg, _ := load(t.Context())
	c := newChecker(cfg, environ.Environment{}, role, "", "", "")
	for text, want := range map[string]status{"sm://prod/both?region=eu-west-1,us-east-1": ok,
		"sm://prod/db?region=eu-west-1,us-east-1": failed} {
		ref, err := refsyntax.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if res := c.check(t.Context(), environ.Reference{Variable: "V", Ref: ref}); res.Status != want {
			t.Errorf("%s: %+v, want %s", text, res, want)
		}
	}
}

// What people see, at 80 columns.
func TestVerify_Text(t *testing.T) {
	t.Parallel()
	_, environ, load := account(t)
	var out bytes.Buffer
	if err := run(t.Context(), nil, load, strings.NewReader(configuration(environ)), &out,
		&out); !errors.Is(err, errFailed) {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if text := strings.TrimSpace(line); len([]rune(line)) > 81 && strings.Contains(text, " ") {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
	got := regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).ReplaceAllString(out.String(), "ID")
	got = regexp.MustCompile(`(other/secret|prod/keyed)-\w{6}`).ReplaceAllString(got, "$1-AbCdEf")
	got = regexp.MustCompile(`\d{4}-\d\d-\d\d`).ReplaceAllString(got, "DATE")
	if *update {
		if err := os.WriteFile("testdata/verify.golden", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile("testdata/verify.golden"); err != nil || got != string(want) {
		t.Errorf("%v: got\n%s\nwant\n%s", err, got, want)
	}
}

// Credentials that may not describe make no check fail; they make -strict fail.
func TestVerify_OwnCredentials(t *testing.T) {
	t.Parallel()
	s, environ, load := account(t)
	for name := range environ {
		if !strings.HasPrefix(name, "OK_") {
			delete(environ, name)
		}
	}
	s.Fault(endpoint.Fault{Do: endpoint.Deny, Operation: "secretsmanager:DescribeSecret"})
	s.Fault(endpoint.Fault{Do: endpoint.DenyBare, Operation: "kms:Decrypt"})
	for _, strict := range []bool{false, true} {
		var out, notes bytes.Buffer
		args := map[bool][]string{true: {"-strict"}}[strict]
		err := run(t.Context(), args, load, strings.NewReader(configuration(environ)), &out, &notes)
		if errors.Is(err, errFailed) != strict {
			t.Errorf("strict %v: %v\n%s", strict, err, out.String())
		}
		for _, want := range []string{"your own credentials may not secretsmanager:DescribeSecret",
			"your own credentials may not kms:Decrypt"} {
			if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
	}
}

func TestJudgeKeyPolicy(t *testing.T) {
	t.Parallel()
	statement := func(effect, principal, action, more string) string {
		return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":` + action +
			`,"Resource":"*"` + more + `}`
	}
	root, own := `{"AWS":"arn:aws:iam::123456789012:root"}`, `{"AWS":["x","`+role+`"]}`
	condition := `,"Condition":{"StringEquals":{"kms:ViaService":"x"}}`
	for _, tc := range []struct {
		name, statements string
		want             keyVerdict
	}{
		{"none", ``, keySilent},
		{"default", statement("Allow", root, `"kms:*"`, ""), keyDelegates},
		{"by account", statement("Allow", `{"AWS":"123456789012"}`, `"kms:*"`, ""), keyDelegates},
		{"another account", statement("Allow", `{"AWS":"arn:aws:iam::210987654321:root"}`, `"kms:*"`, ""), keySilent},
		{"the role", statement("Allow", own, `["kms:Encrypt","kms:decrypt"]`, ""), keyAllows},
		{"the role, then the account", statement("Allow", own, `"*"`, "") + "," + statement("Allow", root, `"*"`, ""),
			keyAllows},
		{"everybody", statement("Allow", `"*"`, `"kms:Decrypt"`, condition), keyAllows},
		{"another action", statement("Allow", root, `"kms:Encrypt"`, ""), keySilent},
		{"a service", statement("Allow", `{"Service":"x.amazonaws.com"}`, `"kms:*"`, ""), keySilent},
		{"denied", statement("Allow", root, `"kms:*"`, "") + "," + statement("Deny", own, `"kms:Dec*"`, ""), keyDenies},
		{"denied under a condition", statement("Allow", root, `"kms:*"`, "") + "," +
			statement("Deny", own, `"kms:*"`, condition), keyDelegates},
	} {
		if got := judgeKeyPolicy(`{"Statement":[`+tc.statements+`]}`, role); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	_, _, load := account(t)
	for in, want := range map[string]string{"A=1\n": "nothing to verify", "A: 1": "YAML", "": "empty"} {
		var out bytes.Buffer
		if err := run(t.Context(), nil, load, strings.NewReader(in), &out, &out); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}
