package awsclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/parallel"
)

// hardened returns an HTTP client that follows no redirect and ends every attempt. Any but the
// SDK's own keeps its transport, with its certificates, proxy and instruments, and its limit.
func hardened(c aws.HTTPClient) aws.HTTPClient {
	switch c := c.(type) {
	case nil:
		return newClient(awshttp.NewBuildableClient())
	case *awshttp.BuildableClient:
		return newClient(c)
	case *http.Client:
		return bounded(*c)
	}
	// That one of a type that we do not know follows no redirect cannot be seen to; addAnswer
	// does not take the answer.
	return bounded(http.Client{Transport: doer(c.Do)})
}

type doer func(*http.Request) (*http.Response, error)

func (f doer) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// bounded returns c with a time limit, and without redirects, which these services never send:
// one would carry the session token to another host, whose answer would be the secret.
func bounded(c http.Client) *http.Client {
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.Timeout = cmp.Or(c.Timeout, AttemptTimeout)
	return &c
}

// newClient returns a client over the SDK's own transport, so that its proxy, TLS roots
// (AWS_CA_BUNDLE) and hooks stay. It speaks HTTP/1.1: where each call has a connection, a dead
// one costs least.
func newClient(b *awshttp.BuildableClient) *client {
	t := b.GetTransport()
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	if c := t.TLSClientConfig; c != nil {
		c.NextProtos = nil
		if c.ClientSessionCache == nil {
			// After a thaw all connections are made anew, together: resuming a session takes a
			// fifth off the processor time of each.
			c.ClientSessionCache = tls.NewLRUClientSessionCache(Width)
		}
	}
	if t.ReadBufferSize == 0 {
		t.ReadBufferSize = readBuffer
	}
	if t.MaxIdleConnsPerHost == awshttp.DefaultHTTPTransportMaxIdleConnsPerHost {
		t.MaxIdleConnsPerHost = Width
	}
	if t.IdleConnTimeout == awshttp.DefaultHTTPTransportIdleConnTimeout {
		t.IdleConnTimeout = IdleTimeout
	}
	if t.TLSHandshakeTimeout == awshttp.DefaultHTTPTransportTLSHandleshakeTimeout {
		t.TLSHandshakeTimeout = AttemptTimeout
	}
	if t.DialContext != nil && b.GetDialer().Timeout == awshttp.DefaultDialConnectTimeout {
		t.DialContext = withConnectTimeout(t.DialContext)
	}
	return &client{
		http:      bounded(http.Client{Transport: t, Timeout: b.GetTimeout()}),
		transport: t, handshakes: addHandshakes(t), now: clock.System,
	}
}

// readBuffer is the size of a connection's buffer, in bytes. It is too small for an answer,
// which net/http then reads past it: in one of the usual size each idle connection would keep a
// plaintext. A line of a chunked answer has to fit.
const readBuffer = 64

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

func withConnectTimeout(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		parallel.GrowStack()
		began := time.Now()
		dialCtx, cancel := context.WithTimeout(ctx, ConnectTimeout)
		defer cancel()
		conn, err := dial(dialCtx, network, addr)
		// By the time, not by dialCtx.Err: a net.Dialer keeps the deadline by itself, and may
		// be faster than the context's timer.
		if err != nil && ctx.Err() == nil && time.Since(began) >= ConnectTimeout {
			err = errConnect
		}
		return conn, err
	}
}

// NoConnection describes an attempt that got no connection in time.
const NoConnection = "no connection within 1 second"

// errConnect says which of the two limits an attempt hit. It is a net.Error and a timeout.
var errConnect error = &net.OpError{Op: "dial", Err: context.DeadlineExceeded}

// ConnectFailed reports whether err is an attempt that got no connection in time: what a VPC
// without an endpoint looks like.
func ConnectFailed(err error) bool { return errors.Is(err, errConnect) }

// client closes idle connections before the first request after a pause.
type client struct {
	http       *http.Client
	transport  *http.Transport
	handshakes *handshakes // or nil
	now        func() (wall time.Time, mono time.Duration)

	// Requests that leave together wait for the one that closes: none may get a dead connection.
	mu     sync.Mutex
	used   time.Time     // wall clock of the last request or answer; zero before the first
	closed time.Time     // when all idle connections were closed last, or at the first request
	mono   time.Duration // the monotonic clock at closed
}

func (c *client) Do(r *http.Request) (*http.Response, error) {
	c.closeIdle()
	if c.handshakes != nil && r.URL.Scheme == "https" {
		r = r.WithContext(withServed(r.Context()))
	}
	res, err := c.http.Do(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used, _ = c.now()
	if err != nil {
		noteProxy(r, c.transport)
	}
	return res, err
}

// closeIdle closes the idle connections if one of them may be older than IdleTimeout by the
// wall clock, which goes on while the sandbox is frozen. The transport's own timeout, on the
// monotonic clock, stands still then.
func (c *client) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Under mu: an earlier reading than another request's would look like a clock stepped back.
	wall, mono := c.now()
	idle, frozen := wall.Sub(c.used), wall.Sub(c.closed)-(mono-c.mono)
	switch {
	case c.used.IsZero():
	case idle > IdleTimeout, idle < 0, frozen > IdleTimeout:
		c.transport.CloseIdleConnections()
	default:
		c.used = wall
		return
	}
	c.used, c.closed, c.mono = wall, wall, mono
}
