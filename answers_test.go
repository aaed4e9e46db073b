package secrets_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lambdasecrets/secrets"
)

func TestSecretsManagerAnswersForAnother(t *testing.T) {
	t.Parallel()
	const asked, another = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	for _, tc := range []struct {
		name, ref, answers, version string
		kind                        error
	}{
		{"the secret and the version", "sm://a?version=" + asked, "a", asked, nil},
		{"another version", "sm://a?version=" + asked, "a", another, secrets.ErrUnavailable},
		{"another secret", "sm://a", "ab", asked, secrets.ErrUnavailable},
		{"a secret whose name begins alike", "sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:a", "a-b", asked, secrets.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, cfg := answer(0, fmt.Appendf(nil, `{"Name":%q,"ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:%s-AbCdEf","VersionId":%q,"SecretString":"x"}`, tc.answers, tc.answers, tc.version))
			r := fetch(t, secrets.NewSecretsManager(cfg), tc.ref)[0]
			want := ""
			if tc.kind == nil {
				want = "x"
			}
			wantResult(t, r, want, tc.kind)
		})
	}
}

// Whatever AWS, or who answers in its place, quotes of a ciphertext does not reach the error.
func TestQuotedCiphertextIsHidden(t *testing.T) {
	t.Parallel()
	blob := []byte("ciphertext-of-somebody-0f3a")
	text := base64.StdEncoding.EncodeToString(blob)
	for name, quoted := range map[string]string{"base64": text, "raw": string(blob)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aws, cfg := answer(0, fmt.Appendf(nil, `{"__type":"InvalidCiphertextException","message":"cannot read %s here"}`, quoted))
			aws.status = 400
			err := fetch(t, secrets.NewKMS(cfg), kmsRef(blob))[0].Err
			if !errors.Is(err, secrets.ErrDecrypt) {
				t.Fatal(err)
			}
			if seen := fmt.Sprintf("%s %+v %s", err, err, secrets.Detail(err)); !strings.Contains(seen, "cannot read") || strings.Contains(seen, quoted) {
				t.Errorf("shows %s", seen)
			}
		})
	}
}

// A declared variable may hold a plaintext that somebody put there by mistake, and that reads like a name: a refusal does not quote it.
func TestRefusedDeclarationIsNotQuoted(t *testing.T) {
	t.Parallel()
	const mistake = "correct-horse-battery"
	_, err := secrets.New(secrets.WithEnviron(map[string]string{"TOKEN": mistake}), secrets.WithVars(secrets.SecretsManager, "TOKEN"),
		secrets.WithCheck(func(string, secrets.Ref) error { return errors.New("not allowed") }))
	if seen := fmt.Sprintf("%v %+v %s", err, err, secrets.Detail(err)); !strings.Contains(seen, "TOKEN") || !strings.Contains(seen, "not allowed") || strings.Contains(seen, mistake) {
		t.Errorf("shows %s", seen)
	}
}
