//go:build !secrets.nossm

package secrets

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/lambdasecrets/secrets/internal/jsonfield"
)

// The limits of a tree.
const (
	treeCount = 1000     // parameters: a hundred calls, one after the other
	treeBytes = maxValue // of the JSON object that a tree becomes
	treePages = 300      // full ones are a hundred, and AWS may put empty ones in between
)

const byPath = "ssm:GetParametersByPath"

// tree fetches every parameter below a path, page by page, as one JSON object of relative
// names. AWS fails a page as a whole where one parameter on it cannot be decrypted, and
// does not say which: it takes its tree along. What IAM denies below a path that it allows
// comes all the same, by the rules of GetParametersByPath.
func (p *ssmProvider) tree(ctx context.Context, ref Ref) Result {
	d := ref.data()
	in := &ssm.GetParametersByPathInput{
		// With its trailing slash: AWS authorizes the path as it is sent, and the
		// usual policy on parameter/app/prod/* covers /app/prod/, not /app/prod.
		Path:      aws.String(d.Tree()),
		Recursive: aws.Bool(true), WithDecryption: aws.Bool(true),
		MaxResults: aws.Int32(ssmBatch),
	}
	if label := ref.Stage(); label != "" {
		in.ParameterFilters = []types.ParameterStringFilter{
			{Key: aws.String("Label"), Values: []string{label}},
		}
	}
	t := tree{values: map[string]string{}}
	for range treePages { // one after the other: each page names the next
		out, err := invoke(ctx, p.clients, byPath, ref, in, (*ssm.Client).GetParametersByPath)
		if err == nil {
			err = t.add(ref, out.Parameters)
		}
		if err != nil {
			return failed(ref, err)
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return t.result(ref)
		}
	}
	return garbled(byPath, ref, "the pages do not end")
}

// A tree is what is known of one so far.
type tree struct {
	values map[string]string // relative name → value
	bytes  int               // of names and values, each with its quotes, colon and comma
}

// add adds the parameters of one page. It may be empty, and not be the last. But AWS never
// leaves the list out: a 200 of {} or of no bytes, as a proxy may make of it, must not pass
// as the end of the tree.
func (t *tree) add(ref Ref, page []types.Parameter) *ResolveError {
	if page == nil {
		return garbledError(byPath, ref, "a page of the answer has no Parameters")
	}
	d := ref.data()
	for _, q := range page {
		// A stand-in may take the path for a prefix: /app/production is not below
		// /app/prod.
		name, below := strings.CutPrefix(aws.ToString(q.Name), d.Tree())
		problem := ""
		if !below || name == "" {
			problem = "the answer has a parameter that is not below the path"
		} else if q.Value == nil {
			problem = "the answer has a parameter without a value"
		}
		if problem != "" {
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
	err := problemError(byPath, ref, ErrInvalidReference, problem)
	err.hint, err.outgrown = "refer to a deeper path, or to the parameters one by one", true
	return err
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
	// Once more with what is quoted in it, which may double it: the limit is that of
	// a value.
	object := jsonfield.Object(t.values)
	t.bytes = len(object)
	if err := t.check(ref); err != nil {
		return failed(ref, err)
	}
	return Result{Value: NewValue(object, ""), warning: t.warning()}
}

// warning says that the tree is about to outgrow a limit: the one parameter too many,
// which somebody adds elsewhere, would fail every function that reads the tree.
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
