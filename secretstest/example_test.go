package secretstest_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

// t is the test's own in a real test. An example has none.
var t = &exampleTB{}

type exampleTB struct{ testing.TB }

func (*exampleTB) Helper()           {}
func (*exampleTB) Cleanup(func())    {}
func (*exampleTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// A handler takes its Env as a parameter, or as a field of its receiver, so that a test can give it another.
func greet(ctx context.Context, env *secrets.Env) (string, error) {
	v, err := env.Get(ctx, "GREETING")
	if err != nil {
		return "", err
	}
	return v.Reveal() + ", world", nil
}

func ExampleEnv() {
	env := secretstest.Env(t, map[string]string{"GREETING": "hello"})
	fmt.Println(greet(context.Background(), env))
	// Output: hello, world <nil>
}

func ExampleFake() {
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/greeting": "hello"})
	env := fake.Env(map[string]string{"GREETING": "sm://prod/greeting"})
	fmt.Println(greet(ctx, env))

	fake.Fail("sm://prod/greeting", secrets.ErrAccessDenied)
	fmt.Println(greet(ctx, env)) // from the cache
	fmt.Println("denied:", errors.Is(env.Refresh(ctx), secrets.ErrAccessDenied))
	fmt.Println("fetched:", fake.Fetched("sm://prod/greeting"))
	// Output:
	// hello, world <nil>
	// hello, world <nil>
	// denied: true
	// fetched: 2
}

func ExampleFake_Set() {
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "old"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})
	env.Warm(ctx)

	// The database has a new password, and AWSCURRENT is not moved yet: a single-user rotation.
	fake.Set("sm://prod/db?stage=AWSPENDING", "new")
	err := env.Do(ctx, "DB_PASSWORD", func(v secrets.Value) error {
		fmt.Println("logging in with", v.Reveal())
		if v.Reveal() == "old" {
			return secrets.Rejected(errors.New("wrong password"))
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// logging in with old
	// logging in with new
	// <nil>
}

func ExampleClock() {
	ctx := context.Background()
	clock := secretstest.NewClock()
	fake := secretstest.NewFake(t, map[string]string{"ssm:///app/greeting": "hello"})
	env := fake.Env(map[string]string{"GREETING": "ssm:///app/greeting"}, secrets.WithClock(clock.Now))
	fmt.Println(greet(ctx, env))

	fake.Set("ssm:///app/greeting", "good evening")
	clock.Freeze(3 * time.Hour) // the environment was frozen since
	fmt.Println(greet(ctx, env))
	// Output:
	// hello, world <nil>
	// good evening, world <nil>
}

func ExampleStartEndpoint() {
	ctx := context.Background()
	ep := secretstest.StartEndpoint(t)
	ep.PutSecret("prod/db", `{"user":"app","password":"swordfish"}`)
	env, err := secrets.New(secrets.WithAWSConfig(ep.Config()), secrets.WithEnviron(map[string]string{
		"DB_USER":     "sm://prod/db#user",
		"DB_PASSWORD": "sm://prod/db#password",
		"API_KEY":     ep.Encrypt("xyzzy", nil),
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(env.Warm(ctx))
	key, _ := env.Get(ctx, "API_KEY")
	fmt.Println(key, key.Reveal(), ep.Calls("secretsmanager:*"), ep.Calls("kms:Decrypt"))
	// Output: <nil>
	// [REDACTED] xyzzy 1 1
}

// A refresh fails once. What the handler did meanwhile is what a test asks for.
func ExampleFake_FailNext() {
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})
	env.Warm(ctx)

	fake.FailNext("sm://prod/db", secrets.ErrDecrypt, 1)
	fmt.Println(errors.Is(env.Refresh(ctx), secrets.ErrDecrypt))
	fmt.Println(env.Refresh(ctx), fake.Rounds())
	// Output:
	// true
	// <nil> 3
}

// Heal ends what Fail and Delay began.
func ExampleFake_Heal() {
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})

	fake.Delay(time.Millisecond)
	fake.Fail("sm://prod/db", secrets.ErrAccessDenied)
	_, err := env.Get(ctx, "DB_PASSWORD")
	fmt.Println(errors.Is(err, secrets.ErrAccessDenied))
	fake.Heal()
	fmt.Println(env.Refresh(ctx))
	// Output:
	// true
	// <nil>
}

// A secret is deleted.
func ExampleFake_Delete() {
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})
	fake.Delete("sm://prod/db")
	_, err := env.Get(ctx, "DB_PASSWORD")
	fmt.Println(errors.Is(err, secrets.ErrNotFound))
	// Output: true
}

// Two callers wait for one fetch.
func ExampleFake_Hold() {
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})

	release := fake.Hold()
	done := make(chan error)
	for range 2 {
		go func() {
			_, err := env.Get(ctx, "DB_PASSWORD")
			done <- err
		}()
	}
	release()
	fmt.Println(<-done, <-done, fake.Fetched("sm://prod/db"))
	// Output: <nil> <nil> 1
}

// A Fake is a Provider: it can stand behind one scheme of an Env, or behind a provider under test.
func ExampleFake_Fetch() {
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
	results := fake.Fetch(context.Background(), []secrets.Ref{secrets.Secret("prod/db")})
	fmt.Println(results[0].Value.Reveal(), results[0].Err)
	// Output: swordfish <nil>
}

// A version is pinned, and stays after a rotation.
func ExampleSecretVersion() {
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "old"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db?version=" + secretstest.SecretVersion(1)})
	fake.Set("sm://prod/db", "new")
	v, err := env.Get(ctx, "DB_PASSWORD")
	fmt.Println(v.Reveal(), err)
	// Output: old <nil>
}

// A busy environment refreshes after the TTL; a wall clock that is set back only makes it refresh early.
func ExampleClock_Advance() {
	ctx := context.Background()
	clock := secretstest.NewClock()
	fake := secretstest.NewFake(t, map[string]string{"ssm:///app/greeting": "hello"})
	env := fake.Env(map[string]string{"GREETING": "ssm:///app/greeting"}, secrets.WithClock(clock.Now))
	fmt.Println(greet(ctx, env))

	fake.Set("ssm:///app/greeting", "good evening")
	clock.Advance(6 * time.Minute)
	fmt.Println(greet(ctx, env))
	clock.SetBack(time.Hour)
	fmt.Println(greet(ctx, env))
	fmt.Println("fetched:", fake.Fetched("ssm:///app/greeting"))
	// Output:
	// hello, world <nil>
	// good evening, world <nil>
	// good evening, world <nil>
	// fetched: 3
}

// A rotation between its second step, when the database has the new password, and its last.
func ExampleEndpoint_BeginRotation() {
	ctx := context.Background()
	ep := secretstest.StartEndpoint(t)
	ep.PutSecret("prod/db", "old")
	env, err := secrets.New(secrets.WithAWSConfig(ep.Config()),
		secrets.WithEnviron(map[string]string{"DB_PASSWORD": "sm://prod/db"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	show := func() {
		env.Refresh(ctx)
		v, err := env.Get(ctx, "DB_PASSWORD")
		fmt.Println(v.Reveal(), err)
	}
	ep.BeginRotation("prod/db", "new")
	show()
	ep.FinishRotation("prod/db")
	show()
	// Output:
	// old <nil>
	// new <nil>
}

// The role's policy is part of the test: what it does not allow is denied, as on AWS.
func ExampleEndpoint_SetPolicy() {
	ctx := context.Background()
	ep := secretstest.StartEndpoint(t)
	ep.SetLatency(time.Millisecond)
	ep.PutParameter("/app/url", "https://orders.internal")
	env, err := secrets.New(secrets.WithAWSConfig(ep.Config()), secrets.WithEnviron(map[string]string{
		"URL":         "ssm:///app/url",
		"SIGNING_KEY": ep.Encrypt("xyzzy", nil),
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	policy := `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"kms:Decrypt","Resource":"` + ep.KeyARN() + `"}]}`
	if err := ep.SetPolicy(policy); err != nil {
		fmt.Println(err)
		return
	}
	_, err = env.Get(ctx, "SIGNING_KEY")
	fmt.Println(err)
	_, err = env.Get(ctx, "URL")
	fmt.Println(errors.Is(err, secrets.ErrAccessDenied))
	// Output:
	// <nil>
	// true
}

// What is deleted is not found, whichever service kept it.
func ExampleEndpoint_DeleteSecret() {
	ctx := context.Background()
	ep := secretstest.StartEndpoint(t)
	ep.PutSecret("prod/db", "swordfish")
	ep.PutParameter("/app/url", "https://orders.internal")
	ep.DeleteSecret("prod/db")
	ep.DeleteParameter("/app/url")
	env, err := secrets.New(secrets.WithAWSConfig(ep.Config()), secrets.WithEnviron(map[string]string{
		"DB_PASSWORD": "sm://prod/db", "URL": "ssm:///app/url",
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"DB_PASSWORD", "URL"} {
		_, err := env.Get(ctx, name)
		fmt.Println(name, errors.Is(err, secrets.ErrNotFound))
	}
	// Output:
	// DB_PASSWORD true
	// URL true
}

// A handler that logs in. Where Use refuses the password, Do looks for a newer one.
func ExampleInstance_Use() {
	var t *testing.T // the test's own
	secretstest.Drill(t, func(in *secretstest.Instance) secretstest.Handler {
		return func(ctx context.Context) (any, error) {
			return nil, in.Env.Do(ctx, "DB_PASSWORD", func(v secrets.Value) error { return in.Use(v.Reveal()) })
		}
	})
}

// A handler that signs shows what it made of the key. Match tells which key that was.
func ExampleInstance_Match() {
	var t *testing.T // the test's own
	secretstest.Drill(t, func(in *secretstest.Instance) secretstest.Handler {
		return func(ctx context.Context) (any, error) {
			key, err := in.Env.Get(ctx, "SIGNING_KEY")
			if err != nil {
				return nil, err
			}
			signature := sha256.Sum256([]byte("order 42" + key.Reveal())) // in place of an HMAC
			return signature[:], in.Match(func(key string) bool {
				return signature == sha256.Sum256([]byte("order 42"+key))
			})
		}
	})
}
