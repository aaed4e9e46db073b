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
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/lambdasecrets/secrets"
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
		for holder, value := range map[string]string{"whole": canary, "JSON": string(document), "JSON in JSON": string(inner)} {
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
