package secrets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lambdasecrets/secrets/internal/awsconf"
	"github.com/lambdasecrets/secrets/internal/lambdaenv"
	"github.com/lambdasecrets/secrets/internal/par"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// An Env resolves the references in a function's environment. It is safe for concurrent use and needs no closing.
type Env struct {
	vars   map[string]*variable // name → its reference; fixed by New, so that reads need no lock
	order  []*variable          // by name
	cache  *Cache
	config *config
	home   string // the function's Region, or "" where only the SDK's configuration knows

	warmed atomic.Bool // Warm was called
	owed   atomic.Bool // Warm was called while a snapshot is made: the first read has to do its work
}

type variable struct {
	name  string
	ref   Ref // as written, and as errors may print it
	entry *entry
	slot  int // in generation.values
}

// New reads the environment and the options, and makes no call and no client. Everything that is wrong with them comes back as one error, an
// [ErrInvalidReference] per variable, each with what to write instead.
func New(opts ...Option) (*Env, error) {
	c := &config{cacheConfig: newCacheConfig(), vars: map[string]Scheme{}, refs: map[string]Ref{}, providers: map[Scheme]Provider{}}
	for _, o := range opts {
		o.apply(c)
	}
	if c.environ == nil {
		WithEnviron(lambdaenv.Process()).apply(c)
	}
	e := &Env{vars: map[string]*variable{}, config: c, home: c.environ().Region()}
	if c.aws != nil && c.aws.Region != "" {
		e.home = c.aws.Region
	}
	if c.local != nil && c.environ().Deployed() {
		c.fail(errors.New("secrets: WithLocalValues is refused on Lambda (AWS_LAMBDA_FUNCTION_NAME is set): use it only where no production can be"))
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	refs, errs := e.scan()
	if len(errs) > 0 {
		all := join("the environment has errors", errs).(*failures)
		all.full = true
		return nil, all
	}
	e.cache = newCache(e.newMux(), c.cacheConfig)
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		e.declare(name, refs[name])
	}
	if c.local != nil {
		c.local = map[string]string{} // its values are in the references now
	}
	return e, nil
}

// scan finds the references of the environment and checks them all.
func (e *Env) scan() (map[string]Ref, []*ResolveError) {
	c, refs := e.config, maps.Clone(e.config.refs)
	var errs []*ResolveError
	bad := func(name string, ref Ref, problem, hint string) {
		errs = append(errs, &ResolveError{Variable: name, Ref: ref, kind: ErrInvalidReference, problem: problem, hint: hint})
	}
	for name := range c.vars {
		_, set := c.environ()[name]
		_, local := c.local[name]
		if _, coded := c.refs[name]; !set && !local && !coded {
			bad(name, Ref{}, "it is declared by WithVars and not set", "set the variable, or drop the declaration")
		}
	}
	for name, text := range c.environ() {
		scheme, declared := c.vars[name]
		_, coded := c.refs[name]
		switch {
		case coded:
		case strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "LAMBDA_") || strings.HasPrefix(name, "_"):
			if declared || refsyntax.Begins(text) {
				bad(name, Ref{}, "the SDK and Lambda read this variable: it cannot hold a reference", "put the reference into a variable of your own")
			}
		case declared && scheme == Literal:
			refs[name] = literal(text)
		case declared:
			refs[name] = makeRef(refsyntax.Bare(string(scheme), text))
		case refsyntax.Begins(text):
			refs[name] = makeRef(refsyntax.Parse(text))
		}
	}
	maps.DeleteFunc(refs, func(name string, _ Ref) bool { _, local := c.local[name]; return local }) // what they refer to is not fetched
	for name, ref := range refs {
		if err := e.allowed(name, ref); err != nil {
			errs = append(errs, err)
		} else if c.local != nil && ref.Scheme() != Literal && !ref.optional() {
			bad(name, e.shown(name, ref), "WithLocalValues has no value for it", "add one: with local values nothing is fetched from AWS")
		}
	}
	for name, value := range c.local {
		refs[name] = literal(value)
	}
	return refs, errs
}

func literal(value string) Ref {
	return makeRef(refsyntax.Ref{Scheme: string(Literal), ID: value}, nil)
}

// allowed checks a reference, before any call.
func (e *Env) allowed(name string, ref Ref) *ResolveError {
	refuse := func(problem, hint string, cause error) *ResolveError {
		return &ResolveError{Variable: name, Ref: e.shown(name, ref), kind: ErrInvalidReference, problem: problem, hint: hint, cause: cause}
	}
	if d := ref.data(); d.problem != "" {
		return refuse(d.problem, d.hint, nil)
	}
	if r := ref.Region(); r != "" && e.home != "" && refsyntax.Partition(r) != refsyntax.Partition(e.home) {
		return refuse(fmt.Sprintf("it is in Region %s of partition %s, and this function runs in %s", r, refsyntax.Partition(r), refsyntax.Partition(e.home)),
			"credentials are good in one partition only: keep a copy of the secret in this one", nil)
	}
	for _, check := range e.config.check {
		if err := check(name, ref); err != nil {
			return refuse("WithCheck refuses it: "+clip(err.Error(), 500), "", err)
		}
	}
	return nil
}

// shown returns ref as errors and the log may print it: the text of a declared variable, unless it is an ARN, may be a plaintext that somebody put there by mistake.
func (e *Env) shown(name string, ref Ref) Ref {
	if e.config.vars[name] == "" || strings.HasPrefix(ref.ID(), "arn:") {
		return ref // and no new handle: making them is the largest part of a cold start that is ours
	}
	return ref.unquoted()
}

// declare makes a variable of a name and its reference.
func (e *Env) declare(name string, ref Ref) {
	c := e.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	ref = e.shown(name, ref)
	entry := c.entry(ref.inRegion(e.home), true)
	entry.optional = ref.optional() && (entry.optional || len(entry.names) == 0)
	entry.names = append(entry.names, name)
	v := &variable{name: name, ref: ref, entry: entry}
	if f := ref.Field(); f != "" {
		if v.slot = slices.Index(entry.fields, f) + 1; v.slot == 0 {
			entry.fields = append(entry.fields, f)
			v.slot = len(entry.fields)
		}
	}
	if ref.Scheme() == Literal {
		entry.gen.Store(&generation{number: 1, life: forever, soon: forever, at: c.now(), values: []slot{{value: NewValue(ref.ID(), "")}}})
	}
	e.vars[name] = v
	e.order = append(e.order, v)
}

// A mux sends each scheme's references to its provider. The AWS ones are made when they are first needed.
type mux map[Scheme]func() Provider

func (m mux) Fetch(ctx context.Context, refs []Ref) []Result {
	return m[refs[0].Scheme()]().Fetch(ctx, refs)
}

func (e *Env) newMux() mux {
	c, b := e.config, e.config.backend
	b.function = c.environ()["AWS_LAMBDA_FUNCTION_NAME"]
	if b.source = awsconf.Default(e.home); c.aws != nil {
		cfg := c.aws.Copy()
		cfg.Region = e.home
		b.source = awsconf.Fixed(cfg)
	}
	note := sync.OnceFunc(func() { // whoever configured an endpoint sees what is asked
		awsconf.Endpoints(c.environ(), c.aws, func(name, host string) { c.logger().Info("secrets.endpoint", "variable", name, "host", host) })
	})
	m := mux{}
	for scheme, backend := range map[Scheme]func(backendConfig) Provider{
		KMS:            func(b backendConfig) Provider { return newKMS(b) },
		SSM:            func(b backendConfig) Provider { return newSSM(b) },
		SecretsManager: func(b backendConfig) Provider { return newSecretsManager(b) },
	} {
		p := c.providers[scheme]
		if p == nil {
			p = c.anything
		}
		if c.local != nil {
			p = ProviderFunc(func(context.Context, Ref) (Value, error) {
				return Value{}, &ResolveError{kind: ErrNotFound, problem: "WithLocalValues has no value for it"}
			})
		}
		if p != nil {
			m[scheme] = func() Provider { return p }
			continue
		}
		m[scheme] = sync.OnceValue(func() Provider {
			note()
			return backend(b)
		})
	}
	return m
}

// MustWarm is [New] and [Env.Warm] for a package variable or main. It panics where a retry cannot help: the environment has errors, or a reference failed
// for a lasting reason, so that a broken deployment is seen at once. After a passing failure (throttling, network) it returns the
// Env, and [Env.Get] resolves inside the invocation: a panic in init would cost a second init, on every environment, while AWS is busy.
func MustWarm(ctx context.Context, opts ...Option) *Env {
	e, err := New(opts...)
	if err == nil {
		err = e.Warm(ctx)
	}
	if err != nil && (e == nil || !Retryable(err)) {
		panic(Detail(err))
	}
	return e
}

// Warm resolves every reference that is not resolved yet, in one round, and waits for it: up to 2 seconds, up to 30 under provisioned concurrency and on
// Managed Instances, or until the deadline of ctx if it has one. It keeps what resolved, and reports everything else in one error, which it also logs as
// secrets.warm; ask [Retryable] of it. A missing optional reference is no failure.
//
// In an image that SnapStart is about to snapshot (AWS_LAMBDA_INITIALIZATION_TYPE=snap-start), Warm fetches nothing, so that the snapshot holds no plaintext; the
// first read does its work.
func (e *Env) Warm(ctx context.Context) error {
	first := !e.warmed.Swap(true)
	if first && e.config.environ().Snapshot() {
		e.cache.mu.Lock()
		defer e.cache.mu.Unlock()
		for _, v := range e.order {
			v.entry.wanted = true // of reads that come together after the restore, the first to launch a flight takes along its whole group
		}
		e.owed.Store(true)
		return nil
	}
	e.owed.Store(false)
	return e.warm(ctx, first, false)
}

// warm is Warm, for a read where it is owed.
func (e *Env) warm(ctx context.Context, first, owed bool) error {
	environ := e.config.environ()
	if _, ok := ctx.Deadline(); !ok || owed { // the deadline of a read is the invocation's
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, environ.Budget())
		defer cancel()
	}
	began := time.Now()
	slow := time.AfterFunc(time.Second, func() {
		var waiting []string
		e.cache.mu.Lock()
		for _, v := range e.order {
			if v.entry.call != nil {
				waiting = append(waiting, v.name)
			}
		}
		e.cache.mu.Release() // what else is to be logged is written by the warm, before it returns
		e.config.logger().Warn("secrets.warm", "waiting", waiting, "for", time.Second.String())
	})
	asks := asksFor(e.order)
	e.cache.settle(par.WithWidth(ctx, environ.Width(first)), slices.Collect(maps.Values(asks)), warming)
	slow.Stop()
	err := join("warm", collect(asks, e.order))
	if err != nil {
		e.config.logger().Error("secrets.warm", "took", time.Since(began).Round(time.Millisecond).String(), "retryable", Retryable(err), "error", Detail(err))
	}
	return err
}

func asksFor(vars []*variable) map[*entry]*ask {
	asks := map[*entry]*ask{}
	for _, v := range vars {
		asks[v.entry] = &ask{entry: v.entry}
	}
	return asks
}

// collect returns the failures of vars, but for optional ones that are absent.
func collect(asks map[*entry]*ask, vars []*variable) (errs []*ResolveError) {
	for _, v := range vars {
		_, err := asks[v.entry].answer(v.name, v.ref)
		if e, failed := err.(*ResolveError); failed && !(v.ref.optional() && e.kind == ErrNotFound) {
			errs = append(errs, e)
		}
	}
	return errs
}

// Get returns the value of a variable. It returns at once, without a lock or an allocation, while the value is fresh, and blocks for a refresh otherwise: with an
// old value in hand for 1 second at most, else until ctx ends, less a reserve of 250 ms or a quarter (10 s if ctx has no deadline). See the
// package documentation for what it returns when the refresh fails.
//
// The error is a [*ResolveError]; [ErrNotReference] if the variable is not set, or holds no reference and was not declared by [WithVars].
func (e *Env) Get(ctx context.Context, name string) (Value, error) {
	v := e.vars[name]
	if v == nil {
		return Value{}, e.unknown(name)
	}
	if g := v.entry.fresh(e.cache.now()); g != nil {
		if s := &g.values[v.slot]; s.err == nil {
			return s.value, nil
		}
	}
	_, value, err := e.read(ctx, v)
	return value, err
}

// read is Get without its fast return, and tells the generation too.
func (e *Env) read(ctx context.Context, v *variable) (*generation, Value, error) {
	a := &ask{entry: v.entry, gen: v.entry.fresh(e.cache.now())}
	if a.gen == nil {
		ctx = par.WithWidth(ctx, e.config.environ().Width(false))
		e.payOff(ctx)
		e.cache.settle(ctx, []*ask{a}, reading)
	}
	value, err := a.answer(v.name, v.ref)
	return a.gen, value, err
}

// payOff does the round that Warm left to the first read after a snapshot, in the time that Warm has: an endpoint that does not answer must not
// take the whole invocation from those that do.
func (e *Env) payOff(ctx context.Context) {
	if e.owed.Load() && e.owed.Swap(false) {
		e.warm(ctx, false, true) // it logs its error, and each read returns its own
	}
}

// unknown says why there is no variable of that name. Where a reference stands in its place, the error is of that.
func (e *Env) unknown(name string) *ResolveError {
	text, set := e.config.environ()[name]
	err := &ResolveError{Variable: name, kind: ErrNotReference}
	if err.problem, err.hint = refsyntax.NotReference(name, text, set); refsyntax.Begins(name) {
		err.Variable, err.Ref = "", makeRef(refsyntax.Parse(name))
	}
	return err
}

// Resolve returns the value of a reference that is not in the environment. It blocks and fails as [Env.Get] does. Up to 1,000 such references, and 4 MiB of their values,
// are kept; beyond that the oldest goes. A field is parsed anew on each call.
func (e *Env) Resolve(ctx context.Context, ref Ref) (Value, error) {
	if err := e.allowed("", ref); err != nil {
		err.Ref = ref
		return Value{}, err
	}
	if ref.Scheme() == Literal {
		return NewValue(ref.ID(), ""), nil
	}
	if e.config.local != nil {
		return Value{}, &ResolveError{Ref: ref, kind: ErrInvalidReference, problem: "with WithLocalValues nothing is fetched", hint: "name the reference by WithRef and give that name a local value"}
	}
	r := e.cache.Fetch(par.WithWidth(ctx, e.config.environ().Width(false)), []Ref{ref.inRegion(e.home)})[0]
	if r.Err != nil {
		return Value{}, providerError(ref, r.Err).named("", ref)
	}
	return r.Value, nil
}

// Refresh fetches the named variables now, or everything if none is named, whatever their age, by a call that begins after Refresh did, and waits for it until ctx ends, less
// the reserve. What cannot change (ciphertext, pinned versions) is skipped. On failure it returns the error and keeps the value.
func (e *Env) Refresh(ctx context.Context, names ...string) error {
	vars := e.order
	var errs []*ResolveError
	if len(names) > 0 {
		vars = nil
		for _, name := range names {
			if v := e.vars[name]; v != nil {
				vars = append(vars, v)
			} else {
				errs = append(errs, e.unknown(name))
			}
		}
	}
	asks := asksFor(vars)
	if len(names) == 0 {
		c := e.cache
		c.mu.Lock()
		for _, entry := range c.loose() {
			if entry.gen.Load() != nil {
				asks[entry] = &ask{entry: entry}
			}
		}
		c.mu.Unlock()
	}
	e.cache.settle(par.WithWidth(ctx, e.config.environ().Width(false)), slices.Collect(maps.Values(asks)), renewing)
	errs = append(errs, collect(asks, vars)...)
	for _, a := range asks {
		if !a.entry.declared && a.gen == nil {
			errs = append(errs, a.err)
		}
	}
	return join("refresh", errs)
}

// RevealAll returns the whole environment as plaintext, for configuration libraries that read a map: every variable that holds a reference or was declared or
// named in code with its value, every other as it is. An optional reference that is absent is left out. On any other failure the map is nil and the error tells everything.
//
// The map is the caller's. What copies it into the process environment hands it to every child process.
func (e *Env) RevealAll(ctx context.Context) (map[string]string, error) {
	s := e.Snapshot(ctx)
	if err := join("reveal", collect(s.asks, e.order)); err != nil {
		return nil, err
	}
	all := maps.Clone(e.config.environ())
	for _, v := range e.order {
		if value, err := s.Get(v.name); err == nil {
			all[v.name] = value.Reveal()
		} else {
			delete(all, v.name)
		}
	}
	return all, nil
}

// EnvMutate makes an Env a Mutator of github.com/sethvargo/go-envconfig for fields of type string: the key's reference becomes its plaintext. Other values pass. For
// fields of type [Value] use [Env.RevealAll] with its MapLookuper.
func (e *Env) EnvMutate(ctx context.Context, originalKey, resolvedKey, originalValue, currentValue string) (newValue string, stop bool, err error) {
	if e.vars[resolvedKey] == nil {
		if refsyntax.Begins(currentValue) {
			return "", true, e.unknown(resolvedKey)
		}
		return currentValue, false, nil
	}
	v, err := e.Get(ctx, resolvedKey)
	if err != nil {
		return "", true, err
	}
	return v.Reveal(), false, nil
}

// RefInfo tells an audit where a variable's value came from.
type RefInfo struct {
	Variable  string        // or "" for a reference built in code
	Ref       Ref           // as written; one that WithVars declared prints its length, and equals no other
	ARN       string        // of the parameter, secret or KMS key, where the backend says
	Version   string        // see Value.Version
	FetchedAt time.Time     // the zero time if it is not resolved
	Age       time.Duration // by the clock that went further
	Err       error         // of the last fetch, if that failed
}

// Refs lists every reference, sorted by variable, then those resolved in code. It makes no call.
func (e *Env) Refs() []RefInfo {
	c := e.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	info := func(entry *entry, name string, ref Ref) RefInfo {
		r := RefInfo{Variable: name, Ref: ref}
		if g := entry.gen.Load(); g != nil {
			v := g.values[0].value
			r.ARN, r.Version, r.FetchedAt, r.Age = g.arn, v.Version(), v.FetchedAt(), now.Since(g.at)
		}
		if entry.fail != nil {
			r.Err = entry.fail.err.named(name, ref)
		}
		return r
	}
	var infos []RefInfo
	for _, v := range e.order {
		infos = append(infos, info(v.entry, v.name, v.ref))
	}
	loose := c.loose()
	// By pointer: the sort of a struct that only this package has would be 24 kB of the binary.
	slices.SortFunc(loose, func(a, b *entry) int { return strings.Compare(a.source.String(), b.source.String()) })
	for _, entry := range loose {
		infos = append(infos, info(entry, "", entry.shown))
	}
	return infos
}

// Stats counts what happened since New.
type Stats struct {
	Rounds   uint64            // calls to providers begun, each for one scheme and Region
	Values   uint64            // values fetched
	Stale    uint64            // reads that were served an old value
	Failures map[string]uint64 // failed fetches, by the kind's text, as "throttled"
	Errors   map[string]error  // variable → error of its last fetch, where that failed
}

// Stats returns a copy of the counters. Cached reads are not counted: that would cost more than they do.
func (e *Env) Stats() Stats {
	e.cache.mu.Lock()
	s := e.cache.stats
	s.Failures = maps.Clone(s.Failures)
	e.cache.mu.Unlock()
	s.Errors = map[string]error{}
	for _, r := range e.Refs() {
		if r.Err != nil && r.Variable != "" {
			s.Errors[r.Variable] = r.Err
		}
	}
	return s
}
