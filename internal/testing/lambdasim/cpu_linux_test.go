package lambdasim

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Each limiter on a process that does nothing but use the processor.
func TestCPU_Limiters(t *testing.T) {
	const share = 0.1
	for _, tc := range []struct {
		name    string
		limiter func() cpuLimiter
	}{
		{"control group", func() cpuLimiter { return newCgroup(share) }},
		{"duty cycle", func() cpuLimiter { return &dutyCycle{share: share} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := tc.limiter()
			if l == nil {
				t.Skip("NOT TESTED: this machine lets us make no control group with a processor quota")
			}
			script := filepath.Join(t.TempDir(), "spin")
			if err := os.WriteFile(script, []byte("#!/bin/sh\nwhile :; do :; done\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			p, err := startProcess(script, nil, newLogBuffer(nil))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				p.kill()
				<-p.exited
				if err := l.close(); err != nil {
					t.Error(err)
				}
			}()
			if err := l.begin(p); err != nil {
				t.Fatal(err)
			}
			defer l.end()
			// Other work on the machine holds up the process, and the duty cycle's own timers.
			most, some := false, false
			for try := 0; try < 10 && !(most && some); try++ {
				before, began := processorTime(t, p.pid), time.Now()
				time.Sleep(600 * time.Millisecond)
				used, span := processorTime(t, p.pid)-before, time.Since(began)
				got := used.Seconds() / span.Seconds()
				t.Logf("%s: %.3f of a core, want %.3f", l.name(), got, share)
				most, some = most || got < 3*share, some || used > 0
			}
			if !most || !some {
				t.Errorf("it is held to its share: %v; it runs: %v", most, some)
			}
		})
	}
}

// processorTime is the user and system time so far, in steps of 10 ms.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from the third of proc(5) on
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
