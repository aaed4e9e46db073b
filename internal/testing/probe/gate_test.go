//go:build linux

package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// gate stands between a function and the endpoint. Once armed it holds what the endpoint sends, and says so.
type gate struct {
	listener net.Listener
	target   string

	mu       sync.Mutex
	accepted int
	held     chan struct{} // closed when something is held; nil: not armed
	released chan struct{}
}

func newGate(t testing.TB, target string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: l, target: target}
	t.Cleanup(func() { l.Close(); g.release() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			g.accepted++
			g.mu.Unlock()
			go g.serve(c)
		}
	}()
	return g
}

func (g *gate) port() string {
	_, port, _ := net.SplitHostPort(g.listener.Addr().String())
	return port
}

// arm makes the gate hold the next bytes that the endpoint sends, and all behind them, until release.
func (g *gate) arm() (held <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held, g.released = make(chan struct{}), make(chan struct{})
	return g.held
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held != nil {
		close(g.released)
		g.held = nil
	}
}

// pass waits while the gate holds.
func (g *gate) pass() {
	g.mu.Lock()
	held, released := g.held, g.released
	if held != nil {
		select {
		case <-held:
		default:
			close(held)
		}
	}
	g.mu.Unlock()
	if held != nil {
		<-released
	}
}

func (g *gate) connections() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.accepted
}

func (g *gate) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if n > 0 {
			g.pass()
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// nameServer answers every question for an address with 127.0.0.1, and every other with nothing. Its gate holds
// answers.
func nameServer(t testing.TB) (addr string, g *gate) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g = &gate{}
	t.Cleanup(func() { c.Close(); g.release() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			answer := dnsAnswer(buf[:n])
			go func() {
				g.pass()
				c.WriteTo(answer, from)
			}()
		}
	}()
	return c.LocalAddr().String(), g
}

// dnsAnswer keeps the question, and drops what may stand behind it.
func dnsAnswer(query []byte) []byte {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the name's end, type and class
	if end > len(query) {
		return nil
	}
	address := query[end-3] == 1 // type A
	answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
	if address {
		answer[7] = 1
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1)
	}
	return answer
}
