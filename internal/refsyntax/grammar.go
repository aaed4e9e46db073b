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
	lengthHint = "no store has a name that long: see whether a value stands in its place"
)

var (
	errLong  = fail("the text is longer than 16 KiB", lengthHint)
	errSlash = fail("the parameter name has a slash and does not start with one",
		"write ssm:///app/db for /app/db")
	errTree = fail("a tree of parameters takes no version",
		"write ssm:///app/prod/* or ssm:///app/prod/*:LABEL, or ssm:///app/prod/name:3")
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

// decodeCiphertext decodes base64 of either alphabet, padded or not.
func decodeCiphertext(text string) (string, error) {
	name := strings.TrimLeft(text, "/")
	switch {
	case strings.HasPrefix(name, "alias/"), isKeyID(name), arn.Is(name):
		return "", fail("the text names a KMS key, not a ciphertext", keyHint)
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
	if secret, ok := strings.CutPrefix(name, arn.SecretParameter); ok {
		// The grammar of a secret, which has no trees.
		return shifted(checkSecret(secret), len(arn.SecretParameter))
	}
	const tooLong = "no parameter has that: see whether a value or two names stand in its place"
	path, tree := strings.CutSuffix(name, "/*")
	levels := strings.Count(path, "/")
	rooted := strings.HasPrefix(path, "/")
	switch i := stray(path, "_.-/"); {
	case i >= 0 && path[i] == '*', tree && path == "":
		return fail("a * may stand only as the last level of a tree", "write ssm:///app/prod/*")
	case name == "":
		return fail("the parameter name is empty", "write ssm:///app/db/password or ssm://name")
	case i >= 0:
		return strayed("the parameter name", path, i, "letters, digits and _ . - /")
	case !rooted && tree, !rooted && levels > 0:
		return errSlash
	case strings.Contains(path, "//"):
		return fail("the parameter name has an empty level", "write one / between levels")
	case strings.HasSuffix(path, "/"):
		const hint = "write ssm:///app/* for every parameter below /app, or no / at the end for one"
		return fail("the parameter name ends in a slash", hint)
	case levels > 15:
		return fail("the parameter name has more than 15 levels", tooLong)
	case len(path) > 1011:
		return fail("the parameter name is longer than 1011 bytes", tooLong)
	}
	return nil
}

// nameSigns are what a secret's name has besides letters and digits; a parameter's has
// fewer.
const nameSigns = "/_+=.@!-"

// checkSecret checks a secret's name, which unlike a parameter's may hold empty levels.
func checkSecret(name string) error {
	switch i := stray(name, nameSigns); {
	case name == "":
		return fail("the secret's name is empty", "write sm://prod/db")
	case i >= 0:
		return strayed("the secret's name", name, i, "letters, digits and / _ + = . @ ! -")
	case len(name) > 512:
		return fail("the secret's name is longer than 512 bytes", lengthHint)
	}
	return nil
}

// ofSecret reports whether versions of r are those of a secret.
func ofSecret(r *Ref) bool {
	return r.Scheme == SecretsManager || strings.HasPrefix("/"+BaseName(r.ID), arn.SecretParameter)
}

// isVersion reports whether s is a version for r, and not a label.
func isVersion(r *Ref, s string) bool {
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

// isKeyID reports whether s is a UUID, or the id of a multi-Region key. Regular expressions
// would say it shorter, and cost every cold start more than all that is parsed: half a
// millisecond of processor and 260 kB to compile, before main.
func isKeyID(s string) bool {
	const uuid = "00000000-0000-0000-0000-000000000000"
	const multi = "mrk-00000000000000000000000000000000"
	if len(s) != len(uuid) {
		return false
	}
	shape := strings.Map(func(c rune) rune {
		if strings.ContainsRune("0123456789abcdefABCDEF", c) {
			return '0'
		}
		return c
	}, s)
	return shape == uuid || shape == multi
}

func isKeyAlias(s string) bool {
	name, ok := strings.CutPrefix(s, "alias/")
	return ok && isWord(name, 250, "/_-")
}

// inOneRegion reports whether a key exists in its own Region only. An alias may stand for
// a key in each.
func inOneRegion(key string) bool {
	a, isARN := arn.Parse(key)
	id := strings.TrimPrefix(a.Resource, "key/")
	if !isARN {
		id = key
	}
	many := isKeyAlias(id) || strings.HasPrefix(id, "mrk-")
	return id != "" && !many
}

// parseARN takes an ARN of the service apart. The account may be empty. The Region has to
// be of the ARN's partition, which also refuses partitions that do not exist: a call goes
// where the ARN says.
func parseARN(text, service string) (a arn.ARN, err error) {
	a, ok := arn.Parse(text)
	form := "write arn:PARTITION:" + service + ":REGION:ACCOUNT:RESOURCE"
	switch partition := arn.Partition(a.Region); {
	case !ok:
		err = fail("the ARN is cut short", form)
	case a.Service != service:
		err = fail("the ARN is of another service than "+service, form+
			", or the scheme of its service: ssm:// for parameters, sm:// for secrets")
	case !arn.IsRegion(a.Region):
		const problem = "the ARN has no Region, or not the name of one"
		err = fail(problem, form+", the Region as eu-west-1")
	case partition != a.Partition:
		hint := "that Region's ARNs begin with arn:" + partition
		err = fail("the ARN's partition is not its Region's", hint)
	case a.Account != "" && !arn.IsAccount(a.Account):
		err = fail("the ARN's account has not 12 digits", form)
	}
	return a, err
}
