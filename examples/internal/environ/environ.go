// Package environ reads the environments of functions from what deployments leave behind: NAME=value lines, a
// function's configuration, a synthesized CloudFormation template, a task definition, Terraform's outputs. The policy
// printer and verify both read with it. It makes no call.
package environ

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/iam"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// An Environment holds the variables of one function.
type Environment struct {
	Where    string // what the input calls it, or ""
	Function string // its name, or ""
	Region   string // or ""
	Account  string // or ""
	Role     string // ARN of its role, or ""
	Vars     []Variable
}

// A Variable is one of them. One name may occur twice, once for each branch of an Fn::If.
type Variable struct {
	Name, Text string

	// Unknown is the expression that is the whole value, where only the deployment knows it. Text then stands in.
	Unknown string
	Holds   secrets.Scheme // what Unknown stands for, as far as the input tells; Literal: no secret

	Injected bool // ECS puts the plaintext there before the program starts
}

// A Reference is a variable that the library resolves.
type Reference struct {
	Variable string
	Ref      refsyntax.Ref
}

// LeftOut is a variable that may hold a secret and is not read as a reference.
type LeftOut struct {
	Variable, Problem, Next string

	Refused bool // by the library: the function would not start
}

// Stand-ins for what only the deployment knows: they have the form that the grammar of references asks for.
const (
	RegionStandIn  = "zz-region-0"
	AccountStandIn = "000000000000"
	NameStandIn    = "REF_" // and the name of a template's resource or parameter
)

// Lookup returns the text of a variable, or "".
func (e Environment) Lookup(name string) string {
	for _, v := range e.Vars {
		if v.Name == name {
			return v.Text
		}
	}
	return ""
}

// References reads e as the library does, with what the program declares by WithVars: name → scheme. What may be a
// secret and is not read is in left, each with what to write.
func (e Environment) References(declared map[string]secrets.Scheme) (refs []Reference, left []LeftOut) {
	for _, v := range e.Vars {
		scheme, ok := declared[v.Name]
		if scheme == secrets.Literal {
			continue
		}
		found, problem := e.one(v, scheme)
		switch {
		case problem != nil:
			left = append(left, *problem)
		case len(found) > 0:
			refs = append(refs, found...)
		case !ok:
			if p := undeclared(v); p != nil {
				left = append(left, *p)
			}
		}
	}
	return refs, left
}

// one reads one variable.
func (e Environment) one(v Variable, scheme secrets.Scheme) ([]Reference, *LeftOut) {
	if v.Injected || v.Unknown != "" && scheme == "" {
		return nil, nil
	}
	text := v.Text
	if v.Unknown != "" && scheme == secrets.KMS {
		return nil, &LeftOut{v.Name, "it is " + v.Unknown + ", and no ciphertext can stand in for it",
			"run again with the deployed function's configuration: aws lambda get-function-configuration", false}
	}
	environ := map[string]string{v.Name: text}
	if region := cmp.Or(e.Region, e.Lookup("AWS_REGION")); region != "" && !strings.Contains(text, RegionStandIn) {
		environ["AWS_REGION"] = region // a reference into another partition is refused
	}
	opts := []secrets.Option{secrets.WithEnviron(environ)}
	if scheme != "" {
		opts = append(opts, secrets.WithVars(scheme, v.Name))
	}
	env, err := secrets.New(opts...) // the library's own reading, with all that it refuses
	if err != nil {
		var failure *secrets.ResolveError
		if errors.As(err, &failure) {
			err = failure
		}
		problem, next, _ := strings.Cut(secrets.Detail(err), "next: ")
		problem = strings.TrimPrefix(strings.TrimPrefix(problem, "secrets: "), v.Name+": ")
		return nil, &LeftOut{v.Name, strings.TrimRight(problem, "; \n"), next, true}
	}
	var refs []Reference
	for _, r := range env.Refs() {
		if ref, err := refsyntax.Parse(r.Ref.Text()); err == nil && ref.Scheme != refsyntax.Literal {
			refs = append(refs, Reference{v.Name, ref})
		}
	}
	return refs, nil
}

// undeclared says what a variable that is no reference seems to hold, or nil where it seems to hold no secret.
func undeclared(v Variable) *LeftOut {
	declare := func(problem, otherwise string, schemes ...string) *LeftOut {
		for i, s := range schemes {
			schemes[i] = s + ":" + v.Name
		}
		return &LeftOut{v.Name, problem, "-vars " + strings.Join(schemes, " or ") +
			", where the program declares it by WithVars; or " + otherwise, false}
	}
	literal := "-vars literal:" + v.Name + ", if it is no secret"
	isARN := strings.HasPrefix(v.Text, "arn:")
	_, inSSM := iam.ReferenceSecret(v.Text)
	switch {
	case v.Injected:
		return &LeftOut{v.Name, "ECS injects its plaintext (valueFrom), so the library resolves nothing",
			"move it to environment as a reference, or " + literal, false}
	case v.Holds == secrets.Literal:
		return nil
	case v.Holds == secrets.SecretsManager:
		return declare("it is "+v.Unknown+", a secret's ARN, without a scheme", "write sm:// before it", "sm")
	case v.Holds == secrets.SSM:
		return declare("it is "+v.Unknown+", a parameter's name, without a scheme", "write ssm:// before it", "ssm")
	case v.Unknown != "":
		return declare("it is "+v.Unknown+", which only the deployment knows", literal, "sm", "ssm", "kms")
	case isARN && strings.Contains(v.Text, ":secretsmanager:"):
		return declare("it holds a secret's ARN without a scheme", "write sm:// before the ARN", "sm")
	case isARN && strings.Contains(v.Text, ":ssm:"):
		return declare("it holds a parameter's ARN without a scheme", "write ssm:// before the ARN", "ssm")
	case inSSM:
		return declare("it holds a parameter's name without a scheme", "write ssm:// before it", "ssm")
	case isCiphertext(v.Text):
		return declare("it holds a KMS ciphertext without a scheme", "write kms:// before it", "kms")
	}
	return nil
}

// isCiphertext reports whether text begins as what KMS's Encrypt returns does. AWS does not publish the form, so this
// serves for a hint only.
func isCiphertext(text string) bool {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	return err == nil && len(b) > 100 && b[0] == 1 && b[3] == 0 && b[4] == 0x78
}

// ParseVars reads the flag -vars: scheme:NAME,….
func ParseVars(text string, all []Environment) (map[string]secrets.Scheme, error) {
	declared := map[string]secrets.Scheme{}
	known := map[string]secrets.Scheme{
		"kms": secrets.KMS, "ssm": secrets.SSM, "sm": secrets.SecretsManager,
		"secretsmanager": secrets.SecretsManager, "literal": secrets.Literal,
	}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		scheme, name, _ := strings.Cut(item, ":")
		if known[scheme] == "" || name == "" {
			return nil, fmt.Errorf("-vars: %q is not scheme:NAME with kms, ssm, sm or literal", item)
		}
		if !has(all, name) {
			return nil, fmt.Errorf("-vars: the input has no variable %s", name)
		}
		declared[name] = known[scheme]
	}
	return declared, nil
}

func has(all []Environment, name string) bool {
	for _, e := range all {
		for _, v := range e.Vars {
			if v.Name == name {
				return true
			}
		}
	}
	return false
}
