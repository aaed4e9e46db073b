package performance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	page    = "../../../docs/performance.md"
	samples = "../../../docs/performance.json"
)

// The tables of the page are those of the samples: .ci/bench -write rewrites both.
func TestPage_TablesAreMadeFromTheSamples(t *testing.T) {
	t.Parallel()
	r, err := Read(samples)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want, err := r.Page(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if want != string(text) {
		t.Error("docs/performance.md has other tables than docs/performance.json")
	}
	for name, table := range tables {
		if !strings.Contains(want, "<!-- table "+name+" -->") {
			t.Errorf("the page lacks the table %q", name)
		}
		if strings.Count(table.text(r), "\n") < 3 {
			t.Errorf("the samples lack the table %q", name)
		}
	}
}

func TestReport_Parse(t *testing.T) {
	t.Parallel()
	r, err := Parse(strings.NewReader(`goos: linux
BenchmarkCold/net=tls/refs=1/how=floor-2 1 20 ns/op 5 conns
# a comment
BenchmarkCold/net=tls/refs=1/how=floor-2 1 10 ns/op 5 conns
BenchmarkCold/net=tls/refs=1/how=secrets-2 1 45 ns/op 5 conns
BenchmarkSize/arch=amd64/how=none 1 6000000 bytes
`), "here")
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := r.Median("Cold/net=tls/refs=1/how=floor", "ns/op"); m != 15 || !ok {
		t.Errorf("median %v", m)
	}
	if got := r.Ratios("Cold/net=tls/refs=1/how=secrets", "ns/op"); len(got) != 1 || got[0] != 3 {
		t.Errorf("ratios %v", got)
	}
	if _, ok := r.Median("Size/arch=amd64/how=none", "bytes"); !ok {
		t.Error("a name without processors is lost")
	}
	path := filepath.Join(t.TempDir(), "samples.json")
	if err := r.Write(path); err != nil {
		t.Fatal(err)
	}
	again, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := Parse(strings.NewReader("BenchmarkCold/net=http/refs=1/how=floor-2 1 7 ns/op\n"), "there")
	if err != nil {
		t.Fatal(err)
	}
	again.Update(newer)
	if len(again.Samples) != 2 || again.Machine["Cold"] != "there" || again.Machine["Size"] != "here" {
		t.Errorf("after an update: %v", again)
	}
}

func TestReport_GrowthIsComparedToTheFewestItems(t *testing.T) {
	t.Parallel()
	r, err := Parse(strings.NewReader(`BenchmarkGrowth/what=warm/n=5000/how=secrets-2 1 30 cpu-ns/item
BenchmarkGrowth/what=warm/n=50/how=secrets-2 1 20 cpu-ns/item
BenchmarkGrowth/what=warm/n=50/how=secrets@before-2 1 1 cpu-ns/item
`), "here")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Ratios("Growth/what=warm/n=5000/how=secrets", "cpu-ns/item"); len(got) != 1 || got[0] != 1.5 {
		t.Errorf("ratios %v", got)
	}
}
