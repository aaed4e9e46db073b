package refsyntax

import (
	"strings"
	"testing"
)

func TestContexts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, function, want string }{
		{"none stated", "kms://AQID", "f", "none {LambdaFunctionName=f}"},
		{"none stated, no function", "kms://AQID", "", "none"},
		{"the console's", "kms://AQID?context=console", "f", "{LambdaFunctionName=f} none"},
		{"the console's, no function", "kms://AQID?context=console", "", "none"},
		{"no other", "kms://AQID?context=none", "f", "none"},
		{"pairs", "kms://AQID?context.b=2&context.a=1", "f", "{a=1, b=2}"},
		{"pairs, no function", "kms://AQID?context.a=1", "", "{a=1}"},
	} {
		r, err := Parse(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range r.Contexts(tc.function) {
			got = append(got, ShownContext(m))
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %q, want %s", tc.name, got, tc.want)
		}
	}
}

func TestIsKeyARN(t *testing.T) {
	t.Parallel()
	for arn, want := range map[string]bool{
		keyARN: true,
		"arn:aws:kms:eu-central-1:123456789012:alias/a":  false,
		"arn:aws:kms:eu-central-1:123456789012:key/":     false,
		"arn:aws:kms:eu-central-1::key/1":                false,
		"arn:aws:kms::123456789012:key/1":                false,
		"arn:aws:ssm:eu-central-1:123456789012:key/1":    false,
		"1234abcd-12ab-34cd-56ef-1234567890ab":           false,
		"arn:aws:kms:eu-central-1:123456789012":          false,
		"arn:aws-cn:kms:cn-north-1:123456789012:key/mrk": true,
	} {
		if IsKeyARN(arn) != want {
			t.Errorf("%s: %v", arn, !want)
		}
	}
}
