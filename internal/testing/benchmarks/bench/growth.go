package bench

import (
	"context"
	"time"
)

// A Growth is an operation on several sizes of something.
type Growth struct {
	Sizes []int
	// Prepare makes ready one operation on n items, which is what is measured.
	Prepare func(ctx context.Context, n int) (operation func() error, err error)
}

// grow returns the processor time that an operation takes per item. It repeats the operation until
// the readings of that time are exact enough.
func grow(ctx context.Context, g Growth, n int) (Sample, error) {
	var took time.Duration
	operations := 0
	for ; took < 30*time.Millisecond; operations++ {
		operation, err := g.Prepare(ctx, n)
		if err != nil {
			return Sample{}, err
		}
		before := cpuTime()
		if err := operation(); err != nil {
			return Sample{}, err
		}
		took += cpuTime() - before
	}
	return Sample{NS: float64(took.Nanoseconds()) / float64(operations*n)}, nil
}
