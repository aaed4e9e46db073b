package iam

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestNeeds_Table(t *testing.T) {
	t.Parallel()
	scope := Scope{Region: "eu-west-1", Account: "123456789012"}
	const ssm, sm = "arn:aws:ssm:eu-west-1:123456789012:parameter",
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
	for _, tc := range []struct {
		name   string
		scope  Scope
		action string
		ids    []string
		want   []string
	}{
		{"parameter", scope, "ssm:GetParameter", []string{"/a/b:3"}, []string{"ssm:GetParameter " + ssm + "/a/b"}},
		{"names with and without slash", scope, "ssm:GetParameters", []string{"a", "/a", "/a:label"},
			[]string{"ssm:GetParameters " + ssm + "/a"}},
		{"parameter ARN with selector", scope, "ssm:GetParameter", []string{"arn:aws:ssm:us-east-1:1:parameter/a:2"},
			[]string{"ssm:GetParameter arn:aws:ssm:us-east-1:1:parameter/a"}},
		{"public parameter", scope, "ssm:GetParameter", []string{"/aws/service/x"},
			[]string{"ssm:GetParameter arn:aws:ssm:eu-west-1::parameter/aws/service/x"}},
		{"reference to a secret", scope, "ssm:GetParameter",
			[]string{"/aws/reference/secretsmanager/prod/db:AWSCURRENT"},
			[]string{"ssm:GetParameter " + ssm + "/aws/reference/secretsmanager/prod/db",
				"secretsmanager:GetSecretValue " + sm + "prod/db-??????"}},
		{"path", scope, "ssm:GetParametersByPath", []string{"/app/"},
			[]string{"ssm:GetParametersByPath " + ssm + "/app/*"}},
		{"root", scope, "ssm:GetParametersByPath", []string{"/"}, []string{"ssm:GetParametersByPath " + ssm + "/*"}},
		{"secret", scope, "secretsmanager:GetSecretValue", []string{"prod/db"},
			[]string{"secretsmanager:GetSecretValue " + sm + "prod/db-??????"}},
		{"secret ARN", scope, "secretsmanager:GetSecretValue", []string{sm + "db-AbCd12"},
			[]string{"secretsmanager:GetSecretValue " + sm + "db-AbCd12"}},
		{"partial secret ARN", scope, "secretsmanager:GetSecretValue", []string{sm + "db"},
			[]string{"secretsmanager:GetSecretValue " + sm + "db-??????"}},
		{"batch", scope, "secretsmanager:BatchGetSecretValue", []string{"a"},
			[]string{"secretsmanager:BatchGetSecretValue *", "secretsmanager:GetSecretValue " + sm + "a-??????"}},
		{"any key", scope, "kms:Decrypt", nil, []string{"kms:Decrypt arn:aws:kms:eu-west-1:123456789012:key/*"}},
		{"key ID", scope, "kms:Decrypt", []string{"1234"},
			[]string{"kms:Decrypt arn:aws:kms:eu-west-1:123456789012:key/1234"}},
		{"key ARN", scope, "kms:Decrypt", []string{"arn:aws:kms:us-east-1:1:key/2"},
			[]string{"kms:Decrypt arn:aws:kms:us-east-1:1:key/2"}},
		{"alias", scope, "kms:Decrypt", []string{"alias/x"},
			[]string{"kms:Decrypt arn:aws:kms:eu-west-1:123456789012:key/*"}},
		{"alias ARN", scope, "kms:Decrypt", []string{"arn:aws:kms:us-east-1:1:alias/x"},
			[]string{"kms:Decrypt arn:aws:kms:us-east-1:1:key/*"}},
		{"China", Scope{Region: "cn-north-1", Account: "1"}, "ssm:GetParameter", []string{"/a"},
			[]string{"ssm:GetParameter arn:aws-cn:ssm:cn-north-1:1:parameter/a"}},
		{"nothing known", Scope{}, "ssm:GetParameter", []string{"/a"},
			[]string{"ssm:GetParameter arn:aws:ssm:*:*:parameter/a"}},
		{"unknown action", scope, "s3:GetObject", []string{"a"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, n := range tc.scope.Needs(tc.action, tc.ids...) {
				got = append(got, n.Action+" "+n.Resource)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestKey_OfServices(t *testing.T) {
	t.Parallel()
	scope := Scope{Region: "eu-west-1", Account: "1"}
	for _, tc := range []struct {
		got  Need
		want string
	}{
		{scope.ParameterKey("/a", "k"), "arn:aws:kms:eu-west-1:1:key/k " +
			"map[kms:EncryptionContext:PARAMETER_ARN:arn:aws:ssm:eu-west-1:1:parameter/a " +
			"kms:ViaService:ssm.eu-west-1.amazonaws.com]"},
		{scope.SecretKey("s", ""), "arn:aws:kms:eu-west-1:1:key/* " +
			"map[kms:EncryptionContext:SecretARN:arn:aws:secretsmanager:eu-west-1:1:secret:s-?????? " +
			"kms:ViaService:secretsmanager.eu-west-1.amazonaws.com]"},
	} {
		if got := fmt.Sprint(tc.got.Resource, " ", tc.got.Condition); got != tc.want || tc.got.Action != "kms:Decrypt" {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

func TestFullSecretARN_Suffix(t *testing.T) {
	t.Parallel()
	for arn, want := range map[string]bool{"x-AbCd12": true, "x": false, "x-AbCd1": false, "x-AbCd_1": false,
		"a-b-cdefgh": true, "-": false} {
		if FullSecretARN(arn) != want {
			t.Errorf("FullSecretARN(%q) = %v", arn, !want)
		}
	}
}

// Every row must be complete, and Needs must know every row.
func TestTable_RowsAreComplete(t *testing.T) {
	t.Parallel()
	for _, op := range All() {
		service, name, _ := strings.Cut(op.Action, ":")
		if !strings.HasSuffix(op.Target, "."+name) || op.Resource == "" || op.Event == "" ||
			op.Source != service+".amazonaws.com" || op.Hint == "" {
			t.Errorf("row %+v", op)
		}
		needs := Scope{Region: "eu-west-1", Account: "1"}.Needs(op.Action, "x")
		if len(needs) == 0 || needs[0].Action != op.Action {
			t.Errorf("%s needs %v", op.Action, needs)
		}
		if found, ok := Lookup(op.Action); !ok || found != op {
			t.Errorf("Lookup(%q)", op.Action)
		}
	}
	if _, ok := Lookup("s3:GetObject"); ok {
		t.Error("Lookup found s3:GetObject")
	}
}

// What SECURITY.md tells auditors of CloudTrail is what the table says.
func TestTable_SecurityPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range All() {
		row := fmt.Sprintf("| %s | `%s`, %s | %s |", op.Action, op.Event, op.Source, op.Recorded)
		if !strings.Contains(string(page), row) {
			t.Errorf("no row %s", row)
		}
	}
}
