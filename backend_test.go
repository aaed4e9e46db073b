package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go/logging"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// backends are the three providers over one configuration, and a reference for each that the store of start can answer
// with plaintext "s3cr3t".
func backends(cfg aws.Config, st *endpoint.Store) map[string]struct {
	secrets.Provider
	ref string
} {
	st.PutParameter(endpoint.Parameter{Name: "/a", Type: "SecureString", Value: "s3cr3t"})
	st.PutSecret("a", "s3cr3t")
	blob := st.Encrypt(st.CreateKey(), []byte("s3cr3t"), nil)
	const everything = aws.LogRequestWithBody | aws.LogResponseWithBody | aws.LogRetries | aws.LogSigning
	return map[string]struct {
		secrets.Provider
		ref string
	}{
		"kms": {secrets.NewKMS(cfg, func(o *kms.Options) { o.ClientLogMode |= everything }), kmsRef(blob)},
		"ssm": {secrets.NewSSM(cfg, func(o *ssm.Options) { o.ClientLogMode |= everything }), "ssm:///a"},
		"secretsmanager": {secrets.NewSecretsManager(cfg, func(o *secretsmanager.Options) {
			o.ClientLogMode |= everything
		}), "sm://a"},
	}
}

// The SDK's body logging prints plaintext. It stays off, whoever turned it on. (Promise 11.)
func TestBackend_BodiesAreNotLogged(t *testing.T) {
	t.Parallel()
	_, st, cfg := start(t)
	var mu sync.Mutex
	var log bytes.Buffer
	cfg.ClientLogMode = aws.LogRequestWithBody | aws.LogResponseWithBody | aws.LogResponse
	cfg.Logger = logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&log, format+"\n", v...)
	})
	for name, b := range backends(cfg, st) {
		r := fetch(t, b, b.ref)[0]
		wantResult(t, r, "s3cr3t", nil)
		if !strings.Contains(log.String(), "HTTP/1.1 200 OK") {
			t.Fatalf("%s: nothing is logged, so this test proves nothing", name)
		}
	}
	for _, leak := range []string{"s3cr3t", "czNjcjN0", "CiphertextBlob"} {
		if strings.Contains(log.String(), leak) {
			t.Errorf("the log holds %q:\n%s", leak, log.String())
		}
	}
}

// Every backend says which host did not answer, within one attempt.
func TestBackend_HangNamesHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, p := endpoint.New(endpoint.Options{}), endpoint.NewPipe()
		go s.Serve(p)
		defer s.Close()
		cfg := config("http://vpce.aws.test")
		cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.DialContext = p.DialContext
		})
		all := backends(cfg, s.Region(region))
		s.Fault(endpoint.Fault{Do: endpoint.Hang})
		for name, b := range all {
			began := time.Now()
			err := fetch(t, b, b.ref)[0].Err
			if took := time.Since(began); took != 2*time.Second || !errors.Is(err, secrets.ErrUnavailable) ||
				!strings.Contains(secrets.Detail(err), "vpce.aws.test") {
				t.Errorf("%s: after %v: %s", name, took, secrets.Detail(err))
			}
		}
	})
}

// A read whose time ends before the attempt's says which host it waited for, and that its time was up, not that the
// call was cancelled for it.
func TestGet_HangNamesHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, cfg := twoRegions(t, nil)
		s.Region(region).PutSecret("a", "s3cr3t")
		s.Fault(endpoint.Fault{Do: endpoint.Hang})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}), secrets.WithAWSConfig(cfg),
			secrets.WithLogger(quiet()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = env.Get(ctx, "A")
		if text := secrets.Detail(err); !strings.Contains(text, "secretsmanager."+region) ||
			!errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%s", text)
		}
	})
}

// A user's own retryer may back off beyond any deadline. What it backed off from is told, not that the time was over.
func TestBackend_ThrottleIsReportedAtDeadline(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Hour, nil })
		})
	}
	all := backends(cfg, st)
	s.Fault(endpoint.Fault{Do: endpoint.Throttle})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for name, b := range all {
		wg.Go(func() {
			ref, _ := secrets.ParseRef(b.ref)
			if err := b.Fetch(ctx, []secrets.Ref{ref})[0].Err; !errors.Is(err, secrets.ErrThrottled) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
}

// Credentials that expire are asked for anew, once, and only where they worked before.
func TestBackend_ExpiredCredentialsAreRenewedOnce(t *testing.T) {
	t.Parallel()
	for name := range backends(config("http://unused"), endpoint.New(endpoint.Options{}).Region(region)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			retrieved := 0
			retrieve := func(context.Context) (aws.Credentials, error) {
				retrieved++
				return aws.Credentials{AccessKeyID: fmt.Sprintf("AKID%d", retrieved),
					SecretAccessKey: "secret-access-key"}, nil
			}
			cfg.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(retrieve))
			b := backends(cfg, st)[name]
			expired := endpoint.Fault{Do: endpoint.Fail, Code: "ExpiredTokenException", Times: 1}

			s.Fault(expired)
			wantResult(t, fetch(t, b, b.ref)[0], "", secrets.ErrUnavailable)
			if retrieved != 1 {
				t.Errorf("credentials that never worked were asked for %d times", retrieved)
			}
			wantResult(t, fetch(t, b, b.ref)[0], "s3cr3t", nil)
			s.Fault(expired)
			wantResult(t, fetch(t, b, b.ref)[0], "s3cr3t", nil)
			calls := s.Calls()
			if last := calls[len(calls)-1]; last.AccessKeyID != "AKID2" || len(calls) != 4 {
				t.Errorf("%d calls, the last with %s", len(calls), last.AccessKeyID)
			}
			s.ResetCalls()
			expired.Times = 0
			s.Fault(expired)
			wantResult(t, fetch(t, b, b.ref)[0], "", secrets.ErrUnavailable)
			if n := len(s.Calls()); n != 2 {
				t.Errorf("%d calls with credentials that stay expired, want 2", n)
			}
		})
	}
}

// A cache asks for one Region at a time. A backend that is used without one asks each Region for what is its own all
// the same.
func TestBackend_SeveralRegionsInOneFetch(t *testing.T) {
	t.Parallel()
	s, _, cfg := start(t)
	var parameters, ids, want []string
	for i, r := range []string{region, "us-east-1", region, "us-east-1"} {
		for _, r := range []string{region, "us-east-1"} {
			s.Region(r).PutParameter(endpoint.Parameter{Name: fmt.Sprintf("/p%d", i), Value: fmt.Sprint(r, i)})
			s.Region(r).PutSecret(fmt.Sprintf("s%d", i), fmt.Sprint(r, i))
		}
		parameters, ids = append(parameters, fmt.Sprintf("ssm:///p%d?region=%s", i, r)), append(ids,
			fmt.Sprintf("sm://s%d?region=%s", i, r))
		want = append(want, fmt.Sprint(r, i))
	}
	for name, p := range map[string]secrets.Provider{"parameters": secrets.NewSSM(cfg),
		"secrets": secrets.NewSecretsManager(cfg), "secrets in batches": secrets.NewBatchingSecretsManager(cfg)} {
		t.Run(name, func(t *testing.T) {
			refs := ids
			if name == "parameters" {
				refs = parameters
			}
			for i, r := range fetch(t, p, refs...) {
				wantResult(t, r, want[i], nil)
			}
		})
	}
	wantCalls(t, s, "2 ssm:GetParameters", "2 secretsmanager:BatchGetSecretValue", "4 secretsmanager:GetSecretValue")
}

// What is malformed or of another scheme is not sent: a ciphertext, or a literal's text, would be read as a name, and
// stand in CloudTrail.
func TestBackend_ForeignReferencesAreNotSent(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	all := backends(cfg, st)
	all["secrets in batches"] = struct {
		secrets.Provider
		ref string
	}{secrets.NewBatchingSecretsManager(cfg), "sm://a"}
	for name, b := range all {
		t.Run(name, func(t *testing.T) {
			refs := []secrets.Ref{mustParse(t, b.ref), {}, secrets.Secret("no secret"), secrets.SSMParameter("app/db")}
			for service, text := range map[string]string{
				"kms": "kms://Q0FOQVJZLUNBTkFSWUNBTkFSWS1DQU5BUllDQU5BUlktQ0FOQVJZ", "ssm": "ssm:///CANARY",
				"secretsmanager": "sm://CANARY", "literal": "literal://CANARY"} {
				if ref := mustParse(t, text); ref.Scheme() != refs[0].Scheme() {
					refs = append(refs, ref)
				} else if service == "literal" {
					t.Fatal("a literal has a backend")
				}
			}
			s.ResetCalls()
			for i, r := range b.Fetch(t.Context(), refs) {
				want, kind := "", secrets.ErrInvalidReference
				if i == 0 {
					want, kind = "s3cr3t", nil
				}
				wantResult(t, r, want, kind)
				if detail := secrets.Detail(r.Err); i == 3 && !strings.Contains(detail, "does not start with one") ||
					i > 3 && !strings.Contains(detail, "WithProvider") {
					t.Errorf("%v: %s", refs[i], detail)
				}
			}
			if calls := s.Calls(); len(calls) != 1 || len(calls[0].Resources) != 1 {
				t.Errorf("calls %+v", calls)
			}
		})
	}
}

// Without an endpoint of one's own, calls go to the Region's, in its partition.
func TestBackend_EndpointFollowsRegion(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	hosts := map[string]int{}
	cfg := aws.Config{Region: region, Credentials: config("").Credentials, Retryer: onceOnly,
		HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			hosts[r.URL.Host]++
			return nil, errors.New("not today")
		})}}
	fetch(t, secrets.NewSSM(cfg), "ssm:///a", "ssm:///b")
	for _, r := range []string{"cn-north-1", "us-gov-west-1", "us-east-1"} {
		fetch(t, secrets.NewSecretsManager(cfg), "sm://a?region="+r)
		fetch(t, secrets.NewKMS(cfg), "kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA?region="+r)
	}
	for _, host := range []string{"ssm.eu-west-1.amazonaws.com", "secretsmanager.cn-north-1.amazonaws.com.cn",
		"kms.cn-north-1.amazonaws.com.cn",
		"secretsmanager.us-gov-west-1.amazonaws.com", "kms.us-gov-west-1.amazonaws.com",
		"secretsmanager.us-east-1.amazonaws.com", "kms.us-east-1.amazonaws.com"} {
		if hosts[host] != 1 {
			t.Errorf("%s was called %d times", host, hosts[host])
		}
		delete(hosts, host)
	}
	if len(hosts) > 0 {
		t.Errorf("others were called: %v", hosts)
	}
}

// The environment's choice of FIPS and dual-stack endpoints holds in every Region, and so does an endpoint for one
// service.
func TestBackend_EndpointsOfEnvironment(t *testing.T) {
	for _, tc := range []struct{ variable, value, hosts string }{
		{"AWS_USE_FIPS_ENDPOINT", "true", "kms-fips.us-east-1.amazonaws.com kms-fips.us-gov-west-1.amazonaws.com " +
			"secretsmanager-fips.us-east-1.amazonaws.com " +
			"secretsmanager-fips.us-gov-west-1.amazonaws.com ssm-fips.us-east-1.amazonaws.com " +
			"ssm.us-gov-west-1.amazonaws.com"},
		{"AWS_USE_DUALSTACK_ENDPOINT", "true",
			"kms.us-east-1.api.aws kms.us-gov-west-1.api.aws secretsmanager.us-east-1.amazonaws.com " +
				"secretsmanager.us-gov-west-1.amazonaws.com ssm.us-east-1.api.aws ssm.us-gov-west-1.api.aws"},
		{"AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://vpce.test/base", "kms.us-east-1.amazonaws.com " +
			"kms.us-gov-west-1.amazonaws.com ssm.us-east-1.amazonaws.com ssm.us-gov-west-1.amazonaws.com vpce.test"},
	} {
		t.Run(tc.variable, func(t *testing.T) {
			t.Setenv("AWS_CONFIG_FILE", os.DevNull)
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
			for _, name := range []string{"AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS",
				"AWS_ENDPOINT_URL_SSM"} {
				t.Setenv(name, "")
			}
			t.Setenv(tc.variable, tc.value)
			var mu sync.Mutex
			hosts := map[string]bool{}
			cfg, err := awsconfig.LoadDefaultConfig(t.Context(), awsconfig.WithRegion("us-east-1"),
				awsconfig.WithCredentialsProvider(config("").Credentials), awsconfig.WithRetryer(onceOnly))
			if err != nil {
				t.Fatal(err)
			}
			cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				hosts[r.URL.Host] = true
				return nil, errors.New("not today")
			})}
			fetch(t, secrets.NewSSM(cfg), "ssm:///a", "ssm:///a?region=us-gov-west-1")
			fetch(t, secrets.NewSecretsManager(cfg), "sm://a", "sm://a?region=us-gov-west-1")
			fetch(t, secrets.NewKMS(cfg), "kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
				"kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA?region=us-gov-west-1")
			if got := strings.Join(slices.Sorted(maps.Keys(hosts)), " "); got != tc.hosts {
				t.Errorf("called %s\nwant %s", got, tc.hosts)
			}
		})
	}
}

// onceOnly is the retryer of a configuration that does not retry.
func onceOnly() aws.Retryer { return aws.NopRetryer{} }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A configuration that does not load is told as such.
func TestBackend_ConfigurationDoesNotLoad(t *testing.T) {
	t.Setenv("AWS_PROFILE", "nobody-has-this")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "ssm:///a", "AWS_REGION": region}),
		secrets.WithLogger(quiet()))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = env.Warm(t.Context())
	if detail := secrets.Detail(err); !strings.Contains(detail, "nobody-has-this") ||
		!errors.Is(err, secrets.ErrConfiguration) {
		t.Errorf("detail %q", detail)
	}
	// The next try would read the same files: it fails at once, for good.
	if took := time.Since(began); secrets.Retryable(err) || took > time.Second {
		t.Errorf("retryable %v after %v", secrets.Retryable(err), took)
	}
}

// A role reads in its own account; where its trust policy does not let the function in, that is
// told, and nothing is tried by other means.
func TestRole_ReadsItsOwnAccount(t *testing.T) {
	t.Parallel()
	const role, stranger = "arn:aws:iam::210987654321:role/reader", "arn:aws:iam::210987654321:role/stranger"
	s, st, cfg := start(t)
	theirs := s.RegionOf("210987654321", region)
	if err := errors.Join(
		s.AddRole(endpoint.Role{ARN: role,
			Trust: `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"123456789012"}}}`}),
		s.AddRole(endpoint.Role{ARN: stranger,
			Trust: `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"999999999999"}}}`}),
	); err != nil {
		t.Fatal(err)
	}
	for in, st := range map[string]*endpoint.Store{"ours": st, "theirs": theirs} {
		put(st, "/app/x")
		for i := range 3 {
			st.PutParameter(endpoint.Parameter{Name: fmt.Sprint("/n", i), Value: in})
			st.PutSecret(fmt.Sprint("n", i), in)
		}
	}
	blob := kmsRef(theirs.Encrypt(theirs.CreateKey(), []byte("theirs"), nil))
	for name, p := range map[string]secrets.Provider{
		"ssm": secrets.NewSSM(cfg), "sm": secrets.NewBatchingSecretsManager(cfg), "kms": secrets.NewKMS(cfg),
	} {
		own, as := []string{}, []string{}
		for i := range 3 {
			text := map[string]string{"ssm": "ssm:///n", "sm": "sm://n"}[name] + fmt.Sprint(i)
			if name == "kms" {
				if i == 0 {
					as = append(as, blob+"?role="+role)
				}
				continue
			}
			own, as = append(own, text), append(as, text+"?role="+role)
		}
		for i, r := range fetch(t, p, append(own, as...)...) {
			want := "theirs"
			if i < len(own) {
				want = "ours"
			}
			wantResult(t, r, want, nil)
		}
		s.ResetCalls()
		for i := range as {
			as[i] = strings.ReplaceAll(as[i], role, stranger)
		}
		for _, r := range fetch(t, p, as...) {
			wantResult(t, r, "", secrets.ErrAccessDenied)
			if detail := secrets.Detail(r.Err); !strings.Contains(detail, "trust policy") ||
				!strings.Contains(detail, stranger) {
				t.Errorf("%s", detail)
			}
		}
		wantCalls(t, s, "1 sts:AssumeRole")
	}
}

// An Env keeps accounts apart: the same name is another secret with a role, whether the reference or
// the code states it. A role that does not let the function in fails its own variable only.
func TestRole_Env(t *testing.T) {
	t.Parallel()
	const role, stranger = "arn:aws:iam::210987654321:role/reader", "arn:aws:iam::210987654321:role/stranger"
	s, st, cfg := start(t)
	theirs := s.RegionOf("210987654321", region)
	const trust = `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"%s"}}}`
	if err := errors.Join(
		s.AddRole(endpoint.Role{ARN: role, Trust: fmt.Sprintf(trust, "123456789012")}),
		s.AddRole(endpoint.Role{ARN: stranger, Trust: fmt.Sprintf(trust, "999999999999")}),
	); err != nil {
		t.Fatal(err)
	}
	st.PutSecret("db", "ours")
	theirs.PutSecret("db", "theirs")
	env := newEnv(t, cfg, map[string]string{"OURS": "sm://db", "THEIRS": "sm://db?role=" + role, "CODE": "sm://db",
		"WRONG": "sm://db?role=" + stranger}, secrets.WithRole("CODE", role))
	err := env.Warm(patient(t))
	if detail := secrets.Detail(err); !errors.Is(err, secrets.ErrAccessDenied) ||
		!strings.Contains(detail, "WRONG") || !strings.Contains(detail, "trust policy") ||
		!strings.Contains(detail, stranger) {
		t.Errorf("Warm: %s", detail)
	}
	for name, want := range map[string]string{"OURS": "ours", "THEIRS": "theirs", "CODE": "theirs"} {
		if v := mustGet(t, env, name); v.Reveal() != want {
			t.Errorf("%s is %s", name, v.Reveal())
		}
	}
	if n := s.Count("secretsmanager:GetSecretValue"); n != 2 {
		t.Errorf("%d calls for two secrets", n)
	}
}

// The answer to a question for one thing alone need not name it, as those of a stand-in for AWS may not. One that names
// something else is not taken.
func TestBackend_ResultWithoutName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		ref, body string
		kind      error
	}{
		{"sm://a", `{"SecretString":"x"}`, nil},
		{"sm://a?version=00000000-0000-4000-8000-000000000001", `{"SecretString":"x"}`, nil},
		{"sm://a", `{"ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:b-AbCdEf","SecretString":"x"}`,
			secrets.ErrUnavailable},
		{"ssm:///a", `{"Parameter":{"Value":"x"}}`, nil},
		{"ssm:///a:3", `{"Parameter":{"Value":"x"}}`, nil},
		{"ssm:///a", `{"Parameter":{"Name":"/b","Value":"x"}}`, secrets.ErrUnavailable},
		{"ssm:///a", `{"Parameter":{"ARN":"arn:aws:ssm:eu-west-1:123456789012:parameter/b","Value":"x"}}`,
			secrets.ErrUnavailable},
		{"kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", `{"Plaintext":"eA=="}`, nil},
	} {
		_, cfg := answer(0, []byte(tc.body))
		providers := map[secrets.Scheme]secrets.Provider{secrets.KMS: secrets.NewKMS(cfg),
			secrets.SSM: secrets.NewSSM(cfg), secrets.SecretsManager: secrets.NewSecretsManager(cfg)}
		want := ""
		if tc.kind == nil {
			want = "x"
		}
		wantResult(t, fetch(t, providers[mustParse(t, tc.ref).Scheme()], tc.ref)[0], want, tc.kind)
	}
}

// Endpoints differ in how they name what they answer: with the selector behind it, without the ARN, a secret by its own
// name. None of this mixes up what was asked together.
func TestBackend_ShapesOfResults(t *testing.T) {
	t.Parallel()
	const arn, reference = "arn:aws:ssm:eu-west-1:123456789012:parameter/team/arn",
		"ssm:///aws/reference/secretsmanager/db"
	refs := []string{"ssm:///a:3", "ssm://" + arn, reference, "ssm://db", "ssm:///gone:blue", "ssm://" + arn + "-gone"}
	for _, tc := range []struct {
		name, body string
		want       []string // plaintexts, "" for what is not found
	}{
		{"names with selectors, no ARNs",
			`{"Parameters":[{"Name":"db","Value":"parameter","Version":1},{"Name":"/team/arn","Value":"by ARN",
			"Version":1},{"Name":"/a:3","Value":"three","Version":3},
			{"Name":"/aws/reference/secretsmanager/db","Value":"secret","Version":0,"SourceResult":"{}"}],
			"InvalidParameters":["/gone","/team/arn-gone"]}`,
			[]string{"three", "by ARN", "secret", "parameter", "", ""}},
		{"a secret by its own name",
			`{"Parameters":[{"Name":"/a","Selector":":3","Value":"three"},{"Name":"db","Value":"secret","Version":0,
			"SourceResult":"{}"},{"Name":"db","Value":"parameter","Version":1},
			{"Name":"` + arn + `","ARN":"` + arn + `","Value":"by ARN"}],"InvalidParameters":["/gone:blue",
			"` + arn + `-gone"]}`,
			[]string{"three", "by ARN", "secret", "parameter", "", ""}},
		{"no such secret, and a parameter of its name",
			`{"Parameters":[{"Name":"/a","Value":"three","Version":3},{"Name":"db","Value":"parameter","Version":1},` +
				`{"Name":"/team/arn","ARN":"` + arn + `","Value":"by ARN"}],
			"InvalidParameters":["/gone:blue","/aws/reference/secretsmanager/db","` + arn + `-gone"]}`,
			[]string{"three", "by ARN", "", "parameter", "", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, cfg := answer(0, []byte(tc.body))
			for i, r := range fetch(t, secrets.NewSSM(cfg), refs...) {
				var kind error
				if tc.want[i] == "" {
					kind = secrets.ErrNotFound
				}
				wantResult(t, r, tc.want[i], kind)
			}
		})
	}
}

func TestBackend_NoReferences(t *testing.T) {
	t.Parallel()
	s, _, cfg := start(t)
	for name, p := range map[string]secrets.Provider{"kms": secrets.NewKMS(cfg), "ssm": secrets.NewSSM(cfg),
		"secretsmanager": secrets.NewSecretsManager(cfg)} {
		if n := len(p.Fetch(t.Context(), nil)); n != 0 {
			t.Errorf("%s: %d results for no references", name, n)
		}
	}
	wantCalls(t, s)
}
