// Package endpoint is an AWS endpoint in a Go program: KMS, Systems Manager Parameter Store and Secrets Manager as
// their SDK clients see them, with their errors, limits, access checks and bad days. It speaks awsJson1.1 over HTTP
// and TLS, on a loopback port, on any [net.Listener], or on an in-memory [Pipe].
//
//	s := endpoint.New(endpoint.Options{})
//	url, err := s.Start()
//	defer s.Close()
//	s.Region("eu-west-1").PutSecret("prod/db", `{"password":"…"}`)
//
// The Region of a request is the one its signature names; each Region has a [Store] of its own. Signatures themselves
// are not verified. Everything is in memory, and there is no global state: servers do not see each other.
//
// Inside a testing/synctest bubble make the Server and the [Pipe] in the bubble: certificates, waits and clocks are
// the bubble's then. Real TCP never idles durably, so a bubble needs the pipe.
package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets/internal/arn"
	"github.com/lambdasecrets/secrets/internal/iam"
)

// Options configures a Server. The zero Options are usable.
type Options struct {
	AccountID string           // twelve digits; default 123456789012
	Now       func() time.Time // the service's clock; default time.Now
	Hosts     []string         // names and addresses the certificate covers besides AWS's own, localhost and 127.0.0.1

	// HTTP2 offers HTTP/2 over TLS. Default off, as these services answer HTTP/1.1; on, faults that cut a connection
	// cut all requests on it.
	HTTP2 bool
}

// Server is one endpoint for all services and Regions, of one account and of those whose roles are added. Its methods
// may be called concurrently and while requests run.
type Server struct {
	account string
	now     func() time.Time
	certs   *certificates
	http    *http.Server
	done    context.Context // ends with Close, and with it everything that hangs
	stop    context.CancelFunc
	serving sync.WaitGroup // listeners opened by Start and StartTLS

	mu      sync.Mutex // guards all below and everything in the stores; never held across I/O
	url     string
	stores  map[place]*Store
	calls   []*Call
	conns   map[*conn]http.ConnState
	nconns  int // connections accepted so far
	latency map[string]time.Duration
	faults  []*FaultHandle
	quotas  map[string]*bucket // group → its bucket
	policy  *policy            // nil: everything is allowed

	roles    map[string]*role    // ARN → role
	sessions map[string]*session // access key → what AssumeRole gave
}

// place is where a store is.
type place struct{ account, region string }

// New makes a Server. It opens no port.
func New(o Options) *Server {
	s := &Server{
		account: o.AccountID,
		now:     o.Now,
		stores:  map[place]*Store{},

		roles:    map[string]*role{},
		sessions: map[string]*session{},
		conns:    map[*conn]http.ConnState{},
		latency:  map[string]time.Duration{},
		quotas:   map[string]*bucket{},
	}
	if s.account == "" {
		s.account = "123456789012"
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.certs = &certificates{hosts: o.Hosts}
	s.done, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:     http.HandlerFunc(s.serveHTTP),
		BaseContext: func(net.Listener) context.Context { return s.done },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, rawConn(c))
		},
		ConnState: s.connState,
		ErrorLog:  discardLog(), // failed handshakes and aborted handlers are this server's daily work
		Protocols: new(http.Protocols),
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(o.HTTP2)
	return s
}

// Start serves plain HTTP on a free port of 127.0.0.1 and returns the URL.
func (s *Server) Start() (url string, err error) { return s.start("http", s.Serve) }

// StartTLS is Start with TLS. Clients have to trust [Server.CAPEM].
func (s *Server) StartTLS() (url string, err error) { return s.start("https", s.ServeTLS) }

func (s *Server) start(scheme string, serve func(net.Listener) error) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	url := scheme + "://" + l.Addr().String()
	s.mu.Lock()
	s.url = url
	s.mu.Unlock()
	s.serving.Go(func() { serve(l) })
	return url, nil
}

// URL is what the last Start or StartTLS returned; empty before.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// Serve serves plain HTTP on l and blocks until Close, when it returns nil, or until l fails. It closes l.
func (s *Server) Serve(l net.Listener) error {
	return closedIsNil(s.http.Serve(&listener{Listener: l, server: s}))
}

// ServeTLS is Serve with TLS.
func (s *Server) ServeTLS(l net.Listener) error {
	cert, err := s.certs.leaf()
	if err != nil {
		l.Close()
		return err
	}
	protocols := []string{"http/1.1"}
	if s.http.Protocols.HTTP2() {
		protocols = []string{"h2", "http/1.1"}
	}
	// http.Server.ServeTLS would write the certificate into a config that all listeners share; the handshake is
	// done by the listener instead.
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols}
	return closedIsNil(s.http.Serve(tls.NewListener(&listener{Listener: l, server: s}, config)))
}

func closedIsNil(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close closes all listeners and connections and ends whatever hangs. It waits for the listeners of Start and
// StartTLS, not for requests that run.
func (s *Server) Close() {
	s.stop()
	// First the connections under TLS: its farewell would wait for a client that does not read.
	s.closeConns()
	s.http.Close()
	s.closeConns() // one accepted this moment
	s.serving.Wait()
}

func (s *Server) closeConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Region returns the store of a Region, made empty on first use.
func (s *Server) Region(name string) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.region(s.account, name)
}

// RegionOf is Region for another account, which is reached by roles of it.
func (s *Server) RegionOf(account, name string) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.region(account, name)
}

func (s *Server) region(account, name string) *Store {
	at := place{account, name}
	st := s.stores[at]
	if st == nil {
		st = &Store{
			server:     s,
			scope:      iam.Scope{Partition: arn.Partition(name), Region: name, Account: account},
			keys:       map[string]*key{},
			aliases:    map[string]*key{},
			parameters: map[string]*parameter{},
			secrets:    map[string]*secret{},
		}
		s.stores[at] = st
	}
	return st
}

// Store holds what one Region has. Its methods seed and change it as an administrator would, unhindered by policy,
// quotas and faults, and unrecorded; like bad test data anywhere, arguments that the service would refuse panic.
type Store struct {
	server     *Server
	scope      iam.Scope
	keys       map[string]*key       // key ID → key
	aliases    map[string]*key       // "alias/…" → key
	parameters map[string]*parameter // name → parameter
	secrets    map[string]*secret    // name → secret
}

// must panics with what the service would have answered.
func must(err error) {
	if err != nil {
		panic("endpoint: " + err.Error())
	}
}
