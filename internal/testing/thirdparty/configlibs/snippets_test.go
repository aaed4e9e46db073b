package configlibs

import (
	"testing"

	// For snippets only.
	_ "github.com/aws/aws-lambda-go/lambda"
	_ "github.com/jackc/pgx/v5/pgxpool"

	"github.com/lambdasecrets/secrets/internal/testing/snippets"
)

// TestDocumentation checks the snippets of README.md and docs/ with the libraries that this module requires, so that none is left out.
func TestDocumentation(t *testing.T) {
	all, err := snippets.Extract("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	skipped, err := snippets.Check(".", all)
	if err != nil {
		t.Error(err)
	}
	for _, s := range skipped {
		t.Errorf("%s imports a package that no module here requires: add it to internal/testing/thirdparty/go.mod", s.Place)
	}
}
