package secrets_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// fetch asks a provider as a cache does: parsed references, sources only.
func fetch(t testing.TB, p secrets.Provider, texts ...string) []secrets.Result {
	t.Helper()
	refs := make([]secrets.Ref, len(texts))
	for i, text := range texts {
		ref, err := secrets.ParseRef(text)
		if err != nil {
			t.Fatal(err)
		}
		refs[i] = ref.Source()
	}
	results := p.Fetch(t.Context(), refs)
	if len(results) != len(refs) {
		t.Fatalf("%d results for %d references", len(results), len(refs))
	}
	return results
}

// wantResult checks a result: a plaintext, or the kind of its error.
func wantResult(t testing.TB, r secrets.Result, plaintext string, kind error) {
	t.Helper()
	switch {
	case kind != nil:
		if !errors.Is(r.Err, kind) {
			t.Errorf("error %v; want %v", r.Err, kind)
		}
	case r.Err != nil:
		t.Errorf("%s", secrets.Detail(r.Err))
	case r.Value.Reveal() != plaintext:
		t.Errorf("plaintext %q, want %q", r.Value.Reveal(), plaintext)
	}
}

// wantCalls checks what went out since the last call of it, in any order: "2 ssm:GetParameter".
func wantCalls(t testing.TB, s *endpoint.Server, want ...string) {
	t.Helper()
	counts := map[string]int{}
	for _, c := range s.Calls() {
		counts[c.Operation]++
	}
	s.ResetCalls()
	var got []string
	for op, n := range counts {
		got = append(got, fmt.Sprintf("%d %s", n, op))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}

func TestKMS_Contexts(t *testing.T) {
	t.Parallel()
	console := map[string]string{"LambdaFunctionName": "fn"}
	other := map[string]string{"LambdaFunctionName": "other"}
	for _, tc := range []struct {
		name      string
		encrypted map[string]string
		options   string
		function  string // AWS_LAMBDA_FUNCTION_NAME
		calls     int
		kind      error
		tried     string // in the detail of an error
	}{
		{"none, none", nil, "", "fn", 1, nil, ""},
		{"console's, second try", console, "", "fn", 2, nil, ""},
		{"console's, first try", console, "?context=console", "fn", 1, nil, ""},
		{"none, second try", nil, "?context=console", "fn", 2, nil, ""},
		{"none alone", console, "?context=none", "fn", 1, secrets.ErrDecrypt, "tried: none;"},
		{"another function's", other, "", "fn", 2, secrets.ErrDecrypt, "tried: none, {LambdaFunctionName=fn}"},
		{"stated, in any order", map[string]string{"a": "1", "b": "2"}, "?context.b=2&context.a=1", "fn", 1, nil, ""},
		{"stated, and wrong: no other is tried", nil, "?context.a=1", "fn", 1, secrets.ErrDecrypt, "tried: {a=1}"},
		{"part of it", map[string]string{"a": "1", "b": "2"}, "?context.a=1", "fn", 1, secrets.ErrDecrypt,
			"tried: {a=1}"},
		{"not on Lambda", nil, "", "", 1, nil, ""},
		{"the console's, not on Lambda", nil, "?context=console", "", 1, nil, ""},
		{"raw SecureString", map[string]string{"PARAMETER_ARN": "arn:aws:ssm:eu-west-1:123456789012:parameter/app/db"},
			"?context.PARAMETER_ARN=arn:aws:ssm:eu-west-1:123456789012:parameter/app/db", "fn", 1, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			blob := st.Encrypt(st.CreateKey(), []byte("plain"), tc.encrypted)
			env := newEnv(t, cfg, map[string]string{"K": kmsRef(blob) + tc.options,
				"AWS_LAMBDA_FUNCTION_NAME": tc.function}, secrets.WithLogger(quiet()))
			v, err := env.Get(t.Context(), "K")
			wantResult(t, secrets.Result{Value: v, Err: err}, "plain", tc.kind)
			if detail := secrets.Detail(err); !strings.Contains(detail, tc.tried) {
				t.Errorf("detail %q lacks %q", detail, tc.tried)
			}
			wantCalls(t, s, fmt.Sprintf("%d kms:Decrypt", tc.calls))
		})
	}
}

// A second try is made only where the first says that the context may be wrong.
func TestKMS_SecondTry(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "fn") // NewKMS reads it
	for _, tc := range []struct {
		name  string
		first endpoint.Fault
		hits  int
		kind  error // nil: the second try brings the value
	}{
		{"denied by a condition on the context", endpoint.Fault{Do: endpoint.Deny, Times: 1}, 1, nil},
		{"denied both times", endpoint.Fault{Do: endpoint.Deny}, 2, secrets.ErrAccessDenied},
		{"disabled", endpoint.Fault{Do: endpoint.Fail, Code: "DisabledException"}, 1, secrets.ErrDecrypt},
		{"wrong key", endpoint.Fault{Do: endpoint.Fail, Code: "IncorrectKeyException"}, 1, secrets.ErrDecrypt},
		{"throttled", endpoint.Fault{Do: endpoint.Throttle}, 1, secrets.ErrThrottled},
		{"unavailable", endpoint.Fault{Do: endpoint.Fail, Code: "KeyUnavailableException", Status: 500},
			1, secrets.ErrUnavailable},
		{"unknown", endpoint.Fault{Do: endpoint.Fail, Code: "BrandNewException"}, 1, secrets.ErrUnavailable},
		{"no Plaintext", endpoint.Fault{Do: endpoint.Missing, Member: "Plaintext"}, 2, secrets.ErrUnavailable},
		{"empty answer", endpoint.Fault{Do: endpoint.Empty}, 1, secrets.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, st, cfg := start(t)
			blob := st.Encrypt(st.CreateKey(), []byte("plain"), map[string]string{"LambdaFunctionName": "fn"})
			h := s.Fault(tc.first)
			wantResult(t, fetch(t, secrets.NewKMS(cfg), kmsRef(blob))[0], "plain", tc.kind)
			if h.Hits() != tc.hits {
				t.Errorf("%d hits, want %d", h.Hits(), tc.hits)
			}
		})
	}
	// The first try does not fit, the second is throttled: that one is worth a retry. Or it is denied: that one is to
	// be allowed.
	for _, second := range []struct {
		fault endpoint.Fault
		kind  error
	}{{endpoint.Fault{Do: endpoint.Throttle, Skip: 1}, secrets.ErrThrottled},
		{endpoint.Fault{Do: endpoint.Deny, Skip: 1}, secrets.ErrAccessDenied}} {
		s, st, cfg := start(t)
		blob := st.Encrypt(st.CreateKey(), []byte("plain"), map[string]string{"LambdaFunctionName": "fn"})
		s.Fault(second.fault)
		wantResult(t, fetch(t, secrets.NewKMS(cfg), kmsRef(blob))[0], "", second.kind)
	}
}

func TestKMS_Keys(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	key, other := st.CreateKey(), st.CreateKey()
	st.CreateAlias("alias/app", key)
	blob := kmsRef(st.Encrypt(key, []byte("plain"), nil))
	foreign := kmsRef(s.Region("us-east-1").Encrypt(s.Region("us-east-1").CreateKey(), []byte("far"), nil))
	for _, tc := range []struct {
		name, ref string
		pinned    []string // by WithKMSKeys
		kind      error
	}{
		{"no key stated", blob, nil, nil},
		{"the key", blob + "?key=" + key, nil, nil},
		{"its alias", blob + "?key=alias/app", nil, nil},
		{"another key", blob + "?key=" + other, nil, secrets.ErrDecrypt},
		{"no such alias", blob + "?key=alias/none", nil, secrets.ErrDecrypt},
		{"pinned", blob, []string{other, key}, nil},
		{"not pinned", blob, []string{other}, secrets.ErrDecrypt},
		{"another Region's ciphertext", foreign, nil, secrets.ErrAccessDenied},
		{"another Region", foreign + "?region=us-east-1", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opts := []secrets.Option{secrets.WithLogger(quiet())}
			if tc.pinned != nil {
				opts = append(opts, secrets.WithKMSKeys(tc.pinned...))
			}
			env := newEnv(t, cfg, map[string]string{"K": tc.ref}, opts...)
			v, err := env.Get(t.Context(), "K")
			want := "plain"
			if strings.HasPrefix(tc.ref, foreign) {
				want = "far"
			}
			wantResult(t, secrets.Result{Value: v, Err: err}, want, tc.kind)
		})
	}
	t.Run("the key's Region is asked", func(t *testing.T) {
		far := s.Region("us-east-1")
		key := far.CreateKey()
		s.ResetCalls()
		wantResult(t, fetch(t, secrets.NewKMS(cfg), kmsRef(far.Encrypt(key, []byte("far"), nil))+"?key="+key)[0], "far",
			nil)
		if c := s.Calls(); len(c) != 1 || c[0].Region != "us-east-1" {
			t.Errorf("calls %+v", c)
		}
	})
	t.Run("the key's ARN is reported", func(t *testing.T) {
		if r := fetch(t, secrets.NewKMS(cfg), blob)[0]; r.ARN != key {
			t.Errorf("ARN %q, want %q", r.ARN, key)
		}
	})
}

func TestKMS_KeyStates(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		do   func(*endpoint.Store, string)
		code string
	}{
		{"disabled", (*endpoint.Store).DisableKey, "DisabledException"},
		{"pending deletion", (*endpoint.Store).ScheduleKeyDeletion, "KMSInvalidStateException"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, st, cfg := start(t)
			key := st.CreateKey()
			blob := st.Encrypt(key, []byte("plain"), nil)
			tc.do(st, key)
			r := fetch(t, secrets.NewKMS(cfg), kmsRef(blob))[0]
			wantResult(t, r, "", secrets.ErrDecrypt)
			var e *secrets.ResolveError
			if errors.As(r.Err, &e); e.Code != tc.code {
				t.Errorf("code %q, want %q", e.Code, tc.code)
			}
		})
	}
}

// A plaintext of any bytes comes out as it was, and a corrupt ciphertext does not.
func TestKMS_AnyBytes(t *testing.T) {
	t.Parallel()
	_, st, cfg := start(t)
	key := st.CreateKey()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	blob := st.Encrypt(key, all, nil)
	wantResult(t, fetch(t, secrets.NewKMS(cfg), kmsRef(blob))[0], string(all), nil)
	blob[len(blob)-1] ^= 1
	wantResult(t, fetch(t, secrets.NewKMS(cfg), kmsRef(blob))[0], "", secrets.ErrDecrypt)
	wantResult(t, fetch(t, secrets.NewKMS(cfg), kmsRef([]byte("no ciphertext, but as long as one of KMS")))[0], "",
		secrets.ErrDecrypt)
}

// Up to 32 calls are under way at once.
func TestKMS_Width(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	s.SetLatency("*", 200*time.Millisecond)
	key := st.CreateKey()
	var now, most atomic.Int32
	p := secrets.NewKMS(cfg, func(o *kms.Options) { o.APIOptions = append(o.APIOptions, counting(&now, &most)) })
	texts := make([]string, 70)
	for i := range texts {
		texts[i] = kmsRef(st.Encrypt(key, fmt.Append(nil, i), nil))
	}
	for i, r := range fetch(t, p, texts...) {
		wantResult(t, r, fmt.Sprint(i), nil)
	}
	if n := most.Load(); n > 32 || n < 16 { // fewer than 32 on a busy machine
		t.Errorf("%d calls at once, want 32", n)
	}
}

// counting notes in most how many calls were under way at once.
func counting(now, most *atomic.Int32) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("counting",
			func(ctx context.Context, in middleware.InitializeInput,
				next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				n := now.Add(1)
				defer now.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				return next.HandleInitialize(ctx, in)
			}), middleware.Before)
	}
}

// Whatever AWS, or who answers in its place, quotes of a ciphertext does not reach the error.
func TestKMS_QuotedCiphertextIsHidden(t *testing.T) {
	t.Parallel()
	blob := []byte("the-ciphertext-of-somebody-0f3a-97")
	text := base64.StdEncoding.EncodeToString(blob)
	for name, quoted := range map[string]string{"base64": text, "raw": string(blob)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aws, cfg := answer(0, fmt.Appendf(nil,
				`{"__type":"InvalidCiphertextException","message":"cannot read %s here"}`, quoted))
			aws.status = 400
			err := fetch(t, secrets.NewKMS(cfg), kmsRef(blob))[0].Err
			if !errors.Is(err, secrets.ErrDecrypt) {
				t.Fatal(err)
			}
			if seen := fmt.Sprintf("%s %+v %s", err, err, secrets.Detail(err)); !strings.Contains(seen,
				"cannot read") || strings.Contains(seen, quoted) {
				t.Errorf("shows %s", seen)
			}
		})
	}
}
