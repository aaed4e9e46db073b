package lambdasim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Result is the answer to one event.
type Result struct {
	RequestID     string
	Payload       []byte         // the response, or the error as JSON, as the invoker gets it
	FunctionError *FunctionError // nil if the function succeeded
	// Duration runs from the event to the process's next request for one; a repeated init is part of it.
	Duration        time.Duration
	InitDuration    time.Duration // of the init that preceded this event on demand, otherwise 0
	RestoreDuration time.Duration // of the restore that preceded this event under SnapStart, otherwise 0
	Report          string        // the REPORT line
}

// Invoke sends one event and blocks until the process is through with it, the function timeout has passed or the
// process is gone. A failure of the function is in [Result.FunctionError]. The error is ctx's (the function runs on,
// as when an invoker hangs up), [ErrClosed], or the simulator's own. The payload is copied; the Result is the
// caller's. At most 6 MB each way.
func (f *Function) Invoke(ctx context.Context, payload []byte) (Result, error) {
	if len(payload) > maxPayload {
		return Result{}, fmt.Errorf("lambdasim: payload of %d bytes, Lambda allows %d", len(payload), maxPayload)
	}
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	}
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		<-f.slots
		return Result{}, ErrClosed
	}
	f.running.Add(1)
	f.mu.Unlock()

	type answer struct {
		result Result
		err    error
	}
	c := make(chan answer, 1)
	inv := &invocation{id: uuid(), payload: slices.Clone(payload), done: make(chan struct{})}
	go func() {
		defer f.running.Done()
		result, busy, err := f.run(inv)
		c <- answer{result, err}
		if busy != nil { // timed out on Managed Instances: its poller is taken until the code returns
			select {
			case <-inv.done:
			case <-busy.proc.exited:
			}
		}
		<-f.slots
	}()
	select {
	case a := <-c:
		return a.result, a.err
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	}
}

// outcome is how an invocation ended.
type outcome struct {
	end      time.Time
	response []byte
	fnErr    *FunctionError
	status   string   // of the REPORT line
	busy     *sandbox // still works on the event
}

// run takes one event through the process. busy is a sandbox that still works on it afterwards.
func (f *Function) run(inv *invocation) (res Result, busy *sandbox, err error) {
	res.RequestID = inv.id
	start := time.Now()
	box, cold, fnErr, err := f.ready(start.Add(f.cfg.Timeout))
	if err != nil {
		return res, nil, err
	}
	if cold != nil {
		res.InitDuration = cold.Duration
	}
	if f.replaces() {
		start = time.Now() // the init of a new environment is not on this invocation's clock
	}
	if box != nil && f.cfg.InitType == SnapStart {
		if res.RestoreDuration, fnErr = f.restore(box); res.RestoreDuration > 0 {
			start = time.Now() // a restore has a limit of its own
		}
	}
	inv.deadline, inv.ahead = start.Add(f.cfg.Timeout), time.Duration(f.ahead.Load())
	f.log.platform("START RequestId: " + inv.id + " Version: " + f.cfg.Version)

	o := outcome{end: time.Now(), fnErr: fnErr}
	if fnErr == nil {
		if o, err = f.deliver(box, inv); err != nil {
			return res, nil, err
		}
	} else if o.status = "Status: error\tError Type: " + fnErr.Type; fnErr.Type == timedOut {
		o.fnErr = f.timeoutError()
		o.status = "Status: timeout"
	}
	res.Duration = o.end.Sub(start)
	memory := 0
	if box != nil {
		box.proc.drain()
		memory = box.proc.maxMemory()
	}
	res.Payload = o.response
	if o.fnErr != nil {
		if o.fnErr.sent == nil {
			o.fnErr = f.announce(inv.id, o.fnErr)
		}
		res.FunctionError, res.Payload = o.fnErr, o.fnErr.payload()
	}
	res.Report = f.report(res, memory, o.status)
	f.log.platform("END RequestId: " + inv.id)
	f.log.platform(res.Report)
	return res, o.busy, nil
}

// announce logs a failure in Lambda's words and returns what the invoker gets to see.
func (f *Function) announce(id string, e *FunctionError) *FunctionError {
	if e.Type == timedOut {
		f.log.platform(time.Now().UTC().Format("2006-01-02T15:04:05.000Z") + " " + id + " " + e.Message)
	} else {
		f.log.platform("RequestId: " + id + " Error: " + e.Message + "\n" + e.Type)
	}
	return &FunctionError{Type: e.Type, Message: "RequestId: " + id + " Error: " + e.Message}
}

// replaces reports whether Lambda would send the next event to a new environment when a process has ended, rather
// than run init again in the old one under the function timeout.
func (f *Function) replaces() bool {
	return f.cfg.InitType == ManagedInstances || f.cfg.InitType == SnapStart
}

// ready returns a process that waits for events, starting one within the deadline if there is none. cold is the
// report of a first init that no event has followed yet.
func (f *Function) ready(deadline time.Time) (box *sandbox, cold *InitReport, fnErr *FunctionError, err error) {
	f.boot.Lock()
	defer f.boot.Unlock()
	f.mu.Lock()
	box, cold, closed := f.box, f.cold, f.closed
	f.cold = nil
	f.mu.Unlock()
	if closed {
		return nil, nil, nil, ErrClosed
	}
	if box != nil {
		if !box.ended() {
			return box, cold, nil, nil
		}
		f.drop(box) // it has exited between two events
	}
	phase, limit := PhaseInvoke, time.Until(deadline)
	if f.replaces() {
		phase, limit = PhaseInit, f.cfg.InitLimit
	}
	// Not the invoker's context: the function runs on when an invoker hangs up.
	_, fnErr, err = f.init(context.Background(), phase, limit)
	if err != nil || fnErr != nil {
		return nil, nil, fnErr, err
	}
	if box, err = f.current(); err != nil {
		return nil, nil, nil, ErrClosed
	}
	return box, nil, nil, nil
}

// restore continues a process stopped as a snapshot. It returns 0 if that has been done before.
func (f *Function) restore(box *sandbox) (time.Duration, *FunctionError) {
	select {
	case <-box.restored:
		return 0, nil
	default:
	}
	start := time.Now()
	f.log.platform("RESTORE_START")
	close(box.restored)
	box.proc.thaw() // its error is that the process is gone
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	var fnErr *FunctionError
	select {
	case <-box.polling: // without hooks it has been since before the snapshot
	case <-box.initFailed:
		fnErr = box.reported()
	case <-box.proc.exited:
		fnErr = exitError(box)
	case <-timer.C:
		fnErr = &FunctionError{Type: "Runtime.RestoreHookUserTimeout",
			Message: "after-restore hooks took more than 10 s"}
	}
	if fnErr != nil {
		f.drop(box)
	}
	took := time.Since(start)
	box.proc.drain() // what the hooks wrote comes first
	f.log.platform(fmt.Sprintf("RESTORE_REPORT Restore Duration: %.2f ms", ms(took)))
	return took, fnErr
}

// deliver hands the event to the process and waits for the end of the invocation.
func (f *Function) deliver(box *sandbox, inv *invocation) (outcome, error) {
	timer := time.NewTimer(time.Until(inv.deadline))
	defer timer.Stop()
	box.mu.Lock()
	box.running[inv.id] = inv // before it is handed over, so that no answer comes too early
	box.mu.Unlock()
	// Both fail if the process is gone, which the loop below sees.
	if err := errors.Join(box.proc.thaw(), f.limit.begin(box.proc)); err != nil && !box.ended() {
		return outcome{}, err
	}
	defer f.limit.end()

	events := box.events
	for {
		select {
		case events <- inv:
			events = nil // handed over: a nil channel is never ready
		case <-inv.done:
			o := outcome{end: time.Now(), response: inv.response, fnErr: inv.fnErr}
			return o, f.idle()
		case <-box.proc.exited:
			o := outcome{end: time.Now(), fnErr: exitError(box)}
			o.status = "Status: error\tError Type: " + o.fnErr.Type
			f.drop(box)
			if f.isClosed() {
				return outcome{}, ErrClosed
			}
			box.mu.Lock()
			defer box.mu.Unlock()
			if inv.answered {
				// aws-lambda-go reports a panic as the answer and exits: the invoker sees the panic.
				f.announce(inv.id, o.fnErr)
				o.response, o.fnErr = inv.response, inv.fnErr
			}
			return o, nil
		case <-timer.C:
			o := outcome{end: time.Now(), fnErr: f.timeoutError(), status: "Status: timeout"}
			if f.cfg.InitType == ManagedInstances { // other events run in the process
				if events == nil {
					o.busy = box
				} else { // no poller came: it was never handed over
					box.mu.Lock()
					delete(box.running, inv.id)
					box.mu.Unlock()
				}
				return o, nil
			}
			f.drop(box)
			return o, nil
		}
	}
}
