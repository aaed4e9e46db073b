package lambdasim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// awaitStopped waits until every thread of the process stands still: kill returns before threads on other cores do.
// It gives up after 1 s, as on a process that is just exiting.
func awaitStopped(pid int) {
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		if stopped(pid) {
			return
		}
	}
}

func stopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, name := range threads {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		// pid (name) state …; the name may hold anything, also parentheses.
		if i := bytes.LastIndexByte(stat, ')'); i < 0 || i+2 >= len(stat) || (stat[i+2] != 'T' && stat[i+2] != 'Z') {
			return false
		}
	}
	return true
}

// maxMemory returns the most memory the process has used, in MB, or 0 if it is gone.
func (p *process) maxMemory() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kb, _ := strconv.Atoi(string(bytes.Fields(rest)[0]))
			return (kb + 1023) / 1024
		}
	}
	return 0
}
