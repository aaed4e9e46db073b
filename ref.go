package secrets

import (
	"fmt"
	"unique"

	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// A Scheme names the kind of store a reference points into.
type Scheme string

// The schemes. Literal stands for a variable whose text is the value itself; it is never
// fetched.
const (
	KMS            Scheme = "kms"
	SSM            Scheme = "ssm"
	SecretsManager Scheme = "secretsmanager"
	Literal        Scheme = "literal"
)

// A Ref says where a plaintext is: a KMS ciphertext, a parameter, a secret; in which
// Region, at which version or stage, which part of it, and how fresh and how optional it
// has to be. It is an immutable, comparable, canonical handle: references that mean the
// same are ==, except literals, which are equal to their copies only.
//
// Make one with [ParseRef], or from untrusted text with [SSMParameter], [Secret] and
// [Ciphertext], which parse no options. An invalid Ref carries its error until it is
// used. Printing a Ref shows a ciphertext's length only; [Ref.Text] is exact. The zero
// Ref is invalid.
type Ref struct {
	// A struct of one pointer is stored directly in an interface, and go-spew's default
	// mode then reads memory that is not there (golang/go#38601). The scheme keeps it
	// from that.
	scheme Scheme

	// A handle rather than the struct: comparing is cheap, and encoders see an address
	// where a ciphertext is. A walker that follows pointers sees the ciphertext.
	handle unique.Handle[refData]
}

type refData struct {
	refsyntax.Ref
	literal *valueData // the text of a literal, out of reach of reflection as that of a Value

	// written is the text to print: somebody searches the log for what stands in the
	// template. A handle has it only where the canonical text differs.
	written string

	problem, hint string // of an invalid one
	declare       string // the scheme by which its variable may be declared instead
}

// ref returns the handle of d. Making one costs more than parsing the text, so New makes
// one for each source, and that of a variable is made for who asks for it.
func (d refData) ref() Ref {
	if d.written != "" && d.written == d.Text() {
		d.written = ""
	}
	return Ref{Scheme(d.Scheme), unique.Make(d)}
}

func makeRef(r refsyntax.Ref, err error) Ref { return newRefData(r, err).ref() }

func newRefData(r refsyntax.Ref, err error) *refData {
	d := &refData{Ref: r}
	if r.Scheme == string(Literal) {
		d.literal, d.ID = NewValue(r.ID, "").d, ""
	}
	if e, ok := err.(*refsyntax.Error); ok {
		d.problem, d.hint, d.declare = e.Problem, e.Hint, e.Declare
	}
	return d
}

// literalRef returns the reference of a variable whose text is the value.
func literalRef(value string) *refData {
	return newRefData(refsyntax.Ref{Scheme: string(Literal), ID: value}, nil)
}

// ParseRef parses the text of a reference, as the package documentation lists them. The
// error is an [ErrInvalidReference] that says what is wrong, where, and how to write it;
// it never quotes ciphertext.
func ParseRef(text string) (Ref, error) {
	r, err := refsyntax.Parse(text)
	ref := makeRef(r, err)
	return ref, ref.invalid()
}

// SSMParameter returns a reference to a parameter by name or full ARN. The name is taken
// as it is, without options, selector, field or tree: it may come from untrusted input.
// Add those with [Ref.With].
func SSMParameter(name string) Ref { return makeRef(refsyntax.Parameter(name)) }

// Secret returns a reference to a secret by name, full ARN or partial ARN, taken as it
// is, like [SSMParameter].
func Secret(id string) Ref { return makeRef(refsyntax.Secret(id)) }

// Ciphertext returns a reference to a KMS ciphertext of 32 to 6144 bytes.
func Ciphertext(blob []byte) Ref { return makeRef(refsyntax.Ciphertext(blob)) }

// With returns r with one thing set: an option by its key as docs/references.md lists
// them, "field" or "text". The keys stage and version also work for a parameter; its label
// is the stage. The value is taken as it is, without percent-decoding; ttl and stale as
// "30s", optional as "true".
//
// With "text" the value is a text made of parts of r, in which {{#field}} stands for a
// field and {{}} for the whole value:
// "postgres://{{#username}}:{{#password}}@db:5432/orders". Where it begins with the
// scheme of a URL, each part is percent-encoded.
//
// An option that the reference cannot have makes an invalid Ref.
func (r Ref) With(key, value string) Ref {
	d := r.data()
	if d.problem != "" {
		return r
	}
	return makeRef(d.With(key, value))
}

// data is not inlined: each copy of it would copy some forty words, and together they
// were a fifth of the package's code.
//
//go:noinline
func (r Ref) data() refData {
	if r == (Ref{}) {
		const hint = "make it with ParseRef, SSMParameter, Secret or Ciphertext"
		return refData{problem: "the Ref is zero", hint: hint}
	}
	return r.handle.Value()
}

func (r Ref) invalid() error {
	if d := r.data(); d.problem != "" {
		return invalidError("", r, d.problem, d.hint)
	}
	return nil
}

// Scheme returns the kind of store.
func (r Ref) Scheme() Scheme { return r.scheme }

// ID returns the parameter's name, path ending in /*, or ARN; the secret's name or ARN;
// the ciphertext's raw bytes. It is "" for a literal, whose text is its value: resolve it
// to get it.
func (r Ref) ID() string { return r.data().ID }

// Region returns the Region stated by an option or an ARN, the first of two, or "" for
// the function's own.
func (r Ref) Region() string { return r.data().Region }

// Failover returns the second Region of ?region=FIRST,SECOND, or "". It is asked where
// the first does not answer and there is no value to serve.
func (r Ref) Failover() string { return r.data().Failover }

// Role returns the ARN of the role that ?role= says to read with, or "" for the
// function's own.
func (r Ref) Role() string { return r.data().Role }

// Key returns the id, alias or ARN of the KMS key that ?key= says has to decrypt, or "".
func (r Ref) Key() string { return r.data().Key }

// Context returns the encryption context that ?context.NAME= states, in a map of its own,
// or nil where r states no pairs.
func (r Ref) Context() map[string]string { return r.data().EncryptionContext() }

// Version returns the pinned version number or id, or "".
func (r Ref) Version() string { return r.data().Version }

// Stage returns the staging label of a secret or the label of a parameter, or "".
func (r Ref) Stage() string { return r.data().Stage }

// Field returns the field asked of a JSON value, or "".
func (r Ref) Field() string { return r.data().Field }

// Source returns what is fetched and cached: r without its part (a field, a composed
// text, decoding), TTL, stale bound and optional mark. Refs with the same Source share
// one fetch, one cache entry and one generation.
func (r Ref) Source() Ref {
	d := r.data()
	if source := d.source(); source != d {
		return source.ref()
	}
	return r // without making its handle once more
}

func (d refData) source() refData {
	d.Ref, d.written = d.Ref.Source(), ""
	return d
}

// A part is what a reference takes of its source's value. The zero part is the whole
// value.
type part = refsyntax.Part

// part returns what r takes of the value of r.Source().
func (r Ref) part() part { return r.data().Part }

// inFailover returns the source that the second Region is asked for, and false where r
// states none.
func (r Ref) inFailover() (Ref, bool) {
	d := r.data()
	second, ok := d.InFailover()
	if !ok {
		return Ref{}, false
	}
	d.Ref = second
	return d.ref(), true
}

// unquoted returns r as one that prints the length of its text only.
func (r Ref) unquoted() Ref {
	d := r.data()
	d.Unquoted, d.written = true, ""
	return d.ref()
}

// Text returns the exact text, ciphertext included: ParseRef(r.Text()) returns r. It is
// for storing and comparing, not for logs. It is "" for an invalid Ref and for a literal,
// which holds its value.
func (r Ref) Text() string {
	d := r.data()
	if d.problem != "" || d.literal != nil {
		return ""
	}
	return d.Ref.Text()
}

// String returns the text for people: as it was written where the reference stands in a
// variable; of a ciphertext kms://(184 bytes), of a literal likewise, of a composed text
// its references.
func (r Ref) String() string {
	d := r.data()
	switch {
	case d.problem != "":
		return "(invalid reference)"
	case d.literal != nil:
		return refsyntax.ShownLiteral(len(d.literal.plain()))
	case d.written != "":
		return d.written
	}
	return d.Shown()
}

// Format prints what String returns, quoted for %q. For verbs that fit no string fmt itself
// would print what is inside.
func (r Ref) Format(f fmt.State, verb rune) {
	if verb != 'q' {
		verb = 's'
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), r.String())
}

// MarshalText returns what String returns: JSON and logs show no ciphertext.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// value returns the value of a literal.
func (r Ref) value() Value { return Value{d: r.data().literal} }

// inRegion returns r with an empty Region filled in, so that a reference that states the
// function's own Region is the same source.
func (r Ref) inRegion(region string) Ref {
	d := r.data()
	if placed := d.inRegion(region); placed != d {
		return placed.ref()
	}
	return r
}

func (d refData) inRegion(region string) refData {
	if unplaced := d.problem != "" || d.literal != nil; !unplaced && d.Region == "" {
		d.Region = region
	}
	return d
}
