package parallel

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDo(t *testing.T) {
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

func TestDoSurvives(t *testing.T) {
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

func TestShared(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	if WidthOf(ctx) != Width || WidthOf(Shared(ctx, 4)) != Width/4 || WidthOf(Shared(WithWidth(ctx, 2), 8)) != 1 || WidthOf(Shared(ctx, 0)) != Width {
		t.Error("the width is not shared out")
	}
}

func TestForMemory(t *testing.T) {
	t.Parallel()
	for size, want := range map[string]int{"": Width, "much": Width, "-1": Width, "0": Width, "1": 2, "128": 5, "512": 10, "1769": 18, "3008": 24, "10240": Width} {
		if got := ForMemory(size); got != want {
			t.Errorf("%q: %d, want %d", size, got, want)
		}
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		things string // key and name of each
		want   string
		width  int
	}{
		{"", "", 0},
		{"a1 a2 a3", "[0 1] [2]", Width},
		{"a1 b1 a2 b2", "[0 2] [1 3]", Width / 2},
		{"a1 a1 a2", "[0 2] [1]", Width}, // a name twice
		{"a1 b1 c1", "[0] [1] [2]", Width},
	} {
		things := strings.Fields(test.things)
		var mu sync.Mutex
		var got []string
		Batches(context.Background(), len(things), 2, func(i int) (byte, string) { return things[i][0], things[i][1:] }, func(ctx context.Context, batch []int) {
			mu.Lock()
			defer mu.Unlock()
			if got = append(got, fmt.Sprint(batch)); WidthOf(ctx) != test.width {
				t.Errorf("%s: width %d, want %d", test.things, WidthOf(ctx), test.width)
			}
		})
		if slices.Sort(got); strings.Join(got, " ") != test.want {
			t.Errorf("%s: %s, want %s", test.things, got, test.want)
		}
	}
}
