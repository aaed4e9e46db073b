//go:build linux

package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/lambdasim"
)

// Every line that an invocation caused carries its request id, by the logger that AWS ships. The reads that cause lines
// are shared, and cancelled by no caller: the values of the caller's context reach the handler all the same.
func TestLog_RequestID(t *testing.T) {
	t.Parallel()
	tries(t, func(t testing.TB) {
		a := newAccount(t)
		f := start(t, lambdasim.Config{Env: a.with(map[string]string{
			"PROBE_LOGGER": "lambdacontext", "AWS_LAMBDA_LOG_FORMAT": "JSON",
			"PARAM": "ssm:///app/p?ttl=1s&stale=4s",
		})})
		get(t, f, "PARAM", "SECRET") // in use from now on
		expire := func() { time.Sleep(1100 * time.Millisecond) }
		var causes []string // "secrets.version id"
		cause := func(line string, invoke func() lambdasim.Result) {
			expire()
			causes = append(causes, line+" "+invoke().RequestID)
		}
		read := func() lambdasim.Result { _, res := get(t, f, "PARAM"); return res }
		cause("secrets.version", func() lambdasim.Result { a.rotate("new"); return read() })
		throttle := a.Fault(endpoint.Fault{Do: endpoint.Throttle})
		cause("secrets.stale", read)
		throttle.Remove()
		expire()
		expire()
		read()
		a.Fault(endpoint.Fault{Do: endpoint.Deny})
		cause("secrets.denied", read)
		expire()
		expire()
		cause("secrets.dropped", read)

		start := regexp.MustCompile(`^START RequestId: (\S+)`)
		running, seen := "", map[string]bool{}
		for line := range strings.Lines(f.Logs()) {
			if m := start.FindStringSubmatch(line); m != nil {
				running = m[1]
			}
			var said struct{ Level, Message, RequestID string }
			if json.Unmarshal([]byte(line), &said) != nil || !strings.HasPrefix(said.Message, "secrets.") {
				continue
			}
			if said.RequestID != running { // "" during the init
				t.Errorf("invocation %q logs %s", running, line)
			}
			seen[said.Message+" "+said.RequestID] = true
		}
		for _, line := range causes {
			if !seen[line] {
				t.Errorf("no line %s", line)
			}
		}
		if !seen["secrets.endpoint "] {
			t.Error("the log of the init was not read")
		}
	})
}
