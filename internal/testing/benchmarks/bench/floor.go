package bench

import (
	"sync/atomic"
	"time"
)

// FloorRead is the least that a cached read with a TTL can do: look up a name, load a pointer, read
// the clock.
func FloorRead() func(int) {
	type generation struct {
		value   string
		expires int64
	}
	m := map[string]*atomic.Pointer[generation]{}
	var names [ReadNames]string
	for i := range Most {
		name, value := Secret(i)
		p := &atomic.Pointer[generation]{}
		p.Store(&generation{value, time.Now().Add(time.Hour).UnixNano()})
		m[name] = p
		if i < ReadNames {
			names[i] = name
		}
	}
	return func(n int) {
		for i := range n {
			if g := m[names[i%ReadNames]].Load(); g == nil || time.Now().UnixNano() >= g.expires {
				panic("expired")
			}
		}
	}
}
