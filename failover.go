package secrets

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/guard"
)

// silence is how long the first Region may be silent before the second is asked too.
// A call that is cut at its own limit of 2 s would leave an on-demand warm no time
// for another.
const silence = awsclient.ConnectTimeout

type failoverKey struct{}

// withFailover returns ctx under which the second Region that a source states may be
// asked, where wanted reports true once the first has failed: a cache with a value in
// hand serves that instead.
func withFailover(ctx context.Context, wanted func(source Ref) bool) context.Context {
	return context.WithValue(ctx, failoverKey{}, wanted)
}

// failingOver returns a stream that asks the second Region of a source where the
// first fails, and delivers what that one answers with its name in Result.region.
// Only failures that say nothing of the source count: after an answer of 4xx the
// second Region is never asked, for a secret that was deleted, or that this role must
// no longer read, may still stand there.
func failingOver(next streamFunc) streamFunc {
	return func(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
		wanted, _ := ctx.Value(failoverKey{}).(func(Ref) bool)
		two := func(ref Ref) bool { return ref.Failover() != "" }
		if wanted == nil || !slices.ContainsFunc(refs, two) {
			next(ctx, refs, deliver)
			return
		}
		f := &failover{next: next, deliver: deliver, open: len(refs)}
		f.sources = make([]failoverSource, len(refs))
		for i, ref := range refs {
			s := &f.sources[i]
			s.first = ref
			s.second, s.has = ref.inFailover()
		}
		f.run(ctx, refs, wanted)
	}
}

// A failover is one call of a stream with two Regions.
type failover struct {
	next    streamFunc
	deliver func(i int, r Result)

	// cancel ends the call to the first Region once all is delivered: nobody waits for it then.
	cancel context.CancelFunc

	mu      sync.Mutex
	decided bool // it is known for whom the second Region is asked
	open    int  // sources that have no result yet
	sources []failoverSource
}

// A failoverSource is what is known of one source.
type failoverSource struct {
	first, second Ref
	has           bool // it states a second Region
	asked         bool // there, too

	delivered bool
	failed    *Result // what the first Region said, kept until the second has answered
	failedToo *Result // what the second said
}

func (f *failover) run(ctx context.Context, refs []Ref, wanted func(Ref) bool) {
	inFirst, cancel := context.WithCancel(ctx)
	defer cancel()
	f.cancel = cancel
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		guard.Call(func() string { f.next(inFirst, refs, f.fromFirst); return "" })
	}()
	timer := time.NewTimer(silence)
	defer timer.Stop()
	select {
	case <-returned:
	case <-timer.C:
	case <-ctx.Done():
	}
	at, second := f.decide(ctx, wanted)
	if len(second) > 0 {
		f.next(ctx, second, func(k int, r Result) { f.fromSecond(at[k], r) })
	}
	<-returned
}

// decide settles for whom the second Region is asked, and returns them.
func (f *failover) decide(ctx context.Context, wanted func(Ref) bool) (at []int, second []Ref) {
	want := make([]bool, len(f.sources))
	waiting := ctx.Err() == nil
	for i := range f.sources {
		if s := &f.sources[i]; waiting && s.has {
			want[i] = wanted(s.first) // not under the lock: it asks the cache
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decided = true
	for i := range f.sources {
		switch s := &f.sources[i]; {
		case s.delivered:
		case want[i]:
			s.asked = true
			at, second = append(at, i), append(second, s.second)
		case s.failed != nil:
			f.deliverLocked(i, *s.failed)
		}
	}
	return at, second
}

// fromFirst takes a result of the first Region, whenever it comes: before the second
// is asked, meanwhile or after.
func (f *failover) fromFirst(i int, r Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.sources[i]
	second := s.asked || !f.decided // it is, or may still be, asked too
	switch {
	case !s.has, !second, !regional(r.Err):
		f.deliverLocked(i, r)
	case s.failedToo != nil:
		f.deliverLocked(i, failedTwice(r, *s.failedToo))
	default:
		s.failed = &r
	}
}

// fromSecond takes a result of the second Region. What it says of a failure does not
// count: a replica that is missing there says nothing of the secret.
func (f *failover) fromSecond(i int, r Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.sources[i]
	switch {
	case r.Err == nil:
		r.region = s.second.Region()
		f.deliverLocked(i, r)
	case s.failed != nil:
		f.deliverLocked(i, failedTwice(*s.failed, r))
	default:
		s.failedToo = &r
	}
}

// deliverLocked delivers the first result that there is for a source.
func (f *failover) deliverLocked(i int, r Result) {
	s := &f.sources[i]
	if s.delivered {
		return
	}
	s.delivered = true
	f.deliver(i, r)
	if f.open--; f.open == 0 {
		f.cancel()
	}
}

// regional reports whether another Region may answer where this error came from one.
func regional(err error) bool {
	var e *ResolveError
	if !errors.As(err, &e) || !e.transient() {
		return false
	}
	apiErr := e.api()
	return apiErr != nil && apiErr.Regional()
}

// failedTwice returns the first Region's failure with what the second said.
func failedTwice(first, second Result) Result {
	e := *first.Err.(*ResolveError) // regional has seen it
	errors.As(second.Err, &e.second)
	return Result{Err: &e}
}
