package secretstest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

type function func(context.Context, *secrets.Env) (string, error)

func good(ctx context.Context, env *secrets.Env) (string, error) {
	v, err := env.Get(ctx, "DB_PASSWORD")
	if err != nil {
		return "", fmt.Errorf("connecting: %w", err)
	}
	slog.Info("connecting", "password", v)
	return v.Reveal(), nil
}

func TestDrill(t *testing.T) { secretstest.Drill(t, good) }

func TestDrillFindsEveryVariable(t *testing.T) {
	secretstest.Drill(t, func(ctx context.Context, env *secrets.Env) (string, error) {
		user, err := env.Get(ctx, "DB_USER")
		if err != nil {
			return "", err
		}
		password, err := env.Get(ctx, "DB_PASSWORD")
		if err != nil {
			return "", err
		}
		if user.Reveal() != password.Reveal() {
			return "", errors.New("the variables hold different values")
		}
		return password.Reveal(), nil
	})
}

// A credential that is tried: Do retries within the invocation.
func TestDrillDo(t *testing.T) {
	secretstest.Drill(t, func(ctx context.Context, env *secrets.Env) (used string, err error) {
		err = env.Do(ctx, "DB_PASSWORD", func(v secrets.Value) error {
			used = v.Reveal()
			return nil
		})
		return used, err
	})
}

func TestDrillShaped(t *testing.T) {
	secretstest.Drill(t, func(ctx context.Context, env *secrets.Env) (string, error) {
		v, err := env.Get(ctx, "DB")
		if err != nil {
			return "", err
		}
		if v, err = v.Field("password"); err != nil {
			return "", err
		}
		return v.Reveal(), nil
	}, `DB={"user":"app","password":"%s"}`)
}

// Handlers that do it right in other ways.
func TestDrillPasses(t *testing.T) {
	signers := map[*secrets.Env]*secrets.Derived[string]{}
	for name, d := range map[string]struct {
		f    function
		vars []string
	}{
		"Derive": {f: func(ctx context.Context, env *secrets.Env) (used string, err error) {
			if signers[env] == nil {
				signers[env] = secrets.Derive(env, "DB_PASSWORD", func(_ context.Context, v secrets.Value) (string, error) { return v.Reveal(), nil }, nil)
			}
			err = signers[env].Do(ctx, func(s string) error {
				used = s
				return nil
			})
			return used, err
		}},
		"Snapshot": {f: func(ctx context.Context, env *secrets.Env) (string, error) {
			v, err := env.Snapshot(ctx).Get("DB_PASSWORD")
			if err != nil {
				return "", err
			}
			return v.Reveal(), nil
		}},
		"RevealAll": {vars: []string{"DB_PASSWORD"}, f: func(ctx context.Context, env *secrets.Env) (string, error) {
			all, err := env.RevealAll(ctx)
			return all["DB_PASSWORD"], err
		}},
		"warms by itself": {vars: []string{"DB_PASSWORD"}, f: func(ctx context.Context, env *secrets.Env) (string, error) {
			if err := env.Warm(ctx); err != nil && !secrets.Retryable(err) {
				return "", err
			}
			return good(ctx, env)
		}},
		"goroutines that it waits for": {f: func(ctx context.Context, env *secrets.Env) (used string, err error) {
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					if s, e := good(ctx, env); i == 0 {
						used, err = s, e
					}
				})
			}
			wg.Wait()
			return used, err
		}},
		"a variable with a constant": {vars: []string{"DB_PORT=5432", "DB_PASSWORD"}, f: func(ctx context.Context, env *secrets.Env) (string, error) {
			port, err := env.Get(ctx, "DB_PORT")
			if err != nil {
				return "", err
			}
			if !port.EqualString("5432") {
				return "", errors.New("not the port")
			}
			return good(ctx, env)
		}},
	} {
		t.Run(name, func(t *testing.T) { secretstest.Drill(t, d.f, d.vars...) })
	}
}

// planted are handlers with a bug, and what Drill has to say of it, subtest by subtest.
var planted = map[string]struct {
	f     function
	named bool // the variable, because it cannot be found
	want  map[string]string
}{
	"keeps the string in a global": {
		f: kept(), named: true, want: map[string]string{"rotation": "it uses the old value", "freeze": "never gave it"},
	},
	"keeps the string in a global, variable not named": {
		f: kept(), want: map[string]string{"rotation": "kept from an earlier environment", "absence": "though there is no value"},
	},
	"keeps it per environment": {
		f: keptPerEnv(), want: map[string]string{"rotation": "it uses the old value", "freeze": "it uses the old value", "denial": "goes on with a value that it kept", "throttling": "in which the secret was rotated: it uses the old value"},
	},
	"ignores the error": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			v, _ := env.Get(ctx, "DB_PASSWORD")
			if v.IsZero() {
				return "", nil
			}
			return v.Reveal(), nil
		},
		named: true,
		want:  map[string]string{"absence": "ignores the error", "denial": "ignores the error", "cold_start": "ignores the error"},
	},
	"ignores the error and reveals": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			v, _ := env.Get(ctx, "DB_PASSWORD")
			return v.Reveal(), nil
		},
		named: true,
		want:  map[string]string{"absence": "it panics", "denial": "it panics"},
	},
	"ignores the error unnamed": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			v, _ := env.Get(ctx, "DB_PASSWORD")
			return v.Reveal(), nil
		},
		want: map[string]string{"": "Name them"},
	},
	"logs the value": {
		f: printing(func(s string) { log.Printf("connecting with %s", s) }), want: map[string]string{"rotation": "prints the plaintext"},
	},
	"logs the value with slog": {
		f: printing(func(s string) { slog.Debug("connecting", "password", s) }), want: map[string]string{"rotation": "prints the plaintext"},
	},
	"prints the value": {
		f: printing(func(s string) { fmt.Println(s) }), want: map[string]string{"rotation": "prints the plaintext"},
	},
	"prints the value to standard error": {
		f: printing(func(s string) { fmt.Fprintln(os.Stderr, s) }), want: map[string]string{"freeze": "prints the plaintext"},
	},
	"puts the value into its error": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			v, err := env.Get(ctx, "DB_PASSWORD")
			if err != nil {
				return "", err
			}
			return "", fmt.Errorf("cannot connect with %s", v.Reveal())
		},
		want: map[string]string{"rotation": "prints the plaintext"},
	},
	"panics with the value": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			v, err := env.Get(ctx, "DB_PASSWORD")
			if err != nil {
				return "", err
			}
			panic("cannot connect with " + v.Reveal())
		},
		named: true,
		want:  map[string]string{"rotation": "prints the plaintext", "freeze": "it panics"},
	},
	"retries by itself": {
		f: func(_ context.Context, env *secrets.Env) (string, error) {
			var err error
			for range 10 {
				var v secrets.Value
				if v, err = env.Get(context.Background(), "DB_PASSWORD"); err == nil {
					return v.Reveal(), nil
				}
				time.Sleep(time.Second)
			}
			return "", err
		},
		named: true,
		want:  map[string]string{"absence": "does not heed its context", "cold_start": "does not heed its context"},
	},
	"waits for ever": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			if v, err := env.Get(ctx, "DB_PASSWORD"); err == nil {
				return v.Reveal(), nil
			}
			select {}
		},
		named: true,
		want:  map[string]string{"denial": "it takes for ever"},
	},
	"leaves a goroutine": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			go func() {
				for range time.Tick(time.Minute) {
				}
			}()
			return good(ctx, env)
		},
		want: map[string]string{"": "leaves a goroutine behind"},
	},
	"logs the value with a logger of its package": {
		f: printing(func(s string) { packageLogger.Info("connecting", "password", s) }), want: map[string]string{"rotation": "prints the plaintext"},
	},
	"refreshes in every invocation": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			env.Refresh(ctx)
			return good(ctx, env)
		},
		want: map[string]string{"rotation": "it fetches in every invocation"},
	},
	"takes stale for failed": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			v, err := env.Get(ctx, "DB_PASSWORD")
			switch {
			case err != nil:
				return "", err
			case v.Stale():
				return "", errors.New("the value is stale")
			}
			return v.Reveal(), nil
		},
		want: map[string]string{"throttling": "though there is a good value", "denial": "though there is a good value"},
	},
	"keeps the Value": {
		f: keptValue(), want: map[string]string{"rotation": "kept from an earlier environment"},
	},
	"keeps the Env": {
		f: keptEnv(), want: map[string]string{"rotation": "another Env than the one it is given"},
	},
	"goes on with the last value when denied": {
		f: keptForDenial(), want: map[string]string{"denial": "goes on with a value that it kept"},
	},
	"has a default": {
		f: fallingBack(func(*secrets.Env) string { return "changeme" }), named: true, want: map[string]string{"absence": "though there is no value, and uses a value that this Env never gave it: a default", "cold_start": "a default"},
	},
	"uses the reference": {
		f:     fallingBack(func(env *secrets.Env) string { return env.Refs()[0].Ref.Text() }),
		named: true,
		want:  map[string]string{"absence": "uses the reference itself"},
	},
	"formats the Value": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			v, err := env.Get(ctx, "DB_PASSWORD")
			if err != nil {
				return "", err
			}
			return fmt.Sprint(v), nil
		},
		want: map[string]string{"rotation": "uses [REDACTED] as the value"},
	},
	"returns a DSN": {
		f: func(ctx context.Context, env *secrets.Env) (string, error) {
			password, err := good(ctx, env)
			return "postgres://app:" + password + "@db.internal/app", err
		},
		named: true,
		want:  map[string]string{"rotation": "a text with the plaintext in it"},
	},
	"remembers its first failure": {
		f: rememberingFailure(), want: map[string]string{"absence": "it fails, though there is a good value"},
	},
}

// A logger that holds os.Stdout from before the drill, as most handlers have one.
var packageLogger = slog.New(slog.NewJSONHandler(os.Stdout, nil))

func kept() function {
	var password string
	return func(ctx context.Context, env *secrets.Env) (string, error) {
		if password == "" {
			v, err := env.Get(ctx, "DB_PASSWORD")
			if err != nil {
				return "", err
			}
			password = v.Reveal()
		}
		return password, nil
	}
}

func keptPerEnv() function {
	passwords := map[*secrets.Env]string{}
	return func(ctx context.Context, env *secrets.Env) (string, error) {
		if passwords[env] == "" {
			v, err := env.Get(ctx, "DB_PASSWORD")
			if err != nil {
				return "", err
			}
			passwords[env] = v.Reveal()
		}
		return passwords[env], nil
	}
}

func keptValue() function {
	var value secrets.Value
	return func(ctx context.Context, env *secrets.Env) (_ string, err error) {
		if value.IsZero() {
			if value, err = env.Get(ctx, "DB_PASSWORD"); err != nil {
				return "", err
			}
		}
		return value.Reveal(), nil
	}
}

func keptEnv() function {
	var first *secrets.Env
	return func(ctx context.Context, env *secrets.Env) (string, error) {
		if first == nil {
			first = env
		}
		return good(ctx, first)
	}
}

func keptForDenial() function {
	var last string
	return func(ctx context.Context, env *secrets.Env) (string, error) {
		password, err := good(ctx, env)
		if errors.Is(err, secrets.ErrAccessDenied) {
			return last, nil
		}
		last = password
		return password, err
	}
}

func fallingBack(to func(*secrets.Env) string) function {
	return func(ctx context.Context, env *secrets.Env) (string, error) {
		if password, err := good(ctx, env); err == nil {
			return password, nil
		}
		return to(env), nil
	}
}

func rememberingFailure() function {
	failed := map[*secrets.Env]error{}
	return func(ctx context.Context, env *secrets.Env) (string, error) {
		if err := failed[env]; err != nil {
			return "", err
		}
		v, err := env.Get(ctx, "DB_PASSWORD")
		if err != nil {
			failed[env] = err
			return "", err
		}
		return v.Reveal(), nil
	}
}

func printing(show func(string)) function {
	return func(ctx context.Context, env *secrets.Env) (string, error) {
		v, err := env.Get(ctx, "DB_PASSWORD")
		if err != nil {
			return "", err
		}
		show(v.Reveal())
		return v.Reveal(), nil
	}
}

// TestPlanted runs a planted bug where TestDrillFindsPlantedBugs says so: in a process of its own, because it fails.
func TestPlanted(t *testing.T) {
	p, ok := planted[os.Getenv("SECRETSTEST_PLANTED")]
	switch {
	case !ok:
		t.Skip("run by TestDrillFindsPlantedBugs")
	case p.named:
		secretstest.Drill(t, p.f, "DB_PASSWORD")
	default:
		secretstest.Drill(t, p.f)
	}
}

func TestDrillFindsPlantedBugs(t *testing.T) {
	t.Parallel()
	for name, p := range planted {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestPlanted$", "-test.v")
			cmd.Env = append(os.Environ(), "SECRETSTEST_PLANTED="+name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("the drill passes:\n%s", out)
			}
			for subtest, want := range p.want {
				section := string(out)
				if subtest != "" {
					section = sectionOf(section, "TestPlanted/"+subtest)
				}
				if !strings.Contains(section, want) {
					t.Errorf("%s does not say %q:\n%s", subtest, want, out)
				}
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "    drill.go") && strings.Contains(line, "-Xq7") {
					t.Errorf("Drill itself prints a plaintext: %s", line)
				}
			}
		})
	}
}

// sectionOf returns what a verbose test run prints for one subtest.
func sectionOf(out, name string) string {
	run := regexp.MustCompile(`(?m)^=== RUN +` + regexp.QuoteMeta(name))
	at := run.FindStringIndex(out)
	if at == nil {
		return ""
	}
	rest := out[at[1]:]
	if next := strings.Index(rest, "=== RUN"); next >= 0 {
		rest = rest[:next]
	}
	return rest
}
