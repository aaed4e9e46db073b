package clock

import (
	"testing"
	"time"
)

func TestMoment_Age(t *testing.T) {
	t.Parallel()
	at := At(time.Unix(1000, 0), time.Hour)
	for name, test := range map[string]struct {
		wall, mono    time.Duration // that pass
		since, parted time.Duration
		within        bool // a minute
		interrupted   bool // if it takes an hour at most
	}{
		"both go on":       {30 * time.Second, 30 * time.Second, 30 * time.Second, 0, true, false},
		"a minute is over": {time.Minute, time.Minute, time.Minute, 0, false, false},
		"frozen": {3 * time.Hour, time.Second, 3 * time.Hour,
			3*time.Hour - time.Second, false, true},
		"longer than it takes":      {time.Hour + 1, time.Hour + 1, time.Hour + 1, 0, false, true},
		"NTP steps back":            {-time.Second, time.Second, time.Second, -2 * time.Second, false, false},
		"restored from a snapshot":  {time.Second, -time.Minute, time.Second, 61 * time.Second, false, true},
		"the wall clock stands":     {0, time.Minute, time.Minute, -time.Minute, false, false},
		"the monotonic clock is it": {time.Second, 59 * time.Second, 59 * time.Second, -58 * time.Second, true, false},
	} {
		m := At(time.Unix(1000, 0).Add(test.wall), time.Hour+test.mono)
		if m.Since(at) != test.since || m.Parted(at) != test.parted || m.Within(time.Minute, at) != test.within ||
			m.Interrupted(at, time.Hour) != test.interrupted {
			t.Errorf("%s: since %v, parted %v, within %t, interrupted %t", name, m.Since(at), m.Parted(at),
				m.Within(time.Minute, at), m.Interrupted(at, time.Hour))
		}
	}
}
