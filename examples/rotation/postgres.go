package main

import (
	"bytes"
	"context"
	"crypto/rand"
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
	"time"

	"github.com/jackc/pgx/v5"
)

// errNoPostgres says that this machine has no PostgreSQL server.
var errNoPostgres = errors.New("there are no PostgreSQL server binaries (initdb, postgres): run examples/rotation/install-postgres.sh as root on Debian")

// A postgres is a PostgreSQL server on loopback, with its files in a temporary directory.
type postgres struct {
	dir    string
	config *pgx.ConnConfig // address and database, without a user
	cmd    *exec.Cmd
	output *bytes.Buffer
	exited chan struct{} // closed when the server is gone

	mu    sync.Mutex // held while admin is in use
	admin *pgx.Conn  // of the superuser
}

// binaries returns the directory of PostgreSQL's programs: the newest of Debian's, else that of PATH.
func binaries() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, dir := range dirs {
		_, err1 := exec.LookPath(filepath.Join(dir, "initdb"))
		_, err2 := exec.LookPath(filepath.Join(dir, "postgres"))
		if err1 == nil && err2 == nil {
			return dir, nil
		}
	}
	return "", errNoPostgres
}

// startPostgres makes a database cluster, starts its server and connects to it as its superuser. It takes a second or two.
func startPostgres(ctx context.Context) (p *postgres, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	p = &postgres{exited: make(chan struct{})}
	if p.dir, err = os.MkdirTemp("", "rotation-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	data, password := filepath.Join(p.dir, "data"), filepath.Join(p.dir, "password")
	secret := rand.Text()
	if err := os.WriteFile(password, []byte(secret), 0o600); err != nil {
		return nil, err
	}
	as, err := owner(p.dir, password)
	if err != nil {
		return nil, err
	}
	initdb := command(ctx, as, filepath.Join(bin, "initdb"), "--pgdata", data, "--username=postgres", "--pwfile", password, "--auth=scram-sha-256",
		"--encoding=UTF8", "--no-locale", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	// A free port may be taken between asking for it and using it.
	for range 3 {
		if err = p.serve(ctx, as, filepath.Join(bin, "postgres"), data, secret); err == nil {
			return p, nil
		}
	}
	return nil, err
}

// owner gives the files to a user that may run the server, which refuses to run as root, and returns the command to become that user.
func owner(paths ...string) (as []string, err error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		for _, path := range paths {
			if err := os.Chown(path, uid, gid); err != nil {
				return nil, err
			}
		}
		// If this program is killed, the server stops too.
		return []string{"setpriv", "--reuid", u.Uid, "--regid", u.Gid, "--clear-groups", "--pdeathsig", "INT"}, nil
	}
	return nil, errors.New("there is no user postgres or nobody to run PostgreSQL as")
}

func command(ctx context.Context, as []string, args ...string) *exec.Cmd {
	args = append(slices.Clone(as), args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = "/"
	return cmd
}

// serve starts the server on a free port and waits until it answers.
func (p *postgres) serve(ctx context.Context, as []string, program, data, password string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	if p.config, err = pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d dbname=postgres sslmode=disable connect_timeout=10", port)); err != nil {
		return err
	}
	p.exited, p.output = make(chan struct{}), &bytes.Buffer{}
	p.cmd = command(context.WithoutCancel(ctx), as, program, "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "max_connections=100")
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return err
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	config := p.config.Copy()
	config.User, config.Password = "postgres", password
	for range 300 {
		if p.admin, err = pgx.ConnectConfig(ctx, config); err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("PostgreSQL ended:\n%s", p.output)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("PostgreSQL does not answer: %w", err)
}

// setPassword makes a role with a password, or changes its password.
func (p *postgres) setPassword(ctx context.Context, role, password string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	verb := "ALTER"
	var there bool
	if err := p.admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role).Scan(&there); err != nil {
		return err
	}
	if !there {
		verb = "CREATE"
	}
	// ALTER ROLE takes no parameters. The password is of letters and digits.
	_, err := p.admin.Exec(ctx, verb+" ROLE "+pgx.Identifier{role}.Sanitize()+" LOGIN PASSWORD '"+password+"'")
	return err
}

// stop stops the server, whatever its clients do, and removes its files.
func (p *postgres) stop() {
	if p.cmd != nil {
		p.cmd.Process.Signal(os.Interrupt) // fast shutdown
		select {
		case <-p.exited:
		case <-time.After(10 * time.Second):
			p.cmd.Process.Kill()
			<-p.exited
		}
	}
	os.RemoveAll(p.dir)
}
