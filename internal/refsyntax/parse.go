package refsyntax

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// maxText bounds the text of a reference, in bytes: twice what the longest ciphertext
// needs, and four times what Lambda allows for all variables together.
const maxText = 16 << 10

// Parse reads a whole reference, or a composed text. Its errors are of type *[Error].
func Parse(text string) (Ref, error) { return parse(text, true) }

// parse reads a whole reference. Without quote its errors hold nothing of the text.
func parse(text string, quote bool) (Ref, error) {
	switch {
	case len(text) > maxText:
		return Ref{}, errLong
	case !isLiteral(text) && bracesAt(text, 0) >= 0:
		return fits(parseComposed(text, quote))
	}
	return fits(parseOne(text, quote))
}

// isLiteral reports whether text is the way to write a plain value that looks like a
// reference.
func isLiteral(text string) bool { return strings.HasPrefix(text, Literal+"://") }

// parseOne reads one reference.
func parseOne(text string, quote bool) (Ref, error) {
	if isLiteral(text) {
		return Ref{Scheme: Literal, ID: strings.TrimPrefix(text, Literal+"://")}, nil
	}
	if resolveAt(text) >= 0 {
		return Ref{}, resolveError(text, quote)
	}
	scheme, body, ok := cutScheme(text)
	if !ok {
		return Ref{}, malformed(text, quote)
	}
	if err := slip(text, len(text)-len(body), quote); err != nil {
		return Ref{}, err
	}
	rest, field, hasField := strings.Cut(body, "#")
	id, options, hasOptions := strings.Cut(rest, "?")
	// White space at the end of a bare ciphertext belongs to it, and is ignored there.
	bare := scheme == KMS && !strings.ContainsAny(body, "?#")
	if !bare && strings.TrimRightFunc(text, blank) != text {
		return Ref{}, fail("white space stands after the reference", "remove it")
	}
	r, err := identify(scheme, id)
	if err == errSlash { // the commonest slip
		return Ref{}, suggest(errSlash.Problem, errSlash.Hint, quote, "ssm:///"+body)
	}
	if err == nil && hasOptions {
		err = r.readOptions(options, len(text)-len(body)+len(id)+1, quote)
	}
	if err == nil && hasField {
		err = r.readField(text, field, quote)
	}
	return r, located(err, len(text)-len(body), quote)
}

// cutScheme cuts the scheme of a store off the text of a reference.
func cutScheme(text string) (scheme, body string, ok bool) {
	scheme, body, ok = strings.Cut(text, "://")
	if scheme == short {
		scheme = SecretsManager
	}
	return scheme, body, ok && isStore(scheme)
}

func isStore(scheme string) bool {
	switch scheme {
	case KMS, SSM, SecretsManager:
		return true
	}
	return false
}

// slip finds what a template, a file or a list leaves in a reference, from byte start on.
func slip(text string, start int, quote bool) error {
	name, field, _ := strings.Cut(text[start:], "#")
	variable := strings.IndexByte(name, '$')
	if i := strings.Index(field, "${"); variable < 0 && i >= 0 {
		variable = len(name) + 1 + i
	}
	if variable >= 0 {
		const hint = "let the template fill the value in before the deployment, or write it out"
		at := start + variable
		return fail(fmt.Sprintf("$ at byte %d: nothing expands variables here", at), hint)
	}
	if i := strings.IndexByte(name, '<'); i >= 0 {
		const hint = "write the name that it stands for"
		at := start + i
		return fail(fmt.Sprintf("< at byte %d: a placeholder that nobody filled in", at), hint)
	}
	if i := commentAt(text[start:]); i >= 0 {
		problem := fmt.Sprintf("a comment stands behind the reference, at byte %d", start+i)
		return suggest(problem, "leave it out", quote, strings.TrimRightFunc(text[:start+i], blank))
	}
	if _, found := findMention(text, start); found && !strings.HasPrefix(text, KMS) {
		return fail("two references stand in one text", severalHint)
	}
	return nil
}

// readField sets the field that stands after # in text.
func (r *Ref) readField(text, field string, quote bool) error {
	if r.Field != "" {
		return fail("the field stands both in the ARN's tail and after #", "state it once")
	}
	err := r.setField(field)
	name := strings.TrimLeft(field, "#")
	if doubled := name != field && name != ""; doubled && err != nil {
		fixed := strings.TrimSuffix(text, field) + name
		const problem = "two # stand before the field, where a path is written as #a.b"
		return suggest(problem, "write one", quote, fixed)
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
func Bare(scheme, text string) (Ref, error) {
	switch {
	case len(text) > maxText-len(Literal+"://"):
		return Ref{}, errLong
	case scheme == Literal:
		return Ref{Scheme: Literal, ID: strings.TrimPrefix(text, Literal+"://")}, nil
	case !isStore(scheme):
		const hint = "write kms, ssm, secretsmanager or literal"
		return Ref{}, fail("the declared scheme is unknown", hint)
	case strings.TrimSpace(text) == "":
		return Ref{}, fail("the text is empty", "set the variable, or drop the declaration")
	case !arn.Is(text) && Begins(text):
		r, err := parse(text, false)
		if err == nil && r.Scheme != scheme {
			const problem = "the text is a reference of another scheme than declared"
			return Ref{}, fail(problem, "declare it under its own scheme")
		}
		return r, err
	case scheme != KMS && strings.TrimFunc(text, around) != text:
		return Ref{}, fail("spaces or quotes stand around the text", "remove them")
	}
	r, err := identify(scheme, text)
	if scheme == KMS && err == nil {
		r.Context = ContextConsole
	}
	return fits(r, located(err, 0, false))
}

// fits makes the last checks, which depend on more than one option, and refuses a
// reference whose canonical text [Parse] would refuse for its length.
func fits(r Ref, err error) (Ref, error) {
	parted := r.Field != "" || r.Base64
	switch {
	case err != nil:
	case r.Failover != "" && inOneRegion(r.Key):
		const hint = "only a multi-Region key, mrk-…, is in two: leave the second Region out"
		err = fail("the key exists in one Region", hint)
	case parted && r.Template != "":
		err = fail("a composed text takes no field and no decoding", "state them inside the braces")
	case len(r.Text()) > maxText:
		err = errLong
	}
	if err != nil {
		return Ref{}, err
	}
	return r, nil
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
func Parameter(name string) (Ref, error) { return only(SSM, name) }

// Secret returns the reference to the secret of that name or ARN. It parses no tail,
// option or field, so id may come from anywhere.
func Secret(id string) (Ref, error) { return only(SecretsManager, id) }

// only reads text as an ID and nothing else.
func only(scheme, text string) (Ref, error) {
	r, err := identify(scheme, text)
	if bare := r.ID == text && !isTree(r); err == nil && !bare {
		const hint = "set version, stage and field each by its key"
		err = fail("the name carries a selector, a tail or a *", hint)
	}
	if err != nil {
		return Ref{}, located(err, 0, false)
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

// identifyParameter reads a name, ARN or tree and its selector. Names hold no colon, so
// the first one starts the selector.
func identifyParameter(text string) (Ref, error) {
	r := Ref{Scheme: SSM}
	var selector string
	var selected bool
	if arn.Is(text) {
		a, err := parseARN(text, "ssm")
		if err != nil {
			return Ref{}, err
		}
		before := len(text) - len(a.Resource) + len("parameter/") - len("/")
		a.Resource, selector, selected = strings.Cut(a.Resource, ":")
		if err := checkParameterARN(a); err != nil {
			return Ref{}, shifted(err, before)
		}
		r.ID, r.Region = strings.TrimSuffix(text, ":"+selector), a.Region
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
		err := setVersion(&r, "", selector)
		return r, err
	}
	err := setStage(&r, "", selector)
	return r, err
}

// identifySecret reads a name, or an ARN with the tail that ECS allows. The tail has all
// its colons or is not there, as in ECS: one that lost some could name a stage where a
// key was meant.
func identifySecret(text string) (Ref, error) {
	r := Ref{Scheme: SecretsManager, ID: text}
	if !arn.Is(text) {
		return r, checkSecret(text)
	}
	a, err := parseARN(text, "secretsmanager")
	if err != nil {
		return Ref{}, err
	}
	part := strings.Split(a.Resource, ":")
	isSecret := part[0] == "secret" && a.Account != ""
	if whole := len(part) == 2 || len(part) == 5; !isSecret || !whole {
		return Ref{}, fail("the ARN is not of a secret",
			"write arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME, "+
				"and after it nothing or :json-key:stage:version-id")
	}
	if err := checkSecret(part[1]); err != nil {
		return Ref{}, shifted(err, len(text)-len(a.Resource)+len("secret:"))
	}
	r.Region = a.Region
	if len(part) == 2 {
		return r, nil
	}
	tail := part[2:]
	r.ID = strings.TrimSuffix(text, ":"+strings.Join(tail, ":"))
	err = r.setTail(tail[0], tail[1], tail[2])
	return r, err
}

// setTail sets what an ECS tail or a CloudFormation reference states behind the secret.
func (r *Ref) setTail(field, stage, version string) error {
	if strings.HasPrefix(field, "/") {
		// ECS means the key of that name; a field that begins with a slash is a JSON
		// Pointer.
		field = "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(field)
	}
	var err error
	if field != "" {
		err = named("the field in the ARN's tail", r.setField(field))
	}
	if stage != "" && err == nil {
		err = named("the stage in the ARN's tail", setStage(r, "", stage))
	}
	if version != "" && err == nil {
		err = named("the version in the ARN's tail", setVersion(r, "", version))
	}
	return err
}

// readOptions reads the options, which begin at byte at of the text.
func (r *Ref) readOptions(options string, at int, quote bool) error {
	seen := map[string]bool{"stage": r.Stage != "", "version": r.Version != ""} // by the ARN's tail
	for text := range strings.SplitSeq(options, "&") {
		if err := r.readOption(text, at, quote, seen); err != nil {
			return err
		}
		at += len(text) + 1
	}
	return nil
}

func (r *Ref) readOption(text string, at int, quote bool, seen map[string]bool) error {
	rawKey, rawValue, hasValue := strings.Cut(text, "=")
	key, err := url.PathUnescape(rawKey) // unlike QueryUnescape it leaves a plus sign alone
	value, err2 := url.PathUnescape(rawValue)
	emptied := hasValue && value == ""
	name := optionName(key, at, quote)
	switch {
	case err != nil || err2 != nil:
		return fail(name+" has a bad percent escape", "write % as %25")
	case key == "":
		return fail(name+" has no name", "write ?name=value&name=value")
	case key == fieldKey:
		return fail(name+" is unknown", "write the field last, after #")
	case r.inSelector(key):
		const hint = "write the selector after the name: :3 or :label"
		return fail(name+" is not for parameters", hint)
	case seen[key]:
		return fail(name+" states a thing for the second time", "state it once")
	case key == "optional" && emptied:
		return fail(name+" has no value", "write optional or optional=true")
	case r.contradicts(key):
		return fail(name+" contradicts another", wordHint)
	}
	seen[key] = true
	return r.with(name, key, value)
}

// optionName names an option in an error. What is longer may be a misplaced ciphertext.
func optionName(key string, at int, quote bool) string {
	if named := key != "" && len(key) <= 40; named && quote {
		return fmt.Sprintf("option %q at byte %d", key, at)
	}
	return fmt.Sprintf("the option at byte %d", at)
}

// contradicts reports whether r states another encryption context than an option of that
// key.
func (r *Ref) contradicts(key string) bool {
	if key == "context" {
		return r.Context != ""
	}
	return strings.HasPrefix(key, "context.") && r.hasWord()
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
func suggest(problem, general string, quote bool, candidates ...string) error {
	for _, text := range candidates {
		if len(text) > 300 || !quote {
			continue
		}
		r, err := parse(text, false)
		if err == nil && r.byName() {
			if name, ok := strings.CutPrefix(text, SecretsManager+"://"); ok {
				text = short + "://" + name
			}
			return &Error{Problem: problem, Hint: "write " + text, instead: text}
		}
	}
	return fail(problem, general)
}
