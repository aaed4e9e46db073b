package secrets

import (
	"errors"
	"unique"

	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// A Scheme names the kind of store a reference points into.
type Scheme string

// The schemes. Literal stands for a variable whose text is the value itself; it is never fetched.
const (
	KMS            Scheme = "kms"
	SSM            Scheme = "ssm"
	SecretsManager Scheme = "secretsmanager"
	Literal        Scheme = "literal"
)

// A Ref says where a plaintext is: a KMS ciphertext, a parameter, a secret; in which Region, at which version or stage, which field
// of it, and how fresh and how optional it has to be. It is an immutable, comparable, canonical handle: references that mean the same are ==.
//
// Make one with [ParseRef], or from untrusted text with [SSMParameter], [Secret] and [Ciphertext], which parse no options. An invalid
// Ref carries its error until it is used. Printing a Ref shows a ciphertext's length only; [Ref.Text] is exact.
// The zero Ref is invalid.
type Ref struct {
	// A handle rather than the struct: comparing is one word, and fmt and encoders see an address where a ciphertext is. A walker that follows pointers sees the ciphertext.
	h unique.Handle[refData]
}

type refData struct {
	refsyntax.Ref
	problem, hint string // of an invalid one
}

func makeRef(r refsyntax.Ref, err error) Ref {
	d := refData{Ref: r}
	var se *refsyntax.Error
	switch {
	case errors.As(err, &se):
		d.problem, d.hint = se.Problem, se.Hint
	case err != nil:
		d.problem = err.Error()
	}
	return Ref{unique.Make(d)}
}

// ParseRef parses the text of a reference, as the package documentation lists them. The error is an [ErrInvalidReference] that
// says what is wrong, where, and how to write it; it never quotes ciphertext.
func ParseRef(text string) (Ref, error) {
	r, err := refsyntax.Parse(text)
	ref := makeRef(r, err)
	return ref, ref.invalid()
}

// SSMParameter returns a reference to a parameter by name or full ARN. The name is taken as it is, without options, selector, field or tree: it may come from
// untrusted input. Add those with [Ref.With].
func SSMParameter(name string) Ref { return makeRef(refsyntax.Parameter(name)) }

// Secret returns a reference to a secret by name, full ARN or partial ARN, taken as it is, like [SSMParameter].
func Secret(id string) Ref { return makeRef(refsyntax.Secret(id)) }

// Ciphertext returns a reference to a KMS ciphertext of 1 to 6144 bytes.
func Ciphertext(blob []byte) Ref { return makeRef(refsyntax.Ciphertext(blob)) }

// With returns r with one option set: region, stage, version, key, ttl, stale, optional, context (none or console),
// context.NAME, or field. The value is taken as it is, without percent-decoding; ttl and stale as "30s", optional as "true". For a parameter, stage is the label.
// An option that the reference cannot have makes an invalid Ref.
func (r Ref) With(key, value string) Ref {
	d := r.data()
	if d.problem != "" {
		return r
	}
	return makeRef(d.With(key, value))
}

// data is not inlined: each copy of it would copy twenty words, and together they were a fifth of the package's code.
//
//go:noinline
func (r Ref) data() refData {
	if r == (Ref{}) {
		return refData{problem: "the Ref is zero", hint: "make it with ParseRef, SSMParameter, Secret or Ciphertext"}
	}
	return r.h.Value()
}

func (r Ref) invalid() error {
	if d := r.data(); d.problem != "" {
		return &ResolveError{Ref: r, kind: ErrInvalidReference, problem: d.problem, hint: d.hint}
	}
	return nil
}

// Scheme returns the kind of store.
func (r Ref) Scheme() Scheme { return Scheme(r.data().Scheme) }

// ID returns the parameter's name, path ending in /*, or ARN; the secret's name or ARN; the ciphertext's raw bytes; a literal's text.
func (r Ref) ID() string { return r.data().ID }

// Region returns the Region stated by an option or an ARN, or "" for the function's own.
func (r Ref) Region() string { return r.data().Region }

// Version returns the pinned version number or id, or "".
func (r Ref) Version() string { return r.data().Version }

// Stage returns the staging label of a secret or the label of a parameter, or "".
func (r Ref) Stage() string { return r.data().Stage }

// Field returns the field asked of a JSON value, or "".
func (r Ref) Field() string { return r.data().Field }

// Source returns what is fetched and cached: r without field, TTL, stale bound and optional mark. Refs with the same Source share one
// fetch, one cache entry and one generation.
func (r Ref) Source() Ref {
	d := r.data()
	d.Field, d.TTL, d.Stale, d.HasTTL, d.HasStale, d.Optional, d.Unquoted = "", 0, 0, false, false, false, false
	return Ref{unique.Make(d)}
}

// unquoted returns r as one that prints the length of its text only.
func (r Ref) unquoted() Ref {
	d := r.data()
	d.Unquoted = true
	return Ref{unique.Make(d)}
}

// Text returns the exact text, ciphertext included: ParseRef(r.Text()) returns r. It is for storing and comparing, not for
// logs. It is "" for an invalid Ref.
func (r Ref) Text() string {
	if d := r.data(); d.problem == "" {
		return d.Ref.Text()
	}
	return ""
}

// String returns the text for people: a ciphertext appears as kms://(184 bytes), a literal likewise.
func (r Ref) String() string {
	if d := r.data(); d.problem == "" {
		return d.Ref.Shown()
	}
	return "(invalid reference)"
}

// GoString returns what String returns.
func (r Ref) GoString() string { return r.String() }

// MarshalText returns what String returns: JSON and logs show no ciphertext.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r Ref) optional() bool { return r.data().Optional }

// A part is what a reference takes of its source's value. The zero part is the whole value.
type part struct {
	field string // of a JSON value
}

// part returns what r takes of the value of r.Source().
func (r Ref) part() part { return part{field: r.Field()} }

// inRegion returns r with an empty Region filled in, so that a reference that states the function's own Region is the same source.
func (r Ref) inRegion(region string) Ref {
	d := r.data()
	if d.problem != "" || d.Region != "" || d.Scheme == string(Literal) {
		return r
	}
	d.Region = region
	return Ref{unique.Make(d)}
}
