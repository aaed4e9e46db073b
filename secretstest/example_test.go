package secretstest_test

import (
	"context"
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
