package awserr

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/aws/smithy-go"
)

// A Reason says why there is no answer of the service's API. It is text for people, and
// "" where there is an answer.
type Reason string

const (
	Garbled Reason = "the answer was cut short or is not what the service's model says"
	Foreign Reason = "the answer is not from the service's API (a proxy's page?)"

	UnknownHost Reason = "the host name does not resolve"
	DNSTimeout  Reason = "the DNS server does not answer in time"
	DNSFailed   Reason = "the DNS server answers with a failure"
	Timeout     Reason = "no answer in time"
	GivenUp     Reason = "no answer before it was given up"
	Refused     Reason = "the connection was refused"
	NoRoute     Reason = "there is no route to the host"
	Broken      Reason = "the connection failed"
	OpenFiles   Reason = "this process has too many files and connections open"

	Certificate     Reason = "the server's TLS certificate is not trusted"
	Handshake       Reason = "the TLS handshake failed"
	NoRoots         Reason = "there are no CA certificates to check the server's TLS certificate"
	CertificateTime Reason = "the server's TLS certificate is not valid at this machine's time"
	CertificateHost Reason = "the server's TLS certificate is for another host"

	ProxyFailed  Reason = "the proxy cannot be reached"
	ProxyRefused Reason = "the proxy refuses to connect to AWS"
	ProxyTimeout Reason = "no answer through the proxy in time"
	ProxyBroken  Reason = "the connection through the proxy failed"
	ProxyURL     Reason = "the proxy that is configured is not a URL"

	NoRegion   Reason = "no Region is configured"
	BadRegion  Reason = "the Region that is configured is malformed"
	NoEndpoint Reason = "the endpoint that is configured is not a URL"
	Endpoints  Reason = "the endpoint's settings do not fit together"
	NotLoaded  Reason = "the SDK's configuration does not load"

	NoCredentials   Reason = "no credentials could be loaded"
	LoginExpired    Reason = "the login has expired"
	CommandFailed   Reason = "the command that gives the credentials fails"
	CredentialsFile Reason = "a file that the credentials come from cannot be read"
)

// phrases are the SDK's words for failures that it has no types for.
var phrases = [...]struct {
	words string
	means Reason
}{
	{"SSO token", LoginExpired},
	{"SSO session", LoginExpired},
	{"please reauthenticate", LoginExpired},
	{"credential_process", CommandFailed},
	{"process provider error", CommandFailed},
	{"unable to read file", CredentialsFile},
	{"failed to read authorization token", CredentialsFile},
	{"issing Region", NoRegion},
	{"endpoint rule error", Endpoints},
	{"invalid input region", BadRegion},
	{"valid host label", BadRegion},
	{"unsupported protocol scheme", NoEndpoint},
	{"Failed to parse uri", NoEndpoint},
	{"no Host in request URL", NoEndpoint},
	{"invalid endpoint host", NoEndpoint},
	{"invalid proxy address", ProxyURL},
	{"unknown proxy scheme", ProxyURL},
	{"invalid proxy URL port", ProxyURL},
}

// Config makes an Error of a configuration that does not load. The files are those that
// were read, or "". Nothing was called, and the next try would read the same: it is
// permanent, except an ended context and what this process lacks at the moment.
func Config(err error, files string) *Error {
	e := &Error{Reason: NotLoaded, Class: Configuration, local: reachable(err)}
	// The whole text: the innermost words alone do not say which setting named the
	// file.
	e.Words = Clip(clean(err.Error()), 400)
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if ended || tooManyFiles(err) != 0 {
		e.Class = Unavailable
	}
	if files != "" {
		e.Words += " (read: " + Clip(files, 300) + ")"
	}
	return e
}

// locally says why err is no answer of the API, and keeps its words.
func (e *Error) locally(err error) {
	e.Cancelled = errors.Is(err, context.Canceled)
	text := err.Error()
	for _, p := range phrases {
		if e.Reason == "" && strings.Contains(text, p.words) {
			e.Reason = p.means
		}
	}
	if e.Reason == "" {
		e.Reason = e.fromProxy(err)
	}
	if e.Reason == "" {
		e.Reason = e.network(err)
	}
	switch e.Reason {
	case Foreign, Garbled, Timeout, GivenUp, NoRegion, ProxyURL:
		// Ours say it all, and the SDK's would quote an answer or a password.
	default:
		e.Words = words(err)
	}
	e.local = reachable(err)
	if e.Reason == OpenFiles && tooManyFiles(err) == 0 { // the resolver did not say so
		e.local = errors.Join(e.local, syscall.EMFILE)
		e.Words = syscall.EMFILE.Error()
	}
}

// network sorts an error that is no answer, by type.
func (e *Error) network(err error) Reason {
	if e.Status != 0 && e.Status != http.StatusOK {
		return Foreign
	}
	var garbled *smithy.DeserializationError
	var notXML *xml.SyntaxError // of STS
	var dns *net.DNSError
	var netErr net.Error
	switch {
	case e.Cancelled:
		return GivenUp
	case tooManyFiles(err) != 0, errors.As(err, &dns) && blindResolver(dns):
		return OpenFiles
	case dns != nil:
		return resolver(dns)
	case errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return Timeout // also in the middle of an answer
	case errors.As(err, &garbled), errors.As(err, &notXML):
		return Garbled
	case errors.Is(err, io.ErrUnexpectedEOF) && e.Status != 0:
		return Garbled
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return NoRoute
	}
	return connection(err)
}

// connection sorts what else a connection fails with.
func connection(err error) Reason {
	reason, _ := certificate(err)
	switch {
	case badAddress(err):
		return NoEndpoint
	case reason != Broken:
	case strings.Contains(err.Error(), "tls: "), errors.Is(err, http.ErrSchemeMismatch):
		return Handshake // what answers has no TLS, or another
	}
	return reason
}

// badAddress reports whether a host or a port is not one: port 99999.
func badAddress(err error) bool {
	var addr *net.AddrError
	return errors.As(err, &addr)
}

// blindResolver reports whether the resolver says that there is no such host because
// this process has no file left to read its configuration and to ask a server.
func blindResolver(dns *net.DNSError) bool {
	if !dns.IsNotFound || dns.Server != "" {
		return false
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return tooManyFiles(err) != 0
	}
	conn.Close()
	return false
}

func resolver(dns *net.DNSError) Reason {
	switch {
	case dns.IsNotFound:
		return UnknownHost
	case dns.IsTimeout:
		return DNSTimeout
	}
	return DNSFailed
}

// certificate sorts what a TLS handshake fails with, and calls everything else broken.
// It returns the outermost certificate error, too: those of package x509 hold
// certificates, which are public.
func certificate(err error) (reason Reason, found error) {
	reason = Broken
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &authority) {
		reason, found = Certificate, authority
		// An image made from scratch. This reads what the TLS package has read already.
		if pool, err := x509.SystemCertPool(); err != nil || pool.Equal(x509.NewCertPool()) {
			reason = NoRoots
		}
	}
	if errors.As(err, &invalid) {
		reason, found = Certificate, invalid
		if invalid.Reason == x509.Expired {
			reason = CertificateTime
		}
	}
	if errors.As(err, &host) {
		reason, found = CertificateHost, host
	}
	if errors.As(err, &unverified) {
		found = unverified
		if reason == Broken {
			reason = Certificate
		}
	}
	return reason, found
}

// tooManyFiles returns EMFILE or ENFILE if err is one, else 0. The resolver keeps their
// text alone, and would blame the host's name for them.
func tooManyFiles(err error) syscall.Errno {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, errno) || strings.Contains(err.Error(), errno.Error()) {
			return errno
		}
	}
	return 0
}

// fromProxy says what a proxy did, or "" if err is not the proxy's doing. It keeps the
// proxy's host where err tells it.
func (e *Error) fromProxy(err error) Reason {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		op, ok := inner.(*net.OpError)
		if !ok {
			continue
		}
		if op.Op != "proxyconnect" && !strings.HasPrefix(op.Op, "socks") {
			continue
		}
		var dns *net.DNSError
		switch {
		case tooManyFiles(op) != 0:
			return OpenFiles
		case badAddress(op):
			return ProxyURL
		case errors.As(op, &dns):
			if strings.TrimSuffix(dns.Name, "s") == "http" {
				return ProxyURL // net/http takes a URL that does not parse for a host with a port
			}
			e.Host = Clip(dns.Name, 100)
		case op.Op != "proxyconnect" && !errors.As(op.Err, new(net.Error)):
			return ProxyRefused // in the words of the protocol
		}
		return ProxyFailed
	}
	// net/http returns the words of the proxy's status line, without a type.
	said := innermost(err).Error()
	for code := 400; e.Status == 0 && code < 600; code++ {
		if said != "" && said == http.StatusText(code) {
			return ProxyRefused
		}
	}
	return ""
}

// Through notes that the request went through a proxy: what fails without a word of
// AWS's may be the proxy's doing. An empty host is none.
func (e *Error) Through(proxy string) {
	if proxy == "" || e.Step != "" {
		return
	}
	switch e.Reason {
	case Timeout:
		e.Reason = ProxyTimeout
		e.Host = Clip(proxy, 200)
	case Broken:
		e.Reason = ProxyBroken
		fallthrough
	case GivenUp, Handshake, ProxyFailed, ProxyRefused, Certificate, Refused, NoRoute:
		e.Host = Clip(proxy, 200)
	}
}

// Regional reports whether another Region may answer where this one did not: it
// failed with a 5xx, or was not reached. An answer of 4xx, a throttle among them, and
// what is wrong on this machine, in its configuration or with its credentials would
// be the same elsewhere.
func (e *Error) Regional() bool {
	if e.Step != "" {
		return false
	}
	switch e.Reason {
	case UnknownHost, DNSTimeout, DNSFailed, Timeout, Refused, NoRoute, Broken, Handshake,
		Certificate, CertificateTime, CertificateHost, ProxyRefused, ProxyTimeout, ProxyBroken:
		return true
	}
	return e.Status >= http.StatusInternalServerError && e.Class != Throttled
}

// words returns the innermost words of err that say something: a file's error with its
// path, a connection's with its address, a lookup's with its name, else those of the
// last error in the chain.
func words(err error) string {
	var garbled *smithy.DeserializationError
	if errors.As(err, &garbled) {
		return "" // it may quote the answer
	}
	if strings.Contains(err.Error(), "parse failed of process output") {
		return "its output is not the JSON that the SDK wants" // which the SDK quotes
	}
	return Clip(clean(innermost(err).Error()), 400)
}

// clean takes out of a local error's text the user and password of URLs, and the port
// that a connection happened to have on this side: the same failure is to read the same
// every time.
func clean(text string) string {
	var kept strings.Builder
	// Regexp.ReplaceAllString would do, and is linked by nothing else: 10 kB.
	for {
		at := unclean().FindStringSubmatchIndex(text)
		if at == nil {
			kept.WriteString(text)
			return kept.String()
		}
		kept.WriteString(text[:at[0]])
		if slashes := at[2:4]; slashes[0] >= 0 {
			kept.WriteString("//")
		}
		text = text[at[1]:]
	}
}

// Compiled when it is first needed: most cold starts see no error.
var unclean = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(//)[^\s"]*@|\S+:[0-9]+->`)
})

// innermost returns the error in the chain of err whose text says enough.
func innermost(err error) error {
	for {
		switch e := err.(type) {
		case *fs.PathError, *net.DNSError, *tls.CertificateVerificationError:
			return err
		case *net.OpError:
			var dns *net.DNSError
			if _, more := e.Err.(*net.OpError); !more && !errors.As(e.Err, &dns) {
				return err
			}
		}
		next := unwrap(err)
		if _, bare := next.(syscall.Errno); next == nil || bare {
			return err // "connection refused" alone does not say by whom
		}
		err = next
	}
}

// unwrap returns the next error in the chain of err: of several, the last that there
// is.
func unwrap(err error) (next error) {
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return errors.Unwrap(err)
	}
	for _, e := range several.Unwrap() {
		if e != nil {
			next = e
		}
	}
	return next
}

// reachable returns what programs look for in the chain of a failure on this machine,
// and nothing that holds a request: the errno, a copy of the DNS error, the certificate
// error.
func reachable(err error) error {
	var found []error
	var dns *net.DNSError
	if errors.As(err, &dns) {
		found = append(found, &net.DNSError{
			Err: Clip(dns.Err, 200), Name: Clip(dns.Name, 200), Server: dns.Server,
			IsTimeout: dns.IsTimeout, IsTemporary: dns.IsTemporary, IsNotFound: dns.IsNotFound,
		})
	}
	var errno syscall.Errno
	if full := tooManyFiles(err); full != 0 {
		found = append(found, full)
	} else if errors.As(err, &errno) {
		found = append(found, errno)
	}
	_, certificate := certificate(err)
	return errors.Join(append(found, certificate)...)
}
