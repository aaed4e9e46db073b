package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/bench"
	"github.com/lambdasecrets/secrets/internal/testing/lambdasim"
)

// size measures the stripped binaries for both of Lambda's architectures.
func (d *driver) size(ctx context.Context) error {
	for _, arch := range []string{"amd64", "arm64"} {
		if d.quick && arch != runtime.GOARCH {
			continue
		}
		for _, b := range d.handlers() {
			path, err := d.buildHandler(ctx, b, arch)
			if err != nil {
				return err
			}
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			fmt.Printf("BenchmarkSize/arch=%s/how=%s 1 %d bytes\n", arch, b.name, info.Size())
		}
	}
	return d.inits(ctx)
}

var initLine = regexp.MustCompile(`^init (\S+) @\S+ ms, (\S+) ms clock, (\d+) bytes, (\d+) allocs`)

// inits prints what the packages of each handler do before main, by GODEBUG=inittrace=1: the sum,
// and those of the SDK's service modules and ours.
func (d *driver) inits(ctx context.Context) error {
	for _, b := range d.handlers() {
		path, err := d.buildHandler(ctx, b, runtime.GOARCH)
		if err != nil {
			return err
		}
		var packages []string
		for range min(d.rounds, 7) {
			f, err := lambdasim.Start(
				ctx,
				lambdasim.Config{Binary: path, NoFreeze: true, Env: map[string]string{"GODEBUG": "inittrace=1"}},
			)
			if err != nil {
				return err
			}
			logs := f.Logs()
			if err := f.Close(); err != nil {
				return err
			}
			var sum float64
			var bytes, allocs int
			packages = nil
			for line := range strings.Lines(logs) {
				m := initLine.FindStringSubmatch(strings.TrimSpace(line))
				if m == nil {
					continue
				}
				ms, _ := strconv.ParseFloat(m[2], 64)
				n, _ := strconv.Atoi(m[3])
				a, _ := strconv.Atoi(m[4])
				sum, bytes, allocs = sum+ms, bytes+n, allocs+a
				if strings.Contains(m[1], "/aws-sdk-go-v2/service/") || strings.Contains(m[1], "lambdasecrets") {
					packages = append(packages, fmt.Sprintf("%s %sms %sB", m[1], m[2], m[3]))
				}
			}
			if bytes == 0 {
				return fmt.Errorf("%s printed no inittrace", b.name)
			}
			fmt.Printf(
				"BenchmarkBeforeMain/how=%s 1 %.0f ns/op %d B/op %d allocs/op\n",
				b.name,
				sum*1e6,
				bytes,
				allocs,
			)
		}
		for _, p := range packages {
			fmt.Printf("# %s\n", p)
		}
	}
	return nil
}

// starts are the handlers whose start is measured, and in which way each resolves.
var starts = []struct{ name, handler, when string }{
	{"none", "none", "never"},
	{"bare-sdk", "bare-sdk", "never"},
	{"sdk-batched", "hand-written", "init"},
	{"sdk-parallel", "hand-written", "init"},
	{"sdk-serial", "hand-written", "init"},
	{"secrets", "secrets", "init"},
	{"secrets-batch", "secrets", "init"},
	{"secrets@before", "secrets@before", "init"},
	{"secrets-batch@before", "secrets@before", "init"},
}

// start measures exec to the first request for an event, with all of the machine, and over TLS with
// a quarter of a core (442 MB) and 0.07 of one (128 MB) too: 25 parameters and 25 secrets.
func (d *driver) start(ctx context.Context) error {
	for _, of := range []struct {
		network string
		memory  int // 0: no limit
	}{{"tls", 0}, {"tls", 128}, {"tls", 442}, {"http", 0}} {
		if err := d.starts(ctx, "Start", of.network, of.memory); err != nil {
			return err
		}
	}
	return nil
}

// first measures the first round inside an invocation: 25 parameters and 25 secrets.
func (d *driver) first(ctx context.Context) error {
	for _, network := range []string{"tls", "http"} {
		if d.quick && network == "http" {
			break
		}
		for _, memory := range []int{128, 1769} {
			if err := d.starts(ctx, "FirstRound", network, memory); err != nil {
				return err
			}
		}
	}
	return nil
}

// starts measures one of the two at one size.
func (d *driver) starts(ctx context.Context, what, network string, memory int) (err error) {
	size, limit := strconv.Itoa(memory), ""
	if memory == 0 {
		size = "all"
	} else if what == "Start" {
		// The simulated Lambda limits the processor from the first event on, as Lambda does; here
		// init is limited too, which is a repeated init.
		g, err := newGroup(float64(memory) / 1769)
		if err != nil {
			return err
		}
		limit = g.dir
		defer func() { err = errors.Join(err, g.remove()) }()
	}
	var rows []*row
	for _, s := range starts {
		if what == "FirstRound" && s.when == "never" {
			continue
		}
		if s.handler == "secrets@before" && d.before == "" || d.skips(s.name) {
			continue
		}
		h, err := d.handlerNamed(s.handler)
		if err != nil {
			return err
		}
		path, err := d.buildHandler(ctx, h, runtime.GOARCH)
		if err != nil {
			return err
		}
		when := s.when
		if what == "FirstRound" {
			when = "invoke"
		}
		r := &row{name: fmt.Sprintf("%s/net=%s/mb=%s/how=%s", what, network, size, s.name)}
		r.run = func(ctx context.Context) (measured, error) {
			how, _, _ := strings.Cut(s.name, "@")
			return d.function(ctx, path, how, when, network, memory, limit)
		}
		rows = append(rows, r)
	}
	return d.table(ctx, rows, coldFigures[:4]...)
}

// startSet is what handlers resolve.
var startSet = bench.Set{Parameters: 25, Secrets: 25}

// environ is the environment of a handler.
func (d *driver) environ(how, when, network string) map[string]string {
	env := map[string]string{
		"BENCH_HOW":        how,
		"BENCH_WHEN":       when,
		"AWS_ENDPOINT_URL": d.world.HTTP,
		"GOMAXPROCS":       strconv.Itoa(runtime.NumCPU()),
	}
	if network == "tls" {
		env["AWS_ENDPOINT_URL"], env["AWS_CA_BUNDLE"] = d.world.TLS, d.world.CA
	}
	if strings.HasPrefix(how, "secrets") {
		maps.Copy(env, d.world.Environ(startSet))
	}
	return env
}

// function starts one simulated Lambda, sends it an event, and returns what its start or its first
// round took.
func (d *driver) function(
	ctx context.Context,
	path, how, when, network string,
	memory int,
	limit string,
) (m measured, err error) {
	if err := d.reset(); err != nil {
		return m, err
	}
	before, err := d.counted()
	if err != nil {
		return m, err
	}
	env := d.environ(how, when, network)
	cfg := lambdasim.Config{
		Binary:    path,
		Env:       env,
		Memory:    max(128, memory),
		Region:    "eu-west-1",
		NoFreeze:  true,
		Timeout:   30 * time.Second,
		InitLimit: 30 * time.Second,
		CPULimit:  memory > 0 && limit == "",
	}
	if limit != "" {
		// A shell moves itself into the group and becomes the handler.
		cfg.Binary = filepath.Join(filepath.Dir(path), "limited")
		env["BENCH_GROUP"] = limit
		script := "#!/bin/sh\n" +
			"echo $$ > \"$BENCH_GROUP/cgroup.procs\" && exec \"${0%/*}/bootstrap\"\n"
		if err := os.WriteFile(cfg.Binary, []byte(script), 0o755); err != nil {
			return m, err
		}
	}
	f, err := lambdasim.Start(ctx, cfg)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	init := f.Inits()[0]
	if init.Status != lambdasim.StatusSuccess {
		return m, fmt.Errorf("init: %s %s: %s", init.Status, init.ErrorType, f.Logs())
	}
	result, err := f.Invoke(ctx, []byte(`{}`))
	if err != nil {
		return m, err
	}
	if result.FunctionError != nil {
		return m, fmt.Errorf("%v: %s", result.FunctionError, f.Logs())
	}
	var answer struct {
		Values    int
		Wall, CPU int64
	}
	if err := json.Unmarshal(result.Payload, &answer); err != nil {
		return m, err
	}
	if when != "never" && answer.Values != startSet.Parameters+startSet.Secrets {
		return m, fmt.Errorf("%d values", answer.Values)
	}
	after, err := d.counted()
	m.Calls, m.Connections = after.Calls, after.Connections-before.Connections
	m.CPU, m.Wall = time.Duration(answer.CPU), init.Duration
	if when == "invoke" {
		m.Wall = time.Duration(answer.Wall)
	}
	return m, err
}
