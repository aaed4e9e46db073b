//go:build unix && !linux

package lambdasim

// awaitStopped does nothing: only Linux tells the state of threads.
func awaitStopped(int) {}

func (p *process) maxMemory() int { return 0 }
