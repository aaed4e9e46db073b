package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

type natsServer struct {
	*process
	mu    sync.Mutex
	users map[string]string // name → password
}

func startNATS(ctx context.Context) (_ server, err error) {
	daemon, err := program("nats-server")
	if err != nil {
		return nil, err
	}
	p, err := newProcess("nats")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	s := &natsServer{process: p, users: map[string]string{"root": rand.Text()}}
	file, err := s.configure()
	if err != nil {
		return nil, err
	}
	return s, p.start(ctx, func(port int) []string {
		return []string{daemon, "-c", file, "-a", "127.0.0.1", "-p", strconv.Itoa(port)}
	}, func(context.Context) error { return s.login("root") })
}

// configure writes the configuration. The server gets address and port as arguments.
func (s *natsServer) configure() (file string, err error) {
	var users []map[string]string
	for name, password := range s.users {
		users = append(users, map[string]string{"user": name, "password": password})
	}
	text, err := json.Marshal(map[string]any{"authorization": map[string]any{"users": users}})
	if err != nil {
		return "", err
	}
	return s.write("nats.conf", string(text))
}

func (s *natsServer) login(user string) error {
	conn, err := nats.Connect("nats://"+s.address(), nats.UserInfo(user, s.users[user]), nats.NoReconnect())
	if err != nil {
		return err
	}
	conn.Close()
	return nil
}

// setPassword has the server read its configuration again, and waits until it has.
func (s *natsServer) setPassword(ctx context.Context, user, password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[user] = password
	if _, err := s.configure(); err != nil {
		return err
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	for {
		err := s.login(user)
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

type rabbitMQ struct {
	*process
	management string // URL of its API
	root       string // the password of the user root
	epmd       string // the port of Erlang's port mapper
}

func startRabbitMQ(ctx context.Context) (_ server, err error) {
	daemon, err := program("rabbitmq-server")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat("/usr/lib/rabbitmq/bin/rabbitmq-server"); err == nil {
		daemon = "/usr/lib/rabbitmq/bin/rabbitmq-server" // the other one of Debian wants to become a user itself
	}
	p, err := newProcess("rabbitmq")
	if err != nil {
		return nil, err
	}
	s := &rabbitMQ{process: p, root: rand.Text()}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	plugins, err := p.write("enabled_plugins", "[rabbitmq_management].")
	if err != nil {
		return nil, err
	}
	return s, p.start(ctx, func(port int) []string {
		ports := [...]int{freePort(), freePort(), freePort()}
		s.management = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
		s.epmd = strconv.Itoa(ports[2])
		// The configuration is read when the server starts, so an error of it is one of the start.
		conf, _ := p.write("rabbitmq.conf", fmt.Sprintf(
			"listeners.tcp.1 = 127.0.0.1:%d\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %d\n"+
				"default_user = root\ndefault_pass = %s\n", port, ports[0], s.root))
		return []string{"env", "HOME=" + p.dir, "LANG=C.UTF-8",
			"RABBITMQ_NODENAME=lab" + strconv.Itoa(port) + "@localhost", "RABBITMQ_CONFIG_FILE=" + conf,
			"RABBITMQ_MNESIA_BASE=" + filepath.Join(p.dir, "mnesia"),
			"RABBITMQ_LOG_BASE=" + filepath.Join(p.dir, "log"),
			"RABBITMQ_ENABLED_PLUGINS_FILE=" + plugins, "RABBITMQ_DIST_PORT=" + strconv.Itoa(ports[1]),
			"ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT=" + s.epmd, "RABBITMQ_CONF_ENV_FILE=/dev/null",
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
			daemon}
	}, func(ctx context.Context) error {
		conn, err := net.Dial("tcp", s.address()) // which it opens after that of the API
		if err != nil {
			return err
		}
		conn.Close()
		return s.api(ctx, "GET", "/api/overview", nil)
	})
}

// stop also stops the port mapper, which Erlang leaves running.
func (r *rabbitMQ) stop() {
	r.process.stop()
	exec.Command("epmd", "-port", r.epmd, "-kill").Run()
}

// freePort returns a port that is free at the moment, or 0.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (r *rabbitMQ) api(ctx context.Context, method, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, r.management+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.SetBasicAuth("root", r.root)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("RabbitMQ: %s %s: %s", method, path, resp.Status)
	}
	return nil
}

func (r *rabbitMQ) setPassword(ctx context.Context, user, password string) error {
	if err := r.api(ctx, "PUT", "/api/users/"+user, map[string]string{"password": password, "tags": ""}); err != nil {
		return err
	}
	all := map[string]string{"configure": ".*", "write": ".*", "read": ".*"}
	return r.api(ctx, "PUT", "/api/permissions/%2F/"+user, all)
}
