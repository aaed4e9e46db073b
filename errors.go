package secrets

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets/internal/awserr"
)

// The kinds of failure, for errors.Is. Those marked passing may be cured by a retry ([Retryable]); the [Cache] serves an old value
// through them for up to [WithMaxStale]. The others last until somebody changes something; an old value is served
// through them for [WithDeniedGrace] only.
var (
	// ErrNotFound: the parameter, secret, version or stage does not exist, or is marked for deletion.
	ErrNotFound = errors.New("not found")
	// ErrAccessDenied: a policy denies the action.
	ErrAccessDenied = errors.New("access denied")
	// ErrThrottled: AWS asked for fewer requests. Passing.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable: a 5xx, a timeout, a network error, rejected credentials, a wrong clock, an answer that makes no sense. Passing.
	ErrUnavailable = errors.New("unavailable")
	// ErrDecrypt: KMS cannot decrypt: wrong encryption context or key, a corrupt ciphertext, a disabled or deleted key.
	ErrDecrypt = errors.New("cannot decrypt")
	// ErrField: the value is not JSON, or has no such field.
	ErrField = errors.New("no such field")
	// ErrInvalidReference: the reference is malformed, contradicts itself, or AWS finds it invalid.
	ErrInvalidReference = errors.New("invalid reference")
	// ErrNotReference: the variable asked for is not set, or holds no reference and was not declared.
	ErrNotReference = errors.New("not a reference")
)

// A ResolveError says which reference could not be resolved, and why. Its kind is one of the Err… variables, for [errors.Is]; a [smithy.APIError] in its chain carries
// AWS's code, message and fault, and nothing of the request, the response or the value; the code is "" where AWS did not answer.
//
// Error is one short line, because Lambda shows it to the invoker. [Detail] is for the log.
type ResolveError struct {
	Variable  string // the environment variable, or "" where a reference was resolved without one
	Ref       Ref    // the reference as it was written
	Operation string // the AWS operation that failed, as "ssm:GetParameters", or ""
	Code      string // AWS's error code, or ""
	RequestID string // AWS's request id, or ""

	kind     error
	cause    error    // an *awserr.Error, a context error, or an error of a Provider that is not ours
	problem  string   // what is wrong, in our words
	hint     string   // what to do, where we know better than awserr's advice
	host     string   // the endpoint that was asked
	region   string   // the Region that was asked
	contexts []string // the encryption contexts that were tried

	// wholeCall: AWS failed a call for several references as a whole, with a code that may come from any
	// one of them: no throttle, time-out or lost connection. The backends set it.
	wholeCall bool

	// outgrown: what the reference reads has grown past one of our limits. A retry does not help; but
	// nobody took the value away, so the one in hand is served as through a transient failure.
	outgrown bool
}

// Error returns one line: variable or reference, kind, operation, AWS code, request id.
func (e *ResolveError) Error() string {
	text := "secrets: "
	if e.Variable != "" {
		text += clip(e.Variable, 120) + ": "
	} else if e.Ref.invalid() == nil {
		text += clip(e.Ref.String(), 120) + ": "
	}
	if e.kind != nil { // one that was made by hand has none
		text += e.kind.Error()
	} else {
		text += "failed"
	}
	in := strings.TrimSpace(e.Operation + " " + e.Code)
	if e.RequestID != "" {
		in = strings.TrimPrefix(in+", request "+e.RequestID, ", ")
	}
	if in != "" {
		text += " (" + clip(in, 250) + ")" // all three may be somebody else's: a Provider's, or those of who answers in AWS's place
	}
	return text
}

// Unwrap returns the kind and the cause.
func (e *ResolveError) Unwrap() []error {
	return slices.DeleteFunc([]error{e.kind, e.cause}, func(err error) bool { return err == nil })
}

// forVariable returns e as the error of one variable and its reference.
func (e *ResolveError) forVariable(variable string, ref Ref) *ResolveError {
	c := *e
	c.Variable, c.Ref = variable, ref
	if said, ok := c.cause.(*awserr.Error); ok && ref.data().Unquoted {
		unquoted := *said
		unquoted.Message, c.cause = ref.data().Unquote(said.Message), &unquoted
	}
	return &c
}

// transient reports whether a retry may cure e.
func (e *ResolveError) transient() bool { return e.kind == ErrThrottled || e.kind == ErrUnavailable }

// interrupted reports whether e says nothing of the names in the call: AWS asked for fewer requests, or
// no answer of its API came at all.
func (e *ResolveError) interrupted() bool {
	if e.kind == ErrThrottled {
		return true
	}
	var apiErr *awserr.Error
	if errors.As(e.cause, &apiErr) {
		return apiErr.Unanswered()
	}
	return errors.Is(e.cause, context.DeadlineExceeded) || errors.Is(e.cause, context.Canceled)
}

// named and passing are forVariable and transient, for callers that are being rewritten.
func (e *ResolveError) named(variable string, ref Ref) *ResolveError {
	return e.forVariable(variable, ref)
}
func (e *ResolveError) passing() bool { return e.transient() }

// failures is every failure of one New, Warm, Refresh or RevealAll, sorted by variable.
type failures struct {
	doing string
	full  bool // print the next steps in Error too: nobody calls Detail on an error of New
	errs  []*ResolveError
}

// join returns errs as one error, or nil.
func join(doing string, errs []*ResolveError) error {
	if len(errs) == 0 {
		return nil
	}
	slices.SortStableFunc(errs, func(a, b *ResolveError) int { return strings.Compare(a.Variable, b.Variable) })
	return &failures{doing: doing, errs: errs}
}

func (f *failures) Error() string {
	if f.full {
		return f.detail()
	}
	return f.text(": ", "; ", (*ResolveError).Error)
}

// detail returns one line per failure.
func (f *failures) detail() string { return f.text(":\n  ", "\n  ", (*ResolveError).detail) }

// text joins what of says of each failure.
func (f *failures) text(first, next string, of func(*ResolveError) string) string {
	if len(f.errs) == 1 && !f.full {
		return of(f.errs[0])
	}
	text, sep := "secrets: "+f.doing, first
	for _, e := range f.errs {
		text, sep = text+sep+strings.TrimPrefix(of(e), "secrets: "), next
	}
	return text
}

func (f *failures) Unwrap() []error {
	errs := make([]error, len(f.errs))
	for i, e := range f.errs {
		errs[i] = e
	}
	return errs
}

// Retryable reports whether a retry can help: whether every failure in err is passing. It looks through wrapped and joined errors, those
// of [Env.Warm] among them. An error that is not of this package counts as lasting, but for those of a context.
func Retryable(err error) bool {
	switch e := err.(type) {
	case *ResolveError:
		return e.passing()
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !Retryable(err) })
	case interface{ Unwrap() error }:
		return Retryable(e.Unwrap())
	}
	return err == ErrThrottled || err == ErrUnavailable || err == context.DeadlineExceeded || err == context.Canceled
}

// kinds maps the classes of internal/awserr to kinds.
var kinds = [...]error{awserr.Unavailable: ErrUnavailable, awserr.Throttled: ErrThrottled, awserr.NotFound: ErrNotFound,
	awserr.AccessDenied: ErrAccessDenied, awserr.Decrypt: ErrDecrypt, awserr.Invalid: ErrInvalidReference}

// awsError turns whatever an SDK call returned into a ResolveError that is safe to print.
func awsError(operation string, ref Ref, err error) *ResolveError {
	var done *ResolveError
	if errors.As(err, &done) {
		return done
	}
	safe := awserr.Copy(operation, ref.data().Hidden(), err)
	return &ResolveError{Ref: ref, Operation: operation, Code: safe.Code, RequestID: safe.RequestID, kind: kinds[safe.Class], cause: safe, problem: string(safe.Reason), region: ref.Region()}
}

// providerError makes an error of a Provider that is not ours fit into the same frame. Its kind is the Err… variable that it wraps, a passing one if it wraps several;
// else that of AWS's code; else it is passing. An AWS SDK error is copied as awsError does; others stay in the chain, unprinted but for Detail.
func providerError(ref Ref, err error) *ResolveError {
	var e *ResolveError
	if errors.As(err, &e) {
		return e
	}
	var api smithy.APIError
	var call *smithy.OperationError // holds request and response where there is no code
	var garbled *smithy.DeserializationError
	e = &ResolveError{Ref: ref, kind: ErrUnavailable, cause: err}
	if errors.As(err, &api) || errors.As(err, &call) || errors.As(err, &garbled) {
		e = awsError("", ref, err)
	}
	for _, kind := range []error{ErrNotFound, ErrAccessDenied, ErrDecrypt, ErrField, ErrInvalidReference, ErrNotReference, ErrThrottled, ErrUnavailable} {
		if errors.Is(err, kind) {
			e.kind = kind
		}
	}
	return e
}

// garbledError says that an answer made no sense. It is passing: the next one may.
func garbledError(operation string, ref Ref, problem string) *ResolveError {
	return &ResolveError{Ref: ref, Operation: operation, kind: ErrUnavailable, problem: problem, region: ref.Region()}
}
