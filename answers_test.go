package secrets_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
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

// The answer to a question for one thing alone need not name it, as those of a stand-in for AWS may not. One that names something else is not taken.
func TestAnswersThatNameNothing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		ref, body string
		kind      error
	}{
		{"sm://a", `{"SecretString":"x"}`, nil},
		{"sm://a?version=00000000-0000-4000-8000-000000000001", `{"SecretString":"x"}`, nil},
		{"sm://a", `{"ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:b-AbCdEf","SecretString":"x"}`, secrets.ErrUnavailable},
		{"ssm:///a", `{"Parameter":{"Value":"x"}}`, nil},
		{"ssm:///a:3", `{"Parameter":{"Value":"x"}}`, nil},
		{"ssm:///a", `{"Parameter":{"Name":"/b","Value":"x"}}`, secrets.ErrUnavailable},
		{"ssm:///a", `{"Parameter":{"ARN":"arn:aws:ssm:eu-west-1:123456789012:parameter/b","Value":"x"}}`, secrets.ErrUnavailable},
		{"kms://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", `{"Plaintext":"eA=="}`, nil},
	} {
		_, cfg := answer(0, []byte(tc.body))
		providers := map[secrets.Scheme]secrets.Provider{secrets.KMS: secrets.NewKMS(cfg), secrets.SSM: secrets.NewSSM(cfg), secrets.SecretsManager: secrets.NewSecretsManager(cfg)}
		want := ""
		if tc.kind == nil {
			want = "x"
		}
		wantResult(t, fetch(t, providers[mustParse(t, tc.ref).Scheme()], tc.ref)[0], want, tc.kind)
	}
}

// Endpoints differ in how they name what they answer: with the selector behind it, without the ARN, a secret by its own name. None of this mixes up what
// was asked together.
func TestSSMAnswerShapes(t *testing.T) {
	t.Parallel()
	const arn, reference = "arn:aws:ssm:eu-west-1:123456789012:parameter/team/arn", "ssm:///aws/reference/secretsmanager/db"
	refs := []string{"ssm:///a:3", "ssm://" + arn, reference, "ssm://db", "ssm:///gone:blue", "ssm://" + arn + "-gone"}
	for _, tc := range []struct {
		name, body string
		want       []string // plaintexts, "" for what is not found
	}{
		{"names with selectors, no ARNs", `{"Parameters":[{"Name":"db","Value":"parameter","Version":1},{"Name":"/team/arn","Value":"by ARN","Version":1},{"Name":"/a:3","Value":"three","Version":3},
			{"Name":"/aws/reference/secretsmanager/db","Value":"secret","Version":0,"SourceResult":"{}"}],"InvalidParameters":["/gone","/team/arn-gone"]}`,
			[]string{"three", "by ARN", "secret", "parameter", "", ""}},
		{"a secret by its own name", `{"Parameters":[{"Name":"/a","Selector":":3","Value":"three"},{"Name":"db","Value":"secret","Version":0,"SourceResult":"{}"},{"Name":"db","Value":"parameter","Version":1},
			{"Name":"` + arn + `","ARN":"` + arn + `","Value":"by ARN"}],"InvalidParameters":["/gone:blue","` + arn + `-gone"]}`,
			[]string{"three", "by ARN", "secret", "parameter", "", ""}},
		{"no such secret, and a parameter of its name", `{"Parameters":[{"Name":"/a","Value":"three","Version":3},{"Name":"db","Value":"parameter","Version":1},{"Name":"/team/arn","ARN":"` + arn + `","Value":"by ARN"}],
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

// moto's GetParameters takes no ARN and says that there is no such parameter; its GetParameter does. What neither has is missing, whatever the role may do.
func TestARNThatBatchesDoNotTake(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/a"
	for _, tc := range []struct {
		name, single string // the answer to GetParameter
		kind         error
	}{
		{"it is there", `{"Parameter":{"Name":"/a","ARN":"` + arn + `","Value":"x","Version":1}}`, nil},
		{"it is missing", `{"__type":"ParameterNotFound"}`, secrets.ErrNotFound},
		{"the role has GetParameters only", `{"__type":"AccessDeniedException"}`, secrets.ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, cfg := answer(0, nil)
			cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				body, status := `{"Parameters":[{"Name":"/b","Value":"y"}],"InvalidParameters":["`+arn+`"]}`, 200
				if r.Header.Get("X-Amz-Target") == "AmazonSSM.GetParameter" {
					if body = tc.single; tc.kind != nil {
						status = 400
					}
				}
				return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
			})}
			want := ""
			if tc.kind == nil {
				want = "x"
			}
			results := fetch(t, secrets.NewSSM(cfg), "ssm://"+arn, "ssm:///b?region=eu-west-1")
			wantResult(t, results[0], want, tc.kind)
			wantResult(t, results[1], "y", nil)
		})
	}
}

// Whatever AWS, or who answers in its place, quotes of a ciphertext does not reach the error.
func TestQuotedCiphertextIsHidden(t *testing.T) {
	t.Parallel()
	blob := []byte("the-ciphertext-of-somebody-0f3a-97")
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

// Nor does what AWS makes of it, in an error or in the log; that of a whole ARN, which is no plaintext, is told.
func TestFailedDeclarationIsNotQuoted(t *testing.T) {
	t.Parallel()
	const mistake = "correct-horse-battery"
	const arn = "arn:aws:secretsmanager:" + region + ":123456789012:secret:" + mistake + "-AbCdEf"
	for _, row := range []struct {
		name, text string
		scheme     secrets.Scheme
		shown      string // in Detail
	}{
		{"parameter", mistake, secrets.SSM, "ssm://(21 bytes)"},
		{"selector", "a:" + mistake, secrets.SSM, "ssm://(23 bytes)"},
		{"secret", mistake, secrets.SecretsManager, "sm://(21 bytes)"},
		{"ARN", arn, secrets.SecretsManager, arn},
	} {
		for _, do := range []endpoint.Action{"", endpoint.Deny, endpoint.Throttle, endpoint.Truncated} {
			t.Run(row.name+" "+string(do), func(t *testing.T) {
				t.Parallel()
				f := newFakeAWS(t)
				if do != "" {
					f.Fault(endpoint.Fault{Do: do})
				}
				var out strings.Builder
				var mu sync.Mutex // a flight that nobody waits for any more may still log
				env := newEnv(t, f.cfg, map[string]string{"TOKEN": row.text}, secrets.WithVars(row.scheme, "TOKEN"), secrets.WithLogger(textLog(&locked{w: &out, mu: &mu})))
				patience, passing := 30*time.Second, do == endpoint.Throttle || do == endpoint.Truncated
				if passing {
					patience = 500 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				seen := []error{env.Warm(ctx)}
				_, err := env.Get(ctx, "TOKEN")
				seen = append(seen, err, env.Refresh(ctx))
				_, err = env.RevealAll(ctx)
				seen = append(seen, err, failureOf(env, "TOKEN"), env.Refs()[0].Err)
				for _, err := range seen {
					if err == nil && passing {
						continue // on a busy machine the time was up before the first answer, of which nothing is remembered
					}
					inJSON, _ := json.Marshal(err)
					var api smithy.APIError
					if errors.As(err, &api) && row.text != arn && strings.Contains(api.ErrorMessage(), mistake) {
						t.Errorf("the chain holds %s", api.ErrorMessage())
					}
					if text := fmt.Sprintf("%v %+v %s %s", err, err, inJSON, secrets.Detail(err)); err == nil || !strings.Contains(text, "TOKEN") || !strings.Contains(text, row.shown) ||
						row.text != arn && strings.Contains(text, mistake) {
						t.Errorf("shows %s", text)
					}
				}
				inJSON, _ := json.Marshal(env.Refs())
				if text := fmt.Sprintf("%v %+v %s", env.Refs(), env.Refs(), inJSON); row.text != arn && strings.Contains(text, mistake) {
					t.Errorf("Refs shows %s", text)
				}
				mu.Lock()
				defer mu.Unlock()
				if row.text != arn && strings.Contains(out.String(), mistake) || out.Len() == 0 {
					t.Errorf("the log shows %s", out.String())
				}
			})
		}
	}
	_, err := secrets.New(secrets.WithEnviron(map[string]string{"TOKEN": mistake}), secrets.WithVars(secrets.SSM, "TOKEN"), secrets.WithLocalValues(nil))
	if err == nil || strings.Contains(secrets.Detail(err), mistake) {
		t.Errorf("shows %v", err)
	}
}
