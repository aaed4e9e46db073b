//go:build !secrets.nokms

package secrets

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/parallel"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

type kmsAPI interface {
	Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

type kmsProvider struct {
	clients  awsclient.Clients[kmsAPI]
	function string
	keys     []string
}

// NewKMS returns a [Provider] that decrypts kms:// references, each by a Decrypt call, up to 32 at once. A reference that states no encryption context is
// tried without one and then with {"LambdaFunctionName": $AWS_LAMBDA_FUNCTION_NAME}, as the Lambda console encrypts; context=console
// turns the order round. The second try is made only after InvalidCiphertextException or a denial. A key ARN in ?key= sends the call to its Region.
func NewKMS(cfg aws.Config, optFns ...func(*kms.Options)) Provider {
	return newKMS(backendConfig{source: awsclient.Fixed(cfg), function: os.Getenv("AWS_LAMBDA_FUNCTION_NAME")}, optFns...)
}

func newKMS(b backendConfig, optFns ...func(*kms.Options)) Provider {
	optFns = append(slices.Clip(optFns), func(o *kms.Options) { o.ClientLogMode &^= awsclient.Unlogged })
	p := &kmsProvider{function: b.function, keys: b.keys, clients: awsclient.Clients[kmsAPI]{
		Source: b.source,
		New:    func(cfg aws.Config) kmsAPI { return kms.NewFromConfig(cfg, optFns...) },
	}}
	return &streamer{p.stream}
}

func (p *kmsProvider) stream(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	parallel.Do(ctx, len(refs), func(i int) { deliver(i, p.decrypt(ctx, refs[i])) })
}

func (p *kmsProvider) decrypt(ctx context.Context, ref Ref) Result {
	in := &kms.DecryptInput{CiphertextBlob: []byte(ref.ID())}
	if key := ref.data().Key; key != "" {
		in.KeyId = &key
	}
	var worst *ResolveError // of the tries: what a retry may cure, else the first denial, else the first
	var tried []string
	for _, in.EncryptionContext = range ref.data().Contexts(p.function) {
		tried = append(tried, refsyntax.ShownContext(in.EncryptionContext))
		out, err := invoke(ctx, &p.clients, "kms:Decrypt", ref, func(ctx context.Context, c kmsAPI) (*kms.DecryptOutput, error) { return c.Decrypt(ctx, in) })
		switch {
		case err == nil && out.Plaintext == nil:
			return failed(ref, garbledError("kms:Decrypt", ref, "the answer has no Plaintext"))
		case err == nil && len(p.keys) > 0 && !slices.Contains(p.keys, aws.ToString(out.KeyId)):
			return failed(ref, &ResolveError{Ref: ref, Operation: "kms:Decrypt", kind: ErrDecrypt, region: ref.Region(),
				problem: fmt.Sprintf("it was encrypted under %s, which is not among the keys of WithKMSKeys", clip(aws.ToString(out.KeyId), 200)),
				hint:    "encrypt the value under a pinned key, or add this key if it is yours"})
		case err == nil:
			return Result{Value: NewValue(string(out.Plaintext), ""), ARN: aws.ToString(out.KeyId)}
		}
		if worst == nil || err.passing() || err.kind == ErrAccessDenied && worst.kind != ErrAccessDenied {
			worst = err
		}
		if err.Code != "InvalidCiphertextException" && err.kind != ErrAccessDenied {
			break
		}
	}
	worst = worst.named("", ref) // it may be somebody else's
	worst.contexts = tried
	return Result{Err: worst}
}
