package lambdasim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is what Invoke, Freeze and Thaw return after Close.
var ErrClosed = errors.New("lambdasim: function is closed")

// Function is one execution environment. Its methods may be called concurrently.
type Function struct {
	cfg   Config
	log   *logBuffer
	limit cpuLimiter
	slots chan struct{} // one token per event that may run at a time

	ahead atomic.Int64 // of the function's wall clock, as MoveClocks moved it

	running sync.WaitGroup // Close waits for it; Add under mu, before closed is set

	boot sync.Mutex // held while a process starts, so that concurrent events start one, not many

	mu     sync.Mutex
	box    *sandbox // nil after a kill, until the next event
	cold   *InitReport
	inits  []InitReport
	closed bool
}

// Phases and statuses of an [InitReport].
const (
	PhaseInit   = "init"   // before the first event
	PhaseInvoke = "invoke" // again, inside an invocation and under its timeout

	StatusSuccess = "success"
	StatusError   = "error"
	StatusTimeout = "timeout"
)

// InitReport is one run of init. Lambda logs those that failed, and all under provisioned concurrency and SnapStart.
type InitReport struct {
	Phase     string
	Status    string
	ErrorType string // such as Runtime.ExitError, if Status is StatusError
	Duration  time.Duration
}

// Start starts the function and blocks until its init is over, well or badly, or ctx ends. On demand a failed init is
// no error: as on Lambda the first Invoke runs it again, and [Function.Inits] tells. Elsewhere Lambda would not
// offer such a function, and Start returns its [FunctionError]; what it logged is in [Config.Log]. The process lives
// on after ctx, until [Function.Close].
func Start(ctx context.Context, cfg Config) (*Function, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &Function{cfg: cfg, log: newLogBuffer(cfg.Log), slots: make(chan struct{}, cfg.MaxConcurrency)}
	f.limit = newCPULimiter(&f.cfg)
	report, fnErr, err := f.init(ctx, PhaseInit, cfg.InitLimit)
	if err == nil && fnErr != nil && cfg.InitType != OnDemand {
		err = fmt.Errorf("lambdasim: init under %s: %w", cfg.InitType, fnErr)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if cfg.InitType == OnDemand && fnErr == nil {
		f.cold = &report
	}
	if cfg.InitType == SnapStart {
		err = f.Freeze() // the snapshot, which NoFreeze does not concern
	} else {
		err = f.idle()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// init starts a process and waits for the end of its init, which is the first request for an event: nothing else
// tells Lambda that main has come so far. It leaves f.box nil if that failed. The error is the simulator's own or
// ctx's.
func (f *Function) init(ctx context.Context, phase string, limit time.Duration) (InitReport, *FunctionError, error) {
	report := InitReport{Phase: phase, Status: StatusSuccess}
	start := time.Now()
	box, err := newSandbox(&f.cfg, f.log)
	if err != nil {
		return report, nil, err
	}
	f.mu.Lock()
	if f.closed { // Close has not seen this process
		f.mu.Unlock()
		box.kill()
		return report, nil, ErrClosed
	}
	f.box = box
	f.ahead.Store(0)
	f.mu.Unlock()

	timer := time.NewTimer(limit)
	defer timer.Stop()
	var fnErr *FunctionError
	select {
	case <-box.ready:
	case <-box.initFailed:
		fnErr = box.reported()
		report.Status, report.ErrorType = StatusError, fnErr.Type
	case <-box.proc.exited:
		fnErr = exitError(box)
		report.Status, report.ErrorType = StatusError, fnErr.Type
	case <-timer.C:
		fnErr = &FunctionError{Type: timedOut, Message: fmt.Sprintf("init took more than %v", limit)}
		report.Status = StatusTimeout
	case <-ctx.Done():
		f.drop(box)
		return report, nil, fmt.Errorf("lambdasim: wait for init: %w", context.Cause(ctx))
	}
	report.Duration = time.Since(start)
	if fnErr != nil {
		f.drop(box)
	}
	f.mu.Lock()
	f.inits = append(f.inits, report)
	closed := f.closed
	f.mu.Unlock()
	if closed {
		return report, nil, ErrClosed
	}
	box.proc.drain()
	if fnErr != nil || f.cfg.InitType == ProvisionedConcurrency || f.cfg.InitType == SnapStart {
		f.log.platform(report.line())
	}
	return report, fnErr, nil
}

// drop kills box; the next event starts another.
func (f *Function) drop(box *sandbox) {
	box.kill()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.box == box {
		f.box = nil
	}
}

// idle stops the process as Lambda does when no event is in it.
func (f *Function) idle() error {
	if f.cfg.NoFreeze || f.cfg.InitType == ManagedInstances {
		return nil
	}
	f.limit.end() // or it would continue what is being stopped
	err := f.Freeze()
	if errors.Is(err, errNoProcess) {
		return nil // the next event starts one
	}
	return err
}

var errNoProcess = errors.New("lambdasim: no process")

// Freeze stops the process and its children with SIGSTOP, wherever they are, and returns when they stand still. It
// is what happens after init and after each answer unless [Config.NoFreeze] says otherwise; stopping a process inside
// an invocation is for tests, and the function timeout runs on. See the package doc for the clocks.
func (f *Function) Freeze() error {
	box, err := f.current()
	if err != nil {
		return err
	}
	return box.proc.freeze()
}

// Thaw continues the process with SIGCONT. Invoke does it by itself.
func (f *Function) Thaw() error {
	box, err := f.current()
	if err != nil {
		return err
	}
	return box.proc.thaw()
}

func (f *Function) current() (*sandbox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, ErrClosed
	case f.box == nil:
		return nil, errNoProcess
	}
	return f.box, nil
}

func (f *Function) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// Pid returns the process id, or 0 while there is no process.
func (f *Function) Pid() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.box == nil {
		return 0
	}
	return f.box.proc.pid
}

// Inits returns every run of init so far, oldest first, successful ones included.
func (f *Function) Inits() []InitReport {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.inits)
}

// Logs returns everything the function and the platform have written. What a handler wrote before it answered is in
// it when Invoke returns.
func (f *Function) Logs() string { return f.log.String() }

// CPULimiter says how [Config.CPULimit] is enforced: "cgroup v2", "cgroup v1", "duty cycle" (SIGSTOP and SIGCONT,
// in periods of 10 ms of wall time, whatever the number of threads), or "none" if it is off or the share is more than
// there is to limit.
func (f *Function) CPULimiter() string { return f.limit.name() }

// Close kills the process and waits for it; running invocations return [ErrClosed]. A process that registered an
// extension (lambda.WithEnableSIGTERM) gets SIGTERM and 500 ms first, as on Lambda. Later calls do nothing.
func (f *Function) Close() error {
	f.mu.Lock()
	box, closed := f.box, f.closed
	f.closed = true
	f.mu.Unlock()
	if closed {
		return nil
	}
	if box != nil {
		box.mu.Lock()
		sigterm := box.sigterm
		box.mu.Unlock()
		if sigterm {
			box.proc.terminate(500 * time.Millisecond)
		}
		box.kill()
	}
	f.running.Wait()
	return f.limit.close()
}
