package endpoint

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

func TestSecretsManager_GetSecretValue(t *testing.T) {
	t.Parallel()
	_, st, c := start(t)
	_, first := st.PutSecret("prod/db", "one")
	arn, second := st.PutSecret("prod/db", "two")
	third := st.PutPending("prod/db", "three")
	tricky, _ := st.PutSecret("app-abcdef", "x")
	st.PutSecret("long-name", "x")
	st.CreateSecret("empty", "")
	st.PutSecret("doomed", "x")
	st.DeleteSecret("doomed")
	st.PutSecret("purged", "x")
	st.PurgeSecret("purged")
	key := st.CreateKey()
	st.CreateSecret("locked", key)
	st.PutSecret("locked", "x")
	st.DisableKey(key)
	partial := arn[:len(arn)-7]
	const cannot = "Secrets Manager can't find the specified secret."
	for _, tc := range []struct {
		name, id, version, stage string
		value                    string
		code, text               string
	}{
		{name: "by name", id: "prod/db", value: "two"},
		{name: "by ARN", id: arn, value: "two"},
		{name: "by partial ARN", id: partial, value: "two"},
		{name: "by version", id: "prod/db", version: first, value: "one"},
		{name: "previous", id: "prod/db", stage: "AWSPREVIOUS", value: "one"},
		{name: "pending", id: "prod/db", stage: "AWSPENDING", value: "three"},
		{name: "version and its stage", id: "prod/db", version: second, stage: "AWSCURRENT", value: "two"},
		{name: "version and another stage", id: "prod/db", version: third, stage: "AWSCURRENT",
			code: "InvalidRequestException", text: "not associated"},
		{name: "absent", id: "none", code: "ResourceNotFoundException", text: cannot},
		{name: "absent stage", id: "prod/db", stage: "BLUE", code: "ResourceNotFoundException",
			text: "staging label: BLUE"},
		{name: "absent version", id: "prod/db", version: strings.Repeat("0", 36), code: "ResourceNotFoundException",
			text: "VersionId: 000"},
		{name: "short version", id: "prod/db", version: "7", code: "ValidationException", text: "versionId"},
		{name: "ARN of one made again", id: partial + "-zzzzzz", code: "ResourceNotFoundException", text: cannot},
		{name: "partial ARN of a name that looks complete", id: tricky[:len(tricky)-7],
			code: "ResourceNotFoundException", text: cannot},
		{name: "partial ARN cut too short", id: strings.Replace(partial, "prod/db", "long", 1),
			code: "ResourceNotFoundException", text: cannot},
		{name: "no value yet", id: "empty", code: "ResourceNotFoundException", text: "staging label: AWSCURRENT"},
		{name: "marked for deletion", id: "doomed", code: "InvalidRequestException", text: "marked for deletion"},
		{name: "purged", id: "purged", code: "ResourceNotFoundException", text: cannot},
		{name: "disabled key", id: "locked", code: "DecryptionFailure"},
		{name: "bad name", id: "a:b", code: "ValidationException", text: "Invalid name"},
		{name: "another account", id: "arn:aws:secretsmanager:eu-west-1:999999999999:secret:x-abcdef",
			code: "AccessDeniedException", text: "no resource-based policy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := &sm.GetSecretValueInput{SecretId: &tc.id}
			if tc.version != "" {
				in.VersionId = &tc.version
			}
			if tc.stage != "" {
				in.VersionStage = &tc.stage
			}
			out, err := c.sm.GetSecretValue(t.Context(), in)
			wantCode(t, err, tc.code, tc.text)
			if err == nil && (*out.SecretString != tc.value || *out.ARN != arn || *out.Name != "prod/db") {
				t.Errorf("got %q of %s", *out.SecretString, *out.ARN)
			}
		})
	}
	binary := []byte{0, 1, 0xff}
	st.PutSecretBinary("bin", binary)
	out, err := c.sm.GetSecretValue(t.Context(), &sm.GetSecretValueInput{SecretId: aws.String("bin")})
	if err != nil || !bytes.Equal(out.SecretBinary, binary) || out.SecretString != nil {
		t.Errorf("binary: %v %v", out, err)
	}
}

func TestSecretsManager_BatchGetSecretValue(t *testing.T) {
	t.Parallel()
	_, st, c := start(t)
	st.PutSecret("a", "va")
	arn, _ := st.PutSecret("b", "vb")
	st.PutSecret("doomed", "x")
	st.DeleteSecret("doomed")
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprint("s", i)
	}
	for _, tc := range []struct {
		name           string
		ids            []string
		values, errors []string
		code           string
	}{
		{name: "values and errors", ids: []string{"a", arn[:len(arn)-7], "none", "doomed"},
			values: []string{"a=va", "b=vb"},
			errors: []string{"none ResourceNotFoundException", "doomed InvalidRequestException"}},
		{name: "duplicates", ids: []string{"a", "a"}, code: "InvalidParameterException"},
		{name: "too many", ids: many, code: "ValidationException"},
		{name: "none", code: "InvalidParameterException"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := c.sm.BatchGetSecretValue(t.Context(), &sm.BatchGetSecretValueInput{SecretIdList: tc.ids})
			wantCode(t, err, tc.code, "")
			if err != nil {
				return
			}
			var values, failures []string
			for _, v := range out.SecretValues {
				values = append(values, *v.Name+"="+*v.SecretString)
			}
			for _, e := range out.Errors {
				failures = append(failures, *e.SecretId+" "+*e.ErrorCode)
			}
			if !slices.Equal(values, tc.values) || !slices.Equal(failures, tc.errors) {
				t.Errorf("got %q, errors %q", values, failures)
			}
		})
	}
}

// TestSecretsManager_Rotation goes through a rotation as a rotation function does.
func TestSecretsManager_Rotation(t *testing.T) {
	t.Parallel()
	_, _, c := start(t)
	ctx, id := t.Context(), aws.String("rotated")
	made, err := c.sm.CreateSecret(ctx, &sm.CreateSecretInput{Name: id, SecretString: aws.String("old")})
	if err != nil {
		t.Fatal(err)
	}
	token := aws.String("11111111-2222-3333-4444-555555555555")
	put := func(value string) error {
		_, err := c.sm.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: id, SecretString: &value,
			ClientRequestToken: token, VersionStages: []string{"AWSPENDING"}})
		return err
	}
	wantCode(t, put("new"), "", "")
	wantCode(t, put("new"), "", "") // idempotent
	wantCode(t, put("other"), "ResourceExistsException", "")
	want := func(stage, value string) {
		t.Helper()
		out, err := c.sm.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: id, VersionStage: &stage})
		if err != nil || *out.SecretString != value {
			t.Fatalf("%s: %v, %v; want %s", stage, out, err, value)
		}
	}
	want("AWSCURRENT", "old")
	want("AWSPENDING", "new")
	move := &sm.UpdateSecretVersionStageInput{SecretId: id, VersionStage: aws.String("AWSCURRENT"),
		MoveToVersionId: token}
	_, err = c.sm.UpdateSecretVersionStage(ctx, move)
	wantCode(t, err, "InvalidParameterException", "RemoveFromVersionId can't be empty")
	move.RemoveFromVersionId = made.VersionId
	_, err = c.sm.UpdateSecretVersionStage(ctx, move)
	wantCode(t, err, "", "")
	want("AWSCURRENT", "new")
	want("AWSPREVIOUS", "old")
	described, err := c.sm.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: id})
	if err != nil || !slices.Equal(described.VersionIdsToStages[*token], []string{"AWSPENDING", "AWSCURRENT"}) {
		t.Errorf("stages %v, %v", described.VersionIdsToStages, err)
	}
	if _, err := c.sm.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, put("new"), "InvalidRequestException", "marked for deletion")
	_, err = c.sm.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: id})
	wantCode(t, err, "InvalidRequestException", "marked for deletion")
	if _, err := c.sm.RestoreSecret(ctx, &sm.RestoreSecretInput{SecretId: id}); err != nil {
		t.Fatal(err)
	}
	want("AWSCURRENT", "new")
	if _, err := c.sm.DeleteSecret(ctx,
		&sm.DeleteSecretInput{SecretId: id, ForceDeleteWithoutRecovery: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	again, err := c.sm.CreateSecret(ctx, &sm.CreateSecretInput{Name: id, SecretString: aws.String("again")})
	if err != nil || *again.ARN == *made.ARN {
		t.Errorf("made again: %v, %v; want another ARN", again, err)
	}
}

// TestSecretsManager_RotationByGo does the same by Go calls.
func TestSecretsManager_RotationByGo(t *testing.T) {
	t.Parallel()
	_, st, c := start(t)
	st.PutSecret("s", "old")
	pending := st.PutPending("s", "new")
	st.FinishRotation("s")
	for stage, want := range map[string]string{"AWSCURRENT": "new", "AWSPREVIOUS": "old", "AWSPENDING": ""} {
		out, err := c.sm.GetSecretValue(t.Context(),
			&sm.GetSecretValueInput{SecretId: aws.String("s"), VersionStage: aws.String(stage)})
		if want == "" {
			wantCode(t, err, "ResourceNotFoundException", stage)
		} else if err != nil || *out.SecretString != want {
			t.Errorf("%s: %v, %v", stage, out, err)
		}
	}
	st.MoveStage("s", "BLUE", pending)
	out, err := c.sm.GetSecretValue(t.Context(),
		&sm.GetSecretValueInput{SecretId: aws.String("s"), VersionStage: aws.String("BLUE")})
	if err != nil || *out.SecretString != "new" {
		t.Errorf("BLUE: %v, %v", out, err)
	}
}
