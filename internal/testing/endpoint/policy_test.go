package endpoint

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

func allow(action, resource string) string {
	return `{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}`
}

func TestPolicy_Statements(t *testing.T) {
	t.Parallel()
	s, st, c := start(t)
	ctx := t.Context()
	key := st.CreateKey()
	st.PutParameter(Parameter{Name: "/app/a", Value: "v"})
	st.PutParameter(Parameter{Name: "/app/b", Value: "v"})
	st.PutParameter(Parameter{Name: "/app/default", Type: "SecureString", Value: "v"})
	st.PutParameter(Parameter{Name: "/app/cmk", Type: "SecureString", Value: "v", KeyID: key})
	st.PutSecret("db", "v")
	st.CreateSecret("cmk", key)
	st.PutSecret("cmk", "v")
	plainBlob := st.Encrypt(key, []byte("p"), nil)
	boundBlob := st.Encrypt(key, []byte("p"), map[string]string{"app": "x"})

	parameter := func(name string) func() error {
		return func() error {
			_, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
			return err
		}
	}
	parameters := func(names ...string) func() error {
		return func() error {
			_, err := c.ssm.GetParameters(ctx, &ssm.GetParametersInput{Names: names, WithDecryption: aws.Bool(true)})
			return err
		}
	}
	path := func(path string) func() error {
		return func() error {
			_, err := c.ssm.GetParametersByPath(ctx,
				&ssm.GetParametersByPathInput{Path: &path, WithDecryption: aws.Bool(true)})
			return err
		}
	}
	secret := func(id string) func() error {
		return func() error {
			_, err := c.sm.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: &id})
			return err
		}
	}
	decrypt := func(blob []byte, context map[string]string, keyID ...string) func() error {
		return func() error {
			in := &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: context}
			if len(keyID) > 0 {
				in.KeyId = &keyID[0]
			}
			_, err := c.kms.Decrypt(ctx, in)
			return err
		}
	}
	const (
		secretARN   = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
		unreachable = "The ciphertext refers to a customer master key"
		notAllowed  = "because no identity-based policy allows the "
	)
	appContext := map[string]string{"app": "x"}
	when := func(condition string) string {
		return `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":` + condition + `}`
	}
	for _, tc := range []struct {
		name       string
		statements string // joined by commas
		do         func() error
		code, text string
	}{
		{"nothing allowed", "", parameter("/app/a"), "AccessDeniedException", "not authorized to perform: " +
			"ssm:GetParameter on resource: " + ssmARN + "/app/a " + notAllowed + "ssm:GetParameter action"},
		{"allowed", allow("ssm:GetParameter", ssmARN+"/app/a"), parameter("/app/a"), "", ""},
		{"wildcards", allow("ssm:Get*", "arn:aws:ssm:*:*:parameter/app/?"), parameter("/app/a"), "", ""},
		{"case of actions", allow("SSM:getparameter", "*"), parameter("/app/a"), "", ""},
		{"another action", allow("ssm:GetParameters", "*"), parameter("/app/a"), "AccessDeniedException", notAllowed},
		{"deny wins", allow("*", "*") + `,{"Effect":"Deny","Action":["ssm:*"],"Resource":["` + ssmARN + `/app/*"]}`,
			parameter("/app/a"), "AccessDeniedException", "with an explicit deny in an identity-based policy"},
		{"deny elsewhere", allow("*", "*") + `,{"Effect":"Deny","Action":"ssm:*","Resource":"` + ssmARN + `/other/*"}`,
			parameter("/app/a"), "", ""},
		{"selector is no part of it", allow("ssm:GetParameter", ssmARN+"/app/a"), parameter("/app/a:1"), "", ""},
		{"absent but allowed", allow("ssm:GetParameter", "*"), parameter("/app/none"), "ParameterNotFound", ""},
		{"absent and denied", allow("ssm:GetParameter", ssmARN+"/app/a"), parameter("/app/none"),
			"AccessDeniedException", "/app/none"},

		{"batch allowed", allow("ssm:GetParameters", ssmARN+"/app/*"), parameters("/app/a", "/app/b"), "", ""},
		{"one denied denies the batch", allow("ssm:GetParameters", ssmARN+"/app/a"), parameters("/app/a", "/app/b"),
			"AccessDeniedException", ssmARN + "/app/b "},
		{"malformed name looks denied", allow("ssm:GetParameter*", ssmARN+"/*"), parameter("app/a"),
			"AccessDeniedException", "on resource: arn:aws:ssm:eu-west-1:123456789012:* "},
		{"malformed name, all allowed", allow("ssm:*", "*"), parameter("app/a"), "ValidationException",
			"Parameter name"},

		{"path as sent", allow("ssm:GetParametersByPath", ssmARN+"/app/*") + "," + allow("kms:Decrypt", key),
			path("/app/"), "", ""},
		{"path without slash", allow("ssm:GetParametersByPath", ssmARN+"/app/*"), path("/app"), "AccessDeniedException",
			ssmARN + "/app "},
		{"path covers what is below", allow("ssm:GetParametersByPath", ssmARN+"/app") + "," + allow("kms:Decrypt",
			key) + `,{"Effect":"Deny","Action":"*","Resource":"` + ssmARN + `/app/a"}`, path("/app"), "", ""},

		{"default key", allow("ssm:GetParameter", "*"), parameter("/app/default"), "", ""},
		{"customer key", allow("ssm:GetParameter", "*"), parameter("/app/cmk"), "AccessDeniedException", unreachable},
		{"customer key allowed", allow("ssm:GetParameter", "*") + "," + allow("kms:Decrypt", key),
			parameter("/app/cmk"), "", ""},
		{"for this parameter", allow("ssm:GetParameter", "*") + "," +
			when(`{"StringEquals":{"kms:EncryptionContext:PARAMETER_ARN":"`+ssmARN+`/app/cmk"}}`),
			parameter("/app/cmk"), "", ""},
		{"for another parameter", allow("ssm:GetParameter", "*") + "," +
			when(`{"StringEquals":{"kms:EncryptionContext:PARAMETER_ARN":"`+ssmARN+`/app/x"}}`), parameter("/app/cmk"),
			"AccessDeniedException", unreachable},
		{"via ssm", allow("ssm:GetParameter", "*") + "," +
			when(`{"StringLike":{"kms:ViaService":"ssm.*.amazonaws.com"}}`), parameter("/app/cmk"), "", ""},
		{"via another", allow("ssm:GetParameter", "*") + "," +
			when(`{"StringEquals":{"kms:ViaService":"secretsmanager.eu-west-1.amazonaws.com"}}`), parameter("/app/cmk"),
			"AccessDeniedException", unreachable},

		{"secret", allow("secretsmanager:GetSecretValue", secretARN+"db-??????"), secret("db"), "", ""},
		{"other secret", allow("secretsmanager:GetSecretValue", secretARN+"db-??????"), secret("cmk"),
			"AccessDeniedException", notAllowed},
		{"secret's key", allow("secretsmanager:GetSecretValue", "*"), secret("cmk"), "AccessDeniedException",
			"Access to KMS is not allowed"},
		{"secret's key allowed", allow("secretsmanager:GetSecretValue", "*") + "," +
			when(`{"StringLike":{"kms:EncryptionContext:SecretARN":"`+secretARN+`cmk-*"}}`), secret("cmk"), "", ""},
		{"absent secret looks denied", allow("secretsmanager:GetSecretValue", secretARN+"gone-??????"), secret("gone"),
			"AccessDeniedException", "on resource: gone "},
		{"absent secret, bare name allowed", allow("secretsmanager:GetSecretValue", secretARN+"gone"), secret("gone"),
			"ResourceNotFoundException", ""},
		{"reference, ssm only", allow("ssm:GetParameter", "*"), parameter("/aws/reference/secretsmanager/db"),
			"AccessDeniedException", "secretsmanager:GetSecretValue"},
		{"reference, secretsmanager only", allow("secretsmanager:*", "*"),
			parameter("/aws/reference/secretsmanager/db"), "AccessDeniedException", "ssm:GetParameter "},
		{"reference", allow("ssm:GetParameter", ssmARN+"/aws/reference/secretsmanager/*") + "," +
			allow("secretsmanager:GetSecretValue", secretARN+"db-??????"),
			parameter("/aws/reference/secretsmanager/db"), "", ""},

		{"Decrypt denied", allow("ssm:*", "*"), decrypt(plainBlob, nil), "AccessDeniedException", unreachable},
		{"Decrypt denied, key named", allow("ssm:*", "*"), decrypt(plainBlob, nil, key), "AccessDeniedException",
			"kms:Decrypt on resource: " + key},
		{"Decrypt under the context", when(`{"StringEquals":{"kms:EncryptionContext:app":["y","x"]}}`),
			decrypt(boundBlob, appContext), "", ""},
		{"Decrypt without it", when(`{"StringEquals":{"kms:EncryptionContext:app":"x"}}`), decrypt(plainBlob, nil),
			"AccessDeniedException", unreachable},
		{"denied by condition before the wrong context shows",
			when(`{"StringEquals":{"kms:EncryptionContext:app":"x"}}`), decrypt(boundBlob, nil),
			"AccessDeniedException", unreachable},
		{"context keys", when(`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["app"]}}`),
			decrypt(boundBlob, appContext), "", ""},
		{"no context keys either", when(`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["app"]}}`),
			decrypt(plainBlob, nil), "", ""},
		{"other context keys", when(`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["other"]}}`),
			decrypt(boundBlob, appContext), "AccessDeniedException", unreachable},
		{"any of no keys", when(`{"ForAnyValue:StringLike":{"kms:EncryptionContextKeys":["*"]}}`),
			decrypt(plainBlob, nil), "AccessDeniedException", unreachable},
		{"no context at all", when(`{"Null":{"kms:EncryptionContextKeys":"true"}}`), decrypt(plainBlob, nil), "", ""},
		{"no context at all, and one", when(`{"Null":{"kms:EncryptionContextKeys":"true"}}`),
			decrypt(boundBlob, appContext), "AccessDeniedException", unreachable},
		{"escaped", when(`{"StringNotEquals":{"kms:EncryptionContext:app":"${$}{x}"}}`),
			decrypt(boundBlob, appContext), "", ""},
		{"negated and absent", when(`{"StringNotEquals":{"kms:EncryptionContext:app":"x"}}`),
			decrypt(plainBlob, nil), "", ""},
		{"negated and equal", when(`{"StringNotEquals":{"kms:EncryptionContext:app":"x"}}`),
			decrypt(boundBlob, appContext), "AccessDeniedException", unreachable},
		{"if it exists", when(`{"StringEqualsIfExists":{"kms:EncryptionContext:app":"x"}}`),
			decrypt(plainBlob, nil), "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := s.SetPolicy(`{"Version":"2012-10-17","Statement":[` + tc.statements + `]}`); err != nil {
				t.Fatal(err)
			}
			wantCode(t, tc.do(), tc.code, tc.text)
		})
	}
}

func TestPolicy_Batch(t *testing.T) {
	t.Parallel()
	s, st, c := start(t)
	arn, _ := st.PutSecret("a", "v")
	st.PutSecret("b", "v")
	batch := func(statements string) (*sm.BatchGetSecretValueOutput, error) {
		if err := s.SetPolicy(`{"Statement":[` + statements + `]}`); err != nil {
			t.Fatal(err)
		}
		return c.sm.BatchGetSecretValue(t.Context(), &sm.BatchGetSecretValueInput{SecretIdList: []string{"a", "b"}})
	}
	const action = "secretsmanager:BatchGetSecretValue"
	_, err := batch(allow("secretsmanager:*", arn)) // an ARN grants nothing of the batch action
	wantCode(t, err, "AccessDeniedException", "perform: "+action+" because no identity-based policy allows the "+action)
	out, err := batch(allow(action, "*") + "," + allow("secretsmanager:GetSecretValue", arn))
	if err != nil || len(out.SecretValues) != 1 || len(out.Errors) != 1 || *out.Errors[0].SecretId != "b" ||
		*out.Errors[0].ErrorCode != "AccessDeniedException" {
		t.Errorf("%+v, %v; want a, and b denied", out, err)
	}
}

func TestPolicy_SetRefuses(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	for _, tc := range []struct{ name, document, text string }{
		{"no JSON", "{", "unexpected EOF"},
		{"unknown element", `{"Statement":{"Effect":"Allow","NotAction":"*","Resource":"*"}}`, "NotAction"},
		{"effect", `{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}`, "effect"},
		{"no resource", `{"Statement":{"Effect":"Allow","Action":"*"}}`, "no Resource"},
		{"operator",
			`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*",` +
				`"Condition":{"IpAddress":{"aws:SourceIp":"::1"}}}}`, "IpAddress"},
		{"variable",
			`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*",` +
				`"Condition":{"StringEquals":{"kms:ViaService":"${x}"}}}}`, "variable"},
		{"key",
			`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*",` +
				`"Condition":{"StringEquals":{"aws:RequestedRegion":"x"}}}}`, "aws:RequestedRegion"},
	} {
		if err := s.SetPolicy(tc.document); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: error %v; want one about %q", tc.name, err, tc.text)
		}
	}
}

func TestPolicy_Glob(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"*", "a:b/c", true}, {"a", "ab", false}, {"a?", "ab", true},
		{"a?", "a", false},
		{"a*c", "abcbc", true}, {"a*c", "abcb", false}, {"*b*d", "abcd", true}, {"a**", "a", true},
		{"x-??????", "x-AbCdEf", true}, {"x-??????", "x-AbCdE", false},
	} {
		if got := glob(tc.pattern, tc.s); got != tc.want {
			t.Errorf("glob(%q, %q) = %v", tc.pattern, tc.s, got)
		}
	}
}
