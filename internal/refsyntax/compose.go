package refsyntax

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
)

// A Part is what a reference takes of its source's value. The zero Part is the whole
// value.
type Part struct {
	Field  string // of a JSON value, see package jsonfield; empty: all of it
	Base64 bool   // what stands there is base64 of the part

	// Template is a text made of parts, or empty: then Field and Base64 are. The parts
	// stand between two NUL bytes each, as template writes them.
	Template string
}

const mark = "\x00"

// template returns the part as it stands between two marks.
func (p Part) template() string {
	text := mark
	if p.Base64 {
		text += "base64"
	}
	if p.Field != "" {
		text += "#" + p.Field
	}
	return text + mark
}

// each calls text and part in the order of the template.
func (p Part) each(text func(string), part func(Part)) {
	for i, piece := range strings.Split(p.Template, mark) {
		if i%2 == 0 {
			text(piece)
			continue
		}
		decode, field, _ := strings.Cut(piece, "#")
		part(Part{Field: field, Base64: decode != ""})
	}
}

// Fill returns the template with the value of each part in it. In a text that begins with
// the scheme of a URL the values are percent-encoded, so that a password with @, / or %
// stays one; elsewhere they are inserted as they are. The first error of value ends it.
func (p Part) Fill(value func(Part) (string, error)) (string, error) {
	var b strings.Builder
	var failed error
	encode := isURL(p.Template)
	p.each(func(text string) { b.WriteString(text) }, func(part Part) {
		s, err := value(part)
		switch {
		case failed != nil:
		case err != nil:
			failed = err
		case encode:
			percentEncode(&b, s)
		default:
			b.WriteString(s)
		}
	})
	if failed != nil {
		return "", failed
	}
	return b.String(), nil
}

// isURL reports whether a template begins with the scheme of a URL: postgres://,
// jdbc:mysql://.
func isURL(template string) bool {
	scheme, _, ok := strings.Cut(template, "://")
	if !ok || scheme == "" {
		return false
	}
	return unicode.IsLetter(rune(scheme[0])) && stray(scheme, "+.-:") < 0
}

// percentEncode writes s with all but the unreserved characters of RFC 3986 encoded.
func percentEncode(b *strings.Builder, s string) {
	const hexDigits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if stray(s[i:i+1], "-._~") < 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
}

// DecodeBase64 decodes what stands in a value: either alphabet, padded or not, with white
// space in it.
func DecodeBase64(text string) (string, bool) {
	text = plainBase64.Replace(text)
	bare := strings.TrimRight(text, "=")
	padding := len(text) - len(bare)
	whole := len(text)%4 == 0 && padding <= 2
	if padding > 0 && !whole {
		return "", false
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(bare)
	return string(b), err == nil
}

// plainBase64 takes out line breaks, which base64 without -w0 leaves, and the URL-safe
// alphabet, which tools use that write references as URLs.
var plainBase64 = strings.NewReplacer(
	" ", "", "\t", "", "\n", "", "\v", "", "\f", "", "\r", "", "-", "+", "_", "/")

// setField sets the field. What would keep the text of r from parsing back is refused.
func (r *Ref) setField(value string) error {
	if err := checkField(value); err != nil {
		return err
	}
	r.Field, r.Template = value, ""
	return nil
}

func checkField(value string) error {
	const byCode = "such a field is read by Value.Field"
	braces := strings.Contains(value, "{{") || strings.Contains(value, "}}")
	_, mentioned := findMention(value, 0)
	switch {
	case value == "":
		return fail("the field is empty", "write #name, #a.b.0 or #/a/b")
	case !printable(value), strings.TrimRightFunc(value, blank) != value:
		return fail("the field holds a control character, invalid UTF-8 or a space at its "+
			"end", byCode)
	case value[0] == '#':
		return fail("two # stand before the field", "write one, and a path in it as #a.b")
	case strings.Contains(value, "${"), strings.Contains(value, "$("), braces:
		return fail("the field holds ${, $(, {{ or }}: nothing expands variables here", byCode)
	case commentAt(value) >= 0:
		return fail("a comment stands behind the reference", "leave it out")
	case value[0] == '<' && value[len(value)-1] == '>':
		return fail("the field is a placeholder that nobody filled in", "write its name")
	case mentioned:
		return fail("a second reference stands behind the first", severalHint)
	case value[0] == '/' && badPointer(value):
		const hint = "write ~0 for ~ and ~1 for / in a key"
		return fail("the JSON Pointer has a ~ that is neither ~0 nor ~1", hint)
	}
	return nil
}

func badPointer(s string) bool {
	return strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(s), "~")
}

// commentAt returns the place of a comment behind a reference, with the space before it,
// or -1.
func commentAt(text string) int {
	for _, sign := range []string{" #", "\t#", " //", "\t//"} {
		if i := strings.Index(text, sign); i >= 0 {
			return i
		}
	}
	return -1
}

const (
	severalHint = "write {{…}} around each, as in {{sm://prod/db#username}}:" +
		"{{sm://prod/db#password}}; all of one text belong to one source"
	bracesHint = "write {{sm://prod/db#password}}, the reference in double braces, in its place"
)

// setTemplate sets the text of code: {{#field}}, {{?decode=base64#field}} or {{}} stand
// for parts.
func (r *Ref) setTemplate(text string) error {
	var out strings.Builder
	parts := 0
	for {
		before, rest, found := strings.Cut(text, "{{")
		out.WriteString(before)
		if !found {
			break
		}
		inner, after, closed := strings.Cut(rest, "}}")
		part, err := parsePart(strings.TrimFunc(inner, blank))
		if !closed || err != nil {
			return cmpErr(err, fail("the double braces are not closed", "write }} behind the part"))
		}
		out.WriteString(part.template())
		text = after
		parts++
	}
	return r.compose(out.String(), parts)
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func parsePart(text string) (p Part, err error) {
	options, field, hasField := strings.Cut(text, "#")
	if hasField {
		err = checkField(field)
	}
	switch {
	case err != nil:
		return Part{}, err
	case options != "" && options != "?decode=base64":
		return Part{}, fail("the text between the braces is no part",
			"write {{#field}}, {{?decode=base64#field}}, or {{}} for the whole value")
	}
	return Part{Field: field, Base64: options != ""}, nil
}

// compose makes r the composed text of a template with that many parts in it.
func (r *Ref) compose(template string, parts int) error {
	const schemeHint = "write the scheme of the URL as text, so that what follows is " +
		"percent-encoded"
	switch {
	case parts == 0:
		return fail("the text holds no part", bracesHint)
	case strings.Count(template, mark) != 2*parts:
		return fail("the text holds a NUL byte", "leave it out")
	case strings.HasPrefix(template, mark) && strings.HasPrefix(afterPart(template), "://"):
		return fail("a part stands where the scheme of a URL does", schemeHint)
	}
	var loose error
	r.Part = Part{Template: template}
	r.each(func(text string) {
		if _, found := findMention(text, 0); found || resolveAt(text) >= 0 {
			loose = fail("a reference stands outside the double braces", severalHint)
		}
	}, func(Part) {})
	return loose
}

func afterPart(template string) string {
	_, rest, _ := strings.Cut(template[1:], mark)
	return rest
}

// composedText prints each part with the whole source, so that the text parses back.
func (r Ref) composedText() string {
	var b strings.Builder
	first := true
	r.each(func(text string) { b.WriteString(text) }, func(p Part) {
		b.WriteString("{{" + r.partRef(p, first).Text() + "}}")
		first = false
	})
	return b.String()
}

// composedShown shows the parts. What stands between them may be a plaintext.
func (r Ref) composedShown() string {
	var b strings.Builder
	first := true
	r.each(func(text string) {
		if text != "" {
			b.WriteString("…")
		}
	}, func(p Part) {
		b.WriteString("{{" + r.partRef(p, first).Shown() + "}}")
		first = false
	})
	return b.String()
}

// partRef returns the reference to one part. The first states the bounds of all.
func (r Ref) partRef(p Part, first bool) Ref {
	r.Part = p
	if !first {
		r.TTL, r.Stale, r.HasTTL, r.HasStale, r.Optional = 0, 0, false, false, false
	}
	return r
}

// bracesAt returns the place of the next reference in double braces, from byte from on,
// or -1. The braces of other templates are plain text.
func bracesAt(text string, from int) int {
	for {
		i := strings.Index(text[from:], "{{")
		if i < 0 {
			return -1
		}
		at := from + i
		inner := strings.TrimLeftFunc(text[at+2:], blank)
		if m, ok := readMention(text, len(text)-len(inner)); ok && m.ours {
			return at
		}
		from = at + 1
	}
}

// parseComposed reads a text with references in double braces.
func parseComposed(text string, quote bool) (Ref, error) {
	var r Ref
	var template strings.Builder
	parts, end := 0, 0
	for at := bracesAt(text, 0); at >= 0; at = bracesAt(text, end) {
		inner, _, closed := strings.Cut(text[at+2:], "}}")
		if !closed {
			problem := fmt.Sprintf("the double braces at byte %d are not closed", at)
			return Ref{}, fail(problem, "write }} behind the reference")
		}
		one, err := parseOne(strings.TrimFunc(inner, blank), quote)
		if err != nil {
			return Ref{}, named(fmt.Sprintf("the reference in braces at byte %d", at), err)
		}
		if one.Scheme == Literal {
			return Ref{}, fail("a literal stands in double braces", "write the text itself there")
		}
		if parts > 0 {
			if one, err = sameSource(r, one); err != nil {
				return Ref{}, err
			}
		}
		template.WriteString(text[end:at] + one.Part.template())
		r = one
		end = at + len("{{") + len(inner) + len("}}")
		parts++
	}
	rest := text[end:]
	onlyPart := parts == 1 && rest == ""
	if onlyPart && template.String() == r.Part.template() {
		return r, nil // nothing but a reference
	}
	err := r.compose(template.String()+rest, parts)
	return r, err
}

// sameSource joins what two references of one text state, or says that they are of two
// sources.
func sameSource(a, b Ref) (Ref, error) {
	if a.Source() != b.Source() {
		const problem = "two sources stand in one text: their values would be of two moments"
		const hint = "put both into one secret, or each into a variable of its own"
		return Ref{}, fail(problem, hint)
	}
	ttls, stales := a.HasTTL && b.HasTTL, a.HasStale && b.HasStale
	switch {
	case ttls && a.TTL != b.TTL, stales && a.Stale != b.Stale:
		return Ref{}, fail("two references of one text state two bounds", "state it in the first")
	}
	if a.HasTTL {
		b.HasTTL, b.TTL = true, a.TTL
	}
	if a.HasStale {
		b.HasStale, b.Stale = true, a.Stale
	}
	b.Optional = a.Optional || b.Optional
	return b, nil
}
