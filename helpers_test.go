package secrets_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/leak"
)

const region = "eu-west-1"

// start returns a running embedded endpoint, its store in region, and a configuration for it.
func start(t testing.TB) (*endpoint.Server, *endpoint.Store, aws.Config) {
	t.Helper()
	s := endpoint.New(endpoint.Options{})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, s.Region(region), config(url)
}

func config(url string) aws.Config {
	return aws.Config{Region: region, BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", "")}
}

func newEnv(t testing.TB, cfg aws.Config, environ map[string]string, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	env, err := secrets.New(append([]secrets.Option{secrets.WithAWSConfig(cfg), secrets.WithEnviron(environ)},
		opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// patient returns a context for a warm over real connections: with the race detector, on a busy machine, that may take
// more than its 2 seconds.
func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func mustGet(t testing.TB, env *secrets.Env, name string) secrets.Value {
	t.Helper()
	v, err := env.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("Get(%s): %s", name, secrets.Detail(err))
	}
	return v
}

func kmsRef(blob []byte) string { return "kms://" + base64.StdEncoding.EncodeToString(blob) }

// quiet returns a logger that writes nothing.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// textLog returns a logger that writes to w.
func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// failureOf returns the error of a variable's last fetch, if that failed.
func failureOf(env *secrets.Env, name string) error {
	for _, r := range env.Refs() {
		if r.Variable == name {
			return r.Err
		}
	}
	return nil
}

// A script is a Provider that a test directs: it takes delay for a call, unless ctx ends before, and then answers what
// answer says, or else the name and the number of the call. It keeps what it was asked.
type script struct {
	delay  time.Duration
	answer func(ctx context.Context, call int, id string) (string, error) // called without the lock, once per reference

	mu    sync.Mutex
	calls [][]string // the names that each call asked for, sorted
}

func (p *script) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	var ids []string
	for _, ref := range refs {
		ids = append(ids, ref.ID())
	}
	slices.Sort(ids)
	p.mu.Lock()
	p.calls = append(p.calls, ids)
	call, delay, answer := len(p.calls), p.delay, p.answer
	p.mu.Unlock()
	results := make([]secrets.Result, len(refs))
	err := pause(ctx, delay)
	for i, ref := range refs {
		text := fmt.Sprintf("%s-%d", ref.ID(), call)
		if err == nil && answer != nil {
			text, results[i].Err = answer(ctx, call, ref.ID())
		} else {
			results[i].Err = err
		}
		if results[i].Err == nil {
			results[i].Value = secrets.NewValue(text, fmt.Sprint(call))
		}
	}
	return results
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// set changes how p answers from now on.
func (p *script) set(delay time.Duration, answer func(ctx context.Context, call int, id string) (string, error)) {
	p.mu.Lock()
	p.delay, p.answer = delay, answer
	p.mu.Unlock()
}

// fail makes p fail from now on; fail(nil) makes it answer.
func (p *script) fail(err error) {
	if err == nil {
		p.set(0, nil)
		return
	}
	p.set(0, func(context.Context, int, string) (string, error) { return "", err })
}

// reset makes p forget its calls.
func (p *script) reset() *script {
	p.mu.Lock()
	p.calls = nil
	p.mu.Unlock()
	return p
}

// count returns how often p was called.
func (p *script) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

// asked returns the names that call number n asked for, as "a b".
func (p *script) asked(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < 1 || n > len(p.calls) {
		return "no such call"
	}
	return strings.Join(p.calls[n-1], " ")
}

// env returns an Env over p. Each of vars is a name and a reference.
func (p *script) env(t testing.TB, vars map[string]string, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	env, err := secrets.New(append([]secrets.Option{secrets.WithEnviron(vars), secrets.WithProvider(p),
		secrets.WithLogger(quiet())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// one returns an Env with the single variable A, which reads sm://a.
func (p *script) one(t testing.TB, opts ...secrets.Option) *secrets.Env {
	t.Helper()
	return p.env(t, map[string]string{"A": "sm://a"}, opts...)
}

// expect gets A and compares it with want, which ends in an asterisk for a stale value.
func expect(t testing.TB, env *secrets.Env, want string) {
	t.Helper()
	v, err := env.Get(t.Context(), "A")
	if err != nil {
		t.Errorf("Get(A): %s; want %s", secrets.Detail(err), want)
		return
	}
	got := v.Reveal()
	if v.Stale() {
		got += "*"
	}
	if got != want {
		t.Errorf("Get(A) = %s, want %s", got, want)
	}
}

// took runs f and checks how long it took.
func took(t testing.TB, what string, least, most time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if d := time.Since(began); d < least || d > most {
		t.Errorf("%s took %v, want %v to %v", what, d, least, most)
	}
}

// A clocks is a Clock whose two sides are moved apart by hand; both go on with time.Now.
type clocks struct {
	mu         sync.Mutex
	base       time.Time
	wall, mono time.Duration // added to time.Now
}

func newClocks() *clocks { return &clocks{base: time.Now()} }

func (c *clocks) now() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return now.Round(0).Add(c.wall), now.Sub(c.base) + c.mono
}

func (c *clocks) shift(wall, mono time.Duration) {
	c.mu.Lock()
	c.wall, c.mono = c.wall+wall, c.mono+mono
	c.mu.Unlock()
}

// A journal is a log handler that keeps the lines of each event.
type journal struct {
	mu    sync.Mutex
	lines map[string][]string // event → its lines
}

func newJournal() (*journal, secrets.Option) {
	j := &journal{lines: map[string][]string{}}
	return j, secrets.WithLogger(slog.New(j))
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String()
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines[r.Message] = append(j.lines[r.Message], line)
	return nil
}

func (j *journal) count(event string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.lines[event])
}

func (j *journal) events() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Sorted(maps.Keys(j.lines))
}

// loggerThat returns a logger to j that also calls f for each line.
func loggerThat(j *journal, f func()) *slog.Logger { return slog.New(&calling{j, f}) }

type calling struct {
	*journal
	f func()
}

func (c *calling) Handle(ctx context.Context, r slog.Record) error {
	c.f()
	return c.journal.Handle(ctx, r)
}
func (c *calling) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *calling) WithGroup(string) slog.Handler      { return c }

// locked is a writer for several goroutines.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

type fetcher func(refs []secrets.Ref) []secrets.Result

func (f fetcher) Fetch(_ context.Context, refs []secrets.Ref) []secrets.Result { return f(refs) }

// leaks returns the form of one of the plaintexts that text holds, or "".
func leaks(text string, plaintexts ...string) string { return leak.In(text, plaintexts...) }

// walk prints what v reaches as a debugger would.
func walk(v any) string { return leak.Walk(v) }
