package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// group is a control group with a processor quota, for the processes that are measured before a
// simulated Lambda would limit them. Its period is that of internal/testing/lambdasim.
type group struct{ dir string }

// newGroup makes a group that gets so many cores. It needs root, and version 1 or 2 of control
// groups.
func newGroup(cores float64) (*group, error) {
	const period = 20000 // µs
	quota := strconv.Itoa(max(1000, int(cores*period)))
	name := fmt.Sprintf("benchmarks-%d-%d", os.Getpid(), time.Now().UnixNano())
	var errs []error
	for _, version := range []struct {
		parent   string
		settings [][2]string
	}{
		{"/sys/fs/cgroup/cpu", [][2]string{{"cpu.cfs_period_us", strconv.Itoa(period)}, {"cpu.cfs_quota_us", quota}}},
		{"/sys/fs/cgroup", [][2]string{{"cpu.max", quota + " " + strconv.Itoa(period)}}},
	} {
		g := &group{filepath.Join(version.parent, name)}
		err := os.Mkdir(g.dir, 0o755)
		for _, s := range version.settings {
			if err == nil {
				err = os.WriteFile(filepath.Join(g.dir, s[0]), []byte(s[1]), 0)
			}
		}
		if err == nil {
			return g, nil
		}
		os.Remove(g.dir)
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("limit the processor: %w", errors.Join(errs...))
}

// remove removes the group. The kernel calls it busy for a moment after its last process has ended.
func (g *group) remove() (err error) {
	for range 100 {
		if err = os.Remove(g.dir); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}
