package secrets_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// put makes String parameters whose values are their names, and returns references to them.
func put(st *endpoint.Store, names ...string) (refs []string) {
	for _, name := range names {
		st.PutParameter(endpoint.Parameter{Name: name, Value: "value of " + name})
		refs = append(refs, "ssm://"+name)
	}
	return refs
}

// numbered returns the names /p0 … /p(n-1).
func numbered(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("/p%d", i))
	}
	return names
}

func allow(actions, resources string) string {
	return `{"Statement":[{"Effect":"Allow","Action":` + actions + `,"Resource":` + resources + `}]}`
}

func TestSSM_Calls(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		refs  []string
		want  []string // plaintexts
		calls []string
	}{
		{"one name", []string{"ssm:///a"}, []string{"a3"}, []string{"1 ssm:GetParameter"}},
		{"two names", []string{"ssm:///b", "ssm:///a"}, []string{"b1", "a3"}, []string{"1 ssm:GetParameters"}},
		{"selectors of one name go apart", []string{"ssm:///a", "ssm:///a:1", "ssm:///a:blue", "ssm:///b"},
			[]string{"a3", "a1", "a2", "b1"}, []string{"1 ssm:GetParameters", "2 ssm:GetParameter"}},
		{"names and ARNs", []string{"ssm://arn:aws:ssm:eu-west-1:123456789012:parameter/a",
			"ssm:///b?region=eu-west-1"}, []string{"a3", "b1"}, []string{"1 ssm:GetParameters"}},
		{"name and ARN of one parameter", []string{"ssm://arn:aws:ssm:eu-west-1:123456789012:parameter/a", "ssm:///a"},
			[]string{"a3", "a3"}, []string{"2 ssm:GetParameter"}},
		{"ARN with a version", []string{"ssm://arn:aws:ssm:eu-west-1:123456789012:parameter/a:1"}, []string{"a1"},
			[]string{"1 ssm:GetParameter"}},
		{"a shared parameter", []string{"ssm://arn:aws:ssm:eu-west-1:999999999999:parameter/shared",
			"ssm:///a?region=eu-west-1"}, []string{"theirs", "a3"}, []string{"1 ssm:GetParameters"}},
		{"without a slash", []string{"ssm://plain", "ssm:///a"}, []string{"no slash", "a3"},
			[]string{"1 ssm:GetParameters"}},
		{"StringList and SecureString", []string{"ssm:///list", "ssm:///secure"}, []string{"x,y,z", "s"},
			[]string{"1 ssm:GetParameters"}},
		{"through Parameter Store", []string{"ssm:///aws/reference/secretsmanager/prod/db", "ssm:///a"},
			[]string{"new", "a3"}, []string{"1 ssm:GetParameters"}},
		{"a stage of it", []string{"ssm:///aws/reference/secretsmanager/prod/db:AWSPREVIOUS"}, []string{"old"},
			[]string{"1 ssm:GetParameter"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			for i := range 3 {
				st.PutParameter(endpoint.Parameter{Name: "/a", Value: fmt.Sprintf("a%d", i+1)})
			}
			st.LabelParameter("/a", 2, "blue")
			for _, p := range []endpoint.Parameter{{Name: "/b", Value: "b1"}, {Name: "plain", Value: "no slash"},
				{Name: "/list", Type: "StringList", Value: "x,y,z"},
				{Name: "/secure", Type: "SecureString", Value: "s"},
				{Name: "/shared", Value: "theirs", Account: "999999999999", Tier: "Advanced"}} {
				st.PutParameter(p)
			}
			st.PutSecret("prod/db", "old")
			st.PutSecret("prod/db", "new")
			for i, r := range fetch(t, secrets.NewSSM(cfg), tc.refs...) {
				wantResult(t, r, tc.want[i], nil)
			}
			wantCalls(t, s, tc.calls...)
		})
	}
}

// The version of a value is the parameter's number, or the id of the secret behind it.
func TestSSM_Versions(t *testing.T) {
	t.Parallel()
	_, st, cfg := start(t)
	st.PutParameter(endpoint.Parameter{Name: "/a", Value: "1"})
	st.PutParameter(endpoint.Parameter{Name: "/a", Value: "2"})
	arn, id := st.PutSecret("prod/db", `{"versionId":"not this one"}`)
	got := fetch(t, secrets.NewSSM(cfg), "ssm:///a", "ssm:///a:1", "ssm:///aws/reference/secretsmanager/prod/db")
	for i, want := range []string{"2", "1", id} {
		if v := got[i].Value.Version(); v != want {
			t.Errorf("%d: version %q, want %q", i, v, want)
		}
	}
	if got[2].ARN != arn {
		t.Errorf("ARN %q, want the secret's, %q", got[2].ARN, arn)
	}
}

func TestSSM_Missing(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	put(st, "/a", "/b")
	p := secrets.NewSSM(cfg)
	for _, refs := range [][]string{
		{"ssm:///none"}, {"ssm:///a:7"}, {"ssm:///a:green"}, {"ssm:///aws/reference/secretsmanager/none"},
		{"ssm:///none/*"},
		{"ssm:///none", "ssm:///a"}, {"ssm:///a:7", "ssm:///b"}, {"ssm:///a:green", "ssm:///b"},
		{"ssm:///aws/reference/secretsmanager/none", "ssm:///b"},
	} {
		got := fetch(t, p, refs...)
		wantResult(t, got[0], "", secrets.ErrNotFound)
		if len(refs) == 2 {
			wantResult(t, got[1], "value of "+strings.TrimPrefix(refs[1], "ssm://"), nil)
		}
		if n := len(s.Calls()); n != 1 {
			t.Errorf("%q: %d calls", refs, n)
		}
		s.ResetCalls()
	}
}

// A batch that is refused because of one name is taken apart.
func TestSSM_RefusedBatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		setup func(*endpoint.Server, *endpoint.Store)
		kind  error    // of /p0, the others being good
		calls []string // of five names
	}{
		{"the message names the culprit", func(s *endpoint.Server, _ *endpoint.Store) {
			s.Fault(endpoint.Fault{Do: endpoint.Deny, Resource: "/p0"})
		}, secrets.ErrAccessDenied, []string{"2 ssm:GetParameters", "1 ssm:GetParameter"}},
		{"the message names nobody", func(s *endpoint.Server, _ *endpoint.Store) {
			s.Fault(endpoint.Fault{Do: endpoint.Fail, Code: "AccessDeniedException", Message: "no", Resource: "/p0"})
		}, secrets.ErrAccessDenied, []string{"1 ssm:GetParameters", "5 ssm:GetParameter"}},
		{"a malformed name", func(s *endpoint.Server, _ *endpoint.Store) {
			s.Fault(endpoint.Fault{Do: endpoint.Fail, Code: "AccessDeniedException", Resource: "/p0",
				Message: "User: x is not authorized to perform: ssm:GetParameters on resource: " +
					"arn:aws:ssm:eu-west-1:123456789012:*"})
		}, secrets.ErrAccessDenied, []string{"1 ssm:GetParameters", "5 ssm:GetParameter"}},
		{"not valid", func(s *endpoint.Server, _ *endpoint.Store) {
			s.Fault(endpoint.Fault{Do: endpoint.Fail, Code: "ValidationException", Resource: "/p0"})
		}, secrets.ErrInvalidReference, []string{"1 ssm:GetParameters", "5 ssm:GetParameter"}},
		{"a key is disabled", func(_ *endpoint.Server, st *endpoint.Store) {
			key := st.CreateKey()
			st.PutParameter(endpoint.Parameter{Name: "/p0", Type: "SecureString", Value: "x", KeyID: key})
			st.DisableKey(key)
		}, secrets.ErrDecrypt, []string{"1 ssm:GetParameters", "5 ssm:GetParameter"}},
		{"the rest is refused too", func(s *endpoint.Server, _ *endpoint.Store) {
			s.Fault(endpoint.Fault{Do: endpoint.Deny, Resource: "/p0"})
			s.Fault(endpoint.Fault{Do: endpoint.Deny, Operation: "ssm:GetParameters"})
		}, secrets.ErrAccessDenied, []string{"2 ssm:GetParameters", "5 ssm:GetParameter"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			refs := put(st, numbered(5)...)
			tc.setup(s, st)
			for i, r := range fetch(t, secrets.NewSSM(cfg), refs...) {
				if i == 0 {
					wantResult(t, r, "", tc.kind)
				} else {
					wantResult(t, r, fmt.Sprintf("value of /p%d", i), nil)
				}
			}
			wantCalls(t, s, tc.calls...)
		})
	}
}

// What passes by itself is no reason to make more calls.
func TestSSM_TransientBatchFailure(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]endpoint.Fault{
		"throttle": {Do: endpoint.Throttle}, "500": {Do: endpoint.Fail, Code: "InternalServerError", Status: 500},
		"a proxy's page":      {Do: endpoint.HTML503},
		"expired credentials": {Do: endpoint.Fail, Code: "ExpiredTokenException"},
		"unknown":             {Do: endpoint.Fail, Code: "BrandNewException"},
		"no members":          {Do: endpoint.Missing}, "empty": {Do: endpoint.Empty},
		"values are missing": {Do: endpoint.Missing, Member: "Value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			refs := put(st, numbered(5)...)
			s.Fault(fault)
			for _, r := range fetch(t, secrets.NewSSM(cfg), refs...) {
				if !secrets.Retryable(r.Err) {
					t.Errorf("error %v", r.Err)
				}
				// Those that may come from one name alone are marked, for the cache to find out.
				if want := fault.Do != endpoint.Throttle && fault.Member == ""; secrets.WholeCall(r.Err) != want {
					t.Errorf("marked as failure of the whole call: %v, want %v", !want, want)
				}
			}
			wantCalls(t, s, "1 ssm:GetParameters")
			if r := fetch(t, secrets.NewSSM(cfg), refs[0])[0]; secrets.WholeCall(r.Err) {
				t.Error("a lone name is marked")
			}
		})
	}
}

// Roles with one of the two actions get everything, and the refused one is not tried again at every refresh.
func TestSSM_RoleWithOneAction(t *testing.T) {
	t.Parallel()
	const all = `"arn:aws:ssm:eu-west-1:123456789012:parameter/*"`
	for _, tc := range []struct {
		name, policy        string
		many, first, second []string // calls for 12 names, again, then for a lone name
	}{
		{"both", allow(`["ssm:GetParameter","ssm:GetParameters"]`, all), []string{"2 ssm:GetParameters"},
			[]string{"2 ssm:GetParameters"}, []string{"1 ssm:GetParameter"}},
		{"only GetParameter", allow(`"ssm:GetParameter"`, all), nil, []string{"12 ssm:GetParameter"},
			[]string{"1 ssm:GetParameter"}},
		{"only GetParameters", allow(`"ssm:GetParameters"`, all), []string{"2 ssm:GetParameters"},
			[]string{"2 ssm:GetParameters"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			refs := put(st, numbered(12)...)
			if err := s.SetPolicy(tc.policy); err != nil {
				t.Fatal(err)
			}
			p := secrets.NewSSM(cfg)
			everything := func(refs []string) {
				for i, r := range fetch(t, p, refs...) {
					wantResult(t, r, "value of "+strings.TrimPrefix(refs[i], "ssm://"), nil)
				}
			}
			everything(refs)
			if tc.many != nil {
				wantCalls(t, s, tc.many...)
			}
			s.ResetCalls()
			everything(refs)
			wantCalls(t, s, tc.first...)
			everything(refs[:1])
			if tc.second == nil { // the first lone name finds out
				wantCalls(t, s, "1 ssm:GetParameter", "1 ssm:GetParameters")
				everything(refs[1:2])
				tc.second = []string{"1 ssm:GetParameters"}
			}
			wantCalls(t, s, tc.second...)
		})
	}
}

// A role may allow one action for some names and the other for the rest. Nothing is concluded from one name for all.
func TestSSM_MixedRole(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	refs := put(st, numbered(4)...)
	if err := s.SetPolicy(`{"Statement":[
		{"Effect":"Allow","Action":"ssm:GetParameter","Resource":"arn:aws:ssm:*:*:parameter/p0"},
		{"Effect":"Allow","Action":"ssm:GetParameters","Resource":["arn:aws:ssm:*:*:parameter/p1",
		"arn:aws:ssm:*:*:parameter/p2","arn:aws:ssm:*:*:parameter/p3"]}]}`); err != nil {
		t.Fatal(err)
	}
	p := secrets.NewSSM(cfg)
	for range 3 {
		for i, r := range fetch(t, p, refs...) {
			wantResult(t, r, fmt.Sprintf("value of /p%d", i), nil)
		}
	}
	for i := range refs {
		wantResult(t, fetch(t, p, refs[i])[0], fmt.Sprintf("value of /p%d", i), nil)
	}
}

// A name that is denied both ways costs one or two calls a try, and is found again by whichever action the role is
// given.
func TestSSM_DeniedThenAllowed(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"ssm:GetParameter", "ssm:GetParameters"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			ref := put(st, "/a")[0]
			s.SetPolicy(allow(`"ssm:GetParametersByPath"`, `"*"`))
			p := secrets.NewSSM(cfg)
			for range 4 {
				wantResult(t, fetch(t, p, ref)[0], "", secrets.ErrAccessDenied)
			}
			if n := len(s.Calls()); n != 6 {
				t.Errorf("%d calls for four tries, want 6", n)
			}
			fetch(t, p, ref)
			s.SetPolicy(allow(`"`+action+`"`, `"*"`))
			fetch(t, p, ref)
			wantResult(t, fetch(t, p, ref)[0], "value of /a", nil)
		})
	}
}

// A batch that is refused for the sake of one name, or for once, says nothing about the role: the next one is a batch
// again.
func TestSSM_BatchesGoOn(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(s *endpoint.Server){
		"one name is denied": func(s *endpoint.Server) {
			s.SetPolicy(allow(`["ssm:GetParameter","ssm:GetParameters"]`,
				`["arn:aws:ssm:*:*:parameter/a","arn:aws:ssm:*:*:parameter/b"]`))
		},
		"once": func(s *endpoint.Server) {
			s.Fault(endpoint.Fault{Operation: "ssm:GetParameters", Do: endpoint.Fail,
				Code: "ValidationException", Times: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, st, cfg := start(t)
			refs := put(st, "/a", "/b", "/bad")
			refuse(s)
			p := secrets.NewSSM(cfg)
			wantResult(t, fetch(t, p, refs[0], refs[2])[0], "value of /a", nil)
			wantCalls(t, s, "1 ssm:GetParameters", "2 ssm:GetParameter")
			wantResult(t, fetch(t, p, refs[0], refs[1])[1], "value of /b", nil)
			wantCalls(t, s, "1 ssm:GetParameters")
		})
	}
}

// What is remembered of denied names is bounded: a program may resolve whatever names it is given.
func TestSSM_DenialsAreBounded(t *testing.T) {
	t.Parallel()
	aws, cfg := answer(0, []byte(`{"__type":"AccessDeniedException","message":"no"}`))
	aws.status = 400
	p := secrets.NewSSM(cfg)
	for i := range 1000 {
		p.Fetch(t.Context(), []secrets.Ref{secrets.SSMParameter(fmt.Sprintf("/a%d", i))})
	}
	before := aws.calls.Load()
	p.Fetch(t.Context(), []secrets.Ref{secrets.SSMParameter("/a0")})
	if n := aws.calls.Load() - before; n != 2 {
		t.Errorf("%d calls for a name that was denied a thousand names ago, want 2: it is remembered", n)
	}
}

func TestSSMTree_Pages(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	put(st, "/app/prod/a", "/app/prod/b/c", "/app/prod", "/app/production/x", "/app/other")
	st.PutParameter(endpoint.Parameter{Name: "/app/prod/d", Type: "SecureString", Value: `quo"te`})
	for i := range 100 {
		st.PutParameter(endpoint.Parameter{Name: fmt.Sprintf("/full/%03d", i), Value: "x"})
	}
	p := secrets.NewSSM(cfg)

	const whole = `{"a":"value of /app/prod/a","b/c":"value of /app/prod/b/c","d":"quo\"te"}`
	wantResult(t, fetch(t, p, "ssm:///app/prod/*")[0], whole, nil)
	if path := s.Calls()[0].Resources; len(path) != 1 || path[0] != "/app/prod/" {
		t.Errorf("path %q: the usual policy allows it with the trailing slash only", path)
	}
	s.ResetCalls()
	r := fetch(t, p, "ssm:///full/*")[0]
	if r.Err != nil || strings.Count(r.Value.Reveal(), `"x"`) != 100 {
		t.Errorf("a tree of 100: %v", r.Err)
	}
	wantCalls(t, s, "10 ssm:GetParametersByPath")
	wantResult(t, fetch(t, p, "ssm:///none/*")[0], "", secrets.ErrNotFound)
	s.ResetCalls()

	s.Fault(endpoint.Fault{Do: endpoint.EmptyPage, Times: 2})
	r = fetch(t, p, "ssm:///full/*")[0]
	if r.Err != nil || strings.Count(r.Value.Reveal(), `"x"`) != 100 {
		t.Errorf("behind empty pages: %v", r.Err)
	}
	wantCalls(t, s, "12 ssm:GetParametersByPath")
	h := s.Fault(endpoint.Fault{Do: endpoint.Throttle, Skip: 4, Times: 1})
	wantResult(t, fetch(t, p, "ssm:///full/*")[0], "", secrets.ErrThrottled)
	if h.Hits() != 1 {
		t.Error("no page was throttled")
	}
	h.Remove()
	s.Fault(endpoint.Fault{Do: endpoint.EmptyPage})
	if r := fetch(t, p, "ssm:///full/*")[0]; !secrets.Retryable(r.Err) {
		t.Errorf("pages without end: %v", r.Err)
	}
}

// A 200 without its list is no end of a tree, whichever page it is: half a tree is no good value,
// and none of it is no absence, which "optional" would forgive.
func TestSSMTree_GarbledPage(t *testing.T) {
	t.Parallel()
	for _, do := range []endpoint.Action{endpoint.Missing, endpoint.Empty} {
		for page := range 3 {
			s, st, cfg := start(t)
			put(st, numbered(30)...)
			p := secrets.NewSSM(cfg)
			for i := range 30 {
				st.PutParameter(endpoint.Parameter{Name: fmt.Sprintf("/app/%d", i), Value: "x"})
			}
			s.Fault(endpoint.Fault{Do: do, Skip: page, Times: 1})
			wantResult(t, fetch(t, p, "ssm:///app/*")[0], "", secrets.ErrUnavailable)
		}
	}
}

// A tree with a label has the labelled version of each parameter, and none of those without it.
func TestSSMTree_Label(t *testing.T) {
	t.Parallel()
	_, st, cfg := start(t)
	for _, name := range []string{"/app/a", "/app/b/c", "/app/d"} {
		for v := range 2 {
			st.PutParameter(endpoint.Parameter{Name: name, Value: fmt.Sprint(name, v+1)})
		}
	}
	st.LabelParameter("/app/a", 1, "blue")
	st.LabelParameter("/app/b/c", 2, "blue")
	p := secrets.NewSSM(cfg)
	// One path with a label and without it go apart.
	got := fetch(t, p, "ssm:///app/*:blue", "ssm:///app/*", "ssm:///app/*:green")
	wantResult(t, got[0], `{"a":"/app/a1","b/c":"/app/b/c2"}`, nil)
	wantResult(t, got[1], `{"a":"/app/a2","b/c":"/app/b/c2","d":"/app/d2"}`, nil)
	wantResult(t, got[2], "", secrets.ErrNotFound)
	if detail := secrets.Detail(got[2].Err); !strings.Contains(detail, "label") {
		t.Errorf("%s", detail)
	}
}

// pages answers GetParametersByPath with n parameters of one value, ten to a page.
func pages(n int, value string) doing {
	return func(r *http.Request) (*http.Response, error) {
		var in struct{ NextToken string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		from, _ := strconv.Atoi(in.NextToken)
		var out struct {
			Parameters []map[string]string
			NextToken  string `json:",omitempty"`
		}
		for i := from; i < min(from+10, n); i++ {
			out.Parameters = append(out.Parameters,
				map[string]string{"Name": fmt.Sprintf("/t/%04d", i), "Value": value})
		}
		if from+10 < n {
			out.NextToken = strconv.Itoa(from + 10)
		}
		body, err := json.Marshal(out)
		header := http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
		return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(bytes.NewReader(body))}, err
	}
}

// After an answer of 4xx to the whole call, which an outage hardly gives, one name is asked alone at once.
func TestSSM_UnknownRefusalIsProbedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var after []time.Duration
		began := time.Now()
		cfg := config("https://aws.example")
		cfg.HTTPClient = doing(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			mu.Lock()
			after = append(after, time.Since(began))
			mu.Unlock()
			status, answer := 400, `{"__type":"WeirdException"}`
			if strings.Contains(string(body), `["/a"]`) {
				status, answer = 200, `{"Parameters":[{"Name":"/a","Value":"v","Type":"SecureString","Version":1}]}`
			}
			header := http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
			text := io.NopCloser(strings.NewReader(answer))
			return &http.Response{StatusCode: status, Header: header, Body: text}, err
		})
		env := newEnv(t, cfg, map[string]string{"A": "ssm:///a", "B": "ssm:///b"}, secrets.WithLogger(quiet()))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		env.Snapshot(ctx)
		if len(after) < 2 || after[1] != 0 {
			t.Errorf("calls after %v, want the second one at once", after)
		}
	})
}

// A tree near its limits warns in the log once, and again after it was far from them.
func TestSSMTree_WarnsInTheLog(t *testing.T) {
	t.Parallel()
	journal, logTo := newJournal()
	cfg := config("https://aws.example")
	n := 799
	cfg.HTTPClient = doing(func(r *http.Request) (*http.Response, error) { return pages(n, "x")(r) })
	env := newEnv(t, cfg, map[string]string{"T": "ssm:///t/*"}, logTo)
	for i, step := range []struct{ n, lines int }{{799, 0}, {800, 1}, {800, 1}, {1, 1}, {800, 2}} {
		n = step.n
		if err := env.Refresh(t.Context()); err != nil || journal.Count("secrets.tree") != step.lines {
			t.Errorf("step %d: %v, %d lines, want %d", i, err, journal.Count("secrets.tree"), step.lines)
		}
	}
}

// A tree warns from 80 % of either limit, and fails past it with which limit it is.
func TestSSMTree_Limits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		n            int
		value        string
		fails, warns string
	}{
		{"far from both", 799, "x", "", ""},
		{"80 % of the parameters", 800, "x", "", "800 parameters; more than 1000 fail"},
		{"all parameters", 1000, "x", "", "1000 parameters; more than 1000 fail"},
		{"one too many", 1001, "x", "more than 1000 parameters", ""},
		{"below 80 % of the bytes", 400, strings.Repeat("x", 8192), "", ""},
		{"80 % of the bytes", 412, strings.Repeat("x", 8192), "", "bytes; more than 4194304 fail"},
		{"too many bytes", 512, strings.Repeat("x", 8192), "larger than 4 MiB", ""},
		{"too many bytes once they are quoted", 300, strings.Repeat(`"`, 8192), "larger than 4 MiB", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := config("https://aws.example")
			cfg.HTTPClient = pages(test.n, test.value)
			r := fetch(t, secrets.NewSSM(cfg), "ssm:///t/*")[0]
			if test.fails == "" {
				if r.Err != nil || !strings.Contains(secrets.Warning(r), test.warns) || test.warns == "" &&
					secrets.Warning(r) != "" {
					t.Errorf("error %v, warning %q", r.Err, secrets.Warning(r))
				}
				return
			}
			if !errors.Is(r.Err, secrets.ErrInvalidReference) || !secrets.Outgrown(r.Err) ||
				!strings.Contains(secrets.Detail(r.Err), test.fails) {
				t.Errorf("%s", secrets.Detail(r.Err))
			}
		})
	}
}

// Names, trees and Regions of one fetch go out at once; 70 names that are asked singly, no more than 32 at a time.
func TestSSM_Width(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	refs := put(st, numbered(70)...)
	s.SetPolicy(allow(`"ssm:GetParameter"`, `"*"`))
	s.SetLatency("*", 10*time.Millisecond)
	var now, most atomic.Int32
	p := secrets.NewSSM(cfg, func(o *ssm.Options) { o.APIOptions = append(o.APIOptions, counting(&now, &most)) })
	for range 2 {
		for _, r := range fetch(t, p, refs...) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	if most.Load() > 32 || most.Load() < 16 {
		t.Errorf("%d calls at once, want up to 32", most.Load())
	}
}

// One client per Region, each asked what is its own; an answer for something else is not taken.
func TestSSM_Regions(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	st.PutParameter(endpoint.Parameter{Name: "/a", Value: "near"})
	s.Region("us-east-1").PutParameter(endpoint.Parameter{Name: "/a", Value: "far"})
	env := newEnv(t, cfg, map[string]string{"NEAR": "ssm:///a", "FAR": "ssm:///a?region=us-east-1",
		"ARN": "ssm://arn:aws:ssm:us-east-1:123456789012:parameter/a"})
	if err := env.Warm(patient(t)); err != nil {
		t.Fatal(secrets.Detail(err))
	}
	for name, want := range map[string]string{"NEAR": "near", "FAR": "far", "ARN": "far"} {
		if got := mustGet(t, env, name).Reveal(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	var near int
	for _, c := range s.Calls() {
		if c.Region == region {
			near++
		}
	}
	if near != 1 || len(s.Calls()) != 3 {
		t.Errorf("%d calls, %d of them to %s", len(s.Calls()), near, region)
	}
}

// What was found out about a role is no more than where to begin: the role may change.
func TestSSM_RoleChanges(t *testing.T) {
	t.Parallel()
	s, st, cfg := start(t)
	refs := put(st, numbered(3)...)
	p, lone := secrets.NewSSM(cfg), secrets.NewSSM(cfg)
	for _, action := range []string{"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParameter", "ssm:GetParameters"} {
		s.SetPolicy(allow(`"`+action+`"`, `"*"`))
		fetch(t, lone, refs[0])
		wantResult(t, fetch(t, lone, refs[0])[0], "value of /p0", nil)
		fetch(t, p, refs...) // may be refused once
		fetch(t, p, refs[0])
		for i, r := range append(fetch(t, p, refs...), fetch(t, p, refs[0])...) {
			wantResult(t, r, fmt.Sprintf("value of /p%d", i%3), nil)
		}
	}
}

// moto's GetParameters takes no ARN and says that there is no such parameter; its GetParameter does. What neither has
// is missing, whatever the role may do.
func TestSSM_ARNThatBatchesRefuse(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/a"
	for _, tc := range []struct {
		name, single string // the answer to GetParameter
		kind         error
	}{
		{"it is there", `{"Parameter":{"Name":"/a","ARN":"` + arn + `","Value":"x","Version":1}}`, nil},
		{"it is missing", `{"__type":"ParameterNotFound"}`, secrets.ErrNotFound},
		{"the role has GetParameters only", `{"__type":"AccessDeniedException"}`, secrets.ErrNotFound},
		{"it is not known yet", `{"__type":"ThrottlingException"}`, secrets.ErrThrottled},
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
				return &http.Response{StatusCode: status,
					Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
					Body:   io.NopCloser(strings.NewReader(body))}, nil
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
