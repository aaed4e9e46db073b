package refsyntax

import (
	"strings"
	"testing"
)

func TestCiphertext_Contexts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, function, want string }{
		{"none stated", "kms://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB", "f", "none {LambdaFunctionName=f}"},
		{"none stated, no function", "kms://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB", "", "none"},
		{"the console's", "kms://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB?context=console", "f",
			"{LambdaFunctionName=f} none"},
		{"the console's, no function",
			"kms://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB?context=console", "", "none"},
		{"no other", "kms://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB?context=none", "f", "none"},
		{"pairs", "kms://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB?context.b=2&context.a=1", "f", "{a=1, b=2}"},
		{"pairs, no function", "kms://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB?context.a=1", "", "{a=1}"},
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
