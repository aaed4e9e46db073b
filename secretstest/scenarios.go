package secretstest

import (
	"fmt"
	"time"

	"github.com/lambdasecrets/secrets"
)

const (
	ttl     = 5 * time.Minute  // of a drill's Env, which has the defaults
	grace   = 5 * time.Minute  // of a value whose refresh is denied
	backoff = 30 * time.Second // the longest time in which a failure is remembered
)

// scenarios are the subtests of Drill. What they expect are the promised bounds, never what an Env
// happened to draw.
var scenarios = []struct {
	name string
	run  func(*drill)
}{
	{"rotation", rotation},
	{"freeze", freeze},
	{"throttling", throttling},
	{"denial", denial},
	{"absence", absence},
	{"cold start under throttling", coldStart},
}

// begin is the first invocation, all well.
func (d *drill) begin() bool {
	d.t.Helper()
	d.rotate()
	return d.expect(d.invoke(), "at the start, all well")
}

func rotation(d *drill) {
	d.rotate()
	first := d.invoke()
	if !d.expect(first, "at the start, all well") || !d.used(first) {
		return
	}
	fetched := d.fake.Rounds()
	if d.expect(d.invoke(), "at once again") && d.fake.Rounds() > fetched {
		d.report(fetching, "", "the second invocation fetches again")
	}
	for _, v := range d.vars {
		if !v.constant() && !d.hung {
			d.rotateOne(v)
		}
	}
}

// used reports each variable of which the handler does not say that it used it.
func (d *drill) used(o outcome) (ok bool) {
	d.t.Helper()
	ok = true
	for _, v := range d.vars {
		if _, used := o.last[v]; !used && !v.constant() {
			d.report(silent, v.name, "it reads the variable, and calls neither Use nor Match")
			ok = false
		}
	}
	return ok
}

// rotateOne rotates one variable, and follows it for as long as the old value may be used.
func (d *drill) rotateOne(v *variable) {
	d.t.Helper()
	rotated := time.Now()
	d.rotate(v)
	o := d.invoke()
	atOnce := o.err == nil && o.last[v].current
	used := atOnce
	for time.Since(rotated) <= ttl && !o.bad {
		time.Sleep(10 * time.Second)
		o = d.invoke()
		used = used || o.last[v].current
	}
	if o.bad {
		return
	}
	late := fmt.Sprintf("longer than %v (the TTL) after a rotation", ttl)
	if o.last[v].variable != nil && !o.last[v].current && d.expires(v) {
		d.caching[v] = true
		d.report(caches, v.name, late+": it uses the old value, and the new one only later")
		return
	}
	if !d.expect(o, late) {
		return
	}
	for range 24 {
		if used {
			break
		}
		time.Sleep(ttl)
		used = d.invoke().last[v].current
	}
	switch {
	case !used:
		d.report(unjudged, v.name, "for 2 hours after a rotation nothing logged in with it, "+
			"as by a connection that stays open")
		return
	case atOnce:
		d.t.Logf("%s: production would have seen: the new value at once after a rotation", v.name)
	default:
		d.t.Logf("%s: production would have seen: the new value at most %v (the TTL) after a rotation; "+
			"env.Do has it at once", v.name, ttl)
	}
}

// expires reports whether a handler that uses an old value uses the new one some hours later.
func (d *drill) expires(v *variable) bool {
	for range 48 {
		time.Sleep(ttl)
		if o := d.invoke(); o.bad || o.last[v].current {
			return !o.bad
		}
	}
	return false
}

func freeze(d *drill) {
	if !d.begin() {
		return
	}
	d.rotate()
	d.clock.Freeze(3 * time.Hour)
	if !d.expect(d.invoke(), "rotated while the environment was frozen for 3 h") {
		return
	}
	time.Sleep(ttl)
	release, done := d.fake.Hold(), make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(100 * time.Millisecond)
		d.rotate()
		d.clock.Freeze(3 * time.Hour)
		release()
	}()
	o := d.invoke()
	select {
	case <-done: // it met the freeze
	default:
		<-done
		o = d.invoke()
	}
	if d.expect(o, "frozen for 3 h in the middle of a refresh, and rotated meanwhile") {
		d.t.Log("production would have seen: the new value in the first invocation after the freeze, " +
			"also in the middle of a refresh")
	}
}

func throttling(d *drill) {
	if !d.begin() {
		return
	}
	time.Sleep(ttl)
	d.fake.Fail("", secrets.ErrThrottled)
	for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(20 * time.Second) {
		if !d.expect(d.invoke(), "while AWS throttles") {
			return
		}
	}
	d.rotate()
	d.fake.Heal()
	time.Sleep(backoff)
	d.invoke() // one caller asks, and the others in this invocation are still served the old value
	if d.expect(d.invoke(), "30 s after ten minutes of throttling, in which the secret was rotated") {
		d.t.Log("production would have seen: the old value, for at most 24 h (WithMaxStale), " +
			"and no failed invocation; then the new one")
	}
}

func denial(d *drill) {
	if !d.begin() {
		return
	}
	time.Sleep(ttl)
	d.fake.Fail("", secrets.ErrAccessDenied)
	if !d.expect(d.invoke(), "a moment after a policy began to deny, as one does while it is replaced") {
		return
	}
	// Who reads often notices the denial when its value is due, and the grace begins then.
	d.denied = true
	o := outcome{}
	for began := time.Now(); time.Since(began) <= ttl+grace && !o.bad; {
		time.Sleep(backoff)
		o = d.invoke()
	}
	if !d.expectError(o, fmt.Sprintf("longer than %v (TTL and grace) after a denial", ttl+grace)) {
		return
	}
	d.denied = false
	d.rotate()
	d.fake.Heal()
	time.Sleep(backoff)
	if d.expect(d.invoke(), "30 s after the policy was mended") {
		d.t.Logf("production would have seen: the old value for at most %v (TTL and grace), then none "+
			"until the policy was mended, then the new value", ttl+grace)
	}
}

func absence(d *drill) {
	d.denied = true
	if !d.expectError(d.invoke(), "while the secret does not exist") {
		return
	}
	d.denied = false
	d.rotate()
	time.Sleep(backoff)
	if d.expect(d.invoke(), "30 s after the secret was created") {
		d.t.Log("production would have seen: no value until the secret was created, then its value")
	}
}

func coldStart(d *drill) {
	d.rotate()
	d.fake.Fail("", secrets.ErrThrottled)
	if !d.expectError(d.invoke(), "while AWS throttles, at the first invocation") {
		return
	}
	d.fake.Heal()
	time.Sleep(backoff)
	if d.expect(d.invoke(), "30 s after the throttling ended") {
		d.t.Log("production would have seen: no value while AWS throttles, and each invocation ends; " +
			"then the value, in the same environment")
	}
}
