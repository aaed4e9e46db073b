package refsyntax

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// maxText bounds the text of a reference, in bytes: twice what the longest ciphertext
// needs, and four times what Lambda allows for all variables together.
const maxText = 16 << 10

const literalPrefix = Literal + "://"

// Parse reads a whole reference, or a composed text. Its errors are of type *[Error].
func Parse(text string) (Ref, error) { return result(parse(text, true)) }

// result returns what r points to, or the error.
func result(r *Ref, err error) (Ref, error) {
	if err != nil {
		return Ref{}, err
	}
	return *r, nil
}

// parse reads a whole reference. Without quote its errors hold nothing of the text.
func parse(text string, quote bool) (*Ref, error) {
	switch {
	case len(text) > maxText:
		return nil, errLong
	case !strings.HasPrefix(text, literalPrefix) && bracesAt(text, 0, isPart) >= 0:
		return fits(parseComposed(text, quote))
	}
	return fits(parseOne(text, quote))
}

func parseOne(text string, quote bool) (*Ref, error) {
	if value, ok := strings.CutPrefix(text, literalPrefix); ok {
		return &Ref{Scheme: Literal, ID: value}, nil
	}
	scheme, body, ok := strings.Cut(text, "://")
	if scheme == short {
		scheme = SecretsManager
	}
	if store := ok && isStore(scheme); !store || hasResolve(text) {
		return nil, malformed(text, quote)
	}
	start := len(text) - len(body)
	if err := slip(text, start, quote); err != nil {
		return nil, err
	}
	rest, field, hasField := strings.Cut(body, "#")
	id, options, hasOptions := strings.Cut(rest, "?")
	// White space at the end of a bare ciphertext belongs to it, and is ignored there.
	bare := scheme == KMS && body == id
	if !bare && strings.TrimRightFunc(text, blank) != text {
		return nil, fail("white space stands after the reference", "remove it")
	}
	r, err := identify(scheme, id)
	if err == errSlash { // the commonest slip
		err = suggest(errSlash.Problem, errSlash.Hint, quote, "ssm:///"+body)
	}
	if err == nil && hasOptions {
		err = r.readOptions(options, start+len(id)+1, quote)
	}
	if err == nil && hasField {
		err = r.readField(text, field, quote)
	}
	return r, located(err, start, quote)
}

func isStore(scheme string) bool {
	return slices.Contains([]string{KMS, SSM, SecretsManager}, scheme)
}

// slip finds what a template, a file or a list leaves in a reference, from byte start on.
func slip(text string, start int, quote bool) error {
	rest := text[start:]
	if named := stray(rest, nameSigns) < 0; named && !strings.Contains(rest, "//") {
		return nil // it holds nothing of what follows
	}
	name, _, _ := strings.Cut(text[start:], "#")
	at := strings.IndexAny(name, "$<")
	if at < 0 {
		at = strings.Index(text[start:], "${") // a field may hold $
	}
	if at >= 0 {
		c := rune(text[start+at])
		return fail(fmt.Sprintf("%c at byte %d: %s", c, start+at, meaning(c)),
			"write out what it stands for, or let the template do so before the deployment")
	}
	if i := commentAt(text[start:]); i >= 0 {
		problem := fmt.Sprintf("a comment stands behind the reference, at byte %d", start+i)
		name, behind := strings.TrimRightFunc(text[:start+i], blank), text[start+i:]
		err := suggest(problem, "leave it out", quote, name)
		field := strings.TrimLeftFunc(behind, blank)
		shown := err.instead != "" // what is no name must not be
		if _, bad := parse(name+field, false); shown && bad == nil {
			err.Hint += ", or " + name + field + " if that is the field"
		}
		return err
	}
	if findMention(text, start) != nil && !strings.HasPrefix(text, KMS) {
		return fail("two references stand in one text", severalHint)
	}
	return nil
}

func (r *Ref) readField(text, field string, quote bool) error {
	if r.Field != "" {
		return fail("the field stands both in the ARN's tail and after #", "state it once")
	}
	err := setField(r, "", field)
	if e, ok := err.(*Error); ok && strings.HasPrefix(field, "#") {
		fixed := strings.TrimSuffix(text, field) + strings.TrimLeft(field, "#")
		return suggest(e.Problem, e.Hint, quote, fixed)
	}
	return err
}

// Bare reads the text of a variable that is declared to hold something of the scheme:
// base64 of a ciphertext, a parameter name, path or ARN (with a selector), a secret's
// name or ARN (with an ECS tail). It takes no options and no field, except in a whole
// reference of the same scheme, which it reads too. A bare ciphertext gets
// [ContextConsole], since that is what the console's helper leaves. Any text is a
// [Literal].
//
// No error quotes the text: it may be a plaintext that someone put there by mistake.
func Bare(scheme, text string) (Ref, error) { return result(bare(scheme, text)) }

func bare(scheme, text string) (*Ref, error) {
	switch {
	case len(text) > maxText-len(literalPrefix):
		return nil, errLong
	case scheme == Literal:
		return &Ref{Scheme: Literal, ID: strings.TrimPrefix(text, literalPrefix)}, nil
	case !isStore(scheme):
		return nil, fail("the declared scheme is unknown",
			"write kms, ssm, secretsmanager or literal")
	case strings.TrimSpace(text) == "":
		return nil, fail("the text is empty", "set the variable, or drop the declaration")
	case !arn.Is(text) && Begins(text):
		r, err := parse(text, false)
		if err == nil && r.Scheme != scheme {
			err = fail("the text is a reference of another scheme than declared",
				"declare it under its own scheme")
		}
		return r, err
	case scheme != KMS && strings.TrimFunc(text, around) != text:
		return nil, fail("spaces or quotes stand around the text", "remove them")
	}
	r, err := identify(scheme, text)
	if scheme == KMS {
		r.Context = ContextConsole
	}
	return fits(r, located(err, 0, false))
}

// fits makes the last checks, which depend on more than one option, and refuses a
// reference whose canonical text [Parse] would refuse for its length.
func fits(r *Ref, err error) (*Ref, error) {
	if err != nil {
		return nil, err
	}
	parted := r.Field != "" || r.Base64
	switch {
	case r.Failover != "" && inOneRegion(r.Key):
		err = fail("the key exists in one Region",
			"only a multi-Region key, mrk-…, is in two: leave the second Region out")
	case parted && r.Template != nil:
		err = fail("a composed text takes no field and no decoding", "state them inside the braces")
	case r.tooLong():
		err = errLong
	}
	return r, err
}

// tooLong reports whether the canonical text of r is longer than maxText. An escape makes
// three bytes of one, so most references need no look at it.
func (r *Ref) tooLong() bool {
	stated := len(r.ID) + len(r.Version) + len(r.Stage) + len(r.Region) + len(r.Failover) +
		len(r.Role) + len(r.Key) + len(r.Context) + len(r.Field)
	if r.Template == nil && stated < maxText/4 {
		return false
	}
	return len(r.Text()) > maxText
}

// Ciphertext returns the reference to what KMS encrypted to b, which is copied. It has 32
// to 6144 bytes.
func Ciphertext(b []byte) (Ref, error) {
	if err := checkCiphertext(len(b)); err != nil {
		return Ref{}, err
	}
	return Ref{Scheme: KMS, ID: string(b)}, nil
}

// Parameter returns the reference to the parameter of that name or full ARN. It parses no
// selector, tree, option or field, so name may come from anywhere.
func Parameter(name string) (Ref, error) { return result(only(SSM, name)) }

// Secret returns the reference to the secret of that name or ARN. It parses no tail,
// option or field, so id may come from anywhere.
func Secret(id string) (Ref, error) { return result(only(SecretsManager, id)) }

// only reads text as an ID and nothing else.
func only(scheme, text string) (*Ref, error) {
	r, err := identify(scheme, text)
	if bare := r.ID == text && r.Tree() == ""; err == nil && !bare {
		err = fail("the name carries a selector, a tail or a *",
			"set version, stage and field each by its key")
	}
	return r, located(err, 0, false)
}

// identify reads what stands between the scheme and the options. It returns a Ref with an
// error, too.
func identify(scheme, text string) (*Ref, error) {
	switch scheme {
	case KMS:
		id, err := decodeCiphertext(text)
		return &Ref{Scheme: KMS, ID: id}, err
	case SSM:
		return identifyParameter(text)
	default:
		return identifySecret(text)
	}
}

// identifyParameter reads a name, ARN or tree and its selector. Names hold no colon, so
// the first one starts the selector.
func identifyParameter(text string) (*Ref, error) {
	r := &Ref{Scheme: SSM}
	name := text
	if arn.Is(text) {
		a, err := parseARN(text, SSM)
		if err != nil {
			return r, err
		}
		// The resource leaves out the name's first slash, and with it the difference of
		// a and /a.
		path, ok := strings.CutPrefix(a.Resource, "parameter/")
		public := strings.HasPrefix(path, "aws/") // these belong to no account
		if owned := a.Account != "" || public; !ok || !owned {
			return r, fail("the ARN is not of a parameter",
				"write arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME")
		}
		name, r.Region = text[len(text)-len("/"+path):], a.Region
	}
	base := len(text) - len(name)
	name, selector, selected := strings.Cut(name, ":")
	r.ID = text[:base+len(name)]
	if base > 0 && r.Tree() != "" {
		return r, fail("a tree of parameters has no ARN",
			"write it by its path, with ?region= when it is elsewhere")
	}
	err := checkParameter(name)
	switch {
	case err != nil:
		err = shifted(err, base)
	case selected && isVersion(r, selector):
		err = setVersion(r, "", selector)
	case selected:
		err = setStage(r, "", selector)
	}
	return r, err
}

// identifySecret reads a name, or an ARN with the tail that ECS allows. The tail has all
// its colons or is not there, as in ECS: one that lost some could name a stage where a
// key was meant.
func identifySecret(text string) (*Ref, error) {
	r := &Ref{Scheme: SecretsManager, ID: text}
	if !arn.Is(text) {
		return r, checkSecret(text)
	}
	a, err := parseARN(text, SecretsManager)
	if err != nil {
		return r, err
	}
	part := strings.Split(a.Resource, ":")
	isSecret := part[0] == "secret" && a.Account != ""
	if whole := len(part) == 2 || len(part) == 5; !isSecret || !whole {
		return r, fail("the ARN is not of a secret",
			"write arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME, "+
				"and after it nothing or :json-key:stage:version-id")
	}
	base := len(text) - len(a.Resource) + len("secret:")
	r.ID, r.Region = text[:base+len(part[1])], a.Region
	if err = checkSecret(part[1]); err == nil {
		err = r.setTail(part[2:])
	}
	return r, shifted(err, base)
}

// setTail sets what an ECS tail or a CloudFormation reference states behind the secret: a
// field, a stage and a version, each empty or left out where it is not stated.
func (r *Ref) setTail(tail []string) error {
	for i, key := range []string{"field", "stage", "version"}[:len(tail)] {
		value := tail[i]
		if value == "" {
			continue
		}
		if i == 0 && value[0] == '/' {
			// ECS means the key of that name; a field that begins with a slash is a JSON
			// Pointer.
			value = "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(value)
		}
		err := r.with("the "+key+" in the ARN's tail", key, value, parts[:], options[:])
		if err != nil {
			return err
		}
	}
	return nil
}

// readOptions reads the options, which begin at byte at of the text.
func (r *Ref) readOptions(all string, at int, quote bool) error {
	seen := map[string]bool{"stage": r.Stage != "", "version": r.Version != ""} // by the ARN's tail
	for _, text := range strings.Split(all, "&") {
		rawKey, rawValue, hasValue := strings.Cut(text, "=")
		key, err := url.PathUnescape(rawKey) // unlike QueryUnescape it leaves a plus sign alone
		value, err2 := url.PathUnescape(rawValue)
		name := fmt.Sprintf("the option at byte %d", at)
		if named := key != "" && len(key) <= 40; named && quote { // longer may be a ciphertext
			name = fmt.Sprintf("option %q at byte %d", key, at)
		}
		emptied := hasValue && value == ""
		word := strings.HasPrefix(r.Context, "context=")
		switch {
		case errors.Join(err, err2) != nil:
			return fail(name+" has a bad percent escape", "write % as %25")
		case key == "":
			return fail(name+" has no name", "write ?name=value&name=value")
		case seen[key]:
			return fail(name+" states a thing for the second time", "state it once")
		case key == "optional" && emptied:
			return fail(name+" has no value", "write optional or optional=true")
		case key == "context" && r.Context != "", word && strings.HasPrefix(key, pairPrefix):
			return fail(name+" contradicts another", wordHint)
		}
		if err := r.with(name, key, value, options[:]); err != nil {
			return err
		}
		seen[key] = true
		at += len(text) + 1
	}
	return nil
}

// escape encodes what has a meaning in references, and all that is not plain ASCII. ARNs
// stay readable.
func escape(s string) string { return escapes.Replace(url.QueryEscape(s)) }

var escapes = strings.NewReplacer("+", "%20", "%3A", ":", "%2F", "/")

// printable reports whether s is UTF-8 without control characters.
func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// suggest returns an error whose hint shows the first of candidates that is a reference
// by a name, which holds nothing that must not be shown, and otherwise the general hint.
func suggest(problem, general string, quote bool, candidates ...string) *Error {
	for _, text := range candidates {
		if len(text) > 300 || !quote {
			continue
		}
		if r, err := parse(text, false); err == nil && r.byName() {
			text = strings.Replace(text, SecretsManager+"://", prefix(SecretsManager), 1)
			return &Error{Problem: problem, Hint: "write " + text, instead: text}
		}
	}
	return fail(problem, general)
}
