//go:build !unix

package lambdasim

import (
	"errors"
	"time"
)

// process cannot be stopped and continued here, so none is started.
type process struct {
	pid    int
	exited chan struct{}
}

func startProcess(string, []string, *logBuffer) (*process, error) { return nil, errors.ErrUnsupported }

func (p *process) freeze() error           { return errors.ErrUnsupported }
func (p *process) thaw() error             { return errors.ErrUnsupported }
func (p *process) throttle(bool)           {}
func (p *process) kill()                   {}
func (p *process) terminate(time.Duration) {}
func (p *process) drain()                  {}
func (p *process) exitText() string        { return "" }
func (p *process) maxMemory() int          { return 0 }
