package parallel

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDo_Width(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		n, width int
		took     time.Duration // at a second each
	}{
		{"nothing", 0, 4, 0},
		{"one", 1, 4, time.Second},
		{"fewer than the width", 3, 4, time.Second},
		{"more", 10, 4, 3 * time.Second},
		{"one at a time", 3, 1, 3 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, calls := time.Now(), make([]atomic.Int64, test.n)
				Do(WithWidth(t.Context(), test.width), test.n, func(i int) { calls[i].Add(1); time.Sleep(time.Second) })
				for i := range calls {
					if calls[i].Load() != 1 {
						t.Errorf("do(%d) was called %d times", i, calls[i].Load())
					}
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %v, want %v", took, test.took)
				}
			})
		})
	}
}

func TestDo_SurvivesPanics(t *testing.T) {
	t.Parallel()
	done := make(chan any)
	go func() {
		defer func() { done <- recover() }()
		Do(WithWidth(context.Background(), 2), 10, func(int) { panic("broken") })
	}()
	if p := <-done; p != "broken" {
		t.Errorf("a panic became %v", p)
	}
	Do(WithWidth(context.Background(), 2), 10, func(int) { runtime.Goexit() }) // it returns
}

func TestShared_Width(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	if WidthOf(ctx) != Width || WidthOf(Shared(ctx, 4)) != Width/4 || WidthOf(Shared(WithWidth(ctx, 2), 8)) != 1 ||
		WidthOf(Shared(ctx, 0)) != Width {
		t.Error("the width is not shared out")
	}
}

func TestForMemory_Table(t *testing.T) {
	t.Parallel()
	for size, want := range map[string]int{"": Width, "much": Width, "-1": Width, "0": Width, "1": 2, "128": 5,
		"512": 10, "1769": 18, "3008": 24, "10240": Width} {
		if got := ForMemory(size); got != want {
			t.Errorf("%q: %d, want %d", size, got, want)
		}
	}
}

func TestBatches_Sizes(t *testing.T) {
	t.Parallel()
	for things, want := range map[string]string{ // key and name of each
		"":                        "[]",
		"a1 a2 a3":                "[[0 1] [2]]",
		"a1 b1 a2 b2":             "[[0 2] [1 3]]",
		"a1 a1 a2":                "[[0 2] [1]]", // a name twice
		"a1 b1 c1":                "[[0] [1] [2]]",
		"a1 a1 a1 a2 a2 a2 a3 a3": "[[0 3] [1 4] [2 5] [6] [7]]",
	} {
		all := strings.Fields(things)
		got := Batches(len(all), 2, func(i int) (byte, string) { return all[i][0], all[i][1:] })
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", things, got, want)
		}
	}
}

// What hangs does not keep what could be done meanwhile from starting.
func TestDo_SlowOnesDoNotCount(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		n, hang     int           // the first ones hang for a minute
		each, after time.Duration // the others take so long; the last is done by then
	}{
		{"fewer than the width", 6, 1, 10 * time.Millisecond, 50 * time.Millisecond},
		{"as many as the width", 6, 2, 10 * time.Millisecond, 1020 * time.Millisecond},
		{"more than the width", 8, 5, 10 * time.Millisecond, 2030 * time.Millisecond},
		{"none", 6, 0, 900 * time.Millisecond, 2700 * time.Millisecond},
		{"all are slow", 6, 0, 5 * time.Second, 7 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var last atomic.Int64
				Do(WithWidth(t.Context(), 2), test.n, func(i int) {
					if i < test.hang {
						time.Sleep(time.Minute)
						return
					}
					time.Sleep(test.each)
					last.Store(int64(time.Since(began)))
				})
				if got := time.Duration(last.Load()); got != test.after {
					t.Errorf("the last good one was done after %v, want %v", got, test.after)
				}
			})
		})
	}
}
