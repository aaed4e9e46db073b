package refsyntax

import (
	"errors"
	"fmt"
)

// Error says why a text is not a reference. It quotes neither ciphertext nor a literal's
// value; an error of [Bare] quotes nothing of the text at all. Positions are byte offsets
// and begin at 0.
type Error struct {
	Problem string // what is wrong, and where
	Hint    string // how to write it; may be empty
	Declare string // the scheme by which to declare the variable instead, or empty

	instead string // the whole text as Hint means it, or empty
}

// Error joins the problem and the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Problem
	}
	return e.Problem + ": " + e.Hint
}

func fail(problem, hint string) error { return &Error{Problem: problem, Hint: hint} }

// A strayError is about a byte that may not stand in a name. It becomes an [*Error] by
// [located], where it is known where the name stands in the text and whether the byte may
// be quoted.
type strayError struct {
	what string // "the secret's name"
	at   int    // of the name, or of the text that identify got
	char byte
	made string // what such names are made of
}

func (e *strayError) Error() string {
	return fmt.Sprintf("byte %d of %s may not stand in one", e.at, e.what)
}

// located turns a strayError into an [*Error]. The name begins at byte base of the text.
// Without quote nothing of the text is told.
func located(err error, base int, quote bool) error {
	var e *strayError
	if !errors.As(err, &e) {
		return err
	}
	if !quote {
		return fail(e.Error(), "names are made of "+e.made)
	}
	problem := fmt.Sprintf("%s has %q at byte %d", e.what, e.char, base+e.at)
	if meaning := meanings[e.char]; meaning != "" {
		return fail(problem+": "+meaning, "names are made of "+e.made)
	}
	return fail(problem, "names are made of "+e.made)
}

// meanings says what a byte in a name usually means.
var meanings = map[byte]string{
	'$':  "nothing expands variables here",
	'{':  "nothing fills in templates here",
	'}':  "nothing fills in templates here",
	'<':  "a placeholder that nobody filled in",
	'>':  "a placeholder that nobody filled in",
	' ':  "no space stands in a name",
	'\t': "no tab stands in a name",
	'\n': "the text has a second line",
	',':  "a variable takes one reference",
	';':  "a variable takes one reference",
	'%':  "names are not percent-encoded",
	'\\': "levels are separated by /",
	'"':  "a quote of the file that it came from",
	'\'': "a quote of the file that it came from",
	'&':  "the first option stands after ?",
}
