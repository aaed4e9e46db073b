package refsyntax

import (
	"strconv"
	"strings"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// Selector returns the version or the label of a parameter, of which at most one is set,
// or "".
func (r *Ref) Selector() string {
	if r.Version != "" {
		return r.Version
	}
	return r.Stage
}

// WireName returns what Parameter Store is asked for: the name or ARN with its selector.
func (r *Ref) WireName() string {
	if sel := r.Selector(); sel != "" {
		return r.ID + ":" + sel
	}
	return r.ID
}

// Missing says that Parameter Store does not have r.
func (r Ref) Missing() string {
	const none = "Parameter Store has no such parameter"
	if sel := r.Selector(); sel != "" {
		return none + ", or it has no version or label " + sel
	}
	return none
}

// Tree returns the path of a tree of parameters, with its trailing slash, or "".
func (r *Ref) Tree() string {
	if strings.HasSuffix(r.ID, "/*") && r.Scheme == SSM {
		return r.ID[:len(r.ID)-len("*")]
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
func (r *Ref) Named(name string) bool {
	return BaseName(withoutSelector(name, r.Selector())) == BaseName(r.ID)
}

// withoutSelector returns name without a colon and the selector at its end.
func withoutSelector(name, selector string) string {
	if short, ok := strings.CutSuffix(name, selector); ok && strings.HasSuffix(short, ":") {
		return short[:len(short)-len(":")]
	}
	return name
}

// An Answer is what names a parameter in an answer of Parameter Store.
type Answer struct {
	Name, ARN, Selector string
	Version             int64
	Secret              bool // it came from Secrets Manager: its SourceResult says so
}

// AnsweredBy reports whether a is the answer for r. A parameter asked by ARN comes back
// under its bare name, with the ARN beside it; some endpoints repeat the selector in
// either. A secret comes back under the name that was asked for from AWS, and under its
// own name from others.
func (r *Ref) AnsweredBy(a Answer) bool {
	named := r.Named(a.Name)
	switch {
	case a.Secret && !ofSecret(r):
		return false
	case arn.Is(r.ID) && arn.Is(a.ARN):
		named = withoutSelector(a.ARN, r.Selector()) == r.ID
	case a.Secret: // which is of a parameter that stands for a secret
		own, _ := strings.CutPrefix("/"+BaseName(r.ID), arn.SecretParameter)
		named = named || a.Name == own
	}
	return named && r.selectedBy(a)
}

// selectedBy reports whether a is of the version that r asks for. The selector comes back
// with a colon in front from AWS, and not at all from others: then the version number
// tells, unless it is 0.
func (r *Ref) selectedBy(a Answer) bool {
	switch strings.TrimPrefix(a.Selector, ":") {
	case "", r.Selector():
	case "AWSCURRENT": // a secret asked for without a stage may come back with this one
		if r.Selector() != "" {
			return false
		}
	default:
		return false
	}
	if r.Version == "" || ofSecret(r) {
		return true
	}
	return a.Version == 0 || strconv.FormatInt(a.Version, 10) == r.Version
}
