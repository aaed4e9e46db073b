package secrets

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/jsonfield"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// redacted is what every formatter, encoder and logger gets to see of a [Value].
const redacted = "[REDACTED]"

// maxValue is the largest value that is kept, in bytes: fields of any can be read.
const maxValue = jsonfield.MaxDocument

// A Value is a plaintext that does not leak. The plaintext comes out only through methods
// whose names begin with Reveal (and [Env.RevealAll]): grep Reveal is the audit.
// Everything else, fmt with every verb, JSON, XML, text, log/slog, prints [REDACTED];
// where Go may not call methods (a Value in an unexported field) it prints an address.
// Code that compares Values with ==, or uses them as map keys, does not compile; use
// [Value.Equal]. Encoding with gob fails.
//
// A Value is immutable and safe for concurrent use. It costs two words; copy it freely,
// but do not keep it: ask [Env.Get] again, which is cheap, and follow rotation. The zero
// Value holds nothing; see [Value.IsZero].
type Value struct {
	// Not comparable: == would compare identities, and invite timing attacks were it to
	// compare text.
	_     [0]func()
	d     *valueData
	stale bool
}

type valueData struct {
	// content is a closure, because reflection can walk into a pointer but not into a
	// captured variable.
	content func() *content
	version *versionOf
	at      clock.Moment // just before the request was sent, or zero

	variable string // the one that Derive builds from, for errors of Field; else ""
}

// A content is a plaintext with the backend's name of it, which may quote it.
type content struct {
	plain, version string

	once     sync.Once
	document *jsonfield.Document // of plain, or err; made on first need
	err      error

	shown versionOf
}

func newContent(plain, version string) *content {
	c := &content{plain: plain, version: version}
	c.shown.content = func() *content { return c }
	return c
}

// NewValue returns a Value that holds plaintext, for a [Provider] to return. The version
// is the backend's own name of this content: a version number or id, or "" where the
// backend has none.
func NewValue(plaintext, version string) Value {
	c := newContent(plaintext, version)
	return Value{d: &valueData{content: c.shown.content, version: &c.shown}}
}

func (d *valueData) plain() string { return d.content().plain }

// lookup returns one field of d. All fields of one source together cost one reading of
// its text.
func (d *valueData) lookup(path string) (string, error) {
	c := d.content()
	c.once.Do(func() { c.document, c.err = jsonfield.Index(c.plain) })
	if c.err != nil {
		return "", c.err
	}
	return c.document.Lookup(path)
}

// Reveal returns the plaintext, byte for byte as it was stored: nothing is trimmed,
// decoded or parsed. It panics on the zero Value, so that an ignored error does not
// become an empty password.
func (v Value) Reveal() string {
	if v.d == nil {
		panic("secrets: Reveal of a zero Value: the error that came with it was not checked")
	}
	return v.d.plain()
}

// RevealBytes returns the plaintext as a fresh copy that the caller owns. It panics on
// the zero Value, as Reveal does.
func (v Value) RevealBytes() []byte { return []byte(v.Reveal()) }

// Field returns one field of a JSON object or array as a Value of the same version and
// age. The path is an exact key of the top object ("password", "a.b"), else a dotted path
// ("db.hosts.0"), or a JSON Pointer where it begins with a slash ("/db/hosts/0"). Numbers
// keep their digits, strings lose their quotes, objects and arrays stay JSON. The first
// call reads the whole text, and later ones look the field up.
//
// The error is an [ErrField] for a missing field, null, or a text that is not JSON, each
// in its own words and none quoting the value.
func (v Value) Field(path string) (Value, error) {
	if v.d == nil {
		return Value{}, &ResolveError{
			kind: ErrField, problem: "the Value is zero; check the error that came with it"}
	}
	field, err := v.field(Ref{}, path)
	if err != nil {
		err.Variable = v.d.variable
		return Value{}, err
	}
	return field, nil
}

// forVariable returns v as the value of a variable, which errors of Field name: a build
// of Derive hands them on wrapped, and nobody could tell which of ten pools failed.
func (v Value) forVariable(name string) Value {
	d := *v.d
	d.variable = name
	return Value{d: &d, stale: v.stale}
}

// part returns what p takes of v, of the same version and age. Errors name source, and
// never quote v.
func (v Value) part(source Ref, p part) (Value, *ResolveError) {
	if p.Template != nil {
		return v.composed(source, p)
	}
	if p.Field != "" {
		field, err := v.field(source, p.Field)
		if err != nil {
			return Value{}, err
		}
		v = field
	}
	if !p.Base64 {
		return v, nil
	}
	text, ok := refsyntax.DecodeBase64(v.d.plain())
	if !ok {
		return Value{}, &ResolveError{Ref: source, kind: ErrField,
			problem: "it is not base64, or was cut off: " + shownField(p.Field),
			hint:    "leave ?decode=base64 out, or store the value as base64"}
	}
	return v.holding(text), nil
}

// shownField names a part of a value in an error.
func shownField(field string) string {
	if field == "" {
		return "the whole value"
	}
	return fmt.Sprintf("field %q", clip(field, 100))
}

// composed returns the text of a template filled with the parts of v. It fails with the
// first part that fails: a text with a hole in it is no password.
func (v Value) composed(source Ref, p part) (Value, *ResolveError) {
	text, err := p.Fill(func(p part) (string, error) {
		one, err := v.part(source, p)
		if err != nil {
			return "", err
		}
		return one.d.plain(), nil
	})
	if err != nil {
		return Value{}, err.(*ResolveError)
	}
	return v.holding(text), nil
}

// holding returns a Value of v's version and age that holds text.
func (v Value) holding(text string) Value {
	d := *v.d
	d.content = newContent(text, "").shown.content
	return Value{d: &d, stale: v.stale}
}

func (v Value) field(source Ref, path string) (Value, *ResolveError) {
	text, err := v.d.lookup(path)
	if err != nil {
		return Value{}, fieldError(source, v.d.plain(), path, err)
	}
	return v.holding(text), nil
}

// Equal reports whether both Values hold the same plaintext, in time that depends on the
// lengths alone. It is false if either is zero or empty: an empty secret lets nobody in.
func (v Value) Equal(w Value) bool { return w.d != nil && v.EqualString(w.d.plain()) }

// EqualString reports whether v holds exactly the plaintext s, in time that depends on
// the lengths alone: use it to check a token that a caller sent. It is false if v is
// zero, or if either is empty: a request without a token is not let in by a token that is
// not set.
func (v Value) EqualString(s string) bool { return s != "" && v.holds(s) }

// holds is EqualString that takes the empty text for a text.
func (v Value) holds(s string) bool {
	return v.d != nil && subtle.ConstantTimeCompare([]byte(v.d.plain()), []byte(s)) == 1
}

// sameText reports whether v and w hold the same plaintext, the empty one too.
func (v Value) sameText(w Value) bool { return w.d != nil && v.holds(w.d.plain()) }

// same reports whether v and w are the same content of one source.
func (v Value) same(w Value) bool {
	if v.d == nil || w.d == nil {
		return false
	}
	return v.d.version.raw() == w.d.version.raw() && v.holds(w.d.plain())
}

// IsZero reports whether v is the zero Value. A Value that holds the empty string is not
// zero.
func (v Value) IsZero() bool { return v.d == nil }

// Version returns what the backend calls this content: a Parameter Store version number,
// a Secrets Manager version id. It is "" for KMS ciphertext, trees of parameters,
// literals and the zero Value.
func (v Value) Version() string {
	if v.d == nil {
		return ""
	}
	return v.d.version.String()
}

// FetchedAt returns the wall-clock time just before the request for this Value was sent:
// what it holds was current then or later. It is the zero time for a Value that has not
// been through a [Cache].
func (v Value) FetchedAt() time.Time {
	if v.d == nil || v.d.at == (clock.Moment{}) {
		return time.Time{}
	}
	return time.Unix(0, v.d.at.Wall)
}

// before reports whether v was fetched before w, by the clock that never goes back.
func (v Value) before(w Value) bool { return v.d.at.Mono < w.d.at.Mono }

// Stale reports whether this Value outlived its TTL because its refresh failed: it was
// current at FetchedAt, and is served under the bounds of [WithMaxStale] and [WithGrace].
func (v Value) Stale() bool { return v.stale }

// stamped returns v as the cache keeps it: fetched at that moment, unless it comes out of
// another cache, which knows better.
func (v Value) stamped(at clock.Moment) Value {
	d := *v.d
	d.at = cmp.Or(d.at, at)
	return Value{d: &d, stale: v.stale}
}

var (
	_ slog.LogValuer = Value{}
	_ driver.Valuer  = Value{}
)

// Format prints [REDACTED] for every verb and flag.
func (v Value) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String returns [REDACTED].
func (v Value) String() string { return redacted }

// GoString returns [REDACTED].
func (v Value) GoString() string { return redacted }

// LogValue returns [REDACTED], for log/slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [REDACTED]; encoding/json, encoding/xml and most other encoders use
// it.
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Value makes database drivers fail: they would store what prints, not the plaintext.
// Pass [Value.Reveal].
func (v Value) Value() (driver.Value, error) {
	return nil, errors.New("secrets: a Value is no argument of a query: pass its Reveal()")
}

// UnmarshalText makes v hold text, so that configuration libraries can fill struct fields
// of type Value from [Env.RevealAll]. It refuses text that can be no plaintext
// ([ErrInvalidReference]): a reference or what is meant to be one, the bare ARN of a
// parameter or secret, and [REDACTED], which is what a Value prints. A text that only
// looks like one passes after RevealAll gave it out.
func (v *Value) UnmarshalText(text []byte) error {
	if problem, hint := refused(string(text)); problem != "" {
		return &failures{doing: "a field of type secrets.Value", full: true,
			errs: []*ResolveError{invalidError("", Ref{}, problem, hint)}}
	}
	*v = NewValue(string(text), "")
	return nil
}

// refused says why text can be no plaintext, and what to do, or returns "".
func refused(text string) (problem, hint string) {
	if strings.Contains(text, redacted) {
		return "it was given " + redacted + ", which is what a Value prints",
			"a Value cannot be stored or copied by an encoder: resolve it again where it is read"
	}
	if refsyntax.Classify(text) == refsyntax.Plain {
		return "", ""
	}
	if _, ok := revealed.Load(sha256.Sum256([]byte(text))); ok {
		return "", ""
	}
	return "it was given an unresolved reference",
		"let the configuration library read env.RevealAll(ctx) instead of the process " +
			"environment; a text that is meant is declared by " +
			"WithVars(secrets.Literal, NAME), and read by RevealAll too"
}

// revealed holds digests of the plaintexts that RevealAll gave out and that look like
// references: declared literals, and what a store holds. UnmarshalText sees only a text,
// and takes no other.
var revealed sync.Map

// allowText lets UnmarshalText take text, which RevealAll gives out.
func allowText(text string) {
	if refsyntax.Classify(text) != refsyntax.Plain {
		revealed.Store(sha256.Sum256([]byte(text)), true)
	}
}
