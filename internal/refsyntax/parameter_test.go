package refsyntax

import "testing"

func TestParameter_Names(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text, wire, base, missing, tree string
	}{
		{"name", "ssm:///app/db", "/app/db", "app/db", "Parameter Store has no such parameter", ""},
		{"bare name", "ssm://db", "db", "db", "Parameter Store has no such parameter", ""},
		{"version", "ssm:///app/db:3", "/app/db:3", "app/db",
			"Parameter Store has no such parameter, or it has no version or label 3", ""},
		{"label", "ssm:///app/db:blue", "/app/db:blue", "app/db",
			"Parameter Store has no such parameter, or it has no version or label blue", ""},
		{"ARN", "ssm://" + ssmARN + ":blue", ssmARN + ":blue", "app/db",
			"Parameter Store has no such parameter, or it has no version or label blue", ""},
		{"tree", "ssm:///app/*", "/app/*", "app/*", "Parameter Store has no such parameter", "/app/"},
	} {
		r, err := Parse(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		if r.WireName() != tc.wire || BaseName(r.ID) != tc.base || r.Missing() != tc.missing || r.Tree() != tc.tree {
			t.Errorf("%s: %q, %q, %q, %q", tc.name, r.WireName(), BaseName(r.ID), r.Missing(), r.Tree())
		}
	}
}

// Answers are told apart by name, selector, version and ARN, in all the shapes that endpoints give them.
func TestAnsweredBy_Shapes(t *testing.T) {
	t.Parallel()
	const theirs = "arn:aws:ssm:eu-west-1:999999999999:parameter/app/db"
	const secret = "/aws/reference/secretsmanager/s"
	for _, tc := range []struct {
		name, text, as, arn, selector string
		version                       int64
		secret                        bool // a SourceResult came along
		want                          bool
	}{
		{"name", "ssm:///app/db", "/app/db", ssmARN, "", 3, false, true},
		{"another name", "ssm:///app/db", "/app/dc", "", "", 3, false, false},
		{"no name", "ssm:///app/db", "", "", "", 3, false, false},
		{"version, echoed", "ssm:///app/db:3", "/app/db", "", ":3", 3, false, true},
		{"version, not echoed", "ssm:///app/db:3", "/app/db", "", "", 3, false, true},
		{"version, no number", "ssm:///app/db:3", "/app/db", "", ":3", 0, false, true},
		{"another version", "ssm:///app/db:3", "/app/db", "", "", 4, false, false},
		{"another selector", "ssm:///app/db:3", "/app/db", "", ":blue", 3, false, false},
		{"label", "ssm:///app/db:blue", "/app/db", "", ":blue", 7, false, true},
		{"label, not echoed", "ssm:///app/db:blue", "/app/db", "", "", 7, false, true},
		{"a selector that nobody asked for", "ssm:///app/db", "/app/db", "", ":blue", 7, false, false},
		{"ARN", "ssm://" + ssmARN, "/app/db", ssmARN, "", 1, false, true},
		{"another account's", "ssm://" + theirs, "/app/db", theirs, "", 1, false, true},
		{"another account's, under its ARN", "ssm://" + theirs, theirs, theirs, "", 1, false, true},
		{"another account's, under another name", "ssm://" + theirs, "?", theirs, "", 1, false, true},
		{"ours instead of theirs", "ssm://" + theirs, "/app/db", ssmARN, "", 1, false, false},
		{"secret", "ssm://" + secret, secret, "", "", 0, false, true},
		{"secret, its stage named", "ssm://" + secret, secret, "", ":AWSCURRENT", 0, false, true},
		{"secret, another stage", "ssm://" + secret, secret, "", ":AWSPREVIOUS", 0, false, false},
		{"selector behind the name", "ssm:///app/db:3", "/app/db:3", "", "", 3, false, true},
		{"another one behind the name", "ssm:///app/db:3", "/app/db:4", "", "", 4, false, false},
		{"one that nobody asked for behind the name", "ssm:///app/db", "/app/db:4", "", "", 4, false, false},
		{"selector behind the ARN", "ssm://" + ssmARN + ":3", "/app/db", ssmARN + ":3", ":3", 3, false, true},
		{"secret under its own name", "ssm://" + secret, "s", "", "", 0, true, true},
		{"secret by version id under its own name", "ssm://" + secret + ":00000000-0000-4000-8000-000000000001", "s",
			"", "", 1, true, true},
		{"another secret", "ssm://" + secret, "t", "", "", 0, true, false},
		{"a secret of the parameter's name", "ssm://s", "s", "", "", 0, true, false},
		{"a parameter of the secret's name", "ssm://" + secret, "s", "", "", 1, false, false},
		{"secret, the stage not asked for", "ssm://" + secret + ":AWSPREVIOUS", secret, "", ":AWSCURRENT",
			0, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := Parse(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.AnsweredBy(Answer{tc.as, tc.arn, tc.selector, tc.version, tc.secret}); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
