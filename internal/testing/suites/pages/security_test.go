// Package pages compares what the pages say with what is there.
package pages

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../../../.."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tests returns the names of all tests of the repository.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A promise without a test is none: each row of these tables names one, and each name is that of a test.
func TestSecurity_RowsNameTests(t *testing.T) {
	t.Parallel()
	all, named := tests(t), regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	for page, header := range map[string]string{
		"SECURITY.md":          "| against | by | tests |",
		"docs/threat-model.md": "| who sets it | what they gain | what stops it | test |",
	} {
		text := read(t, page)
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if !all[m[1]] {
				t.Errorf("%s: there is no test %s", page, m[1])
			}
		}
		_, table, found := strings.Cut(text, header+"\n")
		table, _, _ = strings.Cut(table, "\n\n")
		rows := strings.Split(strings.TrimSpace(table), "\n")
		if !found || len(rows) < 10 {
			t.Fatalf("%s: %d rows", page, len(rows))
		}
		for _, row := range rows[1:] {
			cells := strings.Split(row, "|")
			if len(cells) != strings.Count(header, "|")+1 || !named.MatchString(cells[len(cells)-2]) {
				t.Errorf("%s: a row without a test: %s", page, row)
			}
		}
	}
}

// The policy for people denies every way to a plaintext, and nobody else: with its condition turned round it would
// stop the rotation function and every other function.
func TestSecurity_DenyForPeople(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(read(t, "SECURITY.md"), "```json\n")
	text, _, _ = strings.Cut(text, "```")
	var policy struct {
		Statement []struct {
			Effect           string
			Action, Resource []string
			Condition        map[string]map[string][]string
		}
	}
	if err := json.Unmarshal([]byte(text), &policy); err != nil || len(policy.Statement) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	s := policy.Statement[0]
	for _, action := range []string{
		"kms:Decrypt", "kms:ReEncryptFrom", "kms:CreateGrant", "kms:PutKeyPolicy",
		"secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue", "secretsmanager:PutResourcePolicy",
		"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory",
	} {
		if !slices.Contains(s.Action, action) {
			t.Errorf("%s is not denied", action)
		}
	}
	people := s.Condition["ArnLike"]["aws:PrincipalArn"]
	if s.Effect != "Deny" || len(s.Condition) != 1 || len(people) < 2 {
		t.Fatalf("effect %q, condition %v", s.Effect, s.Condition)
	}
	for _, arn := range people {
		if !strings.Contains(arn, ":user/") && !strings.Contains(arn, ":role/aws-reserved/sso.amazonaws.com/") {
			t.Errorf("%s is not people's alone", arn)
		}
	}
}

// What the environment decides beside the references is named.
func TestSecurity_EnvironmentIsNamed(t *testing.T) {
	t.Parallel()
	text := read(t, "SECURITY.md")
	for _, name := range []string{
		"AWS_ENDPOINT_URL", "HTTPS_PROXY", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CONFIG_FILE",
		"AWS_SHARED_CREDENTIALS_FILE",
		"AWS_PROFILE", "GODEBUG", "credential_process", "X-Amz-Security-Token", "otelhttptrace",
	} {
		if !strings.Contains(text, name) {
			t.Errorf("SECURITY.md does not say %s", name)
		}
	}
}
