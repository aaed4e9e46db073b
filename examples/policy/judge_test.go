//go:build !secrets.nokms && !secrets.nossm && !secrets.nosm

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// request is what the judge is asked.
type request struct {
	Policy   any            `json:"policy"`
	Action   string         `json:"action"`
	Resource string         `json:"resource"`
	Context  map[string]any `json:"context,omitempty"`
}

// judge asks @cloud-copilot/iam-simulate, which knows nothing of this module, whether requests are allowed.
func judge(t *testing.T, dir string, requests []request) []bool {
	t.Helper()
	in, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	node := exec.Command("node", "judge.mjs")
	node.Dir, node.Stdin = dir, bytes.NewReader(in)
	var stderr bytes.Buffer
	node.Stderr = &stderr
	out, err := node.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	var allowed []bool
	if err := json.Unmarshal(out, &allowed); err != nil || len(allowed) != len(requests) {
		t.Fatalf("%v: %s", err, out)
	}
	return allowed
}

// installJudge installs the judge into a folder of its own.
func installJudge(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	script, err := os.ReadFile("testdata/judge.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "judge.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	npm := exec.Command("npm", "install", "--no-audit", "--no-fund", "--prefix", dir,
		"@cloud-copilot/iam-simulate@0.1.173")
	if out, err := npm.CombinedOutput(); err != nil {
		t.Skipf("left out: the policy by the judgement of @cloud-copilot/iam-simulate, for npm does not install "+
			"it here: %v\n%s", err, out)
	}
	return dir
}

// An independent judge finds the policy sufficient: every call that the library makes is allowed. And minimal: without
// any one statement, action or resource a call is denied; without any one condition, a call that nobody needs is
// allowed.
func TestIAMSimulate(t *testing.T) {
	t.Parallel()
	dir := installJudge(t)
	const (
		account = "123456789012"
		keyID   = "11111111-2222-3333-4444-555555555555"
		key     = "arn:aws:kms:eu-west-1:" + account + ":key/" + keyID
		none    = "arn:aws:kms:eu-west-1:" + account + ":key/77777777-2222-3333-4444-555555555555"
		other   = "arn:aws:kms:eu-west-1:" + account + ":key/99999999-2222-3333-4444-555555555555"
		ssmARN  = "arn:aws:ssm:eu-west-1:" + account + ":parameter"
		secARN  = "arn:aws:secretsmanager:eu-west-1:" + account + ":secret:"
		farARN  = "arn:aws:secretsmanager:us-east-1:" + account + ":secret:"
	)
	blob := "kms://" + base64.StdEncoding.EncodeToString([]byte("ciphertext of some key, and long enough"))
	p := printed(t, lines(map[string]string{
		"AWS_REGION": "eu-west-1", "P": "ssm:///app/p", "TREE": "ssm:///tree/*", "S": "sm://prod/db#password",
		"FAR":      "sm://prod/far?region=us-east-1",
		"OPTIONAL": "sm://prod/absent?optional", "NONE": blob + "?context=none&key=" + none, "BOTH": blob,
		"BOTH_NONE": blob + "?context=none", "TREE_P": "ssm:///tree/p",
		"STATED": blob + "?context.app=%24{x}&context.stage=prod&key=" + other,
	}), "-account", account, "-key", key, "-function", "orders", "-batch")

	context := func(pairs ...string) map[string]any {
		keys, c := []string{}, map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			keys = append(keys, pairs[i])
			c["kms:EncryptionContext:"+pairs[i]] = pairs[i+1]
		}
		if len(keys) > 0 {
			c["kms:EncryptionContextKeys"] = keys
		}
		return c
	}
	via := func(service string, c map[string]any) map[string]any {
		c["kms:ViaService"] = service + ".eu-west-1.amazonaws.com"
		return c
	}
	needed := []request{
		{p, "ssm:GetParameter", ssmARN + "/app/p", nil}, {p, "ssm:GetParameters", ssmARN + "/app/p", nil},
		{p, "ssm:GetParameter", ssmARN + "/tree/p", nil}, {p, "kms:Decrypt", none, context()},
		{p, "ssm:GetParametersByPath", ssmARN + "/tree/", nil},
		{p, "kms:Decrypt", key, via("ssm", context("PARAMETER_ARN", ssmARN+"/app/p"))},
		{p, "kms:Decrypt", key, via("ssm", context("PARAMETER_ARN", ssmARN+"/tree/a"))},
		{p, "secretsmanager:GetSecretValue", secARN + "prod/db-AbCdEf", nil},
		{p, "secretsmanager:GetSecretValue", farARN + "prod/far-AbCdEf", nil},
		{p, "secretsmanager:GetSecretValue", secARN + "prod/absent", nil},
		{p, "secretsmanager:GetSecretValue", secARN + "prod/absent-AbCdEf", nil},
		{p, "secretsmanager:BatchGetSecretValue", "*", nil},
		{p, "kms:Decrypt", key, via("secretsmanager",
			context("SecretARN", secARN+"prod/db-AbCdEf", "SecretVersionId", "v"))},
		{p, "kms:Decrypt", key, via("secretsmanager",
			context("SecretARN", secARN+"prod/absent-AbCdEf", "SecretVersionId", "v"))},
		{p, "kms:Decrypt", key, context()}, {p, "kms:Decrypt", key, context("LambdaFunctionName", "orders")},
		{p, "kms:Decrypt", other, context("app", "${x}", "stage", "prod")},
	}
	for i, allowed := range judge(t, dir, needed) {
		if !allowed {
			t.Errorf("denied: %s on %s %v", needed[i].Action, needed[i].Resource, needed[i].Context)
		}
	}

	// What nobody needs: denied by the whole policy.
	unneeded := []request{
		{p, "ssm:GetParameter", ssmARN + "/app/q", nil}, {p, "ssm:GetParameter", ssmARN + "/tree/a", nil},
		{p, "secretsmanager:GetSecretValue", secARN + "prod/db2-AbCdEf", nil},
		{p, "secretsmanager:GetSecretValue", secARN + "prod/far-AbCdEf", nil},
		{p, "kms:Decrypt", none, context("LambdaFunctionName", "orders")}, {p, "kms:Decrypt", other, context()},
		{p, "kms:Encrypt", key, context()},
		{p, "kms:Decrypt", key, context("LambdaFunctionName", "another")},
		{p, "kms:Decrypt", key, context("LambdaFunctionName", "orders", "more", "x")},
		{p, "kms:Decrypt", other, context("app", "${x}", "stage", "prod", "more", "x")},
		{p, "kms:Decrypt", other, context("app", "y", "stage", "prod")},
		{p, "kms:Decrypt", other, context("app", "${x}", "stage", "dev")},
		{p, "kms:Decrypt", key, context("PARAMETER_ARN", ssmARN+"/app/p")},
		{p, "kms:Decrypt", key, via("ssm", context("PARAMETER_ARN", ssmARN+"/app/q"))},
		{p, "kms:Decrypt", key, context("SecretARN", secARN+"prod/db-AbCdEf")},
		{p, "kms:Decrypt", key, via("secretsmanager", context("SecretARN", secARN+"prod/db2-AbCdEf"))},
	}
	for i, allowed := range judge(t, dir, unneeded) {
		if allowed {
			t.Errorf("allowed: %s on %s %v", unneeded[i].Action, unneeded[i].Resource, unneeded[i].Context)
		}
	}

	// Each smaller policy denies something needed, each wider one allows something unneeded.
	var questions []request
	type change struct {
		what string
		wide bool
		from int
	}
	var changes []change
	try := func(what string, wide bool, with policy) {
		changes = append(changes, change{what, wide, len(questions)})
		copied := json.RawMessage(with.document())
		for _, r := range map[bool][]request{false: needed, true: unneeded}[wide] {
			r.Policy = copied
			questions = append(questions, r)
		}
	}
	for i, s := range p.Statement {
		try(s.Sid, false, p.without(i))
		for _, list := range []*[]string{&s.Action, &s.Resource} {
			all := *list
			for j := range all {
				if *list = slices.Delete(slices.Clone(all), j, j+1); len(all) > 1 {
					try(s.Sid+" "+all[j], false, p)
				}
			}
			*list = all
		}
		for operator, keys := range s.Condition {
			all := maps.Clone(keys)
			for name, values := range all {
				delete(keys, name)
				if len(keys) == 0 {
					delete(s.Condition, operator)
				}
				try(fmt.Sprint(s.Sid, " without ", operator, " ", name), true, p)
				keys[name] = values
				s.Condition[operator] = keys
			}
		}
	}
	answers := judge(t, dir, questions)
	counts := map[bool]int{}
	for n, c := range changes {
		end := len(questions)
		if n+1 < len(changes) {
			end = changes[n+1].from
		}
		if !slices.Contains(answers[c.from:end], c.wide) {
			t.Errorf("%s makes no difference", c.what)
		}
		counts[c.wide]++
	}
	t.Logf("%d calls allowed, %d denied; each of %d statements, actions and resources is needed, each of %d "+
		"conditions denies something",
		len(needed), len(unneeded), counts[false], counts[true])
}
