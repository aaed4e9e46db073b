package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A Contender is one way to get at secrets.
type Contender struct {
	Name string
	// Lacks says which kinds it cannot resolve: any of "p", "s", "k".
	Lacks string
	// Cold builds everything anew and resolves the set.
	Cold func(ctx context.Context, w *World, s Set) ([]string, error)
	// Read warms a cache and returns a loop of n cached reads, or is nil.
	Read func(ctx context.Context, w *World, s Set) (loop func(n int), err error)
	// Refresh warms a cache, makes 25 secrets due and returns a read of one of them and a read of a
	// value that is still valid, or is nil.
	Refresh func(ctx context.Context, w *World) (due, valid func() error, err error)
	// Growth are the operations that must be linear, by name, or nil.
	Growth map[string]Growth
}

// Can reports whether the contender resolves every kind in s.
func (c Contender) Can(s Set) bool {
	for _, kind := range c.Lacks {
		if kind == 'p' && s.Parameters > 0 || kind == 's' && s.Secrets > 0 || kind == 'k' && s.Ciphertexts > 0 {
			return false
		}
	}
	return true
}

// A Sample is what one run of a contender's process measured.
type Sample struct {
	Wall, CPU, Max time.Duration // Max: the slowest read of a valid value during a refresh
	Bytes, Allocs  float64       // per operation where there are several
	NS, Floor      float64       // per cached read, and per read of the floor in the same process
}

// Effort is for how long each of two sides of a cached read is measured.
var Effort time.Duration

// Width, if positive, bounds the calls that the contender called secrets has under way to each
// service; see its Cold.
var Width int

// Main is the main of a process with contenders. It never returns.
func Main(contenders []Contender) {
	f := flag.NewFlagSet("child", flag.ExitOnError)
	list := f.Bool("list", false, "print the names and what they can do")
	world := f.String("world", "", "`file` that says where the endpoint is")
	how := f.String("how", "", "the contender's `name`")
	what := f.String("what", "cold", "cold, cached, refresh, or the name of an operation that grows")
	items := f.Int("n", 0, "that the operation is on")
	set := f.String("set", "25+25", "the `set` of references")
	network := f.String("net", "http", "http or tls")
	goroutines := f.Int("goroutines", 1, "that read at once")
	group := f.String("cgroup", "", "`directory` of a control group to move into before the measurement")
	f.DurationVar(&Effort, "effort", time.Second, "of each side of a cached read")
	f.IntVar(&Width, "width", 0, "calls at once to each service")
	f.Parse(os.Args[1:])
	if *list {
		for _, c := range contenders {
			fmt.Printf("%s %t %t %q\n", c.Name, c.Read != nil, c.Refresh != nil, c.Lacks)
			for _, what := range slices.Sorted(maps.Keys(c.Growth)) {
				for _, n := range c.Growth[what].Sizes {
					fmt.Printf("+ %s %d\n", what, n)
				}
			}
		}
		os.Exit(0)
	}
	if at := slices.IndexFunc(contenders, func(c Contender) bool { return c.Name == *how }); *items > 0 && at >= 0 {
		sample, err := grow(context.Background(), contenders[at].Growth[*what], *items)
		report(sample, err)
	}
	report(run(contenders, *world, *how, *what, *set, *network, *goroutines, *group))
}

// report prints a sample and ends the process.
func report(sample Sample, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(sample)
	os.Exit(0)
}

func run(
	contenders []Contender,
	world, how, what, set, network string,
	goroutines int,
	group string,
) (Sample, error) {
	w, err := LoadWorld(world)
	if err != nil {
		return Sample{}, err
	}
	s, err := SetNamed(set)
	if err != nil {
		return Sample{}, err
	}
	at := slices.IndexFunc(contenders, func(c Contender) bool { return c.Name == how })
	if at < 0 {
		return Sample{}, fmt.Errorf("no contender %q", how)
	}
	w.Select(network)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if group != "" {
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return Sample{}, err
		}
	}
	switch c := contenders[at]; what {
	case "cold":
		return cold(ctx, c, w, s)
	case "cached":
		return cached(ctx, c, w, s, goroutines)
	case "refresh":
		return refresh(ctx, c, w)
	}
	return Sample{}, fmt.Errorf("cannot measure %q", what)
}

// cold measures one resolution in a process that has done nothing else.
func cold(ctx context.Context, c Contender, w *World, s Set) (Sample, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	values, err := c.Cold(ctx, w, s)
	sample := Sample{Wall: time.Since(start), CPU: cpuTime() - cpu}
	runtime.ReadMemStats(&after)
	sample.Bytes, sample.Allocs = float64(after.TotalAlloc-before.TotalAlloc), float64(after.Mallocs-before.Mallocs)
	if err == nil {
		err = s.Check(values)
	}
	return sample, err
}

// cached measures reads by several goroutines: the time that one read takes from the wall clock's
// view, so that n goroutines on n cores show a n-th of what one does. The floor's reads and the
// contender's take turns in this process, in short batches, and the fastest batch of each counts:
// whatever else runs on the machine can only add to it.
func cached(ctx context.Context, c Contender, w *World, s Set, goroutines int) (Sample, error) {
	if c.Read == nil {
		return Sample{}, errors.New("it has no cached read")
	}
	read, err := c.Read(ctx, w, s)
	if err != nil {
		return Sample{}, err
	}
	own, floor := shared{read, goroutines}, shared{FloorRead(), goroutines}
	length := time.Millisecond
	if goroutines > 1 {
		length = 4 * time.Millisecond // long enough for all cores to take part
	}
	n := 64 * goroutines
	for own.time(n) < length {
		n *= 2
	}
	batches := int(Effort / length)
	floorTook, took := floor.time(n), own.time(n)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range batches {
		floorTook = min(floorTook, floor.time(n))
		took = min(took, own.time(n))
	}
	runtime.ReadMemStats(&after)
	reads := float64(2 * n * batches)
	// The batches' own goroutines are a small part of an allocation per read.
	return Sample{
		NS:     float64(took.Nanoseconds()) / float64(n),
		Floor:  float64(floorTook.Nanoseconds()) / float64(n),
		Bytes:  math.Floor(float64(after.TotalAlloc-before.TotalAlloc) / reads),
		Allocs: math.Floor(float64(after.Mallocs-before.Mallocs) / reads),
	}, nil
}

// shared is a loop of reads that several goroutines share.
type shared struct {
	loop       func(n int)
	goroutines int
}

// fastest returns how long n reads take.
func (s shared) time(n int) time.Duration {
	if s.goroutines == 1 {
		start := time.Now()
		s.loop(n)
		return time.Since(start)
	}
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for range s.goroutines {
		wg.Go(func() { <-gate; s.loop(n / s.goroutines) })
	}
	start := time.Now()
	close(gate)
	wg.Wait()
	return time.Since(start)
}

// refresh measures one read that finds 25 values due, and the slowest of the reads of 63 others
// until it is answered.
func refresh(ctx context.Context, c Contender, w *World) (Sample, error) {
	if c.Refresh == nil {
		return Sample{}, errors.New("it has no refresh")
	}
	due, valid, err := c.Refresh(ctx, w)
	if err != nil {
		return Sample{}, err
	}
	var wg sync.WaitGroup
	slowest := make([]time.Duration, 63)
	failed := make([]error, 63)
	over := make(chan struct{})
	started := make(chan struct{}, len(slowest))
	for i := range slowest {
		wg.Go(func() {
			started <- struct{}{}
			for {
				start := time.Now()
				err := valid()
				slowest[i], failed[i] = max(slowest[i], time.Since(start)), errors.Join(failed[i], err)
				select {
				case <-over:
					return
				case <-time.After(time.Millisecond): // requests that come in, not a loop that takes the processor
				}
			}
		})
	}
	for range slowest {
		<-started
	}
	cpu, start := cpuTime(), time.Now()
	err = due()
	sample := Sample{Wall: time.Since(start), CPU: cpuTime() - cpu}
	close(over)
	wg.Wait()
	sample.Max = slices.Max(slowest)
	return sample, errors.Join(append(failed, err)...)
}

// cpuTime is what this process has used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
