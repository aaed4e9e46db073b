package secrets_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
)

// An answer without end is cut off: it costs neither the memory nor the time of the function.
func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	chunk := []byte(strings.Repeat("CANARY", 10000))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Write([]byte(`{"Name":"prod/db","SecretString":"`))
		for r.Context().Err() == nil {
			n, err := w.Write(chunk)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	cfg := config("http://" + l.Addr().String())
	cfg.Retryer = onceOnly
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	result := secrets.NewSecretsManager(cfg).Fetch(ctx, []secrets.Ref{secrets.Secret("prod/db")})[0]
	if !errors.Is(result.Err, secrets.ErrUnavailable) || strings.Contains(secrets.Detail(result.Err), "CANARY") {
		t.Errorf("%v", result.Err)
	}
	if n := sent.Load(); n > 32<<20 { // 16 MiB are read; the rest is on its way in buffers
		t.Errorf("%d MiB were taken", n>>20)
	}
}
