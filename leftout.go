//go:build secrets.nokms || secrets.nossm || secrets.nosm

package secrets

import "context"

// leftOut is the provider of a backend that a build tag leaves out.
func leftOut(scheme Scheme, tag string) Provider {
	return ProviderFunc(func(context.Context, Ref) (Value, error) {
		return Value{}, &ResolveError{
			kind:    ErrInvalidReference,
			problem: string(scheme) + " references are left out of this binary",
			hint:    "build without -tags " + tag,
		}
	})
}
