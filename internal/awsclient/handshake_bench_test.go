//go:build unix

package awsclient

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"crypto/x509"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

const serving = "AWSCLIENT_BENCHMARK_SERVES"

// TestMain makes a process of this program an endpoint for the benchmark, whose processor time must not be counted.
func TestMain(m *testing.M) {
	if os.Getenv(serving) == "" {
		os.Exit(m.Run())
	}
	s := endpoint.New(endpoint.Options{})
	url, err := s.StartTLS()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	s.Region(region).PutParameter(endpoint.Parameter{Name: "/a", Value: "v"})
	s.SetLatency("*", 20*time.Millisecond)
	fmt.Println(url, base64.StdEncoding.EncodeToString(s.CAPEM()))
	io.Copy(io.Discard, os.Stdin)
}

// BenchmarkHandshakes is a round of 25 calls that opens its connections, over TLS, each answered after 20 ms: all
// handshakes at once, and in turns as ours. It reports this process's processor time. On a small share of a
// processor:
//
//	systemd-run --scope -p CPUQuota=7% go test -run '^$' -bench Handshakes ./internal/awsclient
func BenchmarkHandshakes(b *testing.B) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serving+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, bundle, _ := strings.Cut(strings.TrimSpace(line), " ")
	ca, _ := base64.StdEncoding.DecodeString(bundle)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		b.Fatalf("%s: %v", line, err)
	}
	for _, turns := range []bool{false, true} {
		b.Run(map[bool]string{false: "at once", true: "in turns"}[turns], func(b *testing.B) {
			before, connections := processor(), 0
			for b.Loop() {
				cfg := base(url)
				cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
					t.TLSClientConfig.RootCAs = roots
				})
				cfg = prepare(cfg)
				c := cfg.HTTPClient.(*client)
				if !turns {
					c.transport.DialTLSContext, c.handshakes = nil, nil
				}
				var wg sync.WaitGroup
				for range 25 {
					wg.Go(func() {
						if err := get(context.Background(), cfg); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
				if turns {
					for _, u := range c.handshakes.hosts {
						connections += u.begun
					}
				}
				c.transport.CloseIdleConnections()
			}
			b.ReportMetric(float64((processor()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			if turns {
				b.ReportMetric(float64(connections)/float64(b.N), "connections/op")
			}
		})
	}
}

// processor returns the processor time that this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
