//go:build !secrets.nosm

package secrets

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/parallel"
)

const (
	smBatch = 20 // ids that BatchGetSecretValue takes
	current = "AWSCURRENT"
)

type smAPI interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	BatchGetSecretValue(context.Context, *secretsmanager.BatchGetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.BatchGetSecretValueOutput, error)
}

type smProvider struct {
	clients awsclient.Clients[smAPI]
	batched bool
	noBatch atomic.Bool // the role turned out to lack BatchGetSecretValue
}

// NewSecretsManager returns a [Provider] for secretsmanager:// references: a GetSecretValue call each, up to 32 at once, for the stage or version
// that the reference states, else for AWSCURRENT. Text secrets and binary ones come out byte for byte.
func NewSecretsManager(cfg aws.Config, optFns ...func(*secretsmanager.Options)) Provider {
	return newSecretsManager(backendConfig{source: awsclient.Fixed(cfg)}, optFns...)
}

func newSecretsManager(b backendConfig, optFns ...func(*secretsmanager.Options)) Provider {
	optFns = append(slices.Clip(optFns), func(o *secretsmanager.Options) { o.ClientLogMode &^= awsclient.Unlogged })
	p := &smProvider{batched: b.batch, clients: awsclient.Clients[smAPI]{Source: b.source,
		New: func(cfg aws.Config) smAPI { return secretsmanager.NewFromConfig(cfg, optFns...) }}}
	return &streamer{p.stream}
}

func (p *smProvider) stream(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	type together struct {
		region string
		arn    bool
		alone  int
	}
	results := make([]Result, len(refs))
	// A list that names one secret twice is refused. Names and ARNs of one secret cannot be told from here, so they go apart.
	parallel.Batches(ctx, len(refs), smBatch, func(i int) (together, string) {
		d := refs[i].data()
		key := together{region: d.Region, arn: strings.HasPrefix(d.ID, "arn:")}
		if !p.batched || p.noBatch.Load() || refs[i].Scheme() != SecretsManager || d.Version != "" || d.Stage != "" && d.Stage != current {
			key.alone = i + 1
		}
		return key, d.ID
	}, func(ctx context.Context, batch []int) {
		p.batch(ctx, refs, batch, results)
		for _, i := range batch {
			deliver(i, results[i])
		}
	})
}

func (p *smProvider) single(ctx context.Context, ref Ref) Result {
	const operation = "secretsmanager:GetSecretValue"
	in := &secretsmanager.GetSecretValueInput{SecretId: aws.String(ref.ID())}
	if v := ref.Version(); v != "" {
		in.VersionId = &v
	}
	if s := ref.Stage(); s != "" {
		in.VersionStage = &s
	} else if in.VersionId == nil {
		in.VersionStage = aws.String(current) // the default, but some endpoints answer the newest version where none is stated
	}
	out, err := invoke(ctx, &p.clients, operation, ref, func(ctx context.Context, c smAPI) (*secretsmanager.GetSecretValueOutput, error) {
		return c.GetSecretValue(ctx, in)
	})
	switch {
	case err != nil:
		return failed(ref, err)
	case ref.data().Another(aws.ToString(out.Name), aws.ToString(out.ARN)), in.VersionId != nil && out.VersionId != nil && *out.VersionId != *in.VersionId:
		return failed(ref, garbledError(operation, ref, "the answer is for another secret or version"))
	}
	return secret(ref, operation, out.SecretString, out.SecretBinary, out.VersionId, out.ARN)
}

// batch fetches refs[which] by one BatchGetSecretValue; singly where that is refused, and those that it leaves out.
func (p *smProvider) batch(ctx context.Context, refs []Ref, which []int, results []Result) {
	const operation = "secretsmanager:BatchGetSecretValue"
	left := slices.Clone(which)
	settle := func(i int, r Result) {
		results[i] = r
		left = slices.DeleteFunc(left, func(j int) bool { return i == j })
	}
	in := &secretsmanager.BatchGetSecretValueInput{}
	for _, i := range which {
		in.SecretIdList = append(in.SecretIdList, refs[i].ID())
	}
	for pages := 0; len(which) > 1 && pages < smBatch; pages++ {
		out, err := invoke(ctx, &p.clients, operation, refs[which[0]], func(ctx context.Context, c smAPI) (*secretsmanager.BatchGetSecretValueOutput, error) {
			return c.BatchGetSecretValue(ctx, in)
		})
		if err != nil {
			if err.passing() {
				for _, i := range slices.Clone(left) {
					settle(i, failed(refs[i], err))
				}
			}
			if err.kind == ErrAccessDenied {
				p.noBatch.Store(true)
			}
			break
		}
		for _, i := range slices.Clone(left) {
			ref := refs[i]
			if at := slices.IndexFunc(out.SecretValues, func(s types.SecretValueEntry) bool { return ref.data().IsOf(aws.ToString(s.Name), aws.ToString(s.ARN)) }); at >= 0 {
				s := out.SecretValues[at]
				settle(i, secret(ref, operation, s.SecretString, s.SecretBinary, s.VersionId, s.ARN))
			} else if at := slices.IndexFunc(out.Errors, func(e types.APIErrorType) bool { return aws.ToString(e.SecretId) == ref.ID() }); at >= 0 {
				e := out.Errors[at]
				settle(i, failed(ref, awsError("secretsmanager:GetSecretValue", ref, &smithy.GenericAPIError{Code: aws.ToString(e.ErrorCode), Message: aws.ToString(e.Message)})))
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	parallel.Do(ctx, len(left), func(k int) { results[left[k]] = p.single(ctx, refs[left[k]]) })
}

// secret makes a result of AWS's answer.
func secret(ref Ref, operation string, text *string, binary []byte, version, arn *string) Result {
	plain := string(binary) // the SDK has undone the base64 of the wire
	if text != nil {
		plain = *text
	} else if binary == nil {
		return failed(ref, garbledError(operation, ref, "the answer has neither SecretString nor SecretBinary"))
	}
	return Result{Value: NewValue(plain, aws.ToString(version)), ARN: aws.ToString(arn)}
}
