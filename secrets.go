// Package secrets turns references in a Lambda function's environment into plaintext. A
// reference says where a plaintext is: a KMS ciphertext, an SSM parameter or a Secrets
// Manager secret.
//
//	var env *secrets.Env
//
//	func main() {
//		env = secrets.MustWarm(context.Background())
//		lambda.Start(handle)
//	}
//
//	func handle(ctx context.Context, e Event) (Reply, error) {
//		password, err := env.Get(ctx, "DB_PASSWORD") // DB_PASSWORD=sm://prod/db#password
//		if err != nil {
//			return Reply{}, err
//		}
//		return query(ctx, password.Reveal(), e)
//	}
//
// # References
//
// A variable is a reference if its value begins with a scheme, which names the store:
//
//	kms://AQICAH…              a KMS ciphertext in base64
//	ssm:///app/db/password     a parameter; :3 after it is a version, :blue a label
//	ssm:///app/prod/*          a tree: every parameter below a path, as one JSON object
//	sm://prod/db               a secret, by name or ARN; also secretsmanager://
//	sm://prod/db#password      one field of a JSON value; #a.b.0 and #/a/b/0 go deeper
//
// Options stand before the field; docs/references.md lists all. A stage is a label on one
// version of a secret: AWSCURRENT, AWSPREVIOUS, or AWSPENDING while a rotation goes on. If
// an optional value is absent, [Env.Warm] does not fail, and [Env.Get] returns
// [ErrNotFound].
//
//	sm://prod/db?ttl=30s&optional#password      fresh for 30 s; it may be absent
//	sm://prod/db?stage=AWSPREVIOUS              the version before the current one
//	sm://prod/db?region=eu-west-1,us-east-1     the second Region if the first is down
//	sm://prod/db?role=arn:aws:iam::…:role/NAME  the role to read with, in any account
//	ssm:///app/key?decode=base64                the stored text is base64 of the value
//
// A text made of parts of one source holds references in double braces:
//
//	postgres://{{sm://prod/db#username}}:{{sm://prod/db#password}}@db/orders
//
// A source is what is fetched as a whole: a ciphertext, a parameter, a tree or a secret.
// What one fetch of a source brings is a generation: fields of one generation belong
// together.
//
// [WithVars] declares a variable that holds a bare ciphertext, name or ARN. A malformed
// reference makes [New] fail, and so does a reference of another tool for the same
// stores. [Env.Get] of a plain variable returns [ErrNotReference]. A literal is a
// variable whose text is the value, such as literal://sm://is/a/password. The glossary
// defines the other terms:
// https://github.com/lambdasecrets/secrets/blob/main/docs/glossary.md
//
// # Reading
//
// [New] reads the environment and makes no call. [Env.Warm] resolves every reference in
// one round: all calls leave together. [MustWarm] is both. [Env.Get] then costs a map
// lookup. Take the plaintext out with [Value.Reveal], use it, and call Get again next
// time: this is how a rotated secret arrives.
//
// [Env.Do] fetches the newer password after a database refuses the old one, and runs the
// function again. [Derive] keeps what a program builds from a secret, such as a pool.
// [Env.Snapshot] reads several variables, with one generation for each source.
//
// # Freshness
//
// A value is fresh for its TTL, its time to live ([WithTTL], 5 minutes). A caller that
// reads an older value refreshes it first. Age counts by the wall clock or the monotonic
// clock, whichever says more: Lambda freezes the process between events, and the
// monotonic clock with it. Nothing runs in the background. A ciphertext and a pinned
// (stated) version never change, so the package does not fetch them again.
//
// While a refresh fails, callers get the old value, and [Value.Stale] reports it. The
// stale bound limits its age while refreshes fail for a retryable reason ([WithMaxStale],
// 24 hours). The grace is how long it outlives a denial or a deletion ([WithGrace], 5
// minutes).
//
// # Providers
//
// An [Env] reads through a [Cache], and the cache through a [Provider] for each scheme:
// [NewKMS], [NewSSM], [NewSecretsManager], or your own ([WithProvider]). Each layer can
// be used alone. In a test, package secretstest makes an Env of a map; on a laptop,
// [WithLocalValues] does.
//
// # Errors
//
// Every failure is a [*ResolveError] of one of the kinds [ErrNotFound],
// [ErrAccessDenied], [ErrThrottled], [ErrUnavailable], [ErrDecrypt], [ErrField],
// [ErrInvalidReference], [ErrConfiguration] and [ErrNotReference]. Its Error is one short
// line, because Lambda shows it to the invoker. [Detail] is for the log: it says what to
// do. A failure is retryable if another try may succeed without a change to code, policy
// or configuration, and permanent otherwise; [Retryable] tells. No error carries
// plaintext or ciphertext, nor the SDK's response.
package secrets

import (
	"context"
	"time"

	"github.com/lambdasecrets/secrets/internal/guard"
	"github.com/lambdasecrets/secrets/internal/parallel"
)

// A Provider fetches plaintext for references. [Cache] is one, in front of another. It must
// be safe for concurrent use.
type Provider interface {
	// Fetch returns exactly one Result per ref, in order, in as few calls as it can. The
	// refs are distinct and share one scheme, one Region and one role. They carry no field,
	// TTL, stale bound or optional mark (see [Ref.Source]). An empty Region is the
	// provider's own. Fetch returns soon after ctx ends. It need not retry: the cache
	// retries what is retryable.
	Fetch(ctx context.Context, refs []Ref) []Result
}

// A Result is what a Provider returns for one reference: a Value, or an error. The error
// wraps one of the Err… kinds if it is known; one that wraps none counts as retryable. The
// zero Result is a provider's bug and becomes an error.
type Result struct {
	Value Value  // what was fetched; ignored if Err is set
	ARN   string // of the parameter, secret or key it came from, for Env.Refs; may be ""
	Err   error  // why there is no Value, or nil

	region string // the reference's second Region, if the Value came from there
	// whole: with Err, no reference of the call was answered, see ResolveError.wholeCall.
	whole   bool
	warning string        // for the log: the Value is about to outgrow a limit; or ""
	age     time.Duration // of a Value that was in a Cache already
}

// A ProviderFunc is a [Provider] that fetches one reference at a time, up to 32 at once.
type ProviderFunc func(ctx context.Context, ref Ref) (Value, error)

// Fetch calls f for every ref, up to 32 at once (fewer with little memory), and waits for
// all of them.
func (f ProviderFunc) Fetch(ctx context.Context, refs []Ref) []Result {
	return streamFunc(f.stream).collect(ctx, refs)
}

// stream guards each call of f by itself: one that panics fails its own reference only.
func (f ProviderFunc) stream(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	parallel.Do(ctx, len(refs), func(i int) {
		var r Result
		problem := guard.Call(func() string {
			r.Value, r.Err = f(ctx, refs[i])
			return ""
		})
		if problem != "" {
			r = failed(refs[i], garbledError("", refs[i], problem))
		}
		deliver(i, r)
	})
}

var _ Provider = ProviderFunc(nil)
