// Package secrethttp sends a secret with HTTP requests: a bearer token, an API key, a login.
//
// A [Transport] makes an http.Client that sets the header from a variable of an Env:
//
//	client := &http.Client{Transport: &secrethttp.Transport{
//		Env: env, Name: "API_TOKEN", Origin: "https://api.example.com",
//	}}
//
// If the server answers 401, the Transport gets the newer value, as [secrets.Env.Do] does, and
// sends the request once more. The secret goes to one origin only: not to another host after a
// redirect, and not over http where the origin is https.
package secrethttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/lambdasecrets/secrets"
)

// A Transport is an http.RoundTripper that sets a header from the value of a variable. Fill its
// fields before the first request, and do not change them later. It is safe for concurrent use.
//
// A request whose credential is refused is sent a second time, with the newer value, if there is
// one and if the body can be had again: it has none, or GetBody is set, which http.NewRequest does
// for a bytes.Buffer, bytes.Reader or strings.Reader. Otherwise, and if the second answer is a
// refusal too, the caller gets the server's answer as it is.
type Transport struct {
	// Env has the value. A failure to get it is the error of the request.
	Env *secrets.Env

	// Name is the variable whose value is sent.
	Name string

	// Origin is where the value may be sent: scheme, host, and port if it is not the scheme's own,
	// as in "https://api.example.com". A request to another origin is an error, unless a redirect
	// led there: then it is sent without the value.
	Origin string

	// Set puts the value into the header of a copy of the request. The default is Bearer. It must
	// not keep the value, nor quote it in its error.
	Set func(h http.Header, v secrets.Value) error

	// Refused reports whether an answer says that the credential was refused. The default is
	// status 401. It must not read the body.
	Refused func(*http.Response) bool

	// Base sends the requests. The default is http.DefaultTransport.
	Base http.RoundTripper
}

var (
	errRefused = errors.New("secrethttp: the server refused the credential")
	errNoMore  = errors.New("secrethttp: the request is not sent again")
)

// RoundTrip sends the request with the secret. It blocks as [secrets.Env.Do] and Base do. It does
// not change the request, and Response.Request is that request: without the secret.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	secret, err := t.mayHaveSecret(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if !secret {
		return t.base().RoundTrip(req)
	}
	x := exchange{t: t, req: req}
	err = t.Env.Do(req.Context(), t.Name, x.send)
	if x.sent == 0 {
		closeBody(req)
	}
	if err == nil || errors.Is(err, errRefused) || errors.Is(err, errNoMore) {
		return x.resp, x.err
	}
	if x.resp != nil {
		discard(x.resp.Body)
	}
	return nil, err
}

// CloseIdleConnections closes those of Base, for [http.Client.CloseIdleConnections].
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

func (t *Transport) refused(resp *http.Response) bool {
	if t.Refused != nil {
		return t.Refused(resp)
	}
	return resp.StatusCode == http.StatusUnauthorized
}

// An exchange is one request: what was sent, and the last answer.
type exchange struct {
	t    *Transport
	req  *http.Request
	sent int
	resp *http.Response
	err  error
}

// send sends the request with v. It is what Do runs, with a newer value each time.
func (x *exchange) send(v secrets.Value) error {
	if x.sent == 2 || x.sent == 1 && !replayable(x.req) {
		return errNoMore
	}
	req, err := x.request(v)
	if err != nil {
		return err
	}
	if x.resp != nil {
		discard(x.resp.Body)
	}
	x.sent++
	x.resp, x.err = x.t.base().RoundTrip(req)
	if x.err != nil {
		return x.err
	}
	x.resp.Request = x.req
	if !x.t.refused(x.resp) {
		return nil
	}
	if x.sent == 2 {
		return errNoMore // not errRefused, for which Do would fetch a third value
	}
	return secrets.Rejected(errRefused)
}

// request returns a copy of the request with the header set.
func (x *exchange) request(v secrets.Value) (*http.Request, error) {
	req := x.req.Clone(x.req.Context())
	if req.Header == nil {
		req.Header = http.Header{}
	}
	set := x.t.Set
	if set == nil {
		set = Bearer
	}
	if err := set(req.Header, v); err != nil {
		return nil, fmt.Errorf("secrethttp: setting the header from %s: %w", x.t.Name, err)
	}
	if name := invalidHeader(req.Header); name != "" {
		return nil, fmt.Errorf("secrethttp: the header %s cannot hold the value of %s: "+
			"it has a line break or another control character; store it without", name, x.t.Name)
	}
	if x.sent > 0 && req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, fmt.Errorf("secrethttp: getting the body to send it again: %w", err)
		}
		req.Body = body
	}
	return req, nil
}

// mayHaveSecret reports whether the secret may be sent with the request.
func (t *Transport) mayHaveSecret(req *http.Request) (bool, error) {
	if t.Env == nil || t.Name == "" {
		return false, errors.New("secrethttp: a Transport needs Env and Name")
	}
	origin, err := parseOrigin(t.Origin)
	if err != nil {
		return false, err
	}
	if sameOrigin(origin, req.URL) {
		return true, nil
	}
	if req.Response != nil { // set by http.Client when it follows a redirect
		return false, nil
	}
	return false, fmt.Errorf("secrethttp: %s is for %s only, and the request is to %s://%s: "+
		"use another http.Client", t.Name, t.Origin, req.URL.Scheme, req.URL.Host)
}

func parseOrigin(origin string) (*url.URL, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, errors.New("secrethttp: Origin of a Transport must be scheme and host, " +
			"like https://api.example.com")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("secrethttp: Origin of a Transport must have no path: " +
			"scheme and host, like https://api.example.com")
	}
	return u, nil
}

func sameOrigin(a, b *url.URL) bool {
	return b != nil && a.Scheme == strings.ToLower(b.Scheme) &&
		strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if strings.EqualFold(u.Scheme, "https") {
		return "443"
	}
	return "80"
}

func replayable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// discard reads the rest of a short body, so that its connection can be used again, and closes it.
func discard(body io.ReadCloser) {
	io.CopyN(io.Discard, body, 4<<10)
	body.Close()
}

// invalidHeader returns the name of a header with a control character in its value, or "".
// net/http checks this too, but another Base may not, and a secret with a line break at its end is
// common enough for an error that says so.
func invalidHeader(h http.Header) string {
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	for name, values := range h {
		for _, v := range values {
			if strings.ContainsFunc(v, control) {
				return name
			}
		}
	}
	return ""
}
