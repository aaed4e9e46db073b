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

func ExampleEnv() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	env := secretstest.Env(t, map[string]string{"DB_PASSWORD": "swordfish"})

	password, err := env.Get(ctx, "DB_PASSWORD") // as the handler does
	fmt.Println(password.Reveal(), err)
	// Output: swordfish <nil>
}

// A policy denies: the handler goes on with the value that it has, and a forced refresh fails.
func ExampleFake() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})
	fmt.Println(env.Warm(ctx))

	fake.Fail("sm://prod/db", secrets.ErrAccessDenied)
	password, err := env.Get(ctx, "DB_PASSWORD")
	fmt.Println(password.Reveal(), err)
	fmt.Println("denied:", errors.Is(env.Refresh(ctx), secrets.ErrAccessDenied))
	fmt.Println("fetched:", fake.Fetched("sm://prod/db"), "in rounds:", fake.Rounds())

	fake.Heal()
	fmt.Println(env.Refresh(ctx))
	// Output:
	// <nil>
	// swordfish <nil>
	// denied: true
	// fetched: 2 in rounds: 2
	// <nil>
}

// A single-user rotation: the database has a new password, and AWSCURRENT is not moved yet.
func ExampleFake_Set() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "old"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})

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

func ExampleFake_Delete() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"ssm:///app/key": "swordfish"})
	env := fake.Env(map[string]string{"API_KEY": "ssm:///app/key?optional"})

	fake.Delete("ssm:///app/key")
	_, err := env.Get(ctx, "API_KEY")
	fmt.Println("absent:", errors.Is(err, secrets.ErrNotFound))
	// Output: absent: true
}

// A read retries what a retry may cure, so that one failure is not seen.
func ExampleFake_FailNext() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})

	fake.FailNext("sm://prod/db", secrets.ErrThrottled, 1)
	password, err := env.Get(ctx, "DB_PASSWORD")
	fmt.Println(password.Reveal(), err, "after", fake.Fetched("sm://prod/db"), "fetches")
	// Output: swordfish <nil> after 2 fetches
}

// The handler answers in time, although AWS is slow: it has 50 ms.
func ExampleFake_Delay() {
	t := new(testing.T) // a test has its own
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})

	fake.Delay(time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := env.Get(ctx, "DB_PASSWORD")
	fmt.Println("in time:", ctx.Err() == nil, "unavailable:", errors.Is(err, secrets.ErrUnavailable))
	// Output: in time: true unavailable: true
}

// The environment is frozen while an answer is on its way, and the secret rotates meanwhile: the
// answer of yesterday is not used.
func ExampleFake_Hold() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	clock := secretstest.NewClock()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "old"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"}, secrets.WithClock(clock.Now))

	release := fake.Hold()
	used := make(chan string)
	go func() {
		v, err := env.Get(ctx, "DB_PASSWORD")
		if err != nil {
			fmt.Println(err)
		}
		used <- v.Reveal()
	}()
	for fake.Rounds() == 0 { // synctest.Wait, in a bubble
		time.Sleep(time.Millisecond)
	}
	fake.Set("sm://prod/db", "new")
	clock.Freeze(3 * time.Hour)
	release()
	fmt.Println(<-used)
	// Output: new
}

// A Fake is a provider like any other.
func ExampleFake_Fetch() {
	t := new(testing.T) // a test has its own
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
	cache, err := secrets.NewCache(fake)
	if err != nil {
		fmt.Println(err)
		return
	}
	results := cache.Fetch(context.Background(), []secrets.Ref{secrets.Secret("prod/db")})
	fmt.Println(results[0].Value.Reveal(), results[0].Err)
	// Output: swordfish <nil>
}

func ExampleSecretVersion() {
	t := new(testing.T) // a test has its own
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "old"})
	fake.Set("sm://prod/db", "new")
	env := fake.Env(map[string]string{
		"NOW":    "sm://prod/db",
		"BEFORE": "sm://prod/db?version=" + secretstest.SecretVersion(1),
	})
	now, _ := env.Get(context.Background(), "NOW")
	before, _ := env.Get(context.Background(), "BEFORE")
	fmt.Println(before.Reveal(), now.Reveal(), now.Version() == secretstest.SecretVersion(2))
	// Output: old new true
}

// The environment was frozen for three hours: the first read fetches.
func ExampleClock() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	clock := secretstest.NewClock()
	fake := secretstest.NewFake(t, map[string]string{"ssm:///app/key": "old"})
	env := fake.Env(map[string]string{"API_KEY": "ssm:///app/key"}, secrets.WithClock(clock.Now))
	key, _ := env.Get(ctx, "API_KEY")
	fmt.Println(key.Reveal())

	fake.Set("ssm:///app/key", "new")
	clock.Freeze(3 * time.Hour)
	key, _ = env.Get(ctx, "API_KEY")
	fmt.Println(key.Reveal())
	// Output:
	// old
	// new
}

// Lambda's clocks: both go on while the environment runs, and one stands still while it is frozen.
func ExampleClock_Now() {
	clock := secretstest.NewClock()
	wall, mono := clock.Now()
	passed := func() {
		w, m := clock.Now()
		fmt.Println("wall", w.Sub(wall).Round(time.Minute), "monotonic", (m - mono).Round(time.Minute))
	}
	clock.Advance(time.Hour)
	passed()
	clock.Freeze(time.Hour)
	passed()
	clock.SetBack(3 * time.Hour)
	passed()
	// Output:
	// wall 1h0m0s monotonic 1h0m0s
	// wall 2h0m0s monotonic 1h0m0s
	// wall -1h0m0s monotonic 1h0m0s
}

// The whole stack, with the SDK's clients.
func ExampleEndpoint() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	ep := secretstest.StartEndpoint(t)
	ep.PutSecret("prod/db", `{"user":"app","password":"swordfish"}`)
	ep.PutParameter("/app/url", "https://example.com")
	env, err := secrets.New(secrets.WithAWSConfig(ep.Config()), secrets.WithEnviron(map[string]string{
		"DB_USER":     "sm://prod/db#user",
		"DB_PASSWORD": "sm://prod/db#password",
		"URL":         "ssm:///app/url",
		"API_KEY":     ep.Encrypt("xyzzy", map[string]string{"tenant": "blue"}),
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(env.Warm(ctx))
	key, _ := env.Get(ctx, "API_KEY")
	fmt.Println(key, key.Reveal())
	for _, operation := range []string{"secretsmanager:*", "ssm:*", "kms:Decrypt"} {
		fmt.Println(operation, ep.Calls(operation))
	}
	// Output:
	// <nil>
	// [REDACTED] xyzzy
	// secretsmanager:* 1
	// ssm:* 1
	// kms:Decrypt 1
}

// A rotation as Secrets Manager makes it, and a secret that is deleted.
func ExampleEndpoint_BeginRotation() {
	t := new(testing.T) // a test has its own
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
		err := env.Refresh(ctx)
		v, _ := env.Get(ctx, "DB_PASSWORD")
		fmt.Println(v.Reveal(), errors.Is(err, secrets.ErrNotFound))
	}
	ep.BeginRotation("prod/db", "new")
	show()
	ep.FinishRotation("prod/db")
	show()
	ep.DeleteSecret("prod/db")
	show()
	// Output:
	// old false
	// new false
	// new true
}

// The policy that a function gets, tried before it is deployed.
func ExampleEndpoint_SetPolicy() {
	t := new(testing.T) // a test has its own
	ep := secretstest.StartEndpoint(t)
	ep.PutParameter("/app/url", "https://example.com")
	env, err := secrets.New(secrets.WithAWSConfig(ep.Config()), secrets.WithEnviron(map[string]string{
		"URL": "ssm:///app/url", "API_KEY": ep.Encrypt("xyzzy", nil),
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = ep.SetPolicy(`{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "` + ep.KeyARN() + `"},
		{"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}]}`)
	fmt.Println(err, env.Warm(context.Background()))
	// Output: <nil> <nil>
}

// Parameter Store throttles, for a moment.
func ExampleEndpoint_Fail() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	ep := secretstest.StartEndpoint(t)
	ep.PutParameter("/app/url", "https://example.com")
	env, err := secrets.New(secrets.WithAWSConfig(ep.Config()),
		secrets.WithEnviron(map[string]string{"URL": "ssm:///app/url"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	heal := ep.Fail("ssm:*", secrets.ErrAccessDenied)
	_, err = env.Get(ctx, "URL")
	fmt.Println("denied:", errors.Is(err, secrets.ErrAccessDenied))
	heal()
	fmt.Println(env.Refresh(ctx))
	// Output:
	// denied: true
	// <nil>
}

// The function has 100 ms, and AWS takes longer.
func ExampleEndpoint_SetLatency() {
	t := new(testing.T) // a test has its own
	ep := secretstest.StartEndpoint(t)
	ep.PutParameter("/app/url", "https://example.com")
	env, err := secrets.New(secrets.WithAWSConfig(ep.Config()),
		secrets.WithEnviron(map[string]string{"URL": "ssm:///app/url"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	ep.SetLatency(time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = env.Get(ctx, "URL")
	fmt.Println("unavailable:", errors.Is(err, secrets.ErrUnavailable))
	// Output: unavailable: true
}

// A backend alone, in the Endpoint's Region.
func ExampleEndpoint_Config() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	ep := secretstest.StartEndpoint(t)
	fmt.Println("version", ep.PutParameter("/app/url", "https://example.com"))
	backend := secrets.NewSSM(ep.Config())
	refs := []secrets.Ref{secrets.SSMParameter("/app/url").With("region", secretstest.Region)}
	fmt.Println(backend.Fetch(ctx, refs)[0].Value.Reveal())

	ep.DeleteParameter("/app/url")
	fmt.Println("deleted:", errors.Is(backend.Fetch(ctx, refs)[0].Err, secrets.ErrNotFound))
	// Output:
	// version 1
	// https://example.com
	// deleted: true
}

// Heal ends what Fail began.
func ExampleFake_Heal() {
	t := new(testing.T) // a test has its own
	ctx := context.Background()
	fake := secretstest.NewFake(t, map[string]string{"sm://prod/db": "swordfish"})
	env := fake.Env(map[string]string{"DB_PASSWORD": "sm://prod/db"})

	fake.Fail("sm://prod/db", secrets.ErrAccessDenied)
	fmt.Println("denied:", errors.Is(env.Warm(ctx), secrets.ErrAccessDenied))
	fake.Heal()
	fmt.Println(env.Refresh(ctx))
	// Output:
	// denied: true
	// <nil>
}
