package refsyntax

import (
	"cmp"
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
	literal := "if its text is the value, declare it: " + Declare(Literal, name)
	switch {
	case Begins(name):
		return "a reference stands where the name of a variable should",
			"name its variable, or use Resolve"
	case !set:
		return "the variable is not set", "set it to a reference, or check the spelling"
	case Classify(text) == Undeclared:
		scheme := undeclaredScheme(text)
		return none, "write " + prefix(scheme) + " before its text, or declare it: " +
			Declare(scheme, name) + "; " + literal
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
	held := "the ARN of a parameter or a secret"
	if scheme == KMS {
		held = "a ciphertext"
	}
	return "the variable holds " + held + ", and is not declared", "declare it: " +
		Declare(scheme, name) + ", or where its text is meant: " + Declare(Literal, name)
}

// malformed says what is wrong with a text that does not begin with a scheme and "://",
// or that holds a reference of CloudFormation.
func malformed(text string, quote bool) error {
	general := "write kms://…, ssm:///…, sm://… or literal://…, and nothing around it"
	if problem, clear := undisguise(text); clear != "" {
		return suggest(problem, "write the reference itself", quote, clear)
	}
	inner := strings.TrimFunc(text, around)
	if arn.Is(inner) {
		return malformedARN(text, inner, quote)
	}
	m := cmp.Or(findMention(text, 0), &mention{})
	found := m.scheme != ""
	behind := strings.TrimFunc(text[m.end:], around)
	whole := m.alone && strings.Trim(behind, "})>]%") == ""
	problem := m.problem(text, whole)
	switch {
	case hasResolve(text):
		problem = "the text holds a CloudFormation reference, which nothing resolves at run time"
		general = inTextHint
		found = found && strings.Contains(text, "}}")
	case isExpression(text):
		problem, found = "nothing evaluates the expression at run time", false
		general = inTextHint
	case !found && isBareCiphertext(inner):
		return fail("quotes stand around the ciphertext", "write kms:// and it, without them")
	case !found:
		problem = "the text does not begin with a scheme"
	}
	switch {
	case !found:
		return fail(problem, general)
	case m.scheme == KMS:
		return fail(problem, "write kms://AQIC…, the ciphertext in base64 behind kms://")
	case m.scheme == Literal:
		return fail(problem, "write literal:// and the value behind it")
	case strings.Contains(m.rest, "${"), strings.Contains(m.rest, "$("):
		return fail(problem, inTextHint+", with what ${…} stands for written out")
	case whole:
		return m.replaced(problem, general, quote)
	}
	return m.braced(text, problem, quote)
}

func malformedARN(text, inner string, quote bool) error {
	a, _ := arn.Parse(inner)
	problem := "the text is an ARN without a scheme"
	if inner != text {
		problem = "spaces or quotes stand around the ARN"
	}
	switch a.Service {
	case KMS:
		return fail(problem, "write a key's ARN as kms://CIPHERTEXT?key=ARN")
	case SSM, SecretsManager:
		general := "write " + prefix(a.Service) + "ARN"
		err := suggest(problem, general, quote, withScheme(a.Service, inner))
		if _, refused := identify(a.Service, text); refused == nil {
			err.Declare = a.Service
		}
		return err
	}
	return fail(problem+" of a parameter or secret", "write ssm://ARN or sm://ARN")
}

const inTextHint = "write ssm:///name:version or sm://id?stage=…#field, in {{…}} inside a text"

// problem says what is wrong with a mention, which may be the whole text.
func (m *mention) problem(text string, whole bool) string {
	switch {
	case m.opener == "${", m.opener == "$(":
		return "nothing expands " + m.opener + "…" + closerOf(m.opener) + " at run time: it " +
			"belongs to CloudFormation's Sub, Terraform, Serverless, compose and shells"
	case !whole:
		return "a reference stands inside a text without double braces"
	case m.typo:
		return "the scheme is misspelled"
	case !m.ours, m.head == secure:
		return "the text is a reference of another tool, or has an unknown scheme"
	case strings.TrimFunc(text, around) != text:
		return "spaces or quotes stand around the reference"
	case m.colon && m.slashes == 1:
		return "one slash stands after the scheme instead of two"
	case m.slashes > 0 && m.capital:
		return "the scheme is not in lower case"
	case m.start > 0 && strings.Contains(text, "://"):
		return "brackets or other signs stand around the reference"
	}
	return "the scheme is not followed by ://"
}

// replaced returns the error of a text that is nothing but m, with what to write instead.
func (m *mention) replaced(problem, general string, quote bool) error {
	err := suggest(problem, general, quote, m.candidates()...)
	name, isSecret := strings.CutPrefix(err.instead, "sm://")
	reads := func(text string) bool {
		_, err := parse(text, false)
		return isSecret && err == nil
	}
	if m.slashes == 1 && reads("sm:///"+name) {
		err.Hint += ", or sm:///" + name + " if the secret's name begins with a slash"
	}
	if m.typo && reads("ssm:///"+name) {
		err.Hint += " or ssm:///" + name
	}
	return err
}

// candidates returns what m may mean, the likeliest first.
func (m *mention) candidates() []string {
	rest := strings.ReplaceAll(strings.TrimFunc(m.rest, around), `\/`, "/")
	rest = strings.ReplaceAll(rest, `\`, "/")
	more := m.opener != "" || commentAt(rest) >= 0 // ${ssm:/a, 'default'}
	if i := strings.IndexFunc(rest, blank); i >= 0 && more {
		rest = rest[:i]
	}
	signs := "})>]%,"
	if !m.ours {
		signs += "+" // vals
	}
	rest = strings.TrimRight(rest, signs)
	rest, _, _ = strings.Cut(rest, "~") // ssm:/a~true
	if id, tail, ok := strings.Cut(rest, ":SecretString"); ok && m.scheme == SecretsManager {
		return []string{resolvedSecret(id, tail)}
	}
	stated, field, hasField := strings.Cut(strings.TrimLeft(rest, "/"), "#")
	name, _, _ := strings.Cut(stated, "?")
	if !m.ours && strings.LastIndex(field, "/") == 0 {
		field = field[1:] // vals writes every field as a pointer
	}
	if hasField {
		field = "#" + field
	}
	if m.region != "" {
		field = "?region=" + m.region + field
	}
	// What other tools write as options may mean nothing here, and a path of theirs that
	// ends in a slash is a tree.
	begin := m.prefix(name) + name
	return []string{m.prefix(name) + stated + field, begin + field, begin + "*" + field}
}

// prefix returns how the reference to what m calls name begins.
func (m *mention) prefix(name string) string {
	rooted := m.slashes == 1 || m.slashes > 2
	if m.scheme == SSM {
		rooted = rooted || strings.Contains(name, "/")
		if rooted && !arn.Is(name) {
			return "ssm:///"
		}
	} else if m.ours && m.slashes > 2 {
		return "sm:///"
	}
	return prefix(m.scheme)
}

// resolvedSecret returns the reference to a secret that CloudFormation writes as
// id:SecretString:json-key:stage:version-id, of which the end may be left out.
func resolvedSecret(id, tail string) string {
	r, err := Secret(id)
	if err == nil {
		err = r.setTail(strings.Split(tail+":::", ":")[1:4])
	}
	if err != nil {
		return ""
	}
	return r.Text()
}

// braced returns the error of a text with m, and perhaps more like it, inside. Its hint
// puts each into double braces.
func (m *mention) braced(text, problem string, quote bool) error {
	place := "}}, the reference in double braces, in its place"
	if m.opener == "{{" {
		place = "}} in its place"
	}
	var fixed strings.Builder
	first, at := "", 0
	for ; m != nil; m = findMention(text, at) {
		one := suggest("", "", quote, m.candidates()...).instead
		if one == "" {
			return fail(problem, bracesHint)
		}
		first = cmp.Or(first, one)
		fixed.WriteString(text[at:m.start] + "{{" + one + "}}")
		at = m.end
	}
	fixed.WriteString(text[at:])
	if r, err := parse(fixed.String(), false); err != nil || r.Template == nil {
		return fail(problem, severalHint)
	}
	hint := "write {{" + first + place
	return &Error{Problem: problem, Hint: hint, instead: fixed.String()}
}
