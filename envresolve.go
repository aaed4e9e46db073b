package secrets

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lambdasecrets/secrets/internal/arn"
	"github.com/lambdasecrets/secrets/internal/awsclient"
	"github.com/lambdasecrets/secrets/internal/lambdaenv"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// An Env resolves the references in a function's environment. It is safe for concurrent
// use and needs no closing.
type Env struct {
	vars   map[string]*variable // name → its reference; fixed by New, so that reads need no lock
	order  []*variable          // by name
	cache  *Cache
	config *config
	home   string // the function's Region, or "" where only the SDK's configuration knows

	warmed      atomic.Bool // Warm was called
	warmPending atomic.Bool // it was while a snapshot is made: the first read does its work
	restored    atomic.Bool // something was read, so the snapshot is made
}

type variable struct {
	name  string
	data  *refData // as written, and as errors may print it
	entry *entry
	slot  int // of its part, in generation.slots
	place int // in Env.order
}

func (v *variable) ref() Ref { return v.data.ref() }

// New reads the environment and the options, and makes no call and no client. Everything
// that is wrong with them comes back as one error, an [ErrInvalidReference] per variable,
// each with what to write instead. A variable whose text can be nothing but a reference
// gone wrong, or a reference of another tool for the same stores, is such an error: it
// never becomes a plain value.
func New(opts ...Option) (*Env, error) {
	c := newConfig()
	for _, o := range opts {
		o.apply(c)
	}
	if c.environ == nil {
		process := lambdaenv.Process()
		c.environ = func() lambdaenv.Env { return process }
	}
	e := &Env{config: c, home: c.environ().Region()}
	if c.aws != nil && c.aws.Region != "" {
		e.home = c.aws.Region
	}
	e.refuseLocal()
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	s := scan{env: e, config: c, refs: make(map[string]*refData, len(c.environ()))}
	if errs := s.run(); len(errs) > 0 {
		all := join("the environment has errors", errs).(*failures)
		all.full = true
		return nil, all
	}
	e.cache = newCache(e.newMux(), c.cacheConfig)
	e.vars = make(map[string]*variable, len(s.refs))
	e.order = make([]*variable, 0, len(s.refs))
	for _, name := range slices.Sorted(maps.Keys(s.refs)) {
		e.declare(name, s.refs[name])
	}
	if c.local != nil {
		c.local = map[string]string{} // its values are in the references now
	}
	return e, nil
}

// refuseLocal refuses local values on Lambda. The process decides too: a map of variables
// that does not name the function must not open production to a developer's values.
func (e *Env) refuseLocal() {
	c := e.config
	if c.local == nil {
		return
	}
	if c.environ().Deployed() || lambdaenv.Process().Deployed() {
		c.fail("WithLocalValues is refused on Lambda (AWS_LAMBDA_FUNCTION_NAME is set): " +
			"where this is sam local, the runtime interface emulator or LocalStack, set " +
			lambdaenv.LocalName + "=" + lambdaenv.LocalWord + " in the function's environment")
	}
}

// A scan finds the references of the environment, and checks them all.
type scan struct {
	env    *Env
	config *config
	refs   map[string]*refData // variable → its reference
	errs   []*ResolveError
}

func (s *scan) run() []*ResolveError {
	s.unset()
	for name, ref := range s.config.refs {
		d := ref.data()
		s.refs[name] = &d
	}
	for name, text := range s.config.environ() {
		if _, coded := s.config.refs[name]; !coded {
			s.read(name, text)
		}
	}
	for name := range s.config.local { // what it refers to is not fetched
		delete(s.refs, name)
	}
	for name, d := range s.refs {
		s.check(name, d)
	}
	for name, value := range s.config.local {
		s.refs[name] = literalRef(value)
	}
	return s.errs
}

// invalidError is the error of a reference that the program may not have.
func invalidError(name string, ref Ref, problem, hint string) *ResolveError {
	return &ResolveError{
		Variable: name, Ref: ref, kind: ErrInvalidReference, problem: problem, hint: hint}
}

func (s *scan) bad(name string, ref Ref, problem, hint string) {
	s.errs = append(s.errs, invalidError(name, ref, problem, hint))
}

// unset finds variables that options name and that are absent.
func (s *scan) unset() {
	c := s.config
	problems := map[string]string{}
	for _, names := range []iter.Seq[string]{maps.Keys(c.contexts), maps.Keys(c.roles)} {
		for name := range names {
			problems[name] = "WithEncryptionContext or WithRole names it, and it is not set"
		}
	}
	for name := range c.vars {
		problems[name] = "it is declared by WithVars and not set"
	}
	for name, problem := range problems {
		_, set := c.environ()[name]
		_, local := c.local[name]
		_, coded := c.refs[name]
		if given := set || local; !given && !coded {
			s.bad(name, Ref{}, problem, "set the variable, or drop the declaration")
		}
	}
}

// read reads the text of a variable, and adds its reference if it holds one.
func (s *scan) read(name, text string) {
	scheme, declared := s.config.vars[name]
	switch {
	case lambdaenv.Reserved(name):
		if declared || refsyntax.Begins(text) {
			const problem = "the SDK or Lambda reads this variable: it cannot hold a reference"
			s.bad(name, Ref{}, problem, "put the reference into a variable of your own")
		}
	case declared && scheme == Literal:
		s.refs[name] = literalRef(text)
	case declared:
		s.add(name, text, newRefData(refsyntax.Bare(string(scheme), text)))
	case refsyntax.Begins(text):
		s.add(name, text, newRefData(refsyntax.Parse(text)))
	}
}

// add adds the reference that the text of a variable holds.
func (s *scan) add(name, text string, d *refData) {
	_, declared := s.config.vars[name]
	_, local := s.config.local[name]
	hint := d.hint
	if d.declare != "" {
		hint += ", or declare it: " + refsyntax.Declare(d.declare, name)
	}
	switch {
	case d.problem == "":
		s.asWritten(name, text, d)
		s.refs[name] = d
	case local: // the text is not read
	case declared:
		s.bad(name, Ref{}, d.problem, d.hint)
	default:
		hint += "; if the text is the value: " + refsyntax.Declare(string(Literal), name)
		s.bad(name, Ref{}, d.problem, hint)
	}
}

// asWritten makes errors and the log print the reference of a variable as it was written,
// so that somebody finds it in the template. The text of a declared variable may be a
// plaintext that somebody put there by mistake, and is not printed, unless it is an ARN.
func (s *scan) asWritten(name, text string, d *refData) {
	_, declared := s.config.vars[name]
	switch {
	case !declared && d.Quotable():
		d.written = text
	case declared && !arn.Is(d.ID):
		d.Unquoted = true
	}
}

// check checks a reference, before any call.
func (s *scan) check(name string, d *refData) {
	c := s.config
	if pairs, pinned := c.contexts[name]; pinned {
		if err := d.pin(name, pairs); err != nil {
			s.errs = append(s.errs, err)
			return
		}
	}
	if role, stated := c.roles[name]; stated {
		d.withRole(role)
	}
	_, declared := c.vars[name]
	_, coded := c.refs[name]
	byCode := declared || coded
	inText := d.literal != nil && !byCode
	needed := d.literal == nil && !d.Optional
	switch err := s.env.allowed(name, d); {
	case err != nil:
		s.errs = append(s.errs, err)
	case inText && len(c.backend.keys) > 0:
		s.bad(name, d.ref(), "WithKMSKeys pins the keys, and a literal has none",
			"declare what it is: "+refsyntax.Declare(string(KMS), name)+
				" for ciphertext alone, or "+refsyntax.Declare(string(Literal), name))
	case c.local != nil && needed:
		s.bad(name, d.ref(), "WithLocalValues has no value for it",
			"add one: with local values nothing is fetched from AWS")
	}
}

// pin gives d the encryption context of WithEncryptionContext.
func (d *refData) pin(name string, pairs map[string]string) *ResolveError {
	stated := d.EncryptionContext()
	switch {
	case d.problem != "":
		return nil
	case d.Scheme != string(KMS):
		return invalidError(name, d.ref(), "WithEncryptionContext pins it to a KMS ciphertext",
			"write kms://CIPHERTEXT, or drop the option")
	case d.Context == refsyntax.ContextNone, stated != nil && !maps.Equal(stated, pairs):
		return invalidError(name, d.ref(),
			"it states another encryption context than WithEncryptionContext",
			"leave the context out of the reference: the program states it")
	}
	d.Ref = d.WithContext(pairs)
	return nil
}

// withRole makes d read with a role. One that the reference states itself has to be the
// same: the program decides, and the environment must not.
func (d *refData) withRole(role string) {
	if d.problem != "" || d.Role == role {
		return
	}
	if d.Role != "" {
		d.problem, d.hint = "it states another role than WithRole", "leave the role out of "+
			"the reference"
		return
	}
	next := newRefData(d.With("role", role))
	next.written, next.Unquoted = d.written, d.Unquoted
	*d = *next
}

// allowed checks a reference, before any call.
func (e *Env) allowed(name string, d *refData) *ResolveError {
	problem, hint := d.problem, d.hint
	if problem == "" {
		problem, hint = e.otherPartition(d)
	}
	if problem != "" {
		return invalidError(name, d.ref(), problem, hint)
	}
	for _, check := range e.config.check {
		ref := d.ref()
		if cause := check(name, ref); cause != nil {
			err := invalidError(name, ref, "WithCheck refuses it: "+clip(cause.Error(), 500), "")
			err.cause = cause
			return err
		}
	}
	return nil
}

// otherPartition says that a reference, or the role to read it with, is in another
// partition than the function.
func (e *Env) otherPartition(d *refData) (problem, hint string) {
	region, home := d.Region, e.home
	stated := region+d.Role != ""
	if home == "" || !stated {
		return "", "" // without a home only the SDK's configuration knows
	}
	home = arn.Partition(home)
	if region != "" && arn.Partition(region) != home {
		return fmt.Sprintf("it is in Region %s of partition %s, and this function runs in %s",
				region, arn.Partition(region), home),
			"credentials are good in one partition only: keep a copy of the secret in this one"
	}
	role, isARN := arn.Parse(d.Role)
	if isARN && role.Partition != home {
		return fmt.Sprintf("its role is in partition %s, and this function runs in %s",
				role.Partition, home),
			"a role can be assumed in its own partition only: that Region's ARNs begin with " +
				"arn:" + home
	}
	return "", ""
}

// undeclared returns an error for each variable that RevealAll would give out as it is,
// and that no program takes for a plaintext: the bare ARN of a parameter or a secret, a
// bare ciphertext.
func (e *Env) undeclared() (errs []*ResolveError) {
	for name, text := range e.config.environ() {
		if e.vars[name] != nil || lambdaenv.Reserved(name) {
			continue
		}
		if refsyntax.Classify(text) == refsyntax.Undeclared {
			problem, hint := refsyntax.UndeclaredText(name, text)
			errs = append(errs, invalidError(name, Ref{}, problem, hint))
		}
	}
	return errs
}

// declare makes a variable of a name and its reference.
func (e *Env) declare(name string, d *refData) {
	v := &variable{name: name, data: d, place: len(e.order)}
	placed := d.inRegion(e.home)
	v.entry, v.slot = e.cache.declare(name, &placed)
	e.vars[name] = v
	e.order = append(e.order, v)
}

// A mux sends each scheme's references to its provider. The AWS ones are made when they
// are first needed.
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
		c.logger().WarnContext(context.WithoutCancel(ctx), "secrets.endpoint",
			logAttrs("service", service, "endpoint", endpoint)...)
	}
	if c.environ().Small() {
		b.hint = func(ctx context.Context, secrets int) {
			c.logger().InfoContext(context.WithoutCancel(ctx), "secrets.batch",
				"secrets", secrets, "option", "WithBatchGetSecretValue")
		}
	}
	b.source.Function = b.function
	b.source.AllowHTTP = c.insecure
	m := mux{}
	for scheme, backend := range map[Scheme]func(backendConfig) Provider{
		KMS:            func(b backendConfig) Provider { return newKMS(b) },
		SSM:            func(b backendConfig) Provider { return newSSM(b) },
		SecretsManager: func(b backendConfig) Provider { return newSecretsManager(b) },
	} {
		m[scheme] = sync.OnceValue(func() Provider {
			switch p := c.providers[scheme]; {
			case c.local != nil:
				return ProviderFunc(func(context.Context, Ref) (Value, error) {
					return Value{}, &ResolveError{
						kind: ErrNotFound, problem: "WithLocalValues has no value for it"}
				})
			case p != nil:
				return p
			case c.anything != nil:
				return c.anything
			}
			return backend(b)
		})
	}
	return &streamer{failingOver(m.stream)}
}
