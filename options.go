package secrets

import (
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	awsarn "github.com/lambdasecrets/secrets/internal/arn"
	"github.com/lambdasecrets/secrets/internal/guard"
	"github.com/lambdasecrets/secrets/internal/lambdaenv"
)

// An Option configures [New].
type Option interface{ apply(*config) }

// A CacheOption configures [NewCache], and [New], which makes a cache.
type CacheOption interface {
	Option
	applyCache(*cacheConfig)
}

type config struct {
	cacheConfig
	aws *aws.Config

	// environ is as it was at New; in a closure, where fmt does not find it: some of it is no
	// reference but the secret itself.
	environ func() lambdaenv.Env

	vars      map[string]Scheme
	refs      map[string]Ref
	local     map[string]string
	providers map[Scheme]Provider
	anything  Provider // for schemes that are not in providers
	backend   backendConfig
	check     []func(string, Ref) error
	contexts  map[string]map[string]string // variable → its encryption context
	roles     map[string]string            // variable → ARN of the role to read it with
	rejected  func(error) bool
	insecure  bool // WithInsecureEndpoint
}

type cacheConfig struct {
	ttl, stale, grace time.Duration
	log               *slog.Logger
	clock             Clock // nil: the system's
	errs              []error
}

type option func(*config)

func (o option) apply(c *config) { o(c) }

type cacheOption func(*cacheConfig)

func (o cacheOption) apply(c *config)           { o(&c.cacheConfig) }
func (o cacheOption) applyCache(c *cacheConfig) { o(c) }

func (c *cacheConfig) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("secrets: "+format, args...))
}

func (c *cacheConfig) duration(name string, d time.Duration, to *time.Duration) {
	if d < 0 {
		c.fail("%s(%v): negative; 0 turns it off", name, d)
		return
	}
	*to = d
}

// WithTTL sets how long a fetched value is used before a read refreshes it. The default
// is 5 minutes; a reference's ?ttl= wins over it. 0 fetches on every read (concurrent
// ones share a call). The lifetime of what one round fetched is drawn: 90 to 100 % of the
// TTL, or 10 to 100 % after a start or a freeze longer than the TTL. So execution
// environments that start together do not refresh together.
func WithTTL(d time.Duration) CacheOption {
	return cacheOption(func(c *cacheConfig) { c.duration("WithTTL", d, &c.ttl) })
}

// WithMaxStale sets how old a value may get, counted from its fetch, while its refreshes
// fail for retryable reasons (throttling, 5xx, network, credentials). The default is 24
// hours; a reference's ?stale= wins over it. With 0 a value is never served beyond its
// TTL.
func WithMaxStale(d time.Duration) CacheOption {
	return cacheOption(func(c *cacheConfig) { c.duration("WithMaxStale", d, &c.stale) })
}

// WithGrace sets for how long, from the first such failure, a value is still served while
// its refreshes fail for permanent reasons (denied, not found, cannot decrypt, no such
// field). The default is 5 minutes, because AWS may deny for a moment while somebody
// replaces a policy or a grant. With 0 the first such failure drops the value.
func WithGrace(d time.Duration) CacheOption {
	return cacheOption(func(c *cacheConfig) { c.duration("WithGrace", d, &c.grace) })
}

// WithLogger sets where the log lines go, whose messages begin with "secrets.";
// docs/operations.md lists them. The default is [slog.Default] at the time of the event.
// Nothing is logged per read, and never a value.
func WithLogger(l *slog.Logger) CacheOption {
	return cacheOption(func(c *cacheConfig) { c.log = l })
}

// A Clock returns the time of the wall clock and of the monotonic one, which stands still
// while Lambda freezes the process. It must be safe for concurrent use, and cheap: every
// cached read calls it.
type Clock func() (wall time.Time, mono time.Duration)

// WithClock sets the clock that ages are measured by, for tests that move time. Waits use
// real timers, or those of testing/synctest. The default reads both times from
// [time.Now].
func WithClock(clock Clock) CacheOption {
	return cacheOption(func(c *cacheConfig) {
		if clock == nil {
			c.fail("WithClock(nil)")
			return
		}
		c.clock = clock
	})
}

func newConfig() *config {
	return &config{
		cacheConfig: newCacheConfig(),
		vars:        map[string]Scheme{},
		refs:        map[string]Ref{},
		providers:   map[Scheme]Provider{},
		contexts:    map[string]map[string]string{},
		roles:       map[string]string{},
	}
}

func newCacheConfig() cacheConfig {
	return cacheConfig{
		ttl: 5 * time.Minute, stale: 24 * time.Hour, grace: 5 * time.Minute,
	}
}

func (c *cacheConfig) logger() *slog.Logger {
	if c.log != nil {
		return c.log
	}
	return slog.Default()
}

// WithAWSConfig sets the configuration of the AWS clients. The default is the SDK's own
// default configuration, loaded when the first call is made. What cfg states (HTTP client
// with its time limit, Retryer, endpoint, credentials) is used; where it leaves the SDK's
// defaults, connections get 1 second, attempts 2 seconds, and only broken connections and
// what they cut short are retried at once, since [Cache] paces the other retries.
// RetryMaxAttempts and RetryMode are ignored, because environment variables can also set
// them. No HTTP client follows redirects, and every answer is bounded.
func WithAWSConfig(cfg aws.Config) Option {
	return option(func(c *config) { c.aws = &cfg })
}

// WithInsecureEndpoint permits endpoints over plain http on Lambda. The default refuses
// them there, with [ErrConfiguration] and before anything is sent, unless the host is
// loopback: a request carries the session token and the answer the secret, and whoever
// sets the environment sets the endpoint. It is for a stand-in of AWS on a network that
// you trust. Elsewhere than on Lambda plain http is permitted; every endpoint that is not
// AWS's own is logged as secrets.endpoint.
func WithInsecureEndpoint() Option {
	return option(func(c *config) { c.insecure = true })
}

// WithEnviron sets the variables to read, instead of those of the process. The map is
// copied. The Region and the function's name are read from it too.
func WithEnviron(environ map[string]string) Option {
	env := copied(environ)
	return option(func(c *config) { c.environ = func() lambdaenv.Env { return env } })
}

// WithVars declares variables whose text does not say what it is: bare ciphertext (KMS;
// the form that the Lambda console's helper leaves, tried first with the console's
// encryption context), a bare parameter name or ARN (SSM), a bare secret name or ARN
// (SecretsManager). A declared variable must be set. Its text is quoted in no error or
// log line, unless it is an ARN. With [Literal] the text is the value, even if it looks
// like a reference.
func WithVars(scheme Scheme, names ...string) Option {
	return option(func(c *config) {
		switch scheme {
		case KMS, SSM, SecretsManager, Literal:
		default:
			c.fail("WithVars: unknown scheme %q", string(scheme))
		}
		for _, name := range names {
			if had, ok := c.vars[name]; ok && had != scheme {
				c.fail("WithVars: %s is declared as %s and as %s", name, had, scheme)
			}
			c.vars[name] = scheme
		}
	})
}

// WithRef adds a name that need not be in the environment: Get(ctx, name) resolves ref.
// It wins over a variable of that name. An invalid ref is an error of [New].
func WithRef(name string, ref Ref) Option {
	return option(func(c *config) {
		had, ok := c.refs[name]
		if another := ok && had != ref; another || name == "" {
			c.fail("WithRef: the name %q is empty, or stands for two references", name)
		}
		c.refs[name] = ref
	})
}

// WithLocalValues makes the Env use these values (variable to plaintext) instead of AWS,
// for work on a laptop and in tests. The names need not be in the environment. No client
// is built, and a reference without a value here is an error of [New]. It is refused where
// AWS_LAMBDA_FUNCTION_NAME is set, unless AWS_SAM_LOCAL=true says that it is sam local: a
// production function must not run on a developer's values.
func WithLocalValues(values map[string]string) Option {
	return option(func(c *config) { c.local = copied(values) })
}

// WithProvider makes p fetch the references of the given schemes, or of every scheme if
// none is given, so that one option takes AWS out of a test. Literals are never fetched.
func WithProvider(p Provider, schemes ...Scheme) Option {
	return option(func(c *config) {
		if guard.Nil(p) {
			c.fail("WithProvider: the provider is nil")
			return
		}
		if len(schemes) == 0 {
			c.anything = p
		}
		for _, s := range schemes {
			switch s {
			case KMS, SSM, SecretsManager:
			default:
				c.fail("WithProvider: nothing is fetched for the scheme %q", string(s))
			}
			c.providers[s] = p
		}
	})
}

// WithBatchGetSecretValue fetches secrets twenty to a call. The role then needs
// secretsmanager:BatchGetSecretValue on Resource "*" besides GetSecretValue on each
// secret. Where the role lacks it, or the endpoint does not know it, the Env falls back
// to a call each; where AWS throttles it, for a minute. The default is a call each, in
// parallel.
func WithBatchGetSecretValue() Option {
	return option(func(c *config) { c.backend.batch = batching })
}

// WithKMSKeys restricts the keys: a kms:// value is refused unless the key that KMS says
// it used is one of these ARNs. Without it, whoever can set the environment can make the
// function accept a ciphertext under a key of their own. List both keys during a manual
// rotation.
func WithKMSKeys(arns ...string) Option {
	return option(func(c *config) {
		for _, arn := range arns {
			if !awsarn.IsKey(arn) {
				c.fail("WithKMSKeys: %q is not a key ARN (arn:aws:kms:REGION:ACCOUNT:key/ID); "+
					"KMS answers with those, never with aliases", clip(arn, 100))
			}
		}
		if len(arns) == 0 {
			c.fail("WithKMSKeys without a key ARN would refuse every ciphertext")
		}
		c.backend.keys = append(c.backend.keys, arns...)
	})
}

// WithEncryptionContext binds a variable: it must hold a KMS ciphertext, which is
// decrypted with exactly this encryption context and no other. A literal, or a reference
// of another scheme, is refused, and so is one that states another context. With a
// context of its own for each variable, whoever can set the environment cannot swap the
// ciphertexts of two variables. To require only the scheme, declare the variable by
// [WithVars], which reads whole references of its scheme too.
func WithEncryptionContext(name string, pairs map[string]string) Option {
	pairs = copied(pairs)
	return option(func(c *config) {
		if name == "" || len(pairs) == 0 {
			c.fail("WithEncryptionContext: the name or the context is empty")
		}
		c.contexts[name] = pairs
	})
}

// WithRole reads the value of a variable with a role, given by its ARN, as ?role= in the
// reference does, for those who want no ARN in the environment. A reference that states
// another role is refused. The function's role needs sts:AssumeRole on the role ARN. The
// trust policy of that role must name the function's role. The role is assumed once for
// all variables that are read with it.
func WithRole(name, arn string) Option {
	return option(func(c *config) {
		had, ok := c.roles[name]
		if another := ok && had != arn; another || name == "" {
			c.fail("WithRole: the name %q is empty, or has two roles", name)
		}
		c.roles[name] = arn
	})
}

// WithCheck adds a function that refuses a reference by returning an error, before any
// call to AWS: to allow only some variables, paths or Regions. [New] calls it for every
// reference that has no local value, with the variable's name; [Env.Resolve] calls it with
// an empty name. The error of New or Resolve quotes f's error.
func WithCheck(f func(name string, r Ref) error) Option {
	return option(func(c *config) {
		if f == nil {
			c.fail("WithCheck(nil)")
			return
		}
		c.check = append(c.check, f)
	})
}

// copied returns a copy of m that is not nil.
func copied(m map[string]string) lambdaenv.Env {
	if m == nil {
		return lambdaenv.Env{}
	}
	return maps.Clone(m)
}
