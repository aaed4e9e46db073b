// Command policy prints the least IAM policy with which a function can resolve the references in its environment.
//
//	go run github.com/lambdasecrets/secrets/examples/policy -region eu-west-1 -account 123456789012 < function.env
//	aws lambda get-function-configuration --function-name orders | \
//	    go run github.com/lambdasecrets/secrets/examples/policy
//	go run github.com/lambdasecrets/secrets/examples/policy -vars kms:SIGNING_KEY -strict template.json
//	terraform output -json | go run github.com/lambdasecrets/secrets/examples/policy
//
// It reads NAME=value lines, a function's configuration, a synthesized CloudFormation template (SAM, CDK), a task
// definition, the env JSON of sam local, Terraform's outputs or plan, or a JSON object of variables, from a file or
// from standard input, and makes no call. What the input does not tell, the account or a key, stands in the policy as
// a placeholder. Standard error says what to put there, and which variables are left out though they may hold a
// secret: an ARN without a scheme, a malformed reference, a value that only the deployment knows. -vars declares those
// that the program declares with WithVars. A reference with ?role= takes three documents: the function's policy, the
// role's, and the role's trust policy, in this order on standard output. With -strict a variable that is left out makes
// the exit status 1.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/lambdasecrets/secrets/examples/internal/environ"
	"github.com/lambdasecrets/secrets/examples/internal/wrap"
)

func main() {
	err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, errStrict):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	default:
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(os.Stderr, wrap.Text("policy: ", "  ", err.Error()))
		}
		os.Exit(2)
	}
}

var (
	errStrict  = errors.New("-strict: variables are left out")
	errNothing = errors.New("there is no reference in the environment: nothing to allow")
)

func run(args []string, in io.Reader, out, notes io.Writer) error {
	var p printer
	var vars, keys string
	var strict bool
	flags := flag.NewFlagSet("policy", flag.ContinueOnError)
	flags.SetOutput(notes)
	flags.StringVar(&p.region, "region", "", "the function's `Region` (default: what the input says)")
	flags.StringVar(&p.account, "account", "",
		"`account` of parameters, secrets and keys (default: what the input says)")
	flags.StringVar(&keys, "key", "", "`ARNs` of KMS keys, at most one per Region: of ciphertexts that name\n"+
		"none, and of encrypted parameters and secrets. Without it those\nare taken to be under the default keys, "+
		"which need no permission")
	flags.StringVar(&p.function, "function", "", "`name` of the function, which the Lambda console binds ciphertexts\n"+
		"to (default: what the input says)")
	flags.StringVar(&p.role, "role", "", "`ARN` of the function's own role, which the roles that references\n"+
		"state must trust (default: what the input says)")
	flags.StringVar(&vars, "vars", "", "variables that WithVars declares, as `scheme:NAME,…`:\n"+
		"kms:DB_PASSWORD,ssm:TOKEN; literal:NAME for one that is no secret")
	flags.BoolVar(&p.batch, "batch", false, "the function uses WithBatchGetSecretValue")
	flags.BoolVar(&strict, "strict", false, "exit with 1 if a variable is left out")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p.keys = strings.FieldsFunc(keys, func(c rune) bool { return c == ',' || c == ' ' })
	all, err := environ.Open(flags.Args(), in, notes)
	if err != nil {
		return err
	}
	declared, err := environ.ParseVars(vars, all)
	if err != nil {
		return err
	}
	var left []string
	for _, e := range all {
		refs, out := e.References(declared)
		p.add(e, refs)
		for _, l := range out {
			where := ""
			if len(all) > 1 && e.Where != "" {
				where = " of " + e.Where
			}
			text := wrap.Text("left out: ", "  ", l.Variable+where+": "+l.Problem) +
				wrap.Text("  next: ", "    ", l.Next)
			if !slices.Contains(left, text) { // a plan holds a function more than once
				left = append(left, text)
			}
		}
	}
	for _, one := range p.all() {
		one.trim()
	}
	io.WriteString(notes, strings.Join(left, ""))
	if len(p.policy.Statement) == 0 {
		return errNothing
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p.policy); err != nil {
		return err
	}
	for _, role := range slices.Sorted(maps.Keys(p.roles)) {
		if err := errors.Join(enc.Encode(p.roles[role]), enc.Encode(trust(p.trusts[role]))); err != nil {
			return err
		}
	}
	for _, note := range p.notes() {
		io.WriteString(notes, wrap.Text("", "  ", note))
	}
	if strict && len(left) > 0 {
		return errStrict
	}
	return nil
}
