package secretstest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

// A sickHandler has a fault, and want is what Drill names, in all its subtests together.
type sickHandler struct {
	planned
	want []string
}

// named is a handler of DB_PASSWORD that Drill is told of, and not.
func named(start func(*instance) handler, want ...string) sickHandler {
	return sickHandler{planned{start, []string{"DB_PASSWORD"}}, want}
}

func found(start func(*instance) handler, want ...string) sickHandler {
	return sickHandler{planned{start, nil}, want}
}

const (
	keeps  = "DB_PASSWORD: keeps the value"
	prints = "DB_PASSWORD: prints the plaintext"
)

// text reads DB_PASSWORD.
func text(ctx context.Context, in *instance) (string, error) {
	v, err := in.Env.Get(ctx, "DB_PASSWORD")
	if err != nil {
		return "", err
	}
	return v.Reveal(), nil
}

// A logger that holds os.Stdout from before the drill, as most handlers have one.
var packageLogger = slog.New(slog.NewJSONHandler(os.Stdout, nil))

// showing uses the plaintext, and shows it.
func showing(show func(string)) func(*instance) handler {
	return each(func(ctx context.Context, in *instance) (any, error) {
		password, err := text(ctx, in)
		if err != nil {
			return nil, err
		}
		show(password)
		return nil, in.Use(password)
	})
}

var sick = map[string]sickHandler{
	"keeps the first secret in a global":                   named(keptInGlobal(), keeps),
	"keeps it in a global, variable not named":             found(keptInGlobal(), keeps),
	"keeps it in a sync.Once of the process":               named(keptInOnce(), keeps),
	"keeps the error, too, in a sync.Once of the instance": found(onceValues, keeps, "fails with a good value in hand"),
	"keeps its second secret": {
		planned{start: keptSecond}, []string{"PASSWORD: keeps the value"}},
	"keeps its second secret, both named": {
		planned{keptSecond, []string{"USER", "PASSWORD"}}, []string{"PASSWORD: keeps the value"}},
	"reads in init and never again": named(readInInit, keeps),
	"keeps the secrets.Value":       found(keptValue, keeps),
	"keeps the Env of another environment": found(keptEnv(),
		"asks another Env, or for a variable that Drill was not told of"),
	"caches for an hour":                   found(caching(time.Hour), "DB_PASSWORD: caches the value beyond its TTL"),
	"goes on with the last value":          found(lastValue, keeps),
	"a pool with the password of its init": named(staticPool(closeIdle), keeps),
	"a pool that never logs in again": found(func(in *instance) handler {
		return pinging(func(in *instance) driver.Connector { return doConnector{in} }, func(*sql.DB) {})(in)
	}, "DB: cannot be judged"),
	"ignores the error": named(each(func(ctx context.Context, in *instance) (any, error) {
		password, _ := text(ctx, in)
		return nil, in.Use(password)
	}), "DB_PASSWORD: goes on without a value"),
	"takes an absent optional for an empty password": {
		planned{each(func(ctx context.Context, in *instance) (any, error) {
			all, err := in.Env.RevealAll(ctx)
			if err != nil {
				return nil, err
			}
			return nil, in.Use(all["DB_PASSWORD"])
		}), []string{"DB_PASSWORD?optional"}}, []string{"DB_PASSWORD: goes on without a value"}},
	"takes a default": named(each(func(ctx context.Context, in *instance) (any, error) {
		password, err := text(ctx, in)
		if err != nil {
			password = "changeme"
		}
		return nil, in.Use(password)
	}), "DB_PASSWORD: goes on without a value"),
	"uses the reference": named(each(func(ctx context.Context, in *instance) (any, error) {
		password, err := text(ctx, in)
		if err != nil {
			password = in.Env.Refs()[0].Ref.Text()
		}
		return nil, in.Use(password)
	}), "DB_PASSWORD: goes on without a value"),
	"prints the Value into the password": found(each(func(ctx context.Context, in *instance) (any, error) {
		v, err := in.Env.Get(ctx, "DB_PASSWORD")
		if err != nil {
			return nil, err
		}
		return nil, in.Use(fmt.Sprint(v))
	}), "DB_PASSWORD: uses another text than the plaintext"),
	"uses the whole secret": {planned{each(func(ctx context.Context, in *instance) (any, error) {
		return nil, get(ctx, in, "DB")
	}), []string{`DB={"user":"app","password":"%s"}`}}, []string{"DB: uses another text than the plaintext"}},
	"panics on a denial": named(each(func(ctx context.Context, in *instance) (any, error) {
		_, err := good(ctx, in)
		if errors.Is(err, secrets.ErrAccessDenied) {
			panic(err)
		}
		return nil, err
	}), "panics"),
	"exits on a denial": named(each(func(ctx context.Context, in *instance) (any, error) {
		_, err := good(ctx, in)
		if errors.Is(err, secrets.ErrAccessDenied) {
			log.Fatal(err)
		}
		return nil, err
	}), "exits the process"),
	"exits on a throttle, in init": named(func(in *instance) handler {
		if err := in.Env.Warm(context.Background()); err != nil {
			log.Fatalln(err)
		}
		return func(ctx context.Context) (any, error) { return good(ctx, in) }
	}, "exits the process"),
	"says nothing of its second secret": {planned{start: each(func(ctx context.Context, in *instance) (any, error) {
		v, err := in.Env.Get(ctx, "PASSWORD")
		if err != nil || v.IsZero() {
			return nil, err
		}
		return nil, get(ctx, in, "USER")
	})}, []string{"PASSWORD: does not say what it used"}},
	"panics on a throttle, in init": named(func(in *instance) handler {
		if err := in.Env.Warm(context.Background()); err != nil {
			panic(err)
		}
		return func(ctx context.Context) (any, error) { return good(ctx, in) }
	}, "panics"),
	"reveals a zero Value": named(each(func(ctx context.Context, in *instance) (any, error) {
		v, _ := in.Env.Get(ctx, "DB_PASSWORD")
		return nil, in.Use(v.Reveal())
	}), "panics"),
	"ignores its context": found(each(func(_ context.Context, in *instance) (any, error) {
		return good(context.Background(), in)
	}), "hangs"),
	"waits for ever": named(each(func(ctx context.Context, in *instance) (any, error) {
		if _, err := good(ctx, in); err == nil {
			return nil, nil
		}
		select {}
	}), "hangs"),
	"retries until it works": named(each(func(_ context.Context, in *instance) (any, error) {
		for {
			if _, err := good(context.Background(), in); err == nil {
				return nil, nil
			}
			time.Sleep(time.Second)
		}
	}), "hangs"),
	"retries without a pause": named(each(func(ctx context.Context, in *instance) (_ any, err error) {
		for ctx.Err() == nil {
			if _, err = good(ctx, in); err == nil {
				break
			}
		}
		return nil, err
	}), "asks without end"),
	"refreshes until it works": named(each(func(ctx context.Context, in *instance) (any, error) {
		for range 100 {
			v, err := in.Env.Get(ctx, "DB_PASSWORD")
			if err == nil && !v.Stale() {
				return nil, in.Use(v.Reveal())
			}
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			in.Env.Refresh(short)
			cancel()
		}
		return good(ctx, in)
	}), "asks without end"),
	"refreshes without a pause": named(each(func(ctx context.Context, in *instance) (any, error) {
		for ctx.Err() == nil && errors.Is(in.Env.Refresh(ctx), secrets.ErrAccessDenied) {
		}
		return good(ctx, in)
	}), "asks without end", "fetches in every invocation"),
	"refreshes in every invocation": found(each(func(ctx context.Context, in *instance) (any, error) {
		in.Env.Refresh(ctx)
		return good(ctx, in)
	}), "fetches in every invocation"),
	"takes stale for failed": found(each(func(ctx context.Context, in *instance) (any, error) {
		v, err := in.Env.Get(ctx, "DB_PASSWORD")
		switch {
		case err != nil:
			return nil, err
		case v.Stale():
			return nil, errors.New("the value is stale")
		}
		return nil, in.Use(v.Reveal())
	}), "fails with a good value in hand"),
	"logs the plaintext": found(showing(func(s string) {
		log.Printf("connecting with %s", s)
	}), prints),
	"logs the plaintext with slog": found(showing(func(s string) {
		slog.Debug("connecting", "password", s)
	}), prints),
	"logs the plaintext with a logger of its own": found(showing(func(s string) {
		packageLogger.Info("x", "password", s)
	}), prints),
	"prints the plaintext": found(showing(func(s string) { fmt.Println(s) }), prints),
	"prints the plaintext to standard error": found(showing(func(s string) {
		fmt.Fprintln(os.Stderr, s)
	}), prints),
	"prints the bytes":   found(showing(func(s string) { fmt.Println([]byte(s)) }), prints),
	"prints hexadecimal": found(showing(func(s string) { fmt.Printf("%x", s) }), prints),
	"logs a header of basic authentication": found(showing(func(s string) {
		log.Print("Basic ", base64.StdEncoding.EncodeToString([]byte("app:"+s)))
	}), prints),
	"puts the plaintext into its error": found(each(func(ctx context.Context, in *instance) (any, error) {
		password, err := text(ctx, in)
		if err != nil {
			return nil, err
		}
		if in.Use(password) != nil {
			return nil, fmt.Errorf("cannot connect with %s", password)
		}
		return nil, nil
	}), prints),
	"panics with the plaintext": named(each(func(ctx context.Context, in *instance) (any, error) {
		password, err := text(ctx, in)
		if err != nil {
			return nil, err
		}
		if in.Use(password) != nil {
			panic("cannot connect with " + password)
		}
		return nil, nil
	}), prints, "panics"),
	"replies with the plaintext": found(each(func(ctx context.Context, in *instance) (any, error) {
		password, err := text(ctx, in)
		if err != nil {
			return nil, err
		}
		return map[string]any{"config": []byte(password)}, in.Use(password)
	}), "DB_PASSWORD: replies with the plaintext"),
	"leaves a goroutine": found(each(func(ctx context.Context, in *instance) (any, error) {
		go func() {
			for range time.Tick(time.Minute) {
			}
		}()
		return good(ctx, in)
	}), "leaves a goroutine"),
	"does not close its pool": found(func(in *instance) handler {
		db := sql.OpenDB(doConnector{in})
		db.SetMaxIdleConns(0)
		return func(ctx context.Context) (any, error) { return nil, db.PingContext(ctx) }
	}, "leaves a goroutine"),
	"waits for what never comes, at its end": found(func(in *instance) handler {
		in.Cleanup(func() { <-make(chan int) })
		return func(ctx context.Context) (any, error) { return good(ctx, in) }
	}, "hangs"),
	"computes without end": named(each(func(ctx context.Context, in *instance) (any, error) {
		_, err := good(ctx, in)
		//lint:ignore SA5002 it is the fault
		for err != nil {
		}
		return nil, err
	}), "is stuck outside the bubble"),
	"waits for the network": named(each(func(ctx context.Context, in *instance) (any, error) {
		if _, err := good(ctx, in); err != nil {
			return nil, err
		}
		_, err := outside.Read(make([]byte, 1))
		return nil, err
	}), "is stuck outside the bubble"),
}

// outside is read by who waits for what is no part of a bubble.
var outside, keptOpen, _ = os.Pipe()

var _ = keptOpen

func keptInGlobal() func(*instance) handler {
	var password string
	return each(func(ctx context.Context, in *instance) (_ any, err error) {
		if password == "" {
			if password, err = text(ctx, in); err != nil {
				return nil, err
			}
		}
		return nil, in.Use(password)
	})
}

func keptInOnce() func(*instance) handler {
	var once sync.Once
	var password string
	return each(func(ctx context.Context, in *instance) (_ any, err error) {
		once.Do(func() { password, err = text(ctx, in) })
		if err != nil {
			return nil, err
		}
		return nil, in.Use(password)
	})
}

func onceValues(in *instance) handler {
	read := sync.OnceValues(func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return text(ctx, in)
	})
	return func(context.Context) (any, error) {
		password, err := read()
		if err != nil {
			return nil, err
		}
		return nil, in.Use(password)
	}
}

func keptSecond(in *instance) handler {
	var password string
	return func(ctx context.Context) (any, error) {
		if err := get(ctx, in, "USER"); err != nil {
			return nil, err
		}
		if password == "" {
			v, err := in.Env.Get(ctx, "PASSWORD")
			if err != nil {
				return nil, err
			}
			password = v.Reveal()
		}
		return nil, in.Use(password)
	}
}

func readInInit(in *instance) handler {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	password, err := text(ctx, in)
	return func(ctx context.Context) (any, error) {
		if err != nil {
			if password, err = text(ctx, in); err != nil {
				return nil, err
			}
		}
		return nil, in.Use(password)
	}
}

func keptValue(in *instance) handler {
	var value secrets.Value
	return func(ctx context.Context) (_ any, err error) {
		if value.IsZero() {
			if value, err = in.Env.Get(ctx, "DB_PASSWORD"); err != nil {
				return nil, err
			}
		}
		return nil, in.Use(value.Reveal())
	}
}

func keptEnv() func(*instance) handler {
	var first *instance
	return each(func(ctx context.Context, in *instance) (any, error) {
		if first == nil {
			first = in
		}
		password, err := text(ctx, first)
		if err != nil {
			return nil, err
		}
		return nil, in.Use(password)
	})
}

func caching(d time.Duration) func(*instance) handler {
	return func(in *instance) handler {
		var password string
		var read time.Time
		return func(ctx context.Context) (_ any, err error) {
			if password == "" || time.Since(read) > d {
				if password, err = text(ctx, in); err != nil {
					return nil, err
				}
				read = time.Now()
			}
			return nil, in.Use(password)
		}
	}
}

func lastValue(in *instance) handler {
	var last string
	return func(ctx context.Context) (any, error) {
		password, err := text(ctx, in)
		if errors.Is(err, secrets.ErrAccessDenied) {
			return nil, in.Use(last)
		}
		if err != nil {
			return nil, err
		}
		last = password
		return nil, in.Use(password)
	}
}

func staticPool(set func(*sql.DB)) func(*instance) handler {
	return func(in *instance) handler {
		var once sync.Once
		var db *sql.DB
		return func(ctx context.Context) (any, error) {
			v, err := in.Env.Get(ctx, "DB_PASSWORD")
			if err != nil {
				return nil, err
			}
			once.Do(func() {
				db = sql.OpenDB(fixed{in, v})
				set(db)
				in.Cleanup(func() { db.Close() })
			})
			return nil, db.PingContext(ctx)
		}
	}
}

// TestPlanted runs a sick handler where TestDrill_Sick says so: in a process of its own, because it
// fails.
func TestPlanted(t *testing.T) {
	s, ok := sick[os.Getenv("SECRETSTEST_PLANTED")]
	if !ok {
		t.Skip("run by TestDrill_Sick")
	}
	if slices.Contains(s.want, "is stuck outside the bubble") {
		secretstest.StuckAfter(t, time.Second)
	}
	secretstest.Drill(t, s.start, s.vars...)
}

var update = flag.Bool("update", false, "write testdata")

var (
	told = regexp.MustCompile(`(?m)^ +\w+\.go:\d+: ((?:[A-Z_]+: )?(?:` +
		strings.Join(secretstest.FaultNames(), "|") + `)): .*`)
	line = regexp.MustCompile(`\b(\w+\.go:|init\.func)\d+`)
)

// Drill tells each sick handler by name, and by no other name.
func TestDrill_Sick(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	reports := map[string]string{}
	t.Cleanup(func() { golden(t, "sick.golden", reports) })
	for name, s := range sick {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestPlanted$")
			cmd.Env = append(os.Environ(), "SECRETSTEST_PLANTED="+name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("the drill passes:\n%s", out)
			}
			if strings.Contains(string(out), "\npanic: ") || strings.Contains(string(out), "\nfatal error: ") {
				t.Errorf("the process ended:\n%s", out)
			}
			names, report := map[string]bool{}, map[string]bool{}
			for _, m := range told.FindAllStringSubmatch(string(out), -1) {
				names[m[1]] = true
				report[strings.TrimSpace(m[0][strings.Index(m[0], m[1]):])] = true
			}
			if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, slices.Sorted(slices.Values(s.want))) {
				t.Errorf("it is told %q, want %q:\n%s", got, s.want, out)
			}
			if strings.Contains(string(out), "-Xq7") {
				t.Errorf("Drill itself prints a plaintext:\n%s", out)
			}
			mu.Lock()
			defer mu.Unlock()
			reports[name] = strings.Join(slices.Sorted(maps.Keys(report)), "\n")
		})
	}
}

// The page on testing lists all faults, and no others.
func TestFaults_Page(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| fault | for example |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var listed []string
	for row := range strings.Lines(table) {
		listed = append(listed, strings.TrimSpace(strings.Split(row, "|")[1]))
	}
	if !slices.Equal(slices.Sorted(slices.Values(listed)), slices.Sorted(slices.Values(secretstest.FaultNames()))) {
		t.Errorf("the page lists %q, the faults are %q", listed, secretstest.FaultNames())
	}
}

// golden compares what is told of all sick handlers with a file.
func golden(t *testing.T, name string, reports map[string]string) {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(reports)) {
		fmt.Fprintf(&b, "# %s\n%s\n\n", name, line.ReplaceAllString(reports[name], "${1}0"))
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) && len(reports) == len(sick) {
		t.Errorf("what Drill tells is not what %s says; if it should be, run go test -run TestDrill_Sick . -update\n%s",
			path, b.String())
	}
}

// misused are calls of Drill that end the test, and what they say.
var misused = map[string]struct {
	do   func(*testing.T)
	want string
}{
	"a handler that hides its error": {
		func(t *testing.T) {
			secretstest.Drill(t, each(func(ctx context.Context, in *instance) (any, error) {
				good(ctx, in)
				return nil, errors.New("something is wrong")
			}))
		}, `cannot tell which variables the handler reads, because its errors do not say so`},
	"an option that is none": {
		func(t *testing.T) { secretstest.Drill(t, each(good), "DB_PASSWORD?ttl=30s") },
		`"DB_PASSWORD?ttl=30s" is not a variable: write NAME, NAME?optional or NAME=shape`},
	"no Handler": {
		func(t *testing.T) { secretstest.Drill(t, func(*instance) handler { return nil }, "DB_PASSWORD") },
		"start returns no Handler"},
	"a bubble": {
		func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { secretstest.Drill(t, each(good)) })
		}, "call it outside of synctest.Test"},
}

func TestMisused(t *testing.T) {
	m, ok := misused[os.Getenv("SECRETSTEST_MISUSED")]
	if !ok {
		t.Skip("run by TestDrill_Misused")
	}
	m.do(t)
}

func TestDrill_Misused(t *testing.T) {
	t.Parallel()
	for name, m := range misused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestMisused$")
			cmd.Env = append(os.Environ(), "SECRETSTEST_MISUSED="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), m.want) || strings.Contains(string(out), "panic: ") {
				t.Errorf("it does not end with %q:\n%s", m.want, out)
			}
		})
	}
}
