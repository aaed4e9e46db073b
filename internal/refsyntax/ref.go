// Package refsyntax parses and prints the text of references, such as ssm:///app/db/password?ttl=1m or
// sm://prod/db#password. It knows the grammar of names, ARNs, ciphertext and options, and makes no call.
//
// A well-formed [Ref] has one text, and that text parses back to an equal Ref. What a service would refuse, or read as
// something else than was meant, is refused here, since a malformed parameter name comes back from AWS as a denial and
// takes its whole batch along.
package refsyntax

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The schemes of references. In text, sm is another name for secretsmanager.
const (
	KMS            = "kms"
	SSM            = "ssm"
	SecretsManager = "secretsmanager"
	Literal        = "literal"
)

// The values of [Ref.Context] that are not pairs.
const (
	ContextNone    = "none"    // no encryption context, and no second try
	ContextConsole = "console" // the context of the Lambda console's helper first, then none
)

// Ref is a reference taken apart. It is comparable, and equal to another when both mean the same. Make one with [Parse],
// [Bare] or the typed constructors; the zero Ref means nothing.
type Ref struct {
	Scheme string

	// ID is the ciphertext's bytes; the parameter's name, its ARN or a tree such as /app/prod/*, without selector; the
	// secret's name or ARN, without tail; the literal's value.
	ID string

	// Version and Stage pick one version. Of a parameter at most one is set: all digits, or a label. Under
	// /aws/reference/secretsmanager/ they are a secret's version id or staging label; of a secret, both may be set.
	Version, Stage string

	Region string // as stated, or taken from the ARN in ID or Key; empty: the program's own
	Key    string // KMS key id, alias or ARN that has to decrypt; empty: any

	// Context is empty for the default order of tries, ContextNone, ContextConsole, or the pairs of a stated encryption
	// context as options, sorted by name and percent-encoded: context.A=x&context.B=y.
	Context string

	Field string // of a JSON value, see package jsonfield

	TTL, Stale                 time.Duration // meaningless unless HasTTL, HasStale
	HasTTL, HasStale, Optional bool

	// Unquoted marks a copy that is for errors and logs only: [Ref.Shown] tells its length. It is no part of the reference.
	Unquoted bool
}

// Text returns the reference as [Parse] reads it, exact and canonical: equal Refs have equal texts. It holds the whole
// ciphertext of a kms reference and the value of a literal, so it is not for logs.
func (r Ref) Text() string {
	var b strings.Builder
	b.WriteString(r.Scheme + "://")
	switch r.Scheme {
	case Literal:
		b.WriteString(r.ID)
		return b.String()
	case KMS:
		b.WriteString(base64.StdEncoding.EncodeToString([]byte(r.ID)))
	default:
		b.WriteString(r.ID)
	}
	if sel := r.Version + r.Stage; r.Scheme == SSM && sel != "" {
		b.WriteString(":" + sel)
	}

	sep := "?"
	option := func(text string) {
		b.WriteString(sep + text)
		sep = "&"
	}
	if r.Region != "" && r.Region != r.arnRegion() {
		option("region=" + r.Region)
	}
	if r.Scheme == SecretsManager && r.Stage != "" {
		option("stage=" + escape(r.Stage))
	}
	if r.Scheme == SecretsManager && r.Version != "" {
		option("version=" + r.Version)
	}
	if r.Key != "" {
		option("key=" + r.Key)
	}
	switch r.Context {
	case "":
	case ContextNone, ContextConsole:
		option("context=" + r.Context)
	default:
		option(r.Context)
	}
	if r.HasTTL {
		option("ttl=" + r.TTL.String())
	}
	if r.HasStale {
		option("stale=" + r.Stale.String())
	}
	if r.Optional {
		option("optional")
	}
	if r.Field != "" {
		b.WriteString("#" + r.Field)
	}
	return b.String()
}

// Shown returns the text for people: of a ciphertext and a literal it tells the length only.
func (r Ref) Shown() string {
	switch r.Scheme {
	case KMS:
		_, options, _ := strings.Cut(r.Text(), "?")
		if options != "" {
			options = "?" + options
		} else if r.Field != "" {
			options = "#" + r.Field
		}
		return fmt.Sprintf("kms://(%d bytes)%s", len(r.ID), options)
	case Literal:
		return fmt.Sprintf("literal://(%d bytes)", len(r.ID))
	}
	if r.Unquoted {
		return fmt.Sprintf("%s://(%d bytes)", r.Scheme, len(r.WireName()))
	}
	return r.Text()
}

// Hidden returns what no error about r may quote: the ciphertext, or the value of a literal.
func (r Ref) Hidden() string {
	if r.Scheme == KMS || r.Scheme == Literal {
		return r.ID
	}
	return ""
}

// Unquote takes the name and the selector out of text, such as AWS's message about r, if r is marked as Unquoted. What has less than 4 bytes
// stays: it is in every other word.
func (r Ref) Unquote(text string) string {
	if r.Unquoted {
		name := strings.TrimSuffix(BaseName(r.ID), "*")
		for _, s := range []string{name, strings.TrimPrefix(name, referencePrefix[1:]), r.Selector()} {
			if len(s) > 3 {
				text = strings.ReplaceAll(text, s, "(not shown)")
			}
		}
	}
	return text
}

// Bounds returns the TTL and the stale bound that r states, or the given ones.
func (r Ref) Bounds(ttl, stale time.Duration) (time.Duration, time.Duration) {
	if r.HasTTL {
		ttl = r.TTL
	}
	if r.HasStale {
		stale = r.Stale
	}
	return ttl, stale
}

// Fixed reports whether what r points at can never change: a ciphertext, a pinned version, a literal.
func (r Ref) Fixed() bool { return r.Scheme == KMS || r.Scheme == Literal || r.Version != "" }

// EncryptionContext returns the pairs of a stated encryption context in a new map, or nil when the reference states none.
func (r Ref) EncryptionContext() map[string]string {
	if !strings.HasPrefix(r.Context, "context.") {
		return nil
	}
	pairs := make(map[string]string)
	for pair := range strings.SplitSeq(r.Context, "&") {
		name, value, _ := strings.Cut(strings.TrimPrefix(pair, "context."), "=")
		name, _ = url.PathUnescape(name) // written by escape, so it decodes
		value, _ = url.PathUnescape(value)
		pairs[name] = value
	}
	return pairs
}

// contextText is the inverse of [Ref.EncryptionContext].
func contextText(pairs map[string]string) string {
	var text []string
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		text = append(text, "context."+escape(name)+"="+escape(pairs[name]))
	}
	return strings.Join(text, "&")
}

// arnRegion is the Region that the reference's ARN states, or empty.
func (r Ref) arnRegion() string {
	arn := r.ID
	if r.Scheme == KMS {
		arn = r.Key
	}
	if fields := strings.SplitN(arn, ":", 6); len(fields) == 6 && fields[0] == "arn" {
		return fields[3]
	}
	return ""
}
