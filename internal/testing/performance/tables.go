package performance

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A table is one of docs/performance.md. Its place there is between the lines
// <!-- table NAME --> and <!-- end -->.
type table struct {
	head    string // of the first column
	rows    []line
	columns []column
}

// A line is a row: the words that the reader sees, and what stands for % in the names of the
// columns' benchmarks.
type line struct{ words, how string }

type column struct {
	head, benchmark, unit string
	format                func(float64) string
	ratio                 bool // to the first row too
	difference            bool // to the row bare-sdk, instead
}

func milliseconds(v float64) string { return strconv.FormatFloat(v/1e6, 'f', 1, 64) + " ms" }
func microseconds(v float64) string { return strconv.FormatFloat(v/1e3, 'f', 0, 64) + " µs" }
func nanoseconds(v float64) string  { return strconv.FormatFloat(v, 'f', 1, 64) }
func kilobytes(v float64) string    { return strconv.FormatFloat(v/1e3, 'f', 0, 64) + " kB" }
func millions(v float64) string     { return strconv.FormatFloat(v/1e6, 'f', 1, 64) + " M" }
func ratio(v float64) string        { return strconv.FormatFloat(v, 'f', 2, 64) }

func whole(v float64) string {
	text := strconv.FormatFloat(v, 'f', 0, 64)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

var (
	coldRows = []line{
		{"floor: one call", "floor"}, {"library", "secrets"}, {"library, batch", "secrets-batch"},
		{"library at `c26e5a2`", "secrets@before"},
		{"library at `c26e5a2`, batch", "secrets-batch@before"},
		{"SDK by hand, batched", "sdk-batched"}, {"SDK by hand, parallel", "sdk-parallel"},
		{"SDK, one after the other", "sdk-serial"}, {"gocloud.dev runtimevar", "gocloud-runtimevar"},
		{"helmfile/vals", "vals"},
	}
	startRows = []line{
		{"SDK by hand, batched", "sdk-batched"}, {"library, batch", "secrets-batch"}, {"library", "secrets"},
		{"library at `c26e5a2`, batch", "secrets-batch@before"}, {"library at `c26e5a2`", "secrets@before"},
		{"SDK by hand, parallel", "sdk-parallel"}, {"SDK, one after the other", "sdk-serial"},
		{"bare SDK clients, nothing resolved", "bare-sdk"}, {"no secrets, no SDK", "none"},
	}
	readRows = []line{
		{"floor", "floor"}, {"floor, behind a method", "floor-method"}, {"library: `Get`", "secrets"},
		{"library: `Snapshot.Get`", "secrets-snapshot"}, {"library at `c26e5a2`: `Get`", "secrets@before"},
		{"library at `c26e5a2`: `Snapshot.Get`", "secrets-snapshot@before"},
		{"`aws.CredentialsCache`", "aws.CredentialsCache"}, {"otter v2", "otter"},
		{"mutex, map and time to live by hand", "sdk-map"},
		{"gocloud.dev runtimevar (a goroutine per variable; no name)", "gocloud-runtimevar"},
		{"aws-secretsmanager-caching-go", "caching-go"},
	}
	refreshRows = []line{
		{"floor: one call, fresh client", "floor"}, {"library", "secrets"}, {"library, batch", "secrets-batch"},
		{"mutex, map and time to live by hand", "sdk-map"}, {"aws-secretsmanager-caching-go", "caching-go"},
	}
	sizeRows = []line{
		{"none", "none"}, {"bare SDK clients", "bare-sdk"}, {"hand-written", "hand-written"},
		{"library", "secrets"}, {"library, without the option of the batch", "secrets-single"},
		{"library at `c26e5a2`", "secrets@before"},
		{"library, `secrets.nokms`", "secrets-nokms"}, {"library, `secrets.nossm`", "secrets-nossm"},
		{"library, `secrets.nosm`", "secrets-nosm"}, {"library, all three", "secrets-no-backend"},
	}
	growthRows = []line{
		{"`New`", "launch"}, {"`Warm`", "warm"}, {"`Warm`, fields of one secret", "warm-fields"},
		{"`Snapshot`", "snapshot"}, {"`Refresh`", "refresh"}, {"`Refs`", "refs"},
	}
)

// tables are all of them.
var tables = map[string]table{
	"cold http": coldTable("http"),
	"cold tls":  coldTable("tls"),
	"start": {"exec to first `/next`", startRows, []column{
		{head: "HTTP, whole machine", format: milliseconds, ratio: true,
			benchmark: "Start/net=http/mb=all/how=%", unit: "ns/op"},
		{head: "processor", format: milliseconds,
			benchmark: "Start/net=http/mb=all/how=%", unit: "cpu-ns/op"},
		{head: "TLS, whole machine", format: milliseconds, ratio: true,
			benchmark: "Start/net=tls/mb=all/how=%", unit: "ns/op"},
		{head: "processor", format: milliseconds,
			benchmark: "Start/net=tls/mb=all/how=%", unit: "cpu-ns/op"},
		{head: "TLS, 0.25 of a core", format: milliseconds, ratio: true,
			benchmark: "Start/net=tls/mb=442/how=%", unit: "ns/op"},
		{head: "TLS, 0.07 of a core", format: milliseconds, ratio: true,
			benchmark: "Start/net=tls/mb=128/how=%", unit: "ns/op"},
		{head: "processor", format: milliseconds,
			benchmark: "Start/net=tls/mb=128/how=%", unit: "cpu-ns/op"},
	}},
	"first": {"first round inside an invocation, TLS", startRows[:7], []column{
		{head: "128 MB", format: milliseconds, ratio: true,
			benchmark: "FirstRound/net=tls/mb=128/how=%", unit: "ns/op"},
		{head: "processor", format: milliseconds,
			benchmark: "FirstRound/net=tls/mb=128/how=%", unit: "cpu-ns/op"},
		{head: "1,769 MB", format: milliseconds, ratio: true,
			benchmark: "FirstRound/net=tls/mb=1769/how=%", unit: "ns/op"},
		{head: "processor", format: milliseconds,
			benchmark: "FirstRound/net=tls/mb=1769/how=%", unit: "cpu-ns/op"},
	}},
	"instructions": {"exec to the end of a warm, TLS", startRows, []column{
		{head: "instructions", format: millions, ratio: true,
			benchmark: "Instructions/net=tls/how=%", unit: "instructions"},
		{head: "connections", format: whole,
			benchmark: "Instructions/net=tls/how=%", unit: "conns"},
	}},
	"cached": {"ns per read", readRows, []column{
		{head: "1 goroutine", format: nanoseconds,
			benchmark: "Cached/goroutines=1/how=%", unit: "ns/op"},
		{head: "of the floor", format: ratio,
			benchmark: "Cached/goroutines=1/how=%", unit: "x-floor"},
		{head: "2", format: nanoseconds,
			benchmark: "Cached/goroutines=2/how=%", unit: "ns/op"},
		{head: "of the floor", format: ratio,
			benchmark: "Cached/goroutines=2/how=%", unit: "x-floor"},
		{head: "64", format: nanoseconds,
			benchmark: "Cached/goroutines=64/how=%", unit: "ns/op"},
		{head: "of the floor", format: ratio,
			benchmark: "Cached/goroutines=64/how=%", unit: "x-floor"},
		{head: "allocations", format: whole,
			benchmark: "Cached/goroutines=64/how=%", unit: "allocs/op"},
	}},
	"refresh": {"", refreshRows, []column{
		{head: "HTTP: the read that refreshes", format: milliseconds, ratio: true,
			benchmark: "Refresh/net=http/how=%", unit: "ns/op"},
		{head: "slowest other", format: microseconds,
			benchmark: "Refresh/net=http/how=%", unit: "slowest-other-ns"},
		{head: "TLS: the read that refreshes", format: milliseconds, ratio: true,
			benchmark: "Refresh/net=tls/how=%", unit: "ns/op"},
		{head: "slowest other", format: microseconds,
			benchmark: "Refresh/net=tls/how=%", unit: "slowest-other-ns"},
	}},
	"size": {"handler", sizeRows, []column{
		{head: "x86-64: bytes", format: whole,
			benchmark: "Size/arch=amd64/how=%", unit: "bytes"},
		{head: "over bare", format: kilobytes, difference: true,
			benchmark: "Size/arch=amd64/how=%", unit: "bytes"},
		{head: "arm64: bytes", format: whole,
			benchmark: "Size/arch=arm64/how=%", unit: "bytes"},
		{head: "over bare", format: kilobytes, difference: true,
			benchmark: "Size/arch=arm64/how=%", unit: "bytes"},
	}},
	"before main": {"handler", sizeRows, []column{
		{head: "before main: bytes", format: kilobytes,
			benchmark: "BeforeMain/how=%", unit: "B/op"},
		{head: "allocations", format: whole,
			benchmark: "BeforeMain/how=%", unit: "allocs/op"},
	}},
	"growth": {"processor per variable", growthRows, []column{
		{head: "50 variables", format: whole,
			benchmark: "Growth/what=%/n=50/how=secrets", unit: "cpu-ns/item"},
		{head: "500", format: whole, ratio: true,
			benchmark: "Growth/what=%/n=500/how=secrets", unit: "cpu-ns/item"},
		{head: "5,000", format: whole, ratio: true,
			benchmark: "Growth/what=%/n=5000/how=secrets", unit: "cpu-ns/item"},
		{head: "`c26e5a2`: 50", format: whole,
			benchmark: "Growth/what=%/n=50/how=secrets@before", unit: "cpu-ns/item"},
		{head: "500", format: whole, ratio: true,
			benchmark: "Growth/what=%/n=500/how=secrets@before", unit: "cpu-ns/item"},
		{head: "5,000", format: whole, ratio: true,
			benchmark: "Growth/what=%/n=5000/how=secrets@before", unit: "cpu-ns/item"},
	}},
	"growth of names": {"processor per name", []line{
		{"library", "secrets"}, {"library at `c26e5a2`", "secrets@before"},
	}, []column{
		{head: "1,000 names", format: whole,
			benchmark: "Growth/what=resolve-evict/n=1000/how=%", unit: "cpu-ns/item"},
		{head: "10,000", format: whole, ratio: true,
			benchmark: "Growth/what=resolve-evict/n=10000/how=%", unit: "cpu-ns/item"},
		{head: "100,000", format: whole, ratio: true,
			benchmark: "Growth/what=resolve-evict/n=100000/how=%", unit: "cpu-ns/item"},
	}},
}

func coldTable(network string) table {
	t := table{"over " + strings.ToUpper(network), coldRows, nil}
	for _, set := range []struct{ name, head string }{
		{"1", "1 secret"}, {"10", "10 mixed"}, {"50", "50 mixed"}, {"25+25", "25 + 25"}, {"60vars", "60 variables"},
	} {
		t.columns = append(t.columns, column{head: set.head, unit: "ns/op", format: milliseconds, ratio: true,
			benchmark: "Cold/net=" + network + "/refs=" + set.name + "/how=%"})
	}
	of := "Cold/net=" + network + "/refs=25+25/how=%"
	return table{t.head, t.rows, append(t.columns,
		column{head: "processor, 25 + 25", benchmark: of, unit: "cpu-ns/op", format: milliseconds},
		column{head: "connections", benchmark: of, unit: "conns", format: whole},
		column{head: "allocated", benchmark: of, unit: "B/op", format: kilobytes})}
}

// text is the table in Markdown. Rows without any sample are left out.
func (t table) text(r Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |", t.head)
	for _, c := range t.columns {
		fmt.Fprintf(&b, " %s |", c.head)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(t.columns)) + "\n")
	for _, row := range t.rows {
		line, found := fmt.Sprintf("| %s |", row.words), false
		for _, c := range t.columns {
			cell, ok := c.cell(r, row.how)
			line, found = line+" "+cell+" |", found || ok
		}
		if found {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

func (c column) cell(r Report, how string) (text string, ok bool) {
	name := strings.ReplaceAll(c.benchmark, "%", how)
	value, ok := r.Median(name, c.unit)
	if !ok {
		return "–", false
	}
	if c.difference {
		bare, _ := r.Median(strings.ReplaceAll(c.benchmark, "%", "bare-sdk"), c.unit)
		return fmt.Sprintf("%s (%+.1f %%)", c.format(value-bare), 100*(value/bare-1)), true
	}
	text = c.format(value)
	if base, ok := r.Median(r.Baseline(name), c.unit); c.ratio && ok {
		text += " · " + ratio(value/base)
	}
	return text, true
}

var marked = regexp.MustCompile(`(?s)<!-- table ([a-z ]+) -->\n.*?<!-- end -->\n`)

// Page returns page with every table in it as r has it. A table that there is not is an error.
func (r Report) Page(page string) (string, error) {
	var unknown []string
	page = marked.ReplaceAllStringFunc(page, func(old string) string {
		name := marked.FindStringSubmatch(old)[1]
		t, ok := tables[name]
		if !ok {
			unknown = append(unknown, name)
			return old
		}
		return "<!-- table " + name + " -->\n" + t.text(r) + "<!-- end -->\n"
	})
	if len(unknown) > 0 {
		return "", fmt.Errorf("no table %q", unknown)
	}
	return page, nil
}
