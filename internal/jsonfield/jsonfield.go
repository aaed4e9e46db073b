// Package jsonfield takes one field out of a JSON document and keeps its digits.
//
// What is read must not depend on the parser. Package encoding/json judges the grammar; but it keeps the last of duplicate
// keys, replaces invalid UTF-8 and lone surrogates, and quotes the document in its errors. Here all of these are refused,
// anywhere in the document, and no error holds anything of it.
package jsonfield

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDocument = 4 << 20 // bytes; secrets have up to 64 KiB, a tree of 100 parameters up to 800 KiB
	maxDepth    = 64      // objects and arrays within each other
)

// The errors of [Lookup], returned as they are.
var (
	ErrNotJSON   = errors.New("the value is not JSON") // also: invalid UTF-8, a lone surrogate, more after the document
	ErrMissing   = errors.New("the JSON has no such field")
	ErrNull      = errors.New("the field is null")
	ErrDuplicate = errors.New("the JSON has duplicate keys")
	ErrTooDeep   = errors.New("the JSON is nested more than 64 deep")
	ErrTooLarge  = errors.New("the JSON is larger than 4 MiB")
	ErrPath      = errors.New("the field is not a key, a dotted path or a JSON Pointer")
)

// Explain says of an error of [Lookup] what is wrong with the field, which it calls name, and what to do.
func Explain(name string, err error) (problem, hint string) {
	switch err {
	case ErrNotJSON:
		return "the value is not JSON, so it has no field " + name, "drop the #field, or store a JSON object"
	case ErrNull:
		return "field " + name + " is null", "store a value in it"
	case ErrMissing:
		if strings.Contains(name, "?") {
			return "the JSON value has no field " + name, "options stand before the field: ?name=value#field"
		}
		return "the JSON value has no field " + name, "check the spelling; fields are case-sensitive"
	}
	hint = "store JSON without duplicate keys, at most 64 levels deep"
	if err == ErrPath {
		hint = "write name, a.b.0 or /a/b, with ~0 for ~ and ~1 for / in a key of the latter"
	}
	return "field " + name + ": " + err.Error(), hint
}

// Lookup returns the field of doc that path names. A path that begins with a slash is a JSON Pointer (RFC 6901, ~0 for ~ and
// ~1 for /). Any other is a key of the top object, or where there is none such, keys and array indices joined by dots.
//
// A string comes without quotes and with its escapes decoded, a number with the digits it was written with, true and false as
// text, an object or array as the very JSON text of the document.
func Lookup(doc, path string) (string, error) {
	if len(doc) > maxDocument {
		return "", ErrTooLarge
	}
	if path == "" {
		return "", ErrPath
	}
	var keys []string
	if path[0] == '/' {
		for key := range strings.SplitSeq(path[1:], "/") {
			if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(key), "~") {
				return "", ErrPath
			}
			keys = append(keys, strings.NewReplacer("~0", "~", "~1", "/").Replace(key))
		}
	} else {
		keys = strings.Split(path, ".")
	}

	root, err := document(doc)
	if err != nil {
		return "", err
	}
	if path[0] != '/' {
		if node, ok := child(root, path); ok {
			return text(node)
		}
	}
	node := root
	for _, key := range keys {
		var ok bool
		if node, ok = child(node, key); !ok {
			return "", ErrMissing
		}
	}
	return text(node)
}

// Object returns the JSON object of the values, with sorted keys. Strings are escaped only where JSON demands it, so that
// [Lookup] gives each value back as it was; it refuses an object in which a key or value is not UTF-8.
func Object(values map[string]string) string {
	b := []byte{'{'}
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		b = appendString(b, values[key])
	}
	return string(append(b, '}'))
}

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// child returns the JSON text of one member or element of node, which was scanned before.
func child(node, key string) (found string, ok bool) {
	s := scanner{text: node, visit: func(k, value string) {
		if k == key {
			found, ok = value, true
		}
	}}
	s.value(0) // cannot fail a second time
	return found, ok
}

// text returns what the JSON text of a value stands for.
func text(node string) (string, error) {
	switch {
	case node == "null":
		return "", ErrNull
	case node[0] == '"':
		return decode(node)
	}
	return node, nil
}

// scanner reads valid JSON text from pos on. Its methods leave pos behind what they read.
type scanner struct {
	text  string
	pos   int
	visit func(key, value string) // called for each member or element of the outermost value, unless nil
}

// document checks the whole text and returns its value without the white space around.
func document(doc string) (string, error) {
	if !utf8.ValidString(doc) || !json.Valid([]byte(doc)) {
		return "", ErrNotJSON
	}
	doc = strings.Trim(doc, " \t\r\n")
	s := scanner{text: doc}
	return doc, s.value(0)
}

// value reads one value, which stands in depth others. It fails on what encoding/json lets pass.
func (s *scanner) value(depth int) error {
	switch s.text[s.pos] {
	case '{', '[':
		if depth >= maxDepth {
			return ErrTooDeep
		}
		return s.container(depth)
	case '"':
		_, err := decode(s.string())
		return err
	}
	// A number, true, false or null goes on to what may follow it.
	if n := strings.IndexAny(s.text[s.pos:], ",]} \t\r\n"); n >= 0 {
		s.pos += n
	} else {
		s.pos = len(s.text)
	}
	return nil
}

// container reads an object or array.
func (s *scanner) container(depth int) error {
	object := s.text[s.pos] == '{'
	seen := make(map[string]bool)
	s.pos++ // the bracket; below, a comma
	for i := 0; ; i++ {
		s.space()
		if c := s.text[s.pos]; c == '}' || c == ']' {
			s.pos++
			return nil
		}
		key := ""
		if object {
			var err error
			if key, err = decode(s.string()); err != nil {
				return err
			}
			if seen[key] {
				return ErrDuplicate
			}
			seen[key] = true
			s.space()
			s.pos++ // the colon
			s.space()
		}
		start := s.pos
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if depth == 0 && s.visit != nil {
			if !object {
				key = strconv.Itoa(i) // 0, 1, 2: no sign, no leading zero
			}
			s.visit(key, s.text[start:s.pos])
		}
		if s.space(); s.text[s.pos] == ',' {
			s.pos++
		}
	}
}

// string reads a string and returns it as it is written, quotes included.
func (s *scanner) string() string {
	start := s.pos
	for s.pos++; s.text[s.pos] != '"'; s.pos++ {
		if s.text[s.pos] == '\\' {
			s.pos++
		}
	}
	s.pos++
	return s.text[start:s.pos]
}

func (s *scanner) space() {
	for s.pos < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.pos]) >= 0 {
		s.pos++
	}
}

// decode returns what a written string stands for. It refuses lone surrogates, which encoding/json replaces.
func decode(raw string) (string, error) {
	inner := raw[1 : len(raw)-1]
	if !strings.Contains(inner, `\`) {
		return inner, nil
	}
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' {
			continue
		}
		if i++; inner[i] != 'u' {
			continue
		}
		if r := hex(inner[i+1:]); utf16.IsSurrogate(r) {
			low, ok := strings.CutPrefix(inner[i+5:], `\u`)
			if !ok || utf16.DecodeRune(r, hex(low)) == utf8.RuneError {
				return "", ErrNotJSON
			}
			i += 6
		}
		i += 4
	}
	var s string
	if json.Unmarshal([]byte(raw), &s) != nil {
		return "", ErrNotJSON // its own error would quote the text
	}
	return s, nil
}

// hex returns the number that the first four bytes of s write.
func hex(s string) rune {
	n, _ := strconv.ParseUint(s[:4], 16, 16)
	return rune(n)
}
