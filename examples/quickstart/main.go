// Command quickstart shows package secrets at work, on a machine with Go and nothing else: it starts an AWS endpoint of
// its own on loopback, stores samples of every kind, and resolves an environment that refers to them.
//
//	go run ./examples/quickstart           values redacted
//	go run ./examples/quickstart -reveal   values shown: they are samples
//	go run ./examples/quickstart -aws      the machine's own AWS configuration and environment
//	                                       (AWS_ENDPOINT_URL works too)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/examples/internal/wrap"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/samples"
)

func main() {
	reveal := flag.Bool("reveal", false, "print the sample values")
	own := flag.Bool("aws", false, "use this machine's AWS configuration and environment instead of the samples")
	flag.Parse()
	ctx := context.Background()
	var err error
	switch {
	case flag.NArg() > 0:
		err = fmt.Errorf("quickstart takes no arguments, only -aws or -reveal: %q", flag.Args())
	case *own && *reveal:
		err = errors.New("-reveal goes with the samples only: this program does not print your secrets")
	case *own:
		err = ownEnvironment(ctx, os.Stdout)
	default:
		err = show(ctx, os.Stdout, *reveal)
	}
	if err != nil {
		steps(os.Stderr, secrets.Detail(err))
		os.Exit(1)
	}
}

// ownEnvironment resolves the process environment on the machine's AWS configuration.
func ownEnvironment(ctx context.Context, w io.Writer) error {
	env, err := secrets.New(secrets.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	if len(env.Refs()) == 0 {
		fmt.Fprintln(w, "No variable of this environment holds a reference. Try:\n"+
			"\n  DB_PASSWORD=ssm:///app/db/password go run ./examples/quickstart -aws")
		return nil
	}
	began := time.Now()
	warm := env.Warm(ctx)
	fmt.Fprintf(w, "Warm took %v.\n\n", time.Since(began).Round(time.Millisecond))
	table(ctx, w, env, false, warm)
	if warm != nil {
		fmt.Fprintln(w)
	}
	return warm
}

// table prints what every variable resolved to, or why the warm did not resolve it: to ask again would wait for what
// does not answer.
func table(ctx context.Context, w io.Writer, env *secrets.Env, reveal bool, warm error) {
	failed := map[string]error{}
	if all, ok := warm.(interface{ Unwrap() []error }); ok {
		for _, err := range all.Unwrap() {
			if e := (*secrets.ResolveError)(nil); errors.As(err, &e) {
				failed[e.Variable] = e
			}
		}
	}
	const indent = "                 "
	for _, r := range env.Refs() {
		fmt.Fprintf(w, "%-16s %s\n", r.Variable, short(r.Ref.String(), wrap.Width-len(indent)))
		v, err := secrets.Value{}, failed[r.Variable]
		if err == nil {
			v, err = env.Get(ctx, r.Variable)
		}
		if err != nil {
			io.WriteString(w, wrap.Text(indent, indent, err.Error()))
			continue
		}
		shown := fmt.Sprint(v) // [REDACTED], as everywhere
		if reveal {
			shown = short(strconv.Quote(v.Reveal()), 32)
		}
		version := ""
		if v.Version() != "" {
			version = ", version " + short(v.Version(), 8)
		}
		fmt.Fprintf(w, "%s%s (%d bytes%s)\n", indent, shown, len(v.RevealBytes()), version)
	}
}

// short cuts s to n characters.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// steps prints an error's detail with a part per line.
func steps(w io.Writer, detail string) {
	for part := range strings.SplitSeq(strings.ReplaceAll(detail, "\n", "; "), "; ") {
		io.WriteString(w, wrap.Text("  ", "    ", part))
	}
}

// show stores samples on an endpoint of its own and resolves them.
func show(ctx context.Context, w io.Writer, reveal bool) error {
	server := endpoint.New(endpoint.Options{})
	url, err := server.Start()
	if err != nil {
		return err
	}
	defer server.Close()
	cfg := aws.Config{Region: "eu-west-1", BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", "")}
	environ, _ := samples.Store(server)
	server.SetLatency("*", 20*time.Millisecond) // about what AWS takes in its own Region

	env, err := secrets.New(
		secrets.WithEnviron(environ),
		secrets.WithVars(secrets.KMS, "CONSOLE_KEY"),
		secrets.WithAWSConfig(cfg),
		secrets.WithLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := env.Warm(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Fprintf(w, "An endpoint of our own plays AWS at %s.\n%d variables, %d of them references; GREETING "+
		"and LOG_LEVEL are plain.\n\n",
		url, len(environ)-1, len(env.Refs()))
	table(ctx, w, env, reveal, nil)

	fmt.Fprintf(w, "\nOne warm, %v, every call at 20 ms:\n", took.Round(time.Millisecond))
	for _, op := range []string{"kms:Decrypt", "ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath",
		"secretsmanager:GetSecretValue"} {
		if n := server.Count(op); n > 0 {
			fmt.Fprintf(w, "  %d  %s\n", n, op)
		}
	}
	calls := len(server.Calls())
	if _, err := env.Get(ctx, "DB_PASSWORD"); err != nil {
		return err
	}
	fmt.Fprintf(w, "  %d  more for reading DB_PASSWORD again\n", len(server.Calls())-calls)

	before, err := env.Get(ctx, "DB_PASSWORD")
	if err != nil {
		return err
	}
	server.Region("eu-west-1").PutSecret("prod/db", `{"username":"app","password":"correct horse 2"}`)
	if err := env.Refresh(ctx, "DB_PASSWORD"); err != nil {
		return err
	}
	after, err := env.Get(ctx, "DB_PASSWORD")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nThe secret rotates. Refresh(\"DB_PASSWORD\") brings it at once:\n"+
		"  version %s became %s; plaintext changed: %t\n", short(before.Version(), 8), short(after.Version(), 8),
		!before.Equal(after))

	_, err = env.Resolve(ctx, secrets.SSMParameter("/app/prod/db/pasword"))
	fmt.Fprint(w, "\nA reference that fails. What the invoker sees:\n"+wrap.Text("  ", "    ", err.Error())+
		"and what the log says:\n")
	steps(w, secrets.Detail(err))
	server.Fault(endpoint.Fault{Do: endpoint.Deny, Operation: "secretsmanager:GetSecretValue",
		Resource: "prod/payments"})
	_, err = env.Resolve(ctx, secrets.Secret("prod/payments"))
	fmt.Fprint(w, "\nAnd one that a policy denies:\n")
	steps(w, secrets.Detail(err))
	return nil
}
