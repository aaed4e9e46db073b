// Package parallel does several things at once, as many as a context allows.
package parallel

import (
	"context"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Width is how many things go on at once where a context does not say.
const Width = 32

// ForMemory returns how many calls to one service may go out at once in a function
// with so many MB of memory, which is text as Lambda writes it; Width if it says
// nothing. A TLS handshake takes about a millisecond of a whole CPU, of which a 128
// MB function has 7 %: there a connection more soon costs more than it saves. The
// square root goes through the measured optima, 5 at 128 MB to 24 at 3,008 MB, around
// which the curves are flat: docs/performance.md.
func ForMemory(size string) int {
	mb, err := strconv.Atoi(size)
	if err != nil || mb <= 0 {
		return Width
	}
	return min(Width, max(2, int(math.Sqrt(float64(mb)/5))))
}

type key struct{}

// WithWidth returns ctx with the number of things that may go on at once under it.
func WithWidth(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, key{}, n)
}

// Shared returns ctx with what each of n things that go on at once may have of its
// width, at least 1.
func Shared(ctx context.Context, n int) context.Context {
	return WithWidth(ctx, max(1, WidthOf(ctx)/max(1, n)))
}

// WidthOf returns how many things may go on at once under ctx.
func WidthOf(ctx context.Context) int {
	if n, ok := ctx.Value(key{}).(int); ok {
		return n
	}
	return Width
}

// slow is how long a thing counts against the width. The width bounds TLS handshakes
// and the CPU that they take; what takes longer than this waits for somebody else,
// and must not keep what could be done meanwhile from starting.
const slow = time.Second

// Do calls do(0) … do(n-1), at most as many at once as the width of ctx, and returns
// when all have returned. One that runs for longer than a second no longer counts. A
// panic of do is raised again here, after the others have returned. A do that ends
// its goroutine ends only that.
func Do(ctx context.Context, n int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	var wg sync.WaitGroup
	var once sync.Once
	var panicked any
	places := make(chan struct{}, WidthOf(ctx))
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			GrowStack()
			free := sync.OnceFunc(func() { <-places })
			defer free()
			defer time.AfterFunc(slow, free).Stop()
			defer func() {
				if p := recover(); p != nil {
					once.Do(func() { panicked = p })
				}
			}()
			do(i)
		})
	}
	wg.Wait()
	if panicked != nil {
		panic(panicked)
	}
}

// stackRoom is what GrowStack makes room for, in bytes. A call of the SDK takes a stack of
// 32 KiB, which is the next size above it.
const stackRoom = 16 << 10

// GrowStack makes room on the stack of a new goroutine for what goes deep. A stack begins
// with 2 KiB and doubles, and each time all that is on it moves: that was a twelfth of the
// instructions of a cold start. It costs least while little is on it.
//
// It is not inlined, or the room would stay in use.
//
//go:noinline
func GrowStack() {
	var room [stackRoom]byte
	runtime.KeepAlive(&room)
}

// Batches divides 0 … n-1 into batches of at most size, in order. In one batch all
// have the same key, and no two the same name.
func Batches[K comparable](n, size int, of func(i int) (key K, name string)) (batches [][]int) {
	names := make([]string, n)
	open := map[K][]int{} // the batches of a key that have room
	for i := range n {
		key, name := of(i)
		names[i] = name
		room := open[key]
		k := slices.IndexFunc(room, func(b int) bool {
			return !slices.ContainsFunc(batches[b], func(j int) bool { return names[j] == name })
		})
		if k < 0 {
			k, room = len(room), append(room, len(batches))
			batches = append(batches, nil)
			open[key] = room
		}
		b := room[k]
		if batches[b] = append(batches[b], i); len(batches[b]) == size {
			open[key] = slices.Delete(room, k, k+1)
		}
	}
	return batches
}
