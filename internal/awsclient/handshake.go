package awsclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

const (
	// maxTurn is how long a handshake holds up others: the first one all, a slow one the next.
	// A connection that hangs must not cost the calls beside it more.
	maxTurn = 250 * time.Millisecond
	// slowHandshake is what a handshake takes at least, beyond its round trips, on a small
	// share of a processor. On a whole one it is 1 ms and the server's share.
	slowHandshake = 10 * time.Millisecond
	// quickAgain is how many quick handshakes in a row it takes after a slow one. A small share
	// comes in slices, and one or the other handshake fits into a slice.
	quickAgain = 4
	// rest is how long after a slow handshake the next one begins, in times of what it took.
	// Meanwhile the calls on the connections that are there have the processor, and free them.
	rest = 2
)

// handshakes makes the TLS connections of one transport. A round of calls opens a connection
// per call, and each handshake takes 0.8 ms of processor. The first one with a host goes alone:
// the others resume its session, which takes a fifth less. Where it took long by itself, the
// processor is small, and the others follow one after the other: they would take no less time
// together, and calls that find a connection idle meanwhile need none of their own.
type handshakes struct {
	dial    dialFunc
	config  *tls.Config
	timeout time.Duration // of one handshake
	maxTurn time.Duration // see there
	// ticketWait is how much later than a round trip after the handshake a ticket may come.
	ticketWait time.Duration

	mu    sync.Mutex
	hosts map[string]*turns // by address
}

// addHandshakes puts handshakes into t. It returns nil where t makes its TLS connections in a
// way of its own.
func addHandshakes(t *http.Transport) *handshakes {
	if own := t.DialTLSContext != nil; own || t.DialContext == nil || t.TLSClientConfig == nil {
		return nil
	}
	h := &handshakes{
		dial: t.DialContext, config: t.TLSClientConfig, timeout: t.TLSHandshakeTimeout,
		maxTurn: maxTurn, ticketWait: 5 * time.Millisecond, hosts: map[string]*turns{},
	}
	t.DialTLSContext = h.dialTLS
	return h
}

func (h *handshakes) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	t, first, err := h.turns(addr)
	if err != nil {
		return nil, err
	}
	if first {
		hung := time.AfterFunc(h.maxTurn, t.open)
		defer hung.Stop()
		conn, trip, err := t.shake(ctx, h, network, addr)
		if err != nil {
			t.open()
			return nil, err
		}
		// A ticket of TLS 1.3 comes a round trip after the handshake, or never.
		time.AfterFunc(trip+h.ticketWait, t.open)
		return conn, nil
	}
	leave, err := t.enter(ctx, h.maxTurn)
	if err != nil {
		return nil, err
	}
	defer leave()
	conn, _, err := t.shake(ctx, h, network, addr)
	return conn, err
}

// turns returns the turns of a host, and whether this is the first handshake with it.
func (h *handshakes) turns(addr string) (t *turns, first bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.hosts[addr]; t != nil {
		return t, false, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, false, err
	}
	t = &turns{config: h.config.Clone(), ready: make(chan struct{}), slot: make(chan struct{}, 1)}
	if t.config.ServerName == "" {
		t.config.ServerName = host
	}
	if t.config.ClientSessionCache != nil {
		t.config.ClientSessionCache = ticketCache{t.config.ClientSessionCache, t.open}
	}
	h.hosts[addr] = t
	return t, true, nil
}

// turns is the order of the handshakes with one host.
type turns struct {
	config *tls.Config
	once   sync.Once
	ready  chan struct{} // closed when the others may begin
	slot   chan struct{} // holds the slow handshake whose turn it is

	mu      sync.Mutex
	begun   int
	running int
	slow    int // quick handshakes that it takes until they count as quick
}

// ticketCache tells of a session that can be resumed.
type ticketCache struct {
	tls.ClientSessionCache
	put func()
}

func (c ticketCache) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	c.put()
}

func (t *turns) open() { t.once.Do(func() { close(t.ready) }) }

// enter waits until a handshake may begin. It returns errNotNeeded if its request got another
// connection by then. Its turn ends after the time that is given, if not before.
func (t *turns) enter(ctx context.Context, most time.Duration) (leave func(), err error) {
	served := servedOf(ctx)
	select {
	case <-t.ready:
	case <-served:
		return nil, errNotNeeded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t.mu.Lock()
	slow := t.slow > 0
	t.mu.Unlock()
	if !slow {
		return func() {}, nil
	}
	select {
	case t.slot <- struct{}{}:
		began := time.Now()
		leave := sync.OnceFunc(func() { <-t.slot })
		time.AfterFunc(most, leave)
		return func() { time.AfterFunc(rest*time.Since(began), leave) }, nil
	case <-served:
		return nil, errNotNeeded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// shake connects and shakes hands. It returns how long it took to connect: a round trip.
func (t *turns) shake(
	ctx context.Context, h *handshakes, network, addr string,
) (conn net.Conn, trip time.Duration, err error) {
	began := time.Now()
	raw, err := h.dial(ctx, network, addr)
	if err != nil {
		return nil, 0, err
	}
	trip = time.Since(began)
	if h.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.timeout)
		defer cancel()
	}
	seq := t.begin()
	secure := tls.Client(raw, t.config)
	err = secure.HandshakeContext(ctx)
	t.end(seq, trip, time.Since(began)-2*trip)
	if err != nil {
		raw.Close()
		return nil, 0, err
	}
	return secure, trip, nil
}

// begin returns the number of a handshake, or 0 for one that runs beside others.
func (t *turns) begin() (seq int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running++
	t.begun++
	if t.running > 1 {
		return 0
	}
	return t.begun
}

// end notes what a handshake took beyond its round trips. One beside others says nothing of the
// processor, which they share, and one over a long way varies by as much as a trip.
func (t *turns) end(seq int, trip, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	switch {
	case t.running > 0 || seq != t.begun:
	case took > max(slowHandshake, trip):
		t.slow = quickAgain
	case t.slow > 0:
		t.slow--
	}
}

// errNotNeeded ends a dial whose request has got a connection that became idle.
var errNotNeeded = errors.New("another connection became idle")

type servedKey struct{}

// served tells a dial that its request needs it no more.
type served struct {
	mu   sync.Mutex
	got  chan struct{}
	done bool
}

// withServed returns a context for one request, whose dials see when it has a connection.
func withServed(ctx context.Context) context.Context {
	s := &served{got: make(chan struct{})}
	ctx = context.WithValue(ctx, servedKey{}, s)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { s.needs() },
		GotConn: func(httptrace.GotConnInfo) { s.has() },
	})
}

// needs notes that the request looks for a connection: again, if the first one was dead.
func (s *served) needs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		s.got, s.done = make(chan struct{}), false
	}
}

func (s *served) has() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.done = true
		close(s.got)
	}
}

// servedOf returns what is closed when the request of a dial has a connection.
func servedOf(ctx context.Context) <-chan struct{} {
	s, ok := ctx.Value(servedKey{}).(*served)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}
