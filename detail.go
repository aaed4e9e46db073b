package secrets

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lambdasecrets/secrets/internal/awserr"
)

// Detail returns what a log should say of err: for every failure in it one line with variable, reference, kind, AWS's code, message and request
// id, the Region and endpoint that were asked, and what to do. It contains no plaintext and no ciphertext. For an error that is not of this package it
// returns err.Error().
func Detail(err error) string {
	var d interface{ Detail() string }
	switch {
	case err == nil:
		return ""
	case errors.As(err, &d):
		return d.Detail()
	}
	return err.Error()
}

// Detail returns one line per failure.
func (f *failures) Detail() string {
	if len(f.errs) == 1 && !f.full {
		return f.errs[0].Detail()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "secrets: %s:", f.doing)
	for _, e := range f.errs {
		b.WriteString("\n  " + strings.TrimPrefix(e.Detail(), "secrets: "))
	}
	return b.String()
}

// Detail returns one line for the log: what Error says, and the reference, AWS's message, the Region and endpoint that were asked, the IAM action and
// resource to allow, the encryption contexts that were tried, and the next step.
func (e *ResolveError) Detail() string {
	var b strings.Builder
	b.WriteString(e.Error())
	add := func(label, text string) {
		if text != "" {
			b.WriteString("; " + label + clip(e.Ref.data().Unquote(text), 1000))
		}
	}
	if e.Variable != "" && e.Ref.invalid() == nil {
		add("reference ", e.Ref.String())
	}
	add("", e.problem)
	var said *awserr.Error
	if errors.As(e.cause, &said) {
		add("AWS says: ", said.Message)
		if e.Code == "" && said.Status != 0 {
			add("", fmt.Sprintf("HTTP status %d", said.Status))
		}
	} else if e.cause != nil && e.problem == "" {
		add("", e.cause.Error())
	}
	if e.region != "" {
		where := "Region " + e.region
		if said != nil && said.Account() != "" {
			where += ", account " + said.Account()
		}
		add("", where)
	}
	if e.Code == "" { // otherwise it was AWS that answered
		add("endpoint ", e.host)
	}
	add("encryption contexts tried: ", strings.Join(e.contexts, ", "))
	add("next: ", e.next())
	return b.String()
}

// next returns what to do about e.
func (e *ResolveError) next() string {
	if e.hint != "" || e.Operation == "" {
		return e.hint
	}
	d := e.Ref.data()
	c := awserr.Case{Operation: e.Operation, ID: d.ID, Key: d.Key, Version: d.Version + d.Stage, Region: e.region, Host: e.host}
	var said *awserr.Error
	if errors.As(e.cause, &said) {
		c.Error = *said
	} else {
		c.Class = awserr.Class(slices.Index(kinds[:], e.kind))
	}
	return c.Next()
}

func clip(s string, n int) string { return awserr.Clip(s, n) }
