package secrets_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// BenchmarkGet measures a cached read beside the floor of any read with a TTL: one map lookup, one atomic load and one
// reading of the clock. Get may cost 1.3 times as much.
func BenchmarkGet(b *testing.B) {
	type held struct {
		value secrets.Value
		until int64
	}
	floor := map[string]*atomic.Pointer[held]{}
	for _, name := range []string{"WHOLE", "FIELD", "OTHER", "ANOTHER"} {
		floor[name] = &atomic.Pointer[held]{}
		floor[name].Store(&held{secrets.NewValue("x", ""), time.Now().Add(time.Hour).UnixNano()})
	}
	p := &script{Answer: func(context.Context, int, string) (string, error) { return `{"x":"y"}`, nil }}
	env := p.Env(b, map[string]string{"WHOLE": "sm://a", "FIELD": "sm://a#x", "OTHER": "sm://b", "ANOTHER": "ssm:///c"},
		secrets.WithTTL(24*time.Hour))
	if err := env.Warm(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	get := func(name string) func() bool {
		return func() bool { v, err := env.Get(ctx, name); return err == nil && !v.IsZero() }
	}
	for _, bench := range []struct {
		name string
		do   func() bool
	}{
		{"floor", func() bool {
			h := floor["WHOLE"].Load()
			return time.Now().UnixNano() < h.until && !h.value.IsZero()
		}},
		{"whole", get("WHOLE")},
		{"field", get("FIELD")},
	} {
		for _, goroutines := range []struct {
			name string
			n    int
		}{{"1", 1}, {"2", 2}, {"64", 64}} {
			b.Run(bench.name+"/goroutines="+goroutines.name, func(b *testing.B) {
				b.ReportAllocs()
				if goroutines.n == 1 {
					for b.Loop() {
						if !bench.do() {
							b.Fatal("no value")
						}
					}
					return
				}
				share(b, goroutines.n, bench.do)
			})
		}
	}
}

// share has n goroutines do b.N calls together.
func share(b *testing.B, n int, do func() bool) {
	done := make(chan bool)
	for i := range n {
		calls := b.N / n
		if i < b.N%n {
			calls++
		}
		go func() {
			ok := true
			for range calls {
				ok = do() && ok
			}
			done <- ok
		}()
	}
	for range n {
		if !<-done {
			b.Fatal("no value")
		}
	}
}

// elsewhere is what the endpoint's process says of itself.
type elsewhere struct {
	HTTP, TLS string // URLs
	CA        []byte
	Environ   map[string]string // of sixty
}

const serveVariable = "SECRETS_BENCH_SERVE"

// TestServeElsewhere is no test: it is the endpoint's process, which the benchmark below starts from this same binary.
// It serves until its input ends.
func TestServeElsewhere(t *testing.T) {
	if os.Getenv(serveVariable) == "" {
		t.Skip("it is run by BenchmarkWarmSixty, as the process of its endpoint")
	}
	s := endpoint.New(endpoint.Options{})
	defer s.Close()
	s.SetLatency("*", 20*time.Millisecond)
	e := elsewhere{Environ: sixty(s.Region(region)), CA: s.CAPEM()}
	var err error
	if e.HTTP, err = s.Start(); err != nil {
		t.Fatal(err)
	}
	if e.TLS, err = s.StartTLS(); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(e); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, os.Stdin)
}

func startElsewhere(b *testing.B) elsewhere {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServeElsewhere$")
	cmd.Env = append(os.Environ(), serveVariable+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	var e elsewhere
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() { // the testing package may have something to say first
		if at := bytes.IndexByte(lines.Bytes(), '{'); at >= 0 && json.Unmarshal(lines.Bytes()[at:], &e) == nil {
			return e
		}
	}
	b.Fatal("the endpoint's process said nothing")
	return e
}

// BenchmarkWarmSixty is the figure of a cold start: 60 variables over 25 parameters, 25 secrets and 5 ciphertexts at 20
// ms a call, beside one GetSecretValue on a fresh client and connection, in turns. The ratio of the medians is x-floor:
// at most 1.8 over plain HTTP.
//
//	go test -run '^$' -bench WarmSixty -benchtime 30x .
func BenchmarkWarmSixty(b *testing.B) {
	e := startElsewhere(b)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.CA)
	for _, network := range []string{"http", "tls"} {
		b.Run(network, func(b *testing.B) {
			config := func() aws.Config {
				cfg := config(e.HTTP)
				if network == "tls" {
					cfg = config(e.TLS)
					cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
						t.TLSClientConfig.RootCAs = roots
					})
				}
				return cfg
			}
			var floor, warm []time.Duration
			for b.Loop() {
				began := time.Now()
				_, err := secretsmanager.NewFromConfig(config()).GetSecretValue(context.Background(),
					&secretsmanager.GetSecretValueInput{SecretId: aws.String("app/s0")})
				if err != nil {
					b.Fatal(err)
				}
				floor = append(floor, time.Since(began))
				began = time.Now()
				env := newEnv(b, config(), e.Environ)
				if err := env.Warm(context.Background()); err != nil {
					b.Fatal(secrets.Detail(err))
				}
				warm = append(warm, time.Since(began))
			}
			middle := func(d []time.Duration) float64 { slices.Sort(d); return float64(d[len(d)/2]) }
			b.ReportMetric(middle(floor), "floor-ns")
			b.ReportMetric(middle(warm), "warm-ns")
			b.ReportMetric(middle(warm)/middle(floor), "x-floor")
			b.ReportMetric(0, "ns/op")
		})
	}
}
