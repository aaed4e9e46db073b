// Package leak finds plaintexts in what a program prints, however they are encoded.
package leak

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// Forms returns the ways in which text may show itself: as it is, and as encoders, escapers and dumps of bytes write
// it.
func Forms(text string) []string {
	b := []byte(text)
	quoted := strconv.Quote(text)
	ascii := strconv.QuoteToASCII(text)
	inJSON, _ := json.Marshal(text)
	var inXML bytes.Buffer
	xml.EscapeText(&inXML, b)
	all := []string{text, quoted[1 : len(quoted)-1], ascii[1 : len(ascii)-1], string(inJSON[1 : len(inJSON)-1]),
		inXML.String(), html.EscapeString(text),
		url.QueryEscape(text), url.PathEscape(text), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
		strings.Trim(fmt.Sprint(b), "[]"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}"), fmt.Sprintf("% x", b)}
	for shift := range 3 { // base64 of a longer text that holds it, at each of the three alignments
		s := base64.RawStdEncoding.EncodeToString(append(bytes.Repeat([]byte{'x'}, shift), b...))
		s = s[(shift*8+5)/6 : len(s)-2]
		all = append(all, s, strings.NewReplacer("+", "-", "/", "_").Replace(s))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// In returns the form of one of the plaintexts that text holds, or "".
func In(text string, plaintexts ...string) string {
	for _, s := range plaintexts {
		for _, f := range Forms(s) {
			if strings.Contains(text, f) {
				return f
			}
		}
	}
	return ""
}

// Walk prints what v reaches as a debugger would: without calling methods, through unexported fields, pointers, maps
// and interfaces.
func Walk(v any) string {
	var b strings.Builder
	seen := map[unsafe.Pointer]bool{}
	var step func(v reflect.Value, depth int)
	step = func(v reflect.Value, depth int) {
		if depth > 30 || b.Len() > 1<<22 {
			return
		}
		switch v.Kind() {
		case reflect.String:
			b.WriteString(v.String() + "\n")
		case reflect.Pointer:
			if !v.IsNil() && !seen[v.UnsafePointer()] {
				seen[v.UnsafePointer()] = true
				step(v.Elem(), depth+1)
			}
		case reflect.UnsafePointer: // what atomic.Pointer holds; its type is gone, so nothing can follow it
		case reflect.Interface:
			if !v.IsNil() {
				step(v.Elem(), depth+1)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				step(v.Field(i), depth+1)
			}
		case reflect.Array, reflect.Slice:
			if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
				b.WriteString(string(v.Bytes()) + "\n")
				return
			}
			for i := range v.Len() {
				step(v.Index(i), depth+1)
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				step(k, depth+1)
				step(v.MapIndex(k), depth+1)
			}
		}
	}
	step(reflect.ValueOf(v), 0)
	return b.String()
}
