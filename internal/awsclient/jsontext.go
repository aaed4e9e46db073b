package awsclient

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// jsonText checks a JSON text that comes in pieces, for what encoding/json lets pass: it
// replaces bytes that are not UTF-8, and halves of surrogate pairs, by U+FFFD, so that a
// damaged password would look like a good one; and it sets no bound to the number of values.
type jsonText struct {
	quoted  bool // in a string
	escaped bool // after a backslash
	digits  int  // that \u still waits for
	unit    rune // of UTF-16, from those digits
	high    bool // a high surrogate waits for its low half
	partial [utf8.UTFMax]byte
	begun   int // bytes of it: the current rune, if it has several
	members int
	open    int  // objects and arrays that have no end yet
	waits   bool // one of escaped, digits, high and begun
}

var (
	errNotUTF8   = errors.New("the answer is not UTF-8")
	errSurrogate = errors.New("the answer holds half of a surrogate pair")
	errMembers   = &Refusal{Problem: fmt.Sprintf("the answer has more than %d members", maxMembers)}
)

// check takes the next piece. It returns the number of bytes before the fault, and the fault.
func (t *jsonText) check(p []byte) (int, error) {
	for i := 0; i < len(p); i++ {
		if t.quoted && !t.waits {
			if i += plain(p[i:]); i == len(p) {
				break
			}
		}
		switch b := p[i]; {
		case t.waits || telling[b]:
			if err := t.next(b); err != nil {
				return i, err
			}
			begun := t.escaped || t.high
			t.waits = begun || t.begun+t.digits > 0
		case b == '"':
			t.quoted = !t.quoted
		}
	}
	return len(p), nil
}

// plain returns how many bytes p begins with that mean nothing in a string, eight at a
// time: neither a quote, nor a backslash, nor a part of a longer rune.
func plain(p []byte) (n int) {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for ; n+8 <= len(p); n += 8 {
		x := binary.LittleEndian.Uint64(p[n:])
		// Up to the first that is found, taking 1 off a byte sets its high bit if it was 0.
		quote, backslash := x^each*'"'-each, x^each*'\\'-each
		if found := (x | quote | backslash) & high; found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	return n
}

// telling holds the bytes besides quotes that mean something, in a string or outside.
// Others outside, such as digits, are for the decoder.
var telling = func() (telling [256]bool) {
	for b := range telling {
		telling[b] = b >= utf8.RuneSelf || strings.IndexByte(`\[]{},`, byte(b)) >= 0
	}
	return telling
}()

func (t *jsonText) next(b byte) error {
	switch {
	case t.begun > 0:
		return t.continueRune(b)
	case t.digits > 0:
		return t.digit(b)
	case t.escaped:
		t.escaped = false
		if b == 'u' {
			t.digits, t.unit = 4, 0
		} else if t.high {
			return errSurrogate
		}
	case t.high && b != '\\':
		return errSurrogate
	case b >= utf8.RuneSelf:
		return t.continueRune(b)
	case t.quoted:
		t.escaped = b == '\\'
	default:
		return t.structure(b)
	}
	return nil
}

func (t *jsonText) structure(b byte) error {
	switch b {
	case '[', '{':
		t.members++
		t.open++
	case ']', '}':
		t.open--
	case ',':
		t.members++
	}
	if t.members > maxMembers {
		return errMembers
	}
	return nil
}

// cutShort reports whether the text ended before its last object or string did. The versions of
// the SDK report that in different ways, some without a type.
func (t *jsonText) cutShort() bool { return t.quoted || t.open > 0 }

func (t *jsonText) continueRune(b byte) error {
	t.partial[t.begun] = b
	t.begun++
	switch begun := t.partial[:t.begun]; {
	case utf8.Valid(begun):
		t.begun = 0
	case utf8.FullRune(begun): // whatever comes, it is none
		return errNotUTF8
	}
	return nil
}

// digit takes a digit of \uXXXX. What is no digit is for the decoder to refuse.
func (t *jsonText) digit(b byte) error {
	t.digits--
	t.unit = t.unit<<4 + rune(max(0, strings.IndexByte("0123456789abcdef", b|0x20)))
	if t.digits > 0 {
		return nil
	}
	isHigh, isLow := t.unit>>10 == 0xD800>>10, t.unit>>10 == 0xDC00>>10
	if t.high != isLow {
		return errSurrogate
	}
	t.high = isHigh
	return nil
}
