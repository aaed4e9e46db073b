package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// plaintexts are the samples as -reveal prints them, each by its variable.
var plaintexts = map[string]string{
	"API_KEY": "k-2222", "API_KEY_V1": "k-1111", "CLI_KEY": "from the CLI", "CONSOLE_KEY": "from the console",
	"DB_HOST": "db.internal", "DB_PASSWORD": "correct horse 1",
	"DB_PASSWORD_OLD": "correct horse 0", "DB_USER": "app", "LICENSE": "license-us",
	"SETTINGS": `{\"api-key\":\"k-2222\"`, "SIGNING_KEY": `\x00\xff\x10\x80\n`,
}

var (
	update  = flag.Bool("update", false, "write testdata/quickstart.golden")
	varying = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{7}…|127\.0\.0\.1:\d+|\b[0-9]+ms`)
)

// golden compares the output at 80 columns with the one that people have looked at.
func golden(t *testing.T, got string) {
	t.Helper()
	got = varying.ReplaceAllString(got, "(varies)")
	if *update {
		if err := os.WriteFile("testdata/quickstart.golden", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile("testdata/quickstart.golden"); err != nil || got != string(want) {
		t.Errorf("%v: got\n%s\nwant\n%s", err, got, want)
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	for _, reveal := range []bool{false, true} {
		t.Run(fmt.Sprint(reveal), func(t *testing.T) {
			t.Parallel()
			var w bytes.Buffer
			if err := show(t.Context(), &w, reveal); err != nil {
				t.Fatal(secrets.Detail(err))
			}
			rows, name := map[string]string{}, ""
			for line := range strings.Lines(w.String()) {
				if columns := len([]rune(line)) - 1; columns > 80 {
					t.Errorf("%d columns: %s", columns, line)
				}
				if first, _, _ := strings.Cut(line, " "); first != "" {
					name = first
				}
				rows[name] += line // a variable and its value have a line each
			}
			if !reveal {
				golden(t, w.String())
			}
			for name, plaintext := range plaintexts {
				want := "[REDACTED]"
				if reveal {
					want = `"` + plaintext
				}
				if !strings.Contains(rows[name], want) {
					t.Errorf("the row of %s is %q, without %q", name, rows[name], want)
				}
			}
			for _, secret := range []string{"k-2222", "k-1111", "from the", "correct horse", "license-us", "sk_live"} {
				if !reveal && strings.Contains(w.String(), secret) {
					t.Errorf("%q is shown", secret)
				}
			}
			for _, part := range []string{"2  kms:Decrypt\n", "2  ssm:GetParameter\n", "1  ssm:GetParameters\n",
				"1  ssm:GetParametersByPath\n", "3  secretsmanager:GetSecretValue\n",
				"0  more for reading DB_PASSWORD again", "One warm, ", "plaintext changed: true", "not found " +
					"(ssm:GetParameter ParameterNotFound", "next: check the name", "access denied (",
				"next: allow role"} {
				if !strings.Contains(w.String(), part) &&
					!strings.Contains(strings.Join(strings.Fields(w.String()), " "), part) {
					t.Errorf("%q is missing", part)
				}
			}
		})
	}
}

// What does not resolve is told once: the table does not wait for it again.
func TestOwnEnvironment(t *testing.T) {
	s := endpoint.New(endpoint.Options{})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Region("eu-west-1").PutSecret("prod/db", `{"password":"hidden"}`)
	s.Fault(endpoint.Fault{Do: endpoint.Throttle, Operation: "ssm:*"})
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": url, "AWS_REGION": "eu-west-1",
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-access-key", "AWS_PROFILE": "",
		"QUICKSTART_A": "sm://prod/db#password", "QUICKSTART_B": "ssm:///a", "QUICKSTART_C": "ssm:///c"} {
		t.Setenv(name, value)
	}
	var w bytes.Buffer
	began := time.Now()
	err = ownEnvironment(t.Context(), &w)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v: a warm takes two seconds", took)
	}
	if text := secrets.Detail(err); !strings.Contains(text, "throttled") ||
		!strings.Contains(text, "QUICKSTART_B, QUICKSTART_C") || strings.Contains(text, "QUICKSTART_A") {
		t.Errorf("error %q", text)
	}
	for _, part := range []string{"[REDACTED]", "QUICKSTART_B ssm:///a",
		"throttled (ssm:GetParameters ThrottlingException"} {
		if !strings.Contains(strings.Join(strings.Fields(w.String()), " "), part) {
			t.Errorf("%q is missing in\n%s", part, w.String())
		}
	}
	if strings.Contains(w.String(), "hidden") {
		t.Error("the plaintext is shown")
	}
}
