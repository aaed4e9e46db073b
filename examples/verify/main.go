// Command verify tells before a deployment whether the references of a function's environment are right. It reads what
// examples/policy reads, asks AWS with the credentials of whoever runs it, and fetches no plaintext:
//
//	aws lambda get-function-configuration --function-name orders | \
//	    go run github.com/lambdasecrets/secrets/examples/verify
//	go run github.com/lambdasecrets/secrets/examples/verify -role arn:aws:iam::123456789012:role/orders \
//	    -json template.json
//
// Of each variable it says whether what it refers to exists (ssm:DescribeParameters, secretsmanager:DescribeSecret),
// has the version or stage (secretsmanager:ListSecretVersionIds), may be read by the function's role
// (iam:SimulatePrincipalPolicy), and would decrypt (kms:Decrypt with DryRun; kms:DescribeKey and kms:GetKeyPolicy for
// the keys of parameters and secrets). A field of a secret cannot be looked for, since that would take the plaintext;
// of a parameter's label, only ssm:GetParameter without decryption can tell, which is called for a SecureString alone.
//
// The exit status is 1 if a check failed, with what to do next, and with -strict also if one could not be made, for
// instance because the credentials may not describe a secret.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/lambdasecrets/secrets/examples/internal/environ"
	"github.com/lambdasecrets/secrets/examples/internal/wrap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	load := func(ctx context.Context) (aws.Config, error) { return config.LoadDefaultConfig(ctx) }
	err := run(ctx, os.Args[1:], load, os.Stdin, os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, errFailed):
		os.Exit(1)
	default:
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(os.Stderr, wrap.Text("verify: ", "  ", err.Error()))
		}
		os.Exit(2)
	}
}

var errFailed = errors.New("a check failed")

func run(ctx context.Context, args []string, load func(context.Context) (aws.Config, error), in io.Reader, out,
	notes io.Writer) error {
	var vars, role, region, function, keys string
	var asJSON, strict bool
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	flags.SetOutput(notes)
	flags.StringVar(&role, "role", "", "`ARN` of the function's role (default: what the input says)")
	flags.StringVar(&region, "region", "", "the function's `Region` (default: what the input says, or the\n"+
		"SDK's configuration)")
	flags.StringVar(&function, "function", "", "`name` of the function (default: what the input says)")
	flags.StringVar(&keys, "key", "", "`ARN` of the KMS key of ciphertexts that name none, to check the role")
	flags.StringVar(&vars, "vars", "", "variables that WithVars declares, as `scheme:NAME,…`")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	flags.BoolVar(&strict, "strict", false, "fail if something could not be checked, or is left out")
	if err := flags.Parse(args); err != nil {
		return err
	}
	all, err := environ.Open(flags.Args(), in, notes)
	if err != nil {
		return err
	}
	declared, err := environ.ParseVars(vars, all)
	if err != nil {
		return err
	}
	cfg, err := load(ctx)
	if err != nil {
		return err
	}
	var results []*result
	seen := map[[3]string]bool{} // a plan holds a function more than once
	progress := newProgress(notes)
	for _, e := range all {
		c := newChecker(cfg, e, role, region, function, keys)
		refs, left := e.References(declared)
		for i, r := range refs {
			at := [3]string{e.Where, r.Variable, r.Ref.Text()}
			if seen[at] {
				continue
			}
			seen[at] = true
			progress.show(fmt.Sprintf("%d of %d: %s", i+1, len(refs), r.Variable))
			results = append(results, c.check(ctx, r))
		}
		for _, l := range left {
			res := newResult(e, l.Variable, "")
			status := unchecked
			if l.Refused {
				status = failed
			}
			res.set(&res.Reads, status, l.Problem, l.Next)
			results = append(results, res)
		}
	}
	progress.show("")
	if len(results) == 0 {
		return errors.New("there is no reference in the environment: nothing to verify")
	}
	return report(results, asJSON, strict, out)
}

// report prints the results, and fails if one did.
func report(results []*result, asJSON, strict bool, out io.Writer) error {
	counts := map[status]int{}
	for _, r := range results {
		counts[r.Status]++
	}
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(results); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			io.WriteString(out, r.text())
		}
		fmt.Fprintf(out, "%d ok, %d failed, %d not checked\n", counts[ok], counts[failed], counts[unchecked])
	}
	if counts[failed] > 0 || strict && counts[unchecked] > 0 {
		return errFailed
	}
	return nil
}

// progress is one line of a terminal, and nothing elsewhere.
type progress struct{ out io.Writer }

func newProgress(out io.Writer) progress {
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return progress{out}
		}
	}
	return progress{io.Discard}
}

func (p progress) show(text string) {
	text = string([]rune(text)[:min(len([]rune(text)), wrap.Width-1)])
	fmt.Fprint(p.out, "\r"+text+strings.Repeat(" ", wrap.Width-1-len([]rune(text)))+"\r"+text)
}
