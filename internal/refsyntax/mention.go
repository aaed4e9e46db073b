package refsyntax

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// A mention is a place of a text that names one of our stores as a reference does.
type mention struct {
	scheme string // KMS, SSM, SecretsManager or Literal
	ours   bool   // the head is one of our schemes, in any case of letters, and not another tool's
	typo   bool   // the head is one of our schemes misspelled
	region string // that the form of another tool states

	start, end int    // in the text, what opens and closes it included
	opener     string // "${", "$(", "{{" or ""
	alone      bool   // nothing but quotes, brackets and the like stands before it
	inPath     bool   // a slash stands before it: the path of a URL may hold anything

	colon   bool   // a colon follows the head
	slashes int    // that follow
	head    string // in lower case
	capital bool   // it is not written so
	spaced  bool   // white space stands among them
	lines   bool   // more than one line follows the head
	rest    string // what follows them, to the end
}

// findMention returns the first mention in text, from byte from on, that can be nothing
// but a reference, or nil.
func findMention(text string, from int) *mention {
	if !maySeparate(text[from:]) {
		return nil
	}
	for i := from; i < len(text); {
		n := headOf(text[i:])
		if m, ok := readMention(text, i, n); ok && m.meant() {
			found := m // or each would be on the heap
			return &found
		}
		i += max(n, 1)
	}
	return nil
}

// maySeparate reports whether text may hold what readSeparator looks for: most texts, and
// the rest of most references, have a single slash at a time and nothing else of it.
func maySeparate(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c == ':', c == ';', c == '%':
			return true
		case c >= utf8.RuneSelf: // a wide colon?
			return true
		}
	}
	return strings.Contains(text, "//")
}

// headOf returns the length of the name of a scheme at the beginning of text.
func headOf(text string) int {
	if n := stray(text, "+.-_"); n >= 0 {
		return n
	}
	return len(text)
}

// readMention reads the head of n bytes at byte i of text, what separates it from the
// rest, and what stands around it.
func readMention(text string, i, n int) (m mention, ok bool) {
	head, after := text[i:i+n], text[i+n:]
	switch {
	case n == 0, n > 40, strings.IndexFunc(after, func(c rune) bool {
		return separates(c) || strings.ContainsRune("%(", c)
	}) != 0:
		return m, false
	}
	if name, region, ok := strings.Cut(head, "."); ok && arn.IsRegion(region) {
		head, m.region = name, region // Serverless: ssm.eu-west-1:/path
	}
	m.head = strings.ToLower(head)
	m.capital = m.head != head
	if m.readHead(m.head); m.scheme == "" {
		return m, false
	}
	if arguments, rest, ok := strings.Cut(after, ")"); ok && arguments[0] == '(' {
		// Serverless: ssm(eu-west-1):/path, ssm(raw):/path
		for _, argument := range strings.Split(arguments[1:], ",") {
			if argument = strings.TrimSpace(argument); arn.IsRegion(argument) {
				m.region = argument
			}
		}
		after = rest
	}
	if i := strings.IndexByte(after, '%'); i == 0 || i == 1 {
		if decoded, err := url.PathUnescape(after); err == nil {
			after = decoded
		}
	}
	if !m.readSeparator(after) {
		return m, false
	}
	m.start, m.end = i, len(text)
	m.readLead(text[:i])
	m.readEnd(text)
	return m, true
}

// The signs that separate a head from the rest, those of other alphabets included: a colon
// may be mistyped, and slashes may be backslashes.
const (
	colons  = ":：∶"
	slashes = "/\\／∕⁄"
)

func separates(c rune) bool {
	return blank(c) || strings.ContainsRune("\x00;"+colons+slashes, c)
}

// readSeparator reads the colon and the slashes behind a head, and reports whether they
// may be meant as such.
func (m *mention) readSeparator(after string) bool {
	m.rest = strings.TrimLeftFunc(after, func(c rune) bool { return separates(c) || around(c) })
	// JSON of some languages escapes slashes.
	separator := strings.ReplaceAll(after[:len(after)-len(m.rest)], `\/`, "/")
	for _, c := range separator {
		switch {
		case strings.ContainsRune(colons, c):
			m.colon = true
		case strings.ContainsRune(slashes, c):
			m.slashes++
		case blank(c):
			m.spaced = true
		}
	}
	m.lines = strings.Contains(strings.TrimSpace(after), "\n")
	switch {
	case strings.HasPrefix(separator, "::") && m.slashes == 0: // of a module: ssm::client
		return false
	case m.spaced && !m.colon: // ssm // a comment
		return false
	case strings.HasPrefix(separator, ";") && m.slashes > 0:
		return true
	}
	return m.colon || strings.Contains(separator, "//") // and not \\host\share
}

// readLead judges what stands before a head.
func (m *mention) readLead(lead string) {
	for _, word := range []string{"optional:", "resolve:", "aws:", "amazon:"} {
		if n := len(lead) - len(word); n >= 0 && strings.EqualFold(lead[n:], word) {
			lead = lead[:n]
		}
	}
	m.inPath = strings.HasSuffix(lead, "/") && !strings.HasSuffix(lead, "://")
	// Serverless names who resolves: ${account:ssm:/path}, ${aws(eu-west-1):ssm:/path}.
	if i := strings.LastIndex(lead, "${") + len("${"); i > 1 {
		if who, named := strings.CutSuffix(lead[i:], ":"); named && stray(who, "-_(), ") < 0 {
			lead = lead[:i]
		}
	}
	lead = strings.TrimRight(lead, " \t")
	if bare := strings.TrimRightFunc(lead, around); closerOf(bare[max(len(bare)-2, 0):]) != "" {
		lead = bare // {{"ssm:///a"}}
	}
	if n := len(lead) - 2; n >= 0 && closerOf(lead[n:]) != "" {
		m.opener, m.start = lead[n:], n
	}
	other := func(c rune) bool { return !around(c) && !strings.ContainsRune("${}<([%=!@#", c) }
	m.alone = strings.IndexFunc(lead, other) < 0
}

func closerOf(opener string) string {
	switch opener {
	case "${":
		return "}"
	case "$(":
		return ")"
	case "{{":
		return "}}"
	}
	return ""
}

// readEnd finds where the mention ends in text, and cuts rest there. Inside a text it
// guesses: at the first byte that no name, option or field has, or that separates a
// password from a host.
func (m *mention) readEnd(text string) {
	begin := len(text) - len(m.rest)
	inside, _, closed := strings.Cut(m.rest, closerOf(m.opener))
	switch end := stray(m.rest, "/_+=.!-:#?&%*\\"); {
	case m.opener != "" && closed:
		m.rest, m.end = inside, begin+len(inside)+len(closerOf(m.opener))
	case m.opener != "":
	case m.alone:
		m.cutAlone(begin)
	case end >= 0:
		m.rest = m.rest[:end]
		fallthrough
	default:
		if name, _, _ := strings.Cut(m.rest, "&"); !strings.Contains(name, "?") {
			m.rest = name // what follows is the next parameter of a URL
		}
		m.rest = strings.TrimRight(m.rest, ".:!?&\\")
		m.end = begin + len(m.rest)
	}
}

// cutAlone cuts rest, which begins at byte begin of the text, where a text goes on behind it.
func (m *mention) cutAlone(begin int) {
	if m.slashes < 2 || commentAt(m.rest) >= 0 {
		return
	}
	name := strings.TrimFunc(m.rest, around)
	if at := strings.IndexFunc(name, blank); at > 0 {
		m.end = begin + strings.Index(m.rest, name) + at
		m.rest = name[:at]
	}
}

// meant reports whether m can be nothing but a reference.
func (m *mention) meant() bool {
	switch {
	case m.scheme == Literal:
		return m.placed()
	case strings.TrimFunc(m.rest, blank) == "":
		return m.alone && m.placed()
	case m.scheme == KMS: // names a key for most other tools: gcp-kms://, aws-kms://alias/x
		return m.placed() || beginsEncrypted(m.rest)
	case m.ours && m.opener == "{{", m.opener == "${" && m.colon:
		return m.slashes > 0 || m.named()
	case m.alone:
		return m.meantAlone()
	case m.inPath, m.typo, m.spaced:
		return false
	}
	return m.colon && m.slashes > 1
}

// placed reports whether m begins as our references do, at a place for one.
func (m *mention) placed() bool {
	separated := m.colon && m.slashes > 0
	if !m.ours || !separated {
		return false
	}
	return m.alone || m.opener == "{{"
}

// meantAlone is for a text that begins with a store's name.
func (m *mention) meantAlone() bool {
	oneSlash := m.slashes == 1
	switch {
	case m.lines && m.slashes < 2: // a document: ssm:\n  path: /a
		return false
	case m.slashes == 0:
		return !m.typo && m.named()
	case oneSlash && m.typo, oneSlash && !m.colon:
		return false
	}
	return m.ours || !strings.HasPrefix(m.rest, "projects/") // Google's Secret Manager
}

// named reports whether what follows a store's name and a colon is a name, rather than a
// port, the tag of an image, an action of IAM or prose.
func (m *mention) named() bool {
	rest := strings.TrimRight(strings.TrimRightFunc(m.rest, around), "})>]%")
	name := rest[:strings.IndexAny(rest+":", ":?#~,")]
	switch {
	case arn.Is(rest):
		return true
	case m.opener == "${" && strings.HasPrefix(rest, "${"): // ${ssm:${self:custom.path}}
		return true
	case isNumbered(name), slices.Contains(words, name), stray(name, "/_+=.@!-") >= 0:
		return false
	case isAction(name), m.head == SecretsManager && isCapital(name):
		return false
	case strings.IndexByte("-+=", name[0]) >= 0: // ${SSM:-none} of a shell
		return false
	case m.head == short && m.opener == "":
		return !isClass(name, rest[len(name):])
	}
	return true
}

// words is the tags of images, the levels of logs and the values of switches.
var words = strings.Fields("latest stable main master edge dev nightly true false on off yes no " +
	"enabled disabled none all trace debug info warn warning error fatal")

// isNumbered reports whether text is a port, or the tag of an image: 8080/path, v1.2-slim.
func isNumbered(text string) bool {
	return text == "" || strings.IndexAny(strings.TrimPrefix(text, "v"), "0123456789") == 0
}

// isCapital reports whether text is one word that begins with a capital, as the actions and
// the condition keys of Secrets Manager are.
func isCapital(text string) bool {
	upper := 'A' <= text[0] && text[0] <= 'Z'
	return upper && stray(text, "") < 0
}

// isClass reports whether sm:, name and behind are a class of Tailwind: sm:px-4, sm:w-1/2,
// sm:@container/main, sm:group-hover/item:block.
func isClass(name, behind string) bool {
	level := name[strings.LastIndexByte(name, '/')+1:]
	variant := name[0] == '@' || strings.HasPrefix(behind, ":")
	if isPath := level != name && !isNumbered(level); isPath && !variant {
		return false
	}
	return !strings.Contains(behind, "#")
}

// isAction reports whether text is the name of an action, such as GetParameter or Get*,
// or a condition key's.
func isAction(text string) bool {
	if name, _, tagged := strings.Cut(text, "/"); tagged {
		return strings.EqualFold(name, "resourceTag") || strings.HasPrefix(text, "resource/Allow")
	}
	hasVerb := func(verb string) bool { return strings.HasPrefix(text, verb) }
	return stray(text, "*") < 0 && slices.ContainsFunc(strings.Fields(verbs), hasVerb)
}

const verbs = "* Get Put List Describe Create Delete Update Batch Add Remove Send Start Stop " +
	"Cancel Tag Untag Rotate Restore Replicate Validate Label Unlabel Register Deregister " +
	"Modify Resume Terminate Associate Disassociate Reset Execute " +
	"Overwrite Recursive Document Session SourceInstance SyncType AutoApprove"

const secure = "ssm-secure" // CloudFormation's name of a SecureString

// readHead finds the scheme that a head names: ours, that of another tool for the same
// store, or a misspelled one.
func (m *mention) readHead(head string) {
	switch head {
	case KMS, SSM, SecretsManager, Literal:
		m.scheme, m.ours = head, true
		return
	case short:
		m.scheme, m.ours = SecretsManager, true
		return
	case secure:
		m.scheme, m.ours = SSM, true
		return
	}
	name := unseparated.Replace(head)
	bare := name
	for _, prefix := range []string{"secretref", "ref", "xcrypteia", "crypteia", "aws", "amazon"} {
		bare = strings.TrimPrefix(bare, prefix)
	}
	switch bare {
	case KMS, SSM, SecretsManager:
		m.scheme = bare
	case "ssmparameter", "ssmparameters", "ssmparam", "ssmparameterstore", "ssmps", "ssmpath",
		"parameterstore", "paramstore", "systemsmanager":
		m.scheme = SSM
	case "secretmanager":
		m.scheme = SecretsManager
	case name:
		m.scheme = misspelled(name)
		m.typo = m.scheme != ""
	case "smp", "ps", "param", "parameter", "parameters": // that only behind aws and the like
		m.scheme = SSM
	case short, "secrets", "secret", "asm":
		m.scheme = SecretsManager
	}
}

var unseparated = strings.NewReplacer("-", "", "_", "", "+", "", ".", "")

// misspelled returns the scheme that a head is one or two slips away from, or "".
func misspelled(head string) string {
	madeOf := func(letters string) bool { return strings.Trim(head, letters) == "" }
	both := strings.Contains(head, "s") && strings.Contains(head, "m")
	known := slices.Contains([]string{"ms", "mms", "sms"}, head) // schemes of others
	switch n := len(head); {
	case n < 2 || n > len(SecretsManager)+2:
	case n > 5:
		if head[0] == 's' && near(head, SecretsManager, 2) {
			return SecretsManager
		}
	case known:
	case madeOf("sm") && both:
		return SecretsManager
	case madeOf("kms"): // what follows has to begin as a ciphertext does
		return KMS
	case head == "ssn":
		return SSM
	}
	return ""
}

// near reports whether a becomes b by inserting, dropping or replacing that many letters.
func near(a, b string, slips int) bool {
	for a != "" && strings.HasPrefix(b, a[:1]) {
		a, b = a[1:], b[1:]
	}
	if a == b || slips == 0 {
		return a == b
	}
	nextA, nextB := a[min(1, len(a)):], b[min(1, len(b)):]
	slips--
	dropped := near(nextA, b, slips) || near(a, nextB, slips)
	return dropped || near(nextA, nextB, slips)
}
