package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// store is a stand-in for AWS, so that these examples have an output: reference to plaintext. A program leaves WithProvider out.
func store(values map[string]string) secrets.Option {
	return secrets.WithProvider(secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
		if text, ok := values[ref.ID()]; ok {
			return secrets.NewValue(text, "1"), nil
		}
		return secrets.Value{}, secrets.ErrNotFound
	}))
}

// Resolve everything while the function starts: in init, as a package variable, for the shortest handler.
func ExampleMustWarm() {
	env := secrets.MustWarm(context.Background(), // var env = …, or in func init()
		secrets.WithEnviron(map[string]string{"DB_PASSWORD": "sm://prod/db"}), // left out, the process environment is read
		store(map[string]string{"prod/db": "correct horse"}))

	password, err := env.Get(context.Background(), "DB_PASSWORD")
	fmt.Println(password, err)
	fmt.Println(len(password.Reveal()))
	// Output:
	// [REDACTED] <nil>
	// 13
}

type handler struct{ env *secrets.Env }

func (h handler) handle(ctx context.Context) (string, error) {
	key, err := h.env.Get(ctx, "API_KEY")
	if err != nil {
		return "", err
	}
	return "calling with a key of " + fmt.Sprint(len(key.Reveal())) + " bytes", nil
}

// Warm in main and inject the Env, so that importing the package, as go test does, resolves nothing.
func ExampleEnv_Get() {
	env := secrets.MustWarm(context.Background(), secrets.WithEnviron(map[string]string{"API_KEY": "ssm:///app/api-key"}), store(map[string]string{"/app/api-key": "k-1"}))
	h := handler{env} // lambda.Start(h.handle)
	fmt.Println(h.handle(context.Background()))
	// Output: calling with a key of 3 bytes <nil>
}

// Several fields of one secret are one fetch and one generation.
func ExampleNew_fields() {
	env, err := secrets.New(secrets.WithEnviron(map[string]string{
		"DB_USER": "sm://prod/db#username",
		"DB_PORT": "sm://prod/db#port",
		"DB_HOST": "sm://prod/db#hosts.0",
	}), store(map[string]string{"prod/db": `{"username":"app","port":5432,"hosts":["a.internal","b.internal"]}`}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"DB_USER", "DB_PORT", "DB_HOST"} {
		v, err := env.Get(context.Background(), name)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(v.Reveal())
	}
	// Output:
	// app
	// 5432
	// a.internal
}

// A whole secret as one value, taken apart in code.
func ExampleValue_Field() {
	secret := secrets.NewValue(`{"username":"app","port":5432,"old":null}`, "v1")
	port, err := secret.Field("port")
	fmt.Println(port.Reveal(), err)
	_, err = secret.Field("old")
	fmt.Println(errors.Is(err, secrets.ErrField), secrets.Detail(err))
	// Output:
	// 5432 <nil>
	// true secrets: no such field; field "old" is null; next: store a value in it
}

// Options stand in the reference: this one is fresh for 30 seconds, and may be absent.
func ExampleParseRef() {
	ref, err := secrets.ParseRef("ssm:///app/banner?ttl=30s&optional")
	fmt.Println(ref.Scheme(), ref.ID(), err)
	_, err = secrets.ParseRef("ssm://app/banner")
	fmt.Println(secrets.Detail(err))
	// Output:
	// ssm /app/banner <nil>
	// secrets: invalid reference; the parameter name has a slash and does not start with one; next: write ssm:///app/banner
}

// A reference's own TTL wins over the Env's: after a minute the banner is fetched again, and the key is not.
func ExampleWithTTL() {
	var passed time.Duration // a clock to move; secretstest has one for tests
	start := time.Now()
	env, _ := secrets.New(
		secrets.WithEnviron(map[string]string{"BANNER": "ssm:///app/banner?ttl=30s", "API_KEY": "ssm:///app/api-key"}),
		secrets.WithTTL(time.Hour),
		secrets.WithClock(func() (time.Time, time.Duration) { return start.Add(passed), passed }),
		secrets.WithProvider(secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
			fmt.Println("fetching", ref)
			return secrets.NewValue("some text", "1"), nil
		})))
	for range 2 {
		for _, name := range []string{"BANNER", "API_KEY"} {
			if _, err := env.Get(context.Background(), name); err != nil {
				fmt.Println(err)
			}
		}
		passed = time.Minute
	}
	// Output:
	// fetching ssm:///app/banner
	// fetching ssm:///app/api-key
	// fetching ssm:///app/banner
}

// An optional reference that is absent does not fail a warm; Get still tells.
func ExampleEnv_Warm_optional() {
	env, _ := secrets.New(secrets.WithEnviron(map[string]string{"BANNER": "ssm:///app/banner?optional"}), store(nil), secrets.WithLogger(slog.New(slog.DiscardHandler)))
	fmt.Println(env.Warm(context.Background()))
	_, err := env.Get(context.Background(), "BANNER")
	fmt.Println(errors.Is(err, secrets.ErrNotFound))
	// Output:
	// <nil>
	// true
}

// What the Lambda console's encryption helper leaves in a variable is bare ciphertext: declare it.
func ExampleWithVars() {
	server := endpoint.New(endpoint.Options{}) // plays AWS
	url, _ := server.Start()
	defer server.Close()
	st := server.Region("eu-west-1")
	ciphertext := st.Encrypt(st.CreateKey(), []byte("s3cret"), map[string]string{"LambdaFunctionName": "orders"})

	env := secrets.MustWarm(context.Background(),
		secrets.WithVars(secrets.KMS, "API_KEY"),
		secrets.WithAWSConfig(config(url)),
		secrets.WithEnviron(map[string]string{
			"API_KEY":                  strings.TrimPrefix(kmsRef(ciphertext), "kms://"),
			"AWS_LAMBDA_FUNCTION_NAME": "orders",
		}))
	key, err := env.Get(context.Background(), "API_KEY")
	fmt.Println(key.EqualString("s3cret"), err)
	// Output: true <nil>
}

// Every malformed reference is reported at once, before any call.
func ExampleNew() {
	_, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "SM://prod/db", "B": `"ssm:///app/key"`, "C": "plain"}))
	fmt.Println(strings.Count(err.Error(), "invalid reference;"), "variables:", errors.Is(err, secrets.ErrInvalidReference))
	// Output: 2 variables: true
}

// A reference that is built in code, here from input that nobody vouches for: the constructors parse no options.
func ExampleEnv_Resolve() {
	env, _ := secrets.New(secrets.WithEnviron(nil), store(map[string]string{"tenant/7": "token"}))
	v, err := env.Resolve(context.Background(), secrets.Secret("tenant/7").With("ttl", "1m"))
	fmt.Println(v.Reveal(), err)
	_, err = env.Resolve(context.Background(), secrets.Secret("tenant/7?region=us-east-1"))
	fmt.Println(errors.Is(err, secrets.ErrInvalidReference))
	// Output:
	// token <nil>
	// true
}

// A backend of one's own behind the same cache: one function.
func ExampleWithProvider() {
	vault := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
		if ref.ID() != "prod/db" {
			return secrets.Value{}, fmt.Errorf("no entry %s: %w", ref.ID(), secrets.ErrNotFound)
		}
		return secrets.NewValue("from elsewhere", "7"), nil
	})
	env, _ := secrets.New(secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}), secrets.WithProvider(vault, secrets.SecretsManager))
	v, err := env.Get(context.Background(), "DB")
	fmt.Println(v.Reveal(), v.Version(), err)
	// Output: from elsewhere 7 <nil>
}

// Only what is expected may be read, whoever sets the environment.
func ExampleWithCheck() {
	_, err := secrets.New(secrets.WithEnviron(map[string]string{"BANNER": "sm://prod/payments"}),
		secrets.WithCheck(func(name string, ref secrets.Ref) error {
			if !strings.HasPrefix(ref.ID(), "/app/orders/") {
				return errors.New("only parameters below /app/orders/ are for this function")
			}
			return nil
		}))
	fmt.Println(errors.Is(err, secrets.ErrInvalidReference))
	// Output: true
}

// Without AWS, by one explicit option that production refuses.
func ExampleWithLocalValues() {
	environ := map[string]string{"DB_PASSWORD": "sm://prod/db#password"}
	local := map[string]string{"DB_PASSWORD": "on my laptop"} // read from a file, say
	env, err := secrets.New(secrets.WithEnviron(environ), secrets.WithLocalValues(local))
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := env.Get(context.Background(), "DB_PASSWORD")
	fmt.Println(v.Reveal(), err)
	// Output: on my laptop <nil>
}

// What goes to the invoker, and what to the log.
func ExampleDetail() {
	env, _ := secrets.New(secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}), store(nil), secrets.WithLogger(slog.New(slog.DiscardHandler)))
	_, err := env.Get(context.Background(), "DB")
	fmt.Println(err)
	fmt.Println(secrets.Retryable(err))
	slog.New(slog.NewTextHandler(os.Stderr, nil)).Error("no password", "detail", secrets.Detail(err))
	// Output:
	// secrets: DB: not found
	// false
}

// A cache of one's own in front of one backend, for references of any kind.
func ExampleNewCache() {
	cache, err := secrets.NewCache(secrets.NewSSM(aws.Config{Region: "eu-west-1"}), secrets.WithTTL(time.Minute))
	fmt.Println(cache != nil, err)
	// Output: true <nil>
}
