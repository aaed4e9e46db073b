package secrets_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lambdasecrets/secrets"
)

// caseTexts returns the texts of a file of cases: what stands before the first tab of each line.
func caseTexts(t testing.TB, file string) []string {
	t.Helper()
	f, err := os.Open("internal/refsyntax/testdata/cases/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var texts []string
	for s := bufio.NewScanner(f); s.Scan(); {
		text, _, _ := strings.Cut(s.Text(), "\t")
		texts = append(texts, text)
	}
	return texts
}

// storeOf is a provider that answers every source with what it is for.
func storeOf(values map[string]string) secrets.Option {
	return secrets.WithProvider(secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
		if v, ok := values[ref.ID()]; ok {
			return secrets.NewValue(v, "1"), nil
		}
		return secrets.Value{}, secrets.ErrNotFound
	}))
}

// A text that can be nothing but a reference gone wrong is an error of New, which always names the
// way out for a text that is meant. Following it is accepted, and the text comes back.
func TestNew_SuspiciousText(t *testing.T) {
	t.Parallel()
	for _, text := range append(caseTexts(t, "refused.tsv"), caseTexts(t, "keynames.tsv")...) {
		if text == "kms:Decrypt" { // an action of IAM
			continue
		}
		_, err := secrets.New(secrets.WithEnviron(map[string]string{"X": text}))
		if !errors.Is(err, secrets.ErrInvalidReference) ||
			!strings.Contains(err.Error(), `WithVars(secrets.Literal, "X")`) {
			t.Errorf("%q: %v, want an invalid reference and the way out", text, err)
			continue
		}
		var field secrets.Value
		if err := field.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q becomes a plaintext where a configuration library reads it", text)
		}
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"X": text}),
			secrets.WithVars(secrets.Literal, "X"))
		if err != nil {
			t.Errorf("%q declared: %v", text, err)
			continue
		}
		if v, err := env.Get(t.Context(), "X"); err != nil || v.Reveal() != text {
			t.Errorf("%q declared is read as %v", text, err)
		}
	}
}

func TestNew_PlainText(t *testing.T) {
	t.Parallel()
	environ := map[string]string{}
	for i, text := range caseTexts(t, "plain.txt") {
		environ[fmt.Sprintf("V%d", i)] = text
	}
	env, err := secrets.New(secrets.WithEnviron(environ))
	if err != nil {
		t.Fatal(err)
	}
	all, err := env.RevealAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range environ {
		var field secrets.Value
		if err := field.UnmarshalText([]byte(text)); err != nil || all[name] != text {
			t.Errorf("%q becomes %q, %v", text, all[name], err)
		}
	}
}

// A program may hand an ARN to a service. As a plaintext it is a mistake, unless it is declared.
func TestNew_UndeclaredARN(t *testing.T) {
	t.Parallel()
	const secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf"
	for text, scheme := range map[string]string{
		secret: "SecretsManager",
		"arn:aws:ssm:eu-west-1:123456789012:parameter/a":     "SSM",
		"AQICAHh4" + strings.Repeat("h4eHh4eH", 20):          "KMS",
		"arn:aws:sns:eu-west-1:123456789012:topic":           "",
		"arn:aws:rds:eu-west-1:123456789012:cluster:c":       "",
		"arn:aws:ssm:eu-west-1:123456789012:document/a":      "",
		"arn:aws:kms:eu-west-1:123456789012:alias/something": "",
	} {
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"X": text}))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		_, err = env.RevealAll(t.Context())
		_, got := env.Get(t.Context(), "X")
		advice := secrets.Detail(got)
		if scheme == "" {
			if err != nil || strings.Contains(advice, "SecretsManager") || !strings.Contains(advice, "Literal") {
				t.Errorf("%s: %v, %s", text, err, advice)
			}
			continue
		}
		declare := "WithVars(secrets." + scheme + `, "X")`
		if !errors.Is(err, secrets.ErrInvalidReference) || !strings.Contains(secrets.Detail(err), declare) ||
			!strings.Contains(advice, declare) {
			t.Errorf("%s: RevealAll %v, Get %s, want %s", text, err, advice, declare)
		}
	}
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"X": secret}), secrets.WithVars(secrets.Literal, "X"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := env.RevealAll(t.Context())
	if err != nil || all["X"] != secret {
		t.Errorf("declared: %q, %v", all["X"], err)
	}
	var field secrets.Value
	if err := field.UnmarshalText([]byte(all["X"])); err != nil {
		t.Errorf("what RevealAll gave out does not reach a field: %v", err)
	}
}

// Lambda reserves names, and the SDK has its settings. Every other name is the user's.
func TestNew_OwnNames(t *testing.T) {
	t.Parallel()
	env, err := secrets.New(storeOf(map[string]string{"a": "plain"}),
		secrets.WithVars(secrets.SecretsManager, "AWS_SECRET_ARN"),
		secrets.WithEnviron(map[string]string{"AWS_SECRET_ARN": "a", "LAMBDA_TOKEN": "sm://a",
			"AWS_REGION": "eu-west-1"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"AWS_SECRET_ARN", "LAMBDA_TOKEN"} {
		if v, err := env.Get(t.Context(), name); err != nil || v.Reveal() != "plain" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"AWS_REGION", "AWS_SESSION_TOKEN", "_HANDLER", "AWS_ENDPOINT_URL_SSM",
		"LAMBDA_TASK_ROOT", "AWS_ROLE_ARN"} {
		if _, err := secrets.New(secrets.WithEnviron(map[string]string{name: "sm://a"})); !errors.Is(err,
			secrets.ErrInvalidReference) {
			t.Errorf("%s takes a reference: %v", name, err)
		}
	}
}

func TestNew_EmptyDeclared(t *testing.T) {
	t.Parallel()
	for _, scheme := range []secrets.Scheme{secrets.KMS, secrets.SSM, secrets.SecretsManager} {
		if _, err := secrets.New(secrets.WithVars(scheme, "X"),
			secrets.WithEnviron(map[string]string{"X": " "})); !errors.Is(err, secrets.ErrInvalidReference) {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

// The process decides where local values are refused, and one word opens an emulator to them.
func TestNew_LocalValues(t *testing.T) {
	local := secrets.WithLocalValues(map[string]string{"X": "local"})
	for _, tc := range []struct {
		name             string
		process, environ map[string]string
		refused          bool
	}{
		{"a laptop", nil, nil, false},
		{"Lambda", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f"}, nil, true},
		{"Lambda that the map hides", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f"},
			map[string]string{"X": "sm://a"}, true},
		{"the word in the map alone", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f"},
			map[string]string{"SECRETS_LOCAL_VALUES": "not-production"}, true},
		{"a map of Lambda", nil, map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f"}, true},
		{"sam local", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_SAM_LOCAL": "true"}, nil, false},
		{"an emulator", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "SECRETS_LOCAL_VALUES": "not-production"},
			nil, false},
		{"another word", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f", "SECRETS_LOCAL_VALUES": "true"}, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, name := range []string{"AWS_LAMBDA_FUNCTION_NAME", "AWS_SAM_LOCAL", "SECRETS_LOCAL_VALUES"} {
				t.Setenv(name, tc.process[name])
			}
			opts := []secrets.Option{local}
			if tc.environ != nil {
				opts = append(opts, secrets.WithEnviron(tc.environ))
			}
			_, err := secrets.New(opts...)
			if tc.refused != (err != nil) || err != nil &&
				!strings.Contains(err.Error(), "SECRETS_LOCAL_VALUES=not-production") {
				t.Errorf("error %v, want one that names the word: %v", err, tc.refused)
			}
		})
	}
}

// What each pin stops, as SECURITY.md lists it.
func TestNew_Pins(t *testing.T) {
	t.Parallel()
	const key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	blob := "kms://" + strings.Repeat("AQEB", 11)
	bound := secrets.WithEncryptionContext("X", map[string]string{"variable": "X"})
	for _, tc := range []struct {
		name, text string
		opt        secrets.Option
		refused    bool
	}{
		{"keys, a literal", "literal://x", secrets.WithKMSKeys(key), true},
		{"keys, a ciphertext", blob, secrets.WithKMSKeys(key), false},
		{"scheme, a literal", "literal://x", secrets.WithVars(secrets.KMS, "X"), true},
		{"scheme, another store", "sm://a", secrets.WithVars(secrets.KMS, "X"), true},
		{"scheme, a whole reference", blob, secrets.WithVars(secrets.KMS, "X"), false},
		{"context, a literal", "literal://x", bound, true},
		{"context, another store", "sm://a", bound, true},
		{"context, another one", blob + "?context.variable=Y", bound, true},
		{"context, none", blob + "?context=none", bound, true},
		{"context, the same", blob + "?context.variable=X", bound, false},
		{"context, not stated", blob, bound, false},
		{"check, the context", blob + "?context.variable=Y", secrets.WithCheck(func(_ string, r secrets.Ref) error {
			if r.Context()["variable"] != "X" {
				return errors.New("not its context")
			}
			return nil
		}), true},
		{"check, the key", blob + "?key=" + key, secrets.WithCheck(func(_ string, r secrets.Ref) error {
			if r.Key() != key {
				return errors.New("not its key")
			}
			return nil
		}), false},
	} {
		_, err := secrets.New(secrets.WithEnviron(map[string]string{"X": tc.text}), tc.opt)
		if tc.refused != errors.Is(err, secrets.ErrInvalidReference) || !tc.refused && err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	literal := secrets.WithVars(secrets.Literal, "X")
	if _, err := secrets.New(secrets.WithEnviron(map[string]string{"X": "x"}), literal,
		secrets.WithKMSKeys(key)); err != nil {
		t.Errorf("keys, a literal that the program declares: %v", err)
	}
	var got map[string]string
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"X": blob}), bound,
		secrets.WithProvider(secrets.ProviderFunc(func(_ context.Context, r secrets.Ref) (secrets.Value, error) {
			got = r.Context()
			return secrets.NewValue("x", ""), nil
		})))
	if err == nil {
		_, err = env.Get(t.Context(), "X")
	}
	if err != nil || got["variable"] != "X" {
		t.Errorf("asked with the context %v, %v", got, err)
	}
}

// A text composed of parts of one source costs one call, follows rotation whole, and is read
// without an allocation.
func TestGet_Composed(t *testing.T) { // not parallel: it counts allocations
	synctest.Test(t, func(t *testing.T) {
		calls, now := 0, `{"username":"app","password":"p@ss/1","host":"db"}`
		env, err := secrets.New(secrets.WithEnviron(map[string]string{
			"DSN":  "postgres://{{sm://prod/db#username}}:{{sm://prod/db#password}}@{{sm://prod/db#host}}:5432/orders",
			"AUTH": "Bearer {{ sm://prod/db#password }}", "USER": "sm://prod/db#username",
			"BROKEN": "x{{sm://prod/db?optional#absent}}",
		}), secrets.WithProvider(secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
			calls++
			return secrets.NewValue(now, fmt.Sprint(calls)), nil
		})))
		if err != nil {
			t.Fatal(err)
		}
		get := func(name, want string) {
			t.Helper()
			if v, err := env.Get(t.Context(), name); err != nil || v.Reveal() != want {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
		get("DSN", "postgres://app:p%40ss%2F1@db:5432/orders")
		get("AUTH", "Bearer p@ss/1")
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
		if _, err := env.Get(t.Context(), "BROKEN"); !errors.Is(err, secrets.ErrField) ||
			!strings.Contains(secrets.Detail(err), `"absent"`) {
			t.Errorf("a missing part: %v", err)
		}
		if n := testing.AllocsPerRun(100, func() { env.Get(t.Context(), "DSN") }); n != 0 {
			t.Errorf("a cached Get allocates %v times", n)
		}
		now = `{"username":"app2","password":"two","host":"db"}`
		if err := env.Refresh(t.Context(), "USER"); err != nil {
			t.Fatal(err)
		}
		get("DSN", "postgres://app2:two@db:5432/orders")
		s := env.Snapshot(t.Context())
		if v, err := s.Get("AUTH"); err != nil || v.Reveal() != "Bearer two" {
			t.Errorf("snapshot: %v", err)
		}
		if ref, err := secrets.ParseRef("x={{sm://prod/db#password}}"); err != nil {
			t.Error(err)
		} else if v, err := env.Resolve(t.Context(), ref); err != nil || v.Reveal() != "x=two" {
			t.Errorf("resolved: %v", err)
		}
	})
}

// Errors, Refs and the log print what stands in the template.
func TestRefs_AsWritten(t *testing.T) {
	t.Parallel()
	env, err := secrets.New(storeOf(nil), secrets.WithLogger(quiet()), secrets.WithVars(secrets.SSM, "BARE"),
		secrets.WithEnviron(map[string]string{
			"A": "secretsmanager://prod/db?ttl=300s", "B": "sm://prod/db?ttl=5m", "BARE": "/hunter2",
			"L": "literal://hunter2", "AWS_REGION": "eu-west-1",
			"C": "postgres://app:hunter2@h/{{ secretsmanager://prod/x#name }}"}))
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{"A": "secretsmanager://prod/db?ttl=300s", "B": "sm://prod/db?ttl=5m",
		"BARE": "ssm://(8 bytes)", "L": "literal://(7 bytes)", "C": "…{{sm://prod/x#name}}"}
	for _, info := range env.Refs() {
		if got := info.Ref.String(); got != shown[info.Variable] {
			t.Errorf("%s is shown as %s, want %s", info.Variable, got, shown[info.Variable])
		}
	}
	_, err = env.Get(t.Context(), "A")
	if detail := secrets.Detail(err); !strings.Contains(detail, "secretsmanager://prod/db?ttl=300s") {
		t.Error(detail)
	}
}

// What New takes for plain holds no reference, and what it refuses has a next step that, followed to
// the letter, it accepts.
func FuzzNew(f *testing.F) {
	for _, file := range []string{"refused.tsv", "keynames.tsv", "composed.tsv", "plain.txt"} {
		for _, text := range caseTexts(f, file) {
			f.Add(text)
		}
	}
	declared := regexp.MustCompile(`WithVars\(secrets\.(KMS|SSM|SecretsManager), "X"\)`)
	schemes := map[string]secrets.Scheme{
		"KMS": secrets.KMS, "SSM": secrets.SSM, "SecretsManager": secrets.SecretsManager}
	reference := regexp.MustCompile(`(^|[^A-Za-z0-9+._/-])(ssm|sm|secretsmanager):/{2,3}[A-Za-z0-9]`)
	f.Fuzz(func(t *testing.T, text string) {
		environ := secrets.WithEnviron(map[string]string{"X": text})
		env, err := secrets.New(environ)
		if err == nil {
			if refs := env.Refs(); len(refs) == 0 && reference.MatchString(text) {
				t.Fatalf("%q is plain", text)
			}
			return
		}
		if !strings.Contains(err.Error(), `WithVars(secrets.Literal, "X")`) {
			t.Fatalf("%q: %v: no way out", text, err)
		}
		if _, err := secrets.New(environ, secrets.WithVars(secrets.Literal, "X")); err != nil && len(text) < 16<<10 {
			t.Fatalf("%q: the way out is refused: %v", text, err)
		}
		if m := declared.FindStringSubmatch(err.Error()); m != nil {
			if _, refused := secrets.New(environ, secrets.WithVars(schemes[m[1]], "X")); refused != nil {
				t.Fatalf("%q: %v: that is refused: %v", text, err, refused)
			}
		}
	})
}

func TestNew_Roles(t *testing.T) {
	t.Parallel()
	const role, other = "arn:aws:iam::210987654321:role/reader", "arn:aws:iam::210987654321:role/other"
	for _, tc := range []struct {
		name, text, role, want string
		refused                bool
	}{
		{"in the reference", "sm://a?role=" + role, "", role, false},
		{"in code", "sm://a", role, role, false},
		{"twice the same", "sm://a?role=" + role, role, role, false},
		{"two", "sm://a?role=" + other, role, "", true},
		{"of a literal", "literal://a", role, "", true},
		{"of no form", "sm://a", "reader", "", true},
		{"in another partition", "sm://a?role=arn:aws-cn:iam::210987654321:role/reader", "", "", true},
	} {
		var asked string
		opts := []secrets.Option{
			secrets.WithEnviron(map[string]string{"X": tc.text, "AWS_REGION": "eu-west-1"}),
			secrets.WithProvider(secrets.ProviderFunc(func(_ context.Context, r secrets.Ref) (secrets.Value, error) {
				asked = r.Role()
				return secrets.NewValue("x", "1"), nil
			}))}
		if tc.role != "" {
			opts = append(opts, secrets.WithRole("X", tc.role))
		}
		env, err := secrets.New(opts...)
		if tc.refused != errors.Is(err, secrets.ErrInvalidReference) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.refused || err != nil {
			continue
		}
		if _, err := env.Get(t.Context(), "X"); err != nil || asked != tc.want {
			t.Errorf("%s: asked with the role %q, %v", tc.name, asked, err)
		}
	}
	environ := secrets.WithEnviron(map[string]string{"X": "sm://a"})
	_, err := secrets.New(environ, secrets.WithRole("X", role), secrets.WithRole("X", other))
	if err == nil || !strings.Contains(err.Error(), "two roles") {
		t.Errorf("two roles in code: %v", err)
	}
}

func TestNew_ReportsEveryMistake(t *testing.T) {
	_, err := secrets.New(secrets.WithEnviron(map[string]string{
		"A": "SSM:///x", "B": "ssm://app/db", "C": " sm://prod/db", "D": "{{resolve:ssm:/x}}", "E": "sm://x?stag=1",
		"AWS_PROFILE": "ssm:///x", "LAMBDA_TASK_ROOT": "sm://x", "_HANDLER": "sm://x", "AWS_REGION": region,
		"OK": "plain", "F": "kms://!!",
	}))
	if !errors.Is(err, secrets.ErrInvalidReference) {
		t.Fatal(err)
	}
	for _, name := range []string{"A", "B", "C", "D", "E", "F"} {
		if !strings.Contains(err.Error(), "\n  "+name+": ") {
			t.Errorf("%s is not reported", name)
		}
	}
	if !strings.Contains(err.Error(), "; 3 variables: AWS_PROFILE, LAMBDA_TASK_ROOT, _HANDLER") {
		t.Error("the variables of the SDK are not reported together")
	}
	t.Log(err)
}

// A provider for a scheme that does not exist would be passed by, and AWS be asked in its place.
func TestNew_ProviderOfUnknownScheme(t *testing.T) {
	t.Parallel()
	for _, scheme := range []secrets.Scheme{"sm", "vault", "", secrets.Literal} {
		if _, err := secrets.New(secrets.WithEnviron(nil), secrets.WithProvider(&script{}, scheme)); err == nil ||
			!strings.Contains(err.Error(), "WithProvider") {
			t.Errorf("%q: %v", scheme, err)
		}
	}
}

// Two references under one name, or one under none, are a mistake that the constructor sees.
func TestNew_WithRefNames(t *testing.T) {
	t.Parallel()
	a, b := secrets.Secret("a"), secrets.Secret("b")
	for name, test := range map[string]struct {
		opts []secrets.Option
		ok   bool
	}{
		"one":       {[]secrets.Option{secrets.WithRef("X", a)}, true},
		"one twice": {[]secrets.Option{secrets.WithRef("X", a), secrets.WithRef("X", a)}, true},
		"two":       {[]secrets.Option{secrets.WithRef("X", a), secrets.WithRef("X", b)}, false},
		"no name":   {[]secrets.Option{secrets.WithRef("", a)}, false},
	} {
		if _, err := secrets.New(append(test.opts, secrets.WithEnviron(nil))...); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A declared variable may hold a plaintext that somebody put there by mistake, and that reads like a name: a refusal
// does not quote it.
func TestNew_RefusedDeclarationIsNotQuoted(t *testing.T) {
	t.Parallel()
	const mistake = "correct-horse-battery"
	_, err := secrets.New(secrets.WithEnviron(map[string]string{"TOKEN": mistake}),
		secrets.WithVars(secrets.SecretsManager, "TOKEN"),
		secrets.WithCheck(func(string, secrets.Ref) error { return errors.New("not allowed") }))
	if seen := fmt.Sprintf("%v %+v %s", err, err, secrets.Detail(err)); !strings.Contains(seen, "TOKEN") ||
		!strings.Contains(seen, "not allowed") || strings.Contains(seen, mistake) {
		t.Errorf("shows %s", seen)
	}
}
