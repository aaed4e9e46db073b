package secrets

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/lambdasecrets/secrets/internal/parallel"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

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
	e.cache.settle(parallel.WithWidth(ctx, environ.Width(first)), slices.Collect(maps.Values(asks)), warming)
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
		ctx = parallel.WithWidth(ctx, e.config.environ().Width(false))
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
		return ref.value(), nil
	}
	if e.config.local != nil {
		return Value{}, &ResolveError{Ref: ref, kind: ErrInvalidReference, problem: "with WithLocalValues nothing is fetched", hint: "name the reference by WithRef and give that name a local value"}
	}
	r := e.cache.Fetch(parallel.WithWidth(ctx, e.config.environ().Width(false)), []Ref{ref.inRegion(e.home)})[0]
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
	e.cache.settle(parallel.WithWidth(ctx, e.config.environ().Width(false)), slices.Collect(maps.Values(asks)), renewing)
	errs = append(errs, collect(asks, vars)...)
	for _, a := range asks {
		if !a.entry.declared && a.gen == nil {
			errs = append(errs, a.err)
		}
	}
	return join("refresh", errs)
}

// RevealAll returns the whole environment as plaintext, for configuration libraries that read a map: every variable that holds a reference or was declared or
// named in code with its value, every other as it is, unless it is the bare ARN of a parameter or secret, or a bare ciphertext: that has to be declared. An optional reference that is absent is left out. On any other failure the map is nil and the error tells everything.
//
// The map is the caller's. What copies it into the process environment hands it to every child process.
func (e *Env) RevealAll(ctx context.Context) (map[string]string, error) {
	s := e.Snapshot(ctx)
	if err := join("reveal", append(collect(s.asks, e.order), e.undeclared()...)); err != nil {
		return nil, err
	}
	all := maps.Clone(e.config.environ())
	for _, v := range e.order {
		if value, err := s.Get(v.name); err == nil {
			all[v.name] = value.Reveal()
			allowText(all[v.name])
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
