package secrets

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lambdasecrets/secrets/internal/awserr"
	"github.com/lambdasecrets/secrets/internal/guard"
)

// Detail returns what a log should say of err: for every failure in it one line with variable, reference, kind, AWS's code, message and request id, the Region and
// endpoint that were asked, and what to do. It contains no plaintext and no ciphertext. For an error that is not of this package it returns err.Error().
func Detail(err error) string {
	var ours *ResolveError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &ours):
		return err.Error()
	}
	switch e := err.(type) {
	case interface{ detail() string }:
		return e.detail()
	case interface{ Unwrap() []error }:
		text := ""
		for _, err := range e.Unwrap() {
			text += "\n" + Detail(err)
		}
		return text[1:]
	case interface{ Unwrap() error }:
		return Detail(e.Unwrap())
	}
	return ours.detail()
}

// detail returns one line for the log: what Error says, and the reference, AWS's message, the Region and endpoint that were asked, the IAM action and
// resource to allow, the encryption contexts that were tried, and the next step.
func (e *ResolveError) detail() string {
	all := e.Error()
	add := func(label, text string) {
		if text != "" {
			all += "; " + label + clip(e.Ref.data().Unquote(text), 1000)
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
		add("", guard.Text(e.cause))
	}
	add("Region ", strings.TrimSuffix(e.region+", account "+said.Account(), ", account "))
	if e.Code == "" { // otherwise it was AWS that answered
		add("endpoint ", e.host)
	}
	add("encryption contexts tried: ", strings.Join(e.contexts, ", "))
	add("next: ", e.next())
	return all
}

// next returns what to do about e.
func (e *ResolveError) next() string {
	if e.hint != "" || e.Operation == "" {
		return e.hint
	}
	d := e.Ref.data()
	c := awserr.Case{Error: awserr.Error{Class: awserr.Class(slices.Index(kinds[:], e.kind))}, Operation: e.Operation, ID: d.ID, Key: d.Key, Version: d.Version + d.Stage, Region: e.region, Host: e.host}
	var said *awserr.Error
	if errors.As(e.cause, &said) {
		c.Error = *said
	}
	return c.Next()
}

func clip(s string, n int) string { return awserr.Clip(s, n) }
