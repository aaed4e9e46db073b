package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The command runs the handler as it is built for Lambda, on events from all three sources.
func TestRun(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the simulated Lambda stops and continues processes, which Windows cannot")
	}
	wrong := strings.Replace(string(sample), "sample-api-key", "guess", 1)
	file := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(file, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, file, in string
		status         string
	}{
		{"the sample", "", "", `{"statusCode":200,`},
		{"a file", file, "", `{"statusCode":401,`},
		{"standard input", "-", wrong, `{"statusCode":401,`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			for try := 1; try <= 3; try++ { // a busy machine may hold up a call for so long that it is made again
				out.Reset()
				event, err := read(tc.file, strings.NewReader(tc.in))
				if err != nil {
					t.Fatal(err)
				}
				if err := invoke(t.Context(), binary, event, &out); err == nil && strings.Contains(out.String(), "3 calls to AWS") {
					break
				} else if err != nil && try == 3 {
					t.Fatal(err)
				}
			}
			for _, want := range []string{tc.status, `"msg":"request"`, "REPORT RequestId: ", "3 calls to AWS"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
			for _, leak := range []string{"sample p@ss/word", "sample%20p", "sample-api-key", "sample-signing-key"} {
				if strings.Contains(out.String(), leak) {
					t.Errorf("%q in\n%s", leak, out.String())
				}
			}
		})
	}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	if !json.Valid(sample) {
		t.Error("event.json is no JSON")
	}
	if _, err := read("-", strings.NewReader("")); err == nil {
		t.Error("an empty standard input is taken as an event")
	}
	if _, err := read(filepath.Join(t.TempDir(), "none"), nil); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}
