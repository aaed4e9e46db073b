package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// errMissing says that this machine lacks a server's programs.
var errMissing = errors.New("its programs are missing: run install.sh as root on Debian")

// A process is a server on loopback, with its files in a temporary directory.
type process struct {
	dir    string
	port   int
	as     []string // the command to become the user that owns the files
	signal os.Signal

	cmd    *exec.Cmd
	output lockedBuffer
	exited chan struct{} // closed when the server is gone
}

// A lockedBuffer takes what a process writes while others read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newProcess makes a directory for a server. Run as root, the server gets the rights of the first
// of these users that there is: most servers refuse to run as root.
func newProcess(users ...string) (*process, error) {
	dir, err := os.MkdirTemp("", "rotationlab-")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, signal: syscall.SIGTERM}
	if os.Getuid() != 0 {
		return p, nil
	}
	for _, name := range append(users, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		// If this program is killed, the server stops too.
		p.as = []string{"setpriv", "--reuid", u.Uid, "--regid", u.Gid, "--clear-groups", "--pdeathsig", "INT"}
		return p, p.own(u)
	}
	return p, nil
}

func (p *process) own(u *user.User) error {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return os.Chown(p.dir, uid, gid)
}

// write makes a file in the directory that the server can read.
func (p *process) write(name, text string) (path string, err error) {
	path = filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	if info, err := os.Stat(p.dir); err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			return path, os.Chown(path, int(s.Uid), int(s.Gid))
		}
	}
	return path, nil
}

func (p *process) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append(slices.Clone(p.as), args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = p.dir
	return cmd
}

// startTimeout is for a busy machine: RabbitMQ takes ten seconds on an idle one.
const startTimeout = 3 * time.Minute

// start runs the server until stop, and waits until ready succeeds. args gets a free port.
func (p *process) start(
	ctx context.Context, args func(port int) []string, ready func(context.Context) error,
) error {
	var err error
	for range 3 { // a free port may be taken between asking for it and using it
		if err = p.startOnce(ctx, args, ready); err == nil {
			return nil
		}
	}
	return err
}

func (p *process) startOnce(
	ctx context.Context, args func(port int) []string, ready func(context.Context) error,
) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	exited := make(chan struct{})
	cmd := p.command(context.WithoutCancel(ctx), args(p.port)...)
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.exited = cmd, exited
	go func() {
		cmd.Wait()
		close(exited)
	}()
	deadline := time.Now().Add(startTimeout)
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the server ended:\n%s", p.output.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.end()
			return fmt.Errorf("the server does not answer: %w\n%s", err, p.output.String())
		}
	}
}

// stop stops the server, whatever its clients do, and removes its files.
func (p *process) stop() {
	p.end()
	os.RemoveAll(p.dir)
}

// end ends the process, if one was started.
func (p *process) end() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(p.signal)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
	}
}

// program returns the path of a server's program.
func program(name string) (string, error) {
	for _, path := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, errMissing)
}
