package secrets

// What an entry takes beside its texts, some 1,300 bytes, is bounded by the numbers.
const (
	maxUndeclared = 1000               // values of references that were not declared
	maxAbsent     = 3000               // failures of others
	maxKept       = maxValue + 512<<10 // bytes of the texts of both
)

// kept is the place of an entry in a keptList.
type kept struct {
	newer, older *entry
	size         int
	isIn, value  bool
}

// A keptList is the entries of references that were not declared, in the order of
// their last use. The oldest go when there are too many. Each step costs the same,
// however many there are.
type keptList struct {
	newest, oldest *entry
	size           int
	values, absent int // entries with a value, and without one
}

// each calls f for all entries, the newest first.
func (l *keptList) each(f func(*entry)) {
	for e := l.newest; e != nil; e = e.kept.older {
		f(e)
	}
}

// put makes e the newest.
func (l *keptList) put(e *entry) {
	l.remove(e)
	e.kept = kept{older: l.newest, size: e.size(), isIn: true, value: e.gen.Load() != nil}
	if l.newest != nil {
		l.newest.kept.newer = e
	} else {
		l.oldest = e
	}
	l.newest = e
	l.size += e.kept.size
	if e.kept.value {
		l.values++
	} else {
		l.absent++
	}
}

// remove takes e out, if it is in.
func (l *keptList) remove(e *entry) {
	k := e.kept
	if !k.isIn {
		return
	}
	if k.newer != nil {
		k.newer.kept.older = k.older
	} else {
		l.newest = k.older
	}
	if k.older != nil {
		k.older.kept.newer = k.newer
	} else {
		l.oldest = k.newer
	}
	l.size -= k.size
	if k.value {
		l.values--
	} else {
		l.absent--
	}
}

// size returns how many bytes of text e keeps.
func (e *entry) size() int {
	d := e.source.data()
	size := len(d.ID) + len(d.Version) + len(d.Stage) + len(d.Context) + len(d.Key) + len(d.Role)
	if f := e.failure; f != nil {
		size += f.nature.text
	}
	if g := e.gen.Load(); g != nil {
		v := g.slots[0].value
		size += len(v.d.plain()) + len(v.d.version.raw()) + len(g.arn)
	}
	return size
}

// keepLocked moves an entry that was not declared to the newest.
func (c *Cache) keepLocked(e *entry) {
	if e.declared || c.entries[e.source] != e {
		return
	}
	if e.isKnown() {
		c.kept.put(e)
	}
}

// isKnown reports whether a try of e has brought something.
func (e *entry) isKnown() bool { return e.gen.Load() != nil || e.failure != nil }

// isFull reports whether the oldest entries have to go.
func (l *keptList) isFull() bool {
	tooMany := l.values > maxUndeclared || l.absent > maxAbsent
	return tooMany || l.size > maxKept
}

// evictLocked lets the oldest entries go that are too many. What somebody waits for
// stays.
func (c *Cache) evictLocked() {
	l := &c.kept
	for e := l.oldest; e != nil && l.isFull(); {
		newer := e.kept.newer
		if e.isIdle() {
			l.remove(e)
			delete(c.entries, e.source)
		}
		e = newer
	}
}

// forgetLocked removes an entry of which nothing is known and for which nobody waits,
// so that callers who gave up leave nothing behind.
func (c *Cache) forgetLocked(e *entry) {
	if e.declared || e.isKnown() || c.entries[e.source] != e {
		return
	}
	if e.isIdle() {
		delete(c.entries, e.source)
	}
}

// isIdle reports whether nobody waits for e, and no try of it may bring anything.
func (e *entry) isIdle() bool {
	return len(e.waiting) == 0 && (e.try == nil || e.try.done)
}
