// Package clock holds readings of two clocks, because neither can be trusted alone: a
// frozen sandbox stops the monotonic one, and NTP or a restored snapshot may turn
// back the other.
package clock

import "time"

// A Moment is one reading of both clocks, in nanoseconds.
type Moment struct{ Wall, Mono int64 }

// At returns the moment of a wall-clock time and a monotonic reading.
func At(wall time.Time, mono time.Duration) Moment { return Moment{wall.UnixNano(), int64(mono)} }

// base is where the monotonic clock of System and Now stands at zero.
var base = time.Now()

// System reads the clocks of the system.
func System() (wall time.Time, mono time.Duration) {
	now := time.Now()
	return now.Round(0), now.Sub(base)
}

// Now is At of System, without a detour over a time that lost its monotonic reading.
func Now() Moment {
	now := time.Now()
	return At(now, Mono(now))
}

// Mono returns the monotonic reading of a time that time.Now returned. For each cached
// read the compiler puts it and At into the caller, which would be too much with Now.
func Mono(now time.Time) time.Duration { return now.Sub(base) }

// Since returns the time from at to m by the clock that went further.
func (m Moment) Since(at Moment) time.Duration {
	return time.Duration(max(m.Wall-at.Wall, m.Mono-at.Mono))
}

// Parted returns by how much the wall clock went further than the monotonic one: for
// how long the sandbox stood still.
func (m Moment) Parted(at Moment) time.Duration {
	return time.Duration((m.Wall - at.Wall) - (m.Mono - at.Mono))
}

// Interrupted reports whether the sandbox stood still between at and m, or must have:
// what began at at never takes more than longest.
func (m Moment) Interrupted(at Moment, longest time.Duration) bool {
	return m.Parted(at) > time.Second || m.Since(at) > longest
}

// Within reports whether less than d passed from at to m, by both clocks. If either
// stepped back it did not: a negative age is taken as a huge one.
func (m Moment) Within(d time.Duration, at Moment) bool {
	return uint64(m.Wall-at.Wall) < uint64(d) && uint64(m.Mono-at.Mono) < uint64(d)
}
