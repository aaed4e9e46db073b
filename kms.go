//go:build !secrets.nokms

package secrets

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

type kmsProvider struct {
	clients  *awsclient.Clients[*kms.Client]
	function string
	keys     []string
}

// NewKMS returns a [Provider] that decrypts kms:// references, each by a Decrypt
// call, up to 32 at once. A reference that states no encryption context is tried
// without one and then with {"LambdaFunctionName": $AWS_LAMBDA_FUNCTION_NAME}, as the
// Lambda console encrypts; context=console turns the order round. The second try is
// made only after InvalidCiphertextException or a denial. A key ARN in ?key= sends
// the call to its Region.
func NewKMS(cfg aws.Config, optFns ...func(*kms.Options)) Provider {
	return newKMS(ownConfig(cfg), optFns...)
}

func newKMS(b backendConfig, optFns ...func(*kms.Options)) Provider {
	p := &kmsProvider{function: b.function, keys: b.keys}
	p.clients = awsclient.NewClients(b.source, kms.NewFromConfig, optFns,
		func(o *kms.Options) *aws.ClientLogMode { return &o.ClientLogMode })
	return &streamer{p.stream}
}

// stream makes a call per ciphertext, because KMS has no batch operation. Its quota is 10,000 a
// second and more, so that no fleet has to save them.
func (p *kmsProvider) stream(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	deliverEach(ctx, refs, deliver, p.fetch)
}

// fetch decrypts one ciphertext with each encryption context that it may have been
// encrypted with.
func (p *kmsProvider) fetch(ctx context.Context, ref Ref) Result {
	var worst *ResolveError
	var tried []string
	for _, pairs := range ref.data().Contexts(p.function) {
		tried = append(tried, refsyntax.ShownContext(pairs))
		r, err := p.decrypt(ctx, ref, pairs)
		if err == nil {
			return r
		}
		if worst == nil || worse(err, worst) {
			worst = err
		}
		if !otherContextMayFit(err) {
			break
		}
	}
	worst = worst.forVariable("", ref) // a copy: it may be somebody else's
	worst.contexts = tried
	return Result{Err: worst}
}

// otherContextMayFit reports whether another encryption context may do. A condition
// on the context in a policy turns the wrong try into a denial, as KMS's own check
// into an invalid ciphertext. Nothing else says so, and each try is a call in the
// customer's CloudTrail and bill.
func otherContextMayFit(err *ResolveError) bool {
	return err.denied() || err.Code == "InvalidCiphertextException" && !err.interrupted()
}

// worse reports whether err of a later try tells more than before: a retry may cure
// it, or it is the denial that keeps the context that does fit from being used.
func worse(err, before *ResolveError) bool {
	if err.transient() {
		return true
	}
	return err.kind == ErrAccessDenied && before.kind != ErrAccessDenied
}

// decrypt makes one Decrypt call. It returns an error where KMS refused it.
func (p *kmsProvider) decrypt(
	ctx context.Context, ref Ref, pairs map[string]string,
) (Result, *ResolveError) {
	const operation = "kms:Decrypt"
	// No algorithm is stated, which means a symmetric key: ciphertext of others
	// cannot be told from noise, and takes the key's id besides.
	in := &kms.DecryptInput{CiphertextBlob: []byte(ref.ID()), EncryptionContext: pairs}
	// KMS then refuses what was encrypted under another key, whatever that one's
	// policy allows.
	if key := ref.data().Key; key != "" {
		in.KeyId = &key
	}
	out, err := invoke(ctx, p.clients, operation, ref, in, (*kms.Client).Decrypt)
	if err != nil {
		return Result{}, err
	}
	if out.Plaintext == nil {
		return garbled(operation, ref, "the answer has no Plaintext"), nil
	}
	key := aws.ToString(out.KeyId)
	// KMS finds the key by the ciphertext: who can set the variable could have put one
	// there that was encrypted under a key of another account, which allows this role to
	// decrypt.
	if len(p.keys) > 0 && !slices.Contains(p.keys, key) {
		err := problemError(operation, ref, ErrDecrypt, "it was encrypted under "+
			clip(key, 200)+", which is not among the keys of WithKMSKeys")
		err.hint = "encrypt the value under a pinned key, or add this key if it is yours"
		return failed(ref, err), nil
	}
	plain := string(out.Plaintext)
	clear(out.Plaintext) // one copy less
	return Result{Value: NewValue(plain, ""), ARN: key}, nil
}
