// Package jitter draws the random numbers that keep many environments from doing the
// same thing at the same moment.
package jitter

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// Draw returns a uniform number in [0, 1). It comes from crypto/rand, because the
// state of math/rand is part of a snapshot: a thousand environments restored from one
// would draw the same numbers, and come back all at once.
func Draw() float64 {
	var b [8]byte
	rand.Read(b[:]) // never fails, see its documentation
	return float64(binary.LittleEndian.Uint64(b[:])>>11) / (1 << 53)
}

// Less returns d less up to the given share of it.
func Less(d time.Duration, share float64) time.Duration {
	return LessBy(d, share, Draw())
}

// LessBy returns d less a share of it, times a number that was drawn before.
func LessBy(d time.Duration, share, draw float64) time.Duration {
	return d - time.Duration(draw*share*float64(d))
}
