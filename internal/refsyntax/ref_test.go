package refsyntax

import (
	"testing"
	"time"
)

func TestShownAndBounds(t *testing.T) {
	t.Parallel()
	const pinned = "kms://AQID"
	for _, tc := range []struct {
		name, text, shown string
		ttl, stale        time.Duration
		fixed             bool
	}{
		{"parameter", "ssm:///a", "ssm:///a", 1, 2, false},
		{"its version", "ssm:///a:3", "ssm:///a:3", 1, 2, true},
		{"its label", "ssm:///a:blue", "ssm:///a:blue", 1, 2, false},
		{"ttl", "ssm:///a?ttl=0s", "ssm:///a?ttl=0s", 0, 2, false},
		{"stale", "sm://a?stale=1m#b", "secretsmanager://a?stale=1m0s#b", 1, time.Minute, false},
		{"secret's version", "sm://a?version=" + versionID, "secretsmanager://a?version=" + versionID, 1, 2, true},
		{"secret's stage", "sm://a?stage=x", "secretsmanager://a?stage=x", 1, 2, false},
		{"ciphertext", pinned, "kms://(3 bytes)", 1, 2, true},
		{"ciphertext's field", pinned + "#a", "kms://(3 bytes)#a", 1, 2, true},
		{"ciphertext's option", pinned + "?context=none#a", "kms://(3 bytes)?context=none#a", 1, 2, true},
		{"literal", "literal://hunter2", "literal://(7 bytes)", 1, 2, true},
	} {
		r, err := Parse(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		if ttl, stale := r.Bounds(1, 2); r.Shown() != tc.shown || ttl != tc.ttl || stale != tc.stale || r.Fixed() != tc.fixed {
			t.Errorf("%s: %q, %v, %v, %v", tc.name, r.Shown(), ttl, stale, r.Fixed())
		}
	}
}

func TestUnquoted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, said, shown, unquoted string }{
		{"name and selector", "ssm://battery:staple", "no parameter/battery has staple", "ssm://(14 bytes)", "no parameter/(not shown) has (not shown)"},
		{"path", "ssm:///a/battery", "on arn:aws:ssm:eu-west-1:1:parameter/a/battery", "ssm://(10 bytes)", "on arn:aws:ssm:eu-west-1:1:parameter/(not shown)"},
		{"tree", "ssm:///battery/*", "below /battery/", "ssm://(10 bytes)", "below /(not shown)"},
		{"secret", "sm://battery", "battery-AbCdEf", "secretsmanager://(7 bytes)", "(not shown)-AbCdEf"},
		{"too short to be told apart", "sm://the", "the secret", "secretsmanager://(3 bytes)", "the secret"},
		{"ciphertext", "kms://AQID?context=none", "x", "kms://(3 bytes)?context=none", "x"},
	} {
		r, err := Parse(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		if r.Unquote(tc.said) != tc.said {
			t.Errorf("%s: unmarked, and says %s", tc.name, r.Unquote(tc.said))
		}
		r.Unquoted = true
		if r.Shown() != tc.shown || r.Unquote(tc.said) != tc.unquoted {
			t.Errorf("%s: %s, %s", tc.name, r.Shown(), r.Unquote(tc.said))
		}
	}
}
