//lint:file-ignore U1000 The pages quote what stands here; nothing calls it.

package pages

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
)

func recipeResolve(ctx context.Context, env *secrets.Env) error {
	// region: resolve
	secret, err := env.Resolve(ctx, secrets.Secret("prod/db")) // or a text from a configuration: secrets.ParseRef
	// endregion
	if err != nil {
		return err
	}
	return connect(ctx, secret.Reveal())
}

func recipeField(ctx context.Context, env *secrets.Env) error {
	// region: field
	db, err := env.Get(ctx, "DB") // DB=sm://prod/db: the whole secret, so that both fields belong together
	if err != nil {
		return err
	}
	user, err := db.Field("username")
	if err != nil {
		return err
	}
	password, err := db.Field("password")
	// endregion
	_ = user
	if err != nil {
		return err
	}
	return connect(ctx, password.Reveal())
}

func recipeTree(ctx context.Context, env *secrets.Env) error {
	// region: tree
	settings, err := env.Get(ctx, "SETTINGS") // SETTINGS=ssm:///app/prod/*
	if err != nil {
		return err
	}
	host, err := settings.Field("db/host") // of the parameter /app/prod/db/host
	// endregion
	if err != nil {
		return err
	}
	return connect(ctx, host.Reveal())
}

func recipeDeclare(ctx context.Context) {
	// region: declare
	env := secrets.MustWarm(ctx,
		secrets.WithVars(secrets.KMS, "API_KEY"),           // encrypted with the Lambda console's helper
		secrets.WithVars(secrets.SecretsManager, "DB_ARN"), // a bare secret ARN, as CDK passes it
	)
	// endregion
	_ = env
}

func recipePool(env *secrets.Env) {
	// region: pool
	db := sql.OpenDB(secretsql.ConnectorFrom(env, "DB", func(v secrets.Value) (driver.Connector, error) {
		user, err := v.Field("username")
		if err != nil {
			return nil, err
		}
		password, err := v.Field("password")
		if err != nil {
			return nil, err
		}
		config, err := pgx.ParseConfig("host=db.internal dbname=orders")
		if err != nil {
			return nil, err
		}
		config.User, config.Password = user.Reveal(), password.Reveal()
		return stdlib.GetConnector(*config), nil
	}))
	// endregion
	_ = db
}

func recipeLocal(ctx context.Context) {
	// region: local
	values := map[string]string{"SIGNING_KEY": "local"} // read from a file, say
	env := secrets.MustWarm(ctx, secrets.WithLocalValues(values))
	// endregion
	_ = env
}

func recipeDenied(ctx context.Context, env *secrets.Env) error {
	// region: denied
	_, err := env.Get(ctx, "DB_PASSWORD")
	switch {
	case errors.Is(err, secrets.ErrAccessDenied):
		slog.Error("read DB_PASSWORD", "error", secrets.Detail(err)) // the action and the resource to allow
	case secrets.Retryable(err):
		slog.Warn("read DB_PASSWORD", "error", err) // another try may succeed
	case err != nil: // not found, for instance
		slog.Error("read DB_PASSWORD", "error", secrets.Detail(err))
	}
	// endregion
	return err
}

func declarations() (*secrets.Env, error) {
	// region: declarations
	env, err := secrets.New(
		secrets.WithVars(secrets.KMS, "SIGNING_KEY"),           // what the Lambda console's helper leaves
		secrets.WithVars(secrets.SecretsManager, "SECRET_ARN"), // what CDK and CloudFormation hand over
		secrets.WithVars(secrets.Literal, "BANNER"),            // its text is the value
	)
	// endregion
	return env, err
}
