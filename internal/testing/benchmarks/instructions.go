package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/bench"
)

// counts the instructions that valgrind prints when a process ends.
var collected = regexp.MustCompile(`Collected : (\d+)`)

// batchCalls is how many calls, and connections, 25 parameters and 25 secrets take in batches.
const batchCalls = 5

// instructions counts the instructions from exec to the end of a warm of 25 parameters and 25
// secrets over TLS with the batch. Other load of the machine does not change them, unless it is so
// heavy that calls time out, which the number of connections shows: that sample is taken anew. A call
// each would time out under valgrind. It needs valgrind.
func (d *driver) instructions(ctx context.Context) error {
	if _, err := exec.LookPath("valgrind"); err != nil {
		fmt.Fprintln(os.Stderr, "left out: instructions, there is no valgrind")
		return nil
	}
	var rows []*row
	for _, s := range []struct{ name, handler, when string }{
		{"bare-sdk", "bare-sdk", "start"},
		{"sdk-batched", "hand-written", "exit"},
		{"secrets-batch", "secrets", "exit"},
		{"secrets-batch@before", "secrets@before", "exit"},
	} {
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
		r := &row{name: "Instructions/net=tls/how=" + s.name}
		r.run = func(ctx context.Context) (measured, error) {
			how, _, _ := strings.Cut(s.name, "@")
			m, err := d.countInstructions(ctx, path, how, s.when)
			for tries := 1; err == nil && m.Connections > batchCalls && tries < 10; tries++ {
				m, err = d.countInstructions(ctx, path, how, s.when)
			}
			return m, err
		}
		rows = append(rows, r)
	}
	rounds := d.rounds
	defer func() { d.rounds = rounds }()
	d.rounds = min(rounds, 3) // each takes some seconds, and they differ by the connections alone
	return d.table(ctx, rows,
		figure{"instructions", func(m measured) float64 { return m.Instructions }}, coldFigures[3])
}

// countInstructions runs a handler to the end of its start under valgrind.
func (d *driver) countInstructions(ctx context.Context, path, how, when string) (m measured, err error) {
	if err := d.reset(); err != nil {
		return m, err
	}
	before, err := d.counted()
	if err != nil {
		return m, err
	}
	cmd := exec.CommandContext(ctx, "valgrind", "--tool=callgrind",
		"--callgrind-out-file="+filepath.Join(d.dir, "callgrind.out"), path)
	env := d.environ(how, when, "tls")
	maps.Copy(env, bench.Credentials)
	// valgrind loses count where the runtime interrupts a thread by a signal.
	cmd.Env = []string{"HOME=" + d.dir, "PATH=" + os.Getenv("PATH"), "GODEBUG=asyncpreemptoff=1"}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return m, fmt.Errorf("%w: %.500s", err, stderr.Bytes())
	}
	found := collected.FindSubmatch(stderr.Bytes())
	if found == nil {
		return m, fmt.Errorf("valgrind counted nothing: %.500s", stderr.Bytes())
	}
	m.Instructions, err = strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		return m, err
	}
	after, err := d.counted()
	m.Connections = after.Connections - before.Connections
	return m, err
}
