package refsyntax

import "testing"

func TestIsOf(t *testing.T) {
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
