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

	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/lambdaenv"
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

func (m mux) stream(ctx context.Context, refs []Ref, deliver func(i int, r Result)) {
	stream(ctx, m[refs[0].Scheme()](), refs, deliver)
}

func (e *Env) newMux() Provider {
	c, b := e.config, e.config.backend
	b.function = c.environ()["AWS_LAMBDA_FUNCTION_NAME"]
	if b.source = awsclient.Default(e.home); c.aws != nil {
		cfg := c.aws.Copy()
		cfg.Region = e.home
		b.source = awsclient.Fixed(cfg)
	}
	// Whoever configured an endpoint sees what is asked.
	b.source.Overridden = func(ctx context.Context, service, endpoint string) {
		c.logger().WarnContext(ctx, "secrets.endpoint", "service", service, "endpoint", endpoint)
	}
	b.source.AllowHTTP = c.insecure
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
		m[scheme] = sync.OnceValue(func() Provider { return backend(b) })
	}
	return &streamer{m.stream}
}
