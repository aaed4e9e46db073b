package secrets_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A build tag leaves a backend out together with its SDK package, which is neither linked nor initialised then; a
// reference to it says which tag it was. Without tags all three are there.
func TestBuildTags_LeaveBackendOut(t *testing.T) {
	t.Parallel()
	backends := []struct {
		tag, service, ref string
	}{{"secrets.nokms", "kms", "kms://AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"},
		{"secrets.nossm", "ssm", "ssm:///a"}, {"secrets.nosm", "secretsmanager", "sm://a"}}
	for _, tags := range []string{"", "secrets.nokms", "secrets.nossm", "secrets.nosm",
		"secrets.nokms,secrets.nossm,secrets.nosm"} {
		t.Run("tags="+tags, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "leftout")
			if out, err := exec.Command("go", "build", "-tags", tags, "-o", program,
				"./testdata/leftout").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			// The linker keeps the name of every function that it links.
			symbols, err := exec.Command("go", "tool", "nm", program).Output()
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range backends {
				out := strings.Contains(tags, b.tag)
				pkg := "github.com/aws/aws-sdk-go-v2/service/" + b.service
				if linked := bytes.Contains(symbols, []byte(" "+pkg+".")); linked == out {
					t.Errorf("%s is linked: %v", pkg, linked)
				}
				if !out {
					continue // it would be asked for
				}
				cmd := exec.Command(program, b.ref)
				cmd.Env = append(cmd.Environ(), "GODEBUG=inittrace=1")
				said, err := cmd.CombinedOutput()
				if err != nil || bytes.Contains(said, []byte("init "+pkg+" ")) ||
					!bytes.Contains(said, []byte("init ")) {
					t.Errorf("%v, or it initialises %s: %s", err, pkg, said)
				}
				if want := fmt.Sprintf("%s references are left out of this binary", b.service); !bytes.Contains(said,
					[]byte(want)) || !bytes.Contains(said, []byte("build without -tags "+b.tag)) {
					t.Errorf("it says %s, want %q and the tag", said, want)
				}
			}
		})
	}
}
