package secretstest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
)

// A Fake is a [secrets.Provider] in memory that does what the test says, for every scheme. References are written as in the environment. Field, TTL, stale
// bound and optional mark do not matter, nor do a ciphertext's key and context. A reference that states no Region is good for every Region; the value of a tree
// is its JSON object. A Fake is safe for concurrent use.
type Fake struct {
	t testing.TB

	mu      sync.Mutex
	sources map[source][]string // → its versions, oldest first
	fetched []secrets.Ref
	rounds  int
	faults  []*fault
	delay   time.Duration
	held    chan struct{} // closed by release; nil if answers are not held
}

type source struct {
	scheme            secrets.Scheme
	id, region, stage string
}

type fault struct {
	of   pattern
	err  error
	left int // -1 is for ever
}

// A pattern is a reference as a test writes it.
type pattern struct {
	source
	version string // "" is any
	all     bool   // it is ""
}

// NewFake returns a Fake that holds values: reference to plaintext.
func NewFake(t testing.TB, values map[string]string) *Fake {
	t.Helper()
	notOnLambda()
	f := &Fake{t: t, sources: map[source][]string{}}
	for ref, plaintext := range values {
		f.Set(ref, plaintext)
	}
	return f
}

// Env returns an Env of this environment, whose references the Fake resolves. It ends the test if a reference or an option is wrong.
func (f *Fake) Env(environ map[string]string, opts ...secrets.Option) *secrets.Env {
	f.t.Helper()
	env, err := secrets.New(append([]secrets.Option{secrets.WithEnviron(environ), secrets.WithProvider(f)}, opts...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	return env
}

// Set gives a reference a new version, which becomes the current one: a second Set is a rotation. The versions are called 1, 2, 3 for a
// parameter, [SecretVersion] of these for a secret, and can be asked for by ?version=; ?stage=AWSPREVIOUS is the one before the last. A
// reference with any other stage has values of its own: Set("sm://prod/db?stage=AWSPENDING", …) begins a rotation.
func (f *Fake) Set(ref, plaintext string) {
	f.t.Helper()
	p := f.pattern(ref)
	if p.all || p.version != "" {
		f.t.Fatalf("secretstest: Set(%q): name the parameter or secret, and no version: versions are counted", ref)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sources[p.source] = append(f.sources[p.source], plaintext)
}

// Delete takes a reference's values away: it is not found from now on.
func (f *Fake) Delete(ref string) {
	f.t.Helper()
	p := f.pattern(ref)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sources, p.source)
}

// Fail makes the next n fetches of a reference fail, those of every reference if it is "", and
// all until [Fake.Heal] if n is 0. The error is one of secrets.ErrThrottled, ErrAccessDenied and
// so on, or one that wraps it; any other counts as retryable. The cache retries a retryable
// failure within one read: ErrThrottled once is not seen at all.
func (f *Fake) Fail(ref string, err error, n int) {
	f.t.Helper()
	if err == nil {
		f.t.Fatalf("secretstest: Fail(%q): the error is nil; Heal ends failures", ref)
	}
	h := &fault{of: f.pattern(ref), err: fmt.Errorf("secretstest: told to fail: %w", err), left: n}
	if n == 0 {
		h.left = -1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, h)
}

// Heal ends all failures.
func (f *Fake) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Delay makes every answer take d, in the time of the bubble if there is one.
func (f *Fake) Delay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d
}

// Hold keeps back the answers to all fetches that begin from now on, until release is called or their context ends. They are the
// answers of the moment when they were asked for: what waits in a socket while an environment is frozen.
func (f *Fake) Hold() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.held = held
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		close(held)
		if f.held == held {
			f.held = nil
		}
	})
}

// Fetched returns how many times a reference was fetched, all of them together if it is "".
func (f *Fake) Fetched(ref string) int {
	f.t.Helper()
	p := f.pattern(ref)
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, got := range f.fetched {
		if p.matches(got) {
			n++
		}
	}
	return n
}

// Rounds returns how many times Fetch was called.
func (f *Fake) Rounds() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rounds
}

// Fetch is the Fake's side of [secrets.Provider].
func (f *Fake) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	results := make([]secrets.Result, len(refs))
	f.mu.Lock()
	f.rounds++
	f.fetched = append(f.fetched, refs...)
	for i, ref := range refs {
		results[i].Value, results[i].Err = f.answer(ref)
	}
	held, delay := f.held, f.delay
	f.mu.Unlock()
	if err := wait(ctx, held, delay); err != nil {
		for i := range results {
			results[i] = secrets.Result{Err: err}
		}
	}
	return results
}

func wait(ctx context.Context, held <-chan struct{}, delay time.Duration) error {
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var _ secrets.Provider = (*Fake)(nil)

// answer returns what is known of ref, under mu.
func (f *Fake) answer(ref secrets.Ref) (secrets.Value, error) {
	for _, h := range f.faults {
		if h.left != 0 && h.of.matches(ref) {
			h.left = max(-1, h.left-1)
			return secrets.Value{}, h.err
		}
	}
	for _, region := range []string{ref.Region(), ""} {
		s := source{ref.Scheme(), ref.ID(), region, stageOf(ref)}
		versions := f.sources[s]
		if s.stage == "AWSPREVIOUS" && versions == nil {
			s.stage = ""
			versions = f.sources[s]
			versions = versions[:max(0, len(versions)-1)]
		}
		for n := len(versions); n > 0; n-- {
			if v := version(s.scheme, n); ref.Version() == "" || ref.Version() == v {
				return secrets.NewValue(versions[n-1], v), nil
			}
		}
	}
	return secrets.Value{}, fmt.Errorf("secretstest: the Fake was not given it: %w", secrets.ErrNotFound)
}

// SecretVersion returns the version id of the n-th value that a Fake was given for a secret, counted from 1.
func SecretVersion(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func version(scheme secrets.Scheme, n int) string {
	switch scheme {
	case secrets.SecretsManager:
		return SecretVersion(n)
	case secrets.SSM:
		return strconv.Itoa(n)
	}
	return ""
}

// pattern parses the text of a reference.
func (f *Fake) pattern(text string) pattern {
	f.t.Helper()
	if text == "" {
		return pattern{all: true}
	}
	ref, err := secrets.ParseRef(text)
	if err != nil {
		f.t.Fatal(secrets.Detail(err))
	}
	return pattern{source: source{ref.Scheme(), ref.ID(), ref.Region(), stageOf(ref)}, version: ref.Version()}
}

func (p pattern) matches(ref secrets.Ref) bool {
	return p.all || p.scheme == ref.Scheme() && p.id == ref.ID() && p.stage == stageOf(ref) &&
		(p.region == "" || p.region == ref.Region()) && (p.version == "" || p.version == ref.Version())
}

// stageOf returns a reference's stage, "" for the current version however it is asked for.
func stageOf(ref secrets.Ref) string {
	if stage := ref.Stage(); stage != "AWSCURRENT" {
		return stage
	}
	return ""
}
