package refsyntax

import (
	"fmt"
	"strings"

	"github.com/lambdasecrets/secrets/internal/arn"
)

const (
	// maxCiphertext is that of KMS Decrypt's CiphertextBlob; minCiphertext is below what
	// any key makes of an empty plaintext. What is shorter is the name of a key, or
	// another text that happens to be base64.
	minCiphertext = 32
	maxCiphertext = 6144

	ciphertextHint = "write all of what `aws kms encrypt` prints as CiphertextBlob"
	keyHint        = "write kms://CIPHERTEXT, and a key that has to decrypt as " +
		"kms://CIPHERTEXT?key=KEY"
	referencePrefix = "/aws/reference/secretsmanager/"
)

var (
	errLong = &Error{Problem: "the text is longer than 16 KiB",
		Hint: "no store has a name that long: see whether a value stands in its place"}
	errSlash = &Error{Problem: "the parameter name has a slash and does not start with one",
		Hint: "write ssm:///app/db for /app/db"}
	errStar = &Error{Problem: "a * may stand only as the last level of a tree",
		Hint: "write ssm:///app/prod/*"}
	errTree = &Error{Problem: "a tree of parameters takes no version",
		Hint: "write ssm:///app/prod/* or ssm:///app/prod/*:LABEL, or ssm:///app/prod/name:3"}
	errKey = &Error{Problem: "the text names a KMS key, not a ciphertext", Hint: keyHint}
)

// stray returns the place of the first byte of s that is neither alphanumeric nor in
// extra, or -1.
func stray(s, extra string) int {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && strings.IndexByte(extra, c) < 0 {
			return i
		}
	}
	return -1
}

func alphanumeric(c byte) bool {
	letter := 'a' <= c|0x20 && c|0x20 <= 'z'
	digit := '0' <= c && c <= '9'
	return letter || digit
}

// isWord reports whether s has 1 to longest bytes, each alphanumeric or in extra.
func isWord(s string, longest int, extra string) bool {
	sized := s != "" && len(s) <= longest
	return sized && stray(s, extra) < 0
}

// decodeCiphertext decodes base64 of either alphabet, padded or not. Strict decoding
// finds a text that lost its end at one more place than the length does.
func decodeCiphertext(text string) (string, error) {
	name := strings.TrimLeft(text, "/")
	switch {
	case strings.HasPrefix(name, "alias/"), isKeyID(name):
		return "", errKey
	case strings.HasPrefix(name, "arn:"):
		return "", errKey
	}
	if i := stray(text, "+/-_= \t\n\v\f\r"); i >= 0 {
		problem := fmt.Sprintf("the ciphertext is not base64: byte %d of it may not stand there", i)
		return "", fail(problem, ciphertextHint)
	}
	b, ok := DecodeBase64(text)
	if !ok {
		// The decoder's error tells only an offset, and not the reader's.
		return "", fail("the ciphertext is not base64, or was cut off", ciphertextHint)
	}
	return b, checkCiphertext(len(b))
}

func checkCiphertext(n int) error {
	switch {
	case n > maxCiphertext:
		return fail(fmt.Sprintf("the ciphertext has %d bytes", n), "KMS decrypts up to 6144")
	case n < minCiphertext:
		problem := fmt.Sprintf("the ciphertext has %d bytes: no ciphertext of KMS is that short", n)
		return fail(problem, keyHint)
	}
	return nil
}

// checkParameter checks a parameter's name, or a tree. Names under /aws pass: nobody can
// create them, but public parameters are read by them. A tree of everything is refused:
// it is a slip, and a role that may read all of it a mistake.
func checkParameter(name string) error {
	if secret, ok := strings.CutPrefix(name, referencePrefix); ok {
		return shifted(checkSecret(secret), len(referencePrefix)) // a secret's grammar, no trees
	}
	path, tree := strings.CutSuffix(name, "/*")
	switch i := stray(path, "_.-/"); {
	case strings.Contains(path, "*"), tree && path == "":
		return errStar
	case name == "":
		return fail("the parameter name is empty", "write ssm:///app/db/password or ssm://name")
	case i >= 0:
		return &strayError{"the parameter name", i, path[i], "letters, digits and _ . - /"}
	case strings.Contains(path, "/") && path[0] != '/', tree && path[0] != '/':
		return errSlash
	case strings.Contains(path, "//"):
		return fail("the parameter name has an empty level", "write one / between levels")
	case strings.HasSuffix(path, "/"):
		const hint = "write ssm:///app/* for every parameter below /app, or no / at the end for one"
		return fail("the parameter name ends in a slash", hint)
	case strings.Count(path, "/") > 15:
		const hint = "no parameter has that: see whether two names ran together"
		return fail("the parameter name has more than 15 levels", hint)
	case len(path) > 1011:
		const hint = "no parameter has that: see whether a value stands in its place"
		return fail("the parameter name is longer than 1011 bytes", hint)
	}
	return nil
}

// shifted moves the place of a stray byte to that in a longer text.
func shifted(err error, by int) error {
	if e, ok := err.(*strayError); ok {
		e.at += by
	}
	return err
}

// checkParameterARN checks an ARN's account and resource. The resource leaves out the
// name's first slash, and with it the difference of a and /a.
func checkParameterARN(a arn.ARN) error {
	name, ok := strings.CutPrefix(a.Resource, "parameter/")
	public := strings.HasPrefix(name, "aws/") // public parameters belong to no account
	switch {
	case !ok, a.Account == "" && !public:
		const hint = "write arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME"
		return fail("the ARN is not of a parameter", hint)
	case strings.HasSuffix(name, "/*"):
		const hint = "write it by its path, with ?region= when it is elsewhere"
		return fail("a tree of parameters has no ARN", hint)
	}
	return checkParameter("/" + name)
}

// isTree reports whether r stands for every parameter below a path.
func isTree(r Ref) bool { return r.Scheme == SSM && strings.HasSuffix(r.ID, "/*") }

// ofSecret reports whether versions of r are those of a secret.
func ofSecret(r Ref) bool {
	return r.Scheme == SecretsManager || strings.HasPrefix("/"+BaseName(r.ID), referencePrefix)
}

// isVersion reports whether s is a version for r, and not a label.
func isVersion(r Ref, s string) bool {
	if ofSecret(r) {
		return len(s) >= 32 && isWord(s, 64, "-")
	}
	// AWS lets no label start with a digit, so digits are always a version; versions
	// count from 1.
	if s == "" || s[0] == '0' {
		return false
	}
	return len(s) <= 19 && arn.IsDigits(s)
}

// errVersion is the error for what [isVersion] denies.
func errVersion(r Ref) error {
	if ofSecret(r) {
		return fail("not a version id", "it has 32 to 64 letters, digits and hyphens")
	}
	return fail("not a version number", "write it in digits, or set a label as the stage")
}

// checkStage checks a staging label, or a parameter's label.
func checkStage(r Ref, s string) error {
	digits := s != "" && arn.IsDigits(s)
	switch {
	case r.Scheme == SecretsManager:
		// The service states the length only.
		other := func(c rune) bool { return c <= ' ' || c > '~' }
		sized := s != "" && len(s) <= 256
		if !sized || strings.IndexFunc(s, other) >= 0 {
			const hint = "it has 1 to 256 printable ASCII characters, as AWSPREVIOUS"
			return fail("not a staging label", hint)
		}
	case ofSecret(r):
		if !isWord(s, 256, "._-") || isVersion(r, s) {
			const hint = "write :AWSPREVIOUS, and the secret by its name"
			return fail("the selector is not a staging label or a version id", hint)
		}
	case digits && isTree(r):
		return errTree
	case !isWord(s, 100, "._-"), arn.IsDigits(s[:1]):
		const hint = "write :3, or a label that does not start with a digit"
		return fail("the selector is not a version or a label", hint)
	}
	return nil
}

// checkSecret checks a secret's name, which unlike a parameter's may hold empty levels.
func checkSecret(name string) error {
	switch i := stray(name, "/_+=.@!-"); {
	case name == "":
		return fail("the secret's name is empty", "write sm://prod/db")
	case i >= 0:
		return &strayError{"the secret's name", i, name[i], "letters, digits and / _ + = . @ ! -"}
	case len(name) > 512:
		const hint = "no secret has that: see whether a value stands in its place"
		return fail("the secret's name is longer than 512 bytes", hint)
	}
	return nil
}

// The rest of this file would be shorter with regular expressions. They would cost every
// cold start more than all that is parsed: half a millisecond of processor and 260 kB to
// compile, before main.

// isKeyID reports whether s is a UUID, or the id of a multi-Region key.
func isKeyID(s string) bool {
	const hex = "0123456789abcdefABCDEF"
	if id, ok := strings.CutPrefix(s, "mrk-"); ok {
		return len(id) == 32 && strings.Trim(id, hex) == ""
	}
	part := strings.Split(s, "-")
	if len(part) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if len(part[i]) != n || strings.Trim(part[i], hex) != "" {
			return false
		}
	}
	return true
}

func isKeyAlias(s string) bool {
	name, ok := strings.CutPrefix(s, "alias/")
	return ok && isWord(name, 250, "/_-")
}

// checkKey checks the id, alias or ARN of a KMS key and returns the ARN's Region, or
// none.
func checkKey(key string) (region string, err error) {
	const hint = "write a key id, alias/NAME, or the ARN of either"
	if !arn.Is(key) {
		if !isKeyID(key) && !isKeyAlias(key) {
			return "", fail("not a KMS key", hint)
		}
		return "", nil
	}
	a, err := parseARN(key, "kms")
	if err != nil {
		return "", err
	}
	named := isKeyAlias(a.Resource)
	if id, isKey := strings.CutPrefix(a.Resource, "key/"); isKey {
		named = isKeyID(id)
	}
	if a.Account == "" || !named {
		return "", fail("not a KMS key", hint)
	}
	return a.Region, nil
}

// inOneRegion reports whether a key exists in its own Region only. An alias may stand for
// a key in each.
func inOneRegion(key string) bool {
	id := key
	if a, ok := arn.Parse(key); ok {
		id = strings.TrimPrefix(a.Resource, "key/")
	}
	if key == "" || isKeyAlias(id) {
		return false
	}
	return !strings.HasPrefix(id, "mrk-")
}

// parseARN takes an ARN of the service apart. The account may be empty. The Region has to
// be of the ARN's partition, which also refuses partitions that do not exist: a call goes
// where the ARN says.
func parseARN(text, service string) (arn.ARN, error) {
	form := "write arn:PARTITION:" + service + ":REGION:ACCOUNT:RESOURCE"
	a, ok := arn.Parse(text)
	switch {
	case !ok:
		return a, fail("the ARN is cut short", form)
	case a.Service != service:
		return a, fail("the ARN is of another service than "+service, form+
			", or the scheme of its service: ssm:// for parameters, sm:// for secrets")
	case !arn.IsRegion(a.Region):
		const problem = "the ARN has no Region, or not the name of one"
		return a, fail(problem, form+", the Region as eu-west-1")
	case arn.Partition(a.Region) != a.Partition:
		hint := "that Region's ARNs begin with arn:" + arn.Partition(a.Region)
		return a, fail("the ARN's partition is not its Region's", hint)
	case a.Account != "" && !arn.IsAccount(a.Account):
		return a, fail("the ARN's account has not 12 digits", form)
	}
	return a, nil
}
