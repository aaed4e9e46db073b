package refsyntax

// Error says why a text is not a reference. It quotes neither ciphertext nor a literal's value; an error of [Bare] quotes
// nothing of the text at all. Positions are byte offsets and begin at 0.
type Error struct {
	Problem string // what is wrong, and where
	Hint    string // how to write it; may be empty
}

// Error joins the problem and the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Problem
	}
	return e.Problem + ": " + e.Hint
}

func fail(problem, hint string) error { return &Error{Problem: problem, Hint: hint} }
