package secrets

import "time"

// This file decides what a caller does next about one source: a pure function of what
// is known and what is wanted. It takes no lock, reads no clock and changes nothing.

// A step is what a caller does next.
type step int

const (
	serve step = iota // take the value in hand; it is marked stale if it has outlived its TTL
	fail              // return the failure that is known, or that time is up
	wait              // for the running try
	pause             // until the source may be tried again
	start             // a try
)

// A mode is what a caller wants of a source.
type mode int

const (
	reading   mode = iota // a value that is valid, or refreshed, or old if there is no other
	warming               // the same; giving up opens no window, so that the first invocation tries
	renewing              // the result of a try that begins now
	searching             // the same, but an open window answers: see search
)

// A situation is what is known of a source, as one caller sees it at one moment.
type situation struct {
	mode  mode
	value valueState

	// Of the source.
	running    bool // a try runs that the caller may join; when renewing, one that is late enough
	failing    bool // it is known to fail
	pausing    bool // its next try has to wait
	turnedAway bool // a window is open for this caller
	renewed    bool // the value is late enough for a caller that is renewing
	refused    bool // a permanent failure answers what the caller has waited for

	// Of the caller.
	joined   bool // it waits for the running try
	answered bool // something was booked since it began to wait
	persists bool // it tries again after a transient failure
	over     bool // its time is up, or its context has ended
}

// next decides. Each situation below is one state of the value in hand.
func (s situation) next() step {
	switch {
	case s.mode >= renewing:
		return s.nextRenewing()
	case s.value == missing:
		return s.nextMissing()
	case s.value == due:
		return s.nextDue()
	case s.value == dueSoon:
		return s.nextDueSoon()
	}
	return serve
}

// nextMissing: there is nothing to serve, so a caller goes on trying as long as it
// has time.
func (s situation) nextMissing() step {
	switch {
	case s.over, s.turnedAway, s.refused:
		return fail
	case s.running:
		return wait
	case s.pausing:
		return pause
	}
	return start
}

// nextDue: the value has outlived its lifetime. A caller waits for its refresh, but not
// for a try that others make, or are about to make, of a source that is known to fail,
// and not again unless it persists.
func (s situation) nextDue() step {
	tried := s.answered || s.pausing // this caller, or others
	switch {
	case s.over, s.turnedAway, s.refused:
		return serve
	case s.running && (s.joined || !s.failing):
		return wait
	case s.running, tried && !s.persists:
		return serve
	case s.pausing:
		return pause
	}
	return start
}

// nextDueSoon: the value is valid. One caller refreshes it ahead of time, the others
// take it.
func (s situation) nextDueSoon() step {
	switch {
	case s.over, s.turnedAway, s.answered:
		return serve
	case s.running && s.joined:
		return wait
	case s.running, s.pausing:
		return serve
	}
	return start
}

// nextRenewing: only the result of a late enough try will do.
func (s situation) nextRenewing() step {
	switch {
	case s.renewed:
		return serve
	case s.over, s.refused:
		return fail
	case s.mode == searching && s.turnedAway:
		return fail
	case s.running:
		return wait
	case s.pausing && s.answered:
		return pause
	}
	return start
}

// A parting is how a caller leaves a source: because its time is up or its context
// has ended.
type parting struct {
	holds     bool // it takes an old value
	warming   bool
	cancelled bool          // it changed its mind
	tried     bool          // it waited for a try
	frozen    bool          // that stood still over a freeze, which says nothing
	known     bool          // a try has said what is wrong
	waited    time.Duration // without a word of the source
}

// A saying is what a parting says of the source.
type saying int

const (
	nothing  saying = iota
	remember        // what the last try said: callers who come now get that
	silent          // nobody answers within the time that was waited
)

// says decides what is remembered. Each caller may turn away only those who come
// after it: see failure.turnsAway.
func (p parting) says() saying {
	switch {
	case !p.tried, p.frozen:
		return nothing
	case p.warming: // the first invocation after a warm tries at once
		return nothing
	case p.known:
		return remember
	case p.cancelled, p.waited == 0: // or it has heard something in this moment
		return nothing
	case p.holds, p.waited >= staleTimeout-maxLastWords:
		return silent // who had less time learned little
	}
	return nothing
}
