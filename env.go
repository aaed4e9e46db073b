package secrets

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/lambdasecrets/secrets/internal/clock"
	"github.com/lambdasecrets/secrets/internal/parallel"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// MustWarm is [New] and [Env.Warm] for a package variable or main. It panics where a
// retry cannot help: [New] fails, or a reference fails permanently, so that a broken
// deployment is seen at once. It logs secrets.warm before it panics. After a retryable
// failure (throttling, network) it returns the Env, and [Env.Get] resolves inside the
// invocation: a panic would cost every execution environment a second init, while AWS is
// busy.
func MustWarm(ctx context.Context, opts ...Option) *Env {
	e, err := New(opts...)
	if err != nil {
		logWarm(ctx, loggerOf(opts), 0, err)
		panic(Detail(err))
	}
	if err = e.Warm(ctx); err != nil && !Retryable(err) {
		panic(Detail(err))
	}
	return e
}

// loggerOf returns the logger that opts state, or the default.
func loggerOf(opts []Option) *slog.Logger {
	c := newConfig()
	for _, o := range opts {
		if o != nil {
			o.apply(c)
		}
	}
	return c.logger()
}

// Warm resolves every reference that is not resolved yet, in one round, and waits for it:
// up to 2 seconds, up to 30 under provisioned concurrency and on Managed Instances, or
// until the deadline of ctx if it has one. It keeps what resolved, and reports everything
// else in one error, which it also logs as secrets.warm; ask [Retryable] of it. A missing
// optional reference is no failure.
//
// In an image that SnapStart is about to snapshot
// (AWS_LAMBDA_INITIALIZATION_TYPE=snap-start), Warm fetches nothing, so that the snapshot
// holds no plaintext; the first read does its work.
func (e *Env) Warm(ctx context.Context) error {
	first := !e.warmed.Swap(true)
	if e.config.environ().Snapshot() && !e.restored.Load() {
		e.cache.wantAfterRestore(e.order)
		e.warmPending.Store(true)
		return nil
	}
	e.warmPending.Store(false)
	if _, ok := ctx.Deadline(); ok {
		return e.warm(ctx, first)
	}
	return e.warmWithin(ctx, first)
}

// warmWithin is warm with the time that an init has.
func (e *Env) warmWithin(ctx context.Context, first bool) error {
	ctx, cancel := context.WithTimeout(ctx, e.config.environ().Budget())
	defer cancel()
	return e.warm(ctx, first)
}

// warm does one round for everything.
func (e *Env) warm(ctx context.Context, first bool) error {
	began := time.Now()
	r := e.cache.newRequest(parallel.WithWidth(ctx, e.config.environ().Width(first)), warming)
	wants := r.wantVariables(e.order)
	e.cache.resolve(r)
	err := join("warm", collect(wants, e.order))
	if err != nil {
		logWarm(ctx, e.config.logger(), time.Since(began), err)
	}
	return err
}

// logWarm writes the line of a warm that failed.
func logWarm(ctx context.Context, l *slog.Logger, took time.Duration, err error) {
	l.ErrorContext(context.WithoutCancel(ctx), "secrets.warm",
		"took", took.Round(time.Millisecond).String(), "retryable", Retryable(err),
		"error", Detail(err))
}

// warmAfterRestore does the round that Warm skipped while the snapshot was made, in the
// time that Warm has: an endpoint that does not answer must not take the whole invocation
// from those that do.
func (e *Env) warmAfterRestore(ctx context.Context) {
	e.restored.Store(true)
	if e.warmPending.Load() && e.warmPending.Swap(false) {
		e.warmWithin(ctx, false) // it logs its error, and each read returns its own
	}
}

// wantAfterRestore marks variables as wanted: of reads that come together after the
// restore, the first one takes along its whole group.
func (c *Cache) wantAfterRestore(vars []*variable) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range vars {
		v.entry.wanted = true
	}
}

// collect returns the failures of vars, whose wants stand in the same order, except
// optional ones that are absent.
func collect(wants []*want, vars []*variable) (errs []*ResolveError) {
	for i, v := range vars {
		_, err := wants[i].resultOf(v)
		e, failed := err.(*ResolveError)
		if !failed {
			continue
		}
		if absent := e.kind == ErrNotFound; !absent || !v.data.Optional {
			errs = append(errs, e)
		}
	}
	return errs
}

// Get returns the value of a variable. While the value is fresh it returns at once,
// without a lock or an allocation. Otherwise it blocks for a refresh. With an old value it
// waits 1 second (2, then 4, if such waits brought nothing). Without one it waits until
// 250 ms before the deadline of ctx (a quarter of the time left if that is less): this is
// the reserve. Without a deadline it waits 10 s. See the package documentation for what it
// returns when the refresh fails.
//
// The error is a [*ResolveError]; [ErrNotReference] if the variable is not set, or holds
// no reference and was not declared by [WithVars].
func (e *Env) Get(ctx context.Context, name string) (Value, error) {
	v := e.vars[name]
	if v == nil {
		return Value{}, e.unknown(name)
	}
	if e.cache.clock == nil {
		now := time.Now() // before the loads, which then overlap with what comes after
		if g := v.entry.fresh(clock.At(now, clock.Mono(now))); g != nil {
			g.use()
			if s := &g.slots[v.slot]; s.err == nil {
				return s.value, nil
			}
		}
	}
	_, value, err := e.read(ctx, v)
	return value, err
}

// read is Get without its fast return, and tells the generation too.
func (e *Env) read(ctx context.Context, v *variable) (*generation, Value, error) {
	if g := v.entry.fresh(e.cache.now()); g != nil {
		g.use()
		w := &want{entry: v.entry, gen: g}
		value, err := w.resultOf(v)
		return g, value, err
	}
	ctx = parallel.WithWidth(ctx, e.config.environ().Width(false))
	e.warmAfterRestore(ctx)
	r := e.cache.newRequest(ctx, reading)
	w := r.add(v.entry, v.entry.bounds)
	e.cache.resolveTogether(r) // with what it takes along
	value, err := w.resultOf(v)
	return w.gen, value, err
}

// unknown says why there is no variable of that name. Where a reference stands in its
// place, the error is of that.
func (e *Env) unknown(name string) *ResolveError {
	text, set := e.config.environ()[name]
	err := &ResolveError{Variable: name, kind: ErrNotReference}
	if err.problem, err.hint = refsyntax.NotReference(name, text, set); refsyntax.Begins(name) {
		err.Variable, err.Ref = "", makeRef(refsyntax.Parse(name))
	}
	return err
}

// Resolve returns the value of a reference that is not in the environment. It blocks and
// fails as [Env.Get] does. Up to 1,000 such references are kept, and 4 MiB of their
// values; beyond that the one goes that was used longest ago. The failures of 3,000 others
// are remembered. A field is parsed anew on each call. Failures of such references are
// logged once a minute with their number, as secrets.undeclared: the caller has the error.
func (e *Env) Resolve(ctx context.Context, ref Ref) (Value, error) {
	d := ref.data()
	if err := e.allowed("", &d); err != nil {
		err.Ref = ref
		return Value{}, err
	}
	if ref.Scheme() == Literal {
		return ref.value(), nil
	}
	if e.config.local != nil {
		return Value{}, &ResolveError{Ref: ref, kind: ErrInvalidReference,
			problem: "with WithLocalValues nothing is fetched",
			hint:    "name the reference by WithRef and give that name a local value"}
	}
	ctx = parallel.WithWidth(ctx, e.config.environ().Width(false))
	r := e.cache.Fetch(ctx, []Ref{ref.inRegion(e.home)})[0]
	if r.Err != nil {
		return Value{}, providerError(ref, r.Err).forVariable("", ref)
	}
	return r.Value, nil
}

// Refresh fetches the named variables now, or everything if none is named, whatever their
// age, by a call that begins after Refresh did, and waits for it until ctx ends, less the
// reserve. What cannot change (ciphertext, a pinned version) is skipped. On failure it
// returns the error and keeps the value.
func (e *Env) Refresh(ctx context.Context, names ...string) error {
	c := e.cache
	r := c.newRequest(parallel.WithWidth(ctx, e.config.environ().Width(false)), renewing)
	vars, errs := e.named(names)
	wants := r.wantVariables(vars)
	var others []*want
	if len(names) == 0 {
		others = c.wantKept(r)
	}
	c.resolve(r)
	errs = append(errs, collect(wants, vars)...)
	for _, w := range others {
		if w.gen == nil {
			errs = append(errs, w.err)
		}
	}
	return join("refresh", errs)
}

// named returns the variables of those names, all if there are none, and an error per
// unknown name.
func (e *Env) named(names []string) (vars []*variable, errs []*ResolveError) {
	if len(names) == 0 {
		return e.order, nil
	}
	for _, name := range names {
		if v := e.vars[name]; v != nil {
			vars = append(vars, v)
		} else {
			errs = append(errs, e.unknown(name))
		}
	}
	return vars, errs
}

// wantKept adds the references that were resolved in code.
func (c *Cache) wantKept(r *request) (wants []*want) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.each(func(e *entry) {
		if e.gen.Load() != nil {
			wants = append(wants, r.add(e, e.bounds))
		}
	})
	return wants
}

// RevealAll returns all variables as plaintext, for configuration libraries that read a
// map. A variable that holds a reference, or is declared or named in code, has its value.
// Others are unchanged, but the bare ARN of a parameter or secret, or a bare ciphertext,
// is an error: declare it. An optional reference that is absent is left out. On any other
// failure the map is nil and the error tells everything.
//
// The map is the caller's. What copies it into the process environment hands it to every
// child process.
func (e *Env) RevealAll(ctx context.Context) (map[string]string, error) {
	s := e.Snapshot(ctx)
	if err := join("reveal", append(collect(s.wants, e.order), e.undeclared()...)); err != nil {
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
