package secrets

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lambdasecrets/secrets/internal/awserr"
	"github.com/lambdasecrets/secrets/internal/guard"
)

// The sizes of what is printed, in bytes.
const (
	maxSummary = 1500 // of the Error of a joined error, which reaches the invoker
	maxDetail  = 6500 // of a Detail: its log line stays below 8 kB with the other attributes
	maxNames   = 1800 // of the variables that one cause took
)

// Detail returns what a log should say of err: for every cause in it one line with the
// variable or variables, reference, kind, AWS's code, message and request id or the
// words of what failed on this machine, the Region and endpoint that were asked, and
// what to do. It contains no plaintext and no ciphertext, and of an error of this
// package it stays below 8 kB. For an error that is not of this package it returns
// err.Error().
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
		var lines []string
		for _, err := range e.Unwrap() {
			lines = append(lines, Detail(err))
		}
		return strings.Join(lines, "\n")
	case interface{ Unwrap() error }:
		return Detail(e.Unwrap())
	}
	return ours.detail()
}

// detail returns one line for the log: what Error says, the reference, and the
// explanation.
func (e *ResolveError) detail() string {
	text := e.Error()
	if e.Variable != "" && e.Ref.invalid() == nil {
		text += "; reference " + clip(e.Ref.String(), 1000)
	}
	return text + e.explanation()
}

// subject returns the variable or the reference that e is about, or "". A variable that
// no environment can have, such as a value that was passed in its place, is not quoted.
func (e *ResolveError) subject() string {
	switch {
	case strings.ContainsFunc(e.Variable, foreignToNames):
		return fmt.Sprintf("a variable with a name of %d bytes that is "+
			"none", len(e.Variable))
	case e.Variable != "":
		return clip(e.Variable, 120)
	case e.Ref.invalid() == nil:
		return clip(e.Ref.String(), 120)
	}
	return ""
}

// foreignToNames reports whether no name of a variable, and of no WithRef that means
// well, has r.
func foreignToNames(r rune) bool {
	return strings.ContainsRune(` :@?&=%"'{}<>\`, r) || !strconv.IsPrint(r)
}

// summary returns the kind, operation, AWS code and the given request id.
func (e *ResolveError) summary(requestID string) string {
	text := "failed" // one that was made by hand has no kind
	if e.kind != nil {
		text = e.kind.Error()
	}
	in := strings.TrimSpace(e.Operation + " " + e.Code)
	if requestID != "" {
		in = strings.TrimPrefix(in+", request "+requestID, ", ")
	}
	if in != "" {
		// All three may be somebody else's: a Provider's, or those of who answers in
		// AWS's place.
		text += " (" + clip(in, 250) + ")"
	}
	return text
}

// explanation returns what Detail adds to the summary, whatever the variable: what is
// wrong, in our words and AWS's, where it was asked, and the next step.
func (e *ResolveError) explanation() string {
	text := ""
	add := func(label, s string) {
		if s != "" {
			text += "; " + label + clip(e.Ref.data().Unquote(s), 1000)
		}
	}
	apiErr := e.api()
	add("", e.problem)
	switch {
	case apiErr != nil:
		if e.problem == "" {
			add("", reason(apiErr))
		}
		add("AWS says: ", apiErr.Message)
		add("", failedHost(apiErr))
		if e.Code == "" && apiErr.Status != 0 {
			add("", fmt.Sprintf("HTTP status %d", apiErr.Status))
		}
	case e.problem != "", e.cause == e.kind: // which may both be nil
	case e.cause != nil:
		add("", guard.Text(e.cause))
	}
	add("Region ", strings.TrimSuffix(e.region+", account "+apiErr.Account(), ", account "))
	if e.Code == "" && !beforeCall(apiErr) { // with a code it was AWS that answered
		add("endpoint ", e.host)
	}
	if e.second != nil {
		add("second Region ", e.second.region+": "+e.second.summary(e.second.RequestID))
	}
	add("encryption contexts tried: ", strings.Join(e.contexts, ", "))
	add("next: ", e.next(apiErr))
	add("", e.misplaced())
	return text
}

// misplaced says what became of a plaintext that somebody left in a declared variable.
func (e *ResolveError) misplaced() string {
	d := e.Ref.data()
	switch {
	case e.kind != ErrNotFound && e.kind != ErrAccessDenied, e.Operation == "":
		return ""
	case !d.Unquoted || d.Scheme == string(KMS): // KMS takes no names here
		return ""
	}
	return "if the variable holds a plaintext by mistake, AWS got it as a name and CloudTrail " +
		"may keep it: change it"
}

// reason says why there is no answer of AWS, and that the value was not asked for where
// the credentials could not be had.
func reason(apiErr *awserr.Error) string {
	text := ""
	if apiErr.Code == "" {
		text = apiErr.Error()
	}
	if apiErr.Step == "" {
		return text
	}
	return strings.TrimSuffix("there are no credentials, so the value was not asked for; "+
		text, "; ")
}

// failedHost names the host that failed where it is not the service's.
func failedHost(apiErr *awserr.Error) string {
	switch {
	case apiErr.Host == "":
		return ""
	case beforeCall(apiErr):
		return "asked for credentials: " + apiErr.Host
	}
	return "proxy " + apiErr.Host
}

// beforeCall reports whether apiErr, which may be nil, happened before the service was called: in
// the configuration or the credential step.
func beforeCall(apiErr *awserr.Error) bool {
	if apiErr == nil {
		return false
	}
	if apiErr.Step != "" {
		return true
	}
	switch apiErr.Reason {
	case awserr.NotLoaded, awserr.NoRegion, awserr.BadRegion, awserr.ProxyURL, awserr.NoCredentials,
		awserr.LoginExpired, awserr.CommandFailed, awserr.CredentialsFile:
		return true
	}
	return false
}

// next returns what to do about e.
func (e *ResolveError) next(apiErr *awserr.Error) string {
	if e.hint != "" {
		return e.hint
	}
	if e.Operation == "" && apiErr == nil {
		return ""
	}
	d := e.Ref.data()
	c := awserr.Case{
		Error:     awserr.Error{Class: awserr.Class(slices.Index(kinds[:], e.kind))},
		Operation: e.Operation,
		ID:        d.ID,
		Key:       d.Key,
		Version:   d.Version + d.Stage,
		Region:    e.region,
		Host:      e.host,
	}
	if apiErr != nil {
		c.Error = *apiErr
	}
	return c.Next()
}

func (f *failures) Error() string {
	switch {
	case f.full:
		return f.detail()
	case len(f.errs) == 1:
		return f.errs[0].Error()
	}
	return f.text(maxSummary, ": ", "; ", false)
}

// detail returns one line per cause: what failed alone with its reference, what failed
// together with its variables.
func (f *failures) detail() string {
	if len(f.errs) == 1 && !f.full {
		return f.errs[0].detail()
	}
	return f.text(maxDetail, ":\n  ", "\n  ", true)
}

// text prints the groups of f within size bytes. What does not fit is printed short, and
// what does not fit even so is counted.
func (f *failures) text(size int, first, next string, full bool) string {
	groups := grouped(f.errs, full)
	var short, rest int // of the groups that are still to come
	for _, g := range groups {
		short += logged(g.text(false)) + len(next)
		rest += len(g)
	}
	text, sep := "secrets: "+f.doing, first
	for _, g := range groups {
		line := g.text(false)
		short -= logged(line) + len(next)
		if all := g.text(full); logged(text)+len(sep)+logged(all)+short <= size {
			line = all
		}
		if logged(text)+len(sep)+logged(line) > size && sep == next {
			return text + sep + fmt.Sprintf("and %d more", rest)
		}
		text, sep = text+sep+line, next
		rest -= len(g)
	}
	return text
}

// logged returns how many bytes s takes in a line of JSON.
func logged(s string) int {
	return len(s) + strings.Count(s, `"`) + strings.Count(s, `\`) + strings.Count(s, "\n")
}

// A sameCause is failures of one cause, at least one.
type sameCause []*ResolveError

// grouped puts together what has the same cause, in order of the first of each. With full
// the explanations have to be the same.
func grouped(errs []*ResolveError, full bool) []sameCause {
	var groups []sameCause
	at := make(map[string]int, len(errs))
	for _, e := range errs {
		cause := e.summary("")
		if full {
			cause += e.explanation()
		}
		i, known := at[cause]
		if !known {
			i = len(groups)
			at[cause], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], e)
	}
	return groups
}

// text returns what Error says of g, or what Detail does.
func (g sameCause) text(full bool) string {
	e := g[0]
	switch {
	case len(g) == 1 && full:
		return strings.TrimPrefix(e.detail(), "secrets: ")
	case len(g) == 1:
		return strings.TrimPrefix(e.Error(), "secrets: ")
	case full:
		return e.summary(e.RequestID) + e.explanation() + "; " + g.names(maxNames)
	}
	return e.summary(e.RequestID) + "; " + g.names(maxSummary/4)
}

// names returns how many variables g has, and their names within size bytes.
func (g sameCause) names(size int) string {
	what := "variables"
	text := ""
	for i, e := range g {
		if e.Variable == "" {
			what = "references"
		}
		name := e.subject()
		if len(text)+len(name) > size {
			text += fmt.Sprintf(", … and %d more", len(g)-i)
			break
		}
		text += ", " + name
	}
	return fmt.Sprintf("%d %s: %s", len(g), what, strings.TrimPrefix(text, ", "))
}

// logText returns s with its control characters, and those that turn the direction of
// text, escaped, for an attribute of a log line.
func logText(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}

// logAttrs returns attrs with every text in it as logText writes it: names, versions and endpoints
// are whatever a program, a provider or an answer says.
func logAttrs(attrs ...any) []any {
	for i, a := range attrs {
		switch a := a.(type) {
		case string:
			attrs[i] = logText(a)
		case []string:
			escaped := make([]string, len(a))
			for k, s := range a {
				escaped[k] = logText(s)
			}
			attrs[i] = escaped
		}
	}
	return attrs
}

func clip(s string, n int) string { return awserr.Clip(s, n) }
