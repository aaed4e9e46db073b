// Command policy prints the least IAM policy with which a function can resolve the references in its environment.
//
//	go run ./examples/policy -region eu-west-1 -account 123456789012 < function.env
//	go run ./examples/policy -account 123456789012 -function orders -vars kms:SIGNING_KEY env.json
//	terraform output -json | go run ./examples/policy
//
// It reads NAME=value lines, the env JSON of sam local, the output of terraform output -json, or a JSON object of variables, from a file or from standard input,
// and makes no call. What references cannot tell, the account or a key, stands in the policy as a placeholder in capitals, and is named on standard error.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/lambdasecrets/secrets"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(2)
	}
}

func run(args []string, in io.Reader, out, notes io.Writer) error {
	var p printer
	var vars string
	flags := flag.NewFlagSet("policy", flag.ContinueOnError)
	flags.SetOutput(notes)
	flags.StringVar(&p.region, "region", "", "the function's `Region` (else AWS_REGION of the input, else the placeholder REGION)")
	flags.StringVar(&p.account, "account", "", "the `account` of parameters, secrets and keys (else the placeholder ACCOUNT)")
	flags.StringVar(&p.key, "key", "", "`ARN` of the KMS key of ciphertexts that name none, and of encrypted parameters and secrets; "+
		"without it those are taken to be under the default keys, which need no permission")
	flags.StringVar(&p.function, "function", "", "`name` of the function, which the Lambda console binds ciphertexts to (else AWS_LAMBDA_FUNCTION_NAME of the input, else the placeholder FUNCTION)")
	flags.StringVar(&vars, "vars", "", "variables that WithVars declares, as `scheme:NAME,…`: kms:DB_PASSWORD,ssm:TOKEN")
	flags.BoolVar(&p.batch, "batch", false, "the function uses WithBatchGetSecretValue")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch flags.NArg() {
	case 0:
	case 1:
		file, err := os.Open(flags.Arg(0))
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	default:
		return errors.New("at most one file can be read")
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	environments, err := read(text)
	if err != nil {
		return err
	}
	declared, err := parseVars(vars)
	if err != nil {
		return err
	}
	for name := range declared {
		if !slices.ContainsFunc(environments, func(environ map[string]string) bool { _, ok := environ[name]; return ok }) {
			return fmt.Errorf("-vars: the input has no variable %s", name)
		}
	}
	for _, environ := range environments {
		if err := p.add(environ, declared); err != nil {
			return err
		}
	}
	if len(p.policy.Statement) == 0 {
		return errors.New("there is no reference in the environment: nothing to allow")
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p.policy); err != nil {
		return err
	}
	for _, note := range p.notes() {
		fmt.Fprintln(notes, note)
	}
	return nil
}

// parseVars reads -vars: name → scheme.
func parseVars(text string) (map[string]secrets.Scheme, error) {
	declared := map[string]secrets.Scheme{}
	for item := range strings.SplitSeq(text, ",") {
		if item == "" {
			continue
		}
		scheme, name, ok := strings.Cut(item, ":")
		if scheme == "sm" {
			scheme = string(secrets.SecretsManager)
		}
		known := []secrets.Scheme{secrets.KMS, secrets.SSM, secrets.SecretsManager, secrets.Literal}
		if !ok || name == "" || !slices.Contains(known, secrets.Scheme(scheme)) {
			return nil, fmt.Errorf("-vars: %q is not scheme:NAME with kms, ssm, sm or literal", item)
		}
		declared[name] = secrets.Scheme(scheme)
	}
	return declared, nil
}
