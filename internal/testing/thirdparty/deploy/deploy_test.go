package deploy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/iam"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

const (
	region     = "eu-west-1"
	account    = "123456789012"
	apiKey     = "an-api-key-of-a-caller"
	signingKey = "a-signing-key"
)

// A deployment is what a template makes of the function.
type deployment struct {
	runtime, handler string
	architectures    []string
	timeout          int // seconds
	environ          map[string]string
	policy           policy
	underKey         map[string]string // name of a parameter or secret → its customer managed key

	logGroup  string
	retention int // days
	filters   []filter
	alarms    []string // NAMESPACE/METRIC
	dashboard string
}

// A filter makes a metric, NAMESPACE/METRIC, of the lines of a log.
type filter struct{ logGroup, pattern, metric string }

type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid, Effect, Action, Resource string
	Condition                     map[string]map[string]string `json:",omitempty"`
}

func (p policy) text(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// encrypted is what aws kms encrypt prints, as the first lines of both templates tell to call it.
func encrypted(store *endpoint.Store, key, function string) string {
	return base64.StdEncoding.EncodeToString(
		store.Encrypt(key, []byte(signingKey), map[string]string{"LambdaFunctionName": function}),
	)
}

var templates = []struct {
	name   string
	deploy func(*testing.T, *endpoint.Store) deployment
}{
	{"AWS SAM", sam},
	{"Terraform", terraform},
}

// The function is one that Lambda takes, and its environment holds nothing but references.
func TestFunction(t *testing.T) {
	for _, template := range templates {
		t.Run(template.name, func(t *testing.T) {
			d := template.deploy(t, endpoint.New(endpoint.Options{}).Region(region))
			if d.runtime != "provided.al2023" || d.handler != "bootstrap" ||
				!slices.Equal(d.architectures, []string{"arm64"}) {
				t.Errorf("runtime %s, handler %s, architectures %v", d.runtime, d.handler, d.architectures)
			}
			// A re-init after a crash runs under the function's timeout and holds a warm of up to 2
			// s; the event is to be answered after it.
			if d.timeout < 4 {
				t.Errorf("timeout %d s", d.timeout)
			}
			env, err := secrets.New(secrets.WithVars(secrets.KMS, "SIGNING_KEY"), secrets.WithEnviron(environ(d)))
			if err != nil {
				t.Fatal(err)
			}
			if refs := env.Refs(); len(refs) != 3 || len(d.environ) != 3 {
				t.Errorf("%d references in %d variables, want 3 and nothing else", len(refs), len(d.environ))
			}
		})
	}
}

// What the function logs of its secrets is counted, raises an alarm, and is seen on the dashboard. No
// secret's name is a dimension, nor anything else.
func TestAlarms(t *testing.T) {
	page := string(must[[]byte](t)(os.ReadFile("../../../../docs/operations.md")))
	for _, template := range templates {
		t.Run(template.name, func(t *testing.T) {
			d := template.deploy(t, endpoint.New(endpoint.Options{}).Region(region))
			if d.logGroup != "/aws/lambda/orders" || d.retention != 30 {
				t.Errorf("log group %s, kept for %d days", d.logGroup, d.retention)
			}
			var metrics, patterns []string
			for _, f := range d.filters {
				metrics, patterns = append(metrics, f.metric), append(patterns, f.pattern)
				if f.logGroup != d.logGroup {
					t.Errorf("%s reads the log %s", f.metric, f.logGroup)
				}
				if !strings.Contains(page, "`"+strings.ReplaceAll(f.pattern, "||", `\|\|`)+"`") {
					t.Errorf("docs/operations.md has no pattern %s", f.pattern)
				}
			}
			slices.Sort(metrics)
			slices.Sort(d.alarms)
			if !slices.Equal(metrics, []string{"orders/SecretsDenied", "orders/SecretsDropped"}) ||
				!slices.Equal(metrics, d.alarms) {
				t.Errorf("metrics %v of %v, alarms %v", metrics, patterns, d.alarms)
			}
			var board struct {
				Widgets []struct{ Properties struct{ Metrics [][]string } }
			}
			if err := json.Unmarshal([]byte(d.dashboard), &board); err != nil {
				t.Fatal(err)
			}
			var shown []string
			for _, m := range board.Widgets[0].Properties.Metrics {
				shown = append(shown, strings.Join(m, "/"))
			}
			if slices.Sort(shown); !slices.Equal(shown, metrics) {
				t.Errorf("the dashboard shows %v", shown)
			}
		})
	}
}

// The role suffices, and each of its statements is needed.
func TestRole(t *testing.T) {
	for _, template := range templates {
		t.Run(template.name, func(t *testing.T) {
			s := endpoint.New(endpoint.Options{})
			url, err := s.Start()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			d := template.deploy(t, s.Region(region))
			resolve := func(p policy) (*secrets.Env, error) {
				if err := s.SetPolicy(p.text(t)); err != nil {
					t.Fatal(err)
				}
				s.ResetCalls()
				env, err := secrets.New(
					secrets.WithVars(secrets.KMS, "SIGNING_KEY"),
					secrets.WithEnviron(environ(d)),
					secrets.WithAWSConfig(aws.Config{
						Region: region, BaseEndpoint: &url,
						Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", "")}),
				)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // so that a busy machine is no failure
				defer cancel()
				return env, env.Warm(ctx)
			}
			for i, st := range d.policy.Statement {
				without := d.policy
				without.Statement = slices.Delete(slices.Clone(without.Statement), i, i+1)
				if _, err := resolve(without); !errors.Is(err, secrets.ErrAccessDenied) {
					t.Errorf("without %s: %v, want a denial: is the statement needed?", st.Sid, err)
				}
			}
			env, err := resolve(d.policy)
			if err != nil {
				t.Fatalf("the role does not suffice: %s", secrets.Detail(err))
			}
			all, err := env.RevealAll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if all["API_KEY"] != apiKey || all["SIGNING_KEY"] != signingKey ||
				!strings.Contains(all["DATABASE"], `"password":`) {
				t.Error("a variable has a wrong value")
			}
			hold(t, d, s.Calls())
		})
	}
}

// hold compares the policy with what the library's table says that these calls need: same actions,
// same resources, same conditions on keys.
func hold(t *testing.T, d deployment, calls []endpoint.Call) {
	t.Helper()
	scope := iam.Scope{Region: region, Account: account}
	var needs []iam.Need
	for _, c := range calls {
		needs = append(needs, scope.Needs(c.Operation, c.Resources...)...)
		for _, id := range c.Resources {
			if key := d.underKey[id]; key == "" {
			} else if strings.HasPrefix(c.Operation, "ssm:") {
				needs = append(needs, scope.ParameterKey(id, key))
			} else {
				needs = append(needs, scope.SecretKey(id, key))
			}
		}
	}
	meets := func(st statement, n iam.Need) bool {
		if st.Effect != "Allow" || st.Action != n.Action || !matches(n.Resource, st.Resource) {
			return false
		}
		have := st.Condition["StringEquals"]
		for k, v := range n.Condition {
			if !matches(v, have[k]) {
				return false
			}
		}
		// A statement for a service's use of the key does not serve the function's own use of it.
		return n.Condition != nil || have["kms:ViaService"] == ""
	}
	for _, n := range needs {
		if !slices.ContainsFunc(d.policy.Statement, func(st statement) bool { return meets(st, n) }) {
			t.Errorf("no statement allows %s on %s under %v", n.Action, n.Resource, n.Condition)
		}
	}
	for _, st := range d.policy.Statement {
		if strings.ContainsAny(st.Resource, "*?") || strings.Contains(st.Action, "*") {
			t.Errorf("%s has a wildcard: %s on %s", st.Sid, st.Action, st.Resource)
		}
		if !slices.ContainsFunc(needs, func(n iam.Need) bool { return meets(st, n) }) {
			t.Errorf("%s allows %s on %s, which no call needs", st.Sid, st.Action, st.Resource)
		}
	}
}

// matches reports whether s is what the pattern of a Resource covers. Slashes are no boundaries in
// ARNs.
func matches(pattern, s string) bool {
	flat := strings.NewReplacer("/", "|")
	ok, err := path.Match(flat.Replace(pattern), flat.Replace(s))
	return err == nil && ok
}

// environ is the environment in which the function finds its variables.
func environ(d deployment) map[string]string {
	env := maps.Clone(d.environ)
	env["AWS_REGION"], env["AWS_LAMBDA_FUNCTION_NAME"] = region, "orders"
	return env
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// convert moves v into a T by way of JSON.
func convert[T any](t *testing.T, v any) (to T) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &to)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("%v is not a %T: %w", v, to, err))
	}
	return to
}
