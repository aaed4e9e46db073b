package secrets_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/lambdasecrets/secrets"
)

// stages is a secret in a stand-in for Secrets Manager: staging label → plaintext.
type stages map[string]string

func (s stages) env(environ map[string]string) *secrets.Env {
	return secrets.MustWarm(context.Background(), secrets.WithEnviron(environ),
		secrets.WithProvider(secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
			stage := ref.Stage()
			if stage == "" {
				stage = "AWSCURRENT"
			}
			if text, ok := s[stage]; ok {
				return secrets.NewValue(text, "version of "+text), nil
			}
			return secrets.Value{}, fmt.Errorf("no version has the stage %s: %w", stage, secrets.ErrNotFound)
		})), secrets.WithLogger(quiet()))
}

// A single-user rotation changes the database before it moves AWSCURRENT. In between, the password that works is under AWSPENDING; Do finds it.
func ExampleEnv_Do() {
	secret := stages{"AWSCURRENT": "yesterday"}
	env := secret.env(map[string]string{"DB_PASSWORD": "sm://prod/db"})
	database := "yesterday"
	connect := func(password secrets.Value) error {
		if !password.EqualString(database) {
			fmt.Println("refused")
			return secrets.Rejected(errors.New("password authentication failed"))
		}
		fmt.Println("connected")
		return nil
	}

	env.Do(context.Background(), "DB_PASSWORD", connect)
	secret["AWSPENDING"], database = "today", "today" // the rotation's first two steps
	env.Do(context.Background(), "DB_PASSWORD", connect)
	env.Do(context.Background(), "DB_PASSWORD", connect)
	// Output:
	// connected
	// refused
	// connected
	// connected
}

// A pool, or whatever else is made of a secret, is made anew when the secret changes.
func ExampleDerive() {
	ctx := context.Background()
	secret := stages{"AWSCURRENT": "key 1"}
	env := secret.env(map[string]string{"SIGNING_KEY": "sm://prod/signing"})
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
	secret["AWSCURRENT"] = "key 2"
	env.Refresh(ctx, "SIGNING_KEY") // or the TTL passes
	signers.Do(ctx, sign)
	// Output:
	// built
	// signing with key 1
	// signing with key 1
	// built
	// closed
	// signing with key 2
}

// User and password of one snapshot belong together, even if a rotation comes between reading the one and the other.
func ExampleEnv_Snapshot() {
	ctx := context.Background()
	secret := stages{"AWSCURRENT": `{"username":"app","password":"blue"}`}
	env := secret.env(map[string]string{"DB_USER": "sm://prod/db#username", "DB_PASSWORD": "sm://prod/db#password"})

	snapshot := env.Snapshot(ctx) // once per invocation
	user, err := snapshot.Get("DB_USER")
	if err != nil {
		fmt.Println(err)
		return
	}
	secret["AWSCURRENT"] = `{"username":"app_clone","password":"green"}`
	env.Refresh(ctx)
	password, err := snapshot.Get("DB_PASSWORD")
	fmt.Println(user.Reveal(), password.Reveal(), err)
	// Output: app blue <nil>
}

// Who sends webhooks changes the signing secret when he likes. Accept the current and the previous one: two references to one secret, the second optional,
// because before the first rotation there is no previous version.
func Example_currentAndPrevious() {
	secret := stages{"AWSCURRENT": "new", "AWSPREVIOUS": "old"}
	env := secret.env(map[string]string{
		"WEBHOOK_SECRET":          "sm://webhook",
		"WEBHOOK_SECRET_PREVIOUS": "sm://webhook?stage=AWSPREVIOUS&optional",
	})
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
	fmt.Println(accept("paid", sign("paid", "")))
	// Output:
	// true <nil>
	// true <nil>
	// false <nil>
}
