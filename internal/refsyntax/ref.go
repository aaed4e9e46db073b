// Package refsyntax parses and prints the text of references, such as
// ssm:///app/db/password?ttl=1m or sm://prod/db#password. It knows the grammar of names,
// ciphertext and options, and makes no call.
//
// A well-formed [Ref] has one text, and that text parses back to an equal Ref. What a
// service would refuse, or read as something else than was meant, is refused here, since
// a malformed parameter name comes back from AWS as a denial and takes its whole batch
// along.
//
// [Classify] is the one rule that tells references, and what is meant to be one, from
// plain texts.
package refsyntax

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// The schemes of references. In text, sm is the short name of secretsmanager, and the one
// that is printed.
const (
	KMS            = "kms"
	SSM            = "ssm"
	SecretsManager = "secretsmanager"
	Literal        = "literal"
)

const short = "sm"

// The values of [Ref.Context] that are not pairs.
const (
	ContextNone    = "context=none"    // no encryption context, and no second try
	ContextConsole = "context=console" // that of the Lambda console's helper first, then none
)

// Ref is a reference taken apart. It is comparable, and equal to another when both mean
// the same. Make one with [Parse], [Bare] or the typed constructors; the zero Ref means
// nothing.
type Ref struct {
	Scheme string

	// ID is the ciphertext's bytes; the parameter's name, its ARN or a tree such as
	// /app/prod/*, without selector; the secret's name or ARN, without tail; the
	// literal's value.
	ID string

	// Version and Stage pick one version. Of a parameter at most one is set: all digits,
	// or a label. Under /aws/reference/secretsmanager/ they are a secret's version id or
	// staging label; of a secret, both may be set.
	Version, Stage string

	Region   string // as stated, or taken from the ARN in ID or Key; empty: the program's own
	Failover string // the Region to ask when the first one does not answer; empty: none
	Role     string // ARN of the role to read with; empty: the program's own
	Key      string // KMS key id, alias or ARN that has to decrypt; empty: any

	// Context is the stated encryption context as options: empty for the default order of
	// tries, ContextNone, ContextConsole, or pairs, sorted by name and percent-encoded:
	// context.A=x&context.B=y.
	Context string

	Part

	TTL, Stale                 time.Duration // meaningless unless HasTTL, HasStale
	HasTTL, HasStale, Optional bool

	// Unquoted marks a copy that is for errors and logs only: [Ref.Shown] tells its
	// length. It is no part of the reference.
	Unquoted bool
}

// Text returns the reference as [Parse] reads it, exact and canonical: equal Refs have
// equal texts. It holds the whole ciphertext of a kms reference and the value of a
// literal, so it is not for logs.
func (r *Ref) Text() string {
	switch {
	case r.Template != nil:
		return r.composed(asItIs, (*Ref).Text)
	case r.Scheme == Literal:
		return literalPrefix + r.ID
	case r.Scheme == KMS:
		return KMS + "://" + base64.StdEncoding.EncodeToString([]byte(r.ID)) + r.stated()
	case r.Scheme == SSM:
		return SSM + "://" + r.WireName() + r.stated()
	}
	return short + "://" + r.ID + r.stated()
}

// Shown returns the text for people: of a ciphertext and a literal it tells the length
// only, of a composed text the references in it.
func (r *Ref) Shown() string {
	switch {
	case r.Scheme == Literal:
		return ShownLiteral(len(r.ID))
	case r.Template != nil:
		// What stands between the parts may be a plaintext.
		return r.composed(ellipsis, (*Ref).Shown)
	case r.Scheme == KMS:
		return fmt.Sprintf("kms://(%d bytes)", len(r.ID)) + r.stated()
	case r.Unquoted:
		return fmt.Sprintf("%s(%d bytes)", prefix(r.Scheme), len(r.WireName()))
	}
	return r.Text()
}

// ellipsis stands for a text that is not empty.
func ellipsis(text string) string {
	if text == "" {
		return ""
	}
	return "…"
}

// ShownLiteral returns how a literal of n bytes is shown.
func ShownLiteral(n int) string { return fmt.Sprintf("literal://(%d bytes)", n) }

// prefix returns how references of the scheme begin.
func prefix(scheme string) string {
	if scheme == SecretsManager {
		scheme = short
	}
	return scheme + "://"
}

// Quotable reports whether the text of r may be quoted as it was written: [Ref.Shown]
// hides none of it.
func (r *Ref) Quotable() bool { return r.byName() && r.Template == nil }

// byName reports whether r names what it means, and does not hold it.
func (r *Ref) byName() bool { return r.Scheme == SSM || r.Scheme == SecretsManager }

// Hidden returns what no error about r may quote: the ciphertext, or the value of a
// literal.
func (r Ref) Hidden() string {
	if r.byName() {
		return ""
	}
	return r.ID
}

// Unquote takes the name and the selector out of text, such as AWS's message about r, if
// r is marked as Unquoted. What has less than 4 bytes stays: it is in every other word.
func (r Ref) Unquote(text string) string {
	name := strings.TrimSuffix(BaseName(r.ID), "*")
	secret := strings.TrimPrefix(name, BaseName(arn.SecretParameter))
	for _, s := range []string{name, secret, r.Selector()} {
		if r.Unquoted && len(s) > 3 {
			text = strings.ReplaceAll(text, s, "(not shown)")
		}
	}
	return text
}

// Source returns what is fetched: r without its part, bounds and marks.
func (r Ref) Source() Ref {
	r.Part = Part{}
	r.TTL, r.Stale, r.HasTTL, r.HasStale, r.Optional = 0, 0, false, false, false
	r.Unquoted = false
	return r
}

// InFailover returns the source that the second Region is asked for: r there, an ARN with
// its Region replaced, for replicas differ in nothing else. It reports false where r
// states none, and for the pending version of a rotation, which only the first has.
func (r Ref) InFailover() (Ref, bool) {
	if r.Failover == "" || r.Stage == "AWSPENDING" {
		return Ref{}, false
	}
	if r.Scheme != KMS {
		r.ID = arn.InRegion(r.ID, r.Failover)
	}
	r.Key = arn.InRegion(r.Key, r.Failover)
	r.Region, r.Failover = r.Failover, ""
	return r, true
}

// Bounds returns the TTL and the stale bound that r states, or the given ones.
func (r *Ref) Bounds(ttl, stale time.Duration) (time.Duration, time.Duration) {
	if r.HasTTL {
		ttl = r.TTL
	}
	if r.HasStale {
		stale = r.Stale
	}
	return ttl, stale
}

// Fixed reports whether what r points at can never change: a ciphertext, a pinned
// version, a literal.
func (r Ref) Fixed() bool { return !r.byName() || r.Version != "" }

// EncryptionContext returns the pairs of a stated encryption context in a new map, or nil
// when the reference states none.
func (r Ref) EncryptionContext() map[string]string {
	if !strings.HasPrefix(r.Context, pairPrefix) {
		return nil
	}
	pairs := make(map[string]string)
	for _, pair := range strings.Split(r.Context, "&") {
		name, value, _ := strings.Cut(strings.TrimPrefix(pair, pairPrefix), "=")
		name, _ = url.PathUnescape(name) // written by escape, so it decodes
		value, _ = url.PathUnescape(value)
		pairs[name] = value
	}
	return pairs
}

// WithContext returns r, a ciphertext, with that encryption context and no other.
func (r Ref) WithContext(pairs map[string]string) Ref {
	r.Context = contextText(pairs)
	return r
}

// contextText is the inverse of [Ref.EncryptionContext].
func contextText(pairs map[string]string) string {
	var text []string
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		text = append(text, pairPrefix+escape(name)+"="+escape(pairs[name]))
	}
	return strings.Join(text, "&")
}

// arnRegion is the Region that the reference's ARN states, or empty.
func (r *Ref) arnRegion() string {
	if r.Scheme == KMS {
		return arn.Region(r.Key)
	}
	return arn.Region(r.ID)
}

// IsOf reports whether a secret of this name and ARN is the one that r asks for: same
// name; same ARN; or an ARN that is r's with the six random characters appended.
func (r *Ref) IsOf(name, secretARN string) bool {
	if !arn.Is(r.ID) {
		return name == r.ID
	}
	random, found := strings.CutPrefix(secretARN, r.ID)
	appended := len(random) == len("-AbCdEf") && random[0] == '-'
	same := random == "" || appended
	return found && same
}

// Another reports whether the answer to a question for r alone is for a secret other than
// r, by this name and ARN. One that names none is for r.
func (r Ref) Another(name, secretARN string) bool {
	return name+secretARN != "" && !r.IsOf(name, secretARN)
}
