package refsyntax

import (
	"net/url"
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
	inner := strings.TrimFunc(text, around)
	if arn.Is(inner) {
		return classifyARN(text, inner)
	}
	_, found := findMention(text, 0)
	switch {
	case found, resolveAt(text) >= 0, isExpression(text):
		return Reference
	}
	if isBareCiphertext(text) {
		return Undeclared
	}
	return Plain
}

// Begins reports whether text is a reference, well-formed or not: an error unless [Parse]
// reads it.
func Begins(text string) bool { return Classify(text) == Reference }

// classifyARN classifies what begins like an ARN. A secret's with the tail of ECS means
// nothing to any service, and quotes around an ARN are left over from a file.
func classifyARN(text, inner string) Kind {
	a, _ := arn.Parse(inner)
	scheme := a.Service
	if scheme != SSM && scheme != SecretsManager {
		return Plain
	}
	r, err := identify(scheme, inner)
	switch {
	case err != nil:
		return Plain
	case inner != text, scheme == SecretsManager && r.ID != inner:
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
	return ok && stray(text, "+/-_= \t\n\r") < 0
}

func beginsEncrypted(text string) bool {
	for _, head := range []string{"AQECAH", "AQICAH", "AQIDAH", "AQIBAH"} {
		if strings.HasPrefix(text, head) {
			return true
		}
	}
	return false
}

// around reports whether c is what configuration files and office programs leave around a
// value.
func around(c rune) bool {
	return blank(c) || strings.ContainsRune("\"'`“”„‟‘’‚‛«»‹›", c)
}

// blank reports whether c is white space, or one of the format characters, such as a byte
// order mark, that nobody sees.
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

// isExpression reports whether text is an expression of Terraform or Ansible that reads one of our
// stores, and that nothing evaluated.
func isExpression(text string) bool {
	if !strings.Contains(text, "aws") {
		return false
	}
	text = strings.NewReplacer(" ", "", `"`, "'").Replace(strings.TrimFunc(text, around))
	for _, begin := range []string{
		"${data.aws_ssm_parameter.", "${data.aws_secretsmanager_secret", "${aws_ssm_parameter.",
		"${aws_secretsmanager_secret", "{{lookup('aws_ssm'", "{{lookup('aws_secret'",
		"{{lookup('amazon.aws.aws_s", "{{lookup('amazon.aws.ssm_parameter'",
		"{{lookup('amazon.aws.secretsmanager_secret'",
	} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	return false
}

// A mention is a place of a text that names one of our stores as a reference does.
type mention struct {
	scheme string // KMS, SSM, SecretsManager or Literal
	ours   bool   // the head is one of our schemes, in any case of letters, and not another tool's
	typo   bool   // the head is one of our schemes misspelled
	region string // that the form of another tool states

	start, end int    // in the text, what opens and closes it included
	opener     string // "${" or the like, or ""
	alone      bool   // nothing but quotes, brackets and the like stands before it
	inPath     bool   // a slash stands before it: the path of a URL may hold anything

	colon   bool // a colon follows the head
	slashes int  // that follow
	spaced  bool // white space stands among them
	encoded bool // they are percent-encoded
	rest    string
}

// findMention returns the first mention in text, from byte from on, that can be nothing
// but a reference.
func findMention(text string, from int) (mention, bool) {
	if !strings.ContainsAny(text[from:], ":/\\%") {
		return mention{}, false
	}
	for i := from; i < len(text); {
		if !isHead(text[i]) {
			i++
			continue
		}
		head := headOf(text[i:])
		if i == 0 || !isHead(text[i-1]) {
			if m, ok := readMention(text, i); ok && m.meant() {
				return m, true
			}
		}
		i += head
	}
	return mention{}, false
}

// isHead reports whether c may stand in the name of a scheme.
func isHead(c byte) bool {
	return alphanumeric(c) || strings.IndexByte("+.-_", c) >= 0
}

// headOf returns the length of the scheme at the beginning of text.
func headOf(text string) int {
	n := 0
	for n < len(text) && isHead(text[n]) {
		n++
	}
	return n
}

// readMention reads the head at byte i of text, what separates it from the rest, and what
// stands around it.
func readMention(text string, i int) (mention, bool) {
	n := headOf(text[i:])
	if n > 40 {
		return mention{}, false
	}
	head, after := text[i:i+n], text[i+n:]
	m := mention{start: i, end: len(text)}
	if name, region, ok := strings.Cut(head, "."); ok && arn.IsRegion(region) {
		head, m.region = name, region // Serverless: ssm.eu-west-1:/path
	}
	if m.scheme, m.ours, m.typo = store(head); m.scheme == "" {
		return mention{}, false
	}
	after = m.readArguments(after)
	sep := m.readSeparator(after)
	if sep == 0 {
		return mention{}, false
	}
	m.rest = after[sep:]
	m.readLead(text[:i])
	m.readEnd(text)
	if decoded, err := url.PathUnescape(m.rest); m.encoded && err == nil {
		m.rest = strings.TrimLeft(decoded, "/")
		m.slashes += len(decoded) - len(m.rest)
	}
	return m, true
}

// readArguments reads what Serverless puts behind a head: ssm(eu-west-1):/path,
// ssm(raw):/path.
func (m *mention) readArguments(after string) string {
	inner, rest, ok := strings.Cut(strings.TrimPrefix(after, "("), ")")
	if !strings.HasPrefix(after, "(") || !ok {
		return after
	}
	for argument := range strings.SplitSeq(inner, ",") {
		if argument = strings.TrimSpace(argument); arn.IsRegion(argument) {
			m.region = argument
		}
	}
	return rest
}

// readSeparator reads the colon and the slashes behind a head, and returns how long they
// are, 0 if none stand there. A colon may be mistyped, and slashes may be backslashes or
// percent-encoded.
func (m *mention) readSeparator(after string) int {
	const encoded = "%3a%2f%2f"
	if len(after) >= len(encoded) && strings.EqualFold(after[:len(encoded)], encoded) {
		m.colon, m.slashes, m.encoded = true, 2, true
		return len(encoded)
	}
	n := 0
	for n < len(after) && strings.IndexByte(":;/\\ ", after[n]) >= 0 {
		switch after[n] {
		case ':':
			if m.colon && m.slashes > 0 {
				return n // ssm://:x, which is no separator any more
			}
			m.colon = true
		case '/', '\\':
			m.slashes++
		case ' ':
			m.spaced = true
		}
		n++
	}
	semicolon := strings.HasPrefix(after, ";") && m.slashes > 0
	path := strings.HasPrefix(after, "::") && m.slashes == 0 // of a module: ssm::client
	switch {
	case path, m.spaced && !m.colon: // ssm // a comment
		return 0
	case m.colon, semicolon, m.slashes > 1:
		return n
	}
	return 0
}

// readLead judges what stands before a head.
func (m *mention) readLead(lead string) {
	lead = strings.TrimRight(lead, " \t")
	for _, opener := range []string{"${", "$(", "#{", "%{", "{{", "@{", "$[", "[[", "<%"} {
		if strings.HasSuffix(lead, opener) {
			m.opener = opener
			m.start = len(lead) - len(opener)
		}
	}
	lead = strings.TrimLeft(strings.TrimLeftFunc(lead, around), "${}<([%=!@#")
	for _, prefix := range []string{"optional:", "resolve:", "aws:", "amazon:"} {
		if len(lead) >= len(prefix) && strings.EqualFold(lead[:len(prefix)], prefix) {
			lead = lead[len(prefix):]
		}
	}
	m.alone = strings.TrimFunc(lead, around) == ""
	m.inPath = strings.HasSuffix(lead, "/") && !strings.HasSuffix(lead, "://")
}

// readEnd finds where the mention ends in text, and cuts rest there.
func (m *mention) readEnd(text string) {
	begin := len(text) - len(m.rest)
	head := strings.TrimPrefix(text[m.start:], "secret")
	inside, _, closed := strings.Cut(m.rest, "+")
	switch {
	case closed && strings.HasPrefix(head, "ref+"): // vals
		m.rest = inside
		m.end = begin + len(inside) + 1
	case m.opener != "":
		closer := map[byte]string{'{': "}", '(': ")", '[': "]", '%': "%"}[m.opener[1]]
		n := strings.Index(m.rest, closer)
		if n < 0 {
			n = len(m.rest)
		}
		m.rest = m.rest[:n]
		m.end = min(begin+n+1, len(text))
		for m.opener[0] == m.opener[1] && strings.HasPrefix(text[m.end:], closer) {
			m.end++
		}
	case !m.alone:
		m.rest = m.rest[:referenceEnd(m.rest)]
		m.end = begin + len(m.rest)
	}
}

// referenceEnd guesses where a reference ends that stands inside a text: at the first
// byte that no name, option or field has, or that separates a password from a host.
func referenceEnd(rest string) int {
	end := strings.IndexFunc(rest, func(c rune) bool {
		other := c > '~' || stray(string(c), "/_+=.!-:#?&%*") >= 0
		return other
	})
	if end < 0 {
		end = len(rest)
	}
	return len(strings.TrimRight(rest[:end], ".:!?&"))
}

// meant reports whether m can be nothing but a reference.
func (m mention) meant() bool {
	empty := strings.TrimFunc(m.rest, blank) == ""
	switch {
	case m.scheme == Literal:
		begins := m.alone || m.opener == "{{"
		return begins && m.separated()
	case empty:
		return m.whole()
	case m.scheme == KMS:
		return m.meantCiphertext()
	case m.braced(), m.opener == "${" && m.colon:
		return m.slashes > 0 || m.named()
	case m.alone:
		return m.meantAlone()
	case m.inPath, m.typo || m.spaced:
		return false
	}
	return m.colon && m.slashes > 1 // inside a text
}

// separated reports whether a colon and a slash follow the head.
func (m mention) separated() bool { return m.colon && m.slashes > 0 }

// whole reports whether m begins its text as one of our references does.
func (m mention) whole() bool {
	ours := m.ours && m.separated()
	return ours && m.alone
}

// braced reports whether m stands where a composed text has a part.
func (m mention) braced() bool { return m.ours && m.opener == "{{" }

// meantCiphertext is for kms, which names a key for most other tools: gcp-kms://,
// aws-kms://alias/x.
func (m mention) meantCiphertext() bool {
	switch {
	case m.whole(), m.braced() && m.slashes > 0:
		return true
	}
	return beginsEncrypted(strings.TrimLeft(m.rest, "/"))
}

// meantAlone is for a text that begins with a store's name.
func (m mention) meantAlone() bool {
	oneSlash := m.slashes == 1 && m.colon
	switch {
	case m.slashes > 1, oneSlash && !m.typo:
		foreign := strings.HasPrefix(m.rest, "projects/") // Google's Secret Manager
		return m.ours || !foreign
	case m.slashes == 1, m.typo:
		return false
	}
	return m.named()
}

// named reports whether what follows a store's name and a colon is a name, rather than a
// port, the tag of an image, an action of IAM or prose.
func (m mention) named() bool {
	rest := strings.TrimFunc(m.rest, around)
	rest = strings.TrimRight(rest, "})>]%")
	mapping := strings.HasPrefix(strings.TrimLeft(m.rest, " \t\r"), "\n") // of YAML
	id := rest
	if i := strings.IndexAny(id, ":?#~,"); i >= 0 && !arn.Is(id) {
		id = id[:i]
	}
	nested := m.opener == "${" && strings.HasPrefix(rest, "${") // ${ssm:${self:custom.path}}
	expansion := m.opener == "${" && strings.IndexAny(rest, "-+?=") == 0
	switch {
	case arn.Is(rest), nested:
		return true
	case expansion, mapping: // ${SSM:-none} of a shell
		return false
	case id == "", stray(id, "/_+=.@!-") >= 0:
		return false
	case isPort(id), isTag(id), isAction(id):
		return false
	}
	// The short name is too short to mean a store by itself: sm:px-4.
	if isShort := m.ours && m.scheme == SecretsManager; isShort && m.opener == "" {
		return strings.ContainsAny(rest, "/#")
	}
	return true
}

func isPort(text string) bool {
	port, _, _ := strings.Cut(text, "/")
	return port != "" && arn.IsDigits(port)
}

func isTag(text string) bool {
	switch text {
	case "latest", "stable", "main", "master", "edge", "dev", "nightly":
		return true
	}
	version := strings.TrimPrefix(text, "v")
	return strings.ContainsAny(version, "0123456789") && strings.Trim(version, "0123456789.") == ""
}

// isAction reports whether text is the name of an action, such as GetParameter or Get*, or a
// condition key's.
func isAction(text string) bool {
	if name, _, tagged := strings.Cut(text, "/"); tagged {
		return strings.EqualFold(name, "resourceTag") || strings.HasPrefix(text, "resource/Allow")
	}
	if stray(text, "*") >= 0 {
		return false
	}
	for _, verb := range strings.Fields(verbs) {
		if strings.HasPrefix(text, verb) {
			return true
		}
	}
	return false
}

const verbs = "* Get Put List Describe Create Delete Update Batch Add Remove Send Start Stop " +
	"Cancel Tag Untag Rotate Restore Replicate Validate Label Unlabel Register Deregister " +
	"Modify Resume Terminate Associate Disassociate Reset " +
	"Overwrite Recursive DocumentType SourceInstanceARN"

// store returns the scheme that the head of a text names: ours, that of another tool for
// the same store, or a misspelled one.
func store(head string) (scheme string, ours, typo bool) {
	head = strings.ToLower(head)
	switch head {
	case KMS, SSM, SecretsManager, Literal:
		return head, true, false
	case short:
		return SecretsManager, true, false
	}
	name := unseparated.Replace(head)
	bare := name
	for _, prefix := range []string{"secretref", "ref", "xcrypteia", "crypteia", "aws", "amazon"} {
		bare = strings.TrimPrefix(bare, prefix)
	}
	switch bare {
	case KMS:
		return KMS, false, false
	case SSM, "ssmparameter", "ssmparameters", "ssmparam", "ssmparameterstore", "ssmps", "ssmpath",
		"ssmsecure", "parameterstore", "paramstore", "systemsmanager":
		return SSM, false, false
	case SecretsManager, "secretmanager":
		return SecretsManager, false, false
	}
	if bare != name {
		return storeOfAWS(bare), false, false
	}
	return misspelled(name)
}

var unseparated = strings.NewReplacer("-", "", "_", "", "+", "", ".", "")

// storeOfAWS is for names that mean a store only behind aws or the like.
func storeOfAWS(name string) string {
	switch name {
	case "smp", "ps", "param", "parameter", "parameters":
		return SSM
	case short, "secrets", "secret", "asm":
		return SecretsManager
	}
	return ""
}

// misspelled returns the scheme that a head is one or two slips away from.
func misspelled(head string) (scheme string, ours, typo bool) {
	letters := func(set string) bool { return strings.Trim(head, set) == "" }
	ends := strings.HasPrefix(head, "s") && strings.HasSuffix(head, "m")
	switch {
	case len(head) < 2 || len(head) > len(SecretsManager)+2:
		return "", false, false
	case len(head) > 5:
		near := head[0] == 's' && distance(head, SecretsManager) <= 2
		if near {
			return SecretsManager, false, true
		}
	case letters("sm") && ends: // mms and sms are schemes
		return SecretsManager, false, true
	case letters("kms"): // what follows has to begin as a ciphertext does
		return KMS, false, true
	case head == "ssn":
		return SSM, false, true
	}
	return "", false, false
}

// distance is the number of letters to insert, drop or replace between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
