//go:build linux && !secrets.nokms && !secrets.nossm && !secrets.nosm

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lambdasecrets/secrets/internal/testing/lambdasim"
)

var (
	update           = flag.Bool("update", false, "write testdata/sample.golden")
	handler, program string // binaries: the sample's, and one that answers {"get":["A"]} with values
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "local")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		handler, program = filepath.Join(dir, "handler"), filepath.Join(dir, "probe")
		for file, pkg := range map[string]string{handler: "examples/handler", program: "internal/testing/probe"} {
			if err := lambdasim.Build(context.Background(), "", "github.com/lambdasecrets/secrets/"+pkg, file,
				nil); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return m.Run()
	}())
}

// file writes a file of the test's own.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Any bootstrap finds the values of its references, whatever their form.
func TestRun_Forms(t *testing.T) {
	t.Parallel()
	env := file(t, `{"FunctionName": "f", "Environment": {"Variables": {
		"USER": "sm://prod/db#username", "PASSWORD": "sm://prod/db#password", "DEEP": "sm://prod/deep#a.b",
		"ARN": "sm://arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/arn-AbCdEf",
		"OLD": "sm://prod/old?stage=AWSPREVIOUS",
		"FAR": "ssm:///far?region=eu-west-1", "P1": "ssm:///p", "P3": "ssm:///p3:3", "LABEL": "ssm:///l:prod",
		"TREE": "ssm:///tree/*",
		"K1": "kms://AQICAHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4",
		"BOUND": "kms://AQICAHl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5?context.app=x&key=alias/a",
		"MADE": "ssm:///made",
		"THROUGH": "ssm:///aws/reference/secretsmanager/prod/db", "PLAIN": "p"}}}`)
	values := file(t,
		`{"USER": "app", "PASSWORD": "pw", "DEEP": "d", "ARN": "a", "OLD": "o", "FAR": "f", "P1": "p", "P3": "three",
		"LABEL": "l",
		"sm://prod/old": "o", "TREE": {"x": "1", "y/z": "2"}, "K1": "k", "BOUND": "b"}`)
	want := map[string]string{"USER": "app", "PASSWORD": "pw", "DEEP": "d", "ARN": "a", "OLD": "o", "FAR": "f",
		"P1": "p", "P3": "three", "LABEL": "l",
		"TREE": `{"x":"1","y/z":"2"}`, "K1": "k", "BOUND": "b", "MADE": "sample-made",
		"THROUGH": `{"password":"pw","username":"app"}`}
	var names []string
	for name := range want {
		names = append(names, name)
	}
	event, _ := json.Marshal(map[string]any{"get": names})
	var out, progress bytes.Buffer
	err := run(t.Context(), []string{"-binary", program, "-env", env, "-values", values, "-event",
		file(t, string(event))}, &out, &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	reply := map[string]struct{ Value, Error string }{}
	if err := json.Unmarshal(out.Bytes(), &reply); err != nil {
		t.Fatalf("standard output holds more than the reply: %v\n%s", err, out.String())
	}
	for name, value := range want {
		if got := reply[name]; got.Value != value {
			t.Errorf("%s is %q, want %q: %s", name, got.Value, value, got.Error)
		}
	}
}

// What is asked for happens between the events.
func TestRun_Between(t *testing.T) {
	t.Parallel()
	env, event := file(t, "AA=sm://a\nBB=ssm:///b\n"), file(t, `{"get":["AA","BB"]}`)
	for _, tc := range []struct {
		flags      string
		a          string // in the second reply
		stale      bool
		says, fail string
	}{
		{flags: "-rotate AA", a: "sample-aa-rotated", says: "AA rotates"},
		{flags: "-throttle", a: "sample-aa", stale: true, says: "AWS begins to throttle every call"},
		{flags: "-deny", a: "sample-aa", stale: true, says: "AccessDeniedException"},
		{flags: "-freeze 50ms", a: "sample-aa", says: "frozen for 50ms"},
		{flags: "-deny -ttl 1h -freeze 50ms", a: "sample-aa", says: "values are fresh for 1h0m0s"},
		{flags: "-rotate C", fail: "-rotate C: the environment has no such reference; it has AA, BB"},
	} {
		t.Run(tc.flags, func(t *testing.T) {
			t.Parallel()
			var out, progress bytes.Buffer
			args := append([]string{"-ttl", "1ms", "-binary", program, "-env", env, "-event", event,
				"-timeout", "10s", "-memory", "1769"}, strings.Fields(tc.flags)...)
			err := run(t.Context(), args, &out, &progress)
			if tc.fail != "" {
				if err == nil || err.Error() != tc.fail {
					t.Errorf("error %v, want %s", err, tc.fail)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, progress.String())
			}
			d := json.NewDecoder(&out)
			var reply map[string]struct {
				Value string
				Stale bool
			}
			for range 2 {
				if err := d.Decode(&reply); err != nil {
					t.Fatal(err)
				}
			}
			if reply["AA"].Value != tc.a || reply["AA"].Stale != tc.stale {
				t.Errorf("A is %+v, want %q, stale %v", reply["AA"], tc.a, tc.stale)
			}
			if !strings.Contains(progress.String(), tc.says) {
				t.Errorf("no %q in\n%s", tc.says, progress.String())
			}
		})
	}
}

// varying is what differs from run to run in the output.
var varying = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[0-9-]{10}T[0-9:.]+Z|[0-9.]+(µs|ms| ` +
	`ms\b)|\b[0-9.]+s\b|127\.0\.0\.1:\d+|\d+ MB\b`)

// The sample at 80 columns: replies on standard output, all else on standard error, a step per line.
func TestSample(t *testing.T) {
	t.Parallel()
	var shown string
	for range 3 { // a busy machine may make a call again
		var both bytes.Buffer
		args := []string{"-binary", handler, "-env", "sample/env.json", "-values", "sample/values.json", "-event",
			"sample/event.json",
			"-vars", "kms:SIGNING_KEY", "-function", "orders", "-rotate", "API_KEY", "-freeze", "10ms"}
		if err := run(t.Context(), args, &both, &both); err != nil {
			t.Fatalf("%v\n%s", err, both.String())
		}
		shown = both.String()
		if strings.Contains(shown, "3 to AWS") {
			break
		}
	}
	for _, secret := range []string{"sample p@ss/word", "sample%20p", "sample-api-key", "sample-signing-key"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
	steps := ""
	for line := range strings.Lines(shown) {
		columns := len([]rune(strings.TrimRight(line, "\n")))
		if columns > 80 && !strings.HasPrefix(line, `  "body"`) {
			t.Errorf("%d columns: %s", columns, line)
		}
		if !strings.HasPrefix(line, "log | ") && !strings.HasPrefix(line, "    | ") {
			steps += varying.ReplaceAllString(line, "…")
		}
	}
	steps = regexp.MustCompile(`(?s)3 to AWS:.*?\n-- event`).ReplaceAllString(steps,
		"3 to AWS: (in any order)\n-- event")
	want, err := os.ReadFile("testdata/sample.golden")
	if *update {
		err = os.WriteFile("testdata/sample.golden", []byte(steps), 0o600)
		want = []byte(steps)
	}
	if err != nil || steps != string(want) {
		t.Errorf("%v: got\n%s\nwant\n%s", err, steps, want)
	}
	if !strings.Contains(shown, "log | START RequestId: ") {
		t.Errorf("no log in\n%s", shown)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	two := file(t, `{"F": {"AA": "1"}, "G": {"AA": "1"}}`)
	for args, want := range map[string]string{
		"-binary /nonexistent":                                  "-env: give a file",
		"-binary /nonexistent -env " + two:                      "choose one with -function: F, G",
		"-binary /nonexistent -env " + two + " -function F":     "no such file",
		"-binary main.go -env " + two + " -function F":          "permission denied",
		"-event " + file(t, "{"):                                "is not JSON",
		"-values " + file(t, "[]"):                              "-values: ",
		"-env " + file(t, "A: 1") + " -values " + file(t, "{}"): "YAML",
		"bootstrap": `"bootstrap" is no flag`,
	} {
		var both bytes.Buffer
		if err := run(t.Context(), strings.Fields(args), &both, &both); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", args, err, want)
		}
	}
}
