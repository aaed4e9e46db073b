// Package jsonfield takes fields out of a JSON document and keeps their digits.
//
// What is read must not depend on the parser. Package encoding/json judges the grammar;
// but it keeps the last of duplicate keys, replaces invalid UTF-8 and lone surrogates,
// and quotes the document in its errors. Here all of these are refused, anywhere in the
// document, and no error holds anything of it.
package jsonfield

import (
	"errors"
	"strings"
	"sync"
)

// MaxDocument is the largest document that is read, in bytes. A secret has up to 64 KiB.
const MaxDocument = 4 << 20

const maxDepth = 64 // objects and arrays within each other

// The errors of [Lookup] and [Index], returned as they are.
var (
	ErrNotJSON   = errors.New("the value is not JSON") // also: invalid UTF-8
	ErrMissing   = errors.New("the JSON has no such field")
	ErrNull      = errors.New("the field is null")
	ErrDuplicate = errors.New("the JSON has duplicate keys")
	ErrTooDeep   = errors.New("the JSON is nested more than 64 deep")
	ErrTooLarge  = errors.New("the JSON is larger than 4 MiB")
	ErrPath      = errors.New("the field is not a key, a dotted path or a JSON Pointer")
)

// A Document is a JSON text that was checked once, to look up many fields: all of them
// together cost what reading the text once does. It is safe for concurrent use.
type Document struct {
	mu   sync.Mutex // guards the children of all nodes
	root *node
}

// A node is a value within a document.
type node struct {
	text     string           // as it is written
	children map[string]*node // by key or index; nil until the first of them is looked up
}

// Lookup returns the field of doc that path names; see [Document.Lookup]. It reads the
// whole text.
func Lookup(doc, path string) (string, error) {
	d, err := Index(doc)
	if err != nil {
		if _, bad := split(path); bad != nil && err != ErrTooLarge {
			return "", bad
		}
		return "", err
	}
	return d.Lookup(path)
}

// Index checks the text and returns it for many lookups. It keeps the text.
func Index(text string) (*Document, error) {
	if len(text) > MaxDocument {
		return nil, ErrTooLarge
	}
	root, err := document(text)
	if err != nil {
		return nil, err
	}
	return &Document{root: &node{text: root}}, nil
}

// Lookup returns the field that path names. A path that begins with a slash is a JSON
// Pointer (RFC 6901, ~0 for ~ and ~1 for /). Any other is a key of the top object, or
// where there is none such, keys and array indices joined by dots.
//
// A string comes without quotes and with its escapes decoded, a number with the digits
// it was written with, true and false as text, an object or array as the very JSON text
// of the document.
func (d *Document) Lookup(path string) (string, error) {
	keys, err := split(path)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if path[0] != '/' {
		if n := d.root.child(path); n != nil {
			return n.value()
		}
	}
	n := d.root
	for _, key := range keys {
		if n = n.child(key); n == nil {
			return "", ErrMissing
		}
	}
	return n.value()
}

// pointerEscapes are all that may follow a tilde in a JSON Pointer.
var pointerEscapes = strings.NewReplacer("~0", "~", "~1", "/")

// split returns the keys of a path.
func split(path string) ([]string, error) {
	if path == "" {
		return nil, ErrPath
	}
	if path[0] != '/' {
		return strings.Split(path, "."), nil
	}
	keys := strings.Split(path[1:], "/")
	for i, key := range keys {
		if strings.Count(key, "~") != strings.Count(key, "~0")+strings.Count(key, "~1") {
			return nil, ErrPath
		}
		keys[i] = pointerEscapes.Replace(key)
	}
	return keys, nil
}

// child returns one member or element of n, or nil. The first call reads n.
func (n *node) child(key string) *node {
	if n.children == nil {
		n.children = map[string]*node{}
		if begins(n.text) {
			s := scanner{text: n.text, visit: func(k, value string) {
				n.children[k] = &node{text: value}
			}}
			s.value(0) // cannot fail: the document was checked
		}
	}
	return n.children[key]
}

// value returns what n stands for.
func (n *node) value() (string, error) {
	switch {
	case n.text == "null":
		return "", ErrNull
	case n.text[0] == '"':
		return decode(n.text)
	}
	return n.text, nil
}
