package conformance_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/kit"
)

// conformance is what every endpoint has to answer. {…} in a reference stands for what seed made there.
var conformance = []struct {
	name, ref string
	want      string // the plaintext, or
	kind      error  // what the failure is
	moto      string // why moto answers otherwise, with AWS's documentation against it
	motoBatch string // likewise, where several are asked for in one call
}{
	{name: "ciphertext", ref: "kms://{blob}", want: "plain"},
	{name: "ciphertext, its key stated", ref: "kms://{blob}?key={key}", want: "plain"},
	{name: "ciphertext, its key by alias", ref: "kms://{blob}?key={alias}", want: "plain"},
	{name: "ciphertext, another key stated", ref: "kms://{blob}?key={other}", kind: secrets.ErrDecrypt,
		moto: "it denies where KMS answers IncorrectKeyException"},
	{name: "ciphertext with a context", ref: "kms://{bound}?context.app=x&context.stage=prod", want: "bound"},
	{name: "ciphertext with another context", ref: "kms://{bound}?context.app=y", kind: secrets.ErrDecrypt},
	{name: "ciphertext without its context", ref: "kms://{bound}?context=none", kind: secrets.ErrDecrypt},
	{name: "ciphertext of the console", ref: "kms://{console}", want: "console"},
	{name: "ciphertext of the console, declared", ref: "kms://{console}?context=console", want: "console"},
	{name: "ciphertext of binary data", ref: "kms://{binary}", want: "\x00\x01\xfe\xff\n"},
	{name: "ciphertext under a disabled key", ref: "kms://{disabled}", kind: secrets.ErrDecrypt,
		moto: "a disabled key still decrypts"},
	{name: "no ciphertext", ref: "kms://bm8gY2lwaGVydGV4dCBvZiBLTVMsIGJ1dCBsb25nIGVub3VnaA==",
		kind: secrets.ErrDecrypt},
	{name: "garbage as long as a ciphertext", ref: "kms://" + strings.Repeat("bm8gY2lwaGVydGV4dCAh", 10),
		kind: secrets.ErrDecrypt, moto: "it denies, taking the first bytes for a key that does not exist"},

	{name: "String", ref: "ssm://{path}/string", want: "text"},
	{name: "StringList", ref: "ssm://{path}/list", want: "x,y,z"},
	{name: "SecureString", ref: "ssm://{path}/secure", want: "hidden"},
	{name: "SecureString under a key", ref: "ssm://{path}/keyed", want: "hidden too"},
	{name: "white space", ref: "ssm://{path}/space", want: " padded \n"},
	{name: "name without a slash", ref: "ssm://{name}-bare", want: "bare"},
	{name: "latest version", ref: "ssm://{path}/versions", want: "three"},
	{name: "first version", ref: "ssm://{path}/versions:1", want: "one"},
	{name: "latest version, stated", ref: "ssm://{path}/versions:3", want: "three"},
	{name: "label", ref: "ssm://{path}/versions:blue", want: "two"},
	{name: "parameter's ARN", ref: "ssm://{arn}", want: "text"},
	{name: "version by ARN", ref: "ssm://{versions}:1", want: "one"},
	{name: "no such parameter", ref: "ssm://{path}/none", kind: secrets.ErrNotFound},
	{name: "no such version", ref: "ssm://{path}/versions:9", kind: secrets.ErrNotFound},
	{name: "no such label", ref: "ssm://{path}/versions:green", kind: secrets.ErrNotFound},
	{name: "tree", ref: "ssm://{path}/tree/*", want: `{"a":"1","b/c":"2","s":"3"}`},
	{name: "tree of two pages", ref: "ssm://{path}/pages/*",
		want: `{"00":"0","01":"1","02":"2","03":"3","04":"4","05":"5","06":"6","07":"7","08":"8","09":"9",` +
			`"10":"10","11":"11"}`},
	{name: "tree of none", ref: "ssm://{path}/none/*", kind: secrets.ErrNotFound},
	{name: "secret through Parameter Store", ref: "ssm:///aws/reference/secretsmanager/{name}/db",
		want: `{"user":"u","password":"second"}`},
	{name: "previous stage through Parameter Store", ref: "ssm:///aws/reference/secretsmanager/{name}/db:AWSPREVIOUS",
		want: `{"user":"u","password":"first"}`},
	{name: "version id through Parameter Store", ref: "ssm:///aws/reference/secretsmanager/{name}/db:{first}",
		want: `{"user":"u","password":"first"}`},
	{name: "no such secret through Parameter Store", ref: "ssm:///aws/reference/secretsmanager/{name}/none",
		kind: secrets.ErrNotFound},

	{name: "secret", ref: "sm://{name}/db", want: `{"user":"u","password":"second"}`},
	{name: "field", ref: "sm://{name}/db#password", want: "second"},
	{name: "current stage", ref: "sm://{name}/db?stage=AWSCURRENT#password", want: "second"},
	{name: "previous stage", ref: "sm://{name}/db?stage=AWSPREVIOUS#password", want: "first"},
	{name: "pending stage", ref: "sm://{name}/db?stage=AWSPENDING", want: "third"},
	{name: "version id", ref: "sm://{name}/db?version={first}#password", want: "first"},
	{name: "secret's ARN", ref: "sm://{secret}#password", want: "second"},
	{name: "secret's ARN with a tail", ref: "sm://{secret}:password:AWSPREVIOUS:", want: "first"},
	{name: "secret's partial ARN", ref: "sm://{partial}#password", want: "second"},
	{name: "binary secret", ref: "sm://{name}/binary", want: "\x00\x01\xfe\xff\n"},
	{name: "current moved by UpdateSecretVersionStage", ref: "sm://{name}/moved", want: "old",
		motoBatch: "a get without a stage misses UpdateSecretVersionStage"},
	{name: "no such secret", ref: "sm://{name}/none", kind: secrets.ErrNotFound},
	{name: "no such stage", ref: "sm://{name}/db?stage=GREEN", kind: secrets.ErrNotFound},
	{name: "no such version id", ref: "sm://{name}/db?version=00000000-0000-0000-0000-000000000000",
		kind: secrets.ErrNotFound},
	{name: "secret marked for deletion", ref: "sm://{name}/deleted", kind: secrets.ErrNotFound},
}

// TestConformance holds the backends and an endpoint against each other: the embedded one, moto's server where Python
// has it, and the one in AWS_ENDPOINT_URL if that is set, which may be one of moto's too. It seeds through the SDK,
// under names of its own, and removes what it made (a KMS key: seven days later).
func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		_, _, cfg := kit.Start(t)
		conform(t, cfg, false)
	})
	t.Run("moto", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("left out with -short")
		}
		cfg := kit.Config(startMoto(t))
		conform(t, cfg, true)
		t.Run("role", func(t *testing.T) { conformRole(t, cfg) })
	})
	t.Run("AWS_ENDPOINT_URL", func(t *testing.T) {
		t.Parallel()
		if os.Getenv("AWS_ENDPOINT_URL") == "" {
			t.Skip("left out: AWS_ENDPOINT_URL is not set")
		}
		cfg, err := awsconfig.LoadDefaultConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cfg.Region = cmp.Or(cfg.Region, kit.Region)
		conform(t, cfg, isMoto(os.Getenv("AWS_ENDPOINT_URL")))
	})
}

// conform asks for every reference alone, then for all in one round, with and without BatchGetSecretValue.
func conform(t *testing.T, cfg aws.Config, moto bool) {
	const alone = "ALONE" // the variable of a reference that is asked for by itself
	fill := seed(t, cfg)
	together := map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "conformance"}
	for i, tc := range conformance {
		if !moto || tc.moto == "" {
			together[fmt.Sprint("V", i)] = fill.Replace(tc.ref)
		}
	}
	check := func(t *testing.T, i int, env *secrets.Env, name string) {
		t.Helper()
		tc := conformance[i]
		limit := 10 * time.Second
		if moto && tc.moto != "" {
			limit = time.Second / 2 // an answer that makes no sense is asked for again until then
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		v, err := env.Get(ctx, name)
		same := tc.kind == nil && err == nil && v.Reveal() == tc.want || tc.kind != nil && errors.Is(err, tc.kind)
		switch {
		case moto && tc.moto != "" && same:
			t.Errorf("%s: moto answers as AWS now; drop the note that %s", tc.name, tc.moto)
		case moto && tc.moto != "":
			t.Logf("%s: known gap of moto: %s", tc.name, tc.moto)
		case same:
		case moto && tc.motoBatch != "" && name != alone:
			t.Logf("%s: known gap of moto: %s", tc.name, tc.motoBatch)
		case err != nil:
			t.Errorf("%s: %s", tc.name, secrets.Detail(err))
		default:
			t.Errorf("%s: %q; want %q, %v", tc.name, v.Reveal(), tc.want, tc.kind)
		}
	}
	for i, tc := range conformance {
		t.Run(tc.name, func(t *testing.T) {
			env := kit.NewEnv(t, cfg, map[string]string{alone: fill.Replace(tc.ref),
				"AWS_LAMBDA_FUNCTION_NAME": "conformance"}, secrets.WithLogger(kit.Quiet()))
			check(t, i, env, alone)
		})
	}
	for name, batch := range map[string]bool{"together": false, "together, secrets in batches": true} {
		t.Run(name, func(t *testing.T) {
			opts := []secrets.Option{secrets.WithLogger(kit.Quiet())}
			if batch {
				opts = append(opts, secrets.WithBatchGetSecretValue())
			}
			env := kit.NewEnv(t, cfg, together, opts...)
			env.Warm(t.Context()) // fails, as some of them do
			for i := range conformance {
				if name := fmt.Sprint("V", i); together[name] != "" {
					check(t, i, env, name)
				}
			}
		})
	}
}

// seed makes what the cases ask for, by the SDK's own operations, and returns what fills in their references.
func seed(t *testing.T, cfg aws.Config) *strings.Replacer {
	t.Helper()
	ctx := t.Context()
	k, p, s := kms.NewFromConfig(cfg), ssm.NewFromConfig(cfg), secretsmanager.NewFromConfig(cfg)
	name := "secrets-conformance-" + strings.ToLower(rand.Text()[:10])
	path := "/" + name
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("seeding: %v", err)
		}
	}
	// moto fails on the ARN of a key where AWS takes either.
	id := func(key string) *string { return aws.String(key[strings.LastIndex(key, "/")+1:]) }
	undo := func(f func(context.Context) error) {
		t.Cleanup(func() {
			if err := f(context.WithoutCancel(ctx)); err != nil {
				t.Logf("left behind: %v", err)
			}
		})
	}

	newKey := func() string {
		out, err := k.CreateKey(ctx, &kms.CreateKeyInput{Description: aws.String(name)})
		must(err)
		undo(func(ctx context.Context) error {
			_, err := k.ScheduleKeyDeletion(ctx,
				&kms.ScheduleKeyDeletionInput{KeyId: id(*out.KeyMetadata.Arn), PendingWindowInDays: aws.Int32(7)})
			return err
		})
		return *out.KeyMetadata.Arn
	}
	encrypt := func(key, plaintext string, context map[string]string) string {
		out, err := k.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte(plaintext),
			EncryptionContext: context})
		must(err)
		return base64.RawURLEncoding.EncodeToString(out.CiphertextBlob)
	}
	key, other, disabled := newKey(), newKey(), newKey()
	_, err := k.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/" + name), TargetKeyId: &key})
	must(err)
	underDisabled := encrypt(disabled, "disabled", nil)
	_, err = k.DisableKey(ctx, &kms.DisableKeyInput{KeyId: id(disabled)})
	must(err)

	put := func(name, value string, kind ssmtypes.ParameterType, key *string) {
		_, err := p.PutParameter(ctx, &ssm.PutParameterInput{Name: &name, Value: &value, Type: kind, KeyId: key,
			Overwrite: aws.Bool(true)})
		must(err)
		undo(func(ctx context.Context) error {
			_, err := p.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: &name})
			var gone *ssmtypes.ParameterNotFound // of a parameter with several versions
			if errors.As(err, &gone) {
				return nil
			}
			return err
		})
	}
	texts := map[string]string{path + "/string": "text", path + "/space": " padded \n", name + "-bare": "bare",
		path + "/tree/a": "1", path + "/tree/b/c": "2", path + "/treetop": "no"}
	for i := range 12 {
		texts[fmt.Sprintf("%s/pages/%02d", path, i)] = fmt.Sprint(i)
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		put(name, texts[name], ssmtypes.ParameterTypeString, nil)
	}
	put(path+"/list", "x,y,z", ssmtypes.ParameterTypeStringList, nil)
	put(path+"/secure", "hidden", ssmtypes.ParameterTypeSecureString, nil)
	put(path+"/keyed", "hidden too", ssmtypes.ParameterTypeSecureString, &key)
	put(path+"/tree/s", "3", ssmtypes.ParameterTypeSecureString, nil)
	for _, value := range []string{"one", "two", "three"} {
		put(path+"/versions", value, ssmtypes.ParameterTypeString, nil)
	}
	_, err = p.LabelParameterVersion(ctx, &ssm.LabelParameterVersionInput{Name: aws.String(path + "/versions"),
		ParameterVersion: aws.Int64(2), Labels: []string{"blue"}})
	must(err)
	arn := func(name string) string {
		out, err := p.GetParameter(ctx, &ssm.GetParameterInput{Name: &name})
		must(err)
		return *out.Parameter.ARN
	}

	create := func(in *secretsmanager.CreateSecretInput) (arn, version string) {
		out, err := s.CreateSecret(ctx, in)
		must(err)
		undo(func(ctx context.Context) error {
			_, err := s.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: out.ARN,
				ForceDeleteWithoutRecovery: aws.Bool(true)})
			return err
		})
		return *out.ARN, aws.ToString(out.VersionId)
	}
	next := func(id, value string, stages ...string) string {
		out, err := s.PutSecretValue(ctx,
			&secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: &value, VersionStages: stages})
		must(err)
		return *out.VersionId
	}
	secret, first := create(&secretsmanager.CreateSecretInput{Name: aws.String(name + "/db"),
		SecretString: aws.String(`{"user":"u","password":"first"}`)})
	next(secret, `{"user":"u","password":"second"}`)
	next(secret, "third", "AWSPENDING")
	create(&secretsmanager.CreateSecretInput{Name: aws.String(name + "/binary"),
		SecretBinary: []byte("\x00\x01\xfe\xff\n")})
	moved, old := create(&secretsmanager.CreateSecretInput{Name: aws.String(name + "/moved"),
		SecretString: aws.String("old")})
	newer := next(moved, "newer")
	_, err = s.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: &moved,
		VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &old, RemoveFromVersionId: &newer})
	must(err)
	deleted, _ := create(&secretsmanager.CreateSecretInput{Name: aws.String(name + "/deleted"),
		SecretString: aws.String("x")})
	_, err = s.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &deleted})
	must(err)

	return strings.NewReplacer("{path}", path, "{name}", name, "{key}", key, "{other}", other, "{alias}", "alias/"+name,
		"{arn}", arn(path+"/string"), "{versions}", arn(path+"/versions"),
		"{blob}", encrypt(key, "plain", nil), "{bound}",
		encrypt(key, "bound", map[string]string{"app": "x", "stage": "prod"}),
		"{console}", encrypt(key, "console", map[string]string{"LambdaFunctionName": "conformance"}), "{binary}",
		encrypt(key, "\x00\x01\xfe\xff\n", nil),
		"{disabled}", underDisabled, "{secret}", secret, "{partial}", secret[:len(secret)-7], "{first}", first)
}

// conformRole reads in two accounts of moto, which keeps them apart by the credentials that its STS gives. Moto
// enforces no trust policy: TestRole_ReadsItsOwnAccount has that, on the embedded endpoint.
func conformRole(t *testing.T, cfg aws.Config) {
	const role = "arn:aws:iam::210987654321:role/reader"
	theirs := cfg.Copy()
	theirs.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), role))
	plain, environ := map[string]string{}, map[string]string{}
	for in, cfg := range map[string]aws.Config{"ours": cfg, "theirs": theirs} {
		suffix := ""
		if in == "theirs" {
			suffix = "?role=" + role
		}
		text := in + " of " + rand.Text()
		key, err := kms.NewFromConfig(cfg).CreateKey(t.Context(), &kms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		blob, err := kms.NewFromConfig(cfg).Encrypt(t.Context(), &kms.EncryptInput{
			KeyId: key.KeyMetadata.KeyId, Plaintext: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = ssm.NewFromConfig(cfg).PutParameter(t.Context(), &ssm.PutParameterInput{
			Name: aws.String("/shared"), Value: &text, Type: ssmtypes.ParameterTypeString})
		if err != nil {
			t.Fatal(err)
		}
		_, err = secretsmanager.NewFromConfig(cfg).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
			Name: aws.String("shared"), SecretString: &text})
		if err != nil {
			t.Fatal(err)
		}
		for scheme, ref := range map[string]string{"SSM": "ssm:///shared", "SM": "sm://shared",
			"KMS": "kms://" + base64.StdEncoding.EncodeToString(blob.CiphertextBlob)} {
			name := scheme + "_" + strings.ToUpper(in)
			plain[name], environ[name] = text, ref+suffix
		}
	}
	env := kit.NewEnv(t, cfg, environ, secrets.WithLogger(kit.Quiet()))
	for name, want := range plain {
		v, err := env.Get(t.Context(), name)
		if err != nil || v.Reveal() != want {
			t.Errorf("%s: %q, %s; want %q", name, v.Reveal(), secrets.Detail(err), want)
		}
	}
}

// isMoto reports whether moto's server answers at url: it has an API of its own.
func isMoto(url string) bool {
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get(strings.TrimSuffix(url, "/") + "/moto-api/data.json")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// startMoto starts moto's server for the length of the test and returns its URL, or skips the test where Python does
// not have it.
func startMoto(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("left out: there is no python3")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	var out strings.Builder
	cmd := exec.Command(python, "-m", "moto.server", "-H", host, "-p", port)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	if err := cmd.Start(); err != nil {
		t.Skipf("left out: %v", err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	for until := time.Now().Add(time.Minute); time.Now().Before(until); {
		if c, err := net.Dial("tcp", net.JoinHostPort(host, port)); err == nil {
			c.Close()
			return "http://" + net.JoinHostPort(host, port)
		}
		select {
		case <-ended:
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			t.Skipf("left out: %s does not start moto.server: %s", python, lines[len(lines)-1])
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal("moto.server does not answer within a minute")
	return ""
}
