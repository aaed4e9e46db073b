//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/lambdasim"
)

// clockBinary is this package's function with clocks that can be moved. Its first build compiles the standard library.
var clockBinary = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(filepath.Dir(binary), "clocks")
	return binary, lambdasim.BuildWithClocks(context.Background(), ".", ".", binary)
})

// ttl is the bound of a value that is served without a mark.
const ttl = time.Minute

// world is what a function with movable clocks lives in: a secret app/s, a name server, and the time of everybody else.
type world struct {
	*endpoint.Server
	gate, dns *gate
	env       map[string]string
	ahead     atomic.Int64 // of this machine's clock
}

func newWorld(t testing.TB, scheme string) *world {
	t.Helper()
	w := &world{}
	w.Server = endpoint.New(endpoint.Options{Hosts: []string{"aws.test"}, Now: func() time.Time {
		return time.Now().Add(time.Duration(w.ahead.Load()))
	}})
	begin := w.Start
	if scheme == "https" {
		begin = w.StartTLS
	}
	url, err := begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, w.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.gate = newGate(t, strings.TrimPrefix(url, scheme+"://"))
	resolver, dns := nameServer(t)
	w.dns = dns
	w.env = map[string]string{
		"SECRET": fmt.Sprintf("sm://app/s?ttl=%v", ttl), "AWS_CA_BUNDLE": bundle, "OVERLAY_RESOLVER": resolver,
		"AWS_ENDPOINT_URL": scheme + "://aws.test:" + w.gate.port(),
	}
	if scheme == "http" { // which Lambda has for its own host alone
		w.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:" + w.gate.port()
	}
	w.Region(region).PutSecret("app/s", "old")
	w.Fault(endpoint.Fault{Do: endpoint.Skew}) // it refuses signatures of another time, as AWS does
	return w
}

// life is one run of a function: where it is frozen and for how long.
type life struct {
	scheme, point string
	frozen        time.Duration
	wall          time.Duration // moves the function's wall clock alone
}

// outcome is what became of it.
type outcome struct {
	during, after answer // the read that was frozen, and the next one
	waited        bool   // the next one served the old value, marked, for a second
	connections   int
}

// live runs the function once. The secret rotates while it is frozen.
func live(t testing.TB, l life) (o outcome) {
	t.Helper()
	w := newWorld(t, l.scheme)
	cfg := lambdasim.Config{Region: region, Env: w.env, Timeout: 60 * time.Second, Memory: 1769}
	var err error
	if cfg.Binary, err = clockBinary(); err != nil {
		t.Fatal(err)
	}
	if cold := l.point != "between events" && l.point != "refresh" && l.point != "Do"; cold {
		cfg.InitType = lambdasim.SnapStart // the first read finds nothing in hand
	}
	f, err := lambdasim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		if t.Failed() {
			t.Log(f.Logs())
		}
	})
	freeze := func() {
		t.Helper()
		w.ahead.Add(int64(l.frozen))
		w.Region(region).PutSecret("app/s", "new")
		var err error
		switch {
		case l.wall != 0:
			if err = f.Freeze(); err == nil {
				err = f.MoveClocks(l.wall, 0)
			}
		case l.frozen > 0:
			err = f.Sleep(l.frozen)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read := func(e event) answer {
		question, _ := json.Marshal(e)
		result, err := f.Invoke(t.Context(), question)
		r := reply{}
		if err != nil || result.FunctionError != nil || json.Unmarshal(result.Payload, &r) != nil {
			t.Errorf("%+v: the invocation failed: %v, %v", l, err, result.FunctionError)
		}
		return r["SECRET"]
	}
	get := event{Get: []string{"SECRET"}}
	// frozenIn runs the read, freezes where the gate holds it, and lets it go on.
	frozenIn := func(g *gate) answer {
		held, done := g.arm(), make(chan answer, 1)
		go func() { done <- read(get) }()
		await(t, held)
		freeze()
		g.release()
		return <-done
	}
	switch l.point {
	case "before the first read":
		freeze()
		o.during = read(get)
	case "between events":
		read(get)
		freeze()
		o.during = read(get)
	case "DNS":
		o.during = frozenIn(w.dns)
	case "TLS handshake", "answer":
		w.SetLatency("*", 200*time.Millisecond) // time to arm the gate once the call has come
		o.during = frozenInAnswer(t, w, l, read, freeze)
	case "refresh":
		read(get)
		w.ahead.Add(int64(2 * ttl))
		if err := f.Sleep(2 * ttl); err != nil {
			t.Fatal(err)
		}
		o.during = frozenInAnswer(t, w, l, read, freeze)
	case "Do":
		o.during = frozenInDo(t, read, freeze)
	}
	o.after = read(get)
	// A Do whose deadline passed while it was frozen has failed, and a failure is remembered for a second.
	for until := time.Now().Add(5 * time.Second); l.point == "Do" && o.after.Stale && time.Now().Before(until); {
		o.waited = true
		time.Sleep(100 * time.Millisecond)
		o.after = read(get)
	}
	o.connections = w.gate.connections()
	return o
}

func await(t testing.TB, held <-chan struct{}) {
	t.Helper()
	select {
	case <-held:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came to the gate")
	}
}

// frozenInAnswer freezes while the gate holds the endpoint's bytes: those of the handshake, or those of the answer,
// which has begun by then: the endpoint has counted the call.
func frozenInAnswer(t testing.TB, w *world, l life, read func(event) answer, freeze func()) answer {
	t.Helper()
	get := event{Get: []string{"SECRET"}}
	done := make(chan answer, 1)
	if l.point == "TLS handshake" || l.scheme == "http" || l.point == "refresh" {
		held := w.gate.arm()
		go func() { done <- read(get) }()
		await(t, held)
	} else {
		before := len(w.Calls())
		go func() { done <- read(get) }()
		// the handshake is over, and the answer waits for its latency
		for until := time.Now().Add(30 * time.Second); len(w.Calls()) == before && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
		await(t, w.gate.arm())
	}
	freeze()
	w.gate.release()
	return <-done
}

// frozenInDo freezes inside Do's function, which has the old value in hand then, and refuses whatever is not current.
func frozenInDo(t testing.TB, read func(event) answer, freeze func()) answer {
	t.Helper()
	frozen := false
	barrier := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		value, _ := io.ReadAll(r.Body)
		if !frozen {
			frozen = true
			freeze()
		}
		if string(value) != "new" {
			rw.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer barrier.Close()
	return read(event{Do: "SECRET", Ask: barrier.URL})
}

// A real process is frozen for a second, for hours, at each point of its life: its wall clock jumps while its monotonic
// clock stands, and the secret rotates meanwhile. It never serves the old value beyond its bound without a mark, and
// makes at most one connection more than a life without a freeze.
func TestClocks_FrozenProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: a binary with clocks that can be moved, which compiles the standard library")
	}
	t.Parallel()
	if _, err := clockBinary(); err != nil {
		t.Skipf("left out: a real process with clocks moved apart: %v", err)
	}
	var lives []life
	for _, scheme := range []string{"http", "https"} {
		for _, point := range []string{"before the first read", "between events", "DNS", "TLS handshake", "answer",
			"refresh", "Do"} {
			if scheme == "http" && (point == "TLS handshake" || point == "DNS") {
				continue
			}
			for _, frozen := range []time.Duration{0, time.Second, 3 * time.Hour, 13 * time.Hour} {
				lives = append(lives, life{scheme: scheme, point: point, frozen: frozen})
			}
		}
		for _, wall := range []time.Duration{-time.Hour, 15 * time.Minute, -15 * time.Minute} {
			lives = append(lives, life{scheme: scheme, point: "between events", wall: wall})
		}
	}
	outcomes := make([]outcome, len(lives))
	t.Run("lives", func(t *testing.T) {
		for i, l := range lives {
			t.Run(fmt.Sprintf("%s/%s/%v%+v", l.scheme, l.point, l.frozen, l.wall), func(t *testing.T) {
				t.Parallel()
				tries(t, func(t testing.TB) {
					outcomes[i] = live(t, l)
					l.judge(t, outcomes[i])
				})
			})
		}
	})
	table(t, lives, outcomes)
}

// judge checks a life by its own.
func (l life) judge(t testing.TB, o outcome) {
	t.Helper()
	// the old value is past its bound, or its age is not known
	past := l.frozen > ttl || l.wall != 0
	if past && l.point != "Do" && o.during.Value == "old" && !o.during.Stale { // Do's function had it before the freeze
		t.Errorf("%+v: the old value was served without a mark", l)
	}
	if o.after.Error != "" || past && o.after.Value != "new" || past && o.after.Stale {
		t.Errorf("%+v: the read after it: %+v", l, o.after)
	}
}

// table prints what became of every life, and compares connections with those of a life without a freeze.
func table(t *testing.T, lives []life, outcomes []outcome) {
	t.Helper()
	base := map[string]int{}
	for i, l := range lives {
		if l.frozen == 0 && l.wall == 0 {
			base[l.scheme+l.point] = outcomes[i].connections
		}
	}
	var b strings.Builder
	stale, most := 0, 0
	fmt.Fprintf(&b, "%-6s %-22s %-10s %-10s %-40s %s\n", "", "frozen", "for", "that read", "next", "connections")
	for i, l := range lives {
		o, by := outcomes[i], fmt.Sprint(l.frozen)
		if l.wall != 0 {
			by = fmt.Sprintf("wall %+v", l.wall)
		}
		more := o.connections - base[l.scheme+l.point]
		most = max(most, more)
		if o.during.Value == "old" && l.point != "Do" && !o.during.Stale && (l.frozen > ttl || l.wall != 0) {
			stale++
		}
		fmt.Fprintf(&b, "%-6s %-22s %-10s %-10s %-40s %+d\n", l.scheme, l.point, by, o.during.short(),
			map[bool]string{true: "old, marked stale; a second later "}[o.waited]+o.after.short(), more)
		if more > 1 {
			t.Errorf("%+v: %d connections more than without a freeze", l, more)
		}
	}
	t.Logf("%d lives, %d stale values beyond their bound, at most %d more connections\n%s", len(lives), stale,
		most, b.String())
}

func (a answer) short() string {
	switch {
	case a.Error != "":
		return "error"
	case a.Stale:
		return a.Value + ", marked stale"
	}
	return a.Value
}
