package endpoint

import (
	"slices"
	"time"
)

// Call is one request as the service saw it. Fields of the answer are zero while the request runs, and stay so when a
// fault kept it from being answered.
type Call struct {
	Time        time.Time // arrival, by the service's clock
	Operation   string    // "ssm:GetParameters"; as sent when the target is none of ours
	Region      string    // of the signature
	AccessKeyID string    // of the signature
	Caller      string    // ARN of whose credentials they are, with the session's name: what CloudTrail shows
	// names, paths, IDs, roles asked for, as sent; for Decrypt the key's ARN when the ciphertext's key is known
	Resources  []string
	UserAgent  string
	Connection int // 1 is the first connection accepted; equal numbers share a connection
	Sent       int // bytes of the request body

	Status    int
	Code      string // error code; "" is success
	RequestID string
	Received  int // bytes of the answer's body

	// Plaintexts is the number of values in the answer: secrets, parameters that are not ciphertext, what Decrypt
	// opened.
	Plaintexts int

	account string // of the caller
}

// Calls returns the requests so far in order of arrival. The slice is the caller's, the elements are snapshots.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.calls))
	for i, c := range s.calls {
		calls[i] = *c
		calls[i].Resources = slices.Clone(c.Resources)
	}
	return calls
}

// ResetCalls forgets them. Connection numbers go on.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

// Count is the number of calls whose operation matches the glob: "ssm:*", "kms:Decrypt", "*".
func (s *Server) Count(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if glob(operation, c.Operation) {
			n++
		}
	}
	return n
}

// Answers reports whether there is an operation that matches the glob, so that a test does not count what never comes.
func Answers(operation string) bool {
	for known := range operations {
		if glob(operation, known) {
			return true
		}
	}
	return false
}
