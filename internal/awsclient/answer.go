package awsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	smithymiddleware "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// What an endpoint can make us hold, in bytes. The SDK decodes into the general form of JSON
// first: 15 MiB of [0,0,…] would take 500 MiB of heap.
const (
	maxError   = 64 << 10
	maxDecrypt = 64 << 10 // a plaintext has 4 KiB at most
	maxAnswer  = 1 << 20  // a secret has 64 KiB; ten parameters have 80 KiB, each byte up to \u00XX
	maxBatch   = 8 << 20  // twenty secrets of 64 KiB, each byte written as \u00XX
	// maxRunning bounds the answers that are read at one time.
	maxRunning = 16 << 20
	// maxMembers bounds the members and elements of one answer. A batch of twenty secrets with
	// twenty stages each has about 600.
	maxMembers = 4096
)

// running is the number of bytes of the answers that the process reads at the moment.
var running atomic.Int64

// limit returns the size that the answer to an operation may have.
func limit(operation string, status int) int64 {
	switch {
	case status != http.StatusOK:
		return maxError
	case operation == "Decrypt":
		return maxDecrypt
	case operation == "BatchGetSecretValue":
		return maxBatch
	}
	return maxAnswer
}

// answer is the body of one attempt's answer. It checks bytes as they pass: a second copy of the
// answer would be one more plaintext in memory.
type answer struct {
	operation string
	body      io.ReadCloser
	limit     int64
	read      int64
	text      *jsonText // nil for an error's answer, which holds no secret
	framed    bool      // HTTP says where it ends: the body reports a connection that ended before
	err       error
}

type answerKey struct{}

func (a *answer) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.body.Read(p)
	a.err = err
	a.read += int64(n)
	switch sum := running.Add(int64(n)); {
	case a.read > a.limit:
		n, a.err = 0, tooLarge("the answer is larger than", a.limit)
	case sum > maxRunning:
		n, a.err = 0, tooLarge("the answers that are read now are larger than", maxRunning)
	case a.text != nil:
		// Nothing from the fault on: a decoder that has the whole value ignores the error.
		if good, err := a.text.check(p[:n]); err != nil {
			n, a.err = good, err
		} else if a.err == io.EOF && a.text.cutShort() {
			a.err = io.ErrUnexpectedEOF
			if a.framed {
				a.err = errHalf
			}
		}
	}
	return n, a.err
}

// errHalf is half a text in an answer that is whole as HTTP, as somebody in between may make of
// it. Unlike a connection that ended, another attempt on the spot hardly heals it.
var errHalf = errors.New("half a JSON text in a whole answer")

func tooLarge(what string, limit int64) error {
	return &Refusal{Problem: fmt.Sprintf("%s %d KiB", what, limit>>10)}
}

func (a *answer) Close() error { return a.body.Close() }

func (a *answer) release() { running.Add(-a.read) }

// addAnswer puts the answer in the place of the body, before anything else reads it.
func addAnswer(stack *smithymiddleware.Stack) error {
	return stack.Deserialize.Add(smithymiddleware.DeserializeMiddlewareFunc("lambdasecrets.Answer",
		func(
			ctx context.Context, in smithymiddleware.DeserializeInput,
			next smithymiddleware.DeserializeHandler,
		) (
			smithymiddleware.DeserializeOutput, smithymiddleware.Metadata, error,
		) {
			out, md, err := next.HandleDeserialize(ctx, in)
			res, ok := out.RawResponse.(*smithyhttp.Response)
			a, known := ctx.Value(answerKey{}).(*answer)
			if hasBody := ok && res.Body != nil; err != nil || !hasBody || !known {
				return out, md, err // nothing came, or it is not one of our attempts
			}
			if r := res.Request; r != nil && r.Response != nil {
				// The client followed a redirect, and this may be anybody's answer.
				res.Body.Close()
				return smithymiddleware.DeserializeOutput{}, md, errRedirected
			}
			a.body, a.limit = res.Body, limit(a.operation, res.StatusCode)
			a.framed = res.ContentLength > 0 || len(res.TransferEncoding) > 0
			// STS, which is asked for the credentials of a role, answers in XML.
			if res.StatusCode == http.StatusOK && middleware.GetServiceID(ctx) != "STS" {
				a.text = &jsonText{}
			}
			res.Body = a
			return out, md, nil
		}), smithymiddleware.After)
}

var errRedirected = &Refusal{
	Problem: "the endpoint redirected the request, and AWS's services redirect none",
	Hint:    "check the endpoint, the proxy and the HTTP client of the configuration",
}
