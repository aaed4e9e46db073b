package tasks

import (
	"os"
	"strings"
	"testing"
)

// What an operator has to do, and where it is answered.
var operator = []struct{ task, page, heading, answer string }{
	{
		"write the least policy of a function, from its environment or template",
		"docs/operations.md", "## When something is wrong",
		"`go run github.com/lambdasecrets/secrets/examples/policy -region",
	},
	{
		"find in the log which action on which resource a role lacks",
		"docs/operations.md", "## When something is wrong", "Read `error` of the newest `secrets.denied`",
	},
	{
		"be told when an old value is served, and when none is left",
		"docs/operations.md", "## Metric filters", `{ $.msg = "secrets.stale" }`,
	},
	{
		"know how long a function uses a revoked secret, and shorten it",
		"README.md", "## Guarantees", "TTL + grace, 10 minutes",
	},
	{
		"know what 200 functions cost a month",
		"docs/scale.md", "## Cost", "| 200 | 2 |",
	},
	{
		"run in a VPC without a way to the internet",
		"docs/lambda.md", "## VPC", "interface endpoints for the services that its references name",
	},
	{
		"check before a deployment that every reference exists and may be read",
		"docs/operations.md", "## When something is wrong", "examples/verify@latest -json",
	},
	{
		"keep a function from a swapped reference and from a foreign key",
		"docs/threat-model.md", "", "`WithKMSKeys`",
	},
	{
		"read a secret of another account",
		"docs/operations.md", "## Secrets of another account", "The policy of its key",
	},
	{
		"roll out to 200 functions, and go back",
		"docs/operations.md", "## Rolling out to many functions", "A canary",
	},
}

// Each task of an operator is answered where a reader found it.
func TestOperator(t *testing.T) {
	t.Parallel()
	for _, task := range operator {
		text, err := os.ReadFile("../../../../" + task.page)
		if err != nil {
			t.Fatal(err)
		}
		_, section, found := strings.Cut("\n"+string(text), "\n"+task.heading)
		if task.heading != "" {
			section, _, _ = strings.Cut(section, "\n## ")
		}
		if !found || !strings.Contains(section, task.answer) {
			t.Errorf("%s: %s %q does not say %q", task.task, task.page, task.heading, task.answer)
		}
	}
}
