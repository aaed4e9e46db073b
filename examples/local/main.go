// Command local runs a built Lambda function on this machine, without AWS: on a simulated Lambda, with an AWS endpoint
// of its own that holds the values of the function's references.
//
//	go run github.com/lambdasecrets/secrets/examples/local \
//	    -binary ./bootstrap -env env.json -values values.json -event event.json
//
// -binary is what goes to Lambda, built for this machine: CGO_ENABLED=0 go build -trimpath -tags lambda.norpc -o
// bootstrap . Without it the sample in examples/handler is built and run. -env is the function's environment in any
// form that examples/policy reads, -vars what the program declares with WithVars. -values maps variables (DB_PASSWORD)
// or references (sm://prod/db) to plaintexts, JSON objects included; what it lacks is made up.
//
// -freeze, -rotate, -throttle and -deny happen after the first event, which is then sent again; -event may be given
// several times. References live for five minutes: -ttl 1s -freeze 2s makes what happens visible in the next event.
// Replies go to standard output, all else to standard error: the function's log behind "log |". The exit status is 1
// if the function failed in the last event. It runs where SIGSTOP does, which is not Windows; [lambdasim] lists what
// differs from Lambda.
//
// [lambdasim]: https://pkg.go.dev/github.com/lambdasecrets/secrets/internal/testing/lambdasim
package main

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/lambdasecrets/secrets/examples/internal/environ"
	"github.com/lambdasecrets/secrets/examples/internal/wrap"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/lambdasim"
)

// sample is what the handler in examples/handler needs.
//
//go:embed sample
var sample embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(os.Stderr, wrap.Text("local: ", "  ", err.Error()))
		}
		os.Exit(1)
	}
}

// bench is one run of the command.
type bench struct {
	binary, env, values, vars string
	events                    []string
	config                    lambdasim.Config
	ttl                       time.Duration

	freeze         time.Duration
	rotate         string
	throttle, deny bool

	out, progress io.Writer
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	b := bench{out: out, progress: progress}
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.StringVar(&b.binary, "binary", "", "the bootstrap, built for this machine; without it, a sample")
	flags.StringVar(&b.env, "env", "", "`file` of the function's environment")
	flags.StringVar(&b.values, "values", "", "`file` of plaintexts: JSON, by variable or by reference")
	flags.StringVar(&b.vars, "vars", "", "variables that WithVars declares, as `scheme:NAME,…`")
	flags.Func("event", "`file` of an event; give it again for more events", func(file string) error {
		b.events = append(b.events, file)
		return nil
	})
	flags.IntVar(&b.config.Memory, "memory", 128, "`MB` of the function; they decide its share of a processor")
	flags.DurationVar(&b.config.Timeout, "timeout", 3*time.Second, "of the function")
	flags.StringVar(&b.config.FunctionName, "function", "", "the function's `name` (default: what the input says)")
	flags.StringVar(&b.config.Region, "region", "", "the function's `Region` (default: what the input says)")
	flags.DurationVar(&b.ttl, "ttl", 0, "set the TTL of all references, to see rotations sooner")
	flags.DurationVar(&b.freeze, "freeze", 0, "after the first event, keep the process stopped for so long")
	flags.StringVar(&b.rotate, "rotate", "", "after the first event, give the secrets of these `variables` new values")
	flags.BoolVar(&b.throttle, "throttle", false, "after the first event, AWS throttles every call")
	flags.BoolVar(&b.deny, "deny", false, "after the first event, AWS denies every call")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	return b.run(ctx)
}

// say writes a line of progress.
func (b *bench) say(format string, args ...any) {
	io.WriteString(b.progress, wrap.Text("-- ", "   ", fmt.Sprintf(format, args...)))
}

func (b *bench) run(ctx context.Context) error {
	env, err := b.environment()
	if err != nil {
		return err
	}
	events, err := b.readEvents()
	if err != nil {
		return err
	}
	given := map[string]any{}
	if b.values != "" || b.env == "" {
		text, err := b.file(b.values, "values.json")
		if err == nil {
			err = json.Unmarshal(text, &given)
		}
		if err != nil {
			return fmt.Errorf("-values: %w", err)
		}
	}
	server := endpoint.New(endpoint.Options{AccountID: env.Account})
	defer server.Close()
	s, err := newStore(server, env, given, b)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(b.rotate, ",") {
		if err := s.rotates(name); name != "" && err != nil {
			return err
		}
	}
	url, err := server.Start()
	if err != nil {
		return err
	}
	s.environ["AWS_ENDPOINT_URL"] = url
	if b.binary == "" {
		dir, err := os.MkdirTemp("", "local")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		b.binary = filepath.Join(dir, "bootstrap")
		b.say("no -binary: building the sample in examples/handler, which takes minutes the first time")
		if err := lambdasim.Build(ctx, "", "github.com/lambdasecrets/secrets/examples/handler", b.binary,
			nil); err != nil {
			return err
		}
	}
	return b.invoke(ctx, server, s, events)
}

// environment reads -env and what belongs to it.
func (b *bench) environment() (environ.Environment, error) {
	text, err := b.file(b.env, "env.json")
	if err != nil {
		return environ.Environment{}, fmt.Errorf("-env: %w", err)
	}
	all, err := environ.Read(text)
	if err != nil {
		return environ.Environment{}, fmt.Errorf("-env: %w", err)
	}
	var names []string
	var chosen *environ.Environment
	for i, e := range all {
		names = append(names, e.Where)
		if name := b.config.FunctionName; len(all) == 1 || name != "" && (name == e.Where || name == e.Function) {
			chosen = &all[i]
		}
	}
	if chosen == nil {
		return environ.Environment{}, fmt.Errorf("-env holds %d functions, choose one with -function: %s",
			len(all), strings.Join(names, ", "))
	}
	return *chosen, nil
}

// readEvents reads the files of -event. What happens after the first event needs a second.
func (b *bench) readEvents() (events [][]byte, err error) {
	if len(b.events) == 0 {
		b.events = []string{""}
	}
	for _, name := range b.events {
		event, err := b.file(name, "event.json")
		if err == nil && !json.Valid(event) {
			err = fmt.Errorf("%s is not JSON", name)
		}
		if err != nil {
			return nil, fmt.Errorf("-event: %w", err)
		}
		events = append(events, event)
	}
	if b.freeze > 0 || b.rotate != "" || b.throttle || b.deny {
		if len(events) == 1 {
			events = append(events, events[0])
		}
	}
	return events, nil
}

// file reads a file, or where there is no name the sample.
func (b *bench) file(name, otherwise string) ([]byte, error) {
	switch {
	case name != "":
		return os.ReadFile(name)
	case b.binary == "":
		return sample.ReadFile("sample/" + otherwise)
	case otherwise == "event.json":
		return []byte("{}"), nil
	}
	return nil, errors.New("give a file: -binary runs a function of your own")
}

// invoke runs the function through all events.
func (b *bench) invoke(ctx context.Context, server *endpoint.Server, s *store, events [][]byte) error {
	c := b.config
	c.Binary, c.Env, c.CPULimit = b.binary, s.environ, true
	c.FunctionName, c.Region, c.AccountID = s.function, s.region, s.account
	log := &logWriter{out: b.progress}
	c.Log = log
	b.say("init of %s, %d MB, time-out %v", filepath.Base(b.binary), c.Memory, c.Timeout)
	f, err := lambdasim.Start(ctx, c)
	if errors.Is(err, syscall.ENOEXEC) {
		return fmt.Errorf("%s is built for another system: build it without GOOS and GOARCH", b.binary)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for _, in := range f.Inits() {
		b.say("init took %v: %s; %s", round(in.Duration), in.Status, calls(server))
	}
	var failed error
	for i, event := range events {
		if i == 1 {
			if err := b.between(ctx, f, server, s); err != nil {
				return err
			}
		}
		b.say("event %d of %d", i+1, len(events))
		result, err := f.Invoke(ctx, event)
		if err != nil {
			return err
		}
		log.flush()
		io.WriteString(b.out, indented(result.Payload))
		outcome := "answered"
		if failed = nil; result.FunctionError != nil {
			failed = fmt.Errorf("the function failed: %w", result.FunctionError)
			outcome = "failed"
		}
		b.say("event %d %s after %v; %s", i+1, outcome, round(result.Duration), calls(server))
	}
	return failed
}

// between does what was asked to happen after the first event.
func (b *bench) between(ctx context.Context, f *lambdasim.Function, server *endpoint.Server, s *store) error {
	for name := range strings.SplitSeq(b.rotate, ",") {
		if name == "" {
			continue
		}
		if err := s.rotate(name); err != nil {
			return err
		}
		b.say("%s rotates", name)
	}
	for do, on := range map[endpoint.Action]bool{endpoint.Throttle: b.throttle, endpoint.Deny: b.deny} {
		if on {
			b.say("AWS begins to %s every call", do)
			server.Fault(endpoint.Fault{Do: do})
		}
	}
	happens := b.rotate != "" || b.throttle || b.deny
	if ttl := cmp.Or(b.ttl, 5*time.Minute); happens && ttl > b.freeze+100*time.Millisecond {
		b.say("values are fresh for %v, so the next event calls nothing: -ttl 1s -freeze 2s lets it refresh them", ttl)
	}
	if b.freeze > 0 {
		b.say("the process is frozen for %v", b.freeze)
		select {
		case <-time.After(b.freeze): // Invoke has left it stopped
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// calls says what AWS was asked since the last time.
func calls(server *endpoint.Server) string {
	all := server.Calls()
	server.ResetCalls()
	var names []string
	for _, c := range all {
		name := c.Operation
		if c.Code != "" {
			name += " (" + c.Code + ")"
		}
		names = append(names, name)
	}
	if len(all) == 0 {
		return "no call to AWS"
	}
	return fmt.Sprintf("%d to AWS: %s", len(all), strings.Join(names, ", "))
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// indented is a reply for people.
func indented(reply []byte) string {
	var v json.RawMessage
	if json.Unmarshal(reply, &v) == nil {
		if b, err := json.MarshalIndent(v, "", "  "); err == nil {
			return string(b) + "\n"
		}
	}
	return string(reply) + "\n"
}

// logWriter marks the lines of the function's log, and breaks them at the width of a terminal.
type logWriter struct {
	out  io.Writer
	rest string // of a line that has not ended
}

func (w *logWriter) Write(p []byte) (int, error) {
	text := w.rest + string(p)
	for {
		line, rest, ended := strings.Cut(text, "\n")
		if !ended {
			w.rest = text
			return len(p), nil
		}
		w.line(line)
		text = rest
	}
}

func (w *logWriter) line(line string) {
	const first, more = "log | ", "    | "
	mark, runes := first, []rune(strings.ReplaceAll(line, "\t", "  "))
	for {
		n := len(runes)
		if width := wrap.Width - len(first); n > width {
			n = width
			for i := width; i > width/2; i-- { // behind a blank or a comma, if there is one
				if runes[i-1] == ' ' || runes[i-1] == ',' {
					n = i
					break
				}
			}
		}
		io.WriteString(w.out, mark+string(runes[:n])+"\n")
		if runes, mark = runes[n:], more; len(runes) == 0 {
			return
		}
	}
}

// flush ends a line that the function did not end.
func (w *logWriter) flush() {
	if w.rest != "" {
		w.line(w.rest)
		w.rest = ""
	}
}
