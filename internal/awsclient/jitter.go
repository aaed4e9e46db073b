package awsclient

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// Rand returns a uniform number in [0, 1). It comes from crypto/rand, because the state of
// math/rand is part of a snapshot: a thousand environments restored from one would draw the
// same numbers, and come back all at once.
func Rand() float64 {
	var b [8]byte
	rand.Read(b[:]) // never fails, see its documentation
	return float64(binary.LittleEndian.Uint64(b[:])>>11) / (1 << 53)
}

// Jitter returns d less up to the given part of it.
func Jitter(d time.Duration, part float64) time.Duration {
	return d - time.Duration(Rand()*part*float64(d))
}
