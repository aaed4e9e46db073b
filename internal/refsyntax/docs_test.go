package refsyntax

import (
	"os"
	"strings"
	"testing"
)

// The table of options in docs/references.md says what the table of options does.
func TestDocs_Options(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/references.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		key := o.key
		if strings.HasSuffix(key, ".") {
			key += "NAME"
		}
		var schemes []string
		for _, s := range strings.Fields(o.schemes) {
			if s == SecretsManager {
				s = short
			}
			schemes = append(schemes, "`"+s+"://`")
		}
		row := "| `" + key + "` | " + strings.Join(schemes, " ") + " | " + strings.TrimPrefix(o.hint, "write ") + " |"
		if !strings.Contains(string(page), row+"\n") {
			t.Errorf("docs/references.md lacks the row\n%s", row)
		}
	}
}

// Every reference that the page shows is read.
func TestDocs_References(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/references.md")
	if err != nil {
		t.Fatal(err)
	}
	accepted, refused, _ := strings.Cut(string(page), "## What is refused")
	read := func(text string, rows bool) (texts []string) {
		for line := range strings.Lines(text) {
			cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |")
			if strings.HasPrefix(line, "| `") && ok && strings.Contains(cell, ":") == rows {
				texts = append(texts, cell)
			}
		}
		return texts
	}
	for _, text := range read(accepted, true) {
		text = strings.ReplaceAll(text, "AQICAH…", "AQICAHh4"+strings.Repeat("h4eHh4eH", 20))
		if _, err := Parse(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, rows, _ := strings.Cut(refused, "|---|")
	rows, _, _ = strings.Cut(rows, "\n\n")
	for _, text := range read(rows, true) {
		if _, err := Parse(text); err == nil || Classify(text) != Reference {
			t.Errorf("%s is read, or plain", text)
		}
	}
}
