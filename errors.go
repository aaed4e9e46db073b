package secrets

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets/internal/awserr"
	"github.com/lambdasecrets/secrets/internal/jsonfield"
)

// The kinds of failure, for errors.Is. The retryable ones may be cured by a retry
// ([Retryable]); the [Cache] serves an old value through them for up to [WithMaxStale].
// The others are permanent: they last until somebody changes something, and an old
// value is served through them for [WithGrace] only.
var (
	// ErrNotFound: the parameter, secret, version or stage does not exist, or is marked
	// for deletion.
	ErrNotFound = errors.New("not found")
	// ErrAccessDenied: a policy denies the action.
	ErrAccessDenied = errors.New("access denied")
	// ErrThrottled: AWS asked for fewer requests. Retryable.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable: a 5xx, a time-out, a network error, credentials that are missing
	// or rejected, a wrong clock, a garbled answer. Retryable.
	ErrUnavailable = errors.New("unavailable")
	// ErrDecrypt: KMS cannot decrypt: wrong encryption context or key, a corrupt
	// ciphertext, a disabled or deleted key.
	ErrDecrypt = errors.New("cannot decrypt")
	// ErrField: the value is not JSON, or has no such field.
	ErrField = errors.New("no such field")
	// ErrInvalidReference: the reference is malformed, contradicts itself, or AWS finds
	// it invalid.
	ErrInvalidReference = errors.New("invalid reference")
	// ErrConfiguration: the SDK cannot make a request: its configuration does not load
	// (profile, CA file), the Region is missing or malformed, an endpoint or a proxy is
	// not a URL. Nothing was called.
	ErrConfiguration = errors.New("invalid configuration")
	// ErrNotReference: the variable asked for is not set, or holds no reference and was
	// not declared.
	ErrNotReference = errors.New("not a reference")
)

// A ResolveError says which reference could not be resolved, and why. Its kind is one
// of the Err… variables, for [errors.Is]. A [smithy.APIError] in its chain carries
// AWS's code, message and fault, and nothing of the request, the response or the value;
// the code is "" where AWS did not answer. Of a failure on this machine the chain
// carries the syscall.Errno, the *net.DNSError and the
// *tls.CertificateVerificationError, where there is one.
//
// Error is one short line, because Lambda shows it to the invoker. [Detail] is for the
// log.
type ResolveError struct {
	Variable string // the environment variable, or "" where a reference was resolved without one
	Ref      Ref    // the reference as it was written

	// Operation is the AWS operation that failed, as "ssm:GetParameters", or "". If the
	// credentials could not be fetched, it is the call that fetches them, as
	// "sts:AssumeRole".
	Operation string
	Code      string // AWS's error code, or ""
	RequestID string // AWS's request id, or ""

	kind     error
	cause    error    // an *awserr.Error, a context error, or another Provider's error
	problem  string   // what is wrong, in our words
	hint     string   // what to do, where we know better than awserr's advice
	host     string   // the endpoint that was asked
	region   string   // the Region that was asked
	contexts []string // the encryption contexts that were tried

	// wholeCall: AWS failed a call for several references as a whole, with a code that
	// may come from any one of them: no throttle, time-out or lost connection. The
	// backends set it.
	wholeCall bool

	// outgrown: what the reference reads has grown past one of our limits. A retry does
	// not help; but nobody took the value away, so the one in hand is served as through
	// a transient failure.
	outgrown bool

	second *ResolveError // what the second Region said, where there is one and both failed
}

// Error returns one line: variable or reference, kind, operation, AWS code, request id.
func (e *ResolveError) Error() string {
	if s := e.subject(); s != "" {
		return "secrets: " + s + ": " + e.summary(e.RequestID)
	}
	return "secrets: " + e.summary(e.RequestID)
}

// Unwrap returns the kind and the cause.
func (e *ResolveError) Unwrap() []error {
	return slices.DeleteFunc([]error{e.kind, e.cause}, func(err error) bool { return err == nil })
}

// forVariable returns e as the error of one variable and its reference.
func (e *ResolveError) forVariable(variable string, ref Ref) *ResolveError {
	c := *e
	c.Variable, c.Ref = variable, ref
	d := ref.data()
	if !d.Unquoted {
		return &c
	}
	apiErr, ok := c.cause.(*awserr.Error) // alone: what it is joined with must stay
	if c.mayQuote(d, apiErr) {
		d.Unquoted = false
		c.Ref = d.ref()
		return &c
	}
	if ok {
		unquoted := *apiErr
		unquoted.Message = d.Unquote(apiErr.Message)
		unquoted.Words = d.Unquote(apiErr.Words)
		c.cause = &unquoted
	}
	return &c
}

// mayQuote reports whether the text of a declared variable is as little secret as an
// ARN: an absolute path, a name that a value was found under, and one with the slashes
// of a hierarchy that AWS denied by name. Without them a denied name may be a password
// that was declared by mistake: it is denied, too.
func (e *ResolveError) mayQuote(d refData, apiErr *awserr.Error) bool {
	switch {
	case d.Scheme == string(SSM) && strings.HasPrefix(d.ID, "/"):
		return true
	case d.Scheme != string(SecretsManager):
		return false
	case e.kind == ErrField:
		return true
	}
	if e.kind != ErrAccessDenied || apiErr == nil {
		return false
	}
	return apiErr.Names(d.ID) && hierarchical(d.ID)
}

// hierarchical reports whether name is made of words and slashes between them.
func hierarchical(name string) bool {
	words := strings.Split(name, "/")
	return len(words) > 1 && !slices.ContainsFunc(words, func(word string) bool {
		return word == "" || awserr.Identifier(word, 100) == ""
	})
}

// api returns what is kept of the SDK's error, or nil.
func (e *ResolveError) api() (apiErr *awserr.Error) {
	errors.As(e.cause, &apiErr)
	return apiErr
}

// transient reports whether a retry may cure e.
func (e *ResolveError) transient() bool {
	return e.kind == ErrThrottled || e.kind == ErrUnavailable
}

// interrupted reports whether e says nothing of the names in the call: AWS asked for
// fewer requests, or no answer of its API came at all.
func (e *ResolveError) interrupted() bool {
	if e.kind == ErrThrottled {
		return true
	}
	if apiErr := e.api(); apiErr != nil {
		return apiErr.Unanswered()
	}
	return errors.Is(e.cause, context.DeadlineExceeded) || errors.Is(e.cause, context.Canceled)
}

// denied reports whether the call itself was denied, rather than the role that the
// reference states, which comes before any call.
func (e *ResolveError) denied() bool { return e.kind == ErrAccessDenied && !e.interrupted() }

// givenUp reports whether e says only that the call was cancelled, or what came before it,
// such as loading credentials.
func (e *ResolveError) givenUp() bool {
	if apiErr := e.api(); apiErr != nil {
		return apiErr.Cancelled
	}
	return errors.Is(e.cause, context.Canceled)
}

// blamesRequest reports whether e is an answer with a status of 4xx, which an outage hardly gives.
func (e *ResolveError) blamesRequest() bool {
	apiErr := e.api()
	return apiErr != nil && apiErr.Status/100 == 4
}

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
	slices.SortStableFunc(errs, func(a, b *ResolveError) int {
		return strings.Compare(a.Variable, b.Variable)
	})
	return &failures{doing: doing, errs: errs}
}

func (f *failures) Unwrap() []error {
	errs := make([]error, len(f.errs))
	for i, e := range f.errs {
		errs[i] = e
	}
	return errs
}

// Retryable reports whether a retry can help: whether every failure in err is
// retryable. It looks through wrapped and joined errors, those of [Env.Warm] among
// them. An error that is not of this package counts as permanent, except those of a
// context.
func Retryable(err error) bool {
	switch e := err.(type) {
	case *ResolveError:
		return e.transient()
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !Retryable(err) })
	case interface{ Unwrap() error }:
		return Retryable(e.Unwrap())
	}
	switch err {
	case ErrThrottled, ErrUnavailable, context.DeadlineExceeded, context.Canceled:
		return true
	}
	return false
}

// kinds maps the classes of internal/awserr to kinds.
var kinds = [...]error{
	awserr.Unavailable:   ErrUnavailable,
	awserr.Throttled:     ErrThrottled,
	awserr.NotFound:      ErrNotFound,
	awserr.AccessDenied:  ErrAccessDenied,
	awserr.Decrypt:       ErrDecrypt,
	awserr.Invalid:       ErrInvalidReference,
	awserr.Configuration: ErrConfiguration,
}

// awsError turns whatever an SDK call returned into a ResolveError that is safe to
// print.
func awsError(operation string, ref Ref, err error) *ResolveError {
	var done *ResolveError
	if errors.As(err, &done) {
		return done
	}
	return safeError(operation, ref, awserr.Copy(operation, ref.data().Hidden(), err))
}

func safeError(operation string, ref Ref, apiErr *awserr.Error) *ResolveError {
	e := problemError(cmp.Or(apiErr.Step, operation), ref, kinds[apiErr.Class], "")
	e.Code, e.RequestID, e.cause = apiErr.Code, apiErr.RequestID, apiErr
	return e
}

// providerError makes an error of a Provider that is not ours fit into the same frame.
// Its kind is the Err… variable that it wraps, a retryable one if it wraps several;
// else that of AWS's code; else it is retryable. An AWS SDK error is copied as awsError
// does; others stay in the chain, and only Detail prints them.
func providerError(ref Ref, err error) *ResolveError {
	var e *ResolveError
	if errors.As(err, &e) {
		return e
	}
	e = &ResolveError{Ref: ref, kind: ErrUnavailable, cause: err}
	if ofSDK(err) {
		e = awsError("", ref, err)
	}
	for _, kind := range []error{
		ErrNotFound, ErrAccessDenied, ErrDecrypt, ErrField, ErrInvalidReference, ErrConfiguration,
		ErrNotReference, ErrThrottled, ErrUnavailable,
	} {
		if errors.Is(err, kind) {
			e.kind = kind
		}
	}
	return e
}

// ofSDK reports whether an error of the SDK is in the chain of err: it holds request
// and response.
func ofSDK(err error) bool {
	var api smithy.APIError
	var call *smithy.OperationError
	var garbled *smithy.DeserializationError
	return errors.As(err, &api) || errors.As(err, &call) || errors.As(err, &garbled)
}

// garbledError says that an answer made no sense. It is transient: the next one may.
func garbledError(operation string, ref Ref, problem string) *ResolveError {
	return problemError(operation, ref, ErrUnavailable, problem)
}

// problemError says in our words what is wrong.
func problemError(operation string, ref Ref, kind error, problem string) *ResolveError {
	return &ResolveError{
		Ref: ref, Operation: operation, kind: kind, problem: problem, region: ref.Region(),
	}
}

// fieldError says what is wrong with a field of a source's text. It quotes nothing of
// the text.
func fieldError(source Ref, text, path string, err error) *ResolveError {
	e := &ResolveError{Ref: source, kind: ErrField}
	name := strconv.Quote(clip(path, 100))
	e.problem, e.hint = jsonfield.Explain(name, text, path, err)
	// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html
	if err == jsonfield.ErrMissing && strings.Contains(source.ID(), "rds!") {
		e.hint = "a secret that RDS manages holds username and password only: take " +
			"host, port and name from the function's configuration"
	}
	return e
}
