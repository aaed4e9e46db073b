package refsyntax

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// An option is what a reference may state between ? and #, and what [Ref.With] sets.
type option struct {
	key     string // of context., the beginning
	schemes string // those that take it
	hint    string // how to write it, where set does not say it better
	set     func(r *Ref, key, value string) error
	text    func(r *Ref) string // as it is printed, or "" where r does not state it
}

const (
	anyStore   = KMS + " " + SSM + " " + SecretsManager
	wordHint   = "write none or console, or a pair as context.NAME=value"
	pairPrefix = "context."

	selectorHint = "write the selector after the name: :3 or :label"
)

// options is the one table of options, in the order in which they are printed. Parsing,
// printing, hints and docs/references.md are read from it.
var options = [...]option{
	{"region", anyStore, "write a Region, such as eu-west-1, or two, such as " +
		"eu-west-1,us-east-1: the second is asked when the first does not answer",
		setRegion, regionText},
	{"role", anyStore, "write arn:aws:iam::ACCOUNT:role/NAME: the role to read with",
		setRole, func(r *Ref) string { return pair("role", r.Role) }},
	{"stage", SecretsManager, "write a staging label, such as AWSPREVIOUS",
		setStage, func(r *Ref) string { return pair("stage", r.Stage) }},
	{"version", SecretsManager, "write a version id: 32 to 64 letters, digits and hyphens",
		setVersion, func(r *Ref) string { return pair("version", r.Version) }},
	{"key", KMS, "write the key that has to decrypt: its id, alias/NAME, or the ARN of either",
		setKey, func(r *Ref) string { return pair("key", r.Key) }},
	{"context", KMS, wordHint, setContext, func(r *Ref) string { return r.Context }},
	{pairPrefix, KMS, "write a pair of the encryption context as context.NAME=value",
		setPair, func(*Ref) string { return "" }}, // context prints them
	{"decode", anyStore, "write decode=base64: what stands there, the field if there is one, is " +
		"base64 of the value",
		setDecode, func(r *Ref) string { return printed("decode=base64", r.Base64) }},
	{"ttl", anyStore, "write a duration with a unit, such as 300s, 5m or 1h30m: how long " +
		"the value is used before it is refreshed",
		func(r *Ref, _, value string) error { return setBound(&r.TTL, &r.HasTTL, value) },
		func(r *Ref) string { return boundText("ttl", r.TTL, r.HasTTL) }},
	{"stale", anyStore, "write a duration with a unit, such as 24h: how old the value may " +
		"get while its refreshes fail",
		func(r *Ref, _, value string) error { return setBound(&r.Stale, &r.HasStale, value) },
		func(r *Ref) string { return boundText("stale", r.Stale, r.HasStale) }},
	{"optional", anyStore, "write optional alone: the value may be absent",
		setOptional, func(r *Ref) string { return printed("optional", r.Optional) }},
}

// parts is what [Ref.With] sets besides, and what stands elsewhere in text: after the name,
// in the tail of an ARN, after #.
var parts = [...]option{
	{key: "stage", schemes: SSM, hint: selectorHint, set: setStage},
	{key: "version", schemes: SSM, hint: selectorHint, set: setVersion},
	{key: "field", schemes: anyStore, hint: "write it last, after #, as #name, #a.b.0 or #/a/b",
		set: setField},
	{key: "text", schemes: anyStore, hint: bracesHint, set: setTemplate},
}

// takenBy reports whether references of the scheme take o. No scheme's name is in another.
func (o option) takenBy(scheme string) bool { return strings.Contains(o.schemes, scheme) }

// optionHint says what references of the scheme take in their text in place of the key.
func optionHint(scheme, key string) string {
	var keys []string
	for _, o := range parts {
		if o.key == key && o.takenBy(scheme) {
			return o.hint
		}
	}
	for _, o := range options {
		if o.takenBy(scheme) {
			keys = append(keys, strings.Replace(o.key, pairPrefix, pairPrefix+"NAME", 1))
		}
	}
	if keys == nil {
		return "a " + scheme + " takes no options and no field"
	}
	return scheme + " takes " + strings.Join(keys, ", ")
}

// stated returns the text of the options that r states, and of its field. A parameter's
// stage and version stand behind its name.
func (r *Ref) stated() string {
	bare := Ref{Scheme: r.Scheme, ID: r.ID, Unquoted: r.Unquoted}
	if *r == bare {
		return "" // as most references state nothing
	}
	text, sign := "", "?"
	for _, o := range options {
		if s := o.text(r); s != "" && o.takenBy(r.Scheme) {
			text, sign = text+sign+s, "&"
		}
	}
	if r.Field != "" {
		text += "#" + r.Field
	}
	return text
}

// With returns the reference with one thing set: a key of the table of options, field, or
// text, the template of a composed text. Of a parameter, version is the number and stage
// the label. The value is taken as it is, nothing in it is decoded. What the new value
// excludes is replaced: a parameter's label by its version, context=none by a pair, and
// the reverse. A Region that an ARN states cannot be changed.
func (r Ref) With(key, value string) (Ref, error) {
	name := fmt.Sprintf("option %q", key[:min(len(key), 40)])
	return result(fits(&r, r.with(name, key, value, parts[:], options[:])))
}

// with sets an option of one of the tables. Errors call it name.
func (r *Ref) with(name, key, value string, tables ...[]option) error {
	problem := " is unknown"
	for _, table := range tables {
		for _, o := range table {
			isPair := o.key == pairPrefix && strings.HasPrefix(key, pairPrefix)
			switch {
			case o.key != key && !isPair:
			case !o.takenBy(r.Scheme):
				problem = " is not for " + r.Scheme
			case value == "" && key != "optional":
				return fail(name+" has no value", o.hint)
			default:
				return named(name, o.hint, o.set(r, key, value))
			}
		}
	}
	return fail(name+problem, optionHint(r.Scheme, key))
}

// named puts the option's name before what is wrong with it, and adds the hint if there is
// none.
func named(name, hint string, err error) error {
	if e, ok := err.(*Error); ok {
		return fail(name+": "+e.Problem, cmp.Or(e.Hint, hint))
	}
	return err
}

func pair(key, value string) string {
	if value == "" {
		return ""
	}
	return key + "=" + escape(value)
}

func printed(text string, stated bool) string {
	if stated {
		return text
	}
	return ""
}

func boundText(key string, d time.Duration, stated bool) string {
	if stated {
		return key + "=" + d.String()
	}
	return ""
}

func setRegion(r *Ref, _, value string) error {
	first, second, two := strings.Cut(value, ",")
	stated := r.arnRegion()
	switch {
	case !arn.IsRegion(first), two && !arn.IsRegion(second):
		return fail("not the name of a Region", "")
	case stated != "" && stated != first:
		return fail("the ARN states another Region", "leave it out, an ARN states its own")
	case first == second:
		return fail("the same Region twice", "the second is the one to ask when the first fails")
	case two && arn.Partition(first) != arn.Partition(second):
		return fail("the two Regions are of two partitions", "no credentials are good in both")
	}
	r.Region, r.Failover = first, second
	return nil
}

func regionText(r *Ref) string {
	switch {
	case r.Failover != "":
		return "region=" + r.Region + "," + r.Failover
	case r.Region == r.arnRegion():
		return ""
	}
	return pair("region", r.Region)
}

func setRole(r *Ref, _, value string) error {
	a, _ := arn.Parse(value)
	name, isRole := strings.CutPrefix(a.Resource, "role/")
	account := arn.IsAccount(a.Account) && strings.HasPrefix(a.Partition, "aws")
	global := a.Service == "iam" && a.Region == ""
	named := isRole && isWord(name, 512, "+=,.@_-/")
	if iam := account && global; !iam || !named {
		return fail("not the ARN of a role", "")
	}
	r.Role = value
	return nil
}

func setStage(r *Ref, _, value string) error {
	digits := value != "" && arn.IsDigits(value)
	unprintable := func(c rune) bool { return c <= ' ' || c > '~' }
	switch {
	case r.Scheme == SecretsManager:
		// The service states the length only.
		if len(value) > 256 || strings.ContainsFunc(value, unprintable) {
			return fail("not a staging label of up to 256 printable ASCII characters", "")
		}
		r.Stage = value
		return nil
	case ofSecret(r):
		if !isWord(value, 256, "._-") || isVersion(r, value) {
			return fail("the selector is not a staging label or a version id",
				"write :AWSPREVIOUS, and the secret by its name")
		}
	case r.Tree() != "" && digits:
		return errTree
	case !isWord(value, 100, "._-"), arn.IsDigits(value[:1]):
		return fail("the selector is not a version or a label",
			"write :3, or a label that does not start with a digit")
	}
	r.Stage, r.Version = value, ""
	return nil
}

func setVersion(r *Ref, _, value string) error {
	switch {
	case r.Tree() != "":
		return errTree
	case isVersion(r, value):
	case ofSecret(r):
		return fail("not a version id", "it has 32 to 64 letters, digits and hyphens")
	default:
		return fail("not a version number", "write it in digits, or set a label as the stage")
	}
	if r.Version = value; r.Scheme == SSM {
		r.Stage = ""
	}
	return nil
}

// setKey sets the key. A key decrypts in its own Region only, so its ARN decides where
// the call goes.
func setKey(r *Ref, _, value string) error {
	named, region := isKeyID(value) || isKeyAlias(value), ""
	if arn.Is(value) {
		a, err := parseARN(value, KMS)
		if err != nil {
			return err
		}
		named, region = isKeyAlias(a.Resource), a.Region
		if id, isKey := strings.CutPrefix(a.Resource, "key/"); isKey {
			named = isKeyID(id)
		}
		named = named && a.Account != ""
	}
	if !named {
		return fail("not a KMS key", "")
	}
	stated := r.Region
	if stated == r.arnRegion() && r.Failover == "" {
		stated = "" // it was the former key's
	}
	if both := region != "" && stated != ""; both && region != stated {
		return fail("the region option states another Region than the key's ARN",
			"leave it out, an ARN states its own")
	}
	r.Key, r.Region = value, cmp.Or(region, stated)
	return nil
}

func setContext(r *Ref, key, value string) error {
	r.Context = key + "=" + value
	if r.Context != ContextNone && r.Context != ContextConsole {
		return fail("neither none nor console", "")
	}
	return nil
}

func setPair(r *Ref, key, value string) error {
	name := strings.TrimPrefix(key, pairPrefix)
	if name == "" || !printable(name+value) {
		return fail("an empty name, a control character or invalid UTF-8", "")
	}
	pairs := r.EncryptionContext()
	if pairs == nil {
		pairs = make(map[string]string, 1)
	}
	if pairs[name] = value; len(pairs) > 64 { // also keeps parsing linear enough
		return fail("more than 64 pairs of encryption context",
			"state those that it was encrypted with")
	}
	r.Context = contextText(pairs)
	return nil
}

func setDecode(r *Ref, _, value string) error {
	if r.Base64 = value == "base64"; !r.Base64 { // fits refuses it beside a template
		return fail("not base64, the one thing that is decoded", "")
	}
	return nil
}

func setBound(bound *time.Duration, stated *bool, value string) error {
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		// Its error quotes the value. A bare number has no unit, and is not guessed at.
		return fail("not a duration", "")
	case d < 0:
		return fail("a negative duration", "write 0s for none")
	}
	*bound, *stated = d, true
	return nil
}

func setOptional(r *Ref, _, value string) error {
	if r.Optional = value == "" || value == "true"; !r.Optional {
		return fail("neither empty nor true", "leave it out when the value has to be there")
	}
	return nil
}
