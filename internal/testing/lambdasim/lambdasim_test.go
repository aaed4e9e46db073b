//go:build unix

package lambdasim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets/internal/testing/lambdasim"
)

var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8") // they wait more than they compute
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "lambdasim")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "bootstrap")
		if err := lambdasim.Build(context.Background(), ".", "./testdata/handler", binary, nil, "-s -w"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func start(t *testing.T, cfg lambdasim.Config) *lambdasim.Function {
	t.Helper()
	cfg.Binary = binary
	f, err := lambdasim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(f.Logs())
		}
	})
	return f
}

func invoke(t *testing.T, f *lambdasim.Function, do, arg string) lambdasim.Result {
	t.Helper()
	event := fmt.Appendf(nil, `{"do":%q,"arg":%q}`, do, arg)
	r, err := f.Invoke(t.Context(), event)
	if err != nil {
		t.Errorf("invoke %s: %v", do, err) // not Fatal: some callers are on goroutines of their own
	}
	return r
}

func TestFunction_OnDemand(t *testing.T) {
	t.Parallel()
	f := start(t, lambdasim.Config{})
	r := invoke(t, f, "echo", "hello")
	if r.FunctionError != nil || string(r.Payload) != `"hello"` {
		t.Errorf("got %s, error %v", r.Payload, r.FunctionError)
	}
	if r.InitDuration <= 0 || r.Duration <= 0 {
		t.Errorf("Duration %v, InitDuration %v: want both", r.Duration, r.InitDuration)
	}
	want := []string{
		"START RequestId: " + r.RequestID + " Version: $LATEST\n", "echo hello\n",
		"END RequestId: " + r.RequestID + "\n", "REPORT RequestId: " + r.RequestID + "\tDuration: ",
	}
	logs := f.Logs()
	for _, w := range want {
		_, rest, ok := strings.Cut(logs, w)
		if !ok {
			t.Fatalf("no %q, in order, in\n%s", w, f.Logs())
		}
		logs = rest
	}
	if !strings.Contains(logs, "\tMemory Size: 128 MB\tMax Memory Used: ") ||
		!strings.Contains(logs, "\tInit Duration: ") {
		t.Errorf("REPORT is %q", logs)
	}
	if r := invoke(t, f, "echo", "again"); r.InitDuration != 0 {
		t.Errorf("second invocation reports an init of %v", r.InitDuration)
	}
	if in := f.Inits(); len(in) != 1 || in[0].Phase != "init" || in[0].Status != "success" {
		t.Errorf("inits: %+v", in)
	}
}

// A counter in the process stands still between invocations, and runs on with NoFreeze. It counts milliseconds where
// nothing else wants the processor: on a busy machine it falls behind, and a process stops late.
func TestFreeze_BetweenInvocations(t *testing.T) {
	t.Parallel()
	t.Log(lambdasim.ClockNote)
	const pause, few, many = time.Second, 500, 100
	for _, tc := range []struct {
		name string
		cfg  lambdasim.Config
		runs bool
	}{
		{name: "on demand", cfg: lambdasim.Config{}},
		{name: "provisioned", cfg: lambdasim.Config{InitType: lambdasim.ProvisionedConcurrency}},
		{name: "NoFreeze", cfg: lambdasim.Config{NoFreeze: true}, runs: true},
		{name: "managed", cfg: lambdasim.Config{InitType: lambdasim.ManagedInstances}, runs: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, tc.cfg)
			before := ticks(t, f)
			time.Sleep(pause)
			between := ticks(t, f) - before
			if !tc.runs && between > few {
				t.Errorf("%d ticks in %v while frozen", between, pause)
			}
			if tc.runs {
				for try := 0; try < 5 && between < many; try++ {
					time.Sleep(pause)
					between = ticks(t, f) - before
				}
				if between < many {
					t.Errorf("%d ticks where nothing freezes", between)
				}
				// and by hand
				if err := f.Freeze(); err != nil {
					t.Fatal(err)
				}
				before := ticks(t, f)
				if err := f.Freeze(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(pause)
				if n := ticks(t, f) - before; n > few {
					t.Errorf("%d ticks while frozen by hand", n)
				}
			} else {
				n, before := 0, ticks(t, f)
				for try := 0; try < 5 && n < many; try++ {
					if err := f.Thaw(); err != nil {
						t.Fatal(err)
					}
					time.Sleep(pause)
					n = ticks(t, f) - before
				}
				if n < many {
					t.Errorf("%d ticks while thawed", n)
				}
			}
		})
	}
}

// A process stopped inside an invocation takes it up again: what a flight frozen half-way needs.
func TestFreeze_InsideInvocation(t *testing.T) {
	t.Parallel()
	f := start(t, lambdasim.Config{Timeout: 10 * time.Second})
	done := make(chan lambdasim.Result, 1)
	go func() { done <- invoke(t, f, "sleep", "2s") }()
	awaitSleeping(t, f, 1)
	if err := f.Freeze(); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-done:
		t.Fatalf("answered while frozen: %s", r.Payload)
	case <-time.After(2500 * time.Millisecond):
	}
	if err := f.Thaw(); err != nil {
		t.Fatal(err)
	}
	if r := <-done; string(r.Payload) != "1" || r.Duration < 2500*time.Millisecond {
		t.Errorf("got %s after %v", r.Payload, r.Duration)
	}
}

// awaitSleeping waits until n events that sleep are in the process.
func awaitSleeping(t *testing.T, f *lambdasim.Function, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); strings.Count(f.Logs(),
		"sleep ") < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the event does not reach the process")
		}
	}
}

func ticks(t *testing.T, f *lambdasim.Function) int {
	t.Helper()
	n, err := strconv.Atoi(string(invoke(t, f, "ticks", "").Payload))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A killed or crashed process is followed by another; what the invoker sees is Lambda's wording or the function's own.
func TestFunction_Failures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, do, arg string
		cfg           lambdasim.Config
		kind, message string // of the error; message is a part of it
		log           string // a part of it
		stack         bool
		survives      bool
	}{
		{
			name: "error", do: "error", arg: "no such user",
			kind: "errorString", message: "no such user", survives: true,
		},
		{
			name: "panic", do: "panic", arg: "out of luck", stack: true,
			kind: "string", message: "out of luck",
			log: "Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n",
		},
		{
			name: "exit", do: "exit",
			kind: "Runtime.ExitError", message: "Error: Runtime exited with error: exit status 3",
			log: "\tStatus: error\tError Type: Runtime.ExitError\n",
		},
		{
			name: "timeout", do: "sleep", arg: "1m", cfg: lambdasim.Config{Timeout: 2 * time.Second},
			kind: "Sandbox.Timedout", message: "Error: Task timed out after 2.00 seconds",
			log: " Task timed out after 2.00 seconds\n",
		},
		{
			name: "response too large", do: "big",
			kind: "Function.ResponseSizeTooLarge", message: "6291556 bytes",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, tc.cfg)
			pid := f.Pid()
			r := invoke(t, f, tc.do, tc.arg)
			if r.FunctionError == nil {
				t.Fatalf("no error but %.100s", r.Payload)
			}
			if e := r.FunctionError; e.Type != tc.kind || !strings.Contains(e.Message, tc.message) {
				t.Errorf("got %q, %q; want %q, …%q…", e.Type, e.Message, tc.kind, tc.message)
			}
			if got := len(r.FunctionError.Stack) > 0; got != tc.stack {
				t.Errorf("stack %s", r.FunctionError.Stack)
			}
			var sent lambdasim.FunctionError
			if err := json.Unmarshal(r.Payload, &sent); err != nil || sent.Type != tc.kind ||
				sent.Message != r.FunctionError.Message {
				t.Errorf("payload %s (%v)", r.Payload, err)
			}
			if !strings.Contains(f.Logs(), tc.log) {
				t.Errorf("log lacks %q", tc.log)
			}
			if r := invoke(t, f, "echo", "back"); string(r.Payload) != `"back"` {
				t.Errorf("then got %s, %v", r.Payload, r.FunctionError)
			}
			if (f.Pid() == pid) != tc.survives {
				t.Errorf("process survived: %v", f.Pid() == pid)
			}
			inits := 1
			if !tc.survives {
				inits = 2
			}
			if in := f.Inits(); len(in) != inits || in[inits-1].Status != lambdasim.StatusSuccess {
				t.Errorf("inits: %+v", in)
			}
		})
	}
}

func TestInit_Deadline(t *testing.T) {
	t.Parallel()
	const (
		failed   = "init error Runtime.ExitError"
		again    = "invoke error Runtime.ExitError"
		timeout  = "init timeout "
		timeout2 = "invoke timeout "
		cured    = "invoke success "
	)
	for _, tc := range []struct {
		name  string
		init  string
		once  bool
		cfg   lambdasim.Config
		want  []string // after one event
		kind  string   // of the error, or none
		text  string
		least time.Duration // the invocation takes
		log   string
	}{
		{
			name: "panics", init: "panic no secrets", want: []string{failed, again},
			kind: "Runtime.ExitError", text: "Runtime exited with error: exit status 2",
			log: "\tPhase: init\tStatus: error\tError Type: Runtime.ExitError\n",
		},
		{name: "panics once", init: "panic no secrets", once: true, want: []string{failed, cured},
			log: "panic: no secrets"},
		{
			name: "exits", init: "exit", want: []string{failed, again},
			kind: "Runtime.ExitError", text: "Runtime exited without providing a reason",
		},
		{
			// The doom loop of a 3 s function: init limit, then the function timeout, and again.
			name: "hangs", init: "sleep 1m", want: []string{timeout, timeout2},
			cfg:  lambdasim.Config{InitLimit: 300 * time.Millisecond, Timeout: time.Second},
			kind: "Sandbox.Timedout", text: "Task timed out after 1.00 seconds", least: time.Second,
			log: "\tPhase: invoke\tStatus: timeout\n",
		},
		{
			name: "fits the function timeout only", init: "sleep 700ms", want: []string{timeout, cured},
			cfg: lambdasim.Config{InitLimit: 300 * time.Millisecond}, least: 700 * time.Millisecond,
			log: "\tPhase: init\tStatus: timeout\n",
		},
		{
			name: "is reported", init: `report {"errorType":"Config.Bad","errorMessage":"no table"}`,
			want: []string{"init error Config.Bad", "invoke error Config.Bad"}, kind: "Config.Bad", text: "no table",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.cfg.Env = map[string]string{"INIT": tc.init}
			if tc.once {
				tc.cfg.Env["ONCE"] = filepath.Join(t.TempDir(), "once")
			}
			f := start(t, tc.cfg)
			r := invoke(t, f, "echo", "hello")
			if tc.kind == "" {
				if string(r.Payload) != `"hello"` {
					t.Errorf("got %s", r.Payload)
				}
			} else if e := r.FunctionError; e == nil || e.Type != tc.kind || !strings.HasSuffix(e.Message, tc.text) {
				t.Errorf("got %s; want %s, %s", r.Payload, tc.kind, tc.text)
			}
			if r.Duration < tc.least || r.InitDuration != 0 {
				t.Errorf("Duration %v, want %v or more; InitDuration %v, want none", r.Duration, tc.least,
					r.InitDuration)
			}
			if got := reports(f); !slices.Equal(got, tc.want) {
				t.Errorf("inits %q, want %q", got, tc.want)
			}
			if !strings.Contains(f.Logs(), tc.log) {
				t.Errorf("log lacks %q", tc.log)
			}
			// Each event runs init again while it fails, and no more once it has succeeded.
			invoke(t, f, "echo", "hello")
			n := len(tc.want)
			if tc.kind != "" {
				n++
			}
			if got := reports(f); len(got) != n {
				t.Errorf("after the second event: inits %q", got)
			}
		})
	}
}

func reports(f *lambdasim.Function) (out []string) {
	for _, r := range f.Inits() {
		out = append(out, r.Phase+" "+r.Status+" "+r.ErrorType)
	}
	return out
}

// Lambda does not offer a version whose init fails where init is not part of an invocation.
func TestStart_RefusesFailedInit(t *testing.T) {
	t.Parallel()
	for _, kind := range []lambdasim.InitType{
		lambdasim.ProvisionedConcurrency, lambdasim.SnapStart, lambdasim.ManagedInstances,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			f, err := lambdasim.Start(t.Context(), lambdasim.Config{
				Binary: binary, InitType: kind, Env: map[string]string{"INIT": "panic no secrets"}, Log: &log,
			})
			if f != nil {
				f.Close()
			}
			var fnErr *lambdasim.FunctionError
			if !errors.As(err, &fnErr) || fnErr.Type != "Runtime.ExitError" {
				t.Errorf("error %v", err)
			}
			if !strings.Contains(log.String(), "panic: no secrets") {
				t.Errorf("log is %q", log.String())
			}
		})
	}
}

func TestStart_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	f, err := lambdasim.Start(ctx, lambdasim.Config{Binary: binary, Env: map[string]string{"INIT": "sleep 1m"}})
	if err == nil {
		f.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestStart_RefusesConfig(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  lambdasim.Config
		want string
	}{
		{"no binary", lambdasim.Config{}, "Binary"},
		{"absent binary", lambdasim.Config{Binary: "testdata/absent"}, "no such file"},
		{"init type", lambdasim.Config{Binary: binary, InitType: "sometimes"}, "sometimes"},
		{"concurrency on demand", lambdasim.Config{Binary: binary, MaxConcurrency: 2}, "ManagedInstances"},
		{"memory", lambdasim.Config{Binary: binary, Memory: 64}, "Memory 64"},
		{"timeout", lambdasim.Config{Binary: binary, Timeout: time.Hour}, "900 s"},
		{"processor", lambdasim.Config{Binary: binary, InitType: lambdasim.ManagedInstances, CPULimit: true},
			"CPULimit"},
		{"reserved", lambdasim.Config{Binary: binary, Env: map[string]string{"AWS_REGION": "x"}}, "AWS_REGION"},
		{"name", lambdasim.Config{Binary: binary, Env: map[string]string{"_X": "x"}}, "_X"},
		{"4 KB", lambdasim.Config{Binary: binary, Env: map[string]string{"BIG": strings.Repeat("x", 4094)}}, "4097"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, err := lambdasim.Start(t.Context(), tc.cfg)
			if err == nil {
				f.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q lacks %q", err, tc.want)
			}
		})
	}
}

// The function sees Lambda's variables and the configuration's, and none of this process.
func TestFunction_Environment(t *testing.T) {
	t.Parallel()
	common := strings.Fields(`APP AWS_DEFAULT_REGION=eu-north-1 AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512
		AWS_LAMBDA_FUNCTION_NAME=orders AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_INITIALIZATION_TYPE
		AWS_LAMBDA_RUNTIME_API AWS_REGION=eu-north-1 LAMBDA_RUNTIME_DIR LAMBDA_TASK_ROOT LANG LD_LIBRARY_PATH PATH
		TZ=:UTC _HANDLER=bootstrap`)
	static := strings.Fields(`AWS_ACCESS_KEY_ID=AKIDLAMBDASIM AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/orders
		AWS_LAMBDA_LOG_STREAM_NAME AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN`)
	container := strings.Fields(`AWS_CONTAINER_AUTHORIZATION_TOKEN AWS_CONTAINER_CREDENTIALS_FULL_URI`)
	for _, tc := range []struct {
		kind lambdasim.InitType
		more []string
	}{
		// aws-lambda-go sets the trace id, unless events run side by side.
		{lambdasim.OnDemand, append(static, "_X_AMZN_TRACE_ID")},
		{lambdasim.ProvisionedConcurrency, append(static, "_X_AMZN_TRACE_ID")},
		{lambdasim.SnapStart, append(container, "_X_AMZN_TRACE_ID")},
		{lambdasim.ManagedInstances, append(static, "AWS_LAMBDA_MAX_CONCURRENCY=7")},
	} {
		t.Run(string(tc.kind), func(t *testing.T) {
			t.Parallel()
			cfg := lambdasim.Config{
				InitType: tc.kind, FunctionName: "orders", Region: "eu-north-1", Memory: 512,
				Env: map[string]string{"APP": "x"},
			}
			if tc.kind == lambdasim.ManagedInstances {
				cfg.MaxConcurrency = 7
			}
			var env []string
			r := invoke(t, start(t, cfg), "env", "")
			if err := json.Unmarshal(r.Payload, &env); err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, v := range env {
				name, _, _ := strings.Cut(v, "=")
				got[name], got[v] = true, true
			}
			want := slices.Concat(common, tc.more, []string{"AWS_LAMBDA_INITIALIZATION_TYPE=" + string(tc.kind)})
			for _, w := range want {
				if !got[w] {
					t.Errorf("no %s", w)
				}
			}
			if len(env) != len(want)-1 {
				t.Errorf("%d variables, want %d: %q", len(env), len(want)-1, env)
			}
		})
	}
}

func TestInvoke_Deadline(t *testing.T) {
	t.Parallel()
	f := start(t, lambdasim.Config{Timeout: 7 * time.Second})
	if left, _ := strconv.Atoi(string(invoke(t, f, "deadline", "").Payload)); left < 4000 || left > 7000 {
		t.Errorf("the handler sees %d ms left of 7 s", left)
	}
}

func TestFunction_SnapStart(t *testing.T) {
	t.Parallel()
	t.Log(lambdasim.ClockNote)
	for _, tc := range []struct {
		name string
		init string
		log  string
	}{
		{name: "plain", log: "RESTORE_START\nRESTORE_REPORT Restore Duration: "},
		{name: "hooks", init: "restore", log: "RESTORE_START\nafter restore: 200\nRESTORE_REPORT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, lambdasim.Config{InitType: lambdasim.SnapStart, Env: map[string]string{"INIT": tc.init}})
			time.Sleep(time.Second)
			r := invoke(t, f, "ticks", "")
			if n, err := strconv.Atoi(string(r.Payload)); err != nil || n > 500 {
				t.Errorf("%s ticks (%v): the snapshot ran", r.Payload, err)
			}
			if r.RestoreDuration <= 0 || r.InitDuration != 0 {
				t.Errorf("RestoreDuration %v, InitDuration %v", r.RestoreDuration, r.InitDuration)
			}
			if logs := f.Logs(); !strings.Contains(logs, tc.log) || !strings.Contains(logs, "\tRestore Duration: ") {
				t.Errorf("log lacks %q", tc.log)
			}
			if r := invoke(t, f, "echo", ""); r.RestoreDuration != 0 {
				t.Error("restored twice")
			}
			if got := string(invoke(t, f, "credentials", "").Payload); !strings.Contains(got, "AKIDLAMBDASIM") ||
				!strings.Contains(got, "Expiration") {
				t.Errorf("credentials: %s", got)
			}
			if got := string(invoke(t, f, "credentials", "x").Payload); !strings.Contains(got, "AccessDenied") {
				t.Errorf("with a wrong token: %s", got)
			}
		})
	}
}

func TestFunction_ManagedInstances(t *testing.T) {
	t.Parallel()
	const width = 8
	f := start(t, lambdasim.Config{
		InitType: lambdasim.ManagedInstances, MaxConcurrency: width, Timeout: 2 * time.Second,
	})
	pid := f.Pid()
	var wg sync.WaitGroup
	var most atomic.Int64
	for range 2 * width {
		wg.Go(func() {
			n, err := strconv.ParseInt(string(invoke(t, f, "sleep", "600ms").Payload), 10, 64)
			if err != nil {
				t.Error(err)
			}
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
		})
	}
	wg.Wait()
	if most.Load() != width {
		t.Errorf("at most %d events at a time, want %d", most.Load(), width)
	}
	// A timeout answers the invoker and leaves the code running: it holds one poller until it returns.
	if r := invoke(t, f, "sleep", "4s"); r.FunctionError == nil || r.FunctionError.Type != "Sandbox.Timedout" {
		t.Errorf("got %s", r.Payload)
	}
	if got := string(invoke(t, f, "sleep", "0s").Payload); got != "2" {
		t.Errorf("%s events in the process after a timeout, want 2", got)
	}
	if f.Pid() != pid {
		t.Error("a timeout killed the process")
	}
	// An exit takes all events with it; the next one finds a new environment.
	slept := strings.Count(f.Logs(), "sleep ")
	for range 2 {
		wg.Go(func() {
			if r := invoke(t, f, "sleep", "1900ms"); r.FunctionError == nil ||
				r.FunctionError.Type != "Runtime.ExitError" {
				t.Errorf("beside an exit: %s", r.Payload)
			}
		})
	}
	awaitSleeping(t, f, slept+2)
	invoke(t, f, "exit", "")
	wg.Wait()
	if got := string(invoke(t, f, "echo", "x").Payload); got != `"x"` || f.Pid() == pid {
		t.Errorf("after an exit: %s", got)
	}
	if got := reports(f); !slices.Equal(got, []string{"init success ", "init success "}) {
		t.Errorf("inits %q", got)
	}
}

// An invoker that hangs up does not stop the function.
func TestInvoke_InvokerLeaves(t *testing.T) {
	t.Parallel()
	f := start(t, lambdasim.Config{Timeout: 10 * time.Second})
	pid := f.Pid()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := f.Invoke(ctx, []byte(`{"do":"sleep","arg":"1500ms"}`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	invoke(t, f, "echo", "next")
	if n := strings.Count(f.Logs(), "\nREPORT "); n != 2 || f.Pid() != pid {
		t.Errorf("%d reports, want 2, by one process", n)
	}
}

func TestClose_EndsProcesses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		env  map[string]string
		log  bool // the process hears SIGTERM
	}{
		{name: "killed"},
		{name: "SIGTERM with an extension", env: map[string]string{"SIGTERM": "1"}, log: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, lambdasim.Config{Env: tc.env})
			pid := f.Pid()
			failed := make(chan error, 1)
			go func() {
				_, err := f.Invoke(context.Background(), []byte(`{"do":"sleep","arg":"1m"}`))
				failed <- err
			}()
			time.Sleep(200 * time.Millisecond)
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if err := <-failed; !errors.Is(err, lambdasim.ErrClosed) {
				t.Errorf("running invocation: %v", err)
			}
			for what, err := range map[string]error{
				"Invoke": func() error { _, err := f.Invoke(t.Context(), nil); return err }(),
				"Freeze": f.Freeze(), "Thaw": f.Thaw(),
			} {
				if !errors.Is(err, lambdasim.ErrClosed) {
					t.Errorf("%s after Close: %v", what, err)
				}
			}
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d is still there: %v", pid, err)
			}
			if got := strings.Contains(f.Logs(), "got SIGTERM"); got != tc.log {
				t.Errorf("SIGTERM heard: %v, want %v", got, tc.log)
			}
		})
	}
}

func TestRun_Output(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r, err := lambdasim.Run(t.Context(), lambdasim.Config{Binary: binary, Log: &log},
		[]byte(`{"do":"echo","arg":"once"}`))
	if err != nil || string(r.Payload) != `"once"` {
		t.Errorf("got %s, %v", r.Payload, err)
	}
	if !strings.Contains(log.String(), "echo once\n") || !strings.Contains(log.String(), r.Report) {
		t.Errorf("log is %q", log.String())
	}
}

// The share of 128 MB shows in the processor time that a busy loop gets, of which other work on the machine leaves it
// less and never more.
func TestCPU_ShareOf128MB(t *testing.T) {
	const span = 500 * time.Millisecond
	used := func(limit bool) float64 {
		f := start(t, lambdasim.Config{CPULimit: limit})
		if limit {
			t.Log("limiter:", f.CPULimiter())
		} else if f.CPULimiter() != "none" {
			t.Errorf("limiter %q without CPULimit", f.CPULimiter())
		}
		invoke(t, f, "spin", "10ms")
		n, err := strconv.ParseFloat(string(invoke(t, f, "spin", span.String()).Payload), 64)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		return n / float64(span)
	}
	t.Logf("share without a limit %.3f", used(false))
	share := 1.0
	for try := 0; try < 5 && share > 0.4; try++ {
		share = min(share, used(true))
		t.Logf("share %.3f, want about %.3f", share, 128.0/1769)
	}
	if share > 0.4 {
		t.Errorf("a share of %.2f is no limit", share)
	}
}
