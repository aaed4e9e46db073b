package pages

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the regions into the pages")

const root = "../../../.."

var (
	block  = regexp.MustCompile("(?ms)^(?:<!-- go: ([^\n]*) -->\n)?```go\n(.*?)^```$")
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	title  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fenced = regexp.MustCompile("(?ms)^```.*?^```$")
)

// markdown returns the Markdown files of the repository that users read.
func markdown(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	if len(names) < 10 {
		t.Fatalf("found %v", names)
	}
	return names
}

// Every block of Go in a page is a region of a file that compiles.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, name := range markdown(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		updated := block.ReplaceAllStringFunc(string(text), func(old string) string {
			m := block.FindStringSubmatch(old)
			if m[1] == "" {
				t.Errorf("%s: a block of Go has no <!-- go: FILE REGION --> before it:\n%s", name, m[2])
				return old
			}
			want, err := region(m[1])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return old
			}
			if m[2] != want && !*update {
				t.Errorf(
					"%s: the block is not what %s says; go test ./pages -update writes it:\n%s",
					name,
					m[1],
					want,
				)
			}
			return "<!-- go: " + m[1] + " -->\n```go\n" + want + "```"
		})
		if *update && updated != string(text) {
			if err := os.WriteFile(name, []byte(updated), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// region returns the lines of a region, which is named "FILE REGION", or of the whole FILE.
func region(which string) (string, error) {
	name, wanted, part := strings.Cut(which, " ")
	text, err := os.ReadFile(name)
	if err != nil || !part {
		return string(text), err
	}
	var lines []string
	found, inside := false, false
	for line := range strings.Lines(string(text)) {
		switch bare := strings.TrimSpace(line); {
		case bare == "// region: "+wanted:
			found, inside = true, true
		case bare == "// endregion":
			inside = false
		case inside:
			lines = append(lines, line)
		}
	}
	if !found {
		return "", fmt.Errorf("%s has no region %q", name, wanted)
	}
	return dedent(lines), nil
}

// dedent removes blank lines around lines, and the tabs that all of them begin with.
func dedent(lines []string) string {
	text := strings.Trim(strings.Join(lines, ""), "\n") + "\n"
	for text != "\n" {
		var shorter strings.Builder
		for line := range strings.Lines(text) {
			rest, indented := strings.CutPrefix(line, "\t")
			if !indented && line != "\n" {
				return text
			}
			shorter.WriteString(rest)
		}
		text = shorter.String()
	}
	return text
}

// Every link of a page to a file, or to a heading, leads there.
func TestLinks(t *testing.T) {
	t.Parallel()
	anchors := map[string]map[string]bool{}
	for _, name := range markdown(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		anchors[name] = map[string]bool{}
		for _, m := range title.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
			anchors[name][anchor(m[1])] = true
		}
	}
	for name := range anchors {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, heading, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", name, m[1])
			} else if heading != "" && !anchors[target][heading] {
				t.Errorf("%s: the link %s leads to no heading", name, m[1])
			}
		}
	}
}

// anchor is how GitHub names a heading.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ' || r == '-':
			b.WriteByte('-')
		case r == '_', r >= 'a' && r <= 'z', r >= '0' && r <= '9', r > 0x7f && r != '…':
			b.WriteRune(r)
		}
	}
	return b.String()
}
