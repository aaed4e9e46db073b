// Package awserr turns what an SDK call returned into an error that is safe to keep and to print, says which kind of failure it is, and what to
// do about it.
//
// The SDK's own errors hold the request and the response, and a DeserializationError holds up to 1 KiB of the body: of a truncated answer, that is the
// secret. Nothing of them is kept here but text that AWS wrote about the failure.
package awserr

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/aws/smithy-go"
)

// A Class is a kind of failure. The zero Class is passing: what is not known must not throw away a good value.
type Class int

const (
	Unavailable  Class = iota // 5xx, timeout, network, credentials, clock, an answer that makes no sense
	Throttled                 // AWS asks for fewer requests
	NotFound                  // no such thing, or marked for deletion
	AccessDenied              // a policy denies it
	Decrypt                   // KMS cannot decrypt
	Invalid                   // AWS finds the request invalid
)

// A Reason says why there is no answer of the service's API. It is text for people, and "" where there is one.
type Reason string

const (
	Garbled       Reason = "the answer was cut short or is not what the service's model says"
	Foreign       Reason = "the answer is not from the service's API (a proxy's page?)"
	UnknownHost   Reason = "the host name does not resolve"
	Timeout       Reason = "no answer in time"
	GivenUp       Reason = "no answer before it was given up"
	Refused       Reason = "the connection was refused"
	Certificate   Reason = "the server's TLS certificate is not trusted"
	Broken        Reason = "the connection failed"
	NoRegion      Reason = "no Region is configured"
	NoEndpoint    Reason = "the endpoint that is configured is not a URL"
	NoCredentials Reason = "no credentials could be loaded"
)

// An Error is what is kept of an SDK's error. It is a [smithy.APIError] where AWS answered with a code.
type Error struct {
	Code, Message, RequestID string // "" where AWS did not answer
	Fault                    smithy.ErrorFault
	Status                   int // of HTTP, or 0
	Class                    Class
	Reason                   Reason
}

// Error returns AWS's code and message, or the reason.
func (e *Error) Error() string {
	if e.Code == "" {
		return string(e.Reason)
	}
	return strings.TrimSuffix(e.Code+": "+e.Message, ": ")
}
func (e *Error) ErrorCode() string             { return e.Code }
func (e *Error) ErrorMessage() string          { return e.Message }
func (e *Error) ErrorFault() smithy.ErrorFault { return e.Fault }
func (e *Error) HTTPStatusCode() int           { return e.Status }
func (e *Error) ServiceRequestID() string      { return e.RequestID }

// Unwrap returns the context's error that a timeout stands for, and nothing of the SDK's.
func (e *Error) Unwrap() error {
	if e.Reason == Timeout {
		return context.DeadlineExceeded
	}
	return nil
}

// Unanswered reports whether no answer of the service's API came at all.
func (e *Error) Unanswered() bool {
	return e.Code == "" && e.Reason != "" && e.Reason != Garbled && e.Reason != Foreign
}

// Copy makes an Error of an SDK's error. The operation is "ssm:GetParameters". What is in blob, a ciphertext, is taken out of the message should an
// endpoint echo it.
func Copy(operation, blob string, err error) *Error {
	e := &Error{}
	var status interface{ HTTPStatusCode() int }
	var request interface{ ServiceRequestID() string }
	var api smithy.APIError
	if errors.As(err, &status) {
		e.Status = status.HTTPStatusCode()
	}
	if errors.As(err, &request) {
		e.RequestID = scrub(blob, request.ServiceRequestID(), 100)
	}
	// UnknownError is the SDK's own word for an answer without a code, or without a message.
	if errors.As(err, &api) && api.ErrorCode() != "" && api.ErrorCode() != "UnknownError" {
		e.Code, e.Fault, e.Message = scrub(blob, api.ErrorCode(), 100), api.ErrorFault(), scrub(blob, strings.TrimPrefix(api.ErrorMessage(), "UnknownError"), 1000)
	} else {
		e.Reason = reason(err, e.Status)
	}
	if e.Reason == NoCredentials {
		e.Status, e.RequestID = 0, "" // those of whoever should have given the credentials
	}
	e.Class = Classify(operation, e.Code, e.Message, e.Status)
	if e.Reason == NoRegion || e.Reason == NoEndpoint {
		e.Class = Invalid
	}
	return e
}

// reason sorts an error without a code. Where credentials were sought is asked first: that, too, times out, or answers with a page.
func reason(err error, status int) Reason {
	var garbled *smithy.DeserializationError
	var dns *net.DNSError
	var netErr net.Error
	var certificate *tls.CertificateVerificationError
	text := err.Error()
	switch {
	case strings.Contains(text, "issing Region"):
		return NoRegion
	case strings.Contains(text, "get identity:"), strings.Contains(text, "get credentials:"), strings.Contains(text, "failed to retrieve credentials"):
		return NoCredentials
	case strings.Contains(text, "unsupported protocol scheme"), strings.Contains(text, "Failed to parse uri"), strings.Contains(text, "no Host in request URL"):
		return NoEndpoint
	case status != 0 && status != http.StatusOK:
		return Foreign
	case errors.Is(err, context.Canceled):
		return GivenUp
	case errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return Timeout // also in the middle of an answer
	case errors.As(err, &garbled), errors.Is(err, io.ErrUnexpectedEOF) && status != 0:
		return Garbled
	case errors.As(err, &dns):
		return UnknownHost
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.As(err, &certificate):
		return Certificate
	}
	return Broken
}

// scrub takes blob, in the forms in which it travels, out of what AWS, or who answers in its place, says, and shortens that to n bytes.
func scrub(blob, said string, n int) string {
	if len(blob) > 15 { // shorter ones are in every other word
		raw := []byte(blob)
		for _, form := range []string{blob, base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw)} {
			said = strings.ReplaceAll(said, form, "(ciphertext)")
		}
	}
	return Clip(said, n)
}

// Clip shortens s to n bytes and puts it on one line, without what a terminal or a log viewer would obey: control characters, and those that turn the
// direction of the text.
func Clip(s string, n int) string {
	more := ""
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) { // not half a rune
			n--
		}
		s, more = s[:n], "…"
	}
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, s) + more
}
