package endpoint

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Cut says how a connection ends.
type Cut string

const (
	FIN Cut = "fin" // closed properly: the client reads EOF
	RST Cut = "rst" // reset: the client's reads and writes fail
	// never answers and never closes, as after a thaw: the client's writes succeed, its reads wait
	Silent Cut = "silent"
)

// listener numbers the connections it accepts and keeps hold of them.
type listener struct {
	net.Listener
	server *Server
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := l.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nconns++
	c := &conn{Conn: nc, number: s.nconns}
	s.conns[c] = http.StateNew
	return c, nil
}

// conn is a connection that can fall silent or be reset.
type conn struct {
	net.Conn
	number int
	silent atomic.Bool
}

type connKey struct{}

// rawConn finds our connection under what net/http shows, which may be TLS.
func rawConn(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*conn) // every listener is wrapped in ours
}

func connOf(ctx context.Context) *conn { return ctx.Value(connKey{}).(*conn) }

// roundTrip is the least time an answer takes. The SDK closes a request's body once it has an answer, and if net/http
// is not done with the body then, it gives the connection up. Over a network the client wins that race; over loopback
// it would now and then lose, over a pipe nearly always. In a bubble a nanosecond lasts until the client has nothing
// left to do.
func (c *conn) roundTrip() time.Duration {
	if _, ok := c.Conn.(*pipeConn); ok {
		return time.Nanosecond
	}
	return 300 * time.Microsecond
}

// Read swallows everything once the connection is silent. A client that closes it still ends it, or its goroutine
// would stay.
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.silent.Load() {
			return n, err
		}
	}
}

func (c *conn) Write(p []byte) (int, error) {
	if c.silent.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *conn) cut(how Cut) {
	switch how {
	case Silent:
		c.silent.Store(true)
		return
	case RST:
		// TCP sends RST instead of FIN when nothing may linger; the pipe has a method of the same name and meaning.
		if l, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
			l.SetLinger(0)
		}
	}
	c.Conn.Close()
}

func (s *Server) connState(nc net.Conn, state http.ConnState) {
	c := rawConn(nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateClosed {
		delete(s.conns, c)
		return
	}
	s.conns[c] = state
}

// KillConnections ends all connections that carry no request at the moment, and says how many. A connection becomes
// idle a moment after its answer was sent; inside a bubble call synctest.Wait first.
func (s *Server) KillConnections(how Cut) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c, state := range s.conns {
		if state == http.StateIdle && !c.silent.Load() {
			c.cut(how)
			n++
		}
	}
	return n
}

// Connections is the number of connections accepted so far.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nconns
}
