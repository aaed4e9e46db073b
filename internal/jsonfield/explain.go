package jsonfield

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Explain says what is wrong with a field of doc of which [Lookup] returned err, and
// what to do. It calls the field name. It tells kinds and places in doc, and quotes
// nothing of it.
func Explain(name, doc, path string, err error) (problem, hint string) {
	switch err {
	case ErrNotJSON:
		what, hint := notJSON(doc, path)
		return what + ", so it has no field " + name, hint
	case ErrNull:
		return "field " + name + " is null", "store a value in it"
	case ErrMissing:
		return missing(name, doc, path)
	case ErrPath:
		return "field " + name + ": " + err.Error(), pathHint
	}
	return "field " + name + ": " + err.Error(),
		"store JSON without duplicate keys, at most 64 levels deep"
}

const pathHint = "write name, a.b.0 or /a/b, with ~0 for ~ and ~1 for / in a key of the latter"

// missing tells why a valid document has no such field.
func missing(name, doc, path string) (problem, hint string) {
	const drop = "drop the #field, or store a JSON object"
	none := "the JSON value has no field " + name
	if strings.Contains(path, "?") {
		return none, "options stand before the field: ?name=value#field"
	}
	if strings.HasPrefix(path, ".") || strings.ContainsAny(path, "$[") { // of JSONPath and jq
		return none, pathHint
	}
	d, err := Index(doc)
	if err != nil {
		return none, ""
	}
	switch kind := d.root.kind(); kind {
	case "an object":
	case "an array":
		return "the value is an array, and has no field " + name,
			"its elements are #0, #1 and so on: write #0." + strings.Trim(name, `"`) +
				", or store an object"
	case "a string":
		if d.root.holdsJSON() {
			return "the value is a JSON string that holds JSON: encoded twice, so it has " +
					"no field " + name,
				"store the object itself, without quotes around it and without backslashes"
		}
		return "the value is a JSON string, so it has no field " + name, drop
	default:
		return "the value is " + kind + ", not a JSON object, so it has no field " + name, drop
	}
	at, n := d.deepest(path)
	if n == nil || begins(n.text) {
		return none, "check the spelling; fields are case-sensitive"
	}
	problem = "field " + at + " is " + n.kind() + ", not an object, so there is no field " + name
	if n.holdsJSON() {
		return problem, "it holds JSON in a string: store it as an object, or read the whole of " +
			"it and parse it"
	}
	return problem, "check the path"
}

// deepest returns the longest beginning of a path that the document has, which is
// shorter than the path, and what stands there.
func (d *Document) deepest(path string) (at string, n *node) {
	keys, _ := split(path) // Lookup read it
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.root.child(keys[0])
	for i := 1; next != nil && i < len(keys); i++ {
		at, n = strings.Join(keys[:i], "."), next
		next = n.child(keys[i])
	}
	return at, n
}

// holdsJSON reports whether n is a string of what begins like a JSON object or array.
func (n *node) holdsJSON() bool {
	inner, _ := n.value()
	return n.text[0] == '"' && begins(inner)
}

func (n *node) kind() string {
	switch n.text[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	}
	return "a number"
}

// begins reports whether text begins like a JSON object or array.
func begins(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n")
	return text != "" && strings.IndexByte("{[", text[0]) >= 0
}

// notJSON tells the usual faults of a text that is no JSON apart.
func notJSON(doc, path string) (problem, hint string) {
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(doc, "= \t\r\n"))
	key := path[max(strings.LastIndexByte(path, '.'), strings.LastIndexByte(path, '/'))+1:]
	switch {
	case doc == "":
		return "the value is empty", "store a JSON object"
	case strings.HasPrefix(doc, "\ufeff"):
		return "a byte order mark stands before the JSON", "store the text without " +
			"it (UTF-8 without BOM)"
	case strings.HasPrefix(doc, "\xff\xfe"), strings.HasPrefix(doc, "\xfe\xff"):
		return "the value is UTF-16", "store the JSON as UTF-8"
	case err == nil && begins(string(decoded)):
		return "the value is base64 text that holds JSON", "store the JSON itself"
	case begins(doc), strings.HasPrefix(strings.TrimSpace(doc), `"`):
	case labels(doc, key): // the whole of it is no password
		return "the value is not JSON, though that name stands in it",
			"store a JSON object: not YAML, XML or NAME=value, with no quotes around it"
	default:
		return "the value is not JSON", "drop the #field, or store a JSON object"
	}
	for i, c := range doc {
		if c == utf8.RuneError && !strings.HasPrefix(doc[i:], "\ufffd") {
			return fmt.Sprintf("the value has bytes that are not UTF-8, from byte %d on", i+1),
				"store the JSON as UTF-8"
		}
	}
	return syntax(doc)
}

// labels reports whether key stands in doc as the name of something: password=x, password: x,
// <password>, 'password'.
func labels(doc, key string) bool {
	_, after, _ := strings.Cut(doc, key)
	return strings.IndexAny(strings.TrimLeft(after, " "), ":=>'\"%") == 0
}

// syntax tells where a text that begins like JSON stops being it.
func syntax(doc string) (problem, hint string) {
	var err *json.SyntaxError
	if !errors.As(json.Unmarshal([]byte(doc), new(json.RawMessage)), &err) {
		return "the value has half of a surrogate pair in a \\u escape",
			"write both halves, or the character itself"
	}
	// The offset counts from 1 and is that of the first byte that does not fit.
	at := max(int(err.Offset), 1)
	if at > len(doc) || strings.Contains(err.Error(), "unexpected end") {
		problem := fmt.Sprintf("the JSON ends too early, after %d bytes", len(doc))
		return problem, "store the whole of it"
	}
	where := fmt.Sprintf(" at byte %d", at)
	before := strings.TrimRight(doc[:at-1], " \t\r\n")
	switch c := doc[at-1]; {
	case c == '\n' || c == '\r':
		return "a line break inside a string" + where, `write \n for it`
	case c < ' ':
		return "a control character inside a string" + where, `write \t or \u00XX for it`
	case c == '\'':
		return "single quotes stand where JSON has double quotes" + where,
			`write {"name":"value"}`
	case strings.HasSuffix(before, ",") && strings.IndexByte("}]", c) >= 0:
		return fmt.Sprintf("it begins like a JSON object; not JSON from byte %d on: a comma "+
			"stands before the closing bracket", at), "leave the last comma out"
	}
	return fmt.Sprintf("it begins like JSON; not JSON from byte %d on", at),
		"store valid JSON: double quotes around names and strings, no comments, nothing behind it"
}
