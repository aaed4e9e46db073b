package secrets

import (
	"cmp"
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/awserr"
	"github.com/lambdasecrets/secrets/internal/clock"
)

// Stream and StreamEach are how the cache fetches from a provider.
var (
	Stream     = stream
	StreamEach = streamEach
)

// StreamBatches is how the backends that batch ask for several names at once.
func StreamBatches(
	ctx context.Context, refs []Ref, deliver func(i int, r Result), size int,
	of func(Ref) (key, name string), fetch func(context.Context, []Ref, func(i int, r Result)),
) {
	kinds := func(r Ref) (k together, name string) {
		k.kind, name = of(r)
		return k, name
	}
	streamBatches(ctx, refs, deliver, size, kinds, fetch)
}

// FailingOver is a provider whose second Region may be asked under WithFailover, and ResultRegion
// that Region if r came from there.
func FailingOver(p Provider) Provider {
	next := func(ctx context.Context, refs []Ref, deliver func(int, Result)) { stream(ctx, p, refs, deliver) }
	return &streamer{failingOver(next)}
}

var WithFailover = withFailover

// NewStreamer is a provider of the library's own kind.
func NewStreamer(stream func(_ context.Context, refs []Ref, deliver func(i int, r Result))) Provider {
	return &streamer{stream}
}

func ResultRegion(r Result) string { return r.region }

// ResultWhole reports whether r belongs to a call that failed as a whole.
func ResultWhole(r Result) bool { return r.whole }

// RegionalError is an error after which the second Region is asked, and OddRefusal one that an outage hardly gives.
func RegionalError(ref Ref) error { return statusError(ref, 503) }
func OddRefusal(ref Ref) error    { return statusError(ref, 400) }

func statusError(ref Ref, status int) error {
	return &ResolveError{Ref: ref, kind: ErrUnavailable, cause: &awserr.Error{Status: status}}
}

// OutgrownError is that of a tree past its limits.
func OutgrownError(ref Ref) error {
	return &ResolveError{Ref: ref, kind: ErrInvalidReference, problem: "too large", outgrown: true}
}

// WholeCall and Outgrown report what the cache reads of an error, and Warning of a result.
func WholeCall(err error) bool { return err.(*ResolveError).wholeCall }
func Outgrown(err error) bool  { return err.(*ResolveError).outgrown }
func Warning(r Result) string  { return r.warning }

// NewBatchingSecretsManager is what WithBatchGetSecretValue makes, without the cache that retries.
func NewBatchingSecretsManager(cfg aws.Config) Provider {
	return newSecretsManager(backendConfig{source: awsclient.Fixed(cfg), batch: batching})
}

// LogText is what attributes of log lines are escaped by.
var LogText = logText

// Next is what a caller does next, by the names of decide.go. Flags are those of a situation.
func Next(mode, value string, flags ...string) string {
	s := situation{mode: modes[mode], value: values[value]}
	fields := map[string]*bool{"running": &s.running, "failing": &s.failing, "pausing": &s.pausing,
		"turnedAway": &s.turnedAway, "renewed": &s.renewed, "refused": &s.refused,
		"joined": &s.joined, "answered": &s.answered, "persists": &s.persists, "over": &s.over}
	for _, f := range flags {
		*fields[f] = true
	}
	return [...]string{serve: "serve", fail: "fail", wait: "wait", pause: "pause", start: "start"}[s.next()]
}

// Modes, ValueStates and Flags are the names that Next takes.
var (
	modes = map[string]mode{"reading": reading, "warming": warming, "renewing": renewing,
		"searching": searching}
	values = map[string]valueState{"missing": missing, "due": due, "dueSoon": dueSoon, "fresh": fresh}

	Modes       = []string{"reading", "warming", "renewing", "searching"}
	ValueStates = []string{"missing", "due", "dueSoon", "fresh"}
	Flags       = []string{"running", "failing", "pausing", "turnedAway", "renewed", "refused",
		"joined", "answered", "persists", "over"}
)

// Says is what a parting says of its source, by the names of decide.go.
func Says(waited time.Duration, flags ...string) string {
	p := parting{waited: waited}
	fields := map[string]*bool{"holds": &p.holds, "warming": &p.warming, "cancelled": &p.cancelled,
		"tried": &p.tried, "frozen": &p.frozen, "known": &p.known}
	for _, f := range flags {
		*fields[f] = true
	}
	return [...]string{nothing: "nothing", remember: "remember", silent: "silent"}[p.says()]
}

// A Known is a source of which one value and one failure are known.
type Known struct {
	Age, TTL, MaxStale, Grace time.Duration
	Share                     float64       // of the TTL that was drawn, 1 if it is 0
	Broken                    bool          // the value lacks a declared field
	Fixed                     bool          // it can never change
	DeniedFor                 time.Duration // since the first permanent failure, or 0
	Throttled                 bool
}

// State returns the state of the value, by the names of entry.go, and why it may not be served.
func (k Known) State() (state, dropped string) {
	at := clock.Moment{Wall: 1 << 40, Mono: 1 << 40}
	now := clock.Moment{Wall: at.Wall + int64(k.Age), Mono: at.Mono + int64(k.Age)}
	g := &generation{at: at, share: cmp.Or(k.Share, 1), broken: k.Broken, fixed: k.Fixed}
	e := &entry{}
	e.gen.Store(g)
	if k.Throttled || k.DeniedFor > 0 {
		since := clock.Moment{Wall: now.Wall - int64(k.DeniedFor), Mono: now.Mono - int64(k.DeniedFor)}
		e.failure = &failure{permanent: k.DeniedFor > 0, since: since}
	}
	b := bounds{k.TTL, k.MaxStale}
	_, s := e.state(b, k.Grace, now)
	names := [...]string{missing: "missing", due: "due", dueSoon: "dueSoon", fresh: "fresh"}
	return names[s], e.dropReason(g, b, k.Grace, now)
}

// Windows returns the windows that n failures open, each after the last one has ended.
func Windows(n int, draw float64) (windows []time.Duration) {
	f := &failure{}
	now := clock.Moment{Wall: 1 << 40, Mono: 1 << 40}
	for i := range n {
		f.openWindow(uint64(i+1), draw, now)
		f.openWindow(uint64(i+1), draw, now) // while it is open nothing changes
		windows = append(windows, f.window)
		now = clock.Moment{Wall: now.Wall + int64(f.window), Mono: now.Mono + int64(f.window)}
	}
	return windows
}

// TurnsAway reports whether a window that opened a moment ago turns a caller away.
func TurnsAway(silence, has time.Duration, holds, cameBefore bool) bool {
	now := clock.Moment{Wall: 1 << 40, Mono: 1 << 40}
	f := &failure{silence: silence}
	f.openWindow(7, 0, now)
	arrived := uint64(7)
	if cameBefore {
		arrived = 6
	}
	return f.turnsAway(arrived, has, holds, now)
}

// Suspicions returns how far the search for a bad name is after each of the failures, and whether the
// next step is to be taken at once. A failure is "5xx" or "4xx", of a whole call, or "own"; a probe is answered, or
// fails for all that wait for it.
func Suspicions(failures ...string) (steps []string) {
	names := [...]string{trusted: "trusted", outage: "outage", failedOnce: "failedOnce", probing: "probing",
		cleared: "cleared", apart: "apart"}
	e := &entry{failure: &failure{}}
	for _, f := range failures {
		step := ""
		switch {
		case f == "probe answered":
			e.suspect = cleared
		case f == "probe fails":
			e.outageProbed(outcome{})
		case e.suspectWhole(failureNature{transient: true, whole: f != "own", refused: f == "4xx"}):
			step = " at once"
		}
		steps = append(steps, names[e.suspect]+step)
	}
	return steps
}

// DrawLife is the share of the TTL that a generation lives.
var DrawLife = drawLife

// Sources returns how many sources the cache of an Env knows, and SourcesOf how many a Cache does.
func Sources(e *Env) int { return SourcesOf(e.cache) }

func SourcesOf(c *Cache) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
