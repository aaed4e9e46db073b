package endpoint

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// Pipe is a listener in memory and the dialer to it. Each connection is a [net.Pipe], which a testing/synctest bubble
// sees through where real sockets would keep its clock from moving. There are no buffers: a write waits for its read.
type Pipe struct {
	accept chan net.Conn
	done   chan struct{}
	once   sync.Once
}

var _ net.Listener = (*Pipe)(nil)

// NewPipe makes a Pipe. It belongs to the bubble it is made in.
func NewPipe() *Pipe {
	return &Pipe{accept: make(chan net.Conn), done: make(chan struct{})}
}

// Accept waits for a dial; after Close it fails with [net.ErrClosed].
func (p *Pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and refuses new dials. Connections stay.
func (p *Pipe) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr is a placeholder.
func (p *Pipe) Addr() net.Addr { return pipeAddr{} }

// DialContext connects to the listener whatever the network and address, so that it fits [net/http.Transport]. It waits
// for Accept or ctx; after Close it is refused.
func (p *Pipe) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	reset := new(atomic.Bool)
	select {
	case p.accept <- &pipeConn{Conn: server, reset: reset}:
		return &pipeConn{Conn: client, reset: reset}, nil
	case <-p.done:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Addr: pipeAddr{}, Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "pipe", Addr: pipeAddr{}, Err: ctx.Err()}
	}
}

// pipeConn gives a pipe TCP's addresses and reset.
type pipeConn struct {
	net.Conn
	reset *atomic.Bool // shared by both ends
}

// SetLinger(0) makes the coming Close a reset, as with TCP.
func (c *pipeConn) SetLinger(sec int) error {
	c.reset.Store(sec == 0)
	return nil
}

func (c *pipeConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.tcpError("read", err)
}

func (c *pipeConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.tcpError("write", err)
}

func (c *pipeConn) tcpError(op string, err error) error {
	if err == nil || !c.reset.Load() || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return &net.OpError{Op: op, Net: "pipe", Addr: pipeAddr{}, Err: syscall.ECONNRESET}
}

func (c *pipeConn) LocalAddr() net.Addr  { return pipeAddr{} }
func (c *pipeConn) RemoteAddr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "127.0.0.1:0" }
