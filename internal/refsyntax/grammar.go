package refsyntax

import (
	"encoding/base64"
	"fmt"
	"strings"
)

const (
	maxCiphertext   = 6144 // bytes, the CiphertextBlob of KMS Decrypt
	ciphertextHint  = "write all of what `aws kms encrypt` prints as CiphertextBlob"
	referencePrefix = "/aws/reference/secretsmanager/"
)

var (
	errLong  = &Error{"the text is longer than 16 KiB", "no store has a name that long: see whether a value stands in its place"}
	errSlash = &Error{"the parameter name has a slash and does not start with one", "write ssm:///app/db for /app/db"}
	errStar  = &Error{"a * may stand only as the last level of a tree", "write ssm:///app/prod/*"}
	errTree  = &Error{"a tree of parameters takes no version and no label", "write ssm:///app/prod/*, or ssm:///app/prod/name:3 for one of them"}
)

// stray returns the place of the first byte of s that is neither alphanumeric nor in extra, or -1.
func stray(s, extra string) int {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && strings.IndexByte(extra, c) < 0 {
			return i
		}
	}
	return -1
}

// decodeCiphertext decodes base64 of either alphabet, padded or not. Strict decoding finds a text that lost its end at one
// more place than the length does.
func decodeCiphertext(text string) (string, error) {
	if i := stray(text, "+/-_= \t\n\v\f\r"); i >= 0 {
		return "", fail(fmt.Sprintf("the ciphertext is not base64: byte %d of it may not stand there", i), ciphertextHint)
	}
	// Line breaks come from base64 without -w0, the URL-safe alphabet from tools that write references as URLs.
	text = strings.NewReplacer(" ", "", "\t", "", "\n", "", "\v", "", "\f", "", "\r", "", "-", "+", "_", "/").Replace(text)
	bare := strings.TrimRight(text, "=")
	b, err := base64.RawStdEncoding.Strict().DecodeString(bare)
	if err != nil || len(bare) != len(text) && (len(text)%4 != 0 || len(text)-len(bare) > 2) {
		// The decoder's error tells only an offset, and not the reader's.
		return "", fail("the ciphertext is not base64, or was cut off", ciphertextHint)
	}
	return string(b), checkCiphertext(len(b))
}

func checkCiphertext(n int) error {
	if n < 1 || n > maxCiphertext {
		return fail(fmt.Sprintf("the ciphertext has %d bytes", n), "KMS decrypts 1 to 6144")
	}
	return nil
}

// checkParameter checks a parameter's name, or a tree. Names under /aws pass: nobody can create them, but public parameters
// are read by them. A tree of everything is refused: it is a slip, and a role that may read all of it a mistake.
func checkParameter(name string) error {
	if secret, ok := strings.CutPrefix(name, referencePrefix); ok {
		return checkSecret(secret) // a secret's grammar, and no trees
	}
	path, tree := strings.CutSuffix(name, "/*")
	switch i := stray(path, "_.-/"); {
	case strings.Contains(path, "*"), tree && path == "":
		return errStar
	case name == "":
		return fail("the parameter name is empty", "write ssm:///app/db/password or ssm://name")
	case i >= 0:
		return fail(fmt.Sprintf("byte %d of the parameter name may not stand in one", i), "names are made of letters, digits and _ . - /")
	case strings.Contains(path, "/") && path[0] != '/', tree && path[0] != '/':
		return errSlash
	case strings.Contains(path, "//"), strings.HasSuffix(path, "/"):
		return fail("the parameter name has an empty level", "write no // and no / at the end")
	case strings.Count(path, "/") > 15:
		return fail("the parameter name has more than 15 levels", "no parameter has that: see whether two names ran together")
	case len(path) > 1011:
		return fail("the parameter name is longer than 1011 bytes", "no parameter has that: see whether a value stands in its place")
	}
	return nil
}

// checkParameterARN checks an ARN's account and resource. The resource leaves out the name's first slash, and with it the
// difference of a and /a.
func checkParameterARN(a arn) error {
	name, ok := strings.CutPrefix(a.resource, "parameter/")
	switch {
	case !ok || a.account == "" && !strings.HasPrefix(name, "aws/"): // public parameters belong to no account
		return fail("the ARN is not of a parameter", "write arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME")
	case strings.HasSuffix(name, "/*"):
		return fail("a tree of parameters has no ARN", "write it by its path, with ?region= when it is elsewhere")
	}
	return checkParameter("/" + name)
}

// isTree reports whether r stands for every parameter below a path.
func isTree(r Ref) bool { return r.Scheme == SSM && strings.HasSuffix(r.ID, "/*") }

// ofSecret reports whether versions of r are those of a secret.
func ofSecret(r Ref) bool {
	return r.Scheme == SecretsManager || strings.HasPrefix(r.ID, referencePrefix) ||
		strings.HasPrefix(r.ID, "arn:") && strings.Contains(r.ID, ":parameter"+referencePrefix)
}

// isVersion reports whether s is a version for r, and not a label.
func isVersion(r Ref, s string) bool {
	if ofSecret(r) {
		return len(s) >= 32 && len(s) <= 64 && stray(s, "-") < 0
	}
	// AWS lets no label start with a digit, so digits are always a version; versions count from 1.
	return s != "" && len(s) <= 19 && s[0] != '0' && of(s, digits)
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
	switch {
	case isTree(r):
		return errTree
	case r.Scheme == SecretsManager:
		// The service states the length only.
		if s == "" || len(s) > 256 || strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) >= 0 {
			return fail("not a staging label", "it has 1 to 256 printable ASCII characters, as AWSPREVIOUS")
		}
	case ofSecret(r):
		if s == "" || len(s) > 256 || stray(s, "._-") >= 0 || isVersion(r, s) {
			return fail("the selector is not a staging label or a version id", "write :AWSPREVIOUS, and the secret by its name")
		}
	case s == "" || len(s) > 100 || stray(s, "._-") >= 0 || s[0] >= '0' && s[0] <= '9':
		return fail("the selector is not a version or a label", "write :3, or a label that does not start with a digit")
	}
	return nil
}

// checkSecret checks a secret's name, which unlike a parameter's may hold empty levels.
func checkSecret(name string) error {
	switch i := stray(name, "/_+=.@!-"); {
	case name == "":
		return fail("the secret's name is empty", "write secretsmanager://prod/db")
	case i >= 0:
		return fail(fmt.Sprintf("byte %d of the secret's name may not stand in one", i), "names are made of letters, digits and / _ + = . @ ! -")
	case len(name) > 512:
		return fail("the secret's name is longer than 512 bytes", "no secret has that: see whether a value stands in its place")
	}
	return nil
}

// The rest of this file would be shorter with regular expressions. They would cost every cold start more than all that is parsed: half a millisecond of processor and
// 260 kB to compile, before main.

// of reports whether s is made of the characters in set alone.
func of(s, set string) bool { return strings.Trim(s, set) == "" }

const (
	digits = "0123456789"
	hex    = digits + "abcdefABCDEF"
	lower  = "abcdefghijklmnopqrstuvwxyz"
)

// isKeyID reports whether s is a UUID, or the id of a multi-Region key.
func isKeyID(s string) bool {
	if id, ok := strings.CutPrefix(s, "mrk-"); ok {
		return len(id) == 32 && of(id, hex)
	}
	part := strings.Split(s, "-")
	if len(part) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if len(part[i]) != n || !of(part[i], hex) {
			return false
		}
	}
	return true
}

func isKeyAlias(s string) bool {
	name, ok := strings.CutPrefix(s, "alias/")
	return ok && name != "" && len(name) <= 250 && stray(name, "/_-") < 0
}

// checkKey checks the id, alias or ARN of a KMS key and returns the ARN's Region, or none.
func checkKey(key string) (region string, err error) {
	id := key
	if strings.HasPrefix(key, "arn:") {
		a, err := parseARN(key, "kms")
		if err != nil {
			return "", err
		}
		region = a.region
		id = a.resource
		if rest, ok := strings.CutPrefix(id, "key/"); ok && a.account != "" && isKeyID(rest) {
			return region, nil
		}
		if a.account == "" {
			id = ""
		}
	} else if isKeyID(id) {
		return "", nil
	}
	if !isKeyAlias(id) {
		return "", fail("not a KMS key", "write a key id, alias/NAME, or the ARN of either")
	}
	return region, nil
}

// arn is what counts of an ARN, once its partition and service are checked.
type arn struct{ region, account, resource string }

// parseARN takes an ARN of the service apart. The account may be empty. The Region has to be of the ARN's partition, which
// also refuses partitions that do not exist: a call goes where the ARN says.
func parseARN(text, service string) (arn, error) {
	f := strings.SplitN(text, ":", 6)
	form := "write arn:PARTITION:" + service + ":REGION:ACCOUNT:RESOURCE"
	switch {
	case len(f) < 6 || f[0] != "arn" || f[5] == "":
		return arn{}, fail("the ARN is cut short", form)
	case f[2] != service:
		return arn{}, fail("the ARN is of another service than "+service, form+", or the scheme of its service: ssm:// for parameters, secretsmanager:// for secrets")
	case !RegionOK(f[3]):
		return arn{}, fail("the ARN has no Region, or not the name of one", form+", the Region as eu-west-1")
	case Partition(f[3]) != f[1]:
		return arn{}, fail("the ARN's partition is not its Region's", "that Region's ARNs begin with arn:"+Partition(f[3]))
	case f[4] != "" && (len(f[4]) != 12 || !of(f[4], digits)):
		return arn{}, fail("the ARN's account has not 12 digits", form)
	}
	return arn{f[3], f[4], f[5]}, nil
}

// RegionOK reports whether region has the form of a Region's name, as us-gov-west-1: letters, words, a number. Nothing else may become part of a host name: some
// versions of the SDK would send a signed request to x@attacker.example:443/#.
func RegionOK(region string) bool {
	part := strings.Split(region, "-")
	last := len(part) - 1
	if len(region) > 40 || last < 2 || len(part[0]) < 2 || len(part[0]) > 4 {
		return false
	}
	for _, word := range part[:last] {
		if word == "" || !of(word, lower) {
			return false
		}
	}
	return part[last] != "" && len(part[last]) <= 2 && of(part[last], digits)
}

// Partition returns the partition of the Region, which is aws where its name does not tell another.
func Partition(region string) string {
	for _, p := range []struct{ prefix, partition string }{
		{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-iso-", "aws-iso"}, {"us-isob-", "aws-iso-b"},
		{"eu-isoe-", "aws-iso-e"}, {"us-isof-", "aws-iso-f"}, {"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}
