package secrets

import (
	"context"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/awserr"
)

// backendConfig is what the backends take besides an aws.Config.
type backendConfig struct {
	source   *awsclient.Source
	function string            // AWS_LAMBDA_FUNCTION_NAME, for the console's encryption context
	keys     []string          // the key ARNs of WithKMSKeys
	batch    func(*smProvider) // of WithBatchGetSecretValue, or nil
	// hint says that so many secrets of a small function cost a call each, or is nil.
	hint func(ctx context.Context, secrets int)
}

// ownConfig is what a backend takes that stands alone, without an Env.
func ownConfig(cfg aws.Config) backendConfig {
	function := os.Getenv("AWS_LAMBDA_FUNCTION_NAME")
	source := awsclient.Fixed(cfg)
	source.Function = function
	return backendConfig{source: source, function: function}
}

// invoke makes one SDK call with the client of ref's Region and role, and turns its error
// into one that is safe to print. Where the credentials were refused that worked before,
// it tries once more with clients built anew.
func invoke[C, In, Out, Opt any](
	ctx context.Context, clients *awsclient.Clients[C], operation string, ref Ref, in *In,
	call func(C, context.Context, *In, ...func(*Opt)) (*Out, error),
) (*Out, *ResolveError) {
	var out *Out
	err := attempt(ctx, clients, operation, ref, func(ctx context.Context, client C) (err error) {
		out, err = call(client, ctx, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// attempt is invoke without what differs from operation to operation: there is one of it
// in the program, and six of that.
func attempt[C any](
	ctx context.Context, clients *awsclient.Clients[C], operation string, ref Ref,
	call func(context.Context, C) error,
) *ResolveError {
	if err := wrongProvider(operation, ref); err != nil {
		return err
	}
	for again := false; ; again = true {
		client, region, seq, err := clients.Get(ctx, ref.Region(), ref.data().Role)
		if err != nil {
			return safeError("", ref, awserr.Config(err, awsclient.FilesRead(err)))
		}
		watched, watch := awsclient.NewWatch(ctx)
		awsclient.Erasing(func() { err = call(watched, client) })
		if err == nil {
			clients.Proven(seq)
			return nil
		}
		e := callError(operation, ref, region, watch, err)
		stale := !again && awserr.Credentials(e.Code)
		if !stale || !clients.Renew(seq) {
			return e
		}
	}
}

// wrongProvider refuses an invalid reference, and one of another scheme: WithProvider
// without schemes passes everything on, and no ciphertext may leave as the name of a
// parameter.
func wrongProvider(operation string, ref Ref) *ResolveError {
	d := ref.data()
	service, _, _ := strings.Cut(operation, ":")
	if d.problem == "" && d.Scheme != service {
		d.problem = "its provider answers " + service + " references only"
		d.hint = "state the schemes in WithProvider"
	}
	if d.problem == "" {
		return nil
	}
	return &ResolveError{Ref: ref, kind: ErrInvalidReference, problem: d.problem, hint: d.hint}
}

// callError is awsError with what the watch saw of the call.
func callError(
	operation string, ref Ref, region string, watch *awsclient.Watch, err error,
) *ResolveError {
	err = watch.Cause(err)
	e := *awsError(operation, ref, err) // a copy: it may be somebody else's, and shared
	e.region, e.host = region, watch.Host()
	if apiErr, ok := e.cause.(*awserr.Error); ok {
		through := *apiErr
		through.Through(watch.Proxy())
		e.cause = &through
		if roleDenied(apiErr, ref.data().Role) {
			e.kind = ErrAccessDenied
		}
	}
	if awsclient.ConnectFailed(err) {
		e.problem = awsclient.NoConnection
	}
	if r := awsclient.Refused(err); r != nil {
		e.problem, e.hint = r.Problem, r.Hint
		if r.Permanent {
			e.kind = ErrConfiguration
		}
	}
	return &e
}

// roleDenied reports whether STS denies the role that a reference states. That is a denial like
// that of the value, and no failure of the program's own credentials, which would be transient.
func roleDenied(apiErr *awserr.Error, role string) bool {
	if role == "" || apiErr.Step != "sts:AssumeRole" {
		return false
	}
	class := awserr.Classify(apiErr.Step, apiErr.Code, apiErr.Message, apiErr.Status)
	return class == awserr.AccessDenied && apiErr.Resource() == role
}

// byRole keeps a T for each role: what one role turned out to allow says nothing of another.
type byRole[T any] struct{ m sync.Map }

func (b *byRole[T]) of(role string) *T {
	t, _ := b.m.LoadOrStore(role, new(T))
	return t.(*T)
}

// failed returns err as the result of ref.
func failed(ref Ref, err *ResolveError) Result { return Result{Err: err.forVariable("", ref)} }

// garbled is the result of an answer that makes no sense.
func garbled(operation string, ref Ref, problem string) Result {
	return failed(ref, garbledError(operation, ref, problem))
}

// failedCall returns the transient err of one call for refs as the result of each.
// Where it may come from one of them alone, which AWS often does not say, it is marked
// so: who retries finds out.
func failedCall(refs []Ref, err *ResolveError) []Result {
	e := *err
	e.wholeCall = len(refs) > 1 && !e.interrupted()
	results := make([]Result, len(refs))
	for i, ref := range refs {
		results[i] = failed(ref, &e)
	}
	return results
}
