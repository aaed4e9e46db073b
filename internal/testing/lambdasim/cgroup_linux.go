package lambdasim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cgroup is a control group with a processor quota, for the processes of one Function.
type cgroup struct {
	dir     string
	version string
}

// quotaPeriod is short, as on Lambda, where a small function is seen to run for a millisecond or two at a time.
const quotaPeriod = 20 * time.Millisecond

// newCgroup makes a group below this process's own, or returns nil where it may not.
func newCgroup(share float64) cpuLimiter {
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	period := quotaPeriod.Microseconds()
	quota := max(int64(share*float64(period)), 1000) // the kernel's least
	for line := range strings.Lines(string(self)) {
		// hierarchy:controllers:path, and 0::path for version 2
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch {
		case fields[0] == "0":
			parent := filepath.Join("/sys/fs/cgroup", fields[2])
			// Refused in a group that has processes, unless it is the root or the controller is on already.
			writeFile(filepath.Join(parent, "cgroup.subtree_control"), "+cpu")
			if c := makeCgroup(parent, "cgroup v2", map[string]string{
				"cpu.max": fmt.Sprintf("%d %d", quota, period),
			}); c != nil {
				return c
			}
		case hasField(fields[1], "cpu"):
			if c := makeCgroup(filepath.Join("/sys/fs/cgroup/cpu", fields[2]), "cgroup v1", map[string]string{
				"cpu.cfs_period_us": strconv.FormatInt(period, 10),
				"cpu.cfs_quota_us":  strconv.FormatInt(quota, 10),
			}); c != nil {
				return c
			}
		}
	}
	return nil
}

func hasField(list, name string) bool {
	for f := range strings.SplitSeq(list, ",") {
		if f == name {
			return true
		}
	}
	return false
}

func makeCgroup(parent, version string, settings map[string]string) *cgroup {
	dir := filepath.Join(parent, "lambdasim-"+hexID(6))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil
	}
	for name, value := range settings {
		if err := writeFile(filepath.Join(dir, name), value); err != nil { // absent without the cpu controller
			os.Remove(dir)
			return nil
		}
	}
	return &cgroup{dir: dir, version: version}
}

// writeFile writes to an existing file; os.WriteFile would try to make one.
func writeFile(name, value string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func (c *cgroup) name() string { return c.version }

// begin moves the process into the group, where it stays.
func (c *cgroup) begin(p *process) error {
	if err := writeFile(filepath.Join(c.dir, "cgroup.procs"), strconv.Itoa(p.pid)); err != nil {
		return fmt.Errorf("lambdasim: limit the processor: %w", err)
	}
	return nil
}

func (c *cgroup) end() {}

// close removes the group. The kernel calls it busy for a moment after its last process has ended.
func (c *cgroup) close() error {
	var err error
	for range 100 {
		if err = os.Remove(c.dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("lambdasim: remove control group: %w", err)
}
