package secrets

import (
	"context"

	"github.com/lambdasecrets/secrets/internal/refcount"
)

// A Derived holds what is built from a secret: a connection pool, a client, a signing
// key.
type Derived[T any] struct {
	env    *Env
	name   string
	holder *refcount.Holder[Value, T]
}

// Derive returns a holder for what build makes of a variable's value. Nothing happens
// until [Derived.Do]. The context that build gets is that of the caller who needs the
// result: it must not be kept in what is built. close, which may be nil, is called
// once for everything that was built and replaced, when its last user is done.
//
// An error of build is logged as secrets.derive. The log line does not show the value: it
// is replaced in the error's text, whole and string by string of a JSON value, also where
// it is quoted or URL-escaped. Strings of less than 4 bytes stay.
//
// Where a library asks for the password per connection (pgx.BeforeConnect,
// driver.Connector), give it [Env.Get] instead: that needs no rebuild.
func Derive[T any](env *Env, name string, build func(ctx context.Context, v Value) (T, error),
	close func(T)) *Derived[T] {
	if close == nil {
		close = func(T) {}
	}
	named := func(ctx context.Context, v Value) (T, error) {
		return build(ctx, v.forVariable(name))
	}
	failed := func(ctx context.Context, v Value, err error) {
		env.config.logger().ErrorContext(context.WithoutCancel(ctx), "secrets.derive",
			logAttrs("variable", name, "version", v.Version(),
				"error", v.withoutPlaintext(Detail(err)))...)
	}
	holder := refcount.New(named, close, failed, Value.before, Value.sameText)
	return &Derived[T]{env: env, name: name, holder: holder}
}

// Do runs f with what was built from the value, building it first where there is
// none. When the value has changed, one caller rebuilds while the others go on with
// the old one; a rebuild that fails keeps the old one, logs secrets.derive, and is
// tried again after 1 second, doubling to 30. If f says that the credential was
// refused, as in [Env.Do], Do rebuilds from the newer value and runs f again.
//
// Do blocks as [Env.Do] does. It also waits for build and close, but never past the
// deadline of ctx.
func (d *Derived[T]) Do(ctx context.Context, f func(T) error) error {
	return d.env.do(ctx, d.name, func(v Value, again bool) (Value, int, error) {
		used, err := d.holder.Use(ctx, v, again, f)
		older := used.before(v) && !used.holds(v.d.plain())
		if mayRetry := older && ctx.Err() == nil; mayRetry && d.env.config.isRejected(err) {
			used, err = d.holder.Use(ctx, v, true, f)
			return used, 2, err
		}
		return used, 1, err
	})
}

// Close closes what was built: at once, or when the last Do that uses it is done. It does
// not wait for that. A later Do builds anew, and so does a running one whose credential
// is refused after Close.
func (d *Derived[T]) Close() { d.holder.Close() }
