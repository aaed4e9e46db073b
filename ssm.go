//go:build !secrets.nossm

package secrets

import (
	"context"
	"errors"
	"fmt"
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

// The limits of Parameter Store's API, and ours of a tree.
const (
	ssmBatch = 10 // names that GetParameters takes, parameters on a page of GetParametersByPath

	treeCount = 1000    // parameters of one tree: a hundred calls, one after the other
	treeBytes = 4 << 20 // of the JSON object that a tree becomes; as of any value
	treePages = 300     // full ones are a hundred, and AWS may put empty ones in between
)

type ssmProvider struct {
	clients awsclient.Clients[*ssm.Client]
	actions byRole[ssmActions]
}

// ssmActions is what a role turned out to allow, so that a refused action is not tried again at
// every refresh. Roles often have one of GetParameter and GetParameters: they are separate actions.
type ssmActions struct {
	noBatch  atomic.Bool // GetParameters is denied where GetParameter is allowed
	noSingle atomic.Bool // and the other way round
	denied   sync.Map    // Ref that both denied at the last fetch → struct{}
	denials  atomic.Uint32
}

// NewSSM returns a [Provider] for ssm:// references: GetParameters in tens, all tens at once;
// GetParameter for a lone name; GetParametersByPath for a tree of up to 1,000 parameters and 4 MiB.
// It always asks for decryption. A batch that is refused because of one name is taken apart; a
// tree is not, for AWS fails it as a whole where one of its parameters cannot be decrypted. A role
// that allows only one of GetParameter and GetParameters will do.
func NewSSM(cfg aws.Config, optFns ...func(*ssm.Options)) Provider {
	return newSSM(ownConfig(cfg), optFns...)
}

func newSSM(b backendConfig, optFns ...func(*ssm.Options)) Provider {
	// Last, so that no option of the caller turns the logging of plaintext on again.
	optFns = append(slices.Clip(optFns), func(o *ssm.Options) {
		o.ClientLogMode &^= awsclient.Unlogged
	})
	p := &ssmProvider{}
	p.clients.Source = b.source
	p.clients.New = func(cfg aws.Config) *ssm.Client { return ssm.NewFromConfig(cfg, optFns...) }
	return &streamer{p.stream}
}

func (p *ssmProvider) stream(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	type together struct{ scheme, region, role, tree string }
	// A Cache asks for one Region at a time, others may not.
	key := func(ref Ref) (together, string) {
		d := ref.data()
		// The name without its selector: answers are told apart by name, and not every endpoint
		// repeats the selector.
		return together{d.Scheme, d.Region, d.Role, d.Tree()}, refsyntax.BaseName(d.ID)
	}
	streamBatches(ctx, refs, deliver, ssmBatch, key, p.fetch)
}

// fetch fetches a tree, or up to ten names, by one call if the role and the names allow it.
func (p *ssmProvider) fetch(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	lone, actions := len(refs) == 1, p.actions.of(refs[0])
	switch {
	case refs[0].data().Tree() != "":
		deliver(0, p.tree(ctx, refs[0]))
	case actions.noBatch.Load(), lone && !actions.noSingle.Load():
		deliverEach(ctx, refs, deliver, p.either)
	case lone:
		deliver(0, p.alone(ctx, refs[0]))
	default:
		p.together(ctx, refs, deliver)
	}
}

// together fetches several names by one call, and takes the batch apart where that is refused.
func (p *ssmProvider) together(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	results, refused := p.getParameters(ctx, refs)
	if refused != nil {
		p.takeApart(ctx, refs, refused, deliver)
		return
	}
	var unknown []int // ARNs that the answer calls unknown: not every endpoint takes an ARN here
	for i, r := range results {
		if strings.HasPrefix(refs[i].ID(), "arn:") && errors.Is(r.Err, ErrNotFound) {
			unknown = append(unknown, i)
			continue
		}
		deliver(i, r)
	}
	arns, deliverARN := pick(refs, deliver, unknown)
	parallel.Do(ctx, len(arns), func(k int) {
		r, err := p.getParameter(ctx, arns[k])
		if err != nil || r.Err != nil {
			r = results[unknown[k]] // that it is missing stays true, whatever the role may do
		}
		deliverARN(k, r)
	})
}

// takeApart fetches the names of a batch that was refused. One bad name has the whole call
// refused, and AWS's message names it, mostly: that one is asked for alone, and the others
// together once more. Otherwise each is asked for alone.
func (p *ssmProvider) takeApart(
	ctx context.Context, refs []Ref, refused *ResolveError, deliver func(i int, r Result),
) {
	var failures atomic.Int32
	counted := func(i int, r Result) {
		if r.Err != nil {
			failures.Add(1)
		}
		deliver(i, r)
	}
	var batched atomic.Bool // the others came by one call after all
	if bad := refusedName(refs, refused); bad >= 0 && len(refs) > 2 {
		parallel.Do(ctx, 2, func(k int) {
			if k == 0 {
				counted(bad, p.single(ctx, refs[bad]))
				return
			}
			batched.Store(p.others(ctx, refs, bad, counted))
		})
	} else {
		deliverEach(ctx, refs, counted, p.single)
	}
	// Only if none is denied alone: a role may allow one action for some names, and the other for
	// the rest.
	if refused.kind == ErrAccessDenied && !batched.Load() && failures.Load() == 0 {
		p.actions.of(refs[0]).noBatch.Store(true)
	}
}

// others fetches all but one name by one call, and each alone if that is refused too. It reports
// whether one call did.
func (p *ssmProvider) others(
	ctx context.Context, refs []Ref, but int, deliver func(i int, r Result),
) (batched bool) {
	refs, deliver = allBut(refs, deliver, but)
	results, refused := p.getParameters(ctx, refs)
	if refused != nil {
		// The one that is left out has a call under way, which counts against the width too.
		width := max(1, parallel.WidthOf(ctx)-1)
		deliverEach(parallel.WithWidth(ctx, width), refs, deliver, p.single)
		return false
	}
	deliverAll(results, deliver)
	return true
}

// refusedName returns the index of the reference that AWS's message names, or -1. Of a malformed
// name AWS says that it may not be read on …:*, which is none of them.
func refusedName(refs []Ref, err *ResolveError) int {
	var apiErr *awserr.Error
	if !errors.As(err.cause, &apiErr) || apiErr.Resource() == "" {
		return -1
	}
	return slices.IndexFunc(refs, func(ref Ref) bool {
		return refsyntax.BaseName(ref.ID()) == refsyntax.BaseName(apiErr.Resource())
	})
}

// single fetches one name by GetParameter.
func (p *ssmProvider) single(ctx context.Context, ref Ref) Result {
	r, err := p.getParameter(ctx, ref)
	if err != nil {
		return failed(ref, err)
	}
	return r
}

// alone fetches one name by GetParameters, for a role that has turned out to lack GetParameter.
func (p *ssmProvider) alone(ctx context.Context, ref Ref) Result {
	results, refused := p.getParameters(ctx, []Ref{ref})
	if refused != nil {
		p.actions.of(ref).noSingle.Store(false) // the role may have changed: the next fetch finds out anew
		return failed(ref, refused)
	}
	return results[0]
}

// either fetches one name by GetParameter, and by GetParameters where that is denied. A name that
// both deny is tried both ways at every second fetch only, or a denied name would cost two calls
// at each; one that the role gets later is found out by either.
func (p *ssmProvider) either(ctx context.Context, ref Ref) Result {
	r, err := p.getParameter(ctx, ref)
	switch {
	case err == nil:
		return r
	case err.kind != ErrAccessDenied, err.interrupted(): // the role itself was denied
		return failed(ref, err)
	}
	actions := p.actions.of(ref)
	if _, both := actions.denied.LoadAndDelete(ref); both {
		return failed(ref, err)
	}
	results, refused := p.getParameters(ctx, []Ref{ref})
	if refused != nil {
		actions.remember(ref)
		return failed(ref, err)
	}
	if results[0].Err == nil {
		actions.noSingle.Store(true)
	}
	return results[0]
}

// remember notes that both actions deny ref. The notes are bounded, for a program that resolves
// whatever names it is given; to forget them costs a call per name.
func (a *ssmActions) remember(ref Ref) {
	const most = 1000
	if a.denials.Add(1)%most == 0 {
		a.denied.Clear()
	}
	a.denied.Store(ref, struct{}{})
}

// getParameter makes one GetParameter call. It returns an error where AWS refused it.
func (p *ssmProvider) getParameter(ctx context.Context, ref Ref) (Result, *ResolveError) {
	const operation = "ssm:GetParameter"
	in := &ssm.GetParameterInput{
		Name: aws.String(ref.data().WireName()), WithDecryption: aws.Bool(true),
	}
	out, err := invoke(ctx, &p.clients, operation, ref,
		func(ctx context.Context, c *ssm.Client) (*ssm.GetParameterOutput, error) {
			return c.GetParameter(ctx, in)
		})
	if err != nil {
		if err.kind == ErrNotFound {
			err.problem = ref.data().Missing()
		}
		return Result{}, err
	}
	q := out.Parameter
	switch {
	case q == nil:
		return failed(ref, garbledError(operation, ref, "the answer has no Parameter")), nil
	// One that names nothing, as those of a stand-in for AWS may not, is for what was asked.
	case aws.ToString(q.Name)+aws.ToString(q.ARN) != "" && !answers(q, ref):
		problem := "the answer is for another parameter"
		return failed(ref, garbledError(operation, ref, problem)), nil
	}
	return parameter(q, ref, operation), nil
}

// getParameters makes one GetParameters call for up to ten names. It returns an error where the
// call was refused as a whole, which one of the names may be to blame for. A transient failure,
// which a retry may cure, and what came before the call become the result of each.
func (p *ssmProvider) getParameters(ctx context.Context, refs []Ref) ([]Result, *ResolveError) {
	const operation = "ssm:GetParameters"
	in := &ssm.GetParametersInput{WithDecryption: aws.Bool(true)}
	for _, ref := range refs {
		in.Names = append(in.Names, ref.data().WireName())
	}
	out, err := invoke(ctx, &p.clients, operation, refs[0],
		func(ctx context.Context, c *ssm.Client) (*ssm.GetParametersOutput, error) {
			return c.GetParameters(ctx, in)
		})
	switch {
	case err != nil && (err.transient() || err.interrupted()):
		return failedCall(refs, err), nil
	case err != nil:
		return nil, err
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

// parameterAmong finds what the answer to several names says of one.
func parameterAmong(out *ssm.GetParametersOutput, ref Ref, operation string) Result {
	for i := range out.Parameters {
		if answers(&out.Parameters[i], ref) {
			return parameter(&out.Parameters[i], ref, operation)
		}
	}
	if slices.ContainsFunc(out.InvalidParameters, ref.data().Named) {
		return failed(ref, missingParameter(operation, ref))
	}
	problem := "the answer says nothing of this parameter"
	return failed(ref, garbledError(operation, ref, problem))
}

// missingParameter is the error where a 200 says that there is no such parameter.
func missingParameter(operation string, ref Ref) *ResolveError {
	return &ResolveError{
		Ref: ref, Operation: operation, kind: ErrNotFound, region: ref.Region(),
		problem: ref.data().Missing(),
	}
}

// tree fetches every parameter below a path, page by page, as one JSON object of relative names.
func (p *ssmProvider) tree(ctx context.Context, ref Ref) Result {
	t := tree{values: map[string]string{}}
	var token *string
	for range treePages {
		out, err := p.getParametersByPath(ctx, ref, token)
		if err == nil {
			err = t.add(ref, out.Parameters)
		}
		if err != nil {
			return failed(ref, err)
		}
		if token = out.NextToken; aws.ToString(token) == "" {
			return t.result(ref)
		}
	}
	return failed(ref, garbledError(byPath, ref, "the pages do not end"))
}

const byPath = "ssm:GetParametersByPath"

// getParametersByPath makes one GetParametersByPath call: one page of a tree.
func (p *ssmProvider) getParametersByPath(
	ctx context.Context, ref Ref, token *string,
) (*ssm.GetParametersByPathOutput, *ResolveError) {
	in := &ssm.GetParametersByPathInput{
		// With its trailing slash: AWS authorizes the path as it is sent, and the usual policy on
		// parameter/app/prod/* covers /app/prod/, not /app/prod.
		Path:      aws.String(ref.data().Tree()),
		Recursive: aws.Bool(true), WithDecryption: aws.Bool(true),
		MaxResults: aws.Int32(ssmBatch), NextToken: token,
	}
	if label := ref.Stage(); label != "" {
		in.ParameterFilters = []types.ParameterStringFilter{
			{Key: aws.String("Label"), Values: []string{label}},
		}
	}
	out, err := invoke(ctx, &p.clients, byPath, ref,
		func(ctx context.Context, c *ssm.Client) (*ssm.GetParametersByPathOutput, error) {
			return c.GetParametersByPath(ctx, in)
		})
	// A page may be empty, and not be the last. But AWS never leaves the list out: a 200 of {} or
	// of no bytes, as a proxy may make of it, must not pass as the end of the tree.
	if err == nil && out.Parameters == nil {
		return nil, garbledError(byPath, ref, "a page of the answer has no Parameters")
	}
	return out, err
}

// A tree is what is known of one so far.
type tree struct {
	values map[string]string // relative name → value
	bytes  int               // of names and values, each with its quotes, colon and comma
}

// add adds the parameters of one page.
func (t *tree) add(ref Ref, page []types.Parameter) *ResolveError {
	for _, q := range page {
		name, below := strings.CutPrefix(aws.ToString(q.Name), ref.data().Tree())
		if !below || name == "" || q.Value == nil {
			problem := "the answer has a parameter that is not below the path, or has no value"
			return garbledError(byPath, ref, problem)
		}
		t.values[name] = *q.Value
		t.bytes += len(name) + len(*q.Value) + len(`"":"",`)
	}
	return t.check(ref)
}

// check returns an error once the tree is larger than it may be.
func (t *tree) check(ref Ref) *ResolveError {
	problem := ""
	switch {
	case len(t.values) > treeCount:
		problem = fmt.Sprintf("there are more than %d parameters below this path", treeCount)
	case t.bytes > treeBytes:
		problem = "the parameters below this path are larger than 4 MiB together"
	default:
		return nil
	}
	return &ResolveError{
		Ref: ref, Operation: byPath, kind: ErrInvalidReference, region: ref.Region(),
		problem: problem, hint: "refer to a deeper path, or to the parameters one by one", outgrown: true,
	}
}

// result makes the result of a whole tree.
func (t *tree) result(ref Ref) Result {
	if len(t.values) == 0 {
		err := missingParameter(byPath, ref)
		if err.problem = "there is no parameter below this path"; ref.Stage() != "" {
			err.problem += ", or none that has this label"
		}
		return failed(ref, err)
	}
	object := jsonfield.Object(t.values)
	t.bytes = len(object) // escapes included
	if err := t.check(ref); err != nil {
		return failed(ref, err)
	}
	return Result{Value: NewValue(object, ""), warning: t.warning()}
}

// warning says that the tree is about to outgrow a limit: the one parameter too many, which
// somebody adds elsewhere, would fail every function that reads the tree.
func (t *tree) warning() string {
	const part = 80 // percent of a limit
	switch {
	case len(t.values)*100 >= treeCount*part:
		return fmt.Sprintf("the tree has %d parameters; more than %d fail",
			len(t.values), treeCount)
	case t.bytes*100 >= treeBytes*part:
		return fmt.Sprintf("the tree has %d bytes; more than %d fail", t.bytes, treeBytes)
	}
	return ""
}

// answers reports whether q is the answer for ref.
func answers(q *types.Parameter, ref Ref) bool {
	return ref.data().AnsweredBy(refsyntax.Answer{
		Name: aws.ToString(q.Name), ARN: aws.ToString(q.ARN), Selector: aws.ToString(q.Selector),
		Version: q.Version, Secret: aws.ToString(q.SourceResult) != "",
	})
}

// parameter makes a result of AWS's answer.
func parameter(q *types.Parameter, ref Ref, operation string) Result {
	if q.Value == nil {
		return failed(ref, garbledError(operation, ref, "the answer has no Value"))
	}
	return Result{Value: NewValue(*q.Value, parameterVersion(q)), ARN: aws.ToString(q.ARN)}
}

// parameterVersion returns the parameter's number. That of a secret which is read through
// Parameter Store is 0: then it is the secret's version id, which stands in the secret's own
// answer, under names that differ in case from endpoint to endpoint.
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
	return id
}
