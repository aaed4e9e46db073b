package refsyntax

import (
	"strconv"
	"strings"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// Selector returns the version or the label of a parameter, of which at most one is set,
// or "".
func (r Ref) Selector() string { return r.Version + r.Stage }

// WireName returns what Parameter Store is asked for: the name or ARN with its selector.
func (r Ref) WireName() string {
	if sel := r.Selector(); sel != "" {
		return r.ID + ":" + sel
	}
	return r.ID
}

// Missing says that Parameter Store does not have r.
func (r Ref) Missing() string {
	if sel := r.Selector(); sel != "" {
		return "Parameter Store has no such parameter, or it has no version or label " + sel
	}
	return "Parameter Store has no such parameter"
}

// Tree returns the path of a tree of parameters, with its trailing slash, or "".
func (r Ref) Tree() string {
	if isTree(r) {
		return strings.TrimSuffix(r.ID, "*")
	}
	return ""
}

// BaseName returns what a parameter's name and its ARN have in common: the name without
// leading slash.
func BaseName(id string) string {
	if arn.Is(id) {
		_, id, _ = strings.Cut(id, ":parameter/")
	}
	return strings.TrimPrefix(id, "/")
}

// Named reports whether name is the parameter's, or its ARN. Some endpoints repeat the
// selector there.
func (r Ref) Named(name string) bool {
	if sel := r.Selector(); sel != "" {
		name = strings.TrimSuffix(name, ":"+sel)
	}
	return BaseName(name) == BaseName(r.ID)
}

// An Answer is what names a parameter in an answer of Parameter Store.
type Answer struct {
	Name, ARN, Selector string
	Version             int64
	Secret              bool // it came from Secrets Manager: its SourceResult says so
}

// AnsweredBy reports whether a is the answer for r. A parameter asked by ARN comes back
// under its bare name, with the ARN beside it; the selector comes back with a colon in
// front, from AWS, and not at all from others: then the version number tells, unless it
// is 0. A secret comes back under the name that was asked for from AWS, and under its own
// name from others.
func (r Ref) AnsweredBy(a Answer) bool {
	if sel := r.Selector(); sel != "" {
		a.ARN = strings.TrimSuffix(a.ARN, ":"+sel)
	}
	own, _ := strings.CutPrefix("/"+BaseName(r.ID), referencePrefix)
	sameARN := a.ARN != "" && a.ARN == r.ID
	bothARNs := arn.Is(r.ID) && arn.Is(a.ARN)
	named := r.Named(a.Name) || sameARN
	ownName := a.Secret && a.Name == own
	switch {
	case a.Secret && !ofSecret(r):
		return false
	case !named && !ownName:
		return false
	case bothARNs && !sameARN:
		return false
	}
	return r.selectedBy(a)
}

// selectedBy reports whether a is of the version that r asks for.
func (r Ref) selectedBy(a Answer) bool {
	asked, got := r.Selector(), strings.TrimPrefix(a.Selector, ":")
	// A secret asked for without a stage may come back with the one it means.
	meant := got == "AWSCURRENT" && asked == ""
	if another := got != "" && got != asked; another && !meant {
		return false
	}
	if counted := r.Version != "" && !ofSecret(r); counted && a.Version != 0 {
		return strconv.FormatInt(a.Version, 10) == r.Version
	}
	return true
}
