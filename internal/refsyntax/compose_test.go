package refsyntax

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

const (
	dsn = "postgres://{{sm://prod/db#username}}:{{sm://prod/db#password}}@" +
		"{{sm://prod/db#host}}:{{sm://prod/db#port}}/{{sm://prod/db#dbname}}"
	other = "app:{{ sm://prod/db#password }}@tcp(db.example.com:3306)/orders?parseTime=true"
)

func TestCompose_Cases(t *testing.T) {
	t.Parallel()
	want := map[string]string{ // text → its canonical text, or what the error says
		"postgres://app:{{sm://prod/db#password}}@db.example.com:5432/orders": "",
		dsn:                              "",
		"Bearer {{sm://prod/api#token}}": "",
		other: "app:{{sm://prod/db#password}}@" +
			"tcp(db.example.com:3306)/orders?parseTime=true",
		"postgres://app:{{sm://prod/db#password}}@db/{{ssm:///app/dbname}}": "! two sources stand in one text",
		"postgres://app:${sm://prod/db#password}@db/orders": "! CloudFormation's Sub, Terraform, " +
			"Serverless, compose and shells: write {{sm://prod/db#password}}",
		"postgres://app:sm://prod/db#password@db.example.com:5432/orders": "! write {{sm://prod/db#password}}, " +
			"the reference in double braces",
		"user=app password=ssm:///app/pw":             "! write {{ssm:///app/pw}}",
		"Server=x;Password=ssm:///p;":                 "! write {{ssm:///p}}",
		"sm://prod/db#password,sm://prod/db#username": "! two references",
		"sm://a sm://b":                               "! two references",
		"postgres://app:{{resolve:secretsmanager:prod/db:SecretString:password}}@db/x": "! CloudFormation",
		"{{ .Values.password }}": "plain",
	}
	for _, line := range caseLines(t, "composed.tsv") {
		text, _, _ := strings.Cut(line, "\t")
		w, known := want[text]
		says, refused := strings.CutPrefix(w, "! ")
		switch {
		case !known:
			t.Errorf("%q: the test does not know what becomes of it", text)
		case w == "plain":
			if Classify(text) != Plain {
				t.Errorf("%q is not plain", text)
			}
		case refused:
			checkRefused(t, text, says)
		default:
			if w == "" {
				w = text
			}
			r, err := Parse(text)
			if err != nil || r.Text() != w || Classify(text) != Reference {
				t.Errorf("%q is read as %q, %v, want %q", text, r.Text(), err, w)
				continue
			}
			checkRoundTrip(t, r)
		}
	}
}

func TestCompose_Fill(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, canonical, shown, filled string }{
		{"nothing but a reference", "{{ sm://a#b }}", "sm://a#b", "sm://a#b", ""},
		{"bounds of the first", "{{sm://a?ttl=1m#u}}:{{sm://a?optional#p}}",
			"{{sm://a?ttl=1m0s&optional#u}}:{{sm://a#p}}",
			"{{sm://a?ttl=1m0s&optional#u}}…{{sm://a#p}}", "<#u>:<#p>"},
		{"whole value", "x={{ssm:///a:3}}", "x={{ssm:///a:3}}", "…{{ssm:///a:3}}", "x=<>"},
		{"base64", "x={{ssm:///a?decode=base64#k}}", "x={{ssm:///a?decode=base64#k}}", "…{{ssm:///a?decode=base64#k}}",
			"x=<base64#k>"},
		{"ciphertext", "x={{kms://" + b64 + "#k}}", "x={{kms://" + b64 + "#k}}", "…{{kms://(33 bytes)#k}}", "x=<#k>"},
		{"foreign braces", "{{ .X }}{{#if}}{{sm://a}}", "{{ .X }}{{#if}}{{sm://a}}", "…{{sm://a}}",
			"{{ .X }}{{#if}}<>"},
		{"URL", "a+b://{{sm://a#u}}:x@h", "a+b://{{sm://a#u}}:x@h", "…{{sm://a#u}}…", "a+b://%3C%23u%3E:x@h"},
		{"JDBC", "jdbc:mysql://h?user={{sm://a#u}}", "jdbc:mysql://h?user={{sm://a#u}}", "…{{sm://a#u}}",
			"jdbc:mysql://h?user=%3C%23u%3E"},
		{"no URL", "x ://{{sm://a#u}}", "x ://{{sm://a#u}}", "…{{sm://a#u}}", "x ://<#u>"},
	} {
		r, err := Parse(tc.text)
		if err != nil || r.Text() != tc.canonical || r.Shown() != tc.shown {
			t.Errorf("%s: %q, %q, %v", tc.name, r.Text(), r.Shown(), err)
			continue
		}
		checkRoundTrip(t, r)
		if r.Template == nil {
			continue
		}
		got, err := r.Fill(func(p Part) (string, error) { return "<" + strings.Trim(p.template(), mark) + ">", nil })
		if err != nil || got != tc.filled {
			t.Errorf("%s: filled with %q, %v", tc.name, got, err)
		}
	}
}

// A declared variable may hold a plaintext by mistake: no part of its text is shown.
func TestCompose_Unquoted(t *testing.T) {
	t.Parallel()
	r, err := Parse("u={{sm://battery#u}} p={{sm://battery#p}}")
	if err != nil {
		t.Fatal(err)
	}
	r.Unquoted = true
	if want := "…{{sm://(7 bytes)}}…{{sm://(7 bytes)}}"; r.Shown() != want {
		t.Errorf("%s, want %s", r.Shown(), want)
	}
}

func TestCompose_Errors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{{sm://a#b":                                 "not closed",
		"{{sm://a#scheme}}://h":                      "write the scheme of the URL as text",
		"{{sm://a#b}} sm://a#c":                      "outside the double braces",
		"{{sm://a#b}}\x00":                           "NUL",
		"x{{literal://a}}":                           "literal",
		"{{sm://a?ttl=1m#b}}{{sm://a?ttl=2m#c}}":     "two bounds",
		"{{sm://a?stale=1h#b}}{{sm://a?stale=2h#c}}": "two bounds",
		"x{{ssm:/a}}":                                "write ssm:///a",
		"x{{SM://a}}":                                "write sm://a",
		"x{{kms://alias/a}}":                         "names a KMS key",
		"{{sm://a#b}}{{resolve:ssm:x}}":              "outside the double braces",
	} {
		checkRefused(t, text, want)
	}
}

func TestCompose_InCode(t *testing.T) {
	t.Parallel()
	r, err := Secret("prod/db")
	if err == nil {
		r, err = r.With("text", "postgres://{{#username}}:{{ ?decode=base64#password }}@h/{{}}")
	}
	const want = "postgres://{{sm://prod/db#username}}:{{sm://prod/db?decode=base64#password}}@h/{{sm://prod/db}}"
	if err != nil || r.Text() != want {
		t.Errorf("%q, %v, want %q", r.Text(), err, want)
	}
	for _, text := range []string{"no part", "{{#a", "{{#}}", "{{a}}", "{{?ttl=1m}}", "{{}}\x00", "{{#a}} ssm:///b"} {
		if r, err := r.With("text", text); err == nil || r != (Ref{}) {
			t.Errorf("%q becomes %q", text, r.Text())
		}
	}
	if r, err := r.With("decode", "base64"); err == nil {
		t.Errorf("a composed text is decoded as a whole: %q", r.Text())
	}
	if r, err := r.With("field", "a"); err != nil || r.Text() != "sm://prod/db#a" {
		t.Errorf("a field in place of the text: %q, %v", r.Text(), err)
	}
}

// Every byte of a password survives the parser of Go's URLs.
func TestFill_URL(t *testing.T) {
	t.Parallel()
	var every strings.Builder
	for c := range 256 {
		every.WriteByte(byte(c))
	}
	r, err := Parse("postgres://{{sm://a#u}}:{{sm://a#p}}@h:5432/{{sm://a#d}}?x={{sm://a#q}}")
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{every.String(), "p@ss/w%rd", "%41", "a b+c", "é"} {
		text, err := r.Fill(func(Part) (string, error) { return password, nil })
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := u.User.Password()
		if u.User.Username() != password || got != password || u.Path != "/"+password ||
			u.Query().Get("x") != password {
			t.Errorf("%q becomes %q", password, text)
		}
	}
	if _, err := r.Fill(func(p Part) (string, error) { return "", errors.New(p.Field) }); err == nil ||
		err.Error() != "u" {
		t.Errorf("error %v, want that of the first part", err)
	}
}
