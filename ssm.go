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

const (
	ssmBatch = 10  // names that GetParameters takes
	ssmTree  = 100 // parameters of one tree
)

type ssmAPI interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
	GetParameters(context.Context, *ssm.GetParametersInput, ...func(*ssm.Options)) (*ssm.GetParametersOutput, error)
	GetParametersByPath(context.Context, *ssm.GetParametersByPathInput, ...func(*ssm.Options)) (*ssm.GetParametersByPathOutput, error)
}

type ssmProvider struct {
	clients awsclient.Clients[ssmAPI]

	// What the role turned out to allow, so that a refused action is not tried again at every refresh.
	noBatch  atomic.Bool // GetParameters is denied where GetParameter is allowed
	noSingle atomic.Bool // and the other way round
	denied   sync.Map    // Ref that both denied at the last fetch → struct{}
	denials  atomic.Uint32
}

// NewSSM returns a [Provider] for ssm:// references: GetParameters in tens, all tens at once; GetParameter for a lone name;
// GetParametersByPath for a tree. It always asks for decryption. A batch that is refused because of one name is taken apart. A role that allows only one of GetParameter and
// GetParameters will do.
func NewSSM(cfg aws.Config, optFns ...func(*ssm.Options)) Provider {
	return newSSM(backendConfig{source: awsclient.Fixed(cfg)}, optFns...)
}

func newSSM(b backendConfig, optFns ...func(*ssm.Options)) Provider {
	optFns = append(slices.Clip(optFns), func(o *ssm.Options) { o.ClientLogMode &^= awsclient.Unlogged })
	p := &ssmProvider{clients: awsclient.Clients[ssmAPI]{Source: b.source,
		New: func(cfg aws.Config) ssmAPI { return ssm.NewFromConfig(cfg, optFns...) }}}
	return &streamer{p.stream}
}

func (p *ssmProvider) stream(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	type together struct{ scheme, region, tree string }
	results := make([]Result, len(refs))
	// Answers are told apart by name, and not every endpoint echoes the selector. A Cache asks for one Region, others may not.
	parallel.Batches(ctx, len(refs), ssmBatch, func(i int) (together, string) {
		d := refs[i].data()
		return together{d.Scheme, d.Region, d.Tree()}, refsyntax.BaseName(d.ID)
	}, func(ctx context.Context, chunk []int) {
		p.chunk(ctx, refs, chunk, results)
		for _, i := range chunk {
			deliver(i, results[i])
		}
	})
}

// chunk fetches refs[which], a tree or up to ten names, by one call if the role and the names allow it.
func (p *ssmProvider) chunk(ctx context.Context, refs []Ref, which []int, results []Result) {
	lone := len(which) == 1
	if first := refs[which[0]]; first.data().Tree() != "" {
		results[which[0]] = p.tree(ctx, first)
		return
	}
	if p.noBatch.Load() || lone && !p.noSingle.Load() {
		p.singly(ctx, refs, which, results, true)
		return
	}
	refused := p.batch(ctx, refs, which, results)
	if refused == nil {
		return
	}
	if lone {
		p.noSingle.Store(false) // the role may have changed: the next fetch finds out anew
		results[which[0]] = failed(refs[which[0]], refused)
		return
	}
	// One bad name has the whole call refused. AWS's message names the culprit, mostly: ask for it alone, and for the others once more.
	rest := which
	if at := culprit(refs, which, refused); at >= 0 && len(which) > 2 {
		rest = slices.Delete(slices.Clone(which), at, at+1)
		var again *ResolveError
		parallel.Do(ctx, 2, func(i int) {
			if i == 0 {
				p.singly(ctx, refs, which[at:at+1], results, false)
			} else {
				again = p.batch(ctx, refs, rest, results)
			}
		})
		if again == nil {
			return
		}
	}
	p.singly(ctx, refs, rest, results, false)
	// Only if none is denied singly: a role may allow one action for some names, and the other for others.
	if refused.kind == ErrAccessDenied && !slices.ContainsFunc(which, func(i int) bool { return results[i].Err != nil }) {
		p.noBatch.Store(true)
	}
}

// culprit returns the place in which of the reference that AWS's message names, or -1. Of a malformed name AWS says that it may not be read on …:*, which is none of them.
func culprit(refs []Ref, which []int, err *ResolveError) int {
	var said *awserr.Error
	if !errors.As(err.cause, &said) || said.Resource() == "" {
		return -1
	}
	return slices.IndexFunc(which, func(i int) bool { return refsyntax.BaseName(refs[i].ID()) == refsyntax.BaseName(said.Resource()) })
}

// batch fetches refs[which] by one GetParameters. It returns an error where the call was refused as a whole for a lasting reason; passing failures become results.
func (p *ssmProvider) batch(ctx context.Context, refs []Ref, which []int, results []Result) (refused *ResolveError) {
	names := make([]string, len(which))
	for k, i := range which {
		names[k] = refs[i].data().WireName()
	}
	out, err := invoke(ctx, &p.clients, "ssm:GetParameters", refs[which[0]], func(ctx context.Context, c ssmAPI) (*ssm.GetParametersOutput, error) {
		return c.GetParameters(ctx, &ssm.GetParametersInput{Names: names, WithDecryption: aws.Bool(true)})
	})
	if err != nil && !err.passing() {
		return err
	}
	for _, i := range which {
		ref := refs[i]
		if err != nil {
			results[i] = failed(ref, err)
			continue
		}
		at := slices.IndexFunc(out.Parameters, func(q types.Parameter) bool { return answers(&q, ref) })
		switch {
		case at >= 0:
			results[i] = parameter(&out.Parameters[at], ref, "ssm:GetParameters")
		case slices.ContainsFunc(out.InvalidParameters, ref.data().Named):
			results[i] = failed(ref, &ResolveError{Ref: ref, Operation: "ssm:GetParameters", kind: ErrNotFound, region: ref.Region(), problem: ref.data().Missing()})
			if len(which) > 1 && strings.HasPrefix(ref.ID(), "arn:") { // not every endpoint takes an ARN here
				if alone := p.single(ctx, ref, false); alone.Err == nil {
					results[i] = alone
				}
			}
		default:
			results[i] = failed(ref, garbledError("ssm:GetParameters", ref, "the answer says nothing of this parameter"))
		}
	}
	return nil
}

// singly fetches refs[which] by a GetParameter each; with other, by GetParameters where that is denied.
func (p *ssmProvider) singly(ctx context.Context, refs []Ref, which []int, results []Result, other bool) {
	parallel.Do(ctx, len(which), func(k int) { results[which[k]] = p.single(ctx, refs[which[k]], other) })
}

// single fetches one name by GetParameter, and by GetParameters where that is denied and the other was not refused just now.
func (p *ssmProvider) single(ctx context.Context, ref Ref, other bool) Result {
	out, err := invoke(ctx, &p.clients, "ssm:GetParameter", ref, func(ctx context.Context, c ssmAPI) (*ssm.GetParameterOutput, error) {
		return c.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(ref.data().WireName()), WithDecryption: aws.Bool(true)})
	})
	switch {
	case err == nil && out.Parameter == nil:
		return failed(ref, garbledError("ssm:GetParameter", ref, "the answer has no Parameter"))
	case err == nil && aws.ToString(out.Parameter.Name)+aws.ToString(out.Parameter.ARN) != "" && !answers(out.Parameter, ref): // one that names nothing is for what was asked
		return failed(ref, garbledError("ssm:GetParameter", ref, "the answer is for another parameter"))
	case err == nil:
		return parameter(out.Parameter, ref, "ssm:GetParameter")
	case err.kind == ErrNotFound:
		err.problem = ref.data().Missing()
	case err.kind == ErrAccessDenied && other:
		// A name that both deny is tried both ways at every second fetch only; one that the role gets later is found out by either.
		if _, both := p.denied.LoadAndDelete(ref); both {
			break
		}
		result := make([]Result, 1)
		if p.batch(ctx, []Ref{ref}, []int{0}, result) != nil {
			if p.denials.Add(1)%maxLoose == 0 {
				p.denied.Clear() // a program that resolves whatever names it is given must not fill the memory
			}
			p.denied.Store(ref, struct{}{})
			break
		}
		if result[0].Err == nil {
			p.noSingle.Store(true)
		}
		return result[0]
	}
	return failed(ref, err)
}

// tree fetches every parameter below a path as one JSON object.
func (p *ssmProvider) tree(ctx context.Context, ref Ref) Result {
	const operation = "ssm:GetParametersByPath"
	path := ref.data().Tree() // with its trailing slash: the usual policy on parameter/app/prod/* covers /app/prod/, not /app/prod
	values := map[string]string{}
	in := &ssm.GetParametersByPathInput{Path: &path, Recursive: aws.Bool(true), WithDecryption: aws.Bool(true), MaxResults: aws.Int32(ssmBatch)}
	for pages := 0; ; pages++ {
		out, err := invoke(ctx, &p.clients, operation, ref, func(ctx context.Context, c ssmAPI) (*ssm.GetParametersByPathOutput, error) {
			return c.GetParametersByPath(ctx, in)
		})
		if err != nil {
			return failed(ref, err)
		}
		for _, q := range out.Parameters {
			name, below := strings.CutPrefix(aws.ToString(q.Name), path)
			if !below || name == "" || q.Value == nil {
				return failed(ref, garbledError(operation, ref, "the answer has a parameter that is not below the path, or has no value"))
			}
			values[name] = *q.Value
		}
		switch token := aws.ToString(out.NextToken); {
		case len(values) > ssmTree:
			return failed(ref, &ResolveError{Ref: ref, Operation: operation, kind: ErrInvalidReference, problem: fmt.Sprintf("there are more than %d parameters below %s", ssmTree, path),
				hint: "refer to a deeper path, or to the parameters one by one"})
		case token == "" && len(values) == 0:
			return failed(ref, &ResolveError{Ref: ref, Operation: operation, kind: ErrNotFound, region: ref.Region(), problem: "there is no parameter below " + path})
		case token == "":
			return Result{Value: NewValue(jsonfield.Object(values), "")}
		case pages == ssmTree:
			return failed(ref, garbledError(operation, ref, "the pages do not end"))
		default:
			in.NextToken = &token // a page may be empty and not the last
		}
	}
}

// answers reports whether q is the answer for ref.
func answers(q *types.Parameter, ref Ref) bool {
	return ref.data().AnsweredBy(aws.ToString(q.Name), aws.ToString(q.ARN), aws.ToString(q.Selector), q.Version, aws.ToString(q.SourceResult) != "")
}

// parameter makes a result of AWS's answer.
func parameter(q *types.Parameter, ref Ref, operation string) Result {
	if q.Value == nil {
		return failed(ref, garbledError(operation, ref, "the answer has no Value"))
	}
	version := ""
	if q.Version > 0 {
		version = strconv.FormatInt(q.Version, 10)
	} else if q.SourceResult != nil {
		// A secret through Parameter Store: Version is 0, and the secret's own answer stands here as JSON, under names that differ in case.
		if version, _ = jsonfield.Lookup(*q.SourceResult, "versionId"); version == "" {
			version, _ = jsonfield.Lookup(*q.SourceResult, "VersionId")
		}
	}
	return Result{Value: NewValue(*q.Value, version), ARN: aws.ToString(q.ARN)}
}
