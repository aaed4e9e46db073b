// Package secrets turns references in a Lambda function's environment into plaintext: KMS ciphertext, SSM parameters and Secrets
// Manager secrets, once per execution environment, fresh by TTL, and never into a log.
//
//	var env *secrets.Env
//
//	func init() { env = secrets.MustWarm(context.Background()) }
//
//	func handle(ctx context.Context, e Event) (Reply, error) {
//		password, err := env.Get(ctx, "DB_PASSWORD")
//		if err != nil {
//			return Reply{}, err
//		}
//		return query(ctx, password.Reveal(), e)
//	}
//
// # References
//
// A variable is a reference if its value says so:
//
//	kms://AQICAH…                       a KMS ciphertext in base64
//	ssm:///app/db/password              a parameter; ssm:///app/db/password:3 its version 3, :blue its label
//	ssm:///app/prod/*                   every parameter below a path, as one JSON object of relative names
//	sm://prod/db                        a secret, by name or ARN; secretsmanager:// means the same
//	sm://prod/db#password               one field of a JSON secret; #a.b.0 or #/a/b/0 inside it
//	sm://prod/db?stage=AWSPREVIOUS&optional
//
// A text made of parts of one source has them in double braces:
//
//	postgres://{{sm://prod/db#username}}:{{sm://prod/db#password}}@db:5432/orders
//
// Options stand before the field; docs/references.md lists them. A variable that holds a bare
// ciphertext, name or ARN is declared with [WithVars]. A malformed reference, and a reference of
// another tool for the same stores, make [New] fail; [Env.Get] of a plain variable is
// [ErrNotReference].
//
// # Reading
//
// [MustWarm] resolves everything in one round during init; [New] alone resolves each variable on first use. [Env.Get] then costs a map
// lookup. Take the plaintext out with [Value.Reveal], use it, and ask again next time: [Env.Get] is how rotation reaches you. After a rejected
// password, [Env.Do] fetches the newer one and tries again; [Derive] keeps what is built from a secret, such as a
// pool; [Env.Snapshot] reads several variables of one generation.
//
// # Freshness
//
// A value is refreshed when a caller reads it and it is older than its TTL ([WithTTL], 5 minutes), by the wall clock or the monotonic one,
// since a frozen sandbox stops the latter. Nothing runs in the background. A ciphertext and a pinned version never change and are never fetched
// again. While a refresh fails, the old value is served, marked [Value.Stale], within [WithMaxStale] and [WithGrace].
//
// # Providers
//
// [Env] stands on a [Cache], the cache on a [Provider] per scheme: [NewKMS], [NewSSM], [NewSecretsManager], or your own by
// [WithProvider]. Each layer can be used alone. In tests, package secretstest makes an Env of a map; on a laptop, [WithLocalValues] does.
//
// # Errors
//
// Every failure is a [*ResolveError] with one of the kinds [ErrNotFound], [ErrAccessDenied], [ErrThrottled], [ErrUnavailable], [ErrDecrypt],
// [ErrField], [ErrInvalidReference], [ErrNotReference]. Error is short, since Lambda shows it to the invoker; [Detail] tells the log what to
// do; [Retryable] whether to try again. No error carries plaintext or ciphertext, nor the SDK's response.
package secrets

import (
	"context"
	"time"

	"github.com/lambdasecrets/secrets/internal/guard"
	"github.com/lambdasecrets/secrets/internal/parallel"
)

// A Provider fetches plaintext for references. [Cache] is one, in front of another. It must be safe for concurrent use.
type Provider interface {
	// Fetch answers refs in as few backend calls as it can: exactly one Result per ref, in order. The refs are
	// distinct, share one scheme and one Region, and carry no field, TTL, stale bound or optional mark (see [Ref.Source]). An empty
	// Region is the provider's own. Fetch returns soon after ctx ends; the cache retries passing failures, so it need not.
	Fetch(ctx context.Context, refs []Ref) []Result
}

// A Result is a Provider's answer for one reference: a Value, or an error that wraps one of the Err… kinds if it is known (an error
// that wraps none is taken as passing). The zero Result is a provider's bug and becomes an error.
type Result struct {
	Value Value  // what was fetched; ignored if Err is set
	ARN   string // of the parameter, secret or key that the value came from, for Env.Refs; may be ""
	Err   error  // why there is no Value, or nil

	region  string        // the second Region that the reference states, if the Value came from there
	warning string        // about the Value, for the log: that it is about to outgrow a limit; or ""
	age     time.Duration // of a Value that was in a Cache already
}

// A ProviderFunc is a [Provider] that fetches one reference at a time, up to 32 at once.
type ProviderFunc func(ctx context.Context, ref Ref) (Value, error)

// Fetch calls f for every ref, up to 32 at once (fewer in a small function), and waits for all of them.
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
