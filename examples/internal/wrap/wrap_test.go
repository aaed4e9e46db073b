package wrap

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100)
	for _, tc := range []struct{ in, want string }{
		{"", "- \n"},
		{"a  b\nc", "- a b c\n"},
		{strings.Repeat("word ", 17), "- " + strings.Repeat("word ", 14) + "word\n  word word\n"},
		{"a " + long + " b", "- a\n  " + long + "\n  b\n"}, // a word stays whole
	} {
		if got := Text("- ", "  ", tc.in); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.in, got, tc.want)
		}
	}
}
