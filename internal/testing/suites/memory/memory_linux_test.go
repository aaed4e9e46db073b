// Package memory counts the copies of a plaintext in the memory of a process that reads it.
package memory

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

const (
	asFunction = "MEMORY_TEST_FUNCTION"
	region     = "eu-west-1"
)

func TestMain(m *testing.M) {
	if os.Getenv(asFunction) != "" {
		function()
		return
	}
	os.Exit(m.Run())
}

// function is a Lambda function: it warms, reads its variable, lets the collector run and waits to be looked at.
func function() {
	env, err := secrets.New()
	if err == nil {
		_, err = env.Get(context.Background(), "DB")
	}
	if err != nil {
		fmt.Println(secrets.Detail(err))
		os.Exit(1)
	}
	for range 3 {
		runtime.GC()
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	runtime.KeepAlive(env)
}

// TestMemory_Copies counts what stands in memory after one Get and three runs of the collector, which frees memory and
// does not erase it: how much is overwritten by then differs from run to run, so the worst of several counts. The value
// itself is one, the record as it came over TLS another; the SDK's decoder leaves up to three, unless runtime/secret
// erases them (GOEXPERIMENT=runtimesecret go test ./internal/testing/suites/memory).
func TestMemory_Copies(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"password": 40, "document": 8 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := endpoint.New(endpoint.Options{})
			url, err := s.StartTLS()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			bundle := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(bundle, s.CAPEM(), 0o600); err != nil {
				t.Fatal(err)
			}
			canary := rand.Text()
			padding := strings.Repeat("-", (size-len(canary))/2)
			s.Region(region).PutSecret("db", padding+canary+padding)
			environ := []string{
				asFunction + "=1", "DB=sm://db", "AWS_REGION=" + region, "AWS_ENDPOINT_URL=" + url,
				"AWS_CA_BUNDLE=" + bundle,
				"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret-access-key",
			}
			var counts []int
			for range 6 {
				counts = append(counts, count(t, canary, environ))
			}
			t.Logf("copies of a secret of %d bytes: %v, at most %d", size, counts, most)
			if slices.Max(counts) > most || slices.Min(counts) < 1 {
				t.Errorf("copies of a secret of %d bytes: %v, want 1 to %d", size, counts, most)
			}
		})
	}
}

// count runs the function and returns how often text stands in its memory.
func count(t *testing.T, text string, environ []string) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = environ
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	for line := ""; line != "ready\n"; {
		if line, err = out.ReadString('\n'); err != nil {
			t.Fatalf("the function failed: %s%v", line, err)
		}
	}
	n := 0
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", cmd.Process.Pid))
	if err != nil {
		t.Skip("NOT TESTED: the memory of another process cannot be read: ", err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", cmd.Process.Pid))
	if err != nil {
		t.Skip("NOT TESTED: the memory of another process cannot be read: ", err)
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var access string
		fmt.Sscanf(line, "%x-%x %s", &from, &to, &access)
		if !strings.HasPrefix(access, "rw") {
			continue
		}
		region, err := io.ReadAll(io.NewSectionReader(mem, from, to-from))
		if err == nil {
			n += bytes.Count(region, []byte(text))
		}
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	return n
}
