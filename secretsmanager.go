//go:build !secrets.nosm

package secrets

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/awserr"
)

const (
	smBatch = 20 // ids that BatchGetSecretValue takes
	several = 5  // secrets, from which on it is worth a hint
	current = "AWSCURRENT"

	getSecretValue      = "secretsmanager:GetSecretValue"
	batchGetSecretValue = "secretsmanager:BatchGetSecretValue"

	// throttleMemory is how long a throttled BatchGetSecretValue is done without. Its
	// quota of 100 calls a second is refilled by then; a fleet that starts together
	// would use it up again sooner.
	throttleMemory = time.Minute
)

type smProvider struct {
	clients *awsclient.Clients[*secretsmanager.Client]
	batch   batchCall // of WithBatchGetSecretValue, or nil
	hint    func(ctx context.Context, secrets int)
	hinted  atomic.Bool

	// noBatch is by role, and not by Region: roles are the same in every Region, and
	// an endpoint that lacks the operation is mostly the only one that there is.
	noBatch byRole[refusal]
}

type batchCall func(
	*secretsmanager.Client, context.Context, *secretsmanager.BatchGetSecretValueInput,
	...func(*secretsmanager.Options),
) (*secretsmanager.BatchGetSecretValueOutput, error)

// batching makes p use BatchGetSecretValue. Only the option refers to it: a program
// without the option does not link the operation, which is 40 kB.
func batching(p *smProvider) { p.batch = (*secretsmanager.Client).BatchGetSecretValue }

// A refusal remembers until when an operation is not to be had. The time stands still
// while the sandbox is frozen: the operation is then found out about a little later, and
// nothing is lost meanwhile.
type refusal struct{ until atomic.Pointer[time.Time] }

// forGood is longer than an environment lives: a role that is given the action later goes
// on with single calls, which it was given before, and no value is late for it.
const forGood = 365 * 24 * time.Hour

func (r *refusal) remember(d time.Duration) {
	until := time.Now().Add(d)
	r.until.Store(&until)
}

// holds reports whether it is better not to try. Who finds out anew needs no turn: a few calls
// that are refused at the same time say the same.
func (r *refusal) holds() bool {
	until := r.until.Load()
	return until != nil && time.Now().Before(*until)
}

// NewSecretsManager returns a [Provider] for secretsmanager:// references: a
// GetSecretValue call each, up to 32 at once, for the stage or version that the
// reference states, else for AWSCURRENT. Text secrets and binary ones come out byte
// for byte.
func NewSecretsManager(cfg aws.Config, optFns ...func(*secretsmanager.Options)) Provider {
	return newSecretsManager(ownConfig(cfg), optFns...)
}

func newSecretsManager(b backendConfig, optFns ...func(*secretsmanager.Options)) Provider {
	p := &smProvider{hint: b.hint}
	if b.batch != nil {
		b.batch(p)
	}
	p.clients = awsclient.NewClients(b.source, secretsmanager.NewFromConfig, optFns,
		func(o *secretsmanager.Options) *aws.ClientLogMode { return &o.ClientLogMode })
	return &streamer{p.stream}
}

// stream makes a call per secret unless WithBatchGetSecretValue is set.
// GetSecretValue is the action that every role has, and twenty calls at once take no
// longer than one.
func (p *smProvider) stream(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	key := func(ref Ref) (together, string) {
		d := ref.data()
		// A list that names one secret twice is refused as a whole. Whether a name
		// and an ARN are those of one secret cannot be told from here, so names and
		// ARNs go apart.
		k := together{region: d.Region, role: d.Role}
		if strings.HasPrefix(d.ID, "arn:") {
			k.kind = "arn"
		}
		batches := p.batch != nil && batchable(&d)
		if !batches || p.noBatch.of(d.Role).holds() {
			k.alone, k.ref = true, ref
		}
		return k, d.ID
	}
	p.hintBatch(ctx, refs)
	streamBatches(ctx, refs, deliver, smBatch, key, p.together)
}

// hintBatch says once how many secrets leave by a call each that could leave twenty to a
// call: in a small function their TLS handshakes are most of what a warm costs.
func (p *smProvider) hintBatch(ctx context.Context, refs []Ref) {
	if p.hint == nil || p.batch != nil || len(refs) < several {
		return
	}
	alone := 0
	for _, ref := range refs {
		if d := ref.data(); batchable(&d) {
			alone++
		}
	}
	if alone >= several && !p.hinted.Swap(true) {
		p.hint(ctx, alone)
	}
}

// batchable reports whether BatchGetSecretValue can answer d: it knows no other
// stage than the current one, and no version.
func batchable(d *refData) bool {
	if d.Stage != "" && d.Stage != current {
		return false
	}
	// One of another scheme goes alone, where invoke refuses it before anything
	// leaves.
	return d.Scheme == string(SecretsManager) && d.Version == ""
}

// together fetches several secrets by BatchGetSecretValue, page by page, and by
// single calls what that leaves out, or all where it is not to be had.
func (p *smProvider) together(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	if len(refs) == 1 {
		deliver(0, p.getSecretValue(ctx, refs[0]))
		return
	}
	in := &secretsmanager.BatchGetSecretValueInput{}
	for _, ref := range refs {
		in.SecretIdList = append(in.SecretIdList, ref.ID())
	}
	var refused *ResolveError
	done := make([]bool, len(refs))
	// The answer of many large secrets comes in pages. Each has one secret at least,
	// or is the last; a stand-in whose pages do not end is left, and the rest is
	// asked for by single calls.
	for range smBatch {
		out, err := invoke(ctx, p.clients, batchGetSecretValue, refs[0], in, p.batch)
		if refused = err; err != nil {
			break
		}
		for i, ref := range refs {
			if r, ok := secretAmong(out, ref); ok && !done[i] {
				done[i] = true
				deliver(i, r)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	var open []int
	for i := range refs {
		if !done[i] {
			open = append(open, i)
		}
	}
	// What is delivered stays, even if a later page failed: nobody waits for the others.
	refs, deliver = pick(refs, deliver, open)
	p.fallBack(ctx, refs, refused, deliver)
}

// fallBack fetches by single calls what a batch call left out, or why it was refused.
// An outage must not multiply the calls: only a refusal that says nothing of
// GetSecretValue is answered by them. Permission and API are found out once; a
// throttle, which comes of a quota of its own (100 a second, where GetSecretValue has
// 10,000), is remembered for a minute, and only where a first single call shows that
// those are not throttled too.
func (p *smProvider) fallBack(
	ctx context.Context, refs []Ref, refused *ResolveError, deliver func(i int, r Result),
) {
	if len(refs) == 0 {
		return
	}
	noBatch := p.noBatch.of(refs[0].Role())
	switch {
	case refused == nil: // it left some out without a word: the single calls tell why
	case refused.kind == ErrThrottled:
		// In a fleet that is throttled as a whole this is one call more, and not
		// twenty.
		first := p.getSecretValue(ctx, refs[0])
		deliver(0, first)
		refs, deliver = allBut(refs, deliver, 0)
		if first.Err != nil && Retryable(first.Err) {
			deliverAll(failedCall(refs, refused), deliver)
			return
		}
		noBatch.remember(throttleMemory)
	case refused.interrupted(), refused.transient() && !unknownOperation(refused):
		// It was not even asked, or not answered. After a 5xx or an unknown code one
		// secret may be to blame, and the cache finds out by one call.
		deliverAll(failedCall(refs, refused), deliver)
		return
	case refused.kind == ErrAccessDenied, unknownOperation(refused):
		// BatchGetSecretValue is an action of its own, which takes Resource "*":
		// neither SAM's policy template nor CDK's grantRead gives it.
		noBatch.remember(forGood)
	}
	deliverEach(ctx, refs, deliver, p.getSecretValue)
}

// unknownOperation reports whether who answers does not know the operation: an
// emulator, a proxy with a list of its own, or a Region that is behind.
func unknownOperation(err *ResolveError) bool {
	switch err.Code {
	// The first is AWS's own, of this protocol; the last that of its older ones, which
	// stand-ins answer too.
	case "UnknownOperationException", "UnknownOperation", "InvalidAction":
		return true
	}
	apiErr := err.api()
	if apiErr == nil {
		return false
	}
	if err.Code == "" && apiErr.Status == http.StatusNotFound {
		return true // a page of who routes by operation
	}
	return apiErr.Status == http.StatusNotImplemented // LocalStack's, with the code InternalFailure
}

// getSecretValue makes one GetSecretValue call.
func (p *smProvider) getSecretValue(ctx context.Context, ref Ref) Result {
	in := &secretsmanager.GetSecretValueInput{SecretId: aws.String(ref.ID())}
	// Both may be stated: AWS then answers only if the version has that stage.
	version, stage := ref.Version(), ref.Stage()
	if version != "" {
		in.VersionId = &version
	}
	if stage != "" {
		in.VersionStage = &stage
	} else if version == "" {
		// It is the default; but some endpoints answer the newest version where none
		// is stated.
		in.VersionStage = aws.String(current)
	}
	out, err := invoke(ctx, p.clients, getSecretValue, ref, in,
		(*secretsmanager.Client).GetSecretValue)
	if err != nil {
		return failed(ref, err)
	}
	other := ref.data().Another(aws.ToString(out.Name), aws.ToString(out.ARN))
	// A stand-in for AWS may not say which version came.
	if came := cmp.Or(aws.ToString(out.VersionId), version); version != "" && came != version {
		other = true
	}
	if other {
		return garbled(getSecretValue, ref, "the answer is for another secret or version")
	}
	return secret(ref, getSecretValue, &types.SecretValueEntry{
		SecretString: out.SecretString, SecretBinary: out.SecretBinary,
		VersionId: out.VersionId, ARN: out.ARN,
	})
}

// secretAmong finds what a page says of one secret.
func secretAmong(
	out *secretsmanager.BatchGetSecretValueOutput, ref Ref,
) (r Result, found bool) {
	d := ref.data()
	for i := range out.SecretValues {
		s := &out.SecretValues[i]
		if d.IsOf(aws.ToString(s.Name), aws.ToString(s.ARN)) {
			return secret(ref, batchGetSecretValue, s), true
		}
	}
	for _, e := range out.Errors {
		// In which form AWS repeats an id that was sent as a name is not documented.
		// One that is not found here is asked for alone, which costs a call and no
		// value.
		if aws.ToString(e.SecretId) == d.ID {
			// The batch operation's own permission is not what this is about.
			return failed(ref, awsError(getSecretValue, ref, &smithy.GenericAPIError{
				Code: aws.ToString(e.ErrorCode), Message: aws.ToString(e.Message),
			})), true
		}
	}
	return Result{}, false
}

// secret makes a result of AWS's answer. The empty text is a value: a secret may hold
// it.
func secret(ref Ref, operation string, s *types.SecretValueEntry) Result {
	// The SDK has undone the base64 of the wire, once. Text that looks like base64 is
	// left as it is: who stored it meant that.
	plain := string(s.SecretBinary)
	if s.SecretString != nil {
		plain = *s.SecretString
	} else if s.SecretBinary == nil {
		return garbled(operation, ref, "the answer has neither SecretString nor SecretBinary")
	}
	version := awserr.Identifier(aws.ToString(s.VersionId), 64)
	return Result{Value: NewValue(plain, version), ARN: aws.ToString(s.ARN)}
}
