package jsonfield

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Each fault is told by its kind and place, in words that tell it from the others, and nothing of the value is.
func TestExplain_EveryFault(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	for _, tc := range []struct{ name, doc, path, problem, hint string }{
		{"byte order mark", "\ufeff{\"password\":\"hunter2\"}", "password",
			"a byte order mark stands before the JSON", "without it"},
		{"UTF-16", "\xff\xfe{\x00", "password", "the value is UTF-16", "UTF-8"},
		{"trailing comma", "{\n  \"password\": \"hunter2\",\n}", "password",
			"it begins like a JSON object; not JSON from byte 28 on", "last comma"},
		{"single quotes", "{'password': 'hunter2'}", "password", "single quotes", "double quotes|{\"name\""},
		{"encoded twice", `"{\"password\":\"hunter2\"}"`, "password", "a JSON string that holds JSON: encoded twice",
			"the object itself"},
		{"inner document in a string", `{"config":"{\"password\":\"hunter2\"}"}`, "config.password",
			"config is a string, not an object", "holds JSON in a string"},
		{"field of a number", `{"port":5432}`, "port.x", "field port is a number", "check the path"},
		{"line break in a string", "{\"key\":\"-----BEGIN\nhunter2\n-----END\"}", "key",
			"a line break inside a string at byte 19", `write \n`},
		{"tab in a string", "{\"key\":\"hunter2\t\"}", "key",
			"a control character inside a string at byte 16", `write \t`},
		{"array", `[{"password":"hunter2"}]`, "password", "the value is an array", "#0.password"},
		{"plain text", "hunter2", "password", "the value is not JSON, so it has no field", "drop the #field"},
		{"YAML", "user: app\npassword: hunter2\n", "password", "not JSON, though that name stands in it", "not YAML"},
		{"NAME=value", "db_password=hunter2", "/db_password", "not JSON, though that name", "a JSON object"},
		{"in quotes", `'{"password":"hunter2"}'`, "a.password", "not JSON, though that name", "no quotes around"},
		{"a name in a plain text", "my password hunter2", "password", "the value is not JSON, so", "drop the #field"},
		{"JSONPath", `{"password":"hunter2"}`, "$.password", "the JSON value has no field", "write name, a.b.0 or"},
		{"jq", `{"users":["hunter2"]}`, ".users[0]", "the JSON value has no field", "write name, a.b.0 or"},
		{"base64 without padding", "eyJwYXNzd29yZCI6Imh1bnRlcjIifQ", "password", "base64 text that holds JSON",
			"the JSON itself"},
		{"empty", "", "password", "the value is empty", "store a JSON object"},
		{"number", "12345", "password", "the value is a number", "drop the #field"},
		{"string", `"hunter2"`, "password", "the value is a JSON string", "drop the #field"},
		{"base64", "eyJwYXNzd29yZCI6Imh1bnRlcjIifQ==", "password", "base64 text that holds JSON", "the JSON itself"},
		{"cut short", `{"password":"hunter2`, "password", "ends too early, after 20 bytes", "whole"},
		{"more behind", `{"password":"hunter2"} x`, "password", "not JSON from byte 24 on", "nothing behind it"},
		{"comment", "{\"password\":\"hunter2\" // x\n}", "password", "not JSON from byte 23 on", "no comments"},
		{"invalid UTF-8", "{\"password\":\"hunter2\xff\"}", "password", "not UTF-8, from byte 21 on", "UTF-8"},
		{"lone surrogate", `{"password":"hunter2\ud83d"}`, "password", "half of a surrogate pair", "both halves"},
		{"missing", `{"user":"hunter2"}`, "password", "the JSON value has no field", "spelling"},
		{"option behind the field", `{"user":"hunter2"}`, "password?ttl=1m", "the JSON value has no field",
			"options stand before"},
		{"null", `{"password":null}`, "password", "is null", "store a value"},
		{"bad pointer", `{}`, "/~2", "not a key, a dotted path or a JSON Pointer", "~0 for ~"},
		{"duplicate keys", `{"a":1,"a":2}`, "a", "duplicate keys", "without duplicate"},
		{"too deep", deep, "0", "more than 64 deep", "at most 64"},
	} {
		_, err := Lookup(tc.doc, tc.path)
		if err == nil {
			t.Errorf("%s: no error", tc.name)
			continue
		}
		problem, hint := Explain(fmt.Sprintf("%q", tc.path), tc.doc, tc.path, err)
		found := false
		for want := range strings.SplitSeq(tc.hint, "|") {
			found = found || strings.Contains(hint, want)
		}
		if !strings.Contains(problem, tc.problem) || !found {
			t.Errorf("%s: %s; %s", tc.name, problem, hint)
		}
		if strings.Contains(problem+hint, "hunter2") || strings.Contains(problem+hint, "12345") {
			t.Errorf("%s: quotes the value: %s; %s", tc.name, problem, hint)
		}
	}
}

// A secret of many fields is read once, at the top and below it: read once per field, 16,000 took 20 s.
func TestIndex_ManyFields(t *testing.T) {
	t.Parallel()
	cost := func(n int, nested bool) time.Duration {
		fields := map[string]string{}
		for i := range n {
			fields[fmt.Sprintf("field-%d", i)] = strings.Repeat("v", 20)
		}
		text, prefix := Object(fields), ""
		if nested {
			outer, _ := json.Marshal(map[string]json.RawMessage{"a": json.RawMessage(text)})
			text, prefix = string(outer), "/a/"
		}
		began := time.Now()
		doc, err := Index(text)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if got, err := doc.Lookup(fmt.Sprintf("%sfield-%d", prefix, i)); err != nil || len(got) != 20 {
				t.Fatalf("%q, %v", got, err)
			}
		}
		return time.Since(began)
	}
	for _, nested := range []bool{false, true} {
		few, many := cost(1000, nested), cost(16000, nested)
		t.Logf("nested %v: 1,000 fields %v, 16,000 fields %v", nested, few, many)
		if many > 3*time.Second {
			t.Errorf("nested %v: 1,000 fields take %v, 16,000 take %v", nested, few, many)
		}
	}
}
