//go:build !secrets.nossm

package secrets

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/awserr"
	"github.com/lambdasecrets/secrets/internal/jsonfield"
	"github.com/lambdasecrets/secrets/internal/parallel"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// ssmBatch is how many names GetParameters takes, and how many parameters a page of a
// tree has.
const ssmBatch = 10

type ssmProvider struct {
	clients *awsclient.Clients[*ssm.Client]
	actions byRole[ssmActions]
}

// ssmActions is what a role turned out to allow, so that a refused action is not
// tried again at every refresh. Roles often have one of GetParameter and
// GetParameters: they are separate actions.
type ssmActions struct {
	noBatch  atomic.Bool // GetParameters is denied where GetParameter is allowed
	noSingle atomic.Bool // and the other way round
	denied   sync.Map    // Ref that both denied at the last fetch → struct{}
	denials  atomic.Uint32
}

// NewSSM returns a [Provider] for ssm:// references: GetParameters in tens, all tens
// at once; GetParameter for a lone name; GetParametersByPath for a tree of up to
// 1,000 parameters and 4 MiB. It always asks for decryption. If AWS refuses a batch
// because of one name, the others are still fetched. A tree fails as a whole if one of
// its parameters cannot be decrypted. A role that allows only one of GetParameter and
// GetParameters will do.
func NewSSM(cfg aws.Config, optFns ...func(*ssm.Options)) Provider {
	return newSSM(ownConfig(cfg), optFns...)
}

func newSSM(b backendConfig, optFns ...func(*ssm.Options)) Provider {
	p := &ssmProvider{}
	p.clients = awsclient.NewClients(b.source, ssm.NewFromConfig, optFns,
		func(o *ssm.Options) *aws.ClientLogMode { return &o.ClientLogMode })
	return &streamer{p.stream}
}

func (p *ssmProvider) stream(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	// Besides scheme and tree, which one call cannot mix: a Cache asks for one Region
	// and one role at a time, who calls Fetch may not.
	key := func(ref Ref) (together, string) {
		d := ref.data()
		// The name without its selector. Answers are told apart by name, and not
		// every endpoint repeats the selector: /a:3 and /a:blue in one call might
		// change places.
		k := together{scheme: d.Scheme, region: d.Region, role: d.Role, kind: d.Tree()}
		return k, refsyntax.BaseName(d.ID)
	}
	streamBatches(ctx, refs, deliver, ssmBatch, key, p.fetch)
}

// fetch fetches a tree, or up to ten names, by one call if the role and the names
// allow it. Ten names in one call count as one against Parameter Store's quota of 40
// calls a second, which all reads of an account in a Region share. A lone name goes
// by GetParameter: that is the action that most roles have, and its errors say what
// is wrong with which parameter.
func (p *ssmProvider) fetch(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	first := refs[0].data()
	lone, actions := len(refs) == 1, p.actions.of(first.Role)
	switch {
	case first.Tree() != "":
		deliver(0, p.tree(ctx, refs[0]))
	case actions.noBatch.Load(), lone && !actions.noSingle.Load():
		deliverEach(ctx, refs, deliver, p.either)
	case lone:
		deliver(0, p.alone(ctx, refs[0]))
	default:
		p.together(ctx, refs, deliver)
	}
}

// together fetches several names by one call, and takes the batch apart where that is
// refused.
func (p *ssmProvider) together(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	results, refused := p.getParameters(ctx, refs)
	if refused != nil {
		p.takeApart(ctx, refs, refused, deliver)
		return
	}
	// ARNs that the answer calls unknown are asked for alone. AWS takes them here;
	// stand-ins for it may not, and say that there is no such parameter.
	var unknown []int
	for i, r := range results {
		if strings.HasPrefix(refs[i].ID(), "arn:") && errors.Is(r.Err, ErrNotFound) {
			unknown = append(unknown, i)
			continue
		}
		deliver(i, r)
	}
	arns, deliverARN := pick(refs, deliver, unknown)
	parallel.Do(ctx, len(arns), func(k int) {
		r := p.getParameter(ctx, arns[k])
		if err, ok := r.Err.(*ResolveError); ok && !err.interrupted() {
			// It is missing still. The role may lack GetParameter: a denial now would
			// tell nothing, and would keep an optional parameter from being forgiven.
			r = results[unknown[k]]
		}
		deliverARN(k, r)
	})
}

// takeApart fetches the names of a batch that was refused. One bad name has the whole
// call refused, and AWS's message names it, mostly: that one is asked for alone, and
// the others together once more. Otherwise each is asked for alone.
func (p *ssmProvider) takeApart(
	ctx context.Context, refs []Ref, refused *ResolveError, deliver func(i int, r Result),
) {
	var failed, batched atomic.Bool
	single := func(ctx context.Context, ref Ref) Result {
		r := p.getParameter(ctx, ref)
		if r.Err != nil {
			failed.Store(true)
		}
		return r
	}
	bad := refusedName(refs, refused)
	if bad < 0 || len(refs) == 2 {
		deliverEach(ctx, refs, deliver, single)
	} else {
		// At the same time: a warm has 2 s for both.
		parallel.Do(ctx, 2, func(k int) {
			if k == 0 {
				deliver(bad, single(ctx, refs[bad]))
				return
			}
			others, deliver := allBut(refs, deliver, bad)
			if results, refused := p.getParameters(ctx, others); refused == nil {
				batched.Store(true)
				deliverAll(results, deliver)
				return
			}
			// The call for the bad one counts against the width too.
			width := max(1, parallel.WidthOf(ctx)-1)
			deliverEach(parallel.WithWidth(ctx, width), others, deliver, single)
		})
	}
	// Only if none is denied alone: a role may allow one action for some names, and
	// the other for the rest. A batch that AWS finds invalid says nothing of the
	// role.
	singly := !batched.Load() && !failed.Load()
	if singly && refused.kind == ErrAccessDenied {
		p.actions.of(refs[0].Role()).noBatch.Store(true)
	}
}

// refusedName returns the index of the reference that AWS's message names, or -1. Of
// a malformed name, such as one with a slash that does not begin with one, it says
// that …:* may not be read, which is none of them; of a key that is disabled it names
// no parameter at all.
func refusedName(refs []Ref, err *ResolveError) int {
	apiErr := err.api()
	if apiErr == nil || apiErr.Resource() == "" {
		return -1
	}
	return slices.IndexFunc(refs, func(ref Ref) bool {
		return refsyntax.BaseName(ref.ID()) == refsyntax.BaseName(apiErr.Resource())
	})
}

// alone fetches one name by GetParameters, for a role that has turned out to lack
// GetParameter. It does not try the other at once: a name that the role may not read
// costs one call, not two.
func (p *ssmProvider) alone(ctx context.Context, ref Ref) Result {
	results, refused := p.getParameters(ctx, []Ref{ref})
	if refused != nil {
		// The role may have changed. The next fetch finds out anew.
		p.actions.of(ref.Role()).noSingle.Store(false)
		return failed(ref, refused)
	}
	return results[0]
}

// either fetches one name by GetParameter, and by GetParameters where that is denied.
// A name that both deny is tried both ways at every second fetch only, or a denied
// name would cost two calls at each; one that the role gets later is found out by
// either.
func (p *ssmProvider) either(ctx context.Context, ref Ref) Result {
	r := p.getParameter(ctx, ref)
	if err, ok := r.Err.(*ResolveError); !ok || !err.denied() {
		return r
	}
	actions := p.actions.of(ref.Role())
	if _, both := actions.denied.LoadAndDelete(ref); both {
		return r
	}
	results, refused := p.getParameters(ctx, []Ref{ref})
	if refused != nil {
		actions.remember(ref)
		return r
	}
	if results[0].Err == nil {
		actions.noSingle.Store(true)
	}
	return results[0]
}

// remember notes that both actions deny ref. The notes are bounded, because a program
// may resolve whatever names it is given; to forget them costs a call per name.
func (a *ssmActions) remember(ref Ref) {
	const most = 1000
	if a.denials.Add(1)%most == 0 {
		a.denied.Clear()
	}
	a.denied.Store(ref, struct{}{})
}

// getParameter makes one GetParameter call.
func (p *ssmProvider) getParameter(ctx context.Context, ref Ref) Result {
	const operation = "ssm:GetParameter"
	// Decryption is asked for whatever the type: for a plain String AWS ignores it,
	// and without it a SecureString comes back as ciphertext, which would pass for
	// the value.
	d := ref.data()
	in := &ssm.GetParameterInput{Name: aws.String(d.WireName()), WithDecryption: aws.Bool(true)}
	out, err := invoke(ctx, p.clients, operation, ref, in, (*ssm.Client).GetParameter)
	if err != nil {
		if err.kind == ErrNotFound {
			err.problem = d.Missing()
		}
		return failed(ref, err)
	}
	q := out.Parameter
	if q == nil {
		return garbled(operation, ref, "the answer has no Parameter")
	}
	// One that names nothing, as those of a stand-in for AWS may not, is for what was
	// asked.
	if aws.ToString(q.Name)+aws.ToString(q.ARN) != "" && !answers(q, &d.Ref) {
		return garbled(operation, ref, "the answer is for another parameter")
	}
	return parameter(q, ref, operation)
}

// getParameters makes one GetParameters call for up to ten names. It returns an error
// where the call was refused as a whole, which one of the names may be to blame for.
// A transient failure, which a retry may cure, and what came before the call become
// the result of each.
func (p *ssmProvider) getParameters(ctx context.Context, refs []Ref) ([]Result, *ResolveError) {
	const operation = "ssm:GetParameters"
	in := &ssm.GetParametersInput{WithDecryption: aws.Bool(true)}
	for _, ref := range refs {
		d := ref.data()
		in.Names = append(in.Names, d.WireName())
	}
	out, err := invoke(ctx, p.clients, operation, refs[0], in, (*ssm.Client).GetParameters)
	switch {
	case err != nil && noRefusal(err):
		return failedCall(refs, err), nil
	case err != nil:
		return nil, err
	// AWS leaves neither list out. A 200 of {} says nothing of any name, and each is
	// retried.
	case out.Parameters == nil && out.InvalidParameters == nil:
		err := garbledError(operation, refs[0], "the answer has no Parameters")
		return failedCall(refs, err), nil
	}
	results := make([]Result, len(refs))
	for i, ref := range refs {
		results[i] = parameterAmong(out, ref, operation)
	}
	return results, nil
}

// noRefusal reports whether err says nothing of the names: a retry may cure it, or no
// call was made.
func noRefusal(err *ResolveError) bool { return err.transient() || err.interrupted() }

// parameterAmong finds what the answer to several names says of one. AWS lists its
// answer by name, not in the order of the request.
func parameterAmong(out *ssm.GetParametersOutput, ref Ref, operation string) Result {
	d := ref.data()
	for i := range out.Parameters {
		if answers(&out.Parameters[i], &d.Ref) {
			return parameter(&out.Parameters[i], ref, operation)
		}
	}
	if slices.ContainsFunc(out.InvalidParameters, d.Named) {
		return failed(ref, missingParameter(operation, ref))
	}
	return garbled(operation, ref, "the answer says nothing of this parameter")
}

// missingParameter is the error where a 200 says that there is no such parameter.
func missingParameter(operation string, ref Ref) *ResolveError {
	return problemError(operation, ref, ErrNotFound, ref.data().Missing())
}

// answers reports whether q is the answer for ref. AWS answers for an ARN with the
// bare name and the ARN beside it, and for a selector with the bare name and the
// selector beside it; others do otherwise. Where it cannot be told, the answer is not
// taken: another's value is worse than none.
func answers(q *types.Parameter, ref *refsyntax.Ref) bool {
	return ref.AnsweredBy(refsyntax.Answer{
		Name: aws.ToString(q.Name), ARN: aws.ToString(q.ARN), Selector: aws.ToString(q.Selector),
		Version: q.Version, Secret: aws.ToString(q.SourceResult) != "",
	})
}

// parameter makes a result of AWS's answer. A StringList stays one text, with commas
// in between: there is no escape for a comma, so that taking it apart could be wrong.
func parameter(q *types.Parameter, ref Ref, operation string) Result {
	if q.Value == nil {
		// Not the empty text: no parameter is empty, and an empty key would open
		// doors elsewhere.
		return garbled(operation, ref, "the answer has no Value")
	}
	return Result{Value: NewValue(*q.Value, parameterVersion(q)), ARN: aws.ToString(q.ARN)}
}

// parameterVersion returns the parameter's number. That of a secret which is read
// through Parameter Store is 0: then it is the secret's version id, which stands in
// the secret's own answer, under names that differ in case from endpoint to endpoint.
func parameterVersion(q *types.Parameter) string {
	switch {
	case q.Version > 0:
		return strconv.FormatInt(q.Version, 10)
	case q.SourceResult == nil:
		return ""
	}
	id, _ := jsonfield.Lookup(*q.SourceResult, "versionId")
	if id == "" {
		id, _ = jsonfield.Lookup(*q.SourceResult, "VersionId")
	}
	return awserr.Identifier(id, 64)
}
