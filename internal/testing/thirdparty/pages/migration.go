//lint:file-ignore U1000 The pages quote what stands here; nothing calls it.

package pages

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-secretsmanager-caching-go/v2/secretcache"
	caarlos0 "github.com/caarlos0/env/v11"
	"github.com/go-viper/mapstructure/v2"
	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/viper"

	"github.com/lambdasecrets/secrets"
)

var env *secrets.Env

func awsEnv(ctx context.Context) error {
	// region: aws-env
	env := secrets.MustWarm(ctx)
	password, err := env.Get(ctx, "DB_PASSWORD")
	if err != nil {
		return err
	}
	return connect(ctx, password.Reveal())
	// endregion
}

func byHand(ctx context.Context) error {
	var db struct{ Username, Password string }
	// region: by-hand
	env := secrets.MustWarm(ctx, secrets.WithVars(secrets.SecretsManager, "DB_SECRET_ARN"))
	secret, err := env.Get(ctx, "DB_SECRET_ARN")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(secret.RevealBytes(), &db); err != nil {
		return err
	}
	// endregion
	return connect(ctx, db.Password)
}

func setenv(ctx context.Context) error {
	// region: setenv
	all, err := env.RevealAll(ctx)
	if err != nil {
		return err
	}
	for name, value := range all {
		os.Setenv(name, value)
	}
	// endregion
	return nil
}

func cachingBefore(ctx context.Context) error {
	// region: caching-go before
	cache, err := secretcache.New()
	if err != nil {
		return err
	}
	text, err := cache.GetSecretString("prod/db")
	if err != nil {
		return err
	}
	return connect(ctx, text)
	// endregion
}

func cachingAfter(ctx context.Context) error {
	// region: caching-go after
	env, err := secrets.New()
	if err != nil {
		return err
	}
	secret, err := env.Resolve(ctx, secrets.Secret("prod/db"))
	if err != nil {
		return err
	}
	return connect(ctx, secret.Reveal())
	// endregion
}

func withRef(ctx context.Context) {
	// region: with-ref
	env := secrets.MustWarm(ctx,
		secrets.WithRef("DB_PASSWORD", secrets.Secret("prod/db").With("field", "password")),
		secrets.WithTTL(time.Hour), // CacheItemTTL; the default is 5 minutes
	)
	// endregion
	_ = env
}

func extension(ctx context.Context) error {
	// region: extension before
	const url = "http://localhost:2773/secretsmanager/get?secretId=prod%2Fdb"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Aws-Parameters-Secrets-Token", os.Getenv("AWS_SESSION_TOKEN"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK { // 400 until the extension is ready, which it is not during init
		return fmt.Errorf("extension: %s", resp.Status)
	}
	var answer struct{ SecretString string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	var fields struct{ Password string }
	if err := json.Unmarshal([]byte(answer.SecretString), &fields); err != nil {
		return err
	}
	return connect(ctx, fields.Password)
	// endregion
}

func getPassword(ctx context.Context) error {
	// region: get
	password, err := env.Get(ctx, "DB_PASSWORD") // DB_PASSWORD=sm://prod/db#password
	if err != nil {
		return err
	}
	return connect(ctx, password.Reveal())
	// endregion
}

func powertools(ctx context.Context) error {
	// region: powertools
	password, err := env.Get(ctx, "DB_PASSWORD")
	if err != nil {
		return err
	}
	flags, err := env.Get(ctx, "FLAGS") // one JSON object of relative names
	if err != nil {
		return err
	}
	level, err := flags.Field("log/level")
	if err != nil {
		return err
	}
	if err := env.Refresh(ctx, "KEY"); err != nil { // force_fetch
		return err
	}
	slog.Info("configured", "level", level.Reveal())
	return connect(ctx, password.Reveal())
	// endregion
}

// region: middy

func handleEvent(ctx context.Context, event Event) (Reply, error) {
	db, err := env.Get(ctx, "DB") // user and password of one version
	if err != nil {
		return Reply{}, err
	}
	password, err := db.Field("password")
	if err != nil {
		return Reply{}, err
	}
	return query(ctx, password.Reveal(), event)
}

// endregion

func chamber(ctx context.Context) error {
	// region: chamber
	app, err := env.Get(ctx, "APP")
	if err != nil {
		return err
	}
	password, err := app.Field("db_password") // as stored: lower case, not DB_PASSWORD
	if err != nil {
		return err
	}
	return connect(ctx, password.Reveal())
	// endregion
}

func console(ctx context.Context, cfg aws.Config) error {
	// region: console before
	blob, err := base64.StdEncoding.DecodeString(os.Getenv("API_KEY"))
	if err != nil {
		return err
	}
	function := os.Getenv("AWS_LAMBDA_FUNCTION_NAME")
	out, err := kms.NewFromConfig(cfg).Decrypt(ctx, &kms.DecryptInput{
		CiphertextBlob:    blob,
		EncryptionContext: map[string]string{"LambdaFunctionName": function},
	})
	if err != nil {
		return err
	}
	return connect(ctx, string(out.Plaintext))
	// endregion
}

func consoleAfter(ctx context.Context) error {
	// region: console after
	// The variable stays as it is.
	env := secrets.MustWarm(ctx, secrets.WithVars(secrets.KMS, "API_KEY"))
	key, err := env.Get(ctx, "API_KEY")
	if err != nil {
		return err
	}
	return connect(ctx, key.Reveal())
	// endregion
}

func consoleSnippet(ctx context.Context, cfg aws.Config) error {
	// region: snippet before
	client := secretsmanager.NewFromConfig(cfg)
	out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId:     aws.String("prod/db"),
		VersionStage: aws.String("AWSCURRENT"),
	})
	if err != nil {
		return err // five exceptions to tell apart
	}
	var fields map[string]string // which fails on "port": 5432
	if err := json.Unmarshal([]byte(*out.SecretString), &fields); err != nil {
		return err
	}
	return connect(ctx, fields["password"])
	// endregion
}

func consoleSnippetAfter(ctx context.Context) error {
	// region: snippet after
	password, err := env.Get(ctx, "DB_PASSWORD") // DB_PASSWORD=sm://prod/db#password
	switch {
	case errors.Is(err, secrets.ErrNotFound), errors.Is(err, secrets.ErrAccessDenied):
		log.Print(secrets.Detail(err)) // with the action and the resource to allow
		return err
	case err != nil:
		return err // secrets.Retryable(err) says whether another try may succeed
	}
	return connect(ctx, password.Reveal())
	// endregion
}

func onceAfter() {
	// region: once after
	env = secrets.MustWarm(context.Background())
	lambda.Start(func(ctx context.Context, event Event) (Reply, error) {
		password, err := env.Get(ctx, "DB_PASSWORD")
		if err != nil {
			return Reply{}, err
		}
		return query(ctx, password.Reveal(), event)
	})
	// endregion
}

func bareARN(ctx context.Context) error {
	// region: arn
	env := secrets.MustWarm(ctx, secrets.WithVars(secrets.SecretsManager, "DB_ARN"))
	db, err := env.Get(ctx, "DB_ARN")
	if err != nil {
		return err
	}
	password, err := db.Field("password")
	if err != nil {
		return err
	}
	return connect(ctx, password.Reveal())
	// endregion
}

func goEnvconfig(ctx context.Context) error {
	// region: go-envconfig
	var c struct {
		Stage    string        `env:"STAGE"`
		Password secrets.Value `env:"DB_PASSWORD"`
	}
	all, err := env.RevealAll(ctx)
	if err != nil {
		return err
	}
	return envconfig.ProcessWith(ctx, &envconfig.Config{
		Target: &c, Lookuper: envconfig.MapLookuper(all),
	})
	// endregion
}

func caarlos(ctx context.Context) error {
	// region: caarlos0
	var c struct {
		Password secrets.Value `env:"DB_PASSWORD"`
	}
	all, err := env.RevealAll(ctx)
	if err != nil {
		return err
	}
	return caarlos0.ParseWithOptions(&c, caarlos0.Options{Environment: all})
	// endregion
}

func viperUnmarshal(ctx context.Context) error {
	// region: viper
	var c struct {
		Password secrets.Value `mapstructure:"DB_PASSWORD"`
	}
	all, err := env.RevealAll(ctx)
	if err != nil {
		return err
	}
	v := viper.New()
	for name, value := range all {
		v.Set(name, value)
	}
	return v.Unmarshal(&c, viper.DecodeHook(mapstructure.TextUnmarshallerHookFunc()))
	// endregion
}

// region: field

type Config struct {
	Stage    string
	Password func(context.Context) (secrets.Value, error)
}

func load(env *secrets.Env) Config {
	return Config{
		Stage: os.Getenv("STAGE"),
		Password: func(ctx context.Context) (secrets.Value, error) {
			return env.Get(ctx, "DB_PASSWORD")
		},
	}
}

// endregion

// region: port

func port(v secrets.Value) (int, error) {
	n, err := strconv.Atoi(v.Reveal())
	if err != nil {
		return 0, errors.New("DB_PORT is not a number") // without err, which quotes the value
	}
	return n, nil
}

// endregion
