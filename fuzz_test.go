//go:build !secrets.nokms && !secrets.nossm && !secrets.nosm

package secrets_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/awserr"
)

// FuzzField: a field is found or is an ErrField, quotes nothing, and a plain key of a plain object is what
// encoding/json says it is.
func FuzzField(f *testing.F) {
	for _, seed := range [][2]string{{`{"a":"CANARY"}`, "a"}, {`{"a":{"b":[1,2.50,null]}}`, "a.b.1"},
		{`{"a/b":{"~":true}}`, "/a~1b/~0"}, {`[1]`, "0"}, {`{"a":1,"a":2}`, "a"}, {"CANARY", "a"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, document, path string) {
		got, err := secrets.NewValue(document, "7").Field(path)
		if err != nil {
			if !errors.Is(err, secrets.ErrField) || !got.IsZero() {
				t.Errorf("%v", err)
			}
			// The path itself is quoted, and may hold what the document is made of.
			detail := strings.ReplaceAll(secrets.Detail(err), strconv.Quote(awserr.Clip(path, 100)), "")
			if len(document) > 8 && len(path) < 100 && strings.Contains(detail, document) &&
				!strings.Contains(path, document) {
				t.Errorf("%s quotes the value", secrets.Detail(err))
			}
			return
		}
		if got.Version() != "7" {
			t.Error("the version is lost")
		}
		var members map[string]json.RawMessage
		if json.Unmarshal([]byte(document), &members) != nil || members[path] == nil || !utf8.ValidString(document) {
			return
		}
		var text string
		if json.Unmarshal(members[path], &text) == nil && !strings.HasPrefix(path, "/") && got.Reveal() != text {
			t.Errorf("%q of %q is %q", path, document, got.Reveal())
		}
	})
}

// FuzzCiphertext: what is accepted is base64 of exactly these bytes, in either alphabet, whatever white space; what is
// not is not quoted.
func FuzzCiphertext(f *testing.F) {
	for _, seed := range []string{"AQICAHh4", "AQIC AHh4\n", "AQICAHg", "AQICAHg=", "_-8=", "/+8=", "AQ=ICA",
		"CANARY-CANARY!", "Q0FOQVJZ?context=none", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "?#") {
			text = strings.NewReplacer("?", "", "#", "").Replace(text)
		}
		ref, err := secrets.ParseRef("kms://" + text)
		if err != nil {
			if len(text) > 8 && strings.Contains(err.Error()+secrets.Detail(err), text) {
				t.Errorf("%v quotes the text", err)
			}
			return
		}
		plain := strings.NewReplacer("-", "+", "_", "/", " ", "", "\t", "", "\n", "", "\r", "", "\v", "", "\f",
			"").Replace(text)
		blob, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(plain, "="))
		if err != nil || string(blob) != ref.ID() {
			t.Errorf("%q is read as %x, encoding/base64 says %x, %v", text, ref.ID(), blob, err)
		}
		if back, err := secrets.ParseRef(ref.Text()); back != ref || err != nil {
			t.Errorf("%q does not come back: %v", ref.Text(), err)
		}
		if len(text) > 12 && strings.Contains(ref.String(), text) {
			t.Errorf("%s shows the ciphertext", ref)
		}
	})
}

// answering is an AWS that always says the same.
type answering struct {
	status int
	body   []byte
	calls  atomic.Int32
}

func (a *answering) Do(*http.Request) (*http.Response, error) {
	a.calls.Add(1)
	return &http.Response{StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		Body:   io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body))}, nil
}

func answer(status uint16, body []byte) (*answering, aws.Config) {
	a := &answering{status: 200, body: body}
	if status%4 != 0 {
		a.status = 100 + int(status)%500
	}
	cfg := config("https://aws.example")
	cfg.HTTPClient, cfg.Retryer = a, onceOnly
	return a, cfg
}

// An object is what one JSON object of an answer holds under the names that matter: all of them, where one stands there
// twice.
type object map[string][]string

// objects lists every object of body, at whatever depth, as far as body is JSON.
func objects(body []byte) (all []object) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value func(token json.Token) (string, bool)
	value = func(token json.Token) (string, bool) {
		switch token {
		case json.Delim('{'):
			o := object{}
			for d.More() {
				name, err := d.Token()
				if err != nil {
					return "", false
				}
				next, err := d.Token()
				if err != nil {
					return "", false
				}
				if text, ok := value(next); ok {
					o[name.(string)] = append(o[name.(string)], text)
				}
			}
			d.Token()
			all = append(all, o)
		case json.Delim('['):
			for d.More() {
				next, err := d.Token()
				if err != nil {
					return "", false
				}
				value(next)
			}
			d.Token()
		default:
			text, ok := token.(string)
			return text, ok
		}
		return "", false
	}
	if first, err := d.Token(); err == nil {
		value(first)
	}
	return all
}

// checkAnswers holds results against body: as many as there are refs, each a value that body has for that ref, or an
// error that quotes none.
func checkAnswers(t *testing.T, refs []secrets.Ref, results []secrets.Result, body []byte,
	has func(o object, ref secrets.Ref, plain string) bool) {
	t.Helper()
	if len(results) != len(refs) {
		t.Fatalf("%d results for %d references", len(results), len(refs))
	}
	all := objects(body)
	for i, r := range results {
		switch {
		case r.Err == nil && r.Value.IsZero(), r.Err != nil && !r.Value.IsZero():
			t.Errorf("%v: neither value nor error, or both: %v", refs[i], r.Err)
		case r.Err != nil && bytes.Contains(body, []byte(`"CANARY`)) && !bytes.Contains(bytes.ToLower(body),
			[]byte("message")) && strings.Contains(secrets.Detail(r.Err), "CANARY"):
			t.Errorf("%s quotes the value", secrets.Detail(r.Err))
		case r.Err == nil && utf8.Valid(body) &&
			!slices.ContainsFunc(all, func(o object) bool { return has(o, refs[i], r.Value.Reveal()) }):
			t.Errorf("%v is %q, which the answer does not say: %q", refs[i], r.Value.Reveal(), body)
		}
	}
}

func FuzzKMSAnswer(f *testing.F) {
	for _, seed := range []string{`{"Plaintext":"Q0FOQVJZ","KeyId":"arn:aws:kms:eu-west-1:123456789012:key/k"}`,
		`{"Plaintext":"%%"}`, `{"Plaintext":1}`, `{}`, `null`, `{"__type":"InvalidCiphertextException"}`,
		`{"Plaintext":"QQ==","Plaintext":"Qg=="}`} {
		f.Add(uint16(0), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status uint16, body []byte) {
		_, cfg := answer(status, body)
		refs := []secrets.Ref{secrets.Ciphertext([]byte("blobblobblobblobblobblobblobblob"))}
		checkAnswers(t, refs, secrets.NewKMS(cfg).Fetch(t.Context(), refs), body,
			func(o object, _ secrets.Ref, plain string) bool {
				return slices.ContainsFunc(o["Plaintext"], func(s string) bool {
					b, err := base64.StdEncoding.DecodeString(s)
					return err == nil && string(b) == plain
				})
			})
	})
}

func FuzzSSMAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"Parameters":[{"Name":"/a","Value":"CANARY-a","Version":1},{"Name":"/b","Value":"CANARY-b","Version":3,` +
			`"Selector":":3"}],"InvalidParameters":["/c:blue"]}`,
		`{"Parameters":[{"Name":"/zzz","Value":"CANARY"},{"Name":"/a"},{"Value":"CANARY"},{"Name":"/a","Value":7}]}`,
		`{"Parameter":{"Name":"/a","Value":"CANARY"}}`,
		`{"Parameters":[{"Name":"/t/x","Value":"CANARY"},{"Name":"/t/y/z","Value":"1"}]}`,
		`{"Parameters":[],"NextToken":"t"}`, `{"Parameters":null,"InvalidParameters":[null,1]}`, `[]`,
		`{"Parameters":[{"Name":"/b:3","Value":"CANARY-b"},{"Name":"d",` +
			`"ARN":"arn:aws:ssm:eu-west-1:123456789012:parameter/d:3","Value":"CANARY-d"}],"InvalidParameters":["c"]}`,
		`{"__type":"ParameterNotFound"}`, `{"Parameters":[{"Name":"/a","Value":"CANARY","Value":"2"}],"Parameters":[]}`,
		`{"Parameter":{"Name":"d","ARN":"arn:aws:ssm:eu-west-1:123456789012:parameter/d","Value":"CANARY",` +
			`"SourceResult":"{"}}`,
	} {
		f.Add(uint16(0), []byte(seed))
	}
	base := func(name string) string {
		if _, path, ok := strings.Cut(name, ":parameter/"); ok {
			name = path
		}
		return strings.TrimPrefix(name, "/")
	}
	f.Fuzz(func(t *testing.T, status uint16, body []byte) {
		a, cfg := answer(status, body)
		refs := []secrets.Ref{secrets.SSMParameter("/a"), mustParse(t, "ssm:///b:3"), mustParse(t, "ssm:///c:blue"),
			secrets.SSMParameter("arn:aws:ssm:eu-west-1:123456789012:parameter/d")}
		has := func(o object, ref secrets.Ref, plain string) bool {
			named := slices.ContainsFunc(o["Name"], func(n string) bool {
				return base(n) == base(ref.ID()) || base(n) == base(ref.ID())+":"+ref.Version()+ref.Stage()
			}) || slices.Contains(o["ARN"], ref.ID())
			return named && slices.Contains(o["Value"], plain)
		}
		alone := func(o object, ref secrets.Ref, plain string) bool { // an answer need not say what it is for
			return has(o, ref, plain) || strings.Join(append(o["Name"], o["ARN"]...), "") == "" &&
				slices.Contains(o["Value"], plain)
		}
		checkAnswers(t, refs[:3], secrets.NewSSM(cfg).Fetch(t.Context(), refs[:3]), body, has)
		checkAnswers(t, refs[:1], secrets.NewSSM(cfg).Fetch(t.Context(), refs[:1]), body, alone)
		// each alone: one states a Region
		checkAnswers(t, refs[2:], secrets.NewSSM(cfg).Fetch(t.Context(), refs[2:]), body, alone)
		a.calls.Store(0)
		tree := mustParse(t, "ssm:///t/*")
		r := secrets.NewSSM(cfg).Fetch(t.Context(), []secrets.Ref{tree})[0]
		if n := a.calls.Load(); n > 1100 {
			t.Errorf("%d calls for one tree", n)
		}
		if r.Err != nil || !utf8.Valid(body) {
			return
		}
		var members map[string]string
		if err := json.Unmarshal([]byte(r.Value.Reveal()), &members); err != nil || len(members) == 0 ||
			len(members) > 100 {
			t.Fatalf("the tree is %q: %v", r.Value.Reveal(), err)
		}
		all := objects(body)
		for name, value := range members {
			if !slices.ContainsFunc(all, func(o object) bool {
				return slices.Contains(o["Name"], "/t/"+name) && slices.Contains(o["Value"], value)
			}) {
				t.Errorf("%s=%q is not in the answer %q", name, value, body)
			}
		}
	})
}

func FuzzSecretsManagerAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"Name":"a","ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf","SecretString":"CANARY",` +
			`"VersionId":"1"}`, `{"Name":"a","SecretBinary":"Q0FOQVJZ"}`,
		`{"Name":"zzz","SecretString":"CANARY"}`, `{"SecretString":"CANARY"}`, `{"Name":"a","SecretString":null}`,
		`{"SecretValues":[{"Name":"b","SecretString":"CANARY-b"},{"Name":"a","SecretString":"CANARY-a"},{"Name":"x",` +
			`"SecretString":"CANARY-x"}],"Errors":[{"SecretId":"c","ErrorCode":"ResourceNotFoundException"}]}`,
		`{"SecretValues":[{"Name":"a","SecretString":"1"},{"Name":"a","SecretString":"2"}],"NextToken":"t"}`,
		`{"Errors":[null,{"SecretId":"a"}]}`, `{"__type":"DecryptionFailure","Message":"m"}`, `"x"`,
		`{"SecretValues":[{"ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:d-AbCdEf","SecretBinary":"!"}]}`,
	} {
		f.Add(uint16(0), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status uint16, body []byte) {
		const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:d"
		refs := []secrets.Ref{secrets.Secret("a"), secrets.Secret("b"),
			secrets.Secret("c").With("stage", "AWSPREVIOUS"), secrets.Secret(arn)}
		has := func(o object, ref secrets.Ref, plain string) bool {
			named := slices.Contains(o["Name"], ref.ID()) ||
				slices.ContainsFunc(o["ARN"], func(a string) bool {
					return a == ref.ID() || strings.HasPrefix(a, ref.ID()+"-")
				}) ||
				strings.Join(append(o["Name"], o["ARN"]...), "") == "" // asked for alone
			return named && (slices.Contains(o["SecretString"], plain) ||
				slices.ContainsFunc(o["SecretBinary"], func(s string) bool {
					b, err := base64.StdEncoding.DecodeString(s)
					return err == nil && string(b) == plain
				}))
		}
		_, cfg := answer(status, body)
		checkAnswers(t, refs, secrets.NewSecretsManager(cfg).Fetch(t.Context(), refs), body, has)
		checkAnswers(t, refs, secrets.NewBatchingSecretsManager(cfg).Fetch(t.Context(), refs), body, has)
	})
}
