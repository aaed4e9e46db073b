package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/bench"
)

// A job is a contender in a program.
type job struct {
	program
	name          string
	read, refresh bool
	lacks         string
	growth        []growing
}

// growing is an operation on so many items.
type growing struct {
	what string
	n    int
}

// how is the contender's name in the table.
func (j job) how() string { return j.name + j.suffix }

// jobs lists the contenders of all programs.
func (d *driver) jobs(ctx context.Context) ([]job, error) {
	var jobs []job
	for _, p := range d.programs {
		out, err := exec.CommandContext(ctx, p.path, "-list").Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.path, err)
		}
		var last *job // nil if it is skipped
		for line := range strings.Lines(string(out)) {
			if grows, ok := strings.CutPrefix(line, "+ "); ok {
				var g growing
				if _, err := fmt.Sscan(grows, &g.what, &g.n); err != nil {
					return nil, err
				}
				if last != nil {
					last.growth = append(last.growth, g)
				}
				continue
			}
			j := job{program: p}
			if _, err := fmt.Sscanf(line, "%s %t %t %q", &j.name, &j.read, &j.refresh, &j.lacks); err != nil {
				return nil, err
			}
			last = nil
			if slices.ContainsFunc(jobs, func(other job) bool { return other.how() == j.how() }) {
				continue
			}
			// What is no library is the same as that of the first program.
			if again := j.suffix != "" && !strings.HasPrefix(j.name, "secrets"); !again && !d.skips(j.how()) {
				jobs = append(jobs, j)
				last = &jobs[len(jobs)-1]
			}
		}
	}
	return jobs, nil
}

// skips reports whether a contender is not to be measured.
func (d *driver) skips(how string) bool {
	if d.quick && slices.Contains([]string{"sdk-serial", "vals", "gocloud-runtimevar", "caching-go"}, how) {
		return true
	}
	return d.filter != "" && !slices.Contains(strings.Split(d.filter, ","), how)
}

// A measured is a sample with what the endpoint saw of it.
type measured struct {
	bench.Sample
	counts
	Instructions float64
}

// child runs one contender's process.
func (d *driver) child(ctx context.Context, j job, env []string, args ...string) (m measured, err error) {
	if err := d.reset(); err != nil {
		return m, err
	}
	before, err := d.counted()
	if err != nil {
		return m, err
	}
	cmd := exec.CommandContext(
		ctx,
		j.path,
		append([]string{"-world", d.worldFile, "-how", j.name}, args...)...)
	// Nothing of this machine's own AWS configuration. The limit of a control group must not change
	// the number of threads: on Lambda the guest sees its processors, not their share.
	cmd.Env = append(
		[]string{"HOME=" + d.dir, "PATH=" + os.Getenv("PATH"), fmt.Sprint("GOMAXPROCS=", runtime.NumCPU())},
		env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("%s %v: %w: %s", j.name, args, err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, &m.Sample); err != nil {
		return m, err
	}
	after, err := d.counted()
	m.Calls, m.Connections = after.Calls, after.Connections-before.Connections
	return m, err
}

// A figure is what a line prints beside the time.
type figure struct {
	unit  string
	value func(measured) float64
}

// A row is what one contender does: its name, and how to take a sample.
type row struct {
	name     string
	run      func(context.Context) (measured, error)
	failures int // of single samples
	failed   error
}

func wall(m measured) float64 { return float64(m.Wall.Nanoseconds()) }

// table takes d.rounds samples of every row in turns, and prints each as a line of Go's benchmarks.
// The first row is the baseline, because it is the first that benchstat sees.
func (d *driver) table(ctx context.Context, rows []*row, figures ...figure) error {
	for round := range d.rounds {
		for i := range rows {
			r := rows[(i+round)%len(rows)] // nobody always comes after the same one
			if r.failed != nil {
				continue
			}
			m, err := r.run(ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				// A machine that stood still for two seconds is no fault of the contender; a
				// contender that fails again and again is one.
				if r.failures++; r.failures > d.rounds/5 {
					r.failed = err
				} else {
					fmt.Printf("# %s: a sample failed: %.300v\n", r.name, err)
				}
				continue
			}
			fmt.Printf("Benchmark%s-%d 1", r.name, runtime.NumCPU())
			for _, f := range figures {
				fmt.Printf(" %.5g %s", f.value(m), f.unit)
			}
			fmt.Println()
		}
	}
	var errs []error
	for _, r := range rows {
		if r.failed != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, r.failed))
		}
	}
	return errors.Join(errs...)
}

var coldFigures = []figure{
	{"ns/op", wall},
	{"cpu-ns/op", func(m measured) float64 { return float64(m.CPU.Nanoseconds()) }},
	{"calls", func(m measured) float64 { return float64(m.Calls) }},
	{"conns", func(m measured) float64 { return float64(m.Connections) }},
	{"B/op", func(m measured) float64 { return m.Bytes }},
	{"allocs/op", func(m measured) float64 { return m.Allocs }},
}

// cold measures the first plaintexts of each set, over HTTP and TLS. The floor is one SDK call on a
// fresh client and connection.
func (d *driver) cold(ctx context.Context) error {
	jobs, err := d.jobs(ctx)
	if err != nil {
		return err
	}
	for _, network := range []string{"http", "tls"} {
		for _, set := range bench.Sets {
			var rows []*row
			for _, j := range jobs {
				cold := !slices.Contains(
					[]string{"sdk-map", "aws.CredentialsCache", "floor-method", "secrets-snapshot", "otter"},
					j.name,
				)
				if d.quick && set.Name != "25+25" {
					continue
				}
				if !cold || !(bench.Contender{Lacks: j.lacks}).Can(set) {
					continue
				}
				of := set.Name
				if j.name == "floor" {
					of = "1"
				}
				r := &row{name: fmt.Sprintf("Cold/net=%s/refs=%s/how=%s", network, set.Name, j.how())}
				r.run = func(ctx context.Context) (measured, error) {
					return d.child(ctx, j, nil, "-what", "cold", "-set", of, "-net", network)
				}
				rows = append(rows, r)
			}
			if err := d.table(ctx, rows, coldFigures...); err != nil {
				return err
			}
		}
	}
	return nil
}

// growth measures what an operation costs per item, by the number of items.
func (d *driver) growth(ctx context.Context) error {
	jobs, err := d.jobs(ctx)
	if err != nil {
		return err
	}
	var rows []*row
	for _, j := range jobs {
		for _, g := range j.growth {
			if d.quick && g.n >= 100_000 {
				continue
			}
			if j.suffix != "" && (g.n >= 100_000 || g.what == "warm-fields" && g.n > 500) {
				continue // it took minutes, and longer than a warm may
			}
			r := &row{name: fmt.Sprintf("Growth/what=%s/n=%d/how=%s", g.what, g.n, j.how())}
			r.run = func(ctx context.Context) (measured, error) {
				return d.child(ctx, j, nil, "-what", g.what, "-n", fmt.Sprint(g.n))
			}
			rows = append(rows, r)
		}
	}
	return d.table(ctx, rows, figure{"cpu-ns/item", func(m measured) float64 { return m.NS }})
}

// cached measures reads of what is there. The floor is one clock read, one map lookup and one
// atomic load.
func (d *driver) cached(ctx context.Context) error {
	jobs, err := d.jobs(ctx)
	if err != nil {
		return err
	}
	for _, goroutines := range []string{"1", "2", "64"} {
		var rows []*row
		for _, j := range jobs {
			if !j.read {
				continue
			}
			r := &row{name: fmt.Sprintf("Cached/goroutines=%s/how=%s", goroutines, j.how())}
			r.run = func(ctx context.Context) (measured, error) {
				return d.child(ctx, j, nil, "-what", "cached", "-goroutines", goroutines, "-effort", d.effort.String())
			}
			rows = append(rows, r)
		}
		err := d.table(
			ctx,
			rows,
			figure{"ns/op", func(m measured) float64 { return m.NS }},
			figure{"x-floor", func(m measured) float64 { return m.NS / m.Floor }},
			figure{"allocs/op", func(m measured) float64 { return m.Allocs }},
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// refresh measures a read that finds 25 values due, and what others notice of it.
func (d *driver) refresh(ctx context.Context) error {
	jobs, err := d.jobs(ctx)
	if err != nil {
		return err
	}
	for _, network := range []string{"http", "tls"} {
		var rows []*row
		for _, j := range jobs {
			what, set := "refresh", "25+25"
			if j.name == "floor" {
				what, set = "cold", "1"
			} else if !j.refresh {
				continue
			}
			r := &row{name: fmt.Sprintf("Refresh/net=%s/how=%s", network, j.how())}
			r.run = func(ctx context.Context) (measured, error) {
				return d.child(ctx, j, nil, "-what", what, "-set", set, "-net", network)
			}
			rows = append(rows, r)
		}
		err := d.table(
			ctx,
			rows,
			figure{"ns/op", wall},
			figure{"cpu-ns/op", coldFigures[1].value},
			figure{"slowest-other-ns", func(m measured) float64 { return float64(m.Max) }},
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// memories are the sizes, in MB, that widths are measured at.
var memories = []int{128, 256, 512, 1024, 1769, 3008}

// width measures the first round of 25 + 25 references over TLS with so much processor as a
// function of each size has, by the number of calls that may be under way to a service at once.
func (d *driver) width(ctx context.Context) error {
	j := job{program: d.programs[0], name: "secrets"}
	for _, memory := range memories {
		group, err := newGroup(float64(memory) / 1769)
		if err != nil {
			return err
		}
		var rows []*row
		for _, width := range []int{1, 2, 3, 5, 7, 10, 14, 18, 24, 32} {
			r := &row{name: fmt.Sprintf("Width/net=tls/mb=%d/width=%d", memory, width)}
			r.run = func(ctx context.Context) (measured, error) {
				return d.child(ctx, j, nil,
					"-what", "cold", "-net", "tls", "-width", fmt.Sprint(width), "-cgroup", group.dir)
			}
			rows = append(rows, r)
		}
		err = d.table(ctx, rows, coldFigures[:4]...)
		if err := errors.Join(err, group.remove()); err != nil {
			return err
		}
	}
	return nil
}
