package model

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run this seed of the model alone, and shrink it if it fails")
	about   = flag.String("about", "", "look for problems that match this regular expression alone")
	first   = flag.Uint64("first", 1, "the first of them")
	seeds   = flag.Int("seeds", envInt("MODEL_SEEDS", 0), "how many seeds of the model to run")
)

// envInt returns the number in an environment variable, or other.
func envInt(name string, other int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return other
}

// TestModel runs random plans, and judges what the cache did by the model of its promises. A plan that fails is shrunk
// and printed. The order of goroutines within one instant is not drawn from the seed: a problem that shows in one order
// of many is logged here, and counts in .ci/model.
func TestModel(t *testing.T) {
	if *oneSeed > 0 {
		p := draw(*oneSeed)
		for range 5 { // lifetimes and backoffs are drawn by the engine
			if problems := execute(t, p); len(problems) > 0 {
				p, problems, history := shrink(t, p)
				t.Fatalf("%s\n%s%s", strings.Join(problems, "\n"), p, history)
			}
		}
		return
	}
	every := *seeds > 0
	if !every {
		*seeds = 1000
	}
	began := time.Now()
	var next, failed atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1); seed <= int64(*seeds); seed = next.Add(1) {
				p := draw(*first + uint64(seed) - 1)
				problems := execute(t, p)
				if len(problems) == 0 {
					continue
				}
				if !every && !failsAgain(t, p) {
					t.Logf("once, seed %d: %s", p.seed, problems[0])
					continue
				}
				if failed.Add(1) > 20 {
					continue
				}
				mu.Lock()
				t.Errorf("seed %d: %s", p.seed, problems[0])
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Round(time.Millisecond)
	t.Logf("%d seeds in %v, %d failed; -seed N shrinks one", *seeds, took, failed.Load())
}

// failsAgain reports whether a plan that failed once fails in one of a few more runs.
func failsAgain(t *testing.T, p *plan) bool {
	for range 5 {
		if len(execute(t, p)) > 0 {
			return true
		}
	}
	return false
}
