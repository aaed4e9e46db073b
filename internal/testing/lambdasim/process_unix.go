//go:build unix

package lambdasim

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is a bootstrap in a process group of its own, so that a signal reaches its children too.
//
// A frozen one does not outlive this process: the kernel sends SIGHUP and SIGCONT to an orphaned group of stopped
// processes, and a running one ends when its Runtime API is gone.
type process struct {
	pid    int
	cmd    *exec.Cmd
	output *os.File // read end of the pipe that is its stdout and stderr
	log    *logBuffer
	exited chan struct{} // closed when the process has ended and its output has been read

	reading sync.Mutex // held while output is read and written to log, to keep its order

	mu     sync.Mutex
	gone   bool // the process id may belong to another
	frozen bool
}

func startProcess(binary string, env []string, log *logBuffer) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("lambdasim: make output pipe: %w", err)
	}
	defer w.Close()
	cmd := &exec.Cmd{
		Path: binary, Args: []string{binary}, Env: env, Dir: filepath.Dir(binary),
		Stdout: w, Stderr: w, SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, fmt.Errorf("lambdasim: start function: %w", err)
	}
	p := &process{pid: cmd.Process.Pid, cmd: cmd, output: r, log: log, exited: make(chan struct{})}
	go p.copyOutput()
	go func() {
		cmd.Wait() // its error is in ProcessState
		p.mu.Lock()
		syscall.Kill(-p.pid, syscall.SIGKILL) // children it left
		p.gone = true
		p.mu.Unlock()
		p.drain()
		r.Close()
		close(p.exited)
	}()
	return p, nil
}

// copyOutput runs until the output is closed at both ends.
func (p *process) copyOutput() {
	conn, err := p.output.SyscallConn()
	if err != nil {
		return // closed already
	}
	for eof := false; !eof; {
		err := conn.Read(func(fd uintptr) bool {
			var again bool
			again, eof = p.read(fd)
			return !again
		})
		if err != nil {
			return
		}
	}
}

// drain reads what is in the pipe. Bytes written before an answer was posted are there, but copyOutput may not have
// come round to them; a log that misses them would make tests flaky.
func (p *process) drain() {
	conn, err := p.output.SyscallConn()
	if err != nil {
		return
	}
	conn.Control(func(fd uintptr) {
		for again, eof := false, false; !again && !eof; {
			again, eof = p.read(fd)
		}
	})
}

// read takes one piece from the pipe, which does not block.
func (p *process) read(fd uintptr) (again, eof bool) {
	p.reading.Lock()
	defer p.reading.Unlock()
	buf := make([]byte, 32<<10)
	n, err := syscall.Read(int(fd), buf)
	switch {
	case n > 0:
		p.log.Write(buf[:n])
		return false, false
	case err == syscall.EAGAIN:
		return true, false
	case err == syscall.EINTR:
		return false, false
	}
	return false, true
}

// signal needs p.mu.
func (p *process) signal(sig syscall.Signal) error {
	if p.gone {
		return errNoProcess
	}
	if err := syscall.Kill(-p.pid, sig); err != nil {
		if errors.Is(err, syscall.ESRCH) {
			return errNoProcess
		}
		return fmt.Errorf("lambdasim: send %v: %w", sig, err)
	}
	return nil
}

func (p *process) freeze() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	p.frozen = true
	awaitStopped(p.pid)
	return nil
}

func (p *process) thaw() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = false
	return p.signal(syscall.SIGCONT)
}

// throttle stops or continues the process for a moment, unless it is frozen.
func (p *process) throttle(stop bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.frozen:
	case stop:
		p.signal(syscall.SIGSTOP)
	default:
		p.signal(syscall.SIGCONT)
	}
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal(syscall.SIGKILL) // the only error is that it is gone
}

// terminate sends SIGTERM and waits for the end, at most for d.
func (p *process) terminate(d time.Duration) {
	p.thaw()
	p.mu.Lock()
	err := p.signal(syscall.SIGTERM)
	p.mu.Unlock()
	if err != nil {
		return
	}
	select {
	case <-p.exited:
	case <-time.After(d):
	}
}

// exitText is Lambda's wording for how the process ended; it needs exited to be closed.
func (p *process) exitText() string {
	<-p.exited
	state := p.cmd.ProcessState
	if state == nil || state.Success() {
		return "Runtime exited without providing a reason"
	}
	return "Runtime exited with error: " + state.String()
}
