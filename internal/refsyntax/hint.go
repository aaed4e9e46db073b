package refsyntax

import (
	"strconv"
	"strings"
	"unicode"
)

// Begins reports whether text begins like a reference, well-formed or not: in any case of letters, after spaces or quotes,
// with one slash instead of two. It reports true also for a CloudFormation reference, {{resolve:…}}, anywhere in text. What
// it reports is an error unless [Parse] reads it, never a plain value.
func Begins(text string) bool {
	_, _, ok := cutScheme(strings.TrimLeftFunc(text, around))
	return ok || resolveAt(text) >= 0
}

// cutScheme splits text after a scheme in any case and its ":/".
func cutScheme(text string) (scheme, rest string, ok bool) {
	head, rest, ok := strings.Cut(text, ":/")
	if !ok || len(head) > len(SecretsManager) {
		return "", "", false
	}
	switch s := strings.ToLower(head); s {
	case KMS, SSM, SecretsManager, "sm", Literal:
		return s, rest, true
	}
	return "", "", false
}

// NotReference says what is wrong with a name that is asked for and stands for no reference, and what to do. Where set, text is what the variable of that name holds.
func NotReference(name, text string, set bool) (problem, hint string) {
	declare := func(scheme string) string { return "WithVars(secrets." + scheme + ", " + strconv.Quote(name) + ")" }
	switch {
	case Begins(name):
		return "a reference stands where the name of a variable should", "name its variable, or use Resolve"
	case !set:
		return "the variable is not set", "set it to a reference, or check the spelling"
	case strings.HasPrefix(text, "arn:"):
		return "the variable holds no reference", "write sm:// or ssm:// before the ARN, or declare the variable: " + declare("SecretsManager")
	}
	return "the variable holds no reference", "if its text is the value, declare it: " + declare("Literal") + "; a typo must not become the password"
}

// around reports whether c is what configuration files and office programs leave around a value.
func around(c rune) bool {
	return blank(c) || strings.ContainsRune("\"'`“”„‟‘’‚‛«»‹›", c)
}

// blank reports whether c is white space, or one of the format characters, such as a byte order mark, that nobody sees.
func blank(c rune) bool { return unicode.IsSpace(c) || unicode.Is(unicode.Cf, c) }

// resolveAt returns the place of a CloudFormation reference in text, or -1.
func resolveAt(text string) int {
	for at := 0; ; {
		i := strings.Index(text[at:], "{{")
		if i < 0 {
			return -1
		}
		if strings.HasPrefix(strings.TrimLeft(text[at+i+2:], " \t"), "resolve:") {
			return at + i
		}
		at += i + 1
	}
}

// suggest returns a hint that shows candidate when that is a short reference and holds nothing that must not be shown, and
// otherwise the general one.
func suggest(candidate string, quote bool, general string) string {
	if !quote || len(candidate) > 300 {
		return general
	}
	if r, err := parse(candidate, false); err != nil || r.Scheme != SSM && r.Scheme != SecretsManager {
		return general
	}
	return "write " + candidate
}

// malformed says what is wrong with a text that does not begin with a scheme and "://".
func malformed(text string, quote bool) error {
	const general = "write kms://…, ssm:///…, secretsmanager://… or literal://…, and nothing around it"
	inner := strings.TrimFunc(text, around)
	scheme, rest, ok := cutScheme(inner)
	if !ok {
		if !strings.HasPrefix(inner, "arn:") {
			return fail("the text does not begin with a scheme", general)
		}
		const problem = "the text is an ARN without a scheme"
		for _, s := range []string{SSM, SecretsManager} {
			if hint := suggest(s+"://"+inner, quote, ""); hint != "" {
				return fail(problem, hint)
			}
		}
		return fail(problem, "write ssm://ARN or secretsmanager://ARN, or a key's ARN as kms://CIPHERTEXT?key=ARN")
	}
	candidate := scheme + "://" + strings.TrimPrefix(rest, "/")
	problem := "the scheme is not in lower case"
	if !strings.HasPrefix(rest, "/") {
		problem = "one slash stands after the scheme instead of two"
		if scheme == SSM {
			candidate = "ssm:///" + rest // ssm:/app/db lost the slashes, not the name its first
		}
	}
	if inner != text {
		problem = "spaces or quotes stand around the reference"
	}
	return fail(problem, suggest(candidate, quote, general))
}

// resolveError says how to write what a CloudFormation reference means.
func resolveError(text string, quote bool) error {
	const problem = "the text holds a CloudFormation reference, which nothing resolves at run time"
	const general = "write ssm:///name:version or secretsmanager://id?stage=…#field, alone in its variable"
	// What it means is built from its parts and printed, so that the hint is well-formed or absent.
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
	case "secretsmanager":
		r, err = resolveSecret(id)
	default:
		return fail(problem, general)
	}
	if err != nil {
		return fail(problem, general)
	}
	hint := suggest(r.Text(), true, general)
	if hint != general && strings.TrimFunc(text[:start]+rest, around) != "" {
		hint += ", alone in its variable"
	}
	return fail(problem, hint)
}

// resolveSecret reads id:SecretString:json-key:stage:version-id, of which all but the id may be left out.
func resolveSecret(text string) (Ref, error) {
	parts := strings.Split(text, ":")
	n := 1
	if parts[0] == "arn" {
		n = min(7, len(parts))
	}
	r, err := Secret(strings.Join(parts[:n], ":"))
	for i, key := range []string{"", "field", "stage", "version"} {
		if err != nil || n+i >= len(parts) || key == "" || parts[n+i] == "" {
			continue
		}
		r, err = r.With(key, parts[n+i])
	}
	return r, err
}
