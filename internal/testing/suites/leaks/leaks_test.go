package leaks_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"expvar"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	htmltemplate "html/template"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	texttemplate "text/template"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/logging"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/kit"
	"github.com/lambdasecrets/secrets/internal/testing/leak"
)

// The detector itself: each of these is a leak.
func TestLeak_Detector(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"plain": canary, "quoted": strconv.Quote(canary), "hex": fmt.Sprintf("%x", canary),
		"bytes": fmt.Sprint([]byte(canary)), "Go": fmt.Sprintf("%#v", []byte(canary)),
		"base64":          base64.StdEncoding.EncodeToString([]byte("password=" + canary + "!")),
		"base64, shifted": base64.URLEncoding.EncodeToString([]byte("12" + canary)),
		"walked":          leak.Walk(struct{ p *struct{ s string } }{&struct{ s string }{canary}}),
		"walked bytes":    leak.Walk([]any{map[string][]byte{"k": []byte(canary)}}),
	} {
		if leak.In("before "+text+" after", canary) == "" {
			t.Errorf("%s: not detected", name)
		}
	}
}

// canary has something for every escaper to change.
const canary = "Canary-7f3a\"9c<&>\\/+é%d\n-end"

// exits is every way that we know by which a program shows what it holds.
var exits = map[string]func(v any) string{
	"json": func(v any) string { b, err := json.Marshal(v); return string(b) + fmt.Sprint(err) },
	"json, map": func(v any) string {
		b, err := json.Marshal(map[string]any{"v": v})
		return string(b) + fmt.Sprint(err)
	},
	"xml": func(v any) string { b, err := xml.Marshal(v); return string(b) + fmt.Sprint(err) },
	"gob": func(v any) string {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return b.String() + fmt.Sprint(err)
	},
	"slog text": func(v any) string {
		return logged(func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }, v)
	},
	"slog json": func(v any) string {
		return logged(func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }, v)
	},
	"log":   func(v any) string { var b bytes.Buffer; log.New(&b, "", 0).Print(v, " ", v); return b.String() },
	"error": func(v any) string { return fmt.Errorf("wrapped: %v", v).Error() },
	"panic": func(v any) string { return panicked(v) },
	"template": func(v any) string {
		return executed(texttemplate.Must(texttemplate.New("").Parse(`{{.}} {{printf "%#v" .}} {{js .}}`)), v)
	},
	"html": func(v any) string {
		const page = `<a href="{{.}}">{{.}}</a><script>x={{.}}</script>`
		return executed(htmltemplate.Must(htmltemplate.New("").Parse(page)), v)
	},
	"expvar":     func(v any) string { return expvar.Func(func() any { return v }).String() },
	"walk":       leak.Walk,
	"deep equal": func(v any) string { return fmt.Sprint(reflect.DeepEqual(v, "x"), reflect.ValueOf(v)) },
	"sprint":     func(v any) string { return fmt.Sprint(v, " ", v) + fmt.Sprintln(v) },
	// no text: a Value would hold it from then on, and the other exits find no canary
	"json error": func(v any) string {
		return fmt.Sprint(json.Unmarshal([]byte(`5`), v), json.Unmarshal([]byte(`{"x":1}`), &v))
	},
	"json, key": func(v any) string {
		p, _ := v.(*secrets.Value)
		b, err := json.Marshal(map[*secrets.Value]any{p: v})
		return string(b) + fmt.Sprint(err)
	},
	"sql": func(v any) string {
		arg, err := driver.DefaultParameterConverter.ConvertValue(v)
		return fmt.Sprint(arg, err)
	},
	"scan": func(v any) string { _, err := fmt.Sscan("x", v); return fmt.Sprint(err) },
	"flag": func(v any) string {
		var b bytes.Buffer
		flags := flag.NewFlagSet("f", flag.ContinueOnError)
		flags.SetOutput(&b)
		if m, ok := v.(secrets.Value); ok {
			flags.TextVar(new(secrets.Value), "v", m, "usage")
		}
		return fmt.Sprint(b.String(), flags.Parse([]string{"-h"}), b.String())
	},
	"append": func(v any) string { // newer encoders ask for this one first
		if a, ok := v.(encoding.TextAppender); ok {
			b, err := a.AppendText(nil)
			return string(b) + fmt.Sprint(err)
		}
		return ""
	},
	"type": func(v any) string { return fmt.Sprintf("%T %p", v, v) },
}

func init() {
	for _, verb := range "vsqxXdtcUeEfFgGbopTOw" {
		for _, flags := range []string{"", "+", "#", " ", "-40", ".3", "+#"} {
			format := "%" + flags + string(verb)
			exits[format] = func(v any) string { return fmt.Sprintf(format, v) }
		}
	}
}

func logged(handler func(io.Writer) slog.Handler, v any) string {
	var b bytes.Buffer
	l := slog.New(handler(&b))
	l.Info("m", "v", v)
	l.With("v", v).WithGroup("g").Info("m", slog.Group("g", "v", v), slog.Any("a", []any{v}))
	return b.String()
}

func panicked(v any) (text string) {
	defer func() { r := recover(); text = fmt.Sprint(r) + fmt.Sprintf("%#v", r) + string(debug.Stack()) }()
	panic(v)
}

func executed(t interface{ Execute(io.Writer, any) error }, v any) string {
	var b bytes.Buffer
	err := t.Execute(&b, v)
	return b.String() + fmt.Sprint(err)
}

// around puts v where programs put things.
func around(v secrets.Value) map[string]any {
	type exported struct{ Password secrets.Value }
	type unexported struct{ password secrets.Value }
	type embedded struct{ secrets.Value }
	ch := make(chan secrets.Value, 1)
	ch <- v
	p := &v
	return map[string]any{
		"value": v, "pointer": &v, "pointer to pointer": &p, "slice": []secrets.Value{v}, "array": [1]secrets.Value{v},
		"map": map[string]secrets.Value{"k": v},
		"any": []any{v, &v}, "exported": exported{v}, "exported pointer": &exported{v}, "unexported": unexported{v},
		"unexported pointer": &unexported{v}, "embedded": embedded{v},
		"channel": ch, "closure": func() string { return v.Reveal() }, "method": v.Reveal,
		"nested": map[string]any{"a": []any{unexported{v}, exported{v}}},
	}
}

// checkExits sends v through every exit.
func checkExits(t *testing.T, name string, v any, hidden ...string) {
	t.Helper()
	for exit, f := range exits {
		if form := leak.In(f(v), hidden...); form != "" {
			t.Errorf("%s through %s shows %q", name, exit, form)
		}
	}
}

func TestLeak_Value(t *testing.T) {
	t.Parallel()
	object, _ := json.Marshal(map[string]string{"password": canary})
	field, err := secrets.NewValue(string(object), "").Field("password")
	if err != nil || field.Reveal() != canary {
		t.Fatal("the field is not the canary")
	}
	var text secrets.Value
	if err := text.UnmarshalText([]byte(canary)); err != nil {
		t.Fatal(err)
	}
	for kind, v := range map[string]secrets.Value{"value": secrets.NewValue(canary, "version"), "field": field,
		"unmarshaled": text} {
		for where, thing := range around(v) {
			checkExits(t, kind+" as "+where, thing, canary)
		}
	}
	v := secrets.NewValue(canary, "")
	_, missing := v.Field("nothing")
	checkExits(t, "field error", missing, canary)
	// a value used for a path by mistake is the caller's text, and still no leak of the value
	_, missing = secrets.NewValue(string(object), "").Field(canary)
	checkExits(t, "other field error", missing, string(object))
}

// Everything that an Env says of itself, and its log, in good days and bad ones. (Promise 11.)
func TestLeak_Env(t *testing.T) {
	t.Parallel()
	const declared, cipher = "declared-by-WithVars-5e1b", "the-ciphertext-of-somebody-9d2c-51"
	s, st, cfg := kit.Start(t)
	key := st.CreateKey()
	blob := st.Encrypt(key, []byte(canary), nil)
	st.PutParameter(endpoint.Parameter{Name: "/app/db", Type: "SecureString", Value: canary})
	object, _ := json.Marshal(map[string]string{"password": canary})
	st.PutSecret("prod/db", string(object))
	environ := map[string]string{"P": "ssm:///app/db", "S": "sm://prod/db#password", "T": "ssm:///app/*",
		"K": kit.KMSRef(blob), "L": declared,
		"GONE": "sm://gone", "BAD": kit.KMSRef([]byte(cipher)),
		"BARE": base64.StdEncoding.EncodeToString([]byte(cipher + cipher)), "F": "sm://prod/db#nothing"}
	var out bytes.Buffer
	var mu sync.Mutex
	log := slog.New(slog.NewJSONHandler(&kit.Locked{W: &out, Mu: &mu}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	env := kit.NewEnv(t, cfg, environ, secrets.WithVars(secrets.Literal, "L"), secrets.WithVars(secrets.KMS, "BARE"),
		secrets.WithLogger(log), secrets.WithTTL(0))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	hidden := []string{canary, declared, cipher, string(blob)}

	see := func(name string, v any) {
		t.Helper()
		checkExits(t, name, v, canary)
		for _, exit := range []string{"json", "slog text", "slog json", "%v", "%+v", "%#v", "%s", "%q", "%x", "%d",
			"error", "panic"} {
			if form := leak.In(exits[exit](v), hidden...); form != "" {
				t.Errorf("%s through %s shows %q", name, exit, form)
			}
		}
	}
	good := func() {
		err := env.Warm(ctx)
		see("warm", err)
		see("detail", secrets.Detail(err))
		see("env", env)
		see("refs", env.Refs())
		see("stats", env.Stats())
		for name := range environ {
			v, err := env.Get(ctx, name)
			see("Get "+name, []any{v, err, secrets.Detail(err), errors.Unwrap(err)})
		}
		_, err = env.RevealAll(ctx)
		see("RevealAll", err)
		_, err = env.Resolve(ctx, secrets.Ciphertext([]byte(cipher)))
		see("Resolve", err)
		_, err = env.Get(ctx, environ["BAD"]) // the text where its variable's name should stand
		see("Get of a text", []any{err, secrets.Detail(err)})
		see("Refresh of a text", env.Refresh(ctx, environ["BAD"], environ["K"]))
		see("Refresh", env.Refresh(ctx))
		see("Snapshot", env.Snapshot(ctx))
		see("Do", env.Do(ctx, "P", func(v secrets.Value) error { return fmt.Errorf("refused: %v", v) }))
		pool := secrets.Derive(env, "P", func(_ context.Context, v secrets.Value) (int, error) { return 1, nil }, nil)
		see("Derive", []any{pool.Do(ctx, func(int) error { return errors.New("x") }), pool})
	}
	good()
	for _, bad := range []endpoint.Action{endpoint.Deny, endpoint.Throttle, endpoint.Truncated, endpoint.TruncatedJSON,
		endpoint.WrongTypes, endpoint.Missing, endpoint.CutRST} {
		fault := s.Fault(endpoint.Fault{Do: bad})
		var cancelBad func()
		ctx, cancelBad = context.WithTimeout(t.Context(), 80*time.Millisecond)
		see(string(bad), env.Refresh(ctx))
		_, err := env.Get(ctx, "S")
		see(string(bad), []any{err, env.Refs(), env.Stats()})
		cancelBad()
		fault.Remove()
	}
	st.PutParameter(endpoint.Parameter{Name: "/app/db", Type: "SecureString", Value: canary + "2"})
	ctx = t.Context()
	see("after", env.Refresh(ctx))

	for name, opts := range map[string][]secrets.Option{
		"New, declared as ciphertext": {secrets.WithVars(secrets.KMS, "L")}, "New, declared as " +
			"parameter": {secrets.WithVars(secrets.SSM, "L", "BARE")},
		"New, declared as secret": {secrets.WithVars(secrets.SecretsManager, "K")},
		"New, local values":       {secrets.WithLocalValues(map[string]string{"P": canary})},
		"New, refused":            {secrets.WithCheck(func(string, secrets.Ref) error { return errors.New("no") })},
	} {
		other := map[string]string{"L": declared + " ", "BARE": cipher + "!?", "K": "kms://" + cipher + "?!",
			"P": "ssm:///app/db"}
		_, err := secrets.New(append(opts, secrets.WithEnviron(other))...)
		if err == nil {
			t.Fatal(name, ": no error")
		}
		see(name, err)
	}
	func() {
		defer func() { see("MustWarm's panic", recover()) }()
		secrets.MustWarm(ctx, secrets.WithAWSConfig(cfg), secrets.WithEnviron(environ), secrets.WithLogger(log))
	}()
	func() {
		defer func() { see("Reveal's panic", recover()) }()
		secrets.Value{}.Reveal()
	}()
	local, err := secrets.New(secrets.WithEnviron(map[string]string{"P": "ssm:///app/db"}),
		secrets.WithLocalValues(map[string]string{"P": canary}))
	if err != nil {
		t.Fatal(err)
	}
	for _, exit := range []string{"%v", "%+v", "%#v", "json", "slog text"} {
		if form := leak.In(exits[exit](local), canary); form != "" {
			t.Errorf("an Env with local values through %s shows %q", exit, form)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, event := range []string{"secrets.warm", "secrets.denied", "secrets.stale", "secrets.version"} {
		if !strings.Contains(out.String(), event) {
			t.Errorf("the log has no %s: what it may leak was not tested", event)
		}
	}
	if form := leak.In(out.String(), hidden...); form != "" {
		t.Errorf("the log shows %q", form)
	}
}

// A provider's own trouble does not show what it was holding.
func TestLeak_Provider(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]secrets.Provider{
		"panic": secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
			panic(canary)
		}),
		"panic, error": secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
			panic(errors.New(canary))
		}),
		"too many": fetcher(func(refs []secrets.Ref) []secrets.Result {
			return make([]secrets.Result, len(refs)+1)
		}),
		"both": fetcher(func([]secrets.Ref) []secrets.Result {
			return []secrets.Result{{Value: secrets.NewValue(canary, ""), Err: secrets.ErrNotFound}}
		}),
		"value and ARN": fetcher(func([]secrets.Ref) []secrets.Result {
			return []secrets.Result{{Value: secrets.NewValue(canary, "v"), ARN: "arn"}}
		}),
	} {
		c, err := secrets.NewCache(p, secrets.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		var results []secrets.Result
		// In a bubble, which ends when the last try of the flight has: the exits walk through the cache without its
		// lock.
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			results = c.Fetch(ctx, []secrets.Ref{secrets.Secret("a")})
		})
		checkExits(t, name, results, canary)
		checkExits(t, name+", cache", c, canary)
	}
}

type fetcher func(refs []secrets.Ref) []secrets.Result

func (f fetcher) Fetch(_ context.Context, refs []secrets.Ref) []secrets.Result { return f(refs) }

// The SDK told to log everything, over TLS, shows no body of ours.
func TestLeak_SDKLogging(t *testing.T) {
	t.Parallel()
	s, st, cfg := kit.StartTLS(t)
	var out bytes.Buffer
	writer := &kit.Locked{W: &out, Mu: new(sync.Mutex)}
	cfg.Logger = logging.NewStandardLogger(writer)
	cfg.ClientLogMode = ^aws.ClientLogMode(0)
	const session = "session-token-of-the-role"
	cfg.Credentials = credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", session)
	key := st.CreateKey()
	blob := st.Encrypt(key, []byte(canary), nil)
	st.PutParameter(endpoint.Parameter{Name: "/app/db", Type: "SecureString", Value: canary})
	st.PutSecret("prod/db", canary)
	for _, action := range []endpoint.Action{"", endpoint.Truncated, endpoint.TruncatedJSON, endpoint.WrongTypes,
		endpoint.Throttle} {
		fault := s.Fault(endpoint.Fault{Do: action})
		if action == "" {
			fault.Remove()
		}
		env := kit.NewEnv(t, cfg, map[string]string{"P": "ssm:///app/db", "T": "ssm:///app/*", "S": "sm://prod/db",
			"K": kit.KMSRef(blob)}, secrets.WithBatchGetSecretValue(),
			secrets.WithLogger(slog.New(slog.DiscardHandler)))
		patience := 300 * time.Millisecond
		if action == "" {
			patience = time.Minute
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := env.Warm(ctx); (err == nil) != (action == "") {
			t.Errorf("%s: %v", action, err)
		}
		cancel()
		fault.Remove()
	}
	writer.Mu.Lock() // a call that was given up may still be logging
	logged := out.String()
	writer.Mu.Unlock()
	if !strings.Contains(logged, "HTTP/1.1 200 OK") {
		t.Error("the SDK logged nothing: the test is void")
	}
	if strings.Contains(logged, session) {
		t.Error("the SDK's log shows the session token")
	}
	if form := leak.In(logged, canary, string(blob)); form != "" {
		t.Errorf("the SDK's log shows %q", form)
	}
}

// The library writes neither the process environment nor the disk, because it does not call what would.
func TestWrites_NoSuchCalls(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		"os":      {"Getenv", "LookupEnv", "Environ"},
		"syscall": {"ECONNREFUSED", "ECONNRESET", "EMFILE", "ENFILE", "ENETUNREACH", "EHOSTUNREACH", "Errno"},
	}
	forbidden := []string{"os/exec", "io/ioutil", "unsafe", "plugin", "log", "net/http/httputil", "runtime/pprof",
		"runtime/trace"}
	files := 0
	dirs := []string{"."} // and those of ours that they import
	for i := 0; i < len(dirs); i++ {
		dir := dirs[i]
		names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			files++
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range file.Imports {
				path, _ := strconv.Unquote(i.Path.Value)
				if slices.Contains(forbidden, path) {
					t.Errorf("%s imports %s", name, path)
				}
				if ours, ok := strings.CutPrefix(path, "github.com/lambdasecrets/secrets/"); ok &&
					!slices.Contains(dirs, ours) {
					dirs = append(dirs, ours)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Obj == nil && allowed[x.Name] != nil &&
						!slices.Contains(allowed[x.Name], s.Sel.Name) {
						t.Errorf("%s uses %s.%s", name, x.Name, s.Sel.Name)
					}
				}
				return true
			})
		}
	}
	if files < 15 || !slices.Contains(dirs, "internal/awserr") {
		t.Errorf("only %d files were looked at, in %v", files, dirs)
	}
}

// The same, watched: a process of its own in an empty directory resolves everything and leaves both as they were.
// (Promise 11.)
func TestWrites_NothingChanges(t *testing.T) {
	if os.Getenv("LEAK_TEST_CHILD") != "" {
		before := os.Environ()
		_, st, cfg := kit.Start(t)
		env := kit.NewEnv(t, cfg, kit.Sixty(st))
		// a busy machine needs more than the 2 seconds of a warm
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := env.Warm(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := env.RevealAll(ctx); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(before, os.Environ()) {
			t.Error("the environment changed")
		}
		return
	}
	t.Parallel()
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestWrites_NothingChanges$", "-test.count=1")
	child.Dir = dir
	child.Env = []string{"LEAK_TEST_CHILD=1", "HOME=" + dir, "TMPDIR=" + dir, "PATH=" + dir}
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) > 0 {
		t.Errorf("%v, %v; want an empty directory", files, err)
	}
}
