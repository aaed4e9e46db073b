package lambdasim

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// logBuffer is the log stream: the function's output and the platform's lines in the order they came.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
	out io.Writer // or nil
}

func newLogBuffer(out io.Writer) *logBuffer { return &logBuffer{out: out} }

// Write never fails: a broken writer must not hold up the function.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(p)
	return len(p), nil
}

func (l *logBuffer) write(p []byte) {
	l.buf.Write(p)
	if l.out != nil {
		l.out.Write(p)
	}
}

// platform adds a line of Lambda's own, on a line of its own.
func (l *logBuffer) platform(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buf.Bytes(); len(b) > 0 && b[len(b)-1] != '\n' {
		l.write([]byte{'\n'})
	}
	l.write([]byte(line + "\n"))
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// line is Lambda's INIT_REPORT. Success has no status there.
func (r InitReport) line() string {
	s := fmt.Sprintf("INIT_REPORT Init Duration: %.2f ms\tPhase: %s", ms(r.Duration), r.Phase)
	if r.Status != StatusSuccess {
		s += "\tStatus: " + r.Status
	}
	if r.ErrorType != "" {
		s += "\tError Type: " + r.ErrorType
	}
	return s
}

// report is the REPORT line. Init is billed since August 2025, so it counts into Billed Duration.
func (f *Function) report(r Result, memory int, status string) string {
	billed := r.Duration + r.InitDuration + r.RestoreDuration
	s := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %.0f ms\tMemory Size: %d MB\tMax "+
		"Memory Used: %d MB",
		r.RequestID, ms(r.Duration), math.Ceil(ms(billed)), f.cfg.Memory, memory)
	if r.InitDuration > 0 {
		s += fmt.Sprintf("\tInit Duration: %.2f ms", ms(r.InitDuration))
	}
	if r.RestoreDuration > 0 {
		s += fmt.Sprintf("\tRestore Duration: %.2f ms", ms(r.RestoreDuration))
	}
	if status != "" {
		s += "\t" + status
	}
	return s
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
