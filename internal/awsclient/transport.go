package awsclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/lambdasecrets/secrets/internal/clock"
)

// newClient returns an http.Client over the SDK's own transport, so that its proxy, TLS roots (AWS_CA_BUNDLE) and hooks stay: HTTP/1.1, because one
// connection per call is what a dead one costs least, bounded attempts, and no redirects, which these services never send.
func newClient(b *awshttp.BuildableClient) *client {
	t := b.GetTransport()
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	if c := t.TLSClientConfig; c != nil {
		c.NextProtos = nil
		if c.ClientSessionCache == nil {
			// After a thaw all connections are made anew, together: resuming a session takes a fifth off the processor time of each.
			c.ClientSessionCache = tls.NewLRUClientSessionCache(Width)
		}
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
	if dial := t.DialContext; b.GetDialer().Timeout == awshttp.DefaultDialConnectTimeout && dial != nil {
		t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			began := time.Now()
			limited, cancel := context.WithTimeout(ctx, ConnectTimeout)
			defer cancel()
			conn, err := dial(limited, network, addr)
			// By the time, not by limited.Err: a net.Dialer keeps the deadline by itself, and may be faster than the context's timer.
			if err != nil && ctx.Err() == nil && time.Since(began) >= ConnectTimeout {
				err = errConnect
			}
			return conn, err
		}
	}
	c := &client{transport: t, now: clock.System()}
	c.http = &http.Client{
		Transport:     t,
		Timeout:       b.GetTimeout(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.http.Timeout == 0 {
		c.http.Timeout = AttemptTimeout
	}
	return c
}

// NoConnection is what such an attempt is said to be.
const NoConnection = "no connection within 1 second"

// errConnect says which of the two limits an attempt hit. It is a net.Error and a timeout.
var errConnect error = &net.OpError{Op: "dial", Err: connectTimeout{}}

type connectTimeout struct{}

func (connectTimeout) Error() string   { return NoConnection }
func (connectTimeout) Timeout() bool   { return true }
func (connectTimeout) Temporary() bool { return true }

// ConnectFailed reports whether err is an attempt that got no connection in time: what a VPC without an endpoint looks like.
func ConnectFailed(err error) bool {
	var c connectTimeout
	return errors.As(err, &c)
}

// client is an aws.HTTPClient that closes idle connections before the first request after a pause.
type client struct {
	http      *http.Client
	transport *http.Transport
	now       func() (wall time.Time, mono time.Duration)

	// Requests that leave together wait for the one that closes: none of them may get hold of a dead connection before.
	mu     sync.Mutex
	used   time.Time     // wall clock of the last request or answer; zero before the first
	closed time.Time     // both clocks when all idle connections were closed last, or at the first request
	mono   time.Duration // see closed
}

// maxAnswer bounds what an endpoint can make us hold, in bytes. The largest real answer is twenty secrets of 64 KiB, each byte written as \u00XX: below 8 MiB.
const maxAnswer = 16 << 20

func (c *client) Do(r *http.Request) (*http.Response, error) {
	c.closeIdle()
	res, err := c.http.Do(r)
	c.mu.Lock()
	c.used, _ = c.now()
	c.mu.Unlock()
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxAnswer)
	}
	return res, err
}

// closeIdle closes the idle connections if one of them may be older than IdleTimeout by the wall clock, which goes on while the sandbox is frozen.
// The transport's own timeout runs on the monotonic clock, which stands still: it bounds what the time frozen since the last closing does not.
func (c *client) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := c.now() // under mu: a reading from before another request's would look as if the clock had stepped back
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
