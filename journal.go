package secrets

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
)

// undeclaredEvery is how often the failures of references that were not declared are
// logged.
const undeclaredEvery = time.Minute

// maxWaiting bounds the variables that a line lists.
const maxWaiting = 50

// A journal keeps log lines while the cache is locked: loggers block, and the text of
// a failure comes from errors that are not ours. Callers write them before they
// return, with the values of their own context, so that a line carries the id of the
// request that caused it.
type journal []event

type event struct {
	level  slog.Level
	name   string
	source Ref      // as the log may print it
	vars   []string // the variables it was declared for
	err    *ResolveError
	args   []any
}

// noteLocked leaves a log line about a declared source and a failure, which may be
// nil.
func (c *Cache) noteLocked(level slog.Level, name string, e *entry, err *ResolveError,
	args ...any) {
	if e.declared {
		c.journal = append(c.journal, event{level, name, e.shown, e.names, err, args})
	}
}

// noteStaleLocked logs, once per failure, that an old value is served because AWS
// does not answer. A permanent failure has its own line.
func (c *Cache) noteStaleLocked(e *entry, g *generation, now clock.Moment) {
	f := e.failure
	if !f.isTransient() || f.staleLogged {
		return
	}
	f.staleLogged = true
	c.noteLocked(slog.LevelWarn, "secrets.stale", e, f.err, "age", ageText(g, now))
}

// noteDroppedLocked logs that a value is not served any more.
func (c *Cache) noteDroppedLocked(e *entry, g *generation, why string, now clock.Moment) {
	if e.failure != nil {
		c.noteLocked(slog.LevelError, "secrets.dropped", e, e.failure.err,
			"reason", why, "age", ageText(g, now))
	}
}

// noteVersionLocked logs that a source has another version than before.
func (c *Cache) noteVersionLocked(e *entry, g *generation) {
	v := g.slots[0].value.d.version
	if v.raw() == e.version.raw() {
		return
	}
	if e.content > 1 {
		c.noteLocked(slog.LevelInfo, "secrets.version", e, nil, "old", e.version, "new", v)
	}
	e.version = v
}

// noteRegionLocked logs, once each way, that a value comes from the second Region of
// its reference.
func (c *Cache) noteRegionLocked(e *entry, g *generation) {
	switch {
	case g.region == e.region:
	case g.region != "":
		c.noteLocked(slog.LevelWarn, "secrets.failover", e, nil, "region", g.region)
	default:
		c.noteLocked(slog.LevelInfo, "secrets.failover", e, nil, "region", e.source.Region())
	}
	e.region = g.region
}

func ageText(g *generation, now clock.Moment) string {
	return now.Since(g.at).Round(time.Second).String()
}

// noticeLocked logs what r waits for, once it has waited a second with nothing to
// serve. Of the callers who wait for one source the first one does.
func (c *Cache) noticeLocked(r *request) {
	if time.Since(r.began) < noticeAfter || r.ended != nil {
		return
	}
	var names []string
	var cause *ResolveError
	for _, w := range r.wants {
		e := w.entry
		open := !w.settled && !w.along
		told := e.noticed || !e.declared
		if !open || told || e.gen.Load() != nil {
			continue
		}
		e.noticed = true
		names = append(names, e.names...)
		if e.failure != nil {
			cause = e.failure.err.forVariable("", e.shown)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	if more := len(names) - maxWaiting; more > 0 {
		names = append(names[:maxWaiting], fmt.Sprintf("and %d more", more))
	}
	c.journal = append(c.journal, event{level: slog.LevelWarn, name: "secrets.wait", err: cause,
		args: []any{"waiting", names, "for", time.Since(r.began).Round(time.Second).String()}})
}

// writeLog writes what was left by whoever holds no lock. A logger that panics loses
// the lines that it got, and leaves nothing locked.
func (c *Cache) writeLog(ctx context.Context) {
	c.mu.Lock()
	events := c.journal
	c.journal = nil
	c.mu.Unlock()
	if len(events) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	c.showVersions(events)
	for _, ev := range events {
		c.logger().Log(ctx, ev.level, ev.name, ev.attrs()...)
	}
}

// showVersions puts the texts of versions in their places.
func (c *Cache) showVersions(events []event) {
	var names []string
	for _, ev := range events {
		for i, arg := range ev.args {
			if v, ok := arg.(*versionOf); ok {
				ev.args[i] = v.String()
				names = append(names, v.String())
			}
		}
	}
	if len(names) == 0 {
		return
	}
	held := c.held(names)
	for _, ev := range events {
		for i, arg := range ev.args {
			if text, ok := arg.(string); ok && held[text] {
				ev.args[i] = redacted
			}
		}
	}
}

// attrs returns the attributes of the line.
func (ev event) attrs() []any {
	var attrs []any
	err := ev.err
	if ev.source != (Ref{}) {
		attrs = append(attrs, "reference", ev.source.String())
		if err != nil {
			err = err.forVariable("", ev.source)
		}
	}
	if ev.vars != nil {
		attrs = append(attrs, "variables", ev.vars)
	}
	attrs = append(attrs, ev.args...)
	if err != nil {
		attrs = append(attrs, "error", Detail(err))
	}
	return logAttrs(attrs...)
}

// undeclaredFailures counts the failures of references that were not declared. Their
// callers have the errors, and a request may name anything: one line a minute says
// how many there were.
type undeclaredFailures struct {
	count  int
	logged clock.Moment
	began  bool
}

// noteUndeclaredLocked counts a failure of e.
func (c *Cache) noteUndeclaredLocked(e *entry, err *ResolveError, now clock.Moment) {
	u := &c.others
	u.count++
	if u.began && now.Within(undeclaredEvery, u.logged) {
		return
	}
	c.journal = append(c.journal, event{level: slog.LevelWarn, name: "secrets.undeclared",
		source: e.shown, err: err, args: []any{"failures", u.count}})
	*u = undeclaredFailures{logged: now, began: true}
}
