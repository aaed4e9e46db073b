package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// A server has users whose passwords can be changed.
type server interface {
	address() string
	// setPassword makes a user with a password, or changes its password.
	setPassword(ctx context.Context, user, password string) error
	files() *process
	stop()
}

// servers are those that the lab knows: name → how to start one. It takes a second or two, and the
// error wraps errMissing if the machine has none.
var servers = map[string]func(context.Context) (server, error){
	"PostgreSQL": startPostgres,
	"MariaDB":    startMariaDB,
	"Redis":      startRedis,
	"RabbitMQ":   startRabbitMQ,
	"NATS":       startNATS,
}

func (p *process) files() *process { return p }

func (p *process) address() string { return "127.0.0.1:" + strconv.Itoa(p.port) }

type postgres struct {
	*process
	mu    sync.Mutex // held while admin is in use
	admin *pgx.Conn  // of the superuser
}

// postgresPrograms returns the directory of PostgreSQL's programs: the newest of Debian's, else
// that of PATH.
func postgresPrograms() (string, error) {
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
	return "", fmt.Errorf("PostgreSQL: %w", errMissing)
}

func startPostgres(ctx context.Context) (_ server, err error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	p, err := newProcess("postgres")
	if err != nil {
		return nil, err
	}
	p.signal = os.Interrupt // fast shutdown
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	root := rand.Text()
	file, err := p.write("password", root)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(p.dir, "data")
	initdb := p.command(ctx, filepath.Join(bin, "initdb"), "--pgdata", data, "--username=postgres", "--pwfile", file,
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	s := &postgres{process: p}
	err = p.start(ctx, func(port int) []string {
		return []string{filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port), "-c", "fsync=off",
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200"}
	}, func(ctx context.Context) error {
		config, err := postgresConfig(p.address(), "postgres", root)
		if err != nil {
			return err
		}
		s.admin, err = pgx.ConnectConfig(ctx, config)
		return err
	})
	return s, err
}

// postgresConfig returns the configuration of a connection.
func postgresConfig(address, user, password string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig("postgres://" + address + "/postgres?sslmode=disable&connect_timeout=10")
	if err != nil {
		return nil, err
	}
	config.User, config.Password = user, password
	return config, nil
}

func (p *postgres) setPassword(ctx context.Context, user, password string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	verb, there := "ALTER", false
	err := p.admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", user).Scan(&there)
	if err != nil {
		return err
	}
	if !there {
		verb = "CREATE"
	}
	// ALTER ROLE takes no parameters. The password is of letters and digits.
	_, err = p.admin.Exec(ctx, verb+" ROLE "+pgx.Identifier{user}.Sanitize()+" LOGIN PASSWORD '"+password+"'")
	return err
}

type mariaDB struct {
	*process
	admin *sql.DB
}

func startMariaDB(ctx context.Context) (_ server, err error) {
	daemon, err := program("mariadbd")
	if err != nil {
		return nil, err
	}
	install, err := program("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	p, err := newProcess("mysql")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	data := "--datadir=" + filepath.Join(p.dir, "data")
	out, err := p.command(ctx, install, "--no-defaults", data, "--tmpdir="+p.dir,
		"--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	s := &mariaDB{process: p}
	socket := filepath.Join(p.dir, "socket")
	err = p.start(ctx, func(port int) []string {
		return []string{daemon, "--no-defaults", data, "--port=" + strconv.Itoa(port), "--bind-address=127.0.0.1",
			"--socket=" + socket, "--skip-name-resolve", "--max-connections=200", "--skip-log-bin",
			"--innodb-flush-log-at-trx-commit=0"}
	}, func(ctx context.Context) error {
		config := mysql.NewConfig()
		config.Net, config.Addr, config.User = "unix", socket, "root"
		connector, err := mysql.NewConnector(config)
		if err != nil {
			return err
		}
		s.admin = sql.OpenDB(connector)
		return s.admin.PingContext(ctx)
	})
	return s, err
}

// mysqlConfig returns the configuration of a connection.
func mysqlConfig(address, user, password string) *mysql.Config {
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.Passwd = "tcp", address, user, password
	return config
}

func (m *mariaDB) setPassword(ctx context.Context, user, password string) error {
	// These statements take no parameters. User and password are of letters and digits.
	for _, statement := range []string{
		"CREATE USER IF NOT EXISTS '" + user + "'@'%'",
		"ALTER USER '" + user + "'@'%' IDENTIFIED BY '" + password + "'",
	} {
		if _, err := m.admin.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

type redisServer struct {
	*process
	admin *redis.Client
}

func startRedis(ctx context.Context) (_ server, err error) {
	daemon, err := program("redis-server")
	if err != nil {
		return nil, err
	}
	p, err := newProcess("redis")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	root := rand.Text()
	s := &redisServer{process: p}
	err = p.start(ctx, func(port int) []string {
		return []string{daemon, "--port", strconv.Itoa(port), "--bind", "127.0.0.1",
			"--save", "", "--dir", p.dir, "--requirepass", root}
	}, func(ctx context.Context) error {
		s.admin = redisClient(p.address(), "", root)
		return s.admin.Ping(ctx).Err()
	})
	return s, err
}

func redisClient(address, user, password string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: address, Username: user, Password: password})
}

func (r *redisServer) setPassword(ctx context.Context, user, password string) error {
	return r.admin.Do(ctx, "ACL", "SETUSER", user, "on", "resetpass", ">"+password, "~*", "+@all").Err()
}
