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
	_, found := findMention(text, 0)
	switch {
	case found, hasResolve(text), isExpression(text):
		return Reference
	case isBareCiphertext(text):
		return Undeclared
	}
	return Plain
}

// begins reports whether a reference begins with scheme, in its usual form.
func begins(scheme string) bool {
	return isStore(scheme) || scheme == short || scheme == Literal
}

// Begins reports whether text is a reference, well-formed or not: an error unless [Parse]
// reads it.
func Begins(text string) bool { return Classify(text) == Reference }

// classifyARN classifies what begins like an ARN. A secret's with the tail of ECS means
// nothing to any service, and quotes around an ARN are left over from a file.
func classifyARN(text, inner string) Kind {
	a, _ := arn.Parse(inner)
	if a.Service != SSM && a.Service != SecretsManager {
		return Plain
	}
	r, err := identify(a.Service, inner)
	switch {
	case err != nil:
		return Plain
	case inner != text, a.Service == SecretsManager && r.ID != inner:
		return Reference
	}
	return Undeclared
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

const quotes = "\"'`“”„‟‘’‚‛«»‹›"

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

// isExpression reports whether text is an expression of Terraform or Ansible that reads one
// of our stores, and that nothing evaluated.
func isExpression(text string) bool {
	if !strings.Contains(text, "aws") {
		return false
	}
	plain := strings.NewReplacer(" ", "", `"`, "", "'", "", "${data.", "${", "amazon.aws.", "")
	text = plain.Replace(strings.TrimFunc(text, around))
	for _, begin := range []string{
		"${aws_ssm_parameter.", "${aws_secretsmanager_secret", "{{lookup(aws_ssm",
		"{{lookup(aws_secret", "{{lookup(ssm_parameter", "{{lookup(secretsmanager_secret",
	} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	return false
}
