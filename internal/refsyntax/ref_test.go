package refsyntax

import (
	"testing"
	"time"
)

func TestRef_ShownAndBounds(t *testing.T) {
	t.Parallel()
	const pinned = "kms://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
	for _, tc := range []struct {
		name, text, shown string
		ttl, stale        time.Duration
		fixed             bool
	}{
		{"parameter", "ssm:///a", "ssm:///a", 1, 2, false},
		{"its version", "ssm:///a:3", "ssm:///a:3", 1, 2, true},
		{"its label", "ssm:///a:blue", "ssm:///a:blue", 1, 2, false},
		{"ttl", "ssm:///a?ttl=0s", "ssm:///a?ttl=0s", 0, 2, false},
		{"stale", "sm://a?stale=1m#b", "sm://a?stale=1m0s#b", 1, time.Minute, false},
		{"secret's version", "sm://a?version=" + versionID, "sm://a?version=" + versionID, 1, 2, true},
		{"secret's stage", "sm://a?stage=x", "sm://a?stage=x", 1, 2, false},
		{"ciphertext", pinned, "kms://(33 bytes)", 1, 2, true},
		{"ciphertext's field", pinned + "#a", "kms://(33 bytes)#a", 1, 2, true},
		{"ciphertext's option", pinned + "?context=none#a", "kms://(33 bytes)?context=none#a", 1, 2, true},
		{"literal", "literal://hunter2", "literal://(7 bytes)", 1, 2, true},
	} {
		r, err := Parse(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		if ttl, stale := r.Bounds(1, 2); r.Shown() != tc.shown || ttl != tc.ttl || stale != tc.stale ||
			r.Fixed() != tc.fixed {
			t.Errorf("%s: %q, %v, %v, %v", tc.name, r.Shown(), ttl, stale, r.Fixed())
		}
	}
}

func TestRef_Unquoted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, said, shown, unquoted string }{
		{"name and selector", "ssm://battery:staple", "no parameter/battery has staple", "ssm://(14 bytes)",
			"no parameter/(not shown) has (not shown)"},
		{"path", "ssm:///a/battery", "on arn:aws:ssm:eu-west-1:1:parameter/a/battery", "ssm://(10 bytes)",
			"on arn:aws:ssm:eu-west-1:1:parameter/(not shown)"},
		{"tree", "ssm:///battery/*", "below /battery/", "ssm://(10 bytes)", "below /(not shown)"},
		{"secret", "sm://battery", "battery-AbCdEf", "sm://(7 bytes)", "(not shown)-AbCdEf"},
		{"too short to be told apart", "sm://the", "the secret", "sm://(3 bytes)", "the secret"},
		{"ciphertext", "kms://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB?context=none", "x",
			"kms://(33 bytes)?context=none", "x"},
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

func TestRef_IsOf(t *testing.T) {
	t.Parallel()
	const partial = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db"
	for _, tc := range []struct {
		name, id, as, arn string
		want              bool
	}{
		{"name", "prod/db", "prod/db", secretARN, true},
		{"another name", "prod/db", "prod/dc", secretARN, false},
		{"a name is no ARN", "prod/db", "", "prod/db", false},
		{"ARN", secretARN, "prod/db", secretARN, true},
		{"partial ARN", partial, "prod/db", secretARN, true},
		{"a longer name", partial, "prod/db-1-AbCdEf", partial + "-1-AbCdEf", false},
		{"another ARN", secretARN, "prod/db", partial + "-GhIjKl", false},
	} {
		r, err := Secret(tc.id)
		if err != nil {
			t.Fatal(err)
		}
		if r.IsOf(tc.as, tc.arn) != tc.want {
			t.Errorf("%s: %v", tc.name, !tc.want)
		}
		if r.Another(tc.as, tc.arn) == tc.want || r.Another("", "") {
			t.Errorf("%s: another: %v, %v", tc.name, tc.want, r.Another("", ""))
		}
	}
}
