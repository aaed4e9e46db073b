package secrets

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/arn"
	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// RefInfo tells an audit where a variable's value came from. The Ref of a variable that
// [WithVars] declares prints its length only, unless it is an ARN, and is then not == to
// one that is parsed.
type RefInfo struct {
	Variable  string        // or "" for a reference built in code
	Ref       Ref           // as written
	ARN       string        // of the parameter, secret or KMS key, where the backend says
	Region    string        // the second Region that Ref states, if the value came from there
	Version   string        // see Value.Version
	FetchedAt time.Time     // the zero time if it is not resolved
	Age       time.Duration // by the clock that went further
	Err       error         // of the last fetch, if that failed
}

// Refs lists every reference, sorted by variable, then those resolved in code. It
// makes no call.
func (e *Env) Refs() []RefInfo {
	infos := e.infos()
	var names []string
	for _, r := range infos {
		names = append(names, r.Version, r.restOfARN())
	}
	slices.Sort(names) // many variables may be of one source
	held := e.cache.held(slices.Compact(names))
	for i := range infos {
		r := &infos[i]
		if held[r.restOfARN()] {
			r.ARN = redacted
		}
		if held[r.Version] {
			r.Version = redacted
		}
	}
	return infos
}

// restOfARN returns what an answer adds to the name that was asked for, which is no secret.
func (r RefInfo) restOfARN() string {
	a, _ := arn.Parse(r.ARN)
	name := refsyntax.BaseName(r.Ref.ID())
	own := strings.NewReplacer(":"+name, "", "/"+name, "")
	return own.Replace(cmp.Or(a.Resource, r.ARN))
}

// infos is Refs, with the names as the backend gave them.
func (e *Env) infos() []RefInfo {
	c := e.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	infos := make([]RefInfo, 0, len(e.order))
	for _, v := range e.order {
		infos = append(infos, v.entry.info(v.name, v.ref(), now))
	}
	var others []*entry
	c.kept.each(func(e *entry) { others = append(others, e) })
	// By pointer: the sort of a struct that only this package has would be 24 kB of
	// the binary.
	slices.SortFunc(others, func(a, b *entry) int {
		return strings.Compare(a.source.String(), b.source.String())
	})
	for _, other := range others {
		infos = append(infos, other.info("", other.shown, now))
	}
	return infos
}

// info returns what is known of e, for a variable and its reference.
func (e *entry) info(variable string, ref Ref, now clock.Moment) RefInfo {
	r := RefInfo{Variable: variable, Ref: ref}
	if g := e.gen.Load(); g != nil {
		v := g.slots[0].value
		r.ARN, r.Region, r.Version = g.arn, g.region, v.Version()
		r.FetchedAt, r.Age = v.FetchedAt(), now.Since(g.at)
	}
	if e.failure != nil {
		r.Err = e.failure.err.forVariable(variable, ref)
	}
	return r
}

// Stats counts what happened since New.
type Stats struct {
	Fetches  uint64            // calls to providers begun, each for one scheme, Region and role
	Values   uint64            // values fetched
	Stale    uint64            // reads that were served an old value
	Failures map[string]uint64 // failed tries, repeated ones included, by the kind's text
}

// Stats returns a copy of the counters. Cached reads are not counted: that would cost
// more than they do.
func (e *Env) Stats() Stats {
	e.cache.mu.Lock()
	defer e.cache.mu.Unlock()
	s := e.cache.stats
	s.Failures = maps.Clone(s.Failures)
	return s
}
