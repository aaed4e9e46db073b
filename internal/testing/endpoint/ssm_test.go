package endpoint

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

const ssmARN = "arn:aws:ssm:eu-west-1:123456789012:parameter"

func TestSSM_GetParameter(t *testing.T) {
	t.Parallel()
	_, st, c := start(t)
	st.PutParameter(Parameter{Name: "/app/db", Value: "one"})
	st.PutParameter(Parameter{Name: "/app/db", Type: "SecureString", Value: "two"})
	st.LabelParameter("/app/db", 1, "old")
	st.PutParameter(Parameter{Name: "plain", Type: "StringList", Value: "a,b"})
	key := st.CreateKey()
	st.PutParameter(Parameter{Name: "/locked", Type: "SecureString", Value: "x", KeyID: key})
	st.DisableKey(key)
	st.PutParameter(Parameter{Name: "/shared", Value: "theirs", Tier: "Advanced", Account: "999999999999"})
	st.PutParameter(Parameter{Name: "/aws/service/ami", Value: "ami-1"})
	_, version := st.PutSecret("prod/db", "s3cret")
	const ref = "/aws/reference/secretsmanager/"
	for _, tc := range []struct {
		name, ask        string
		value, base, sel string
		code, text       string
	}{
		{name: "latest", ask: "/app/db", value: "two", base: "/app/db"},
		{name: "spaces around", ask: " /app/db ", value: "two", base: "/app/db"},
		{name: "version", ask: "/app/db:1", value: "one", base: "/app/db", sel: ":1"},
		{name: "label", ask: "/app/db:old", value: "one", base: "/app/db", sel: ":old"},
		{name: "ARN", ask: ssmARN + "/app/db", value: "two", base: "/app/db"},
		{name: "ARN with version", ask: ssmARN + "/app/db:1", value: "one", base: "/app/db", sel: ":1"},
		{name: "ARN of a bare name", ask: ssmARN + "/plain", value: "a,b", base: "plain"},
		{name: "shared", ask: "arn:aws:ssm:eu-west-1:999999999999:parameter/shared", value: "theirs", base: "/shared"},
		{name: "shared by name", ask: "/shared", code: "ParameterNotFound"},
		{name: "not shared", ask: "arn:aws:ssm:eu-west-1:999999999999:parameter/other", code: "AccessDeniedException",
			text: "no resource-based policy"},
		{name: "public", ask: "/aws/service/ami", value: "ami-1", base: "/aws/service/ami"},
		{name: "absent", ask: "/none", code: "ParameterNotFound"},
		{name: "absent version", ask: "/app/db:7", code: "ParameterVersionNotFound", text: "version 7"},
		{name: "absent label", ask: "/app/db:new", code: "ParameterVersionNotFound", text: "label new"},
		{name: "no slash in front", ask: "app/db", code: "ValidationException", text: "Parameter name"},
		{name: "inner space", ask: "/a b", code: "ValidationException", text: "Parameter name"},
		{name: "empty selector", ask: "/app/db:", code: "ValidationException"},
		{name: "too long", ask: strings.Repeat("a", 2049), code: "ValidationException", text: "2048"},
		{name: "disabled key", ask: "/locked", code: "InvalidKeyId", text: "is disabled"},
		{name: "secret", ask: ref + "prod/db", value: "s3cret", base: ref + "prod/db"},
		{name: "secret by stage", ask: ref + "prod/db:AWSCURRENT", value: "s3cret", base: ref + "prod/db",
			sel: ":AWSCURRENT"},
		{name: "secret by version", ask: ref + "prod/db:" + version, value: "s3cret", base: ref + "prod/db",
			sel: ":" + version},
		{name: "absent secret", ask: ref + "none", code: "ParameterNotFound", text: "not found"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := c.ssm.GetParameter(t.Context(),
				&ssm.GetParameterInput{Name: &tc.ask, WithDecryption: aws.Bool(true)})
			wantCode(t, err, tc.code, tc.text)
			if err != nil {
				return
			}
			if p := out.Parameter; *p.Value != tc.value || *p.Name != tc.base || aws.ToString(p.Selector) != tc.sel {
				t.Errorf("got %s%s = %q", *p.Name, aws.ToString(p.Selector), *p.Value)
			}
		})
	}
	out, err := c.ssm.GetParameter(t.Context(),
		&ssm.GetParameterInput{Name: aws.String(ref + "prod/db"), WithDecryption: aws.Bool(true)})
	if err != nil || !strings.HasPrefix(*out.Parameter.ARN, "arn:aws:secretsmanager:") || out.Parameter.Version != 0 ||
		!strings.Contains(*out.Parameter.SourceResult, "s3cret") {
		t.Errorf("reference: %v", err)
	}
	_, err = c.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String(ref + "prod/db")})
	wantCode(t, err, "ValidationException", "WithDecryption")
}

func TestSSM_GetParameters(t *testing.T) {
	t.Parallel()
	_, st, c := start(t)
	for _, name := range []string{"/b", "/a", "c"} {
		st.PutParameter(Parameter{Name: name, Value: "of " + name})
	}
	st.PutParameter(Parameter{Name: "/a", Value: "second"})
	eleven := make([]string, 11)
	for i := range eleven {
		eleven[i] = fmt.Sprint("/n", i)
	}
	for _, tc := range []struct {
		name           string
		ask            []string
		found, missing []string
		code, text     string
	}{
		{name: "in alphabetical order", ask: []string{"c", "/b", "/a"},
			found: []string{"/a=second", "/b=of /b", "c=of c"}},
		{name: "duplicates once", ask: []string{"c", "c"}, found: []string{"c=of c"}},
		{name: "selectors apart", ask: []string{"/a", "/a:1", "/a:2"},
			found: []string{"/a=second", "/a:1=of /a", "/a:2=second"}},
		{name: "by ARN", ask: []string{ssmARN + "/b"}, found: []string{"/b=of /b"}},
		{name: "missing name, version and label", ask: []string{"/a:9", "/x", "/b:l", "/b"},
			found: []string{"/b=of /b"}, missing: []string{"/a:9", "/b:l", "/x"}},
		{name: "missing reference", ask: []string{"/aws/reference/secretsmanager/x"},
			missing: []string{"/aws/reference/secretsmanager/x"}},
		{name: "one malformed", ask: []string{"/a", "x/y"}, code: "ValidationException"},
		{name: "none", ask: []string{}, code: "ValidationException", text: "greater than or equal to 1"},
		{name: "eleven", ask: eleven, code: "ValidationException",
			text: "1 validation error detected: Value '[/n0, /n1, /n2, /n3, /n4, /n5, /n6, /n7, /n8, /n9, /n10]' " +
				"at 'names' failed to satisfy constraint: Member must have length less than or equal to 10"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := c.ssm.GetParameters(t.Context(),
				&ssm.GetParametersInput{Names: tc.ask, WithDecryption: aws.Bool(true)})
			wantCode(t, err, tc.code, tc.text)
			if err != nil {
				return
			}
			var found []string
			for _, p := range out.Parameters {
				found = append(found, *p.Name+aws.ToString(p.Selector)+"="+*p.Value)
			}
			if !slices.Equal(found, tc.found) || !slices.Equal(out.InvalidParameters, tc.missing) {
				t.Errorf("got %q, invalid %q", found, out.InvalidParameters)
			}
		})
	}
}

// What GetParameter returns undecrypted is KMS ciphertext in the standard tier only.
func TestSSM_SecureStringCiphertext(t *testing.T) {
	t.Parallel()
	_, st, c := start(t)
	ctx := t.Context()
	st.PutParameter(Parameter{Name: "/std", Type: "SecureString", Value: "v"})
	st.PutParameter(Parameter{Name: "/adv", Type: "SecureString", Value: "v", Tier: "Advanced"})
	st.PutParameter(Parameter{Name: "/big", Type: "SecureString", Value: strings.Repeat("v", 8192), Tier: "Advanced"})
	decrypt := func(name string) (string, error) {
		out, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: &name})
		if err != nil {
			t.Fatal(err)
		}
		blob, err := base64.StdEncoding.DecodeString(*out.Parameter.Value)
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob,
			EncryptionContext: map[string]string{"PARAMETER_ARN": ssmARN + name}})
		if err != nil {
			return "", err
		}
		return string(d.Plaintext), nil
	}
	if got, err := decrypt("/std"); err != nil || got != "v" {
		t.Errorf("standard tier: %q, %v", got, err)
	}
	_, err := decrypt("/adv")
	wantCode(t, err, "InvalidCiphertextException", "")
	_, err = decrypt("/big")
	wantCode(t, err, "ValidationException", "6144")
}

func TestSSM_GetParametersByPath(t *testing.T) {
	t.Parallel()
	s, st, c := start(t)
	for i := range 12 {
		st.PutParameter(Parameter{Name: fmt.Sprintf("/app/p%02d", i), Value: "v"})
	}
	st.PutParameter(Parameter{Name: "/app/deep/x", Type: "SecureString", Value: "v"})
	st.PutParameter(Parameter{Name: "/apple", Value: "v"})
	list := func(in ssm.GetParametersByPathInput) (names []string, pages int, err error) {
		in.WithDecryption = aws.Bool(true)
		pager := ssm.NewGetParametersByPathPaginator(c.ssm, &in)
		for pager.HasMorePages() {
			page, err := pager.NextPage(t.Context())
			if err != nil {
				return names, pages, err
			}
			pages++
			for _, p := range page.Parameters {
				names = append(names, *p.Name)
			}
		}
		return names, pages, nil
	}
	for _, tc := range []struct {
		name         string
		path         string
		recursive    bool
		size         int32
		emptyFirst   int
		count, pages int
		code         string
	}{
		{name: "one level", path: "/app", count: 12, pages: 2},
		{name: "trailing slash", path: "/app/", count: 12, pages: 2},
		{name: "recursive", path: "/app", recursive: true, count: 13, pages: 2},
		{name: "root", path: "/", recursive: true, count: 14, pages: 2},
		{name: "small pages", path: "/app", size: 5, count: 12, pages: 3},
		{name: "nothing below", path: "/none", pages: 1},
		{name: "two empty pages first", path: "/app", emptyFirst: 2, count: 12, pages: 4},
		{name: "no slash", path: "app", code: "ValidationException"},
		{name: "page too large", path: "/app", size: 11, code: "ValidationException"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.emptyFirst > 0 {
				defer s.Fault(Fault{Do: EmptyPage, Times: tc.emptyFirst}).Remove()
			}
			in := ssm.GetParametersByPathInput{Path: &tc.path, Recursive: &tc.recursive}
			if tc.size > 0 {
				in.MaxResults = &tc.size
			}
			names, pages, err := list(in)
			wantCode(t, err, tc.code, "")
			if err == nil && (len(names) != tc.count || pages != tc.pages || !slices.IsSorted(names)) {
				t.Errorf("%d names on %d pages: %q", len(names), pages, names)
			}
		})
	}
}

func TestSSM_Writes(t *testing.T) {
	t.Parallel()
	_, _, c := start(t)
	ctx, name := t.Context(), aws.String("/w")
	put := func(value string, overwrite bool) error {
		_, err := c.ssm.PutParameter(ctx, &ssm.PutParameterInput{Name: name, Value: &value,
			Type: types.ParameterTypeSecureString, Overwrite: &overwrite})
		return err
	}
	wantCode(t, put("1", false), "", "")
	wantCode(t, put("2", false), "ParameterAlreadyExists", "")
	wantCode(t, put("2", true), "", "")
	wantCode(t, put(strings.Repeat("x", 4097), true), "ValidationException", "4096")
	label := func(version int64) {
		t.Helper()
		if _, err := c.ssm.LabelParameterVersion(ctx, &ssm.LabelParameterVersionInput{Name: name,
			ParameterVersion: &version, Labels: []string{"live"}}); err != nil {
			t.Fatal(err)
		}
		out, err := c.ssm.GetParameter(ctx,
			&ssm.GetParameterInput{Name: aws.String("/w:live"), WithDecryption: aws.Bool(true)})
		if err != nil || out.Parameter.Version != version || *out.Parameter.Value != fmt.Sprint(version) {
			t.Fatal(out, err)
		}
	}
	label(2)
	label(1) // moves
	if _, err := c.ssm.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: name}); err != nil {
		t.Fatal(err)
	}
	_, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: name})
	wantCode(t, err, "ParameterNotFound", "")
}
