// Package later has a lock whose holder may leave something to do once it is released: what blocks or calls code of others, such as writing a log line.
package later

import "sync"

// A Mutex is a lock with a queue of what is to be done. The zero Mutex is unlocked and has nothing to do.
type Mutex struct {
	mu   sync.Mutex
	todo []func() // under mu
}

// Lock locks m.
func (m *Mutex) Lock() { m.mu.Lock() }

// Do leaves f to be done by whoever unlocks m next, in the order of the calls. The caller holds m.
func (m *Mutex) Do(f func()) { m.todo = append(m.todo, f) }

// Unlock unlocks m and does what was left, before it returns.
func (m *Mutex) Unlock() {
	todo := m.todo
	m.todo = nil
	m.mu.Unlock()
	for _, f := range todo {
		f()
	}
}

// Release unlocks m and leaves what is to be done to the next Unlock.
func (m *Mutex) Release() { m.mu.Unlock() }
