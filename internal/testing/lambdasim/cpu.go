package lambdasim

import (
	"runtime"
	"time"
)

// cpuLimiter holds a process to its share of the processor. One event runs at a time.
type cpuLimiter interface {
	name() string
	begin(*process) error // before an event
	end()                 // after it; also without begin
	close() error         // when no process is left
}

// newCPULimiter takes the best means this machine offers.
func newCPULimiter(cfg *Config) cpuLimiter {
	share := cfg.cpuShare()
	if !cfg.CPULimit || share >= float64(runtime.NumCPU()) {
		return noLimit{}
	}
	if c := newCgroup(share); c != nil {
		return c
	}
	if share >= 1 { // stopping a process stops it on all cores
		return noLimit{}
	}
	return &dutyCycle{share: share}
}

// cpuShare is what Lambda gives, in cores: one at 1,769 MB.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
func (c *Config) cpuShare() float64 { return float64(c.Memory) / 1769 }

type noLimit struct{}

func (noLimit) name() string         { return "none" }
func (noLimit) begin(*process) error { return nil }
func (noLimit) end()                 {}
func (noLimit) close() error         { return nil }

// dutyCycle stops and continues the process, so that it runs for its share of each period. It limits wall time, not
// processor time: several threads get more than Lambda would give, a process that waits gets less.
type dutyCycle struct {
	share float64
	stop  chan struct{} // nil while no event runs
	done  chan struct{}
}

const dutyPeriod = 10 * time.Millisecond

func (d *dutyCycle) name() string { return "duty cycle" }

func (d *dutyCycle) begin(p *process) error {
	d.stop, d.done = make(chan struct{}), make(chan struct{})
	go d.run(p, d.stop, d.done)
	return nil
}

func (d *dutyCycle) run(p *process, stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	on := time.Duration(d.share * float64(dutyPeriod))
	for {
		p.throttle(true)
		if !pause(dutyPeriod-on, stop) {
			p.throttle(false)
			return
		}
		p.throttle(false)
		if !pause(on, stop) {
			return
		}
	}
}

// pause reports whether d has passed before stop was closed.
func pause(d time.Duration, stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	case <-time.After(d):
		return true
	}
}

func (d *dutyCycle) end() {
	if d.stop != nil {
		close(d.stop)
		<-d.done
		d.stop = nil
	}
}

func (d *dutyCycle) close() error { return nil }
