// Package performance keeps the samples that .ci/bench took, in docs/performance.json, and makes
// the tables of docs/performance.md from them.
package performance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Report holds the samples of runs of .ci/bench.
type Report struct {
	// Machine says for each part (Cold, Cached, …) where and when its samples were taken.
	Machine map[string]string
	// Samples are those of each benchmark, by its name without the number of processors, and by
	// unit.
	Samples map[string]map[string][]float64
}

// Read reads a report from a file. A missing file is an empty report.
func Read(path string) (Report, error) {
	r := Report{Machine: map[string]string{}, Samples: map[string]map[string][]float64{}}
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// Write writes the report to a file, one line for each row of samples, so that a diff can be read.
func (r Report) Write(path string) error {
	var b strings.Builder
	b.WriteString("{\n\"Machine\": {")
	lines(&b, r.Machine)
	b.WriteString("},\n\"Samples\": {")
	lines(&b, r.Samples)
	b.WriteString("}\n}\n")
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func lines[V any](b *strings.Builder, m map[string]V) {
	separator := "\n"
	for _, key := range sorted(m) {
		value, err := json.Marshal(m[key])
		if err != nil {
			panic(err) // strings and numbers
		}
		fmt.Fprintf(b, "%s%q: %s", separator, key, value)
		separator = ",\n"
	}
	b.WriteString("\n")
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

var processors = regexp.MustCompile(`-\d+$`)

// Parse reads samples in the format of Go's benchmarks. Where says on what machine they were taken.
func Parse(from io.Reader, where string) (Report, error) {
	r := Report{Machine: map[string]string{}, Samples: map[string]map[string][]float64{}}
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		name, ok := strings.CutPrefix(lines.Text(), "Benchmark")
		fields := strings.Fields(name)
		if !ok || len(fields) < 4 {
			continue
		}
		name = processors.ReplaceAllString(fields[0], "")
		r.Machine[Part(name)] = where
		units := r.Samples[name]
		if units == nil {
			units = map[string][]float64{}
			r.Samples[name] = units
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return r, err
			}
			units[fields[i+1]] = append(units[fields[i+1]], value)
		}
	}
	return r, lines.Err()
}

// Part returns the first element of a benchmark's name.
func Part(name string) string {
	part, _, _ := strings.Cut(name, "/")
	return part
}

// Update takes over the samples of newer, and forgets what the parts in it had before.
func (r Report) Update(newer Report) {
	for name := range r.Samples {
		if _, ok := newer.Machine[Part(name)]; ok {
			delete(r.Samples, name)
		}
	}
	for part, where := range newer.Machine {
		r.Machine[part] = where
	}
	for name, units := range newer.Samples {
		r.Samples[name] = units
	}
}

// Median returns the median of a benchmark's samples, and whether there are any.
func (r Report) Median(name, unit string) (float64, bool) {
	values := slices.Sorted(slices.Values(r.Samples[name][unit]))
	n := len(values)
	if n == 0 {
		return 0, false
	}
	return (values[(n-1)/2] + values[n/2]) / 2, true
}

// Baselines are the contenders that others are compared to, in the order of preference.
var Baselines = []string{"floor", "sdk-batched", "bare-sdk"}

// Baseline returns the benchmark that a benchmark is compared to, or "".
func (r Report) Baseline(name string) string {
	if Part(name) == "Growth" {
		return r.smallest(name)
	}
	before, _, ok := strings.Cut(name, "/how=")
	for _, how := range Baselines {
		if base := before + "/how=" + how; ok && r.Samples[base] != nil {
			return base
		}
	}
	return ""
}

var size = regexp.MustCompile(`/n=(\d+)/`)

// smallest returns the benchmark of the same operation on the fewest items.
func (r Report) smallest(name string) string {
	least, found := 0, ""
	pattern := size.ReplaceAllString(name, "/")
	for other := range r.Samples {
		m := size.FindStringSubmatch(other)
		if m == nil || size.ReplaceAllString(other, "/") != pattern {
			continue
		}
		if n, _ := strconv.Atoi(m[1]); found == "" || n < least {
			least, found = n, other
		}
	}
	return found
}

// Ratios returns the samples of a benchmark as multiples of the median of its baseline in the same
// run.
func (r Report) Ratios(name, unit string) []float64 {
	base, ok := r.Median(r.Baseline(name), unit)
	if !ok || base == 0 {
		return nil
	}
	var ratios []float64
	for _, value := range r.Samples[name][unit] {
		ratios = append(ratios, value/base)
	}
	return ratios
}
