package secrets

import (
	"context"
	"strings"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/awserr"
)

// backendConfig is what the backends take besides an aws.Config.
type backendConfig struct {
	source   *awsclient.Source
	function string   // AWS_LAMBDA_FUNCTION_NAME, for the console's encryption context
	keys     []string // the key ARNs of WithKMSKeys
	batch    bool     // WithBatchGetSecretValue
}

// invoke makes one SDK call with the client of ref's Region, and turns its error into one that is safe to print. Where the credentials were refused that
// worked before, it tries once more with clients built anew.
func invoke[C, Out any](ctx context.Context, clients *awsclient.Clients[C], operation string, ref Ref, do func(context.Context, C) (*Out, error)) (*Out, *ResolveError) {
	// WithProvider without schemes passes everything on, and no ciphertext may leave as the name of a parameter.
	d := ref.data()
	if service, _, _ := strings.Cut(operation, ":"); d.problem == "" && d.Scheme != service {
		d.problem, d.hint = "its provider answers "+service+" references only", "state the schemes in WithProvider"
	}
	if d.problem != "" {
		return nil, &ResolveError{Ref: ref, kind: ErrInvalidReference, problem: d.problem, hint: d.hint}
	}
	for again := false; ; again = true {
		client, region, number, err := clients.Get(ctx, ref.Region())
		if err != nil {
			return nil, &ResolveError{Ref: ref, Operation: operation, kind: ErrUnavailable, region: region, problem: "the SDK's configuration does not load: " + err.Error()}
		}
		watched, watch := awsclient.NewWatch(ctx)
		out, err := do(watched, client)
		if err == nil {
			clients.Source.Proven(number)
			return out, nil
		}
		err = watch.Cause(err)
		e := *awsError(operation, ref, err) // a copy: it may be somebody else's, and shared
		e.region, e.host = region, watch.Host()
		if awsclient.ConnectFailed(err) {
			e.problem = awsclient.NoConnection
		}
		if r := awsclient.Refused(err); r != nil {
			e.problem, e.hint = r.Problem, r.Hint
			if r.Permanent {
				e.kind = ErrInvalidReference
			}
		}
		if again || !awserr.Credentials(e.Code) || !clients.Source.Renew(number) {
			return nil, &e
		}
	}
}

// failed returns err as the result of ref.
func failed(ref Ref, err *ResolveError) Result { return Result{Err: err.forVariable("", ref)} }

// failedCall returns the transient err of one call for refs as the result of each. Where it may come
// from one of them alone, which AWS often does not say, it is marked so: who retries finds out.
func failedCall(refs []Ref, err *ResolveError) []Result {
	e := *err
	e.wholeCall = len(refs) > 1 && !e.interrupted()
	results := make([]Result, len(refs))
	for i, ref := range refs {
		results[i] = failed(ref, &e)
	}
	return results
}
