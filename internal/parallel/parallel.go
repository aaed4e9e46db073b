// Package parallel does several things at once, as many as a context allows.
package parallel

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

// Width is how many things go on at once where a context does not say.
const Width = 32

// ForMemory returns how many calls to one service may go out at once in a function with so many MB of memory, which is text as Lambda writes it; Width if it says
// nothing. A TLS handshake takes about a millisecond of a whole CPU, of which a 128 MB function has 7 %: there a connection more soon costs more than
// it saves. The square root goes through the measured optima, 5 at 128 MB to 24 at 3,008 MB, around which the curves are flat: docs/performance.md.
func ForMemory(size string) int {
	mb, err := strconv.Atoi(size)
	if err != nil || mb <= 0 {
		return Width
	}
	return min(Width, max(2, int(math.Sqrt(float64(mb)/5))))
}

type key struct{}

// WithWidth returns ctx with the number of things that may go on at once under it.
func WithWidth(ctx context.Context, n int) context.Context { return context.WithValue(ctx, key{}, n) }

// Shared returns ctx with what each of n things that go on at once may have of its width, at least 1.
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

// Do calls do(0) … do(n-1), at most as many at once as the width of ctx, and returns when all have returned. A panic of do is raised again here. A
// do that ends its goroutine ends only that.
func Do(ctx context.Context, n int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	var wg sync.WaitGroup
	var next atomic.Int64
	var once sync.Once
	var panicked any
	for range min(n, WidthOf(ctx)) {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					once.Do(func() { panicked = p })
				}
			}()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
	if panicked != nil {
		panic(panicked)
	}
}

// Batches divides 0 … n-1 into batches of at most size, and calls do for all of them, as [Do] does. In one batch all have the same key, and no two the same name.
// Batches of more than one share the width of ctx.
func Batches[K comparable](ctx context.Context, n, size int, of func(i int) (key K, name string), do func(ctx context.Context, batch []int)) {
	keys, names := make([]K, n), make([]string, n)
	var batches [][]int
	shared := 0
	for i := range n {
		keys[i], names[i] = of(i)
		at := slices.IndexFunc(batches, func(batch []int) bool {
			return len(batch) < size && keys[batch[0]] == keys[i] && !slices.ContainsFunc(batch, func(j int) bool { return names[j] == names[i] })
		})
		if at < 0 {
			at, batches = len(batches), append(batches, nil)
		}
		if batches[at] = append(batches[at], i); len(batches[at]) == 2 {
			shared++
		}
	}
	each := Shared(ctx, shared)
	Do(ctx, len(batches), func(i int) { do(each, batches[i]) })
}
