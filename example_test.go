package secrets_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets"
)

// Resolve everything while the function starts, in main, and read on each event.
func ExampleMustWarm() {
	ctx := context.Background()
	env := secrets.MustWarm(ctx, // without options it reads the process environment and calls AWS
		secrets.WithEnviron(map[string]string{"DB_PASSWORD": "sm://prod/db#password"}),
		secrets.WithLocalValues(map[string]string{"DB_PASSWORD": "correct horse"}))

	password, err := env.Get(ctx, "DB_PASSWORD")
	fmt.Println(password, err)
	fmt.Println(password.Reveal())
	// Output:
	// [REDACTED] <nil>
	// correct horse
}

// New reports every malformed reference at once, before any call.
func ExampleNew() {
	_, err := secrets.New(secrets.WithEnviron(map[string]string{
		"A": "SM://prod/db",
		"B": `"ssm:///app/key"`,
		"C": "plain",
	}))
	fmt.Println(strings.Count(err.Error(), "invalid reference"), "variables")
	fmt.Println(errors.Is(err, secrets.ErrInvalidReference))
	// Output:
	// 2 variables
	// true
}

// Several fields of one secret are one fetch.
func ExampleNew_fields() {
	ctx := context.Background()
	provider := secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
		fmt.Println("fetch", ref.ID())
		return secrets.NewValue(`{"username":"app","port":5432,"hosts":["a.internal"]}`, "v1"), nil
	})
	env, err := secrets.New(secrets.WithProvider(provider), secrets.WithEnviron(map[string]string{
		"DB_USER": "sm://prod/db#username",
		"DB_PORT": "sm://prod/db#port",
		"DB_HOST": "sm://prod/db#hosts.0",
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	all, err := env.RevealAll(ctx)
	fmt.Println(all["DB_USER"], all["DB_PORT"], all["DB_HOST"], err)
	// Output:
	// fetch prod/db
	// app 5432 a.internal <nil>
}

// A variable that holds no reference is an error: a typo must not become the password.
func ExampleEnv_Get() {
	ctx := context.Background()
	env := secrets.MustWarm(ctx,
		secrets.WithEnviron(map[string]string{"API_KEY": "ssm:///app/api-key", "STAGE": "prod"}),
		secrets.WithLocalValues(map[string]string{"API_KEY": "k-1"}))
	key, err := env.Get(ctx, "API_KEY")
	fmt.Println(key.Reveal(), err)
	_, err = env.Get(ctx, "STAGE")
	fmt.Println(errors.Is(err, secrets.ErrNotReference))
	// Output:
	// k-1 <nil>
	// true
}

// An optional reference whose value does not exist does not fail a warm. Get still returns the error.
func ExampleEnv_Warm() {
	ctx := context.Background()
	absent := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.Value{}, secrets.ErrNotFound
	})
	env, err := secrets.New(secrets.WithProvider(absent),
		secrets.WithEnviron(map[string]string{"BANNER": "ssm:///app/banner?optional"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(env.Warm(ctx))
	_, err = env.Get(ctx, "BANNER")
	fmt.Println(errors.Is(err, secrets.ErrNotFound))
	// Output:
	// <nil>
	// true
}

// Resolve takes a reference that the program builds, here from input that nobody vouches for: the
// constructors parse no options.
func ExampleEnv_Resolve() {
	ctx := context.Background()
	tenants := secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue("token of "+ref.ID(), "1"), nil
	})
	env, _ := secrets.New(secrets.WithEnviron(nil), secrets.WithProvider(tenants))
	v, err := env.Resolve(ctx, secrets.Secret("tenant/7").With("ttl", "1m"))
	fmt.Println(v.Reveal(), err)
	_, err = env.Resolve(ctx, secrets.Secret("tenant/7?region=us-east-1"))
	fmt.Println(errors.Is(err, secrets.ErrInvalidReference))
	// Output:
	// token of tenant/7 <nil>
	// true
}

// Refresh fetches now, whatever the age: on an event that announces a rotation, say.
func ExampleEnv_Refresh() {
	ctx := context.Background()
	version := 0
	counting := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		version++
		return secrets.NewValue(fmt.Sprint("password ", version), fmt.Sprint(version)), nil
	})
	env := secrets.MustWarm(ctx, secrets.WithProvider(counting),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}))
	err := env.Refresh(ctx, "DB")
	v, _ := env.Get(ctx, "DB")
	fmt.Println(v.Reveal(), err)
	// Output: password 2 <nil>
}

// RevealAll is for configuration libraries that take a map. A plain variable stays as it is.
func ExampleEnv_RevealAll() {
	env := secrets.MustWarm(context.Background(),
		secrets.WithEnviron(map[string]string{"API_KEY": "ssm:///app/api-key", "STAGE": "prod"}),
		secrets.WithLocalValues(map[string]string{"API_KEY": "k-1"}))
	all, err := env.RevealAll(context.Background())
	fmt.Println(all["API_KEY"], all["STAGE"], err)
	// Output: k-1 prod <nil>
}

// Refs says where every value came from, without its plaintext: fit for a debug page.
func ExampleEnv_Refs() {
	ctx := context.Background()
	provider := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue("k-1", "3"), nil
	})
	env := secrets.MustWarm(ctx, secrets.WithProvider(provider),
		secrets.WithEnviron(map[string]string{"API_KEY": "ssm:///app/api-key"}))
	for _, r := range env.Refs() {
		fmt.Println(r.Variable, r.Ref, r.Version, r.Err)
	}
	// Output: API_KEY ssm:///app/api-key 3 <nil>
}

// Stats counts what happened, for a metric.
func ExampleEnv_Stats() {
	ctx := context.Background()
	provider := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue("k-1", "3"), nil
	})
	env := secrets.MustWarm(ctx, secrets.WithProvider(provider), secrets.WithEnviron(map[string]string{
		"API_KEY": "ssm:///app/api-key", "HOST": "ssm:///app/host", "DB": "sm://prod/db",
	}))
	s := env.Stats()
	fmt.Println("fetches:", s.Fetches, "values:", s.Values, "stale reads:", s.Stale)
	// Output: fetches: 2 values: 3 stale reads: 0
}

// A single-user rotation changes the database before it moves AWSCURRENT. In between, the password
// that works is under AWSPENDING, and Do finds it.
func ExampleEnv_Do() {
	ctx := context.Background()
	stages := map[string]string{"": "yesterday"} // "" is AWSCURRENT
	store := secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
		text, ok := stages[ref.Stage()]
		if !ok {
			return secrets.Value{}, secrets.ErrNotFound
		}
		return secrets.NewValue(text, text), nil
	})
	env := secrets.MustWarm(ctx, secrets.WithProvider(store),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithEnviron(map[string]string{"DB_PASSWORD": "sm://prod/db"}))

	database := "yesterday"
	connect := func(password secrets.Value) error {
		if !password.EqualString(database) {
			fmt.Println("refused")
			return secrets.Rejected(errors.New("password authentication failed"))
		}
		fmt.Println("connected")
		return nil
	}
	env.Do(ctx, "DB_PASSWORD", connect)
	stages["AWSPENDING"], database = "today", "today" // the rotation's first two steps
	env.Do(ctx, "DB_PASSWORD", connect)
	env.Do(ctx, "DB_PASSWORD", connect)
	// Output:
	// connected
	// refused
	// connected
	// connected
}

// User and password of one snapshot belong together, even if a rotation comes between the two reads.
func ExampleEnv_Snapshot() {
	ctx := context.Background()
	secret := `{"username":"app","password":"blue"}`
	store := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue(secret, secret), nil
	})
	env := secrets.MustWarm(ctx, secrets.WithProvider(store),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithEnviron(map[string]string{
			"DB_USER": "sm://prod/db#username", "DB_PASSWORD": "sm://prod/db#password",
		}))

	snapshot := env.Snapshot(ctx) // once per invocation
	user, err := snapshot.Get("DB_USER")
	if err != nil {
		fmt.Println(err)
		return
	}
	secret = `{"username":"app_clone","password":"green"}`
	env.Refresh(ctx)
	password, err := snapshot.Get("DB_PASSWORD")
	fmt.Println(user.Reveal(), password.Reveal(), err)
	// Output: app blue <nil>
}

// What is built from a secret, such as a pool, is built again when the secret changes.
func ExampleDerive() {
	ctx := context.Background()
	key := "key 1"
	store := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue(key, key), nil
	})
	env := secrets.MustWarm(ctx, secrets.WithProvider(store),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithEnviron(map[string]string{"SIGNING_KEY": "sm://prod/signing"}))

	type signer struct{ key []byte }
	signers := secrets.Derive(env, "SIGNING_KEY",
		func(_ context.Context, v secrets.Value) (*signer, error) {
			fmt.Println("built")
			return &signer{v.RevealBytes()}, nil
		},
		func(*signer) { fmt.Println("closed") })
	sign := func(s *signer) error {
		fmt.Println("signing with", string(s.key)) // a program would not print it
		return nil
	}
	signers.Do(ctx, sign)
	signers.Do(ctx, sign)
	key = "key 2"
	env.Refresh(ctx, "SIGNING_KEY") // or the TTL passes
	signers.Do(ctx, sign)
	// Output:
	// built
	// signing with key 1
	// signing with key 1
	// built
	// signing with key 2
	// closed
}

// The sender of webhooks changes the signing secret at its own time. Accept the current and the
// previous one: two references to one secret. The second is optional, because before the first
// rotation there is no previous version.
func Example_currentAndPrevious() {
	stages := map[string]string{"": "new", "AWSPREVIOUS": "old"}
	store := secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue(stages[ref.Stage()], ref.Stage()), nil
	})
	env := secrets.MustWarm(context.Background(), secrets.WithProvider(store),
		secrets.WithEnviron(map[string]string{
			"WEBHOOK_SECRET":          "sm://webhook",
			"WEBHOOK_SECRET_PREVIOUS": "sm://webhook?stage=AWSPREVIOUS&optional",
		}))
	sign := func(body, key string) string {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(body))
		return hex.EncodeToString(mac.Sum(nil))
	}
	accept := func(body, signature string) (bool, error) {
		for _, name := range []string{"WEBHOOK_SECRET", "WEBHOOK_SECRET_PREVIOUS"} {
			key, err := env.Get(context.Background(), name)
			switch {
			case name == "WEBHOOK_SECRET_PREVIOUS" && errors.Is(err, secrets.ErrNotFound):
				continue // there is none: an answer, not a failure
			case err != nil:
				return false, err // denied or throttled is not absent
			case hmac.Equal([]byte(sign(body, key.Reveal())), []byte(signature)):
				return true, nil
			}
		}
		return false, nil
	}
	fmt.Println(accept("paid", sign("paid", "new")))
	fmt.Println(accept("paid", sign("paid", "old")))
	fmt.Println(accept("paid", sign("paid", "other")))
	// Output:
	// true <nil>
	// true <nil>
	// false <nil>
}

// Options stand in the reference: this one is fresh for 30 seconds, and may be absent.
func ExampleParseRef() {
	ref, err := secrets.ParseRef("ssm:///app/banner?ttl=30s&optional")
	fmt.Println(ref.Scheme(), ref.ID(), err)
	_, err = secrets.ParseRef("ssm://app/banner")
	fmt.Println(errors.Is(err, secrets.ErrInvalidReference))
	// Output:
	// ssm /app/banner <nil>
	// true
}

// With sets one option, or the field, of a reference that the program builds.
func ExampleRef_With() {
	ref := secrets.SSMParameter("/app/db").With("version", "3").With("field", "password")
	fmt.Println(ref)
	fmt.Println(ref.ID(), ref.Version(), ref.Field())
	// Output:
	// ssm:///app/db:3#password
	// /app/db 3 password
}

// References that mean the same are equal, however they are written.
func ExampleRef() {
	a, _ := secrets.ParseRef("secretsmanager://prod/db")
	fmt.Println(a == secrets.Secret("prod/db"))
	// Output: true
}

// String is for people and shows no ciphertext. Text is exact and parses back.
func ExampleRef_Text() {
	ref := secrets.Ciphertext([]byte("not really a ciphertext, but as long as one"))
	fmt.Println(ref)
	back, err := secrets.ParseRef(ref.Text())
	fmt.Println(back == ref, err)
	// Output:
	// kms://(43 bytes)
	// true <nil>
}

// Source is what a provider sees: the reference without field, TTL, stale bound and optional mark.
// References with one source are one fetch.
func ExampleRef_Source() {
	user, _ := secrets.ParseRef("ssm:///app/db?ttl=1h#username")
	password, _ := secrets.ParseRef("ssm:///app/db#password")
	fmt.Println(user.Source(), user.Source() == password.Source())
	// Output: ssm:///app/db true
}

// A selector or an option in the text of an untrusted name is part of the name, and refused.
func ExampleSSMParameter() {
	fmt.Println(secrets.SSMParameter("/app/key").With("version", "3"))
	ref := secrets.SSMParameter("/app/key").With("region", "eu-west-1")
	fmt.Println(ref, ref.Region())
	// Output:
	// ssm:///app/key:3
	// ssm:///app/key?region=eu-west-1 eu-west-1
}

// A value prints as [REDACTED] in every format and every log.
func ExampleValue() {
	v := secrets.NewValue("correct horse", "v1")
	fmt.Printf("%v %+v %s %q\n", v, v, v, v)
	text, err := json.Marshal(map[string]any{"password": v})
	fmt.Println(string(text), err)
	fmt.Println(v.Reveal(), len(v.RevealBytes()), v.Version())
	// Output:
	// [REDACTED] [REDACTED] [REDACTED] [REDACTED]
	// {"password":"[REDACTED]"} <nil>
	// correct horse 13 v1
}

// A whole secret as one value, taken apart in code.
func ExampleValue_Field() {
	secret := secrets.NewValue(`{"username":"app","port":5432,"old":null}`, "v1")
	port, err := secret.Field("port")
	fmt.Println(port.Reveal(), err)
	_, err = secret.Field("old")
	fmt.Println(errors.Is(err, secrets.ErrField))
	// Output:
	// 5432 <nil>
	// true
}

// Equal and EqualString take constant time, and are false if either side is empty.
func ExampleValue_EqualString() {
	token := secrets.NewValue("s3cret", "1")
	fmt.Println(token.EqualString("s3cret"), token.EqualString(""), token.Equal(secrets.Value{}))
	// Output: true false false
}

// The zero Value is none: an empty secret is not zero.
func ExampleValue_IsZero() {
	fmt.Println(secrets.Value{}.IsZero(), secrets.NewValue("", "1").IsZero())
	// Output: true false
}

// A stale value is one that is served although its refresh failed.
func ExampleValue_Stale() {
	ctx := context.Background()
	var passed time.Duration
	start := time.Now()
	down := false
	provider := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		if down {
			return secrets.Value{}, fmt.Errorf("the store is down: %w", secrets.ErrAccessDenied)
		}
		return secrets.NewValue("k-1", "1"), nil
	})
	env := secrets.MustWarm(ctx, secrets.WithProvider(provider),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithClock(func() (time.Time, time.Duration) { return start.Add(passed), passed }),
		secrets.WithEnviron(map[string]string{"API_KEY": "ssm:///app/api-key"}))
	down, passed = true, 6*time.Minute // past the TTL of 5 minutes
	v, err := env.Get(ctx, "API_KEY")
	fmt.Println(v.Reveal(), v.Stale(), v.FetchedAt().Equal(start), err)
	// Output: k-1 true true <nil>
}

// A Value decodes from a configuration, and refuses a reference that nobody resolved.
func ExampleValue_UnmarshalText() {
	var c struct{ Password secrets.Value }
	err := json.Unmarshal([]byte(`{"Password":"correct horse"}`), &c)
	fmt.Println(c.Password.EqualString("correct horse"), err)
	err = json.Unmarshal([]byte(`{"Password":"sm://prod/db"}`), &c)
	fmt.Println(errors.Is(err, secrets.ErrInvalidReference))
	// Output:
	// true <nil>
	// true
}

// A reference's own TTL wins over that of the Env.
func ExampleWithTTL() {
	ctx := context.Background()
	var passed time.Duration // a clock to move; secretstest has one for tests
	start := time.Now()
	env, _ := secrets.New(
		secrets.WithEnviron(map[string]string{
			"BANNER": "ssm:///app/banner?ttl=30s", "API_KEY": "ssm:///app/api-key",
		}),
		secrets.WithTTL(time.Hour),
		secrets.WithClock(func() (time.Time, time.Duration) { return start.Add(passed), passed }),
		secrets.WithProvider(secrets.ProviderFunc(
			func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
				fmt.Println("fetch", ref)
				return secrets.NewValue("some text", "1"), nil
			})))
	for range 2 {
		for _, name := range []string{"BANNER", "API_KEY"} {
			if _, err := env.Get(ctx, name); err != nil {
				fmt.Println(err)
			}
		}
		passed = time.Minute
	}
	// Output:
	// fetch ssm:///app/banner
	// fetch ssm:///app/api-key
	// fetch ssm:///app/banner
}

// With no grace a denial ends a value at once, and so does every blink of a policy.
func ExampleWithGrace() {
	ctx := context.Background()
	var denied error
	provider := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue("k-1", "1"), denied
	})
	env := secrets.MustWarm(ctx, secrets.WithProvider(provider),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithTTL(0),   // every read fetches
		secrets.WithGrace(0), // 5 minutes by default
		secrets.WithEnviron(map[string]string{"API_KEY": "ssm:///app/api-key"}))
	denied = secrets.ErrAccessDenied
	_, err := env.Get(ctx, "API_KEY")
	fmt.Println(errors.Is(err, secrets.ErrAccessDenied))
	// Output: true
}

// The stale bound limits how old a value may get while AWS does not answer.
func ExampleWithMaxStale() {
	env, err := secrets.New(secrets.WithMaxStale(time.Hour), secrets.WithEnviron(nil))
	fmt.Println(env != nil, err)
	// Output: true <nil>
}

// What changes state is logged once, with these keys: here, that somebody rotated.
func ExampleWithLogger() {
	ctx := context.Background()
	version := "1"
	provider := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue("password "+version, version), nil
	})
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	env := secrets.MustWarm(ctx, secrets.WithProvider(provider), secrets.WithLogger(log),
		secrets.WithEnviron(map[string]string{"DB": "ssm:///app/db"}))
	version = "2"
	env.Refresh(ctx)
	// Output: level=INFO msg=secrets.version reference=ssm:///app/db variables=[DB] old=1 new=2
}

// The Lambda console's encryption helper leaves bare ciphertext in a variable, and CDK a bare ARN:
// declare them.
func ExampleWithVars() {
	env, err := secrets.New(
		secrets.WithVars(secrets.SecretsManager, "DB_ARN"),
		secrets.WithEnviron(map[string]string{
			"DB_ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3",
		}),
		secrets.WithLocalValues(map[string]string{"DB_ARN": "correct horse"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	password, err := env.Get(context.Background(), "DB_ARN")
	fmt.Println(password.Reveal(), err)
	// Output: correct horse <nil>
}

// A reference that the program builds gets a name, and the warm fetches it with the others.
func ExampleWithRef() {
	ctx := context.Background()
	env := secrets.MustWarm(ctx, secrets.WithEnviron(nil),
		secrets.WithRef("DB_PASSWORD", secrets.Secret("prod/db").With("field", "password")),
		secrets.WithProvider(secrets.ProviderFunc(
			func(context.Context, secrets.Ref) (secrets.Value, error) {
				return secrets.NewValue(`{"password":"correct horse"}`, "1"), nil
			})))
	v, err := env.Get(ctx, "DB_PASSWORD")
	fmt.Println(v.Reveal(), err)
	// Output: correct horse <nil>
}

// A configuration of your own: here, one whose endpoint plays AWS.
func ExampleWithAWSConfig() {
	ctx := context.Background()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"Parameter":{"Name":"/app/key","Type":"String","Value":"k-1","Version":3,
			"ARN":"arn:aws:ssm:eu-west-1:123456789012:parameter/app/key"}}`)
	}))
	defer server.Close()
	env, err := secrets.New(secrets.WithAWSConfig(aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), Credentials: aws.AnonymousCredentials{},
	}), secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithEnviron(map[string]string{"API_KEY": "ssm:///app/key"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := env.Get(ctx, "API_KEY")
	fmt.Println(v.Reveal(), err)
	// Output: k-1 <nil>
}

// An endpoint over http that is not on this machine needs this option: plaintext would cross a network.
func ExampleWithInsecureEndpoint() {
	env, err := secrets.New(secrets.WithInsecureEndpoint(), secrets.WithEnviron(nil))
	fmt.Println(env != nil, err)
	// Output: true <nil>
}

// Twenty secrets travel in one call. The role needs secretsmanager:BatchGetSecretValue too.
func ExampleWithBatchGetSecretValue() {
	ctx := context.Background()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("X-Amz-Target"))
		io.WriteString(w, `{"SecretValues":[
			{"Name":"prod/db","VersionId":"v1","SecretString":"correct horse",
			 "ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3"},
			{"Name":"prod/api","VersionId":"v1","SecretString":"k-1",
			 "ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/api-d4E5f6"}]}`)
	})) // plays AWS
	defer server.Close()
	env := secrets.MustWarm(ctx, secrets.WithBatchGetSecretValue(),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithAWSConfig(aws.Config{
			Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), Credentials: aws.AnonymousCredentials{},
		}),
		secrets.WithEnviron(map[string]string{"DB": "sm://prod/db", "API_KEY": "sm://prod/api"}))
	v, err := env.Get(ctx, "DB")
	fmt.Println(v.Reveal(), err)
	// Output:
	// secretsmanager.BatchGetSecretValue
	// correct horse <nil>
}

// A ciphertext under a key that the program does not expect is refused, whoever wrote it.
func ExampleWithKMSKeys() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"Plaintext":"Y29ycmVjdCBob3JzZQ==",
			"KeyId":"arn:aws:kms:eu-west-1:999999999999:key/99999999-9999-9999-9999-999999999999"}`)
	})) // plays AWS
	defer server.Close()
	env, err := secrets.New(
		secrets.WithKMSKeys("arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithAWSConfig(aws.Config{
			Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), Credentials: aws.AnonymousCredentials{},
		}),
		secrets.WithEnviron(map[string]string{"API_KEY": "kms://bm90IHJlYWxseSBhIGNpcGhlcnRleHQsIGJ1dCBsb25n"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = env.Get(context.Background(), "API_KEY")
	fmt.Println(errors.Is(err, secrets.ErrDecrypt))
	// Output: true
}

// The environment may be a map, so that a test runs in parallel and leaves the process's alone.
func ExampleWithEnviron() {
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"DB": "ssm:///app/db", "STAGE": "prod"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range env.Refs() {
		fmt.Println(r.Variable, r.Ref)
	}
	// Output: DB ssm:///app/db
}

// A backend of your own behind the same cache is one function.
func ExampleWithProvider() {
	vault := secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
		if ref.ID() != "prod/db" {
			return secrets.Value{}, fmt.Errorf("no entry %s: %w", ref.ID(), secrets.ErrNotFound)
		}
		return secrets.NewValue("from elsewhere", "7"), nil
	})
	env, _ := secrets.New(secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}),
		secrets.WithProvider(vault, secrets.SecretsManager))
	v, err := env.Get(context.Background(), "DB")
	fmt.Println(v.Reveal(), v.Version(), err)
	// Output: from elsewhere 7 <nil>
}

// A program says what it expects, whoever sets the environment.
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

// A check sees what a reference states: scheme, name, Region, the second Region, role, key, context.
func ExampleRef_Role() {
	ref, err := secrets.ParseRef("sm://prod/db?region=eu-west-1,us-east-1&role=arn:aws:iam::210987654321:role/reader")
	fmt.Println(ref.Region(), ref.Failover(), ref.Role(), ref.Key() == "", ref.Context() == nil, err)
	// Output: eu-west-1 us-east-1 arn:aws:iam::210987654321:role/reader true true <nil>
}

// The secret of another account is read with a role there.
func ExampleWithRole() {
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"PARTNER_KEY": "sm://partner/key"}),
		secrets.WithRole("PARTNER_KEY", "arn:aws:iam::210987654321:role/reader"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(env.Refs()[0].Ref.Role())
	// Output: arn:aws:iam::210987654321:role/reader
}

// Each variable has an encryption context of its own, so that nobody can swap their ciphertexts.
func ExampleWithEncryptionContext() {
	_, err := secrets.New(secrets.WithEnviron(map[string]string{"API_KEY": "literal://of somebody else"}),
		secrets.WithEncryptionContext("API_KEY", map[string]string{"variable": "API_KEY"}))
	fmt.Println(errors.Is(err, secrets.ErrInvalidReference))
	// Output: true
}

// WithLocalValues takes AWS's place on a laptop. Lambda refuses it.
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

// WithRejected says once which errors mean that a credential was refused.
func ExampleWithRejected() {
	ctx := context.Background()
	errLogin := errors.New("password authentication failed")
	password := "yesterday"
	store := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue(password, password), nil
	})
	env := secrets.MustWarm(ctx, secrets.WithProvider(store),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithRejected(func(err error) bool { return errors.Is(err, errLogin) }),
		secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}))
	password = "today"
	err := env.Do(ctx, "DB", func(v secrets.Value) error {
		if !v.EqualString("today") {
			return errLogin
		}
		fmt.Println("connected")
		return nil
	})
	fmt.Println(err)
	// Output:
	// connected
	// <nil>
}

// Detail is for the log, Error for the invoker.
func ExampleDetail() {
	absent := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.Value{}, fmt.Errorf("no entry: %w", secrets.ErrNotFound)
	})
	env, _ := secrets.New(secrets.WithProvider(absent),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}))
	_, err := env.Get(context.Background(), "DB")
	fmt.Println(err)
	fmt.Println(strings.Contains(secrets.Detail(err), "prod/db"), secrets.Retryable(err))
	// Output:
	// secrets: DB: not found
	// true false
}

// The kinds tell failures apart; Retryable says whether another try may help.
func ExampleRetryable() {
	for _, kind := range []error{
		secrets.ErrThrottled, secrets.ErrUnavailable, secrets.ErrConfiguration, secrets.ErrAccessDenied,
		secrets.ErrDecrypt, secrets.ErrNotFound,
	} {
		failing := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
			return secrets.Value{}, kind
		})
		env, _ := secrets.New(secrets.WithProvider(failing), secrets.WithEnviron(nil),
			secrets.WithLogger(slog.New(slog.DiscardHandler)))
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		_, err := env.Resolve(ctx, secrets.Secret("prod/db"))
		cancel()
		fmt.Println(kind, secrets.Retryable(err))
	}
	// Output:
	// throttled true
	// unavailable true
	// invalid configuration false
	// access denied false
	// cannot decrypt false
	// not found false
}

// A ResolveError says which variable failed, and what AWS called it.
func ExampleResolveError() {
	denied := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.Value{}, secrets.ErrAccessDenied
	})
	env, _ := secrets.New(secrets.WithProvider(denied),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
		secrets.WithEnviron(map[string]string{"DB": "ssm:///app/db"}))
	_, err := env.Get(context.Background(), "DB")
	var failure *secrets.ResolveError
	if errors.As(err, &failure) {
		fmt.Println(failure.Variable, failure.Ref, errors.Is(err, secrets.ErrAccessDenied))
	}
	// Output: DB ssm:///app/db true
}

// A Cache is a Provider in front of a Provider, for programs that build every reference themselves.
func ExampleNewCache() {
	ctx := context.Background()
	calls := 0
	cache, err := secrets.NewCache(secrets.ProviderFunc(
		func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
			calls++
			return secrets.NewValue(`{"user":"app","password":"correct horse"}`, "1"), nil
		}), secrets.WithTTL(time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	secret := secrets.Secret("prod/db")
	for _, r := range cache.Fetch(ctx, []secrets.Ref{
		secret.With("field", "user"), secret.With("field", "password"),
	}) {
		fmt.Println(r.Value.Reveal(), r.Err)
	}
	fmt.Println("calls:", calls)
	// Output:
	// app <nil>
	// correct horse <nil>
	// calls: 1
}

// A backend alone, without cache and environment: one call, one answer.
func ExampleNewSecretsManager() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("X-Amz-Target"))
		io.WriteString(w, `{"Name":"prod/db","VersionId":"v7","SecretString":"correct horse",
			"ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3"}`)
	})) // plays AWS
	defer server.Close()
	provider := secrets.NewSecretsManager(aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), Credentials: aws.AnonymousCredentials{},
	})
	r := provider.Fetch(context.Background(), []secrets.Ref{secrets.Secret("prod/db")})[0]
	if r.Err != nil {
		fmt.Println(secrets.Detail(r.Err))
		return
	}
	fmt.Println(r.Value.Reveal(), r.Value.Version())
	// Output:
	// secretsmanager.GetSecretValue
	// correct horse v7
}

// The second Region of a provider is a provider of its own.
func ExampleNewSSM() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("X-Amz-Target"))
		io.WriteString(w, `{"Parameter":{"Name":"/app/key","Type":"String","Value":"k-1","Version":3,
			"ARN":"arn:aws:ssm:eu-west-1:123456789012:parameter/app/key"}}`)
	})) // plays AWS
	defer server.Close()
	provider := secrets.NewSSM(aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), Credentials: aws.AnonymousCredentials{},
	})
	r := provider.Fetch(context.Background(), []secrets.Ref{secrets.SSMParameter("/app/key")})[0]
	if r.Err != nil {
		fmt.Println(secrets.Detail(r.Err))
		return
	}
	fmt.Println(r.Value.Reveal(), r.Value.Version())
	// Output:
	// AmazonSSM.GetParameter
	// k-1 3
}

// A ciphertext that stands in a file rather than in a variable.
func ExampleNewKMS() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("X-Amz-Target"))
		io.WriteString(w, `{"Plaintext":"Y29ycmVjdCBob3JzZQ==",
			"KeyId":"arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"}`)
	})) // plays AWS
	defer server.Close()
	provider := secrets.NewKMS(aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), Credentials: aws.AnonymousCredentials{},
	})
	ciphertext := secrets.Ciphertext([]byte("the bytes of a file that is as long as a ciphertext")).With("context",
		"none")
	r := provider.Fetch(context.Background(), []secrets.Ref{ciphertext})[0]
	if r.Err != nil {
		fmt.Println(secrets.Detail(r.Err))
		return
	}
	fmt.Println(r.Value.Reveal())
	// Output:
	// TrentService.Decrypt
	// correct horse
}
