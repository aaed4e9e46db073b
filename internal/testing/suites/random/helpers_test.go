package random_test

import (
	"io"
	"sync"
	"time"
)

// A clocks is a Clock whose two sides are moved apart by hand; both go on with time.Now.
type clocks struct {
	mu         sync.Mutex
	base       time.Time
	wall, mono time.Duration // added to time.Now
}

func newClocks() *clocks { return &clocks{base: time.Now()} }

func (c *clocks) now() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return now.Round(0).Add(c.wall), now.Sub(c.base) + c.mono
}

func (c *clocks) shift(wall, mono time.Duration) {
	c.mu.Lock()
	c.wall, c.mono = c.wall+wall, c.mono+mono
	c.mu.Unlock()
}

// locked is a writer for several goroutines.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
