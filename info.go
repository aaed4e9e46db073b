package secrets

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// RefInfo tells an audit where a variable's value came from.
type RefInfo struct {
	Variable  string        // or "" for a reference built in code
	Ref       Ref           // as written; one that WithVars declared prints its length, and equals no other
	ARN       string        // of the parameter, secret or KMS key, where the backend says
	Version   string        // see Value.Version
	FetchedAt time.Time     // the zero time if it is not resolved
	Age       time.Duration // by the clock that went further
	Err       error         // of the last fetch, if that failed
}

// Refs lists every reference, sorted by variable, then those resolved in code. It makes no call.
func (e *Env) Refs() []RefInfo {
	c := e.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	info := func(entry *entry, name string, ref Ref) RefInfo {
		r := RefInfo{Variable: name, Ref: ref}
		if g := entry.gen.Load(); g != nil {
			v := g.values[0].value
			r.ARN, r.Version, r.FetchedAt, r.Age = g.arn, v.Version(), v.FetchedAt(), now.Since(g.at)
		}
		if entry.fail != nil {
			r.Err = entry.fail.err.named(name, ref)
		}
		return r
	}
	var infos []RefInfo
	for _, v := range e.order {
		infos = append(infos, info(v.entry, v.name, v.ref))
	}
	loose := c.loose()
	// By pointer: the sort of a struct that only this package has would be 24 kB of the binary.
	slices.SortFunc(loose, func(a, b *entry) int { return strings.Compare(a.source.String(), b.source.String()) })
	for _, entry := range loose {
		infos = append(infos, info(entry, "", entry.shown))
	}
	return infos
}

// Stats counts what happened since New.
type Stats struct {
	Rounds   uint64            // calls to providers begun, each for one scheme and Region
	Values   uint64            // values fetched
	Stale    uint64            // reads that were served an old value
	Failures map[string]uint64 // failed fetches, by the kind's text, as "throttled"
	Errors   map[string]error  // variable → error of its last fetch, where that failed
}

// Stats returns a copy of the counters. Cached reads are not counted: that would cost more than they do.
func (e *Env) Stats() Stats {
	e.cache.mu.Lock()
	s := e.cache.stats
	s.Failures = maps.Clone(s.Failures)
	e.cache.mu.Unlock()
	s.Errors = map[string]error{}
	for _, r := range e.Refs() {
		if r.Err != nil && r.Variable != "" {
			s.Errors[r.Variable] = r.Err
		}
	}
	return s
}
