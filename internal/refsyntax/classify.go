package refsyntax

import (
	"slices"
	"strings"
	"unicode"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// A Kind is what a text is to this library.
type Kind uint8

// The kinds of texts.
const (
	// Plain is a text of its own meaning.
	Plain Kind = iota

	// Reference is a text that [Parse] reads, or says what is wrong with: a reference,
	// one gone wrong, or one of another tool for the same stores. It is never a plain
	// value.
	Reference

	// Undeclared is the bare ARN of a parameter or a secret, or a bare ciphertext. A
	// program may hand it to a service as it is; as a plaintext it is a mistake.
	Undeclared
)

// Classify is the one rule for what a text is. In doubt a text is plain.
func Classify(text string) Kind {
	if scheme, _, ok := strings.Cut(text, "://"); ok && begins(scheme) {
		return Reference // as findMention would say
	}
	inner := strings.TrimFunc(text, around)
	if arn.Is(inner) {
		return classifyARN(text, inner)
	}
	switch {
	case findMention(text, 0) != nil, hasResolve(text), isExpression(text):
		return Reference
	case isBareCiphertext(strings.TrimSpace(text)):
		return Undeclared
	case isBareCiphertext(inner):
		return Reference // with quotes left over from a file
	}
	if _, clear := undisguise(text); clear != "" {
		return Reference
	}
	return Plain
}

// begins reports whether a reference begins with scheme, in its usual form.
func begins(scheme string) bool {
	return isStore(scheme) || slices.Contains([]string{short, Literal}, scheme)
}

// undisguise returns the reference that stands in text in another form, and what form that
// is, or two empty texts.
func undisguise(text string) (problem, clear string) {
	problem, clear = "invisible characters stand in the text", strings.Map(visible, text)
	if clear == text {
		problem, clear = "the text is base64 of a reference", encoded(text)
	}
	if clear == "" {
		return "", ""
	}
	if _, err := parse(clear, false); err != nil {
		return "", ""
	}
	return problem, clear
}

// visible returns c, or -1 where nobody sees it: a NUL byte, a byte order mark.
func visible(c rune) rune {
	switch {
	case ' ' <= c && c <= '~': // nearly all
	case unicode.IsSpace(c):
	case unicode.IsControl(c), unicode.Is(unicode.Cf, c):
		return -1
	}
	return c
}

// encoded returns what text is base64 of, if that begins as a reference by name does.
func encoded(text string) string {
	heads := []string{"c3Nt", "c206", "c2Vj"} // ssm, sm:, sec
	if head := text[:min(4, len(text))]; !slices.Contains(heads, head) {
		return ""
	}
	clear, _ := DecodeBase64(text[:min(maxText, len(text))])
	return strings.TrimSpace(clear)
}

// Begins reports whether text is a reference, well-formed or not: an error unless [Parse]
// reads it.
func Begins(text string) bool { return Classify(text) == Reference }

// classifyARN classifies what begins like an ARN. A secret's with the tail of ECS means
// nothing to any service, nor does one with our options or a field, and quotes around an
// ARN are left over from a file.
func classifyARN(text, inner string) Kind {
	a, _ := arn.Parse(inner)
	if a.Service != SSM && a.Service != SecretsManager {
		return Plain
	}
	r, err := parse(withScheme(a.Service, inner), false)
	switch {
	case err != nil:
		return Plain
	case inner != text, r.ID != inner && r.WireName() != inner:
		return Reference
	}
	return Undeclared
}

// withScheme returns the reference to what has the ARN: without a comment behind it, and
// with the colons that the tail of a secret's lost.
func withScheme(service, text string) string {
	if i := commentAt(text); i >= 0 {
		text = text[:i]
	}
	a, _ := arn.Parse(text)
	if n := strings.Count(a.Resource, ":"); service == SecretsManager && n > 1 {
		text += "::"[min(n-2, 2):]
	}
	return prefix(service) + text
}

// isBareCiphertext reports whether text is base64 that begins as KMS begins a ciphertext,
// and has the length of one.
func isBareCiphertext(text string) bool {
	const shortest = 136 // base64 of an empty plaintext's ciphertext
	sized := shortest <= len(text) && len(text) <= maxText
	if !sized || !beginsEncrypted(text) {
		return false
	}
	_, ok := DecodeBase64(text)
	return ok
}

func beginsEncrypted(text string) bool {
	heads := []string{"AQECAH", "AQICAH", "AQIDAH", "AQIBAH"}
	return len(text) >= 6 && slices.Contains(heads, text[:6])
}

const quotes = "\"'`“”„‟‘’‚‛«»‹›\\" // and what escapes them

// around reports whether c is what configuration files and office programs leave around a
// value.
func around(c rune) bool { return blank(c) || strings.ContainsRune(quotes, c) }

// blank reports whether c is white space, or one of the format characters, such as a byte
// order mark, that nobody sees.
func blank(c rune) bool { return unicode.IsSpace(c) || unicode.Is(unicode.Cf, c) }

// hasResolve reports whether a CloudFormation reference stands in text.
func hasResolve(text string) bool {
	_, rest, _ := strings.Cut(text, "{{")
	for inner := range strings.SplitSeq(rest, "{{") {
		if strings.HasPrefix(strings.TrimLeft(inner, "{ \t"), "resolve:") {
			return true
		}
	}
	return false
}

// isExpression reports whether text holds an expression of Terraform or Ansible that reads
// one of our stores, or is a command of a shell that does, and that nothing evaluated.
func isExpression(text string) bool {
	if !strings.Contains(text, "aws") {
		return false
	}
	text = unspaced.Replace(strings.TrimFunc(text, around))
	for _, begin := range []string{"$(awsssm", "$(awssecretsmanager", "$(awskms", "data.aws_ssm_",
		"data.aws_secretsmanager_"} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	_, after, _ := strings.Cut(text, "${")
	for inside := range strings.SplitSeq(after, "${") {
		inside, _, _ = strings.Cut(inside, "}")
		if firstOf(inside, "aws_ssm_parameter.", "aws_secretsmanager_secret") >= 0 {
			return true
		}
	}
	_, after, _ = strings.Cut(text, "{{lookup(")
	return firstOf(after, "aws_ssm,", "aws_secret,", "ssm_parameter,", "manager_secret,") >= 0
}

var unspaced = strings.NewReplacer(" ", "", `"`, "", "'", "")
