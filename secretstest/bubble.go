package secretstest

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A watchdog ends a bubble that is stuck: a goroutine that computes without end, or waits for what
// is outside the bubble, stops the bubble's clock for good.
type watchdog struct {
	progress atomic.Int64           // counts calls
	bubbleID atomic.Uint64          // of the running bubble
	own      map[string]string      // its goroutines before the handler has any
	left     bool                   // goroutines are left, and reported if they are to be
	stuck    bool                   // and so will be what follows
	restore  atomic.Pointer[func()] // what capture took over
}

// stuckAfter is how long, in real time, a single call may compute.
var stuckAfter = 20 * time.Second

// bubble runs a subtest in a bubble. Goroutines that are left, or stuck, fail the test, where
// synctest.Test would end the process or wait for ever.
func (b *bench) bubble(t *testing.T, run func(t *testing.T)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			// synctest.Test panics if goroutines are left, which are reported already.
			if p := recover(); p != nil && !(b.left && strings.HasPrefix(fmt.Sprint(p), "deadlock:")) {
				t.Errorf("panic: %v", p)
			}
		}()
		synctest.Test(t, func(t *testing.T) {
			b.bubbleID.Store(bubbleOf(stackOf()))
			b.own, b.left = stacks(b.bubbleID.Load()), false
			run(t)
		})
	}()
	tick := time.NewTicker(stuckAfter)
	defer tick.Stop()
	for last := int64(-1); ; {
		select {
		case <-done:
			return
		case <-tick.C:
			if now := b.progress.Load(); now != last {
				last = now
				continue
			}
		}
		if restore := b.restore.Swap(nil); restore != nil {
			(*restore)()
		}
		t.Error(stuck.text("", fmt.Sprintf("one call computes or waits for %v of real time, in %s",
			stuckAfter, b.stuckGoroutine())))
		b.stuck = true // until the process ends
		return
	}
}

// bubbleHeader matches the first line of a stack: goroutine 7 [select (durable), synctest bubble 3]:
var bubbleHeader = regexp.MustCompile(`^goroutine \d+ [^\[]*\[[^\]]*synctest bubble (\d+)`)

// bubbleOf returns the number of the bubble that the goroutine of a stack is in, or 0.
func bubbleOf(stack string) (id uint64) {
	if m := bubbleHeader.FindStringSubmatch(stack); m != nil {
		fmt.Sscan(m[1], &id)
	}
	return id
}

// inBubble reports whether the caller is in a testing/synctest bubble, in which the year 2000
// begins.
func inBubble() bool { return time.Now().Year() < 2020 || bubbleOf(stackOf()) != 0 }

// stackOf returns the stack of the calling goroutine.
func stackOf() string {
	text := make([]byte, 1<<10)
	return string(text[:runtime.Stack(text, false)])
}

// stacks returns the stacks of a bubble's goroutines, by goroutine.
func stacks(bubble uint64) map[string]string {
	text := make([]byte, 1<<20)
	n := runtime.Stack(text, true)
	for n == len(text) {
		text = make([]byte, 2*len(text))
		n = runtime.Stack(text, true)
	}
	all := map[string]string{}
	for stack := range strings.SplitSeq(string(text[:n]), "\n\n") {
		if bubbleOf(stack) == bubble {
			id, _, _ := strings.Cut(stack, " [")
			all[id] = stack
		}
	}
	return all
}

// stuckGoroutine says where a goroutine is that stops the bubble's clock.
func (b *bench) stuckGoroutine() string {
	for _, stack := range stacks(b.bubbleID.Load()) {
		header, frames, _ := strings.Cut(stack, "\n")
		if strings.Contains(header, "durable") || strings.Contains(header, "synctest.Run") {
			continue
		}
		for _, m := range frame.FindAllStringSubmatch(frames, -1) {
			if !library.MatchString(m[1]) {
				return fmt.Sprintf("%s, %s:%s", m[1], filepath.Base(m[2]), m[3])
			}
		}
	}
	return "an unknown place"
}

var (
	frame   = regexp.MustCompile(`(?m)^(\S+)\(.*\)\n\t(\S+):(\d+)`)
	library = regexp.MustCompile(`^(runtime|internal|sync|syscall|os|net|io|time)[./]`)
)

// end ends the environment, and reports what it leaves.
func (d *drill) end() {
	d.t.Helper()
	d.endInstance()
	if d.hung {
		d.left = true
		return
	}
	time.Sleep(time.Minute) // for goroutines that are about to end
	synctest.Wait()
	for id, stack := range stacks(d.bubbleID.Load()) {
		if d.own[id] != "" {
			continue
		}
		d.left = true
		if d.discovers {
			continue // the subtests will report it
		}
		d.report(leaves, "", origin(stack)+" is left after the end")
	}
}

// endInstance runs what the environment's Cleanup was given.
func (d *drill) endInstance() {
	d.t.Helper()
	in := d.in
	d.in, d.run = nil, nil
	if in == nil || d.hung {
		return
	}
	in.mu.Lock()
	ends := in.ends
	in.mu.Unlock()
	for i := len(ends) - 1; i >= 0; i-- {
		r := d.call(forever, func(context.Context) (any, error) { ends[i](); return nil, nil })
		d.judgeCall(r, forever, "a function of Cleanup")
	}
}

var createdBy = regexp.MustCompile(`created by (\S+)(?: in goroutine \d+)?\n\t(\S+):(\d+)`)

// origin says where a goroutine was started.
func origin(stack string) string {
	m := createdBy.FindStringSubmatch(stack)
	if m == nil {
		return stack
	}
	return fmt.Sprintf("a goroutine that %s started, in %s:%s,", m[1], filepath.Base(m[2]), m[3])
}

// capture returns what f writes to standard output and error, to log and to slog.
func (b *bench) capture(t *testing.T, f func()) string {
	t.Helper()
	// Not a pipe: a bubble's clock stands still while a goroutine reads from one.
	file, err := os.Create(b.logs)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// What the pointers point to, rather than the variables: a logger that was made of os.Stdout
	// before holds the pointer.
	stdout, stderr := *os.Stdout, *os.Stderr
	logger, out, flags := slog.Default(), log.Writer(), log.Flags()
	restore := sync.OnceFunc(func() {
		*os.Stdout, *os.Stderr = stdout, stderr
		slog.SetDefault(logger) // which changes package log too
		log.SetOutput(out)
		log.SetFlags(flags)
	})
	b.restore.Store(&restore)
	defer restore()
	*os.Stdout, *os.Stderr = *file, *file
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	slog.SetDefault(slog.New(slog.NewTextHandler(fatalWriter{file}, all)))
	f()
	printed, err := os.ReadFile(b.logs)
	if err != nil {
		t.Fatal(err)
	}
	return string(printed)
}

// A fatalWriter takes what package log writes, and turns log.Fatal into a panic: the process of the
// test must go on.
type fatalWriter struct{ io.Writer }

var logFatal = regexp.MustCompile(`^log\.(\(\*Logger\)\.)?Fatal`)

// A fatalCall is the panic.
type fatalCall struct{}

func (fatalCall) String() string { return "log.Fatal" }

func (w fatalWriter) Write(text []byte) (int, error) {
	n, err := w.Writer.Write(text)
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if logFatal.MatchString(frame.Function) {
			panic(fatalCall{})
		}
	}
	return n, err
}

// A drillClock is a Clock that lets time pass for a handler that reads without a pause: otherwise
// the bubble's clock, and with it the deadline, would stand still for ever.
type drillClock struct {
	*Clock
	reads atomic.Int64 // in this invocation
}

const maxReads = 1000 // of the clock in one invocation: Env reads it a few times in each call

func (c *drillClock) now() (wall time.Time, mono time.Duration) {
	if c.reads.Add(1) > maxReads && calledByEnv() {
		time.Sleep(time.Millisecond)
	}
	return c.Now()
}

// pause is what each fetch takes for a handler that refreshes without a pause: those readings of
// the clock are of the Cache.
func (c *drillClock) pause() time.Duration {
	if c.reads.Load() > maxReads {
		return time.Millisecond
	}
	return 0
}

// calledByEnv reports whether a method of Env reads the clock, rather than one of Cache, which may
// hold its lock.
func calledByEnv() bool {
	pcs := make([]uintptr, 8)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		frame, more := frames.Next()
		_, method, _ := strings.Cut(frame.Function, "secrets.(*")
		switch {
		case method == "Cache).now":
		case method != "":
			return strings.HasPrefix(method, "Env).")
		}
		if !more {
			return false
		}
	}
}
