package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
)

// A simulation is the extension's HTTP API: its paths, parameters, token and answers.
type simulation struct {
	mu      sync.Mutex
	ready   bool
	answers map[string]any // path and query, sorted → a JSON answer, or a status and text
	asked   []string
}

type refusal struct {
	status int
	text   string
}

const token = "session/token+"

func (s *simulation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.URL.Path + "?" + r.URL.Query().Encode()
	s.asked = append(s.asked, key)
	answer, known := s.answers[key]
	refuse, refused := answer.(refusal)
	switch {
	case r.Method != http.MethodGet:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case r.Header.Get("X-Aws-Parameters-Secrets-Token") != token:
		http.Error(w, "invalid or missing token", http.StatusUnauthorized)
	case !s.ready:
		http.Error(w, "not ready to serve traffic, please wait", http.StatusBadRequest)
	case !known:
		http.Error(w, "operation error: ResourceNotFoundException: not found: "+key, http.StatusBadRequest)
	case refused && refuse.status == http.StatusFound:
		http.Redirect(w, r, refuse.text, refuse.status)
	case refused:
		http.Error(w, refuse.text, refuse.status)
	default:
		if text, ok := answer.(string); ok {
			io.WriteString(w, text)
			return
		}
		json.NewEncoder(w).Encode(answer)
	}
}

// start returns a simulated extension and an Env that reads through it.
func start(
	t *testing.T,
	tokenSent string,
	environ map[string]string,
	opts ...secrets.Option,
) (*simulation, *secrets.Env) {
	t.Helper()
	s := &simulation{ready: true, answers: map[string]any{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{
		"PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": u.Port(),
		"AWS_SESSION_TOKEN":                      tokenSent,
		"AWS_REGION":                             "eu-west-1",
	}
	all := map[string]string{"AWS_REGION": "eu-west-1"}
	for name, value := range environ {
		all[name] = value
	}
	opts = append(
		[]secrets.Option{
			secrets.WithEnviron(all),
			secrets.WithProvider(
				newExtension(func(name string) string { return settings[name] }),
				secrets.SSM,
				secrets.SecretsManager,
			),
		},
		opts...)
	env, err := secrets.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s, env
}

func secretAnswer(text string) map[string]any {
	return map[string]any{
		"ARN":           "arn:…",
		"Name":          "prod/db",
		"SecretString":  text,
		"VersionId":     "v1",
		"VersionStages": []string{"AWSCURRENT"},
	}
}

func parameterAnswer(text string, version int) map[string]any {
	return map[string]any{
		"Parameter": map[string]any{
			"ARN":     "arn:…",
			"Name":    "/app/url",
			"Type":    "SecureString",
			"Value":   text,
			"Version": version,
		},
		"ResultMetadata": map[string]any{},
	}
}

func TestExtension(t *testing.T) {
	t.Parallel()
	const version = "00000000-0000-4000-8000-000000000001"
	s, env := start(t, token, map[string]string{
		"SECRET": "sm://prod/db#password", "STAGE": "sm://prod/db?stage=AWSPREVIOUS#password",
		"PINNED": "sm://prod/db?version=" + version, "BINARY": "sm://prod/key",
		"PARAMETER": "ssm:///app/url", "THIRD": "ssm:///app/url:3", "LABEL": "ssm:///app/url:blue",
		"ODD": "sm://prod/a+b=c@d", "EMPTY": "ssm:///app/empty",
	})
	s.answers = map[string]any{
		"/secretsmanager/get?secretId=prod%2Fdb": secretAnswer(
			`{"password":"current"}`,
		),
		"/secretsmanager/get?secretId=prod%2Fdb&versionStage=AWSPREVIOUS": secretAnswer(
			`{"password":"previous"}`,
		),
		"/secretsmanager/get?secretId=prod%2Fdb&versionId=" + version: secretAnswer("pinned"),
		"/secretsmanager/get?secretId=prod%2Fkey": map[string]any{
			"SecretBinary": []byte{0, 255},
			"VersionId":    "v2",
		},
		"/secretsmanager/get?secretId=prod%2Fa%2Bb%3Dc%40d": secretAnswer("odd"),
		"/systemsmanager/parameters/get?name=%2Fapp%2Furl&withDecryption=true": parameterAnswer(
			"newest",
			4,
		),
		"/systemsmanager/parameters/get?name=%2Fapp%2Furl&version=3&withDecryption=true": parameterAnswer(
			"third",
			3,
		),
		"/systemsmanager/parameters/get?label=blue&name=%2Fapp%2Furl&withDecryption=true": parameterAnswer("blue", 2),
		"/systemsmanager/parameters/get?name=%2Fapp%2Fempty&withDecryption=true":          parameterAnswer("", 1),
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // so that a busy machine is no failure
	defer cancel()
	if err := env.Warm(ctx); err != nil {
		t.Fatal(secrets.Detail(err))
	}
	for name, want := range map[string][2]string{
		"SECRET": {"current", "v1"}, "STAGE": {"previous", "v1"}, "PINNED": {"pinned", "v1"},
		"BINARY":    {"\x00\xff", "v2"},
		"PARAMETER": {"newest", "4"}, "THIRD": {"third", "3"}, "LABEL": {"blue", "2"}, "ODD": {"odd", "v1"},
		"EMPTY": {"", "1"},
	} {
		v, err := env.Get(t.Context(), name)
		if err != nil || v.Reveal() != want[0] || v.Version() != want[1] {
			t.Errorf("%s: %q, version %s, %v", name, v.Reveal(), v.Version(), err)
		}
	}
	if len(s.asked) != 9 {
		t.Errorf(
			"asked %d times, want once each:\n%s",
			len(s.asked),
			strings.Join(slices.Sorted(slices.Values(s.asked)), "\n"),
		)
	}
}

func TestExtensionFailures(t *testing.T) {
	t.Parallel()
	const canary = "swordfish"
	for name, c := range map[string]struct {
		answer any
		token  string
		want   error
	}{
		"no such secret": {answer: nil, want: secrets.ErrNotFound},
		"denied": {answer: refusal{400, "AccessDeniedException: not authorized"},
			want: secrets.ErrAccessDenied},
		"throttled":   {answer: refusal{400, "ThrottlingException: Rate exceeded"}, want: secrets.ErrThrottled},
		"wrong token": {answer: secretAnswer(canary), token: "another", want: secrets.ErrUnavailable},
		"unknown 400": {answer: refusal{400, canary}, want: secrets.ErrUnavailable},
		"500":         {answer: refusal{500, canary}, want: secrets.ErrUnavailable},
		"redirect": {answer: refusal{302, "/secretsmanager/get?secretId=another"},
			want: secrets.ErrUnavailable},
		"not JSON":         {answer: canary, want: secrets.ErrUnavailable},
		"cut short":        {answer: `{"SecretString":"` + canary, want: secrets.ErrUnavailable},
		"a secret's ghost": {answer: map[string]any{"VersionId": "v1"}, want: secrets.ErrUnavailable},
		"no version":       {answer: map[string]any{"SecretString": canary}, want: secrets.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := token
			if c.token != "" {
				sent = c.token
			}
			s, env := start(t, sent, map[string]string{"SECRET": "sm://prod/db"})
			if c.answer != nil {
				s.answers["/secretsmanager/get?secretId=prod%2Fdb"] = c.answer
				s.answers["/secretsmanager/get?secretId=another"] = secretAnswer(canary)
			}
			limit := 500 * time.Millisecond // in which what may pass is tried again and again
			if c.want != secrets.ErrUnavailable {
				limit = 2 * time.Second // on a busy machine, too, the first answer is there
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err := env.Get(ctx, "SECRET")
			if !errors.Is(err, c.want) {
				t.Errorf("got %s", secrets.Detail(err))
			}
			if text := fmt.Sprintf("%+v %s", err, secrets.Detail(err)); strings.Contains(text, canary) {
				t.Errorf("the error quotes the answer: %s", text)
			}
		})
	}
}

// During init the extension is not ready. Nothing is lost: the first invocation resolves.
func TestExtensionNotReadyDuringInit(t *testing.T) {
	t.Parallel()
	s, env := start(t, token, map[string]string{"SECRET": "sm://prod/db"})
	s.ready = false
	s.answers["/secretsmanager/get?secretId=prod%2Fdb"] = secretAnswer("value")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := env.Warm(ctx); !errors.Is(err, secrets.ErrUnavailable) || !secrets.Retryable(err) {
		t.Fatalf("warm: %s", secrets.Detail(err))
	}
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
	if v, err := env.Get(t.Context(), "SECRET"); err != nil || v.Reveal() != "value" {
		t.Errorf("first invocation: %v", err)
	}
}

func TestExtensionRefuses(t *testing.T) {
	t.Parallel()
	s, env := start(t, token, map[string]string{"REGION": "sm://prod/db?region=us-east-1", "TREE": "ssm:///app/*"})
	for _, name := range []string{"REGION", "TREE"} {
		if _, err := env.Get(t.Context(), name); !errors.Is(err, secrets.ErrInvalidReference) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.asked) > 0 {
		t.Errorf("asked %v", s.asked)
	}
}

func TestExtensionIsNotThere(t *testing.T) {
	t.Parallel()
	port := map[string]string{"PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": "1"}
	p := newExtension(func(name string) string { return port[name] })
	r := p.Fetch(t.Context(), []secrets.Ref{secrets.Secret("prod/db")})[0]
	if r.Err == nil {
		t.Error("no error without an extension")
	}
}
