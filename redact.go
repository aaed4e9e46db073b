package secrets

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/lambdasecrets/secrets/internal/awserr"
)

// The sizes of plaintexts in bytes.
const (
	minRedacted = 4    // what is taken out of a text: shorter ones are in every other word
	maxURL      = 4096 // what may be a URL, whose parts are taken out one by one
)

// withoutPlaintext returns text without v: without the whole value and without each
// string and number of a JSON value, in the forms in which errors quote them.
func (v Value) withoutPlaintext(text string) string {
	if v.d == nil {
		return text
	}
	var forms []string
	for _, plain := range leaves(v.d.plain()) {
		if len(plain) >= minRedacted && len(plain) <= len(text) {
			forms = append(forms, quotedForms(plain)...)
		}
	}
	// The longest first, or a part of one would be left.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, form := range forms {
		pairs = append(pairs, form, redacted)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// leaves returns text, and if it is JSON each string and number in it, those in
// strings that are JSON themselves included. Of what may be a URL it returns the
// parts, too: url.Parse quotes what comes before a # and what it takes for a port,
// which is half of the password if that has a slash.
func leaves(text string) []string {
	all := append([]string{text}, jsonLeaves(text)...)
	for _, leaf := range all {
		if isJSON := strings.HasPrefix(leaf, "{"); !isJSON && len(leaf) <= maxURL {
			url, _, _ := strings.Cut(leaf, "#")
			all = append(append(all, url), strings.FieldsFunc(leaf, endsURLPart)...)
		}
	}
	return all
}

// jsonLeaves returns the strings and numbers in text if that is JSON.
func jsonLeaves(text string) (all []string) {
	if !json.Valid([]byte(text)) {
		return nil // the Decoder would be content with the 12 of 12abc
	}
	var document any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	d.Decode(&document)
	var walk func(x any)
	walk = func(x any) {
		switch x := x.(type) {
		case string:
			all = append(append(all, x), jsonLeaves(x)...)
		case json.Number:
			all = append(all, x.String())
		case []any:
			for _, y := range x {
				walk(y)
			}
		case map[string]any:
			for _, y := range x {
				walk(y)
			}
		}
	}
	walk(document)
	return all
}

func endsURLPart(r rune) bool { return strings.ContainsRune(":/?#@%&=", r) }

var quoters = []func(string) string{strconv.Quote, strconv.QuoteToASCII, quoteJSON}

func quoteJSON(s string) string {
	text, _ := json.Marshal(s) // a string has no error
	return string(text)
}

// inside returns what is between the quotes, which stay.
func inside(quoted string) string { return quoted[1 : len(quoted)-1] }

// quotedForms returns the ways in which an error may quote a plaintext.
func quotedForms(plain string) []string {
	b := []byte(plain)
	forms := []string{
		plain,
		html.EscapeString(plain),
		strings.ReplaceAll(plain, "'", "''"), // SQL
		strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(plain), // a DSN of keywords
		url.QueryEscape(plain),
		url.PathEscape(plain),
		url.UserPassword("", plain).String()[1:],
		(&url.URL{Path: plain}).EscapedPath(),
		fmt.Sprintf("%x", b),
		fmt.Sprintf("%X", b),
		fmt.Sprintf("% x", b),
		strings.Trim(fmt.Sprint(b), "[]"),
		strings.TrimPrefix(strings.TrimSuffix(fmt.Sprintf("%#v", b), "}"), "[]byte{"),
	}
	for _, quote := range quoters {
		once := inside(quote(plain))
		forms = append(forms, once, inside(strconv.Quote(once)), inside(quoteJSON(once)))
	}
	// Base64 of a longer text, such as the header of basic authentication, at each of
	// its three alignments, without the characters that depend on the neighbours.
	for shift := range 3 {
		s := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), b...))
		s = s[(shift*8+5)/6 : (shift+len(b))*8/6]
		forms = append(forms, s, strings.NewReplacer("+", "-", "/", "_").Replace(s))
	}
	return forms
}

const minScrubbed = 8 // bytes of a plaintext that is taken out of what AWS says: names are shorter

// withoutValues returns err without the declared values in hand, and own's. Who
// answers in AWS's place can put one that it gave out before into a message, a code
// or a request id, and the last two reach the invoker of the function.
func (c *Cache) withoutValues(err *ResolveError, own *entry) *ResolveError {
	apiErr, ok := err.cause.(*awserr.Error)
	if !ok {
		return err
	}
	all := strings.Join([]string{apiErr.Message, apiErr.Code, apiErr.RequestID}, "\n")
	if len(all) < minScrubbed {
		return err
	}
	asked := err.Ref.Text() + " " + err.region + " " + apiErr.Account()
	e, said := *err, *apiErr
	e.cause = &said
	for _, v := range c.inHand(own) {
		for _, plain := range secretsIn(v.d.plain()) {
			if len(plain) < minScrubbed || scrub(all, plain) == all {
				continue
			}
			if strings.HasPrefix(plain, "arn:") || strings.Contains(asked, plain) {
				continue // it is no secret, and the next step names it
			}
			for _, text := range []*string{
				&said.Message, &said.Code, &said.RequestID, &e.Code, &e.RequestID,
			} {
				*text = scrub(*text, plain)
			}
		}
	}
	return &e
}

// secretsIn returns a plaintext, or its strings and numbers if it is JSON.
func secretsIn(plain string) []string {
	if all := jsonLeaves(plain); all != nil {
		return all
	}
	return []string{plain}
}

// A versionOf is what a backend calls the content of a value. Who answers in AWS's place
// may put a plaintext there, and versions are logged, so one that holds a string or a
// number of its value is shown as "". That is found out when somebody asks: to take the
// JSON of each value apart would cost a warm more than all the rest of it.
type versionOf struct {
	content func() *content // for walkers, as in valueData
	once    sync.Once
	shown   string
}

// String returns v as it may be shown.
func (v *versionOf) String() string {
	if v.raw() == "" {
		return ""
	}
	v.once.Do(func() {
		text := v.raw()
		holds := func(plain string) bool {
			return len(plain) >= minScrubbed && scrub(text, plain) != text
		}
		if !slices.ContainsFunc(secretsIn(v.content().plain), holds) {
			v.shown = text
		}
	})
	return v.shown
}

// raw returns v as the backend has it, which nobody else may see.
func (v *versionOf) raw() string {
	if v == nil {
		return ""
	}
	return v.content().version
}

// held returns those of the names that an answer gave which hold a declared value, or are a
// part of one: the log and the audit do not print them. Who answers in AWS's place may call
// a content by what it was told before. It reads all values, so not under the lock.
func (c *Cache) held(names []string) map[string]bool {
	// Found by eight bytes that both have: each name against each value would be the
	// square of their number.
	common := map[string][]string{}
	for _, name := range names {
		for i := range len(name) - minScrubbed + 1 {
			common[name[i:i+minScrubbed]] = append(common[name[i:i+minScrubbed]], name)
		}
	}
	held := map[string]bool{}
	if len(common) == 0 {
		return held
	}
	for _, plain := range c.plains() {
		for i := range len(plain) - minScrubbed + 1 {
			for _, name := range common[plain[i:i+minScrubbed]] {
				if strings.Contains(name, plain) || strings.Contains(plain, name) {
					held[name] = true
				}
			}
		}
	}
	return held
}

// plains returns the plaintexts of all declared values, and their base64.
func (c *Cache) plains() (plains []string) {
	for _, v := range c.inHand(nil) {
		for _, plain := range secretsIn(v.d.plain()) {
			if !strings.HasPrefix(plain, "arn:") { // which is no secret
				plains = append(plains, plain, base64.RawStdEncoding.EncodeToString([]byte(plain)))
			}
		}
	}
	return plains
}

// inHand returns the declared values that c holds, and those of own, which may be nil.
func (c *Cache) inHand(own *entry) (values []Value) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries := []*entry{own}
	for _, declared := range c.groups {
		entries = append(entries, declared...)
	}
	for _, e := range entries {
		if e == nil {
			continue
		}
		if g := e.gen.Load(); g != nil {
			values = append(values, g.slots[0].value)
		}
	}
	return values
}

// scrub returns text without plain, as it is and in base64, in which binary values
// travel. Of a long plain any part is enough: what AWS says is cut off.
func scrub(text, plain string) string {
	encoded := base64.RawStdEncoding.EncodeToString([]byte(plain))
	for _, form := range []string{clip(plain, len(plain)), encoded} {
		text = strings.ReplaceAll(text, form, redacted)
		for ; len(form) > 64; form = form[32:] {
			if strings.Contains(text, form[:32]) {
				return redacted
			}
		}
	}
	return text
}
