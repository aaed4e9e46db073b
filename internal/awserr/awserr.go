// Package awserr turns the error of an SDK call into one that is safe to keep and to
// print, says which kind of failure it is, and what to do about it.
//
// The SDK's own errors hold the request and the response, and a DeserializationError
// holds up to 1 KiB of the body: of a truncated answer, that is the secret. What is
// kept here is AWS's text about a failure, or the innermost words of a failure that
// happened on this machine.
package awserr

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/smithy-go"
)

// A Class is a kind of failure. The zero Class is transient: what is not known must not
// throw away a good value.
type Class int

const (
	Unavailable   Class = iota // 5xx, time-out, network, credentials, clock, garbled answer
	Throttled                  // AWS asks for fewer requests
	NotFound                   // no such thing, or marked for deletion
	AccessDenied               // a policy denies it
	Decrypt                    // KMS cannot decrypt
	Invalid                    // AWS finds the request invalid
	Configuration              // the SDK cannot make a request: profile, CA file, Region, endpoint
)

// An Error is what is kept of an SDK's error. It is a [smithy.APIError] where AWS
// answered with a code.
type Error struct {
	Code, Message, RequestID string // "" where AWS did not answer
	Fault                    smithy.ErrorFault
	Status                   int // of HTTP, or 0
	Class                    Class
	Reason                   Reason // why there is no answer of the API, or ""

	// Step is the operation that was to bring the credentials and failed, such as
	// "sts:AssumeRole". The operation that was called was not sent then.
	Step string
	// Words are the innermost words of a failure on this machine: of the operating
	// system, the resolver, the certificate check, the credential chain. They hold no
	// request and no password.
	Words string
	// Host is the host that failed where it is not the service's: a proxy, or who
	// should have given the credentials.
	Host string
	// Cancelled says that the caller cancelled the call, or what came before it.
	Cancelled bool

	local error // the errno, DNS error or certificate error behind it, for errors.Is and errors.As
}

// Error returns AWS's code and message, or the reason and its words.
func (e *Error) Error() string {
	if e.Code == "" {
		return strings.TrimSuffix(string(e.Reason)+": "+e.Words, ": ")
	}
	return strings.TrimSuffix(e.Code+": "+e.Message, ": ")
}
func (e *Error) ErrorCode() string             { return e.Code }
func (e *Error) ErrorMessage() string          { return e.Message }
func (e *Error) ErrorFault() smithy.ErrorFault { return e.Fault }
func (e *Error) HTTPStatusCode() int           { return e.Status }
func (e *Error) ServiceRequestID() string      { return e.RequestID }

// Unwrap returns the context's error that a time-out stands for, and the local error
// that [Error.Words] are of. It returns nothing of the SDK's.
func (e *Error) Unwrap() []error {
	var errs []error
	switch e.Reason {
	case Timeout, DNSTimeout, ProxyTimeout:
		errs = append(errs, context.DeadlineExceeded)
	}
	if e.local != nil {
		errs = append(errs, e.local)
	}
	return errs
}

// Unanswered reports whether no answer of the service's API came at all: it was not
// reached, or the credentials failed before it was called.
func (e *Error) Unanswered() bool {
	switch e.Reason {
	case "", Garbled, Foreign:
		return e.Step != ""
	}
	return true
}

// Copy makes an Error of an SDK's error. The operation is "ssm:GetParameter". What is
// in blob, a ciphertext, is taken out of the message should an endpoint echo it.
func Copy(operation, blob string, err error) *Error {
	e := &Error{}
	if inner := credentialError(err); inner != nil {
		e.credentialStep(blob, inner)
	} else if e.answer(blob, err); e.Code == "" {
		e.locally(err)
	}
	e.Class = e.classify(operation)
	return e
}

// classify returns the class of e. A failed credential step says nothing of the value.
func (e *Error) classify(operation string) Class {
	switch e.Reason {
	case NoRegion, BadRegion, NoEndpoint, Endpoints, ProxyURL: // until the configuration changes
		return Configuration
	case "", Foreign:
	default:
		return Unavailable
	}
	if e.Step == "" {
		return Classify(operation, e.Code, e.Message, e.Status)
	}
	if Classify(e.Step, e.Code, "", 0) == Throttled {
		return Throttled
	}
	return Unavailable
}

// answer takes over what AWS, or who answers in its place, says in err.
func (e *Error) answer(blob string, err error) {
	var status interface{ HTTPStatusCode() int }
	if errors.As(err, &status) {
		e.Status = status.HTTPStatusCode()
	}
	var request interface{ ServiceRequestID() string }
	if errors.As(err, &request) {
		e.RequestID = Identifier(request.ServiceRequestID(), 64)
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return
	}
	// UnknownError is the SDK's own word for an answer without a code, or without a
	// message.
	code := Identifier(api.ErrorCode(), 100)
	if code != "" && code != "UnknownError" {
		e.Code, e.Fault = code, api.ErrorFault()
		e.Message = scrub(blob, strings.TrimPrefix(api.ErrorMessage(), "UnknownError"), 1000)
	}
}

// Identifier returns s if it has the alphabet of AWS's error codes, request ids and
// version ids and at most n bytes, else "". Codes and request ids reach the invoker of
// a function: who answers in AWS's place must not be able to put any other text there.
func Identifier(s string, n int) string {
	for i := range len(s) {
		letter := 'a' <= s[i]|0x20 && s[i]|0x20 <= 'z'
		digit := '0' <= s[i] && s[i] <= '9'
		if alphanumeric := letter || digit; !alphanumeric && strings.IndexByte(".-_", s[i]) < 0 {
			return ""
		}
	}
	if len(s) > n {
		return ""
	}
	return s
}

// scrub takes blob, in the forms in which it travels, out of what AWS, or who answers
// in its place, says, and shortens that to n bytes.
func scrub(blob, said string, n int) string {
	if len(blob) > 15 { // shorter ones are in every other word
		raw := []byte(blob)
		said = strings.NewReplacer(
			blob, "(ciphertext)",
			base64.StdEncoding.EncodeToString(raw), "(ciphertext)",
			base64.RawStdEncoding.EncodeToString(raw), "(ciphertext)",
			base64.RawURLEncoding.EncodeToString(raw), "(ciphertext)",
		).Replace(said)
	}
	return Clip(said, n)
}

// Clip shortens s to n bytes and puts it on one line, without what a terminal or a log
// viewer would obey: control characters, and those that turn the direction of the text.
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
