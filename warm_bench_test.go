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
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// elsewhere is what the endpoint's process says of itself.
type elsewhere struct {
	HTTP, TLS string // URLs
	CA        []byte
	Environ   map[string]string // of sixty
}

const serveVariable = "SECRETS_BENCH_SERVE"

// TestServeElsewhere is no test: it is the endpoint's process, which the benchmark below starts from this same binary. It serves until its input ends.
func TestServeElsewhere(t *testing.T) {
	if os.Getenv(serveVariable) == "" {
		t.Skip("for BenchmarkWarmSixty")
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

// BenchmarkWarmSixty is the figure of a cold start: 60 variables over 25 parameters, 25 secrets and 5 ciphertexts at 20 ms a call, beside one GetSecretValue on a
// fresh client and connection, in turns. The ratio of the medians is x-floor: at most 1.8 over plain HTTP.
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
					cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.TLSClientConfig.RootCAs = roots })
				}
				return cfg
			}
			var floor, warm []time.Duration
			for b.Loop() {
				began := time.Now()
				_, err := secretsmanager.NewFromConfig(config()).GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("app/s0")})
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
