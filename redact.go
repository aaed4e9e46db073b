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
)

// The sizes of plaintexts in bytes.
const (
	minRedacted = 4    // what is taken out of a text: shorter ones are in every other word
	maxURL      = 4096 // what may be a URL, whose parts are taken out one by one
)

// withoutPlaintext returns text without v: without the whole value and without each string
// and number of a JSON value, in the forms in which errors quote them.
func (v Value) withoutPlaintext(text string) string {
	if v.d == nil {
		return text
	}
	return redact(text, leaves(v.d.plain()), minRedacted)
}

// redact returns text without plaintexts of at least shortest bytes.
func redact(text string, plaintexts []string, shortest int) string {
	var forms []string
	for _, plain := range plaintexts {
		if len(plain) >= shortest && len(plain) <= len(text) {
			forms = append(forms, quotedForms(plain)...)
		}
	}
	// The longest first, or a part of one would be left.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, redacted)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// leaves returns text, and if it is JSON each string and number in it, those in strings
// that are JSON themselves included. Of what may be a URL it returns the parts, too:
// url.Parse quotes what comes before a # and what it takes for a port, which is half of
// the password if that has a slash.
func leaves(text string) []string {
	all := []string{text}
	var document any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&document) != nil {
		if len(text) <= maxURL {
			url, _, _ := strings.Cut(text, "#")
			all = append(append(all, url), strings.FieldsFunc(text, endsURLPart)...)
		}
		return all
	}
	var walk func(x any)
	walk = func(x any) {
		switch x := x.(type) {
		case string:
			if x != text {
				all = append(all, leaves(x)...)
			}
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
	// Base64 of a longer text, such as the header of basic authentication, at each of its
	// three alignments, without the characters that depend on the neighbours.
	for shift := range 3 {
		s := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), b...))
		s = s[(shift*8+5)/6 : (shift+len(b))*8/6]
		forms = append(forms, s, strings.NewReplacer("+", "-", "/", "_").Replace(s))
	}
	return forms
}
