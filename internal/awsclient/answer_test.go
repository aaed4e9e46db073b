package awsclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// unknown is an HTTP client of a type that this package does not know.
type unknown struct{ http.Client }

// httpClients are the kinds of HTTP client that a configuration may state.
var httpClients = map[string]func() aws.HTTPClient{
	"none":      func() aws.HTTPClient { return nil },
	"the SDK's": func() aws.HTTPClient { return awshttp.NewBuildableClient() },
	"own":       func() aws.HTTPClient { return &http.Client{} },
	"own, following": func() aws.HTTPClient {
		return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	},
}

// answering returns a configuration whose every request has one answer.
func answering(status int, body []byte) aws.Config {
	cfg := base("http://localhost")
	cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		h := http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader(body))}, nil
	})}
	return prepare(cfg)
}

// call makes one call of an operation.
func call(ctx context.Context, cfg aws.Config, operation string) error {
	var err error
	switch operation {
	case "Decrypt":
		_, err = kms.NewFromConfig(cfg).Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: []byte("c")})
	case "GetSecretValue":
		in := &secretsmanager.GetSecretValueInput{SecretId: aws.String("a")}
		_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, in)
	case "BatchGetSecretValue":
		_, err = secretsmanager.NewFromConfig(cfg).BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{})
	case "GetParameter":
		err = get(ctx, cfg)
	case "GetParameters":
		_, err = ssm.NewFromConfig(cfg).GetParameters(ctx, &ssm.GetParametersInput{Names: []string{"/a"}})
	case "GetParametersByPath":
		_, err = ssm.NewFromConfig(cfg).GetParametersByPath(ctx, &ssm.GetParametersByPathInput{Path: aws.String("/a")})
	}
	return err
}

func TestAnswer_SizeByOperation(t *testing.T) {
	t.Parallel()
	for operation, limit := range map[string]int{
		"Decrypt": 64 << 10, "GetSecretValue": 1 << 20, "GetParameter": 1 << 20, "GetParameters": 1 << 20,
		"GetParametersByPath": 1 << 20, "BatchGetSecretValue": 8 << 20,
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			for size, fits := range map[int]bool{limit: true, limit + 1: false} {
				body := []byte(`{"Ignored":"` + strings.Repeat("x", size-len(`{"Ignored":""}`)) + `"}`)
				err := call(t.Context(), answering(200, body), operation)
				if r := Refused(err); (err == nil) != fits || !fits && r == nil {
					t.Errorf("%d bytes: %v", size, err)
				}
			}
			err := call(t.Context(), answering(400, bytes.Repeat([]byte(" "), 64<<10+1)), operation)
			if Refused(err) == nil {
				t.Errorf("an error of 64 KiB and a byte: %v", err)
			}
		})
	}
}

// A refused answer is not asked for again on the spot: each would cost the memory anew.
func TestAnswer_RefusedIsNotRetried(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		io.Copy(io.Discard, r.Body) // or the answer might break the request
		io.WriteString(w, `{"Ignored":"`+strings.Repeat("x", 2<<20)+`"}`)
	}))
	defer s.Close()
	if err := get(t.Context(), prepare(base(s.URL))); err == nil || calls.Load() != 1 {
		t.Errorf("%d calls: %v", calls.Load(), err)
	}
}

// Many answers at one time are bounded together, and what was read is given back.
func TestAnswer_RunningTogether(t *testing.T) {
	before := running.Load()
	gate, read := make(chan struct{}), make(chan struct{})
	rest := bytes.Repeat([]byte(" "), 8<<20-100)
	cfg := base("http://localhost")
	cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		held := readerFunc(func([]byte) (int, error) {
			read <- struct{}{}
			<-gate
			return 0, io.EOF
		})
		begin, end := strings.NewReader(`{"SecretValues":[]`), strings.NewReader("}")
		body := io.MultiReader(begin, bytes.NewReader(rest), held, end)
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body)}, nil
	})}
	cfg = prepare(cfg)
	errs := make(chan error)
	for range 2 { // that fit
		go func() { errs <- call(t.Context(), cfg, "BatchGetSecretValue") }()
	}
	<-read
	<-read
	if err := call(t.Context(), cfg, "BatchGetSecretValue"); Refused(err) == nil {
		t.Errorf("the third: %v", err)
	}
	close(gate)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := running.Load(); n != before {
		t.Errorf("%d bytes were not given back", n-before)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// The SDK would replace what is not text, and the password would look like a good one.
func TestAnswer_NotText(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value string // between the quotes
		good  bool
	}{
		"ASCII":                       {"pass", true},
		"UTF-8":                       {"pä€𝄞", true},
		"a replacement character":     {"\uFFFD", true},
		"the same, escaped":           {`\ufffd`, true},
		"a pair":                      {`\ud834\udd1e`, true},
		"a pair in capitals":          {`\uD834\uDD1E!`, true},
		"a backslash and a u":         {`\\ud834`, true},
		"Latin-1":                     {"p\xe4ss", false},
		"half a rune":                 {"p\xe2\x82", false},
		"overlong":                    {"\xc0\xaf", false},
		"a surrogate in UTF-8":        {"\xed\xa0\xb4", false},
		"above Unicode":               {"\xf4\x90\x80\x80", false},
		"a high half":                 {`\ud834`, false},
		"a high half and text":        {`\ud834x`, false},
		"a high half and an escape":   {`\ud834\n`, false},
		"a high half and a character": {`\ud834ä`, false},
		"two high halves":             {`\ud834\ud834`, false},
		"a low half":                  {`\udd1e`, false},
		"a low half after a pair":     {`\ud834\udd1e\udd1e`, false},
	} {
		body := []byte(`{"Parameter":{"Name":"/a","Value":"` + tc.value + `"}}`)
		if err := get(t.Context(), answering(200, body)); (err == nil) != tc.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswer_Members(t *testing.T) {
	t.Parallel()
	for n, good := range map[int]bool{maxMembers - 2: true, maxMembers: false} {
		body := []byte(`{"Ignored":[` + strings.TrimSuffix(strings.Repeat("0,", n), ",") + `],"Text":",,,,[[[["}`)
		if err := get(t.Context(), answering(200, body)); (err == nil) != good {
			t.Errorf("%d elements: %v", n, err)
		}
	}
}

// The end of the connection in the middle of a text is io.ErrUnexpectedEOF, whatever the SDK's decoder says of it. The
// end of an answer that is whole is none.
func TestAnswer_CutShort(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		`{"a":"]}"}`: nil,
		`{"a":[1]} `: nil,
		``:           nil, // of no length at all: the backends tell
		`{"a":"`:     io.ErrUnexpectedEOF,
		`{"a":"b"`:   io.ErrUnexpectedEOF,
		`{"a":[1,2}`: io.ErrUnexpectedEOF,
	} {
		a := &answer{body: io.NopCloser(strings.NewReader(text)), limit: maxAnswer, text: &jsonText{}}
		if got, err := io.ReadAll(a); err != want || string(got) != text {
			t.Errorf("%s: read %q, %v; want %v", text, got, err, want)
		}
		a.release()
		if want == nil {
			continue
		}
		a = &answer{body: io.NopCloser(strings.NewReader(text)), limit: maxAnswer, text: &jsonText{}, framed: true}
		if _, err := io.ReadAll(a); err != errHalf {
			t.Errorf("%s, whole as HTTP: %v, want %v", text, err, errHalf)
		}
		a.release()
	}
}

// What the check lets pass is decoded without a replacement, and it refuses nothing else.
func FuzzAnswerText(f *testing.F) {
	for _, s := range []string{"", "a", "\\", "ä", "\xff", `\ud834\udd1e`, `\ud834`, `\\ud834"`, "\xed\xa0\x80", `"`} {
		f.Add([]byte(s), 1)
	}
	for _, s := range []string{"ä", "\xff", `\ud834\udd1e`, `\ud834`, `\\`, `\"`} { // among plain bytes
		for before := range 9 {
			f.Add([]byte("01234567"[:before]+s+"0123456789abcdef"), 19)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, pieces int) {
		whole := []byte(`["` + string(text) + `"]`)
		var decoded []string
		if json.Unmarshal(whole, &decoded) != nil || strings.Count(string(whole), ",") > 100 {
			return
		}
		written := bytes.Contains(text, []byte("\uFFFD")) || bytes.Contains(bytes.ToLower(text), []byte(`\ufffd`))
		replaced := strings.Contains(strings.Join(decoded, ""), "\uFFFD")
		var c jsonText
		var err error
		for step := max(1, pieces%20); len(whole) > 0 && err == nil; whole = whole[min(step, len(whole)):] {
			_, err = c.check(whole[:min(step, len(whole))])
		}
		if !written && (err != nil) != replaced {
			t.Errorf("%q: %v, decoded as %q", text, err, decoded)
		}
	})
}

// Whoever redirects gets no request of ours, and no answer that came by a redirect is taken.
func TestClients_RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, client := range httpClients {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				t.Parallel()
				followed, err := redirected(t, client(), status)
				if err == nil || followed != 0 {
					t.Errorf("followed %d times: %v", followed, err)
				}
			})
		}
		t.Run(fmt.Sprint(status, " unknown"), func(t *testing.T) {
			t.Parallel()
			// Such a client follows it. Some statuses it gives back, since the request has a body.
			followed, err := redirected(t, &unknown{}, status)
			if err == nil || followed != 0 && !errors.Is(err, errRedirected) {
				t.Errorf("followed %d times: %v", followed, err)
			}
		})
	}
}

// redirected makes a call that is redirected to a host that gives an answer.
func redirected(t *testing.T, client aws.HTTPClient, status int) (followed int32, err error) {
	var n atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		io.WriteString(w, `{"Parameter":{"Name":"/a","Value":"stolen"}}`)
	}))
	defer target.Close()
	from := httptest.NewServer(http.RedirectHandler(target.URL, status))
	defer from.Close()
	cfg := base(from.URL)
	cfg.HTTPClient = client
	err = get(t.Context(), prepare(cfg))
	return n.Load(), err
}

// Every client's attempts end, before the headers and after them.
func TestClients_AttemptsEnd(t *testing.T) {
	t.Parallel()
	hang := func(headers bool) roundTripper {
		return func(r *http.Request) (*http.Response, error) {
			wait := func() error { <-r.Context().Done(); return r.Context().Err() }
			if !headers {
				return nil, wait()
			}
			body := io.NopCloser(readerFunc(func([]byte) (int, error) { return 0, wait() }))
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body}, nil
		}
	}
	for _, headers := range []bool{false, true} {
		for name, tc := range map[string]struct {
			client aws.HTTPClient
			want   time.Duration
		}{
			"own":              {&http.Client{Transport: hang(headers)}, AttemptTimeout},
			"own with a limit": {&http.Client{Transport: hang(headers), Timeout: 7 * time.Second}, 7 * time.Second},
			"unknown":          {&unknown{http.Client{Transport: hang(headers)}}, AttemptTimeout},
		} {
			t.Run(fmt.Sprintf("%s, headers %v", name, headers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := base("http://localhost")
					cfg.HTTPClient = tc.client
					began := time.Now()
					err := get(within(t, time.Minute), prepare(cfg))
					if took := time.Since(began); err == nil || took != tc.want {
						t.Errorf("after %v: %v", took, err)
					}
				})
			})
		}
	}
}
