// Command report prints the samples of a run of the benchmarks beside those that are committed,
// with benchstat's words for the difference: ~ where the samples show none.
//
//	go run ./report [-write] [-where "2 cores, …"] bench.txt
//
// What is compared are multiples of the baseline of the same run (one call, the batch by hand, bare
// SDK clients, the fewest items), because machines differ. With -write the samples take the place of
// the committed ones, and the tables of docs/performance.md are made from them.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"

	"github.com/lambdasecrets/secrets/internal/testing/performance"
)

const (
	committed = "../../../docs/performance.json"
	page      = "../../../docs/performance.md"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("report: ")
	write := flag.Bool("write", false, "commit the samples to docs/performance.json and its page")
	where := flag.String("where", "unknown", "the machine and the day of the run")
	flag.Parse()
	if err := run(flag.Arg(0), *where, *write); err != nil {
		log.Fatal(err)
	}
}

func run(samples, where string, write bool) error {
	file, err := os.Open(samples)
	if err != nil {
		return err
	}
	defer file.Close()
	now, err := performance.Parse(file, where)
	if err != nil {
		return err
	}
	before, err := performance.Read(committed)
	if err != nil {
		return err
	}
	if err := compare(before, now); err != nil || !write {
		return err
	}
	before.Update(now)
	if err := before.Write(committed); err != nil {
		return err
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	made, err := before.Page(string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(page, []byte(made), 0o644)
}

// told are the units whose differences are printed.
var told = []string{"ns/op", "cpu-ns/op", "x-floor", "bytes", "B/op", "instructions", "cpu-ns/item"}

// compare prints the table.
func compare(before, now performance.Report) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "benchmark\tunit\tmedian\tof baseline\tcommitted\tdifference")
	var names []string
	for name := range now.Samples {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, "@before") {
			continue // the committed samples are what there is to compare
		}
		for _, unit := range told {
			median, ok := now.Median(name, unit)
			if !ok || strings.HasPrefix(name, "Cached/") != (unit == "x-floor") {
				continue
			}
			ratios, was := now.Ratios(name, unit), before.Ratios(name, unit)
			if unit == "x-floor" { // it is a ratio already
				ratios, was = now.Samples[name][unit], before.Samples[name][unit]
			}
			ratio, old, difference := difference(was, ratios)
			fmt.Fprintf(out, "%s\t%s\t%.4g\t%s\t%s\t%s\n", name, unit, median, ratio, old, difference)
		}
	}
	return out.Flush()
}

// difference returns the medians of ratios, and what benchstat says of them.
func difference(was, is []float64) (now, before, words string) {
	if len(is) == 0 {
		return "–", "–", ""
	}
	sample := benchmath.NewSample(is, &benchmath.DefaultThresholds)
	middle := benchmath.AssumeNothing.Summary(sample, 0.95).Center
	now = fmt.Sprintf("%.3f", middle)
	if len(was) == 0 {
		return now, "–", ""
	}
	old := benchmath.NewSample(was, &benchmath.DefaultThresholds)
	oldMiddle := benchmath.AssumeNothing.Summary(old, 0.95).Center
	before = fmt.Sprintf("%.3f", oldMiddle)
	if len(is) == 1 && len(was) == 1 { // a size: it does not vary
		if middle == oldMiddle {
			return now, before, "~ (the same)"
		}
		return now, before, fmt.Sprintf("%+.2f%%", 100*(middle/oldMiddle-1))
	}
	c := benchmath.AssumeNothing.Compare(old, sample)
	return now, before, c.FormatDelta(oldMiddle, middle) + " (" + c.String() + ")"
}
