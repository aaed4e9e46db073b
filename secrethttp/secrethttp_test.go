package secrethttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secrethttp"
	"github.com/lambdasecrets/secrets/secretstest"
)

const secret, pending = "sm://prod/api", "sm://prod/api?stage=AWSPENDING"

// An api is a server that wants a header, and says what came.
type api struct {
	*httptest.Server
	fake *secretstest.Fake
	env  *secrets.Env

	mu      sync.Mutex
	name    string // of the header
	want    string
	refusal int      // status
	bodies  []string // of all requests, "+" before those that were accepted
}

// newAPI returns an api that wants "Authorization: Bearer one", which is what the Env has.
func newAPI(t *testing.T) *api {
	a := &api{name: "Authorization", want: "Bearer one", refusal: http.StatusUnauthorized}
	a.fake = secretstest.NewFake(t, map[string]string{secret: "one"})
	a.env = a.fake.Env(map[string]string{"TOKEN": secret}, secrets.WithLogger(slog.New(slog.DiscardHandler)))
	if err := a.env.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Header.Get(a.name) != a.want {
		a.bodies = append(a.bodies, string(body))
		w.WriteHeader(a.refusal)
		io.WriteString(w, "who are you?")
		return
	}
	a.bodies = append(a.bodies, "+"+string(body))
	io.WriteString(w, "hello")
}

// rotate gives the secret and the server another token.
func (a *api) rotate(token string) {
	a.fake.Set(secret, token)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.want = "Bearer " + token
}

func (a *api) transport() *secrethttp.Transport {
	return &secrethttp.Transport{Env: a.env, Name: "TOKEN", Origin: a.URL}
}

// do sends a request and returns the answer's status and text.
func do(t *testing.T, rt http.RoundTripper, req *http.Request) (int, string) {
	t.Helper()
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func request(t *testing.T, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestTransport_SendsAgain(t *testing.T) {
	t.Parallel()
	once := func() io.Reader { return io.MultiReader(strings.NewReader("body")) } // without GetBody
	for name, c := range map[string]struct {
		body   io.Reader
		status int
		bodies string // that the server saw
	}{
		"no body":                  {nil, 200, ",+"},
		"empty":                    {http.NoBody, 200, ",+"},
		"a body to be had again":   {bytes.NewReader([]byte("body")), 200, "body,+body"},
		"a body to be had no more": {once(), 401, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.rotate("two")
			status, text := do(t, a.transport(), request(t, a.URL, c.body))
			if status != c.status || strings.Join(a.bodies, ",") != c.bodies {
				t.Errorf("status %d, and the server saw %q; want %d, %s", status, a.bodies, c.status, c.bodies)
			}
			if want := map[int]string{200: "hello", 401: "who are you?"}[status]; text != want {
				t.Errorf("the answer is %q, want %q", text, want)
			}
			// Whatever became of that one, the next request has the newer token.
			if status, _ := do(t, a.transport(), request(t, a.URL, once())); status != 200 {
				t.Errorf("the next request: status %d", status)
			}
		})
	}
}

func TestTransport_Pending(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fake.Set(pending, "two")
	a.want = "Bearer two"
	for range 3 {
		if status, _ := do(t, a.transport(), request(t, a.URL, nil)); status != 200 {
			t.Errorf("status %d", status)
		}
	}
	if got := strings.Join(a.bodies, ","); got != ",+,+,+" {
		t.Errorf("the server saw %q, want one refusal", got)
	}
}

// A request is sent twice at most, and a value that the server refused is not kept.
func TestTransport_RefusedTwice(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fake.Set(pending, "two")
	a.want = "Bearer three"
	if status, text := do(t, a.transport(), request(t, a.URL, nil)); status != 401 || text != "who are you?" {
		t.Errorf("status %d, %q, want the server's answer", status, text)
	}
	if len(a.bodies) != 2 {
		t.Errorf("sent %d times, want 2", len(a.bodies))
	}
	if v, err := a.env.Get(t.Context(), "TOKEN"); err != nil || !v.EqualString("one") {
		t.Errorf("the variable holds another value than before: %v", err)
	}
}

func TestTransport_OtherAnswers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.rotate("two")
	a.refusal = http.StatusForbidden
	if status, _ := do(t, a.transport(), request(t, a.URL, nil)); status != 403 || len(a.bodies) != 1 {
		t.Errorf("status %d after %d requests, want 403 after 1", status, len(a.bodies))
	}
	rt := a.transport()
	rt.Refused = func(r *http.Response) bool { return r.StatusCode == http.StatusForbidden }
	if status, _ := do(t, rt, request(t, a.URL, nil)); status != 200 {
		t.Errorf("with Refused, status %d, want 200", status)
	}
}

func TestTransport_Set(t *testing.T) {
	t.Parallel()
	const login = `{"username":"Aladdin","password":"open sesame"}`
	for name, c := range map[string]struct {
		set                 func(http.Header, secrets.Value) error
		value, header, want string
	}{
		"default": {nil, "key", "Authorization", "Bearer key"},
		"bearer":  {secrethttp.Bearer, "key", "Authorization", "Bearer key"},
		"header":  {secrethttp.Header("x-api-key"), "key", "X-Api-Key", "key"},
		"basic":   {secrethttp.Basic, login, "Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, // RFC 7617
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.fake.Set(secret, c.value)
			a.env.Refresh(t.Context())
			a.name, a.want = c.header, c.want
			rt := a.transport()
			rt.Set = c.set
			if status, _ := do(t, rt, request(t, a.URL, nil)); status != 200 {
				t.Errorf("status %d", status)
			}
		})
	}
}

// A recorder is a Base that keeps what it was given.
type recorder struct {
	got    []*http.Request
	answer func(*http.Request) (*http.Response, error)
	idle   int
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.got = append(r.got, req)
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	return r.answer(req)
}

func (r *recorder) CloseIdleConnections() { r.idle++ }

// A body counts how often it is closed.
type body struct {
	io.Reader
	closed int
}

func (b *body) Close() error { b.closed++; return nil }

func answer(status int, b io.ReadCloser) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: b, Request: req}, nil
	}
}

func newRecorder(status int) (*recorder, *body) {
	b := &body{Reader: strings.NewReader("text")}
	return &recorder{answer: answer(status, b)}, b
}

// The request that the caller has, and that of the answer, never hold the secret.
func TestTransport_RequestUnchanged(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	rec, _ := newRecorder(200)
	rt := a.transport()
	rt.Base = rec
	req := request(t, a.URL, nil)
	req.Header = nil
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if len(req.Header) > 0 || resp.Request != req {
		t.Errorf("the request's header is %d long; the answer's request is the caller's: %v",
			len(req.Header), resp.Request == req)
	}
	if got := rec.got[0].Header.Get("Authorization"); got != "Bearer one" {
		t.Errorf("Base got another header")
	}
	rt.CloseIdleConnections()
	if rec.idle != 1 {
		t.Error("CloseIdleConnections did not reach Base")
	}
}

// Every body is closed: the caller's and that of an answer that nobody sees.
func TestTransport_Bodies(t *testing.T) {
	t.Parallel()
	down := errors.New("connection reset by peer")
	for name, c := range map[string]struct {
		change         func(*secrethttp.Transport)
		url            string
		second         error // of the second try
		sends, refused int   // how many requests, and closed bodies of answers
	}{
		"refused, then lost": {second: down, sends: 2, refused: 1},
		"refused twice":      {sends: 2, refused: 1},
		"no such variable":   {change: func(rt *secrethttp.Transport) { rt.Name = "TOKENS" }},
		"no origin":          {change: func(rt *secrethttp.Transport) { rt.Origin = "" }},
		"origin with a path": {change: func(rt *secrethttp.Transport) { rt.Origin += "/v1" }},
		"another origin":     {url: "https://elsewhere.example.com"},
		"Set fails":          {change: func(rt *secrethttp.Transport) { rt.Set = secrethttp.Basic }},
		"Set fails later": {sends: 1, refused: 1, change: func(rt *secrethttp.Transport) {
			rt.Set = func(_ http.Header, v secrets.Value) error {
				if v.EqualString("two") {
					return down
				}
				return nil
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.fake.Set(secret, "two")
			rec, refusal := newRecorder(401)
			rt := a.transport()
			rt.Base = rec
			rec.answer = func(req *http.Request) (*http.Response, error) {
				if len(rec.got) == 2 {
					return &http.Response{StatusCode: 401, Body: http.NoBody}, c.second
				}
				return answer(401, refusal)(req)
			}
			if c.change != nil {
				c.change(rt)
			}
			if c.url == "" {
				c.url = a.URL
			}
			req := request(t, c.url, nil)
			sent := &body{Reader: strings.NewReader("text")}
			req.Body = sent
			req.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
			resp, err := rt.RoundTrip(req)
			if (resp == nil) == (err == nil) {
				t.Fatalf("RoundTrip = %v, %v, want one of them", resp, err)
			}
			if len(rec.got) != c.sends || sent.closed == 0 || refusal.closed != c.refused {
				t.Errorf("%d requests, body closed %d times, the refusal's %d times; want %d, once, %d",
					len(rec.got), sent.closed, refusal.closed, c.sends, c.refused)
			}
		})
	}
}

func TestTransport_Redirect(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	seen := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Authorization")
	}))
	t.Cleanup(other.Close)
	there := map[string]string{
		"/other": other.URL,                                           // another port is another origin
		"/self":  a.URL + "/",                                         //
		"/twice": a.URL + "/other",                                    // here, then there
		"/name":  strings.Replace(a.URL, "127.0.0.1", "localhost", 1), // another name of the same host
	}
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := there[r.URL.Path]; to != "" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
			return
		}
		seen <- r.Header.Get("Authorization")
	})
	for from, want := range map[string]string{"/other": "", "/self": "Bearer one", "/twice": "", "/name": ""} {
		if status, _ := do(t, a.transport(), request(t, a.URL+from, nil)); status != 200 {
			t.Errorf("%s: status %d", from, status)
		}
		if got := <-seen; got != want {
			t.Errorf("%s: after the redirect the header is %q, want %q", from, got, want)
		}
	}
}

func TestTransport_Origin(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, c := range []struct {
		origin, url string
		want        bool
	}{
		{"https://api.example.com", "https://api.example.com/v1?q", true},
		{"https://api.example.com/", "https://API.example.com:443", true},
		{"HTTPS://API.example.com:443", "https://api.example.com", true},
		{"http://api.example.com", "http://api.example.com:80", true},
		{"https://[::1]:8443", "https://[::1]:8443/", true},
		{"https://api.example.com", "http://api.example.com", false},
		{"https://api.example.com", "https://api.example.com:8443", false},
		{"https://api.example.com:8443", "http://api.example.com:8443", false},
		{"https://api.example.com", "https://api.example.com.evil.org", false},
		{"https://api.example.com", "https://api.example.com@evil.org", false},
		{"https://api.example.com", "https://example.com", false},
		{"api.example.com", "https://api.example.com", false},
		{"https://user@api.example.com", "https://api.example.com", false},
		{"ftp://api.example.com", "ftp://api.example.com", false},
	} {
		rec, _ := newRecorder(200)
		rt := &secrethttp.Transport{Env: a.env, Name: "TOKEN", Origin: c.origin, Base: rec}
		_, err := rt.RoundTrip(request(t, c.url, nil))
		if (err == nil) != c.want || (len(rec.got) == 1) != c.want {
			t.Errorf("origin %s, request to %s: %v, %d requests sent", c.origin, c.url, err, len(rec.got))
		}
	}
	if _, err := (&secrethttp.Transport{}).RoundTrip(request(t, a.URL, nil)); err == nil {
		t.Error("the zero Transport sends a request")
	}
}

// No error quotes the secret.
func TestTransport_BadValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		value string
		set   func(http.Header, secrets.Value) error
		kind  error
	}{
		"line break":    {"swordfish\n", nil, nil},
		"not JSON":      {"swordfish", secrethttp.Basic, secrets.ErrField},
		"no password":   {`{"username":"swordfish"}`, secrethttp.Basic, secrets.ErrField},
		"colon in user": {`{"username":"sword:fish","password":"swordfish"}`, secrethttp.Basic, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.fake.Set(secret, c.value)
			a.env.Refresh(t.Context())
			rt := a.transport()
			rt.Set = c.set
			_, err := (&http.Client{Transport: rt}).Do(request(t, a.URL, nil))
			if err == nil || len(a.bodies) > 0 {
				t.Fatalf("sent, with error %v", err)
			}
			if strings.Contains(err.Error(), "fish") || !strings.Contains(err.Error(), "TOKEN") {
				t.Errorf("the error quotes the secret, or does not name the variable: %v", err)
			}
			if c.kind != nil && !errors.Is(err, c.kind) {
				t.Errorf("the error is no %v: %v", c.kind, err)
			}
		})
	}
}

// A token that nobody can mend costs no flood of fetches, and each request one try.
func TestTransport_WrongToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := secretstest.NewFake(t, map[string]string{secret: "one"})
		env := fake.Env(map[string]string{"TOKEN": secret}, secrets.WithLogger(slog.New(slog.DiscardHandler)))
		rec := &recorder{answer: answer(401, http.NoBody)}
		rt := &secrethttp.Transport{Env: env, Name: "TOKEN", Origin: "https://api.example.com", Base: rec}
		for range 600 {
			resp, err := rt.RoundTrip(request(t, "https://api.example.com", nil))
			if err != nil || resp.StatusCode != 401 {
				t.Fatalf("RoundTrip = %v, %v", resp, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := fake.Fetched(""); n > 20 || len(rec.got) != 600 {
			t.Errorf("%d fetches and %d requests in a minute, want 20 at most and 600", n, len(rec.got))
		}
	})
}

// Many requests at once share the fetches of a rotation.
func TestTransport_Concurrent(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	client := &http.Client{Transport: a.transport()}
	fetched := a.fake.Fetched("")
	for i := range 5 {
		a.rotate(fmt.Sprint("token ", i))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				resp, err := client.Post(a.URL, "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
			})
		}
		wg.Wait()
	}
	if n := a.fake.Fetched("") - fetched; n != 10 {
		t.Errorf("%d fetches for 5 rotations, want 10: AWSPENDING, which there is none of, and AWSCURRENT", n)
	}
}

// A request that its caller gives up ends, and says so.
func TestTransport_Cancelled(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := (&http.Client{Transport: a.transport()}).Do(request(t, a.URL, nil).WithContext(ctx))
	var u *url.Error
	if !errors.Is(err, context.Canceled) || !errors.As(err, &u) {
		t.Errorf("err = %v, want context.Canceled", err)
	}
}
