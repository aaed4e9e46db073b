package secrets_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/parallel"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

func TestSecretsManager_Versions(t *testing.T) {
	t.Parallel()
	_, st, cfg := start(t)
	_, v1 := st.PutSecret("prod/db", "one")
	arn, v2 := st.PutSecret("prod/db", "two")
	v3 := st.PutPending("prod/db", "three")
	st.CreateSecret("empty", "")
	st.PutSecret("gone", "x")
	st.DeleteSecret("gone")
	p := secrets.NewSecretsManager(cfg)
	for _, tc := range []struct {
		name, ref, want, version string
		kind                     error
	}{
		{"current", "sm://prod/db", "two", v2, nil},
		{"current, stated", "sm://prod/db?stage=AWSCURRENT", "two", v2, nil},
		{"previous", "sm://prod/db?stage=AWSPREVIOUS", "one", v1, nil},
		{"pending", "sm://prod/db?stage=AWSPENDING", "three", v3, nil},
		{"by id", "sm://prod/db?version=" + v1, "one", v1, nil},
		{"by ARN", "sm://" + arn, "two", v2, nil},
		{"by partial ARN", "sm://" + arn[:len(arn)-7], "two", v2, nil},
		{"ECS tail: stage", "sm://" + arn + "::AWSPREVIOUS:", "one", v1, nil},
		{"ECS tail: version", "sm://" + arn + ":::" + v1, "one", v1, nil},
		{"no such stage", "sm://prod/db?stage=GREEN", "", "", secrets.ErrNotFound},
		{"no such version", "sm://prod/db?version=" + strings.Repeat("0", 8) + v1[8:], "", "", secrets.ErrNotFound},
		{"no such secret", "sm://none", "", "", secrets.ErrNotFound},
		{"no value yet", "sm://empty", "", "", secrets.ErrNotFound},
		{"marked for deletion", "sm://gone", "", "", secrets.ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := fetch(t, p, tc.ref)[0]
			wantResult(t, r, tc.want, tc.kind)
			if tc.kind == nil && (r.Value.Version() != tc.version || r.ARN != arn) {
				t.Errorf("version %q of %q; want %q of %q", r.Value.Version(), r.ARN, tc.version, arn)
			}
		})
	}
}

// Binary secrets come out byte for byte, also those that look like base64; the empty string is a value.
func TestSecretsManager_AnyBytes(t *testing.T) {
	t.Parallel()
	_, st, cfg := start(t)
	st.PutSecretBinary("binary", []byte{0, 1, 0xff, 0xfe, '\n'})
	st.PutSecretBinary("base64", []byte("aGVsbG8="))
	st.PutSecret("space", " \n padded \n")
	st.PutSecret("large", strings.Repeat("x", 65536))
	p := secrets.NewSecretsManager(cfg)
	for name, want := range map[string]string{"binary": "\x00\x01\xff\xfe\n", "base64": "aGVsbG8=",
		"space": " \n padded \n", "large": strings.Repeat("x", 65536)} {
		wantResult(t, fetch(t, p, "sm://"+name)[0], want, nil)
	}
}

// An answer without a value, or for something else, is not taken for one.
func TestSecretsManager_GarbledResult(t *testing.T) {
	t.Parallel()
	for _, fault := range []endpoint.Fault{{Do: endpoint.Missing}, {Do: endpoint.Missing, Member: "SecretString"},
		{Do: endpoint.Missing, Member: "Name"}, {Do: endpoint.Empty}, {Do: endpoint.Garbled}} {
		t.Run(string(fault.Do)+fault.Member, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			st.PutSecret("a", "x")
			s.Fault(fault)
			wantResult(t, fetch(t, secrets.NewSecretsManager(cfg), "sm://a")[0], "", secrets.ErrUnavailable)
		})
	}
}

// Several fields of one secret, and several names for its current version, are one call.
func TestSecretsManager_OneCallPerSecret(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	st.PutSecret("prod/db", `{"user":"u","password":"p"}`)
	env := newEnv(t, cfg, map[string]string{"U": "sm://prod/db#user", "P": "secretsmanager://prod/db#password",
		"ALL": "sm://prod/db", "FAST": "sm://prod/db?ttl=30s#user"})
	if err := env.Warm(patient(t)); err != nil {
		t.Fatal(secrets.Detail(err))
	}
	wantCalls(t, s, "1 secretsmanager:GetSecretValue")
}

func TestSecretsManager_BatchGetSecretValue(t *testing.T) {
	t.Parallel()
	const batch, get = "%d secretsmanager:BatchGetSecretValue", "%d secretsmanager:GetSecretValue"
	calls := func(b, g int) (want []string) {
		if b > 0 {
			want = append(want, fmt.Sprintf(batch, b))
		}
		if g > 0 {
			want = append(want, fmt.Sprintf(get, g))
		}
		return want
	}
	for _, tc := range []struct {
		name    string
		secrets int
		more    []string // references, to good values unless bad says otherwise
		setup   func(*endpoint.Server, *endpoint.Store)
		bad     map[string]error // secret → kind
		calls   []string
		again   []string // what a Refresh of everything costs then
	}{
		{name: "in twenties", secrets: 45, calls: calls(3, 0), again: calls(3, 0)},
		{name: "a lone secret", secrets: 1, calls: calls(0, 1), again: calls(0, 1)},
		{name: "other versions go singly", secrets: 3, more: []string{"sm://s0?stage=AWSPREVIOUS"},
			bad: map[string]error{"sm://s0?stage=AWSPREVIOUS": secrets.ErrNotFound}, calls: calls(1, 1)},
		{name: "the current stage, stated", secrets: 3, more: []string{"sm://s0?stage=AWSCURRENT"}, calls: calls(1, 1),
			again: calls(1, 1)},
		{name: "binary", secrets: 2, setup: func(_ *endpoint.Server, st *endpoint.Store) {
			st.PutSecretBinary("s1", []byte("value 1"))
		}, calls: calls(1, 0)},
		{name: "some are missing", secrets: 5,
			setup: func(_ *endpoint.Server, st *endpoint.Store) { st.PurgeSecret("s1"); st.DeleteSecret("s2") },
			bad:   map[string]error{"sm://s1": secrets.ErrNotFound, "sm://s2": secrets.ErrNotFound},
			calls: calls(1, 0)},
		{name: "the role lacks it", secrets: 25, setup: func(s *endpoint.Server, _ *endpoint.Store) {
			s.SetPolicy(allow(`"secretsmanager:GetSecretValue"`, `"*"`))
		}, calls: calls(2, 25), again: calls(0, 25)},
		{name: "allowed on ARNs only, which grants nothing", secrets: 3,
			setup: func(s *endpoint.Server, _ *endpoint.Store) {
				s.SetPolicy(allow(`["secretsmanager:GetSecretValue","secretsmanager:BatchGetSecretValue"]`,
					`"arn:aws:secretsmanager:*:*:secret:*"`))
			}, calls: calls(1, 3), again: calls(0, 3)},
		{name: "one secret is denied", secrets: 3, setup: func(s *endpoint.Server, _ *endpoint.Store) {
			s.SetPolicy(`{"Statement":[{"Effect":"Allow","Action":["secretsmanager:GetSecretValue",
			"secretsmanager:BatchGetSecretValue"],"Resource":"*"},
				{"Effect":"Deny","Action":"secretsmanager:GetSecretValue",
				"Resource":"arn:aws:secretsmanager:*:*:secret:s1-??????"}]}`)
		}, bad: map[string]error{"sm://s1": secrets.ErrAccessDenied}, calls: calls(1, 0)},
		{name: "refused for another reason", secrets: 3, setup: func(s *endpoint.Server, _ *endpoint.Store) {
			s.Fault(endpoint.Fault{Do: endpoint.Fail, Code: "InvalidParameterException",
				Operation: "secretsmanager:Batch*"})
		}, calls: calls(1, 3), again: calls(1, 3)},
		{name: "nothing is answered", secrets: 3, setup: func(s *endpoint.Server, _ *endpoint.Store) {
			s.Fault(endpoint.Fault{Do: endpoint.Missing, Operation: "secretsmanager:Batch*"})
		}, calls: calls(1, 3), again: calls(1, 3)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			environ := map[string]string{}
			for i := range tc.secrets {
				st.PutSecret(fmt.Sprintf("s%d", i), fmt.Sprintf("value %d", i))
				environ[fmt.Sprintf("S%d", i)] = fmt.Sprintf("sm://s%d", i)
			}
			for i, ref := range tc.more {
				environ[fmt.Sprintf("MORE%d", i)] = ref
			}
			if tc.setup != nil {
				tc.setup(s, st)
			}
			env := newEnv(t, cfg, environ, secrets.WithBatchGetSecretValue(), secrets.WithLogger(quiet()))
			env.Warm(patient(t))
			wantCalls(t, s, tc.calls...)
			for name, ref := range environ {
				v, err := env.Get(t.Context(), name)
				want := strings.TrimSuffix("value "+strings.TrimPrefix(ref, "sm://s"), "?stage=AWSCURRENT")
				wantResult(t, secrets.Result{Value: v, Err: err}, want, tc.bad[ref])
			}
			s.ResetCalls()
			if tc.again != nil {
				if err := env.Refresh(t.Context()); err != nil {
					t.Error(secrets.Detail(err))
				}
				wantCalls(t, s, tc.again...)
			}
		})
	}
}

// Names and ARNs of one secret go into different calls: a list that names a secret twice is refused.
func TestSecretsManager_BatchNamesAndARNs(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	environ := map[string]string{}
	for i := range 3 {
		arn, _ := st.PutSecret(fmt.Sprintf("s%d", i), fmt.Sprint(i))
		environ[fmt.Sprintf("NAME%d", i)] = fmt.Sprintf("sm://s%d", i)
		environ[fmt.Sprintf("ARN%d", i)] = "sm://" + arn
		environ[fmt.Sprintf("PART%d", i)] = "sm://" + arn[:len(arn)-7]
	}
	env := newEnv(t, cfg, environ, secrets.WithBatchGetSecretValue())
	if err := env.Warm(patient(t)); err != nil {
		t.Fatal(secrets.Detail(err))
	}
	for name := range environ {
		if got := mustGet(t, env, name).Reveal(); got != name[len(name)-1:] {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, c := range s.Calls() {
		arns := 0
		for _, id := range c.Resources {
			if strings.HasPrefix(id, "arn:") {
				arns++
			}
		}
		if arns != 0 && arns != len(c.Resources) {
			t.Errorf("%s of %q", c.Operation, c.Resources)
		}
	}
	if n := s.Count("secretsmanager:BatchGetSecretValue"); n != 2 {
		t.Errorf("%d batches, want one of names and one of ARNs", n)
	}
}

// A batch operation that is not to be had, for whatever reason that says nothing of GetSecretValue,
// is made up for by single calls in the same fetch, and the next fetch knows.
func TestSecretsManager_BatchUnavailable(t *testing.T) {
	t.Parallel()
	const batch, get = "1 secretsmanager:BatchGetSecretValue", "5 secretsmanager:GetSecretValue"
	for _, test := range []struct {
		name  string
		fault endpoint.Fault
	}{
		{"unknown", endpoint.Fault{Do: endpoint.Fail, Code: "UnknownOperationException"}},
		{"unknown, in older words", endpoint.Fault{Do: endpoint.Fail, Code: "InvalidAction"}},
		{"unknown, by status", endpoint.Fault{Do: endpoint.Fail, Code: "InternalFailure", Status: 501}},
		{"a page for an unknown path", endpoint.Fault{Do: endpoint.Fail, Status: 404}},
		{"denied", endpoint.Fault{Do: endpoint.Deny}},
		{"throttled", endpoint.Fault{Do: endpoint.Throttle}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			refs := secretsNamed(st, 5)
			test.fault.Operation = "secretsmanager:Batch*"
			s.Fault(test.fault)
			p := secrets.NewBatchingSecretsManager(cfg)
			for _, calls := range [][]string{{batch, get}, {get}} {
				for i, r := range fetch(t, p, refs...) {
					wantResult(t, r, fmt.Sprint(i), nil)
				}
				wantCalls(t, s, calls...)
			}
		})
	}
}

// secretsNamed makes secrets s0 … whose values are their numbers.
func secretsNamed(st *endpoint.Store, n int) (refs []string) {
	for i := range n {
		st.PutSecret(fmt.Sprint("s", i), fmt.Sprint(i))
		refs = append(refs, fmt.Sprint("sm://s", i))
	}
	return refs
}

// A throttled batch operation is tried again after a minute. Where single calls are throttled too,
// or fail, a fetch makes two calls and no more.
func TestSecretsManager_BatchThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, p := endpoint.New(endpoint.Options{}), endpoint.NewPipe()
		go s.Serve(p)
		defer s.Close()
		cfg := config("http://aws.test")
		cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(
			func(t *http.Transport) { t.DialContext = p.DialContext })
		refs := secretsNamed(s.Region(region), 10)
		provider := secrets.NewBatchingSecretsManager(cfg)
		const batch, single = "secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue"

		h := s.Fault(endpoint.Fault{Do: endpoint.Throttle})
		for range 3 {
			for _, r := range fetch(t, provider, refs...) {
				wantResult(t, r, "", secrets.ErrThrottled)
			}
			wantCalls(t, s, "1 "+batch, "1 "+single)
		}
		h.Remove()
		fetch(t, provider, refs...)
		wantCalls(t, s, "1 "+batch) // nothing was remembered

		s.Fault(endpoint.Fault{Do: endpoint.Throttle, Operation: batch, Times: 1})
		fetch(t, provider, refs...)
		wantCalls(t, s, "1 "+batch, "10 "+single)
		time.Sleep(59 * time.Second)
		fetch(t, provider, refs...)
		wantCalls(t, s, "10 "+single)
		time.Sleep(time.Second)
		fetch(t, provider, refs...)
		wantCalls(t, s, "1 "+batch)
	})
}

// An outage does not multiply the calls: what may pass by itself is left to whoever retries, with a
// mark where one secret alone may be to blame.
func TestSecretsManager_BatchOutage(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]endpoint.Fault{
		"500":                 {Do: endpoint.Fail, Code: "InternalServiceError", Status: 500},
		"a proxy's page":      {Do: endpoint.HTML503},
		"unknown":             {Do: endpoint.Fail, Code: "BrandNewException"},
		"unknown credentials": {Do: endpoint.Fail, Code: "UnrecognizedClientException"},
		"garbled":             {Do: endpoint.Garbled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
			refs := secretsNamed(st, 10)
			s.Fault(fault)
			for _, r := range fetch(t, secrets.NewBatchingSecretsManager(cfg), refs...) {
				if !secrets.Retryable(r.Err) || !secrets.WholeCall(r.Err) {
					t.Errorf("%s", secrets.Detail(r.Err))
				}
			}
			wantCalls(t, s, "1 secretsmanager:BatchGetSecretValue")
		})
	}
}

// Chunks of a batch that is refused share the width, rather than have it each.
func TestSecretsManager_BatchWidth(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	s.SetLatency("*", 50*time.Millisecond)
	s.Fault(endpoint.Fault{Operation: "secretsmanager:BatchGetSecretValue", Do: endpoint.Deny})
	var now, most atomic.Int32
	cfg.APIOptions = append(cfg.APIOptions, counting(&now, &most))
	var refs []secrets.Ref
	for i := range 40 {
		st.PutSecret(fmt.Sprint("s", i), fmt.Sprint(i))
		refs = append(refs, secrets.Secret(fmt.Sprint("s", i)))
	}
	for i, r := range secrets.NewBatchingSecretsManager(cfg).Fetch(parallel.WithWidth(t.Context(), 4), refs) {
		wantResult(t, r, fmt.Sprint(i), nil)
	}
	if n := most.Load(); n > 4 {
		t.Errorf("%d calls at once, want 4", n)
	}
}

type doing func(*http.Request) (*http.Response, error)

func (d doing) Do(r *http.Request) (*http.Response, error) { return d(r) }

// What is the default of AWS's is said all the same: some endpoints answer the newest version where no stage is stated.
func TestSecretsManager_StageIsStated(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{"sm://a": `"VersionStage":"AWSCURRENT"`,
		"sm://a?stage=AWSPREVIOUS":                            `"VersionStage":"AWSPREVIOUS"`,
		"sm://a?version=00000000-0000-4000-8000-000000000001": `"VersionId":"00000000-0000-4000-8000-000000000001"`} {
		aws, cfg := answer(0,
			[]byte(`{"Name":"a","ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf",`+
				`"VersionId":"00000000-0000-4000-8000-000000000001","SecretString":"x"}`))
		asked := ""
		cfg.HTTPClient = doing(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			asked = string(body)
			return aws.Do(r)
		})
		wantResult(t, fetch(t, secrets.NewSecretsManager(cfg), ref)[0], "x", nil)
		if !strings.Contains(asked, want) || strings.Count(asked, `"Version`) != 1 {
			t.Errorf("%s asks with %s, want %s alone", ref, asked, want)
		}
	}
}

func TestSecretsManager_Width(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	s.SetLatency("*", 200*time.Millisecond)
	var now, most atomic.Int32
	p := secrets.NewSecretsManager(cfg, func(o *secretsmanager.Options) {
		o.APIOptions = append(o.APIOptions, counting(&now, &most))
	})
	var texts []string
	for i := range 70 {
		st.PutSecret(fmt.Sprint("s", i), fmt.Sprint(i))
		texts = append(texts, fmt.Sprint("sm://s", i))
	}
	for i, r := range fetch(t, p, texts...) {
		wantResult(t, r, fmt.Sprint(i), nil)
	}
	if n := most.Load(); n > 32 || n < 16 { // fewer than 32 on a busy machine
		t.Errorf("%d calls at once, want 32", n)
	}
}

func TestSecretsManager_ResultOfAnotherSecret(t *testing.T) {
	t.Parallel()
	const asked, another = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	for _, tc := range []struct {
		name, ref, answers, version string
		kind                        error
	}{
		{"the secret and the version", "sm://a?version=" + asked, "a", asked, nil},
		{"another version", "sm://a?version=" + asked, "a", another, secrets.ErrUnavailable},
		{"another secret", "sm://a", "ab", asked, secrets.ErrUnavailable},
		{"a secret whose name begins alike", "sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:a", "a-b",
			asked, secrets.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, cfg := answer(0, fmt.Appendf(nil,
				`{"Name":%q,"ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:%s-AbCdEf","VersionId":%q,`+
					`"SecretString":"x"}`, tc.answers, tc.answers, tc.version))
			r := fetch(t, secrets.NewSecretsManager(cfg), tc.ref)[0]
			want := ""
			if tc.kind == nil {
				want = "x"
			}
			wantResult(t, r, want, tc.kind)
		})
	}
}

// A small function with several secrets hears once that a batch would do. One with more memory, few secrets or
// the batch hears nothing.
func TestSecretsManager_HintInSmallFunctions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		memory  string
		secrets int
		opts    []secrets.Option
		want    int
	}{
		"small":           {"512", 5, nil, 1},
		"few":             {"128", 4, nil, 0},
		"large":           {"513", 5, nil, 0},
		"not on Lambda":   {"", 5, nil, 0},
		"batch":           {"128", 5, []secrets.Option{secrets.WithBatchGetSecretValue()}, 0},
		"pinned versions": {"128", -5, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, st, cfg := start(t)
			environ := map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": test.memory}
			for i := range max(test.secrets, -test.secrets) {
				id := fmt.Sprint("s", i)
				environ[fmt.Sprint("S", i)] = "sm://" + id
				if _, version := st.PutSecret(id, "v"); test.secrets < 0 {
					environ[fmt.Sprint("S", i)] += "?version=" + version
				}
			}
			j, logged := newJournal()
			env := newEnv(t, cfg, environ, append(test.opts, logged)...)
			for range 2 {
				if err := env.Warm(t.Context()); err != nil {
					t.Fatal(secrets.Detail(err))
				}
				if err := env.Refresh(t.Context()); err != nil {
					t.Fatal(secrets.Detail(err))
				}
			}
			if got := j.Count("secrets.batch"); got != test.want {
				t.Errorf("%d lines, want %d", got, test.want)
			}
		})
	}
}
