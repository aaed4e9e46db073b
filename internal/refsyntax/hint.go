package refsyntax

import (
	"strconv"
	"strings"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// Declare returns how a program declares a variable to be of the scheme.
func Declare(scheme, name string) string {
	constant := map[string]string{
		KMS: "KMS", SSM: "SSM", SecretsManager: "SecretsManager", Literal: "Literal",
	}[scheme]
	return "WithVars(secrets." + constant + ", " + strconv.Quote(name) + ")"
}

// NotReference says what is wrong with a name that is asked for and stands for no
// reference, and what to do. Where set, text is what the variable of that name holds.
func NotReference(name, text string, set bool) (problem, hint string) {
	const none = "the variable holds no reference"
	const value = "if its text is the value, declare it: "
	literal := value + Declare(Literal, name)
	switch {
	case Begins(name):
		return "a reference stands where the name of a variable should",
			"name its variable, or use Resolve"
	case !set:
		return "the variable is not set", "set it to a reference, or check the spelling"
	case Classify(text) == Undeclared:
		scheme := undeclaredScheme(text)
		form := "write " + scheme + ":// before its text, or declare it: "
		if scheme == SecretsManager {
			form = "write sm:// before its text, or declare it: "
		}
		return none, form + Declare(scheme, name) + "; " + literal
	case strings.HasPrefix(text, "/"):
		return none, "if a parameter has that name, write ssm:// before it, or declare it: " +
			Declare(SSM, name) + "; " + literal
	}
	return none, literal + "; a typo must not become the password"
}

// undeclaredScheme returns the scheme that a text of kind [Undeclared] is of.
func undeclaredScheme(text string) string {
	if a, ok := arn.Parse(text); ok {
		return a.Service
	}
	return KMS
}

// UndeclaredText says what is wrong with a text of kind [Undeclared] where a plaintext is
// asked for.
func UndeclaredText(name, text string) (problem, hint string) {
	scheme := undeclaredScheme(text)
	problem = "the variable holds the ARN of a parameter or a secret, and is not declared"
	if scheme == KMS {
		problem = "the variable holds a ciphertext, and is not declared"
	}
	return problem, "declare it: " + Declare(scheme, name) +
		", or where its text is meant: " + Declare(Literal, name)
}

// malformed says what is wrong with a text that does not begin with a scheme and "://".
func malformed(text string, quote bool) error {
	const general = "write kms://…, ssm:///…, sm://… or literal://…, and nothing around it"
	inner := strings.TrimFunc(text, around)
	if arn.Is(inner) {
		return malformedARN(text, inner, quote)
	}
	m, found := findMention(text, 0)
	if isExpression(text) {
		return fail("nothing evaluates the expression at run time", general)
	}
	if !found {
		return fail("the text does not begin with a scheme", general)
	}
	whole := m.alone && strings.Trim(strings.TrimFunc(text[m.end:], around), "})>]%") == ""
	switch {
	case m.scheme == KMS:
		return fail(m.problem(text), "write kms://AQIC…, the ciphertext in base64 behind kms://")
	case m.scheme == Literal:
		return fail(m.problem(text), "write literal:// and the value behind it")
	case whole:
		return m.replaced(m.problem(text), general, quote)
	}
	return bracesMissing(text, quote)
}

func malformedARN(text, inner string, quote bool) error {
	a, _ := arn.Parse(inner)
	problem, scheme := "the text is an ARN without a scheme", a.Service
	if inner != text {
		problem = "spaces or quotes stand around the ARN"
	}
	candidate := ""
	switch scheme {
	case SSM:
		candidate = "ssm://" + inner
	case SecretsManager:
		candidate = "sm://" + inner
	case KMS:
		return fail(problem, "write a key's ARN as kms://CIPHERTEXT?key=ARN")
	default:
		return fail(problem+" of a parameter or secret", "write ssm://ARN or sm://ARN")
	}
	general := "write " + strings.TrimSuffix(candidate, inner) + "ARN"
	err := suggest(problem, general, quote, candidate)
	err.(*Error).Declare = scheme
	return err
}

// problem says what is wrong with a mention that is the whole text.
func (m mention) problem(text string) string {
	inner := strings.TrimFunc(text, around)
	switch {
	case m.opener == "${" || m.opener == "$(":
		return "nothing expands " + m.opener + "…" + closerOf(m.opener) + " at run time: it " +
			"belongs to CloudFormation's Sub, Terraform, Serverless, compose and shells"
	case m.typo:
		return "the scheme is misspelled"
	case !m.ours:
		return "the text is a reference of another tool, or has an unknown scheme"
	case inner != text:
		return "spaces or quotes stand around the reference"
	case m.encoded:
		return "the reference is percent-encoded"
	case !m.colon || m.slashes > 3:
		return "the scheme is not followed by ://"
	case m.slashes == 1:
		return "one slash stands after the scheme instead of two"
	case m.slashes == 0:
		return "no slashes stand after the scheme"
	case m.start > 0:
		return "brackets or other signs stand around the reference"
	case !strings.Contains(text, "://"):
		return "the scheme is not followed by ://"
	}
	return "the scheme is not in lower case"
}

func closerOf(opener string) string {
	if opener[1] == '(' {
		return ")"
	}
	return "}"
}

// replaced returns the error of a text that is nothing but m, with what to write instead.
func (m mention) replaced(problem, general string, quote bool) error {
	err := suggest(problem, general, quote, m.candidates()...).(*Error)
	name, isSecret := strings.CutPrefix(err.instead, "sm://")
	if !isSecret {
		return err
	}
	if _, e := parse("sm:///"+name, false); m.slashes == 1 && e == nil {
		err.Hint += ", or sm:///" + name + " if the secret's name begins with a slash"
	}
	if _, e := parse("ssm:///"+name, false); m.typo && e == nil {
		err.Hint += " or ssm:///" + name
	}
	return err
}

// candidates returns what m may mean, the likeliest first.
func (m mention) candidates() []string {
	rest := strings.TrimFunc(m.rest, around)
	if i := strings.IndexFunc(rest, blank); i >= 0 && m.opener != "" {
		rest = rest[:i] // ${ssm:/a, 'default'}
	}
	rest = strings.TrimRight(rest, "})>]%,")
	rest, _, _ = strings.Cut(rest, "~") // ssm:/a~true
	rest = strings.TrimLeft(rest, "/")
	before, key, isPointer := strings.Cut(rest, "#/")
	if oneLevel := isPointer && !strings.Contains(key, "/"); oneLevel && !m.ours {
		rest = before + "#" + key // vals writes every field as a pointer
	}
	var all []string
	for _, text := range []string{rest, withoutOptions(rest)} {
		all = append(all, m.inRegion(m.form(text)))
	}
	return all
}

// form returns rest as our reference, by the number of slashes that stood before it.
func (m mention) form(rest string) string {
	path, _, _ := strings.Cut(rest, "#")
	rooted := m.slashes == 1 || m.slashes > 2
	deep := rooted || strings.Contains(path, "/")
	parameter := m.scheme == SSM
	switch {
	case parameter && arn.Is(rest):
		return "ssm://" + rest
	case parameter && deep:
		return "ssm:///" + rest
	case parameter:
		return "ssm://" + rest
	case m.ours && m.slashes > 2:
		return "sm:///" + rest
	}
	return "sm://" + rest
}

// inRegion states the Region of m in a candidate.
func (m mention) inRegion(text string) string {
	if m.region == "" {
		return text
	}
	r, err := parse(text, false)
	if err == nil {
		r, err = r.With("region", m.region)
	}
	if err != nil {
		return text
	}
	return r.Text()
}

func withoutOptions(text string) string {
	before, options, ok := strings.Cut(text, "?")
	if !ok {
		return text
	}
	if _, field, ok := strings.Cut(options, "#"); ok {
		return before + "#" + field
	}
	return before
}

// bracesMissing says how to write references inside a text.
func bracesMissing(text string, quote bool) error {
	m, _ := findMention(text, 0)
	problem := "a reference stands inside a text without double braces"
	if m.opener == "${" || m.opener == "$(" {
		problem = m.problem(text)
	}
	var fixed strings.Builder
	var first string
	at := 0
	for {
		m, found := findMention(text, at)
		if !found {
			break
		}
		one := m.replaced("", "", quote).(*Error).instead
		if one == "" {
			return fail(problem, bracesHint)
		}
		if first == "" {
			first = one
		}
		fixed.WriteString(text[at:m.start] + "{{" + one + "}}")
		at = m.end
	}
	fixed.WriteString(text[at:])
	if r, err := parse(fixed.String(), false); err != nil || r.Template == "" {
		return fail(problem, severalHint)
	}
	hint := "write {{" + first + "}}, the reference in double braces, in its place"
	return &Error{Problem: problem, Hint: hint, instead: fixed.String()}
}

// resolveError says how to write what a CloudFormation reference means.
func resolveError(text string, quote bool) error {
	const problem = "the text holds a CloudFormation reference, which nothing resolves at run time"
	const general = "write ssm:///name:version or sm://id?stage=…#field, in {{…}} inside a text"
	// What it means is built from its parts and printed, so that the hint is well-formed
	// or absent.
	start := resolveAt(text)
	body, rest, ok := strings.Cut(text[start:], "}}")
	if !ok || !quote {
		return fail(problem, general)
	}
	body = strings.TrimSpace(body[strings.Index(body, "resolve:")+len("resolve:"):])
	service, id, _ := strings.Cut(body, ":")
	var r Ref
	var err error
	switch service {
	case "ssm", "ssm-secure":
		r, err = identify(SSM, id)
	case SecretsManager:
		r, err = resolveSecret(id)
	default:
		return fail(problem, general)
	}
	if err != nil {
		return fail(problem, general)
	}
	one := r.Text()
	if strings.TrimFunc(text[:start]+rest, around) == "" {
		return suggest(problem, general, true, one)
	}
	fixed := text[:start] + "{{" + one + "}}" + rest
	if _, err := parse(fixed, false); err != nil || len(one) > 300 {
		return fail(problem, general)
	}
	return &Error{Problem: problem, Hint: "write {{" + one + "}} in its place", instead: fixed}
}

// resolveSecret reads id:SecretString:json-key:stage:version-id, of which all but the id
// may be left out.
func resolveSecret(text string) (Ref, error) {
	part := strings.Split(text, ":")
	n := 1
	if part[0] == "arn" {
		n = min(7, len(part))
	}
	r, err := Secret(strings.Join(part[:n], ":"))
	tail := append(part[n:], "", "", "", "")
	if err == nil {
		err = r.setTail(tail[1], tail[2], tail[3])
	}
	return r, err
}
