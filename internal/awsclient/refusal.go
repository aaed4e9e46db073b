package awsclient

import "errors"

// A Refusal is a request or an answer that this library does not let through. It is not retried
// on the spot: the same request would meet the same end.
type Refusal struct {
	Problem, Hint string
	// Permanent says that the configuration has to change; otherwise the next call may do.
	Permanent bool
}

func (r *Refusal) Error() string { return r.Problem }

// Refused returns the Refusal in err's chain, or nil.
func Refused(err error) *Refusal {
	var r *Refusal
	errors.As(err, &r)
	return r
}
