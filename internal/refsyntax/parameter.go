package refsyntax

import (
	"strconv"
	"strings"
)

// Selector returns the version or the label of a parameter, of which at most one is set, or "".
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

// BaseName returns what a parameter's name and its ARN have in common: the name without leading slash.
func BaseName(id string) string {
	if strings.HasPrefix(id, "arn:") {
		_, id, _ = strings.Cut(id, ":parameter/")
	}
	return strings.TrimPrefix(id, "/")
}

// Named reports whether name is the parameter's, or its ARN. Some endpoints repeat the selector there.
func (r Ref) Named(name string) bool {
	if sel := r.Selector(); sel != "" {
		name = strings.TrimSuffix(name, ":"+sel)
	}
	return BaseName(name) == BaseName(r.ID)
}

// AnsweredBy reports whether what came back under this name is the answer for r. A parameter asked by ARN comes back under its bare name, with the ARN
// beside it; the selector comes back with a colon in front, from AWS, and not at all from others: then the version number tells, unless it is 0. What a
// secret, as its SourceResult tells, comes back under from AWS is the name that was asked for, and from others the secret's own.
func (r Ref) AnsweredBy(name, arn, selector string, version int64, secret bool) bool {
	if sel := r.Selector(); sel != "" {
		arn = strings.TrimSuffix(arn, ":"+sel)
	}
	own, _ := strings.CutPrefix("/"+BaseName(r.ID), referencePrefix)
	switch {
	case secret && !ofSecret(r),
		!r.Named(name) && !(arn != "" && arn == r.ID) && !(secret && name == own),
		strings.HasPrefix(r.ID, "arn:") && strings.HasPrefix(arn, "arn:") && arn != r.ID:
		return false
	}
	// A secret asked for without a stage may come back with the one it means.
	if s := strings.TrimPrefix(selector, ":"); s != "" && s != r.Selector() && !(s == "AWSCURRENT" && r.Selector() == "") {
		return false
	}
	return r.Version == "" || ofSecret(r) || version == 0 || strconv.FormatInt(version, 10) == r.Version
}
