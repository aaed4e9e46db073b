package refsyntax

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// An option is what a reference may state between ? and #, and what [Ref.With] sets.
type option struct {
	key     string // of context., the beginning
	schemes string // those that take it
	hint    string // how to write it
	set     func(r *Ref, key, value string) error
	text    func(r Ref) string // as it is printed, or "" where r does not state it
}

const (
	anyStore = KMS + " " + SSM + " " + SecretsManager
	wordHint = "write none or console, or a pair as context.NAME=value"
	fieldKey = "field" // stands after # in text
)

// options is the one table of options, in the order in which they are printed. Parsing,
// printing, hints and docs/references.md are read from it.
var options = [...]option{
	{"region", anyStore, "write a Region, such as eu-west-1, or two, such as " +
		"eu-west-1,us-east-1: the second is asked when the first does not answer",
		setRegion, regionText},
	{"role", anyStore, "write arn:aws:iam::ACCOUNT:role/NAME: the role to read with",
		setRole, func(r Ref) string { return pair("role", r.Role) }},
	{"stage", SecretsManager, "write a staging label, such as AWSPREVIOUS",
		setStage, func(r Ref) string { return pair("stage", r.secretOnly(r.Stage)) }},
	{"version", SecretsManager, "write a version id: 32 to 64 letters, digits and hyphens",
		setVersion, func(r Ref) string { return pair("version", r.secretOnly(r.Version)) }},
	{"key", KMS, "write the key that has to decrypt: its id, alias/NAME, or the ARN of either",
		setKey, func(r Ref) string { return pair("key", r.Key) }},
	{"context", KMS, wordHint, setContext, wordText},
	{"context.", KMS, "write a pair of the encryption context as context.NAME=value",
		setPair, pairsText},
	{"decode", anyStore, "write decode=base64: what stands there, the field if there is one, is " +
		"base64 of the value", setDecode, decodeText},
	{"ttl", anyStore, "write a duration with a unit, such as 300s, 5m or 1h30m: how long " +
		"the value is used before it is refreshed", setTTL,
		func(r Ref) string { return durationText("ttl", r.HasTTL, r.TTL) }},
	{"stale", anyStore, "write a duration with a unit, such as 24h: how old the value may " +
		"get while its refreshes fail", setStale,
		func(r Ref) string { return durationText("stale", r.HasStale, r.Stale) }},
	{"optional", anyStore, "write optional alone: the value may be absent",
		setOptional, optionalText},
}

// find returns the option of that key.
func find(key string) (option, bool) {
	for _, o := range options {
		isPair := o.key == "context." && strings.HasPrefix(key, o.key)
		if o.key == key || isPair {
			return o, true
		}
	}
	return option{}, false
}

func (o option) takenBy(scheme string) bool {
	return slices.Contains(strings.Fields(o.schemes), scheme)
}

// optionHint lists what references of the scheme take in their text.
func optionHint(scheme string) string {
	if scheme == Literal {
		return "a literal takes no options and no field"
	}
	var keys []string
	for _, o := range options {
		if o.takenBy(scheme) {
			keys = append(keys, o.key)
		}
	}
	list := strings.Replace(strings.Join(keys, ", "), "context.,", "context.NAME,", 1)
	return scheme + " takes " + list
}

// options returns the text of all options that r states.
func (r Ref) options() string {
	var text []string
	for _, o := range options {
		if s := o.text(r); s != "" {
			text = append(text, s)
		}
	}
	if text == nil {
		return ""
	}
	return "?" + strings.Join(text, "&")
}

// With returns the reference with one thing set: a key of the table of options, field, or
// text, the template of a composed text. Of a parameter, version is the number and stage
// the label. The value is taken as it is, nothing in it is decoded. What the new value
// excludes is replaced: a parameter's label by its version, context=none by a pair, and
// the reverse. A Region that an ARN states cannot be changed.
func (r Ref) With(key, value string) (Ref, error) {
	name := fmt.Sprintf("option %q", key[:min(len(key), 40)])
	switch {
	case r.Scheme == Literal:
		return Ref{}, fail(name+" is not for "+r.Scheme, optionHint(r.Scheme))
	case value == "" && key != "optional":
		return Ref{}, fail(name+" has no value", "give one, or leave the option out")
	case key == fieldKey:
		return fits(r, named(name, r.setField(value)))
	case key == "text":
		return fits(r, named(name, r.setTemplate(value)))
	case r.inSelector(key):
		o, _ := find(key)
		return fits(r, named(name, o.set(&r, key, value)))
	}
	return fits(r, r.with(name, key, value))
}

// inSelector reports whether the text of r states what the key sets behind the name: a
// parameter's version or label.
func (r Ref) inSelector(key string) bool {
	selects := key == "stage" || key == "version"
	return selects && r.Scheme == SSM
}

// with sets an option that errors call name.
func (r *Ref) with(name, key, value string) error {
	o, known := find(key)
	switch {
	case !known:
		return fail(name+" is unknown", optionHint(r.Scheme))
	case !o.takenBy(r.Scheme):
		return fail(name+" is not for "+r.Scheme, optionHint(r.Scheme))
	case value == "" && key != "optional":
		return fail(name+" has no value", o.hint)
	}
	return named(name, o.set(r, key, value))
}

// named puts the option's name before what is wrong with it.
func named(name string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return fail(name+": "+e.Problem, e.Hint)
	}
	return err
}

func pair(key, value string) string {
	if value == "" {
		return ""
	}
	return key + "=" + escape(value)
}

// secretOnly returns s for a secret: a parameter's selector stands after its name.
func (r Ref) secretOnly(s string) string {
	if r.Scheme != SecretsManager {
		return ""
	}
	return s
}

func setRegion(r *Ref, _, value string) error {
	first, second, two := strings.Cut(value, ",")
	stated := r.arnRegion()
	switch {
	case !arn.IsRegion(first), two && !arn.IsRegion(second):
		return fail("not the name of a Region", "write it as eu-west-1, two as eu-west-1,us-east-1")
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

func regionText(r Ref) string {
	switch {
	case r.Failover != "":
		return "region=" + r.Region + "," + r.Failover
	case r.Region == "", r.Region == r.arnRegion():
		return ""
	}
	return "region=" + r.Region
}

func setRole(r *Ref, _, value string) error {
	a, _ := arn.Parse(value)
	name, isRole := strings.CutPrefix(a.Resource, "role/")
	account := arn.IsAccount(a.Account) && strings.HasPrefix(a.Partition, "aws")
	global := a.Service == "iam" && a.Region == ""
	named := isRole && isWord(name, 512, "+=,.@_-/")
	if iam := account && global; !iam || !named {
		return fail("not the ARN of a role", "write arn:aws:iam::ACCOUNT:role/NAME")
	}
	r.Role = value
	return nil
}

func setStage(r *Ref, _, value string) error {
	if err := checkStage(*r, value); err != nil {
		return err
	}
	r.Stage = value
	if r.Scheme == SSM {
		r.Version = ""
	}
	return nil
}

func setVersion(r *Ref, _, value string) error {
	switch {
	case isTree(*r):
		return errTree
	case !isVersion(*r, value):
		return errVersion(*r)
	}
	r.Version = value
	if r.Scheme == SSM {
		r.Stage = ""
	}
	return nil
}

// setKey sets the key. A key decrypts in its own Region only, so its ARN decides where
// the call goes.
func setKey(r *Ref, _, value string) error {
	region, err := checkKey(value)
	if err != nil {
		return err
	}
	stated := r.Region
	if stated == r.arnRegion() && r.Failover == "" {
		stated = "" // it was the former key's
	}
	if both := region != "" && stated != ""; both && region != stated {
		const problem = "the region option states another Region than the key's ARN"
		return fail(problem, "leave it out, an ARN states its own")
	}
	r.Key, r.Region = value, cmp.Or(region, stated)
	return nil
}

func setContext(r *Ref, _, value string) error {
	if value != ContextNone && value != ContextConsole {
		return fail("neither none nor console", wordHint)
	}
	r.Context = value
	return nil
}

func wordText(r Ref) string {
	if r.hasWord() {
		return "context=" + r.Context
	}
	return ""
}

func (r Ref) hasWord() bool { return r.Context == ContextNone || r.Context == ContextConsole }

func setPair(r *Ref, key, value string) error {
	name := strings.TrimPrefix(key, "context.")
	if shown := printable(name) && printable(value); !shown || name == "" {
		const problem = "an empty name, a control character or invalid UTF-8"
		return fail(problem, "write context.NAME=value")
	}
	pairs := r.EncryptionContext()
	if pairs == nil {
		pairs = make(map[string]string, 1)
	}
	if pairs[name] = value; len(pairs) > 64 { // also keeps parsing linear enough
		const hint = "state those that it was encrypted with"
		return fail("more than 64 pairs of encryption context", hint)
	}
	r.Context = contextText(pairs)
	return nil
}

func pairsText(r Ref) string {
	if strings.HasPrefix(r.Context, "context.") {
		return r.Context
	}
	return ""
}

func setDecode(r *Ref, _, value string) error {
	if value != "base64" {
		return fail("not base64, the one thing that is decoded", "write decode=base64")
	}
	r.Base64 = true // fits refuses it beside a template
	return nil
}

func decodeText(r Ref) string {
	if r.Base64 {
		return "decode=base64"
	}
	return ""
}

func setTTL(r *Ref, _, value string) (err error) {
	r.HasTTL = true
	r.TTL, err = duration(value)
	return err
}

func setStale(r *Ref, _, value string) (err error) {
	r.HasStale = true
	r.Stale, err = duration(value)
	return err
}

func durationText(key string, stated bool, d time.Duration) string {
	if !stated {
		return ""
	}
	return key + "=" + d.String()
}

// duration reads a TTL or stale bound.
func duration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		// Its error quotes the value. A bare number has no unit, and is not guessed at.
		return 0, fail("not a duration", "write it with a unit: 300s, 5m, 1h30m")
	}
	if d < 0 {
		return 0, fail("a negative duration", "write 0s for none")
	}
	return d, nil
}

func setOptional(r *Ref, _, value string) error {
	if value != "" && value != "true" {
		return fail("neither empty nor true", "leave it out when the value has to be there")
	}
	r.Optional = true
	return nil
}

func optionalText(r Ref) string {
	if r.Optional {
		return "optional"
	}
	return ""
}
