package secrets_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/leak"
)

// canaries are plaintexts that quoting, escaping and encoding change in different ways.
var canaries = []string{
	"canary",                   // nothing to escape
	"canary two",               // a space: + or %20
	"can/ary?x=1&y#z",          // of URLs
	"c@n:ary+1%",               // of the user part of a URL
	"can\"ary\\'s",             // of Go and JSON
	"can\nary\ttab",            // control characters
	"cänary-ünïcode-秘密",        // not ASCII
	"<can&ary>",                // JSON escapes these, HTML too
	"can ary=' x'",             // of pgx's keyword form
	"\u2028can\u00adary\u007f", // not printable
	"1234567890123456789",      // a number in JSON is one, too
}

// quotes are the ways in which errors of parsers, drivers and clients quote what they were given.
var quotes = map[string]func(s string) string{
	"plain":       func(s string) string { return "cannot use " + s + " here" },
	"%q":          func(s string) string { return fmt.Sprintf("invalid port %q", s) },
	"%+q":         func(s string) string { return fmt.Sprintf("invalid port %+q", s) },
	"%q of %q":    func(s string) string { return fmt.Sprintf("%q", fmt.Sprintf("in %q", s)) },
	"%x":          func(s string) string { return fmt.Sprintf("bytes %x", s) },
	"%X":          func(s string) string { return fmt.Sprintf("bytes %X", s) },
	"% x":         func(s string) string { return fmt.Sprintf("bytes % x", s) },
	"%v of bytes": func(s string) string { return fmt.Sprintf("bytes %v", []byte(s)) },
	"hex.Dump":    func(s string) string { return hex.EncodeToString([]byte("user:" + s)) },
	"base64":      func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64, raw": func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
	"base64, URL": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"QueryEscape": func(s string) string { return "GET /?token=" + url.QueryEscape(s) },
	"PathEscape":  func(s string) string { return "GET /" + url.PathEscape(s) + "/x" },
	"HTML":        func(s string) string { return "<p>" + html.EscapeString(s) + "</p>" },
	"JSON": func(s string) string {
		text, _ := json.Marshal(map[string]string{"password": s})
		return string(text)
	},
	"JSON of JSON": func(s string) string {
		text, _ := json.Marshal(map[string]string{"password": s})
		text, _ = json.Marshal(string(text))
		return string(text)
	},
	"strconv": func(s string) string {
		_, err := strconv.Atoi("x" + s)
		return err.Error()
	},
	"url.Parse": func(s string) string {
		_, err := url.Parse("postgres://app:" + s + "@db:port/\x00")
		return err.Error()
	},
	"url.URL": func(s string) string {
		return (&url.URL{Scheme: "postgres", User: url.UserPassword("app", s), Host: "db", Path: "/" + s}).String()
	},
	"pgx": func(s string) string { // pgconn.ParseConfigError of a keyword form
		return "cannot parse `host=db password='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'`: failed"
	},
	"basic auth": func(s string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth("app", s)
		return fmt.Sprint(r.Header)
	},
	"wrapped": func(s string) string { return fmt.Errorf("dial: %w", errors.New(s)).Error() },
}

// However the error of a build quotes the value, or a leaf of it, at any depth, the log does not show it.
func TestRedact_BuildErrors(t *testing.T) {
	t.Parallel()
	for _, canary := range canaries {
		inner, err := json.Marshal(map[string]any{"keys": []string{canary}})
		if err != nil {
			t.Fatal(err)
		}
		document, err := json.Marshal(map[string]any{
			"password": canary, "nested": map[string]any{"list": []any{canary}}, "again": string(inner),
		})
		if err != nil {
			t.Fatal(err)
		}
		for holder, value := range map[string]string{"whole": canary, "JSON": string(document),
			"JSON in JSON": string(inner)} {
			for way, quote := range quotes {
				said := logOfFailedBuild(t, value, errors.New(quote(canary)))
				if form := leak.In(said, canary); form != "" {
					t.Errorf("%q in a %s value, quoted by %s: the log shows %q in %s", canary, holder, way, form, said)
				}
				if !strings.Contains(said, "[REDACTED]") {
					t.Errorf("%q in a %s value, quoted by %s: nothing was taken out of %s", canary, holder, way, said)
				}
			}
		}
	}
}

// A password with a slash or a # in it makes url.Parse quote a part of it alone, where it stands in a URL that is the
// value, and where a program puts it into one.
func TestRedact_PartsOfURL(t *testing.T) {
	t.Parallel()
	for _, password := range []string{"first/second", "first#second", "fi/rst#second", "first%zzsecond"} {
		dsn := "postgres://app:" + password + "@db/app"
		document, err := json.Marshal(map[string]string{"password": password})
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{dsn, password, string(document)} {
			_, err := url.Parse(dsn)
			if err == nil {
				t.Fatalf("%s parses", dsn)
			}
			said := logOfFailedBuild(t, value, err)
			for _, part := range []string{"first", "second", "fi/rst"} {
				if strings.Contains(said, part) {
					t.Errorf("%s in %s: the log shows %s", password, value, said)
				}
			}
		}
	}
}

// What is not the value stays readable.
func TestRedact_KeepsTheRest(t *testing.T) {
	t.Parallel()
	const text = `{"host":"db","port":5432,"password":"canary-1"}`
	said := logOfFailedBuild(t, text, errors.New("dial tcp db:5433: password canary-1 refused, attempt 2"))
	if !strings.Contains(said, "dial tcp db:5433: password [REDACTED] refused, attempt 2") {
		t.Error(said)
	}
}

// logOfFailedBuild returns the error attribute of secrets.derive for a value that was rotated to text, from which a
// build fails with err.
func logOfFailedBuild(t *testing.T, text string, err error) string {
	t.Helper()
	log := &records{keys: map[string]bool{}}
	current := "first"
	provider := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue(current, ""), nil
	})
	env, newErr := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}),
		secrets.WithProvider(provider), secrets.WithLogger(slog.New(log)))
	if newErr != nil {
		t.Fatal(newErr)
	}
	d := secrets.Derive(env, "A", func(_ context.Context, v secrets.Value) (int, error) {
		if v.Reveal() == "first" {
			return 0, nil
		}
		return 0, err
	}, nil)
	use := func(int) error { return nil }
	if err := d.Do(t.Context(), use); err != nil {
		t.Fatal(err)
	}
	current = text
	if err := env.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Do(t.Context(), use)
	for _, line := range log.text {
		if said, ok := strings.CutPrefix(line, "secrets.derive error="); ok {
			return said
		}
	}
	t.Fatalf("no secrets.derive in %v", log.text)
	return ""
}

// Who answers in AWS's place may put a value that it gave out before into whatever an answer has: nobody sees it.
func TestRedact_AnswererEchoesValue(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdefghijklmnopqrstuv-", 60)
	for _, test := range []struct{ name, text, plain, inBase64 string }{
		{"identifier", "canary-password", "canary-password", "canary-password"},
		{"leaf", `{"username":"app","password":"canary-password"}`, "canary-password", "canary-password"},
		{"leaf of a leaf", `{"db":"{\"password\":\"canary-password\"}"}`, "canary-password", "canary-password"},
		{"text", "canary: a \"pass\\phrase\"", "canary: a \"pass\\phrase\"", "canary: a \"pass\\phrase\""},
		{"lines", "canary\npass\tword", "canary pass word", "canary\npass\tword"},
		{"cut off", long, long[40:140], long},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inCode := strings.Map(func(r rune) rune {
				if strings.ContainsRune(` :"\`, r) {
					return -1
				}
				return r
			}, test.plain)
			var echoes atomic.Bool
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := map[string]any{"Name": "s", "SecretString": test.text, "VersionId": test.plain}
				if echoes.Load() {
					w.Header().Set("X-Amzn-Requestid", inCode)
					w.WriteHeader(http.StatusBadRequest)
					answer = map[string]any{"__type": inCode,
						"message": "no " + test.text + " and " + test.plain + " or " +
							base64.StdEncoding.EncodeToString([]byte(test.inBase64))}
				}
				json.NewEncoder(w).Encode(answer)
			}))
			t.Cleanup(server.Close)
			log := &records{keys: map[string]bool{}}
			env := newEnv(t, config(server.URL), map[string]string{"A": "sm://s", "B": "sm://other"},
				secrets.WithLogger(slog.New(log)))
			warm, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if err := env.Warm(warm); err == nil { // other is answered by the name of s
				t.Fatal("no failure")
			}
			v, err := env.Get(t.Context(), "A")
			if err != nil || v.Reveal() != test.text {
				t.Fatalf("got %v", err)
			}
			echoes.Store(true)
			refresh := func(names ...string) error {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // it tries again until then
				defer cancel()
				return env.Refresh(ctx, names...)
			}
			shown := []string{v.Version(), fmt.Sprintf("%+v", env.Refs())}
			for _, err := range []error{refresh(), refresh("B"), failureOf(env, "A")} {
				var api smithy.APIError
				if !errors.As(err, &api) {
					t.Fatalf("no answer in %v", err)
				}
				shown = append(shown, fmt.Sprintf("%v %+v %s %v", err, err, secrets.Detail(err), api))
			}
			log.mu.Lock()
			defer log.mu.Unlock()
			for _, text := range append(shown, log.text...) {
				if form := leak.In(text, test.plain); form != "" {
					t.Errorf("shows %q in %s", form, text)
				}
			}
			if !strings.Contains(shown[2], "[REDACTED]") {
				t.Errorf("nothing was taken out of %s", shown[2])
			}
		})
	}
}

// The words that the next step needs stay: they are in many values, and no secrets.
func TestRedact_KeepsWhatAWSNames(t *testing.T) {
	t.Parallel()
	server, store, cfg := start(t)
	store.PutSecret("orders/db",
		`{"account":"123456789012","masterarn":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders/db-AbCdEf",
		"region":"eu-west-1","name":"orders/db","username":"app"}`)
	env := newEnv(t, cfg, map[string]string{"A": "sm://orders/db"}, secrets.WithLogger(quiet()))
	if err := env.Warm(patient(t)); err != nil {
		t.Fatal(err)
	}
	server.Fault(endpoint.Fault{Do: endpoint.Deny})
	err := env.Refresh(patient(t))
	if said := secrets.Detail(err); err == nil || strings.Contains(said, "[REDACTED]") {
		t.Error(said)
	}
}

// Versions are logged, so one that holds the plaintext, or a string or a number of it, is not kept. Who answers in
// AWS's place chooses both.
func TestRedact_VersionHoldsValue(t *testing.T) {
	t.Parallel()
	const uuid = "9f1c2d3e-4b5a-4c6d-8e7f-0123456789ab"
	in64 := func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) }
	long := strings.Repeat("0123456789abcdef", 5)
	for name, tc := range map[string]struct {
		plain, version string
		kept           bool
	}{
		"another":                    {`{"user":"orders","password":"correct-horse"}`, uuid, true},
		"another text":               {"correct-horse-battery-staple", uuid, true},
		"short parts":                {`{"a":"9f1c2d3","b":[4567890]}`, uuid, true},
		"the text":                   {uuid, uuid, false},
		"a part is the text":         {"0123456789ab", uuid, false},
		"a string":                   {`{"a":"0123456789ab"}`, uuid, false},
		"a string with separators":   {`{"a":"v1, {2}: [3]"}`, "x-v1, {2}: [3]-y", false},
		"a string behind escapes":    {`{"a\u0041":"0123456789ab"}`, uuid, false},
		"an escaped string":          {`{"a":"\u00301234567\/89"}`, "v01234567/89", false},
		"not ASCII":                  {`{"a":"pässword"}`, "v-pässword", false},
		"a number":                   {`{"a": 0.123456789 }`, "v0.123456789", false},
		"a number in a string":       {`{"a":"[12345678, 2]"}`, "v12345678", false},
		"a string in a string":       {`{"a":"{\"b\":\"0123456789ab\"}"}`, uuid, false},
		"base64":                     {"correct-horse", "v." + in64("correct-horse"), false},
		"a string in base64":         {`{"a":"correct-horse"}`, "v." + in64("correct-horse"), false},
		"half of a long text":        {long, "v." + long[32:64], false},
		"half of it in base64":       {long, "v." + in64(long)[32:64], false},
		"a line's end, as it prints": {"correct\nhorse", "v.correct horse", false},
		"lines":                      {"{\n\t\"a\": \"0123456789ab\"\n}", uuid, false},
		"lines of another":           {"{\n\t\"a\": \"correct-horse\"\n}", uuid, true},
	} {
		p := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
			return secrets.NewValue(tc.plain, tc.version), nil
		})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}), secrets.WithProvider(p))
		if err != nil {
			t.Fatal(err)
		}
		v, err := env.Get(t.Context(), "A")
		if err != nil || (v.Version() == tc.version) != tc.kept {
			t.Errorf("%s: version %q, %v", name, v.Version(), err)
		}
	}
}
