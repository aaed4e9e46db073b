package pages

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each numbered promise of docs/design.md is cited in the comment of a test, and no test cites a number that is not
// there.
func TestDesign_PromisesAreCited(t *testing.T) {
	t.Parallel()
	promises := map[string]string{} // number → title
	heading := regexp.MustCompile(`(?m)^### (\d+)\. (.+)$`)
	for _, m := range heading.FindAllStringSubmatch(read(t, "docs/design.md"), -1) {
		promises[m[1]] = m[2]
	}
	if len(promises) < 13 {
		t.Fatalf("docs/design.md has %d promises", len(promises))
	}
	documented := regexp.MustCompile(`(?m)^((?://[^\n]*\n)+)func (?:Test|Fuzz)\w+\(`)
	citation := regexp.MustCompile(`\b[Pp]romise (\d+)`)
	cited := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, test := range documented.FindAllStringSubmatch(string(source), -1) {
			for _, m := range citation.FindAllStringSubmatch(test[1], -1) {
				if promises[m[1]] == "" {
					t.Errorf("%s: there is no promise %s", path, m[1])
				}
				cited[m[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for number, title := range promises {
		if !cited[number] {
			t.Errorf("no test cites promise %s: %s", number, title)
		}
	}
}
