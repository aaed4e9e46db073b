package awsclient

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// tlsServer answers after 20 ms and counts its handshakes.
type tlsServer struct {
	*httptest.Server
	connections, resumed atomic.Int32
}

func startTLS(t *testing.T, config *tls.Config) *tlsServer {
	t.Helper()
	s := &tlsServer{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		time.Sleep(20 * time.Millisecond)
		io.WriteString(w, `{"Parameter":{"Name":"/a","Value":"v"}}`)
	}))
	s.TLS = config
	s.TLS.VerifyConnection = func(state tls.ConnectionState) error {
		s.connections.Add(1)
		if state.DidResume {
			s.resumed.Add(1)
		}
		return nil
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients close connections that they do not need
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// client returns a prepared HTTP client that trusts the server.
func (s *tlsServer) client(dial dialFunc) *client {
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	cfg := base(s.URL)
	// Limits of our own would fail the calls of a busy machine.
	longer := awshttp.NewBuildableClient().WithTimeout(time.Minute).WithDialerOptions(func(d *net.Dialer) {
		d.Timeout = time.Minute
	})
	cfg.HTTPClient = longer.WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig.RootCAs, t.TLSHandshakeTimeout = roots, time.Minute
		if dial != nil {
			t.DialContext = dial
		}
	})
	return prepare(cfg).HTTPClient.(*client)
}

// together makes n calls at one time with c and returns how many failed.
func (s *tlsServer) together(t *testing.T, c *client, n int) int {
	t.Helper()
	cfg := prepare(base(s.URL))
	cfg.HTTPClient = c
	var failed atomic.Int32
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := get(within(t, time.Minute), cfg); err != nil {
				failed.Add(1)
				t.Log(err)
			}
		})
	}
	wg.Wait()
	return int(failed.Load())
}

// One handshake goes first, and the others resume its session. (Promise 9.)
func TestHandshakes_OneFirst(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]*tls.Config{"TLS 1.3": {}, "TLS 1.2": {MaxVersion: tls.VersionTLS12}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startTLS(t, config)
			c := s.client(nil)
			c.handshakes.maxTurn, c.handshakes.ticketWait = time.Minute, time.Minute // a busy machine is late
			if n := s.together(t, c, 16); n > 0 {
				t.Errorf("%d calls failed", n)
			}
			if n := s.connections.Load() - s.resumed.Load(); n != 1 {
				t.Errorf("%d of %d handshakes were full ones", n, s.connections.Load())
			}
		})
	}
}

// A server that sends no tickets costs the others the first handshake's time, and no call.
func TestHandshakes_NoTickets(t *testing.T) {
	t.Parallel()
	s := startTLS(t, &tls.Config{SessionTicketsDisabled: true})
	if n := s.together(t, s.client(nil), 16); n > 0 || s.resumed.Load() > 0 {
		t.Errorf("%d calls failed, %d sessions were resumed", n, s.resumed.Load())
	}
}

// The first connection hangs, and holds up nobody beside it for long.
func TestHandshakes_FirstHangs(t *testing.T) {
	t.Parallel()
	s := startTLS(t, &tls.Config{})
	var dials atomic.Int32
	var d net.Dialer
	hung := make(chan struct{})
	defer close(hung)
	c := s.client(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			<-hung
			return nil, io.ErrUnexpectedEOF
		}
		return d.DialContext(ctx, network, addr)
	})
	began := time.Now()
	if n := s.together(t, c, 16); n > 0 { // its own request takes a connection of the others
		t.Errorf("%d calls failed", n)
	}
	if took := time.Since(began); took < maxTurn || took > 30*time.Second {
		t.Errorf("after %v", took)
	}
}

// The first connection fails, and the others go on at once.
func TestHandshakes_FirstFails(t *testing.T) {
	t.Parallel()
	s := startTLS(t, &tls.Config{})
	var dials atomic.Int32
	var d net.Dialer
	c := s.client(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			return nil, io.ErrUnexpectedEOF
		}
		return d.DialContext(ctx, network, addr)
	})
	if n := s.together(t, c, 16); n > 0 {
		t.Errorf("%d calls failed", n)
	}
}

// On a small share of a processor handshakes follow one after the other, and calls take the connections of those that
// are answered.
func TestHandshakes_SlowOnes(t *testing.T) {
	t.Parallel()
	s := startTLS(t, &tls.Config{})
	var d net.Dialer
	c := s.client(func(ctx context.Context, network, addr string) (net.Conn, error) {
		time.Sleep(5 * time.Millisecond) // as long as it takes there
		return d.DialContext(ctx, network, addr)
	})
	s.together(t, c, 1)
	c.transport.CloseIdleConnections()
	setSlow(t, c)
	before := s.connections.Load()
	if n := s.together(t, c, 25); n > 0 {
		t.Errorf("%d calls failed", n)
	}
	if n := s.connections.Load() - before; n > 9 { // 12 without a rest between the handshakes
		t.Errorf("%d connections for 25 calls", n)
	}
}

// A handshake that ran alone says whether the processor is small, until several say otherwise.
func TestHandshakes_Measure(t *testing.T) {
	t.Parallel()
	u := &turns{}
	const quick, slow, trip = slowHandshake, slowHandshake + 1, time.Millisecond
	for i, tc := range []struct {
		took, trip time.Duration
		beside     bool
		want       int
	}{
		{quick, trip, false, 0},
		{slow, trip, true, 0},
		{slow, slow, false, 0}, // over a long way
		{slow, trip, false, quickAgain},
		{quick, trip, true, quickAgain},
		{quick, trip, false, quickAgain - 1},
		{slow, trip, false, quickAgain},
	} {
		seq := u.begin()
		if tc.beside {
			u.end(u.begin(), trip, time.Hour)
		}
		if u.end(seq, tc.trip, tc.took); u.slow != tc.want || u.running != 0 {
			t.Errorf("row %d: slow for %d more, %d running", i, u.slow, u.running)
		}
	}
}

// A request whose connection was dead looks for another, which is not taken for the first.
func TestServed_LooksAgain(t *testing.T) {
	t.Parallel()
	s := &served{got: make(chan struct{})}
	ctx := context.WithValue(t.Context(), servedKey{}, s)
	ended := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	s.needs()
	first := servedOf(ctx)
	s.has()
	s.has()
	if !ended(first) {
		t.Error("the first dial is not told")
	}
	s.needs()
	if ended(servedOf(ctx)) {
		t.Error("the second dial is told of the first connection")
	}
}

// setSlow makes c take all handshakes for slow ones.
func setSlow(t *testing.T, c *client) {
	t.Helper()
	if c.handshakes == nil {
		t.Fatal("no handshakes")
	}
	for _, u := range c.handshakes.hosts {
		u.mu.Lock()
		u.slow = 1000
		u.mu.Unlock()
	}
}
