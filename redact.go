package secrets

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// minRedacted is the shortest plaintext that is taken out of a text: shorter ones are in every other
// word.
const minRedacted = 4

// withoutPlaintext returns text without v: without the whole value and without each string and number
// of a JSON value, in the forms in which errors quote them.
func (v Value) withoutPlaintext(text string) string {
	if v.d == nil {
		return text
	}
	var forms []string
	for _, plain := range leaves(v.d.plain()) {
		if len(plain) >= minRedacted {
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

// leaves returns text, and if it is JSON each string and number in it, those in strings that are JSON
// themselves included.
func leaves(text string) []string {
	all := []string{text}
	var document any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&document) != nil {
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

// quotedForms returns the ways in which an error may quote a plaintext.
func quotedForms(plain string) []string {
	quoted, ascii := strconv.Quote(plain), strconv.QuoteToASCII(plain)
	encoded, _ := json.Marshal(plain)
	forms := []string{
		plain,
		quoted[1 : len(quoted)-1], // as %q writes it, whose quotes stay
		ascii[1 : len(ascii)-1],
		string(encoded[1 : len(encoded)-1]),
		url.QueryEscape(plain),
		url.PathEscape(plain),
		url.UserPassword("", plain).String()[1:],
		(&url.URL{Path: plain}).EscapedPath(),
		fmt.Sprintf("%x", plain),
		base64.StdEncoding.EncodeToString([]byte(plain)),
		base64.URLEncoding.EncodeToString([]byte(plain)),
	}
	quotedAgain := strconv.Quote(quoted[1 : len(quoted)-1])
	return append(forms, quotedAgain[1:len(quotedAgain)-1])
}
