// Package hostile asks endpoints that mean harm, with the clients that users have.
package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets"
)

const (
	canary = "CANARY"
	calls  = 8        // at once
	heap   = 64 << 20 // that they may take, in bytes
)

// sink counts what was taken of an answer.
type sink struct {
	w    io.Writer
	sent *atomic.Int64
}

func (s sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.sent.Add(int64(n))
	return n, err
}

// An attack is what an endpoint does, and what the user has to see of it.
type attack struct {
	name   string
	at     string // the endpoint, where it is not the server itself
	answer func(w io.Writer, r *http.Request, other string) (status int, header http.Header, body func(io.Writer))
	detail string
	sent   int64 // at most, in MiB
}

func answered(body func(io.Writer)) func(io.Writer, *http.Request, string) (int, http.Header, func(io.Writer)) {
	return func(io.Writer, *http.Request, string) (int, http.Header, func(io.Writer)) { return 200, nil, body }
}

var attacks = []attack{
	{name: "15 MiB of [0,0,…]", detail: "members", sent: 64, answer: answered(func(w io.Writer) {
		io.WriteString(w, `{"SecretString":"`+canary+`","Ignored":[0`)
		zeros := bytes.Repeat([]byte(",0"), 32<<10)
		for range 15 << 20 / len(zeros) {
			w.Write(zeros)
		}
		io.WriteString(w, "]}")
	})},
	{name: "15 MiB of text", detail: "larger than 1024 KiB", sent: 64,
		answer: answered(func(w io.Writer) { text(w, 15<<20) })},
	{name: "200 MiB of text", detail: "larger than 1024 KiB", sent: 64,
		answer: answered(func(w io.Writer) { text(w, 200<<20) })},
	{name: "without end", detail: "larger than 1024 KiB", sent: 64,
		answer: answered(func(w io.Writer) { text(w, 1<<60) })},
	{name: "redirect", detail: "secretsmanager:GetSecretValue",
		answer: func(_ io.Writer, _ *http.Request, other string) (int, http.Header, func(io.Writer)) {
			return http.StatusFound, http.Header{"Location": {other}}, func(io.Writer) {}
		}},
	{name: "hang", detail: "no answer in time",
		answer: func(_ io.Writer, r *http.Request, _ string) (int, http.Header, func(io.Writer)) {
			<-r.Context().Done()
			return 200, nil, func(io.Writer) {}
		}},
	{name: "plain http", at: "http://hostile.test", detail: "plain http", answer: answered(good)},
}

func good(w io.Writer) { io.WriteString(w, `{"Name":"s","SecretString":"`+canary+`"}`) }

// text writes a secret of n bytes.
func text(w io.Writer, n int) {
	io.WriteString(w, `{"Name":"s","SecretString":"`)
	for chunk := bytes.Repeat([]byte(canary), 10000); n > 0; n -= len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
	io.WriteString(w, `"}`)
}

// clients makes the HTTP clients that users have. All of them dial the server, whatever the endpoint's host.
func clients(addr string) map[string]aws.HTTPClient {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	return map[string]aws.HTTPClient{
		"default": awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DialContext = dial }),
		"own":     &http.Client{Transport: &http.Transport{DialContext: dial}},
	}
}

// TestHostile_Endpoint prints a table (go test -v): what happened, how long it took, what was taken and the peak of
// the heap, of eight calls at once.
func TestHostile_Endpoint(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
	t.Setenv("AWS_SAM_LOCAL", "")
	t.Logf("%-18s %-8s %8s %9s %10s  %s", "answer", "client", "took", "taken", "peak heap", "error")
	for _, a := range attacks {
		for _, client := range []string{"default", "own"} {
			run(t, a, client)
		}
	}
}

func run(t *testing.T, a attack, client string) {
	var sent, stolen atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stolen.Add(1)
		good(w)
	}))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // or net/http would not see that the client left
		status, header, body := a.answer(w, r, other.URL)
		for name, values := range header {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		body(sink{w, &sent})
	}))
	defer server.Close()
	at := server.URL
	if a.at != "" {
		at = a.at
	}
	cfg := aws.Config{
		Region: "eu-west-1", BaseEndpoint: &at, HTTPClient: clients(server.Listener.Addr().String())[client],
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", "token"),
	}
	refs := make([]secrets.Ref, calls)
	for i := range refs {
		refs[i] = secrets.Secret(fmt.Sprint("s", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	began, stop := time.Now(), watchHeap()
	results := secrets.NewSecretsManager(cfg).Fetch(ctx, refs)
	took, peak := time.Since(began), stop()
	detail := secrets.Detail(results[0].Err)
	t.Logf("%-18s %-8s %8v %5d MiB %6d MiB  %s", a.name, client, took.Round(time.Millisecond), sent.Load()>>20,
		peak>>20, detail)
	lost := 0
	for _, r := range results {
		d := secrets.Detail(r.Err)
		// A busy machine may not read so much in an attempt's time, or lose one connection in the middle of it.
		cut := strings.Contains(d, "no answer in time")
		if strings.Contains(d, "the answer was cut short") {
			lost++
			cut = lost == 1
		}
		if r.Err == nil || strings.Contains(d, canary) || !strings.Contains(d, a.detail) && !cut {
			t.Errorf("%s, %s: error %q does not say %q", a.name, client, d, a.detail)
		}
		if kind := secrets.ErrUnavailable; a.at == "" && !errors.Is(r.Err, kind) {
			t.Errorf("%s, %s: %v is not %v", a.name, client, r.Err, kind)
		}
	}
	if n := stolen.Load(); n > 0 {
		t.Errorf("%s, %s: the other host got %d requests", a.name, client, n)
	}
	if sent.Load() > a.sent<<20 || peak > heap || took > 15*time.Second {
		t.Errorf("%s, %s: %d MiB taken, peak heap %d MiB, after %v", a.name, client, sent.Load()>>20, peak>>20, took)
	}
}

// watchHeap samples the heap until stop is called, which returns by how much it grew at most.
func watchHeap() (stop func() uint64) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base, peak := m.HeapAlloc, uint64(0)
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(time.Millisecond); ; {
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-end:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		close(end)
		<-done
		return peak - min(peak, base)
	}
}
