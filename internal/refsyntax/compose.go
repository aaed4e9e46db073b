package refsyntax

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// A Part is what a reference takes of its source's value. The zero Part is the whole
// value.
type Part struct {
	Field  string // of a JSON value, see package jsonfield; empty: all of it
	Base64 bool   // what stands there is base64 of the part

	// Template is a text made of parts, or nil: then Field and Base64 are empty. What it
	// holds besides may be a plaintext, such as the password of a user's URL. The parts
	// stand between two NUL bytes each, as template writes them.
	Template *Hidden
}

const mark = "\x00"

// template returns the part as it stands between two marks.
func (p Part) template() string {
	decode, field := "", p.Field
	if p.Base64 {
		decode = "base64"
	}
	if field != "" {
		field = "#" + field
	}
	return mark + decode + field + mark
}

// expand returns the template with its texts and its parts replaced, in their order.
func (p Part) expand(text func(string) string, part func(Part) string) string {
	pieces := strings.Split(p.Template.text(), mark)
	for i, piece := range pieces {
		if i%2 == 0 {
			pieces[i] = text(piece)
			continue
		}
		decode, field, _ := strings.Cut(piece, "#")
		pieces[i] = part(Part{Field: field, Base64: decode != ""})
	}
	return strings.Join(pieces, "")
}

func asItIs(text string) string { return text }

// Fill returns the template with the value of each part in it. In a text that begins with
// the scheme of a URL the values are percent-encoded, so that a password with @, / or %
// stays one; elsewhere they are inserted as they are. It returns the first error of value.
func (p Part) Fill(value func(Part) (string, error)) (string, error) {
	encode := asItIs
	if isURL(p.Template.text()) {
		encode = percentEncode
	}
	var failed error
	text := p.expand(asItIs, func(part Part) string {
		s, err := value(part)
		failed = cmp.Or(failed, err)
		return encode(s)
	})
	if failed != nil {
		return "", failed
	}
	return text, nil
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

// percentEncode encodes all but the unreserved characters of RFC 3986.
func percentEncode(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// DecodeBase64 decodes what stands in a value: either alphabet, padded or not, with white
// space in it.
func DecodeBase64(text string) (string, bool) {
	text = plainBase64.Replace(text)
	encoding := base64.RawStdEncoding
	if strings.HasSuffix(text, "=") {
		encoding = base64.StdEncoding
	}
	// Strict decoding finds a text that lost its end at one more place than the length.
	b, err := encoding.Strict().DecodeString(text)
	return string(b), err == nil
}

// plainBase64 takes out line breaks, which base64 without -w0 leaves, and the URL-safe
// alphabet, which tools use that write references as URLs.
var plainBase64 = strings.NewReplacer(
	" ", "", "\t", "", "\n", "", "\v", "", "\f", "", "\r", "", "-", "+", "_", "/")

// setField sets the field. What would keep the text of r from parsing back is refused.
func setField(r *Ref, _, value string) error {
	r.Field, r.Template = value, nil
	return checkField(value)
}

func checkField(value string) error {
	const byCode = "such a field is read by Value.Field"
	mentioned := findMention(value, 0) != nil
	switch {
	case value == "":
		return fail("the field is empty", "write #name, #a.b.0 or #/a/b")
	case !printable(value), strings.TrimRightFunc(value, blank) != value:
		return fail("the field holds a control character, invalid UTF-8 or a space at its "+
			"end", byCode)
	case value[0] == '#':
		return fail("two # stand before the field, where a path is written as #a.b", "write one")
	case firstOf(value, "${", "$(", "{{", "}}") >= 0:
		return fail("the field holds ${, $(, {{ or }}: nothing expands variables here", byCode)
	case commentAt(value) >= 0:
		return fail("a comment stands behind the reference", "leave it out")
	case strings.TrimFunc(value, around) != value:
		return fail("spaces or quotes stand around the field", "remove them; where they are "+
			"meant, "+byCode)
	case optionIn(value):
		return fail("an option stands behind the field", "write options before it: ?ttl=5m#name")
	case value[0] == '<' && value[len(value)-1] == '>':
		return fail("the field is a placeholder that nobody filled in", "write its name")
	case mentioned:
		return fail("a second reference stands behind the first", severalHint)
	case value[0] == '/' && badPointer(value):
		return fail("the JSON Pointer has a ~ that is neither ~0 nor ~1",
			"write ~0 for ~ and ~1 for / in a key")
	}
	return nil
}

// optionIn reports whether an option stands in what is read as a field.
func optionIn(field string) bool {
	i := strings.IndexAny(field, "?&;")
	key, _, stated := strings.Cut(field[i+1:], "=")
	stated = stated || key == "optional"
	isKey := func(o option) bool { return o.key == key && i >= 0 }
	return stated && slices.ContainsFunc(options[:], isKey)
}

func badPointer(s string) bool {
	return strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(s), "~")
}

// firstOf returns the place in text of the first of the signs that it holds, or -1.
func firstOf(text string, signs ...string) int {
	for _, sign := range signs {
		if i := strings.Index(text, sign); i >= 0 {
			return i
		}
	}
	return -1
}

// commentAt returns the place of a comment behind a reference, with the space before it,
// or -1.
func commentAt(text string) int { return firstOf(text, " #", "\t#", " //", "\t//") }

const (
	severalHint = "write {{…}} around each, as in {{sm://prod/db#username}}:" +
		"{{sm://prod/db#password}}; all of one text belong to one source"
	bracesHint = "write {{sm://prod/db#password}}, the reference in double braces, in its place"
)

// setTemplate sets the text of code: {{#field}}, {{?decode=base64#field}} or {{}} stand
// for parts.
func setTemplate(r *Ref, _, text string) error {
	template, err := compose(text, func(string, int) bool { return true }, parsePart)
	if err == nil && !strings.Contains(template, mark) {
		err = fail("the text holds no part", bracesHint)
	}
	r.Part = Part{Template: hide(template)}
	return err
}

func parsePart(text string) (p Part, err error) {
	options, field, hasField := strings.Cut(text, "#")
	if hasField {
		err = checkField(field)
	}
	if options != "" && options != "?decode=base64" {
		err = fail("the text between the braces is no part",
			"write {{#field}}, {{?decode=base64#field}}, or {{}} for the whole value")
	}
	return Part{Field: field, Base64: options != ""}, err
}

// isPart reports whether a reference begins at byte i of text, behind double braces. The
// braces of other templates are plain text.
func isPart(text string, i int) bool {
	i = len(text) - len(strings.TrimLeftFunc(text[i:], blank))
	m, ok := readMention(text, i, headOf(text[i:]))
	return ok && m.ours
}

// bracesAt returns the place of the next double braces, from byte from on, of which
// begins says that a part is in them, or -1.
func bracesAt(text string, from int, begins func(text string, i int) bool) int {
	for at := from; ; at++ {
		i := strings.Index(text[at:], "{{")
		if i < 0 {
			return -1
		}
		if at += i; begins(text, at+len("{{")) {
			return at
		}
	}
}

// compose returns the template of a text with parts in double braces, which read reads.
func compose(text string, begins func(string, int) bool,
	read func(string) (Part, error)) (string, error) {
	var out strings.Builder
	end := 0
	for at := bracesAt(text, 0, begins); at >= 0; at = bracesAt(text, end, begins) {
		between := text[end:at]
		inner, _, closed := strings.Cut(text[at+len("{{"):], "}}")
		if !closed {
			problem := fmt.Sprintf("the double braces at byte %d are not closed", at)
			return "", fail(problem, "write }} behind the reference")
		}
		end = at + len("{{") + len(inner) + len("}}")
		if templated(text[:at], text[end:]) {
			problem := fmt.Sprintf("a $ or a third brace stands at the braces at byte %d", at)
			return "", fail(problem, "leave it out: it would become part of the value")
		}
		part, err := read(strings.TrimFunc(inner, blank))
		if err != nil {
			return "", named(fmt.Sprintf("the reference in braces at byte %d", at), "", err)
		}
		out.WriteString(between + part.template())
	}
	out.WriteString(text[end:])
	return out.String(), checkTexts(out.String(), text)
}

// templated reports whether what stands around double braces is left over from another
// template language: ${{…}}, {{{…}}}.
func templated(before, behind string) bool {
	third := strings.HasSuffix(before, "{") && strings.HasPrefix(behind, "}")
	return third || strings.HasSuffix(before, "$")
}

// checkTexts checks what a template holds beside its parts.
func checkTexts(template, text string) error {
	pieces := strings.Split(template, mark)
	switch {
	case strings.Contains(text, mark):
		return fail("the text holds a NUL byte", "leave it out")
	case strings.HasPrefix(template, mark) && strings.HasPrefix(pieces[2], "://"):
		return fail("a part stands where the scheme of a URL does", "write the scheme of the "+
			"URL as text, so that what follows is percent-encoded")
	}
	for i := 0; i < len(pieces); i += 2 {
		if findMention(pieces[i], 0) != nil || hasResolve(pieces[i]) {
			return fail("a reference stands outside the double braces", severalHint)
		}
	}
	return nil
}

// parseComposed reads a text with references in double braces.
func parseComposed(text string, quote bool) (r *Ref, err error) {
	template, err := compose(text, isPart, func(inner string) (Part, error) {
		one, err := parseOne(inner, quote)
		switch {
		case err != nil:
			return Part{}, err
		case one.Scheme == Literal:
			return Part{}, fail("a literal stands in double braces", "write the text itself there")
		case r != nil:
			err = one.join(r)
		}
		r = one
		return r.Part, err
	})
	if err != nil {
		return nil, err
	}
	switch one := r.template(); {
	case template == one:
	case strings.TrimFunc(template, around) == one:
		const problem = "spaces or quotes stand around the reference"
		err = suggest(problem, "remove them", quote, r.Text())
	default: // more than a reference in braces
		r.Part = Part{Template: hide(template)}
	}
	return r, err
}

// join adds to r what a, before it in the same text, states.
func (r *Ref) join(a *Ref) error {
	if a.Source() != r.Source() {
		return fail("two sources stand in one text: their values would be of two moments",
			"put both into one secret, or each into a variable of its own")
	}
	ttls, stales := a.HasTTL && r.HasTTL, a.HasStale && r.HasStale
	switch {
	case ttls && a.TTL != r.TTL, stales && a.Stale != r.Stale:
		return fail("two references of one text state two bounds", "state it in the first")
	}
	r.TTL, r.Stale = a.Bounds(r.TTL, r.Stale)
	r.HasTTL, r.HasStale = a.HasTTL || r.HasTTL, a.HasStale || r.HasStale
	r.Optional = a.Optional || r.Optional
	return nil
}

// composed prints each part with the whole source, so that the text parses back. The
// first part states the bounds of all.
func (r *Ref) composed(text func(string) string, part func(*Ref) string) string {
	one := *r
	return r.expand(text, func(p Part) string {
		one.Part = p
		printed := part(&one)
		one = r.Source()
		one.Unquoted = r.Unquoted
		return "{{" + printed + "}}"
	})
}
