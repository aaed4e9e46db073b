package refsyntax

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText bounds the text of a reference, in bytes: twice what the longest ciphertext needs, and four times what Lambda
// allows for all variables together.
const maxText = 16 << 10

// Parse reads a whole reference. Its errors are of type *[Error].
func Parse(text string) (Ref, error) { return parse(text, true) }

// parse reads a whole reference. Without quote its errors hold nothing of the text.
func parse(text string, quote bool) (Ref, error) {
	if len(text) > maxText {
		return Ref{}, errLong
	}
	// A literal comes first: it is the way to write a plain value that looks like a reference.
	if value, ok := strings.CutPrefix(text, Literal+"://"); ok {
		return Ref{Scheme: Literal, ID: value}, nil
	}
	if resolveAt(text) >= 0 {
		return Ref{}, resolveError(text, quote)
	}
	scheme, body, ok := strings.Cut(text, "://")
	if scheme == "sm" {
		scheme = SecretsManager
	}
	if !ok || scheme != KMS && scheme != SSM && scheme != SecretsManager {
		return Ref{}, malformed(text, quote)
	}

	rest, field, hasField := strings.Cut(body, "#")
	id, options, hasOptions := strings.Cut(rest, "?")
	// White space at the end of a bare ciphertext belongs to it, and is ignored there.
	if (scheme != KMS || hasField || hasOptions) && strings.TrimRightFunc(text, blank) != text {
		return Ref{}, fail("white space stands after the reference", "remove it")
	}
	r, err := identify(scheme, id)
	if err == errSlash { // the commonest slip
		return Ref{}, fail(errSlash.Problem, suggest("ssm:///"+body, quote, errSlash.Hint))
	}
	if err != nil {
		return Ref{}, err
	}
	if hasOptions {
		r, err = r.withOptions(options, len(text)-len(body)+len(id)+1, quote)
		if err != nil {
			return Ref{}, err
		}
	}
	if hasField {
		if r.Field != "" {
			return Ref{}, fail("the field stands both in the ARN's tail and after #", "state it once")
		}
		r, err = r.set("field", field)
	}
	return fits(r, err)
}

// Bare reads the text of a variable that is declared to hold something of the scheme: base64 of a ciphertext, a parameter
// name, path or ARN (with a selector), a secret's name or ARN (with an ECS tail). It takes no options and no field, except
// in a whole reference of the same scheme, which it reads too. A bare ciphertext gets [ContextConsole], since that is what
// the console's helper leaves. Any text is a [Literal].
//
// No error quotes the text: it may be a plaintext that someone put there by mistake.
func Bare(scheme, text string) (Ref, error) {
	if len(text) > maxText-len(Literal+"://") {
		return Ref{}, errLong
	}
	switch {
	case scheme == Literal:
		return Ref{Scheme: Literal, ID: strings.TrimPrefix(text, Literal+"://")}, nil
	case scheme != KMS && scheme != SSM && scheme != SecretsManager:
		return Ref{}, fail("the declared scheme is unknown", "write kms, ssm, secretsmanager or literal")
	case strings.TrimSpace(text) == "":
		return Ref{}, fail("the text is empty", "set the variable, or drop the declaration")
	case Begins(text):
		r, err := parse(text, false)
		if err == nil && r.Scheme != scheme {
			return Ref{}, fail("the text is a reference of another scheme than declared", "declare it under its own scheme")
		}
		return r, err
	}
	if scheme != KMS && strings.TrimFunc(text, around) != text {
		return Ref{}, fail("spaces or quotes stand around the text", "remove them")
	}
	r, err := identify(scheme, text)
	if scheme == KMS && err == nil {
		r.Context = ContextConsole
	}
	return fits(r, err)
}

// fits refuses a reference whose canonical text [Parse] would refuse for its length.
func fits(r Ref, err error) (Ref, error) {
	if err == nil && len(r.Text()) > maxText {
		err = errLong
	}
	if err != nil {
		return Ref{}, err
	}
	return r, nil
}

// Ciphertext returns the reference to what KMS encrypted to b, which is copied. It has 1 to 6144 bytes.
func Ciphertext(b []byte) (Ref, error) {
	if err := checkCiphertext(len(b)); err != nil {
		return Ref{}, err
	}
	return Ref{Scheme: KMS, ID: string(b)}, nil
}

// Parameter returns the reference to the parameter of that name or full ARN. It parses no selector, tree, option or
// field, so name may come from anywhere.
func Parameter(name string) (Ref, error) { return only(SSM, name) }

// Secret returns the reference to the secret of that name or ARN. It parses no tail, option or field, so id may come from
// anywhere.
func Secret(id string) (Ref, error) { return only(SecretsManager, id) }

// only reads text as an ID and nothing else.
func only(scheme, text string) (Ref, error) {
	r, err := identify(scheme, text)
	if err == nil && (r.ID != text || isTree(r)) {
		err = fail("the name carries a selector, a tail or a *", "set version, stage and field each by its key")
	}
	if err != nil {
		return Ref{}, err
	}
	return r, nil
}

// identify reads what stands between the scheme and the options.
func identify(scheme, text string) (Ref, error) {
	switch scheme {
	case KMS:
		id, err := decodeCiphertext(text)
		return Ref{Scheme: KMS, ID: id}, err
	case SSM:
		return identifyParameter(text)
	default:
		return identifySecret(text)
	}
}

// identifyParameter reads a name, ARN or tree and its selector. Names hold no colon, so the first one starts the selector.
func identifyParameter(text string) (Ref, error) {
	r := Ref{Scheme: SSM}
	var selector string
	var selected bool
	if strings.HasPrefix(text, "arn:") {
		a, err := parseARN(text, "ssm")
		if err != nil {
			return Ref{}, err
		}
		a.resource, selector, selected = strings.Cut(a.resource, ":")
		if err := checkParameterARN(a); err != nil {
			return Ref{}, err
		}
		r.ID, r.Region = strings.TrimSuffix(text, ":"+selector), a.region
	} else {
		r.ID, selector, selected = strings.Cut(text, ":")
		if err := checkParameter(r.ID); err != nil {
			return Ref{}, err
		}
	}
	switch {
	case !selected:
		return r, nil
	case isVersion(r, selector):
		return r.set("version", selector)
	}
	return r.set("stage", selector)
}

// identifySecret reads a name, or an ARN with the tail that ECS allows. The tail has all its colons or is not there, as in
// ECS: one that lost some could name a stage where a key was meant.
func identifySecret(text string) (Ref, error) {
	r := Ref{Scheme: SecretsManager, ID: text}
	if !strings.HasPrefix(text, "arn:") {
		return r, checkSecret(text)
	}
	a, err := parseARN(text, "secretsmanager")
	if err != nil {
		return Ref{}, err
	}
	parts := strings.Split(a.resource, ":")
	if parts[0] != "secret" || a.account == "" || len(parts) != 2 && len(parts) != 5 {
		return Ref{}, fail("the ARN is not of a secret",
			"write arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME, and after it nothing or :json-key:stage:version-id")
	}
	if err := checkSecret(parts[1]); err != nil {
		return Ref{}, err
	}
	r.Region = a.region
	if len(parts) == 2 {
		return r, nil
	}
	tail := parts[2:]
	r.ID = strings.TrimSuffix(text, ":"+strings.Join(tail, ":"))
	if strings.HasPrefix(tail[0], "/") {
		// ECS means the key of that name; a field that begins with a slash is a JSON Pointer.
		tail[0] = "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(tail[0])
	}
	for i, key := range []string{"field", "stage", "version"} {
		if tail[i] == "" {
			continue
		}
		if r, err = r.set(key, tail[i]); err != nil {
			return Ref{}, fail(fmt.Sprintf("the %s in the ARN's tail: %s", key, err.(*Error).Problem), err.(*Error).Hint)
		}
	}
	return r, nil
}

// withOptions reads the options, which begin at byte at of the text.
func (r Ref) withOptions(options string, at int, quote bool) (Ref, error) {
	seen := map[string]bool{"stage": r.Stage != "", "version": r.Version != ""} // by the ARN's tail
	for option := range strings.SplitSeq(options, "&") {
		rawKey, rawValue, hasValue := strings.Cut(option, "=")
		key, err := url.PathUnescape(rawKey) // unlike QueryUnescape it leaves a plus sign alone
		value, err2 := url.PathUnescape(rawValue)
		name := fmt.Sprintf("the option at byte %d", at)
		if quote && key != "" && len(key) <= 40 { // what is longer may be a ciphertext in the wrong place
			name = fmt.Sprintf("option %q at byte %d", key, at)
		}
		switch {
		case err != nil || err2 != nil:
			err = fail(name+" has a bad percent escape", "write % as %25")
		case key == "":
			err = fail(name+" has no name", "write ?name=value&name=value")
		case key == "field":
			err = fail(name+" is unknown", "write the field last, after #")
		case r.Scheme == SSM && (key == "stage" || key == "version"):
			err = fail(name+" is not for parameters", "write the selector after the name: :3 or :label")
		case seen[key]:
			err = fail(name+" states a thing for the second time", "state it once")
		case key == "optional" && hasValue && value == "":
			err = fail(name+" has no value", "write optional or optional=true")
		case key == "context" && r.Context != "",
			strings.HasPrefix(key, "context.") && (r.Context == ContextNone || r.Context == ContextConsole):
			err = fail(name+" contradicts another", "write context=none, context=console or pairs as context.NAME=value")
		default:
			r, err = r.with(name, key, value)
		}
		if err != nil {
			return Ref{}, err
		}
		seen[key] = true
		at += len(option) + 1
	}
	return r, nil
}

// escape encodes what has a meaning in references, and all that is not plain ASCII. ARNs stay readable.
func escape(s string) string { return escapes.Replace(url.QueryEscape(s)) }

var escapes = strings.NewReplacer("+", "%20", "%3A", ":", "%2F", "/")

// printable reports whether s is UTF-8 without control characters.
func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
