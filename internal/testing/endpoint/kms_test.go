package endpoint

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

func TestKMS_Decrypt(t *testing.T) {
	t.Parallel()
	s, st, c := start(t)
	key, other, disabled, pending := st.CreateKey(), st.CreateKey(), st.CreateKey(), st.CreateKey()
	st.CreateAlias("alias/app", key)
	id := key[strings.LastIndexByte(key, '/')+1:]
	context := map[string]string{"a": "1", "b": "2"}
	plain := []byte("twelve bytes")
	blob := st.Encrypt("alias/app", plain, context)
	ofDisabled, ofPending := st.Encrypt(disabled, plain, nil), st.Encrypt(pending, plain, nil)
	st.DisableKey(disabled)
	st.ScheduleKeyDeletion(pending)
	us := s.Region("us-east-1")
	foreign := us.Encrypt(us.CreateKey(), plain, nil)
	flipped := bytes.Clone(blob)
	flipped[len(flipped)-1] ^= 1
	if len(blob) != 153 || !bytes.HasPrefix(blob, []byte{1, 2, 2, 0, 0x78}) {
		t.Errorf("blob of %d bytes: % x", len(blob), blob[:5])
	}
	const unreachable = "The ciphertext refers to a customer master key that does not exist"
	for _, tc := range []struct {
		name       string
		blob       []byte
		context    map[string]string
		key        string
		code, text string
	}{
		{"no key named", blob, context, "", "", ""},
		{"by key ID", blob, context, id, "", ""},
		{"by key ARN", blob, context, key, "", ""},
		{"by alias", blob, context, "alias/app", "", ""},
		{"by alias ARN", blob, context, "arn:aws:kms:eu-west-1:123456789012:alias/app", "", ""},
		{"without context", blob, nil, "", "InvalidCiphertextException", ""},
		{"part of the context", blob, map[string]string{"a": "1"}, "", "InvalidCiphertextException", ""},
		{"context in other case", blob, map[string]string{"A": "1", "b": "2"}, "", "InvalidCiphertextException", ""},
		{"pairs shifted", blob, map[string]string{"a": "1b", "": "2"}, "", "InvalidCiphertextException", ""},
		{"corrupt", flipped, context, "", "InvalidCiphertextException", ""},
		{"cut off", blob[:100], context, "", "InvalidCiphertextException", ""},
		{"not KMS ciphertext", []byte("hello"), nil, "", "InvalidCiphertextException", ""},
		{"empty", []byte{}, nil, "", "ValidationException", "greater than or equal to 1"},
		{"too long", make([]byte, 6145), nil, "", "ValidationException", "less than or equal to 6144"},
		{"another key named", blob, context, other, "IncorrectKeyException", "does not identify a CMK"},
		{"absent key named", blob, context, "11111111-1111-1111-1111-111111111111", "NotFoundException",
			"does not exist"},
		{"absent alias named", blob, context, "alias/none", "NotFoundException", "alias/none is not found"},
		{"key of another Region named", blob, context, "arn:aws:kms:us-east-1:123456789012:key/" + id,
			"NotFoundException", ""},
		{"ciphertext of another Region", foreign, nil, "", "AccessDeniedException", unreachable},
		{"disabled key", ofDisabled, nil, "", "DisabledException", "is disabled"},
		{"key pending deletion", ofPending, nil, "", "KMSInvalidStateException", "is pending deletion"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := &kms.DecryptInput{CiphertextBlob: tc.blob, EncryptionContext: tc.context}
			if tc.key != "" {
				in.KeyId = aws.String(tc.key)
			}
			out, err := c.kms.Decrypt(t.Context(), in)
			wantCode(t, err, tc.code, tc.text)
			if err == nil && (!bytes.Equal(out.Plaintext, plain) || *out.KeyId != key) {
				t.Errorf("got %q under %s", out.Plaintext, *out.KeyId)
			}
			if tc.code == "InvalidCiphertextException" &&
				!strings.HasSuffix(err.Error(), "InvalidCiphertextException: ") {
				t.Errorf("%v has a message; AWS's has none", err)
			}
		})
	}
}

func TestKMS_KeyStates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	s := New(Options{Now: func() time.Time { return now }, AccountID: "210987654321"})
	defer s.Close()
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	c, ctx := connect(url, region, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}), t.Context()
	made, err := c.kms.CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil || !strings.HasPrefix(*made.KeyMetadata.Arn, "arn:aws:kms:eu-west-1:210987654321:key/") {
		t.Fatal(made, err)
	}
	key := made.KeyMetadata.KeyId
	if _, err = c.kms.CreateAlias(ctx,
		&kms.CreateAliasInput{AliasName: aws.String("alias/x"), TargetKeyId: key}); err != nil {
		t.Fatal(err)
	}
	sealed, err := c.kms.Encrypt(ctx, &kms.EncryptInput{KeyId: aws.String("alias/x"), Plaintext: []byte("p")})
	if err != nil {
		t.Fatal(err)
	}
	decrypt := func() error {
		_, err := c.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
		return err
	}
	wantCode(t, decrypt(), "", "")
	c.kms.DisableKey(ctx, &kms.DisableKeyInput{KeyId: key})
	wantCode(t, decrypt(), "DisabledException", "")
	c.kms.EnableKey(ctx, &kms.EnableKeyInput{KeyId: key})
	wantCode(t, decrypt(), "", "")
	if _, err := c.kms.ScheduleKeyDeletion(ctx,
		&kms.ScheduleKeyDeletionInput{KeyId: key, PendingWindowInDays: aws.Int32(7)}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, decrypt(), "KMSInvalidStateException", "")
	now = now.AddDate(0, 0, 7)
	wantCode(t, decrypt(), "AccessDeniedException", "does not exist")
}
