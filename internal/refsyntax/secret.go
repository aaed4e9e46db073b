package refsyntax

import "strings"

// IsOf reports whether a secret of this name and ARN is the one that r asks for: same name; same ARN; or an ARN that is r's with the six random
// characters appended.
func (r Ref) IsOf(name, arn string) bool {
	if !strings.HasPrefix(r.ID, "arn:") {
		return name == r.ID
	}
	return arn == r.ID || len(arn) == len(r.ID)+7 && strings.HasPrefix(arn, r.ID+"-")
}

// Another reports whether the answer to a question for r alone is for a secret other than r, by this name and ARN. One that names none is for r.
func (r Ref) Another(name, arn string) bool { return name+arn != "" && !r.IsOf(name, arn) }
