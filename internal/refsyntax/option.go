package refsyntax

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// takesOption reports whether references have such an option, and whether those of the scheme take it.
func takesOption(scheme, key string) (known, takes bool) {
	switch key {
	case "region", "ttl", "stale", "optional", "field":
		return true, scheme != Literal
	case "stage", "version":
		return true, scheme == SSM || scheme == SecretsManager
	case "key", "context":
		return true, scheme == KMS
	}
	if strings.HasPrefix(key, "context.") {
		return true, scheme == KMS
	}
	return false, false
}

// optionHint lists what references of the scheme take in their text.
func optionHint(scheme string) string {
	switch scheme {
	case KMS:
		return "kms takes region, key, context, context.NAME, ttl, stale, optional"
	case SSM:
		return "ssm takes region, ttl, stale, optional"
	case SecretsManager:
		return "secretsmanager takes region, stage, version, ttl, stale, optional"
	}
	return "a literal takes no options and no field"
}

// With returns the reference with one thing set: region, stage, version, key, ttl, stale, optional (value empty or
// "true"), context (none or console), context.NAME or field. The value is taken as it is, nothing in it is decoded. What
// the new value excludes is replaced: a parameter's label by its version, context=none by a pair, and the reverse. A
// Region that an ARN states cannot be changed. Of a parameter, version is the number and stage the label.
func (r Ref) With(key, value string) (Ref, error) {
	return fits(r.with(fmt.Sprintf("option %q", key[:min(len(key), 40)]), key, value))
}

// with is With for the option that errors call name.
func (r Ref) with(name, key, value string) (Ref, error) {
	known, takes := takesOption(r.Scheme, key)
	switch {
	case r.Scheme == Literal, known && !takes:
		return Ref{}, fail(name+" is not for "+r.Scheme, optionHint(r.Scheme))
	case !known:
		return Ref{}, fail(name+" is unknown", optionHint(r.Scheme))
	case value == "" && key != "optional":
		return Ref{}, fail(name+" has no value", "write one after =, or leave the option out")
	}
	r, err := r.set(key, value)
	var e *Error
	if errors.As(err, &e) {
		err = fail(name+": "+e.Problem, e.Hint)
	}
	return r, err
}

// set sets an option that the scheme takes.
func (r Ref) set(key, value string) (Ref, error) {
	var err error
	switch key {
	case "region":
		if !RegionOK(value) {
			return Ref{}, fail("not the name of a Region", "write it as eu-west-1")
		}
		if arn := r.arnRegion(); arn != "" && arn != value {
			return Ref{}, fail("the ARN states another Region", "leave it out, an ARN states its own")
		}
		r.Region = value
	case "stage":
		err = checkStage(r, value)
		r.Stage = value
		if r.Scheme == SSM {
			r.Version = ""
		}
	case "version":
		if !isVersion(r, value) {
			err = errVersion(r)
		} else if isTree(r) {
			err = errTree
		}
		r.Version = value
		if r.Scheme == SSM {
			r.Stage = ""
		}
	case "key":
		// A key decrypts in its own Region only, so its ARN decides where the call goes.
		region, err := checkKey(value)
		if err != nil {
			return Ref{}, err
		}
		stated := r.Region
		if stated == r.arnRegion() {
			stated = "" // it was the former key's
		}
		if region != "" && stated != "" && region != stated {
			return Ref{}, fail("the region option states another Region than the key's ARN", "leave it out, an ARN states its own")
		}
		r.Key, r.Region = value, cmp.Or(region, stated)
	case "context":
		if value != ContextNone && value != ContextConsole {
			err = fail("neither none nor console", "write a pair as context.NAME=value")
		}
		r.Context = value
	case "ttl":
		r.HasTTL = true
		r.TTL, err = duration(value)
	case "stale":
		r.HasStale = true
		r.Stale, err = duration(value)
	case "optional":
		if value != "" && value != "true" {
			err = fail("neither empty nor true", "leave it out when the value has to be there")
		}
		r.Optional = true
	case "field":
		switch {
		case value == "":
			err = fail("the field is empty", "write #name, #a.b.0 or #/a/b")
		case !printable(value) || resolveAt(value) >= 0 || strings.TrimRightFunc(value, blank) != value:
			// Any of these would keep the text from parsing back.
			err = fail("the field holds a control character, invalid UTF-8, {{resolve: or a space at its end", "such a field is read by Value.Field")
		case value[0] == '/' && strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(value), "~"):
			err = fail("the JSON Pointer has a ~ that is neither ~0 nor ~1", "write ~0 for ~ and ~1 for / in a key")
		}
		r.Field = value
	default:
		name := strings.TrimPrefix(key, "context.")
		if name == "" || !printable(name) || !printable(value) {
			return Ref{}, fail("an empty name, a control character or invalid UTF-8", "write context.NAME=value")
		}
		pairs := r.EncryptionContext()
		if pairs == nil {
			pairs = make(map[string]string, 1)
		}
		if pairs[name] = value; len(pairs) > 64 { // also keeps parsing linear enough
			return Ref{}, fail("more than 64 pairs of encryption context", "state those that it was encrypted with")
		}
		r.Context = contextText(pairs)
	}
	if err != nil {
		return Ref{}, err
	}
	return r, nil
}

// duration reads a TTL or stale bound.
func duration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		// Its error quotes the value. A bare number has no unit, and is not guessed at.
		return 0, fail("not a duration", "write it with a unit: 300s, 5m, 1h30m")
	}
	if d < 0 {
		return 0, fail("a negative duration", "write 0s for none")
	}
	return d, nil
}
