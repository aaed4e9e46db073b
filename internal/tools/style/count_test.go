package main

import (
	"os"
	"path/filepath"
	"testing"
)

const source = `package p

// f has a comment of
// two lines.
func f(a, b, c bool) bool {
	if a && (b || !c) { // three terms, and two decisions more than none
		return true
	}
	return a && b
}
`

func TestFigures_Count(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cache.go")
	if err := os.WriteFile(name, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := parse(name)
	if err != nil {
		t.Fatal(err)
	}
	f.name = "cache.go"
	files := []*file{f}
	width := widths(files)
	for _, c := range []struct {
		got  figure
		want string
	}{
		{width[0], "72"}, // the longest of nine lines is also their 95th percentile
		{width[1], "72"},
		{testWidth(files), "72"},
		{lengths(files), "6"},
		{cyclomatics(files), "5"}, // one, an if, two && and an ||
		{conditions(files), "1"},
		{comments(files)[0], "33.3 %"},
		{comments(files)[1], "none"},
	} {
		if c.got.measured != c.want {
			t.Errorf("%s: measured %s, want %s", c.got.name, c.got.measured, c.want)
		}
	}
	if f := comments(files)[1]; f.ok {
		t.Errorf("%s is ok without the file", f.name)
	}
}
