package refsyntax

import (
	"strings"
	"testing"
)

// secret stands for what no error may hold. It is well-formed base64, and a well-formed name.
const secret = "hunter2Q9zX8w7v6"

// checkRoundTrip checks that r has one text, which means r and nothing else.
func checkRoundTrip(t *testing.T, r Ref) {
	t.Helper()
	text := r.Text()
	again, err := Parse(text)
	if err != nil || again != r {
		t.Fatalf("Parse(%q)\n got %+v, %v\nwant %+v", text, again, err, r)
	}
	if !Begins(text) {
		t.Fatalf("Begins(%q) = false", text)
	}
	if pairs := r.EncryptionContext(); pairs != nil && contextText(pairs) != r.Context {
		t.Fatalf("context %q becomes %q", r.Context, contextText(pairs))
	}
}

func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err == nil {
			checkRoundTrip(t, r)
			if !Begins(text) {
				t.Fatal("Parse reads what Begins takes for a plain value")
			}
		} else if r != (Ref{}) {
			t.Fatalf("a Ref beside the error: %+v", r)
		}
		// The same text behind a ciphertext, or a literal that is malformed.
		for _, prefix := range []string{"kms://", "KMS://", " kms://", `"kms:/`, "Literal://", "literal:/"} {
			if _, err := Parse(prefix + secret + text); err != nil && strings.Contains(err.Error(), secret) {
				t.Fatalf("error quotes a secret: %v", err)
			}
		}
	})
}

func FuzzBare(f *testing.F) {
	f.Fuzz(func(t *testing.T, scheme, before, after string) {
		for _, text := range []string{before + after, before + secret + after} {
			r, err := Bare(scheme, text)
			if err == nil {
				checkRoundTrip(t, r)
				if r.Scheme != scheme {
					t.Fatalf("scheme %q, declared %q", r.Scheme, scheme)
				}
			} else if r != (Ref{}) || strings.Contains(err.Error(), secret) {
				t.Fatalf("error quotes the text, or comes with a Ref: %v", err)
			}
		}
	})
}

// FuzzConstructors checks that untrusted text becomes the ID as it is, or nothing.
func FuzzConstructors(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		for scheme, build := range map[string]func(string) (Ref, error){SSM: Parameter, SecretsManager: Secret} {
			r, err := build(text)
			if err != nil {
				continue
			}
			checkRoundTrip(t, r)
			if r != (Ref{Scheme: scheme, ID: text, Region: r.arnRegion()}) || strings.ContainsAny(text, "*?#") {
				t.Fatalf("%q becomes %+v", text, r)
			}
		}
	})
}

func FuzzWith(f *testing.F) {
	f.Fuzz(func(t *testing.T, text, key, value string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		r, err = r.With(key, value)
		if err == nil {
			checkRoundTrip(t, r)
		} else if r != (Ref{}) {
			t.Fatalf("a Ref beside the error: %+v", r)
		}
	})
}

// FuzzClassify checks the one rule: what Parse reads is no plain text, and what the error of a
// refused text says to write is read.
func FuzzClassify(f *testing.F) {
	for _, text := range []string{
		"postgres://a:${ssm:/a}@h", "${ssm(eu-west-1):/a}", "{{sm://a#b}}:{{sm://a#c}}", "ref+awssecrets://a#/b",
		`"` + ssmARN + `"`,
		"{{resolve:ssm:/a}}x", "smm://a", "SSM:a/b", "sm://a # b", "x={{ssm:///a?decode=base64#k}}", "sm://a##b",
		"ssm%3A%2F%2Fa", "aws:kms:AQICAHh",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if Classify(text) != Reference {
			if err == nil {
				t.Fatalf("%q is taken for plain, and read as %s", text, r.Shown())
			}
			return
		}
		if err == nil {
			checkRoundTrip(t, r)
			return
		}
		if e := err.(*Error); e.instead != "" {
			if _, err := Parse(e.instead); err != nil {
				t.Fatalf("%q: %v, and %q is not read: %v", text, e, e.instead, err)
			}
		}
	})
}
