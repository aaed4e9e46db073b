package main

import (
	"strings"

	"github.com/lambdasecrets/secrets/examples/internal/environ"
	"github.com/lambdasecrets/secrets/examples/internal/wrap"
)

// status is the outcome of a check. "" is a check that does not apply.
type status string

const (
	ok        status = "ok"
	failed    status = "failed"
	unchecked status = "unchecked"
	absent    status = "absent" // and optional
)

// result is what is known of one variable.
type result struct {
	Function  string `json:",omitempty"`
	Variable  string
	Reference string `json:",omitempty"` // without ciphertext
	Status    status // the worst of the checks

	Reads    status `json:",omitempty"` // the library accepts the text
	Exists   status `json:",omitempty"`
	Version  status `json:",omitempty"` // or stage, or label
	Role     status `json:",omitempty"` // may read it
	Decrypts status `json:",omitempty"`

	Findings []finding `json:",omitempty"`
}

// finding is what is wrong, or why it could not be checked.
type finding struct{ Problem, Next string }

func newResult(e environ.Environment, variable, reference string) *result {
	return &result{Function: e.Where, Variable: variable, Reference: reference, Status: ok}
}

// set notes the outcome of one check. The worst of several counts.
func (r *result) set(check *status, s status, problem, next string) {
	if s == failed && *check == failed {
		return // the first problem is enough
	}
	if *check == "" || *check == ok || s == failed {
		*check = s
	}
	if s == failed || s == unchecked {
		if r.Status == ok || s == failed {
			r.Status = s
		}
		r.Findings = append(r.Findings, finding{problem, next})
	}
}

// text is the result for people: a line, and two per finding.
func (r *result) text() string {
	var did []string
	if kms, _, _ := strings.Cut(r.Reference, "?"); r.Status != ok && kms != "" {
		did = append(did, map[bool]string{true: "a ciphertext", false: r.Reference}[strings.HasPrefix(kms, "kms:")])
	}
	if r.Exists == absent {
		did = append(did, "absent, and optional")
	}
	for _, c := range []struct {
		status status
		name   string
	}{{r.Exists, "exists"}, {r.Version, "has the version"}, {r.Role, "role may read"}, {r.Decrypts, "decrypts"}} {
		if c.status == ok {
			did = append(did, c.name)
		}
	}
	mark := map[status]string{ok: "ok      ", failed: "FAILED  ", unchecked: "?       "}[r.Status]
	text := wrap.Text(mark, "        ", strings.TrimSuffix(r.Variable+": "+strings.Join(did, ", "), ": "))
	for _, f := range r.Findings {
		text += wrap.Text("        ", "        ", f.Problem)
		if f.Next != "" {
			text += wrap.Text("  next: ", "        ", f.Next)
		}
	}
	return text
}
