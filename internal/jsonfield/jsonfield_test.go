package jsonfield

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLookup_Table(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + "1" + strings.Repeat("]", n) }
	const db = `{"username":"app","port":5432,"tls":true,"id":12345678901234567890,"rate":1e3,"none":null,
		"a":{"b":[10,{"c":"x"}],"":"empty"},"a.b":"dotted","m~n":1,"x/y":2,"list":[ 1, 2 ],"obj":{ "k" : "v<&>" }}`
	tests := []struct {
		name, doc, path, want string
		err                   error
	}{
		{name: "string", doc: db, path: "username", want: "app"},
		{name: "number keeps its digits", doc: db, path: "id", want: "12345678901234567890"},
		{name: "number keeps its form", doc: db, path: "rate", want: "1e3"},
		{name: "integer", doc: db, path: "port", want: "5432"},
		{name: "true", doc: db, path: "tls", want: "true"},
		{name: "null is not missing", doc: db, path: "none", err: ErrNull},
		{name: "missing", doc: db, path: "password", err: ErrMissing},
		{name: "below null", doc: db, path: "none.x", err: ErrMissing},
		{name: "below a string", doc: db, path: "username.0", err: ErrMissing},
		{name: "exact key before path", doc: db, path: "a.b", want: "dotted"},
		{name: "dotted path", doc: db, path: "a.b.0", want: "10"},
		{name: "dotted path through an array", doc: db, path: "a.b.1.c", want: "x"},
		{name: "exact null before path", doc: `{"a.b":null,"a":{"b":1}}`, path: "a.b", err: ErrNull},
		{name: "pointer", doc: db, path: "/a/b/1/c", want: "x"},
		{name: "pointer splits at slashes only", doc: db, path: "/a.b", want: "dotted"},
		{name: "pointer tilde", doc: db, path: "/m~0n", want: "1"},
		{name: "pointer slash", doc: db, path: "/x~1y", want: "2"},
		{name: "pointer ~01 is ~1", doc: `{"~1":1,"/":2}`, path: "/~01", want: "1"},
		{name: "pointer to the empty key", doc: db, path: "/a/", want: "empty"},
		{name: "pointer bad escape", doc: db, path: "/a~2", err: ErrPath},
		{name: "pointer ends in tilde", doc: db, path: "/a~", err: ErrPath},
		{name: "pointer past the end", doc: db, path: "/list/-", err: ErrMissing},
		{name: "slash inside is a plain key", doc: `{"db/password":"x"}`, path: "db/password", want: "x"},
		{name: "no path", doc: db, path: "", err: ErrPath},
		{name: "array stays as written", doc: db, path: "list", want: "[ 1, 2 ]"},
		{name: "object stays as written", doc: db, path: "obj", want: `{ "k" : "v<&>" }`},
		{name: "index with a leading zero", doc: db, path: "list.00", err: ErrMissing},
		{name: "negative index", doc: db, path: "list.-1", err: ErrMissing},
		{name: "index with a sign", doc: db, path: "list.+1", err: ErrMissing},
		{name: "huge index", doc: db, path: "list.99999999999999999999", err: ErrMissing},
		{name: "top array", doc: ` [7, "x"] `, path: "1", want: "x"},
		{name: "escapes", doc: `{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z"}`, path: "a", want: "\"\\/\b\f\n\r\té😀z"},
		{name: "escaped key", doc: `{"p\u0061ss":1}`, path: "pass", want: "1"},
		{name: "empty string", doc: `{"a":""}`, path: "a", want: ""},
		{name: "NUL escape", doc: `{"a":"x\u0000y"}`, path: "a", want: "x\x00y"},
		{name: "replacement character", doc: `{"a":"\ufffd"}`, path: "a", want: "\ufffd"},

		{name: "duplicate", doc: `{"a":1,"a":1}`, path: "a", err: ErrDuplicate},
		{name: "duplicate by escape", doc: `{"a":1,"\u0061":2}`, path: "a", err: ErrDuplicate},
		{name: "duplicate elsewhere", doc: `{"a":1,"b":[{"c":1,"c":2}]}`, path: "a", err: ErrDuplicate},
		{name: "same key in two objects", doc: `{"a":{"k":1},"b":{"k":2}}`, path: "b.k", want: "2"},
		{name: "keys differ in case", doc: `{"A":1,"a":2}`, path: "a", want: "2"},
		{name: "plain text", doc: `hunter2`, path: "a", err: ErrNotJSON},
		{name: "empty", doc: ``, path: "a", err: ErrNotJSON},
		{name: "scalar", doc: `12`, path: "a", err: ErrMissing},
		{name: "trailing data", doc: `{"a":1} {"a":2}`, path: "a", err: ErrNotJSON},
		{name: "trailing comma", doc: `{"a":1,}`, path: "a", err: ErrNotJSON},
		{name: "leading zero", doc: `{"a":01}`, path: "a", err: ErrNotJSON},
		{name: "byte order mark", doc: "\ufeff{\"a\":1}", path: "a", err: ErrNotJSON},
		{name: "invalid UTF-8", doc: "{\"b\":\"\xff\",\"a\":1}", path: "a", err: ErrNotJSON},
		{name: "lone high surrogate", doc: `{"b":"\ud83d","a":1}`, path: "a", err: ErrNotJSON},
		{name: "lone low surrogate", doc: `{"b":"\ude00","a":1}`, path: "a", err: ErrNotJSON},
		{name: "surrogates in the wrong order", doc: `{"b":"\ude00\ud83d","a":1}`, path: "a", err: ErrNotJSON},
		{name: "high surrogate and another escape", doc: `{"b":"\ud83d\u0061","a":1}`, path: "a", err: ErrNotJSON},
		{name: "escaped backslash is no surrogate", doc: `{"a":"\\ud83d"}`, path: "a", want: `\ud83d`},
		{name: "64 levels", doc: deep(64), path: "0", want: deep(63)},
		{name: "65 levels", doc: deep(65), path: "0", err: ErrTooDeep},
		{name: "a million levels", doc: deep(1 << 20), path: "0", err: ErrNotJSON},
		{name: "too large", doc: strings.Repeat(" ", 4<<20) + "1", path: "0", err: ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Lookup(tt.doc, tt.path)
			if got != tt.want || err != tt.err {
				t.Errorf("Lookup(%.80q, %q) = %.80q, %v; want %q, %v", tt.doc, tt.path, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestObject_Table(t *testing.T) {
	t.Parallel()
	values := map[string]string{"b/c": "<&>\u2028", "a": "\"\\\n\x00\x7f", "é": "", "n": "007"}
	doc := Object(values)
	const want = `{"a":"\"\\\u000a\u0000` + "\x7f" + `","b/c":"<&>` + "\u2028" + `","n":"007","é":""}`
	if doc != want {
		t.Errorf("Object = %s, want %s", doc, want)
	}
	for key, value := range values {
		if got, err := Lookup(doc, key); got != value || err != nil {
			t.Errorf("Lookup(%q) = %q, %v; want %q", key, got, err, value)
		}
	}
	if got := Object(nil); got != "{}" {
		t.Errorf("Object(nil) = %s", got)
	}
	if _, err := Lookup(Object(map[string]string{"a": "\xff"}), "a"); err != ErrNotJSON {
		t.Errorf("a value that is not UTF-8: %v, want ErrNotJSON", err)
	}
}

// FuzzLookup compares with encoding/json, which keeps the last of duplicate keys and replaces lone surrogates.
func FuzzLookup(f *testing.F) {
	f.Fuzz(func(t *testing.T, doc, key string) {
		got, err := Lookup(doc, key)
		var known bool
		for _, e := range []error{nil, ErrNotJSON, ErrMissing, ErrNull, ErrDuplicate, ErrTooDeep,
			ErrTooLarge, ErrPath} {
			known = known || err == e
		}
		if !known {
			t.Fatalf("error %v is not one of the package's", err)
		}

		dec := json.NewDecoder(strings.NewReader(doc))
		dec.UseNumber()
		var top any
		valid := dec.Decode(&top) == nil
		if _, end := dec.Token(); !errors.Is(end, io.EOF) {
			valid = false
		}
		if !valid {
			if err == nil || err == ErrMissing || err == ErrNull || err == ErrDuplicate {
				t.Fatalf("Lookup = %q, %v in what encoding/json refuses", got, err)
			}
			return
		}
		if err == ErrNotJSON && utf8.ValidString(doc) && !strings.Contains(strings.ToLower(doc), `\ud`) {
			t.Fatal("ErrNotJSON for what encoding/json accepts")
		}
		pointer := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		pgot, perr := Lookup(doc, pointer)
		var value any
		var ok bool
		switch top := top.(type) {
		case map[string]any:
			value, ok = top[key]
		case []any:
			if i, err := strconv.Atoi(key); err == nil && strconv.Itoa(i) == key && i >= 0 && i < len(top) {
				value, ok = top[i], true
			}
		}
		switch perr {
		case ErrNotJSON, ErrDuplicate, ErrTooDeep, ErrTooLarge:
			return // stricter, as documented
		case ErrMissing:
			if ok {
				t.Fatalf("key %q is missing", key)
			}
			return
		case ErrNull:
			if !ok || value != nil {
				t.Fatalf("key %q is null, want %v", key, value)
			}
			return
		}
		if !ok || perr != nil {
			t.Fatalf("Lookup(%q) = %q, %v; want %v", pointer, pgot, perr, value)
		}
		switch value := value.(type) {
		case string:
			if pgot != value {
				t.Fatalf("got %q, want %q", pgot, value)
			}
		case json.Number:
			if pgot != value.String() {
				t.Fatalf("got %q, want %q", pgot, value)
			}
		case bool:
			if pgot != strconv.FormatBool(value) {
				t.Fatalf("got %q, want %v", pgot, value)
			}
		default:
			var a bytes.Buffer
			want, _ := json.Marshal(value)
			if json.Compact(&a, []byte(pgot)) != nil || !strings.Contains(doc, pgot) {
				t.Fatalf("got %q, which is no JSON of the document", pgot)
			}
			var again any
			d := json.NewDecoder(&a)
			d.UseNumber()
			d.Decode(&again)
			have, _ := json.Marshal(again)
			if !bytes.Equal(have, want) {
				t.Fatalf("got %s, want %s", have, want)
			}
		}
		// A key that is there wins over every path.
		if key != "" && key[0] != '/' && (got != pgot || err != nil) {
			t.Fatalf("Lookup(%q) = %q, %v; want %q", key, got, err, pgot)
		}
	})
}
