package secretstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets"
)

// A Fake is a [secrets.Provider] in memory that does what the test says, for every scheme.
// References are written as in the environment. Field, TTL, stale bound and optional mark do not
// matter, nor do a ciphertext's key and context. A reference that states no Region is good for
// every Region; the value of a tree is its JSON object. A Fake is safe for concurrent use.
//
// A Fake knows the references that it was given a value for, and those in the environment of its
// [Fake.Env]. A method that is given another one ends the test, with a list of the known ones: a
// typo must not leave a test green.
//
// Where waiting is part of what is tested, run the test in a testing/synctest bubble, in which it
// takes no time: Fail with a retryable error, and a Delay of more than a second, end the test
// anywhere else.
type Fake struct {
	t testing.TB

	mu       sync.Mutex
	sources  map[source][]string // → its versions, oldest first; none if it was deleted
	declared []secrets.Ref       // in the environment of an Env
	fetched  []secrets.Ref
	rounds   int
	failures []*failure
	delay    time.Duration
	held     chan struct{} // closed by release; nil if answers are not held

	pause func() time.Duration // before each answer, or nil: see drillClock
}

type source struct {
	scheme            secrets.Scheme
	id, region, stage string
}

type failure struct {
	of   pattern
	err  error
	left int // the number of fetches that still fail; -1 is until Heal
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

// Env returns an Env of this environment, whose references the Fake resolves. It ends the test if a
// reference or an option is wrong.
func (f *Fake) Env(environ map[string]string, opts ...secrets.Option) *secrets.Env {
	f.t.Helper()
	own := []secrets.Option{secrets.WithEnviron(environ), secrets.WithProvider(f)}
	env, err := secrets.New(append(own, opts...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range env.Refs() {
		f.declared = append(f.declared, v.Ref)
	}
	return env
}

// Set gives a reference a new version, which becomes the current one: a second Set is a rotation.
// The versions are called 1, 2, 3 for a parameter, [SecretVersion] of these for a secret, and can
// be asked for by ?version=; ?stage=AWSPREVIOUS is the one before the last. A reference with any
// other stage has values of its own: Set("sm://prod/db?stage=AWSPENDING", …) begins a rotation.
func (f *Fake) Set(ref, plaintext string) {
	f.t.Helper()
	p := f.unversioned("Set", ref)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sources[p.source] = append(f.sources[p.source], plaintext)
}

// Delete takes away the values of a reference that was given some: it is not found from now on.
func (f *Fake) Delete(ref string) {
	f.t.Helper()
	p := f.unversioned("Delete", ref)
	f.mu.Lock()
	_, given := f.sources[p.source]
	if given {
		f.sources[p.source] = nil
	}
	known := f.knownLocked()
	f.mu.Unlock()
	if !given {
		f.t.Fatalf("secretstest: Delete(%q): the Fake was given no value for it. %s", shown(ref), known)
	}
}

// Fail makes all fetches of a reference fail until [Fake.Heal], those of every reference if it is
// "". The error is one of secrets.ErrThrottled, ErrAccessDenied and so on, or one that wraps it;
// any other counts as retryable.
//
// A read retries a retryable error until its deadline, or for 10 seconds without one. So Fail ends
// the test if the error is retryable and the test is not in a testing/synctest bubble, in which
// these seconds take no time. [Fake.FailNext] fails a few times, and works everywhere.
func (f *Fake) Fail(ref string, err error) {
	f.t.Helper()
	if retryable(err) && !inBubble() {
		f.t.Fatalf("secretstest: Fail(%q, %v): %s. FailNext works without one", shown(ref), err, realTime)
	}
	f.fail("Fail", ref, err, -1)
}

// realTime says why a test ends rather than wait, and what to do.
const realTime = "a read waits for this, until its deadline or for 10 s, and here that is real time. " +
	"Run the test in a bubble, where it takes none: synctest.Test(t, func(t *testing.T) { … })"

// FailNext makes the next n fetches of a reference fail, or of any reference if it is "", with an
// error as for [Fake.Fail]. A read retries a retryable error, so that one alone is not seen at all.
func (f *Fake) FailNext(ref string, err error, n int) {
	f.t.Helper()
	if n < 1 {
		f.t.Fatalf("secretstest: FailNext(%q, …, %d): the number of fetches is at least 1; "+
			"Fail fails until Heal", shown(ref), n)
	}
	f.fail("FailNext", ref, err, n)
}

func (f *Fake) fail(method, ref string, err error, n int) {
	f.t.Helper()
	if err == nil {
		f.t.Fatalf("secretstest: %s(%q): the error is nil; Heal ends failures", method, shown(ref))
	}
	told := fmt.Errorf("secretstest: told to fail: %w", err)
	h := &failure{of: f.known(method, ref), err: told, left: n}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures = append(f.failures, h)
}

// retryable reports whether a cache retries a provider's error.
func retryable(err error) bool {
	var api smithy.APIError
	switch {
	case errors.Is(err, secrets.ErrThrottled), errors.Is(err, secrets.ErrUnavailable):
		return true
	case errors.As(err, &api): // its code decides
		return false
	}
	is := func(kind error) bool { return errors.Is(err, kind) }
	return err != nil && !slices.ContainsFunc(permanent, is)
}

// permanent are the kinds that no retry cures.
var permanent = []error{
	secrets.ErrNotFound, secrets.ErrAccessDenied, secrets.ErrDecrypt, secrets.ErrField,
	secrets.ErrInvalidReference, secrets.ErrConfiguration, secrets.ErrNotReference,
}

// Heal ends all failures.
func (f *Fake) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures = nil
}

// Delay makes every answer take d. It ends the test if d is more than a second and the test is not
// in a testing/synctest bubble.
func (f *Fake) Delay(d time.Duration) {
	f.t.Helper()
	if d > time.Second && !inBubble() {
		f.t.Fatalf("secretstest: Delay(%v): %s", d, realTime)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d
}

// Hold keeps back the answers to all fetches that begin from now on, until release is called or
// their context ends. They are the answers of the moment when they were asked for: what waits in a
// socket while an environment is frozen.
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
	p := f.known("Fetched", ref)
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
	if f.pause != nil {
		delay += f.pause()
	}
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
	for _, h := range f.failures {
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

// known parses the text of a reference, and ends the test if the Fake does not know it.
func (f *Fake) known(method, text string) pattern {
	f.t.Helper()
	p := f.pattern(text)
	f.mu.Lock()
	known := f.knowsLocked(p)
	list := f.knownLocked()
	f.mu.Unlock()
	if !known {
		f.t.Fatalf("secretstest: %s(%q): the Fake does not know this reference. %s",
			method, shown(text), list)
	}
	return p
}

// knowsLocked reports whether a reference was given a value, whatever its stage, or is declared.
func (f *Fake) knowsLocked(p pattern) bool {
	if p.all {
		return true
	}
	for s, versions := range f.sources {
		same := s.scheme == p.scheme && s.id == p.id
		inRegion := s.region == "" || p.region == "" || s.region == p.region
		staged := s.stage == p.stage || strings.HasPrefix(p.stage, "AWS")
		if same && inRegion && staged && hasVersion(s.scheme, len(versions), p.version) {
			return true
		}
	}
	return slices.ContainsFunc(f.declared, p.matches)
}

// hasVersion reports whether one of the first n versions has a name, or whether it is "".
func hasVersion(scheme secrets.Scheme, n int, name string) bool {
	for ; n > 0; n-- {
		if version(scheme, n) == name {
			return true
		}
	}
	return name == ""
}

// knownLocked lists the references that are known.
func (f *Fake) knownLocked() string {
	var list []string
	for s := range f.sources {
		var ref secrets.Ref
		switch s.scheme {
		case secrets.SecretsManager:
			ref = secrets.Secret(s.id)
		case secrets.SSM:
			ref = secrets.SSMParameter(s.id)
		default:
			list = append(list, string(s.scheme)+"://…")
			continue
		}
		if s.region != "" {
			ref = ref.With("region", s.region)
		}
		if s.stage != "" {
			ref = ref.With("stage", s.stage)
		}
		list = append(list, ref.String())
	}
	for _, ref := range f.declared {
		list = append(list, ref.Source().String())
	}
	if len(list) == 0 {
		return "It knows none: give it values by NewFake or Set"
	}
	slices.Sort(list)
	return "It knows " + strings.Join(slices.Compact(list), ", ")
}

// SecretVersion returns the version id of the n-th value that a Fake was given for a secret, counted
// from 1.
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

// unversioned parses the text of a reference without a version.
func (f *Fake) unversioned(method, text string) pattern {
	f.t.Helper()
	p := f.pattern(text)
	if p.all || p.version != "" {
		f.t.Fatalf("secretstest: %s(%q): name the parameter or secret, and no version: "+
			"versions are counted", method, shown(text))
	}
	return p
}

// shown returns the text of a reference as messages show it.
func shown(text string) string {
	if strings.HasPrefix(text, "kms:") {
		return "kms://…"
	}
	return text
}

// pattern parses the text of a reference.
func (f *Fake) pattern(text string) pattern {
	f.t.Helper()
	if text == "" {
		return pattern{all: true}
	}
	ref, err := secrets.ParseRef(text)
	if err != nil {
		f.t.Fatalf("secretstest: %q: %s", shown(text), secrets.Detail(err))
	}
	return pattern{
		source:  source{ref.Scheme(), ref.ID(), ref.Region(), stageOf(ref)},
		version: ref.Version(),
	}
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
