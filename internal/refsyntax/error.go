package refsyntax

import (
	"fmt"
	"unicode/utf8"
)

// Error says why a text is not a reference. It quotes neither ciphertext nor a literal's
// value; an error of [Bare] quotes nothing of the text at all. Positions are byte offsets
// and begin at 0.
type Error struct {
	Problem string // what is wrong, and where
	Hint    string // how to write it; may be empty
	Declare string // the scheme by which to declare the variable instead, or empty

	instead string // the whole text as Hint means it, or empty

	// Of a byte that may not stand in a name, until located writes Problem: what the name
	// is of, where the byte stands, and the byte, which not every error may quote.
	what string
	at   int
	char rune
}

// Error joins the problem and the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Problem
	}
	return e.Problem + ": " + e.Hint
}

// fail is not inlined: a hundred copies of it were 6 kB of a function's file.
//
//go:noinline
func fail(problem, hint string) *Error { return &Error{Problem: problem, Hint: hint} }

// strayed is the error of byte i of a name, which is made of other ones.
func strayed(what, name string, i int, made string) *Error {
	char, _ := utf8.DecodeRuneInString(name[i:])
	return &Error{Hint: "names are made of " + made, what: what, at: i, char: char}
}

// shifted moves the place of a stray byte to that in a longer text.
func shifted(err error, by int) error {
	if e, ok := err.(*Error); ok && e.what != "" {
		e.at += by
	}
	return err
}

// located says where a stray byte is. The name begins at byte base of the text. Without
// quote nothing of the text is told.
func located(err error, base int, quote bool) error {
	e, ok := err.(*Error)
	switch {
	case !ok || e.what == "":
	case !quote:
		e.Problem = fmt.Sprintf("byte %d of %s may not stand in one", e.at, e.what)
	default:
		e.Problem = fmt.Sprintf("%s has %q at byte %d", e.what, e.char, base+e.at)
		if meaning := meaning(e.char); meaning != "" {
			e.Problem += ": " + meaning
		}
	}
	return err
}

// meaning says what a byte in a name usually means, or "".
func meaning(c rune) string {
	if visible(c) < 0 {
		return "a character that nobody sees"
	}
	switch c {
	case '$':
		return "nothing expands variables here"
	case '{', '}':
		return "nothing fills in templates here"
	case '<', '>':
		return "a placeholder that nobody filled in"
	case ' ':
		return "no space stands in a name"
	case '\t':
		return "no tab stands in a name"
	case '\n':
		return "the text has a second line"
	case ',', ';':
		return "a variable takes one reference"
	case '%':
		return "names are not percent-encoded"
	case '\\':
		return "levels are separated by /"
	case '"', '\'':
		return "a quote of the file that it came from"
	case '&':
		return "the first option stands after ?"
	case ':':
		return "a field stands after #, a stage in ?stage="
	}
	return ""
}
