package awsclient

import (
	"errors"
	"fmt"
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
	more    int  // bytes that the current rune still waits for
	low     byte // bounds of the next of them
	up      byte
	members int
	open    int // objects and arrays that have no end yet
}

var (
	errNotUTF8   = errors.New("the answer is not UTF-8")
	errSurrogate = errors.New("the answer holds half of a surrogate pair")
	errMembers   = &Refusal{Problem: fmt.Sprintf("the answer has more than %d members", maxMembers)}
)

// check takes the next piece. It returns the number of bytes before the fault, and the fault.
func (t *jsonText) check(p []byte) (int, error) {
	for i, b := range p {
		if err := t.next(b); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func (t *jsonText) next(b byte) error {
	switch {
	case t.more > 0:
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
	case b >= 0x80:
		return t.beginRune(b)
	case !t.quoted:
		t.structure(b)
		if t.members > maxMembers {
			return errMembers
		}
	case b == '\\':
		t.escaped = true
	case b == '"':
		t.quoted = false
	}
	return nil
}

func (t *jsonText) structure(b byte) {
	switch b {
	case '"':
		t.quoted = true
	case '[', '{':
		t.members++
		t.open++
	case ',':
		t.members++
	case ']', '}':
		t.open--
	}
}

// cutShort reports whether the text ended before its last object or string did. The versions of
// the SDK report that in different ways, some without a type.
func (t *jsonText) cutShort() bool { return t.quoted || t.open > 0 }

// beginRune takes the first byte of a rune of more than one. The bounds are those of RFC 3629,
// section 4: no overlong forms, no surrogates, nothing above U+10FFFF.
func (t *jsonText) beginRune(b byte) error {
	t.low, t.up = 0x80, 0xBF
	switch {
	case b >= 0xC2 && b <= 0xDF:
		t.more = 1
	case b >= 0xE0 && b <= 0xEF:
		t.more = 2
	case b >= 0xF0 && b <= 0xF4:
		t.more = 3
	default:
		return errNotUTF8
	}
	switch b {
	case 0xE0:
		t.low = 0xA0
	case 0xED:
		t.up = 0x9F
	case 0xF0:
		t.low = 0x90
	case 0xF4:
		t.up = 0x8F
	}
	return nil
}

func (t *jsonText) continueRune(b byte) error {
	if b < t.low || b > t.up {
		return errNotUTF8
	}
	t.more, t.low, t.up = t.more-1, 0x80, 0xBF
	return nil
}

// digit takes a digit of \uXXXX. What is no digit is for the decoder to refuse.
func (t *jsonText) digit(b byte) error {
	t.digits--
	t.unit <<= 4
	switch {
	case b >= '0' && b <= '9':
		t.unit += rune(b - '0')
	case b|0x20 >= 'a' && b|0x20 <= 'f':
		t.unit += rune(b|0x20-'a') + 10
	}
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
