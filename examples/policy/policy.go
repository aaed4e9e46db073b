package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/iam"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// policy is an IAM policy document.
type policy struct {
	Version   string
	Statement []*statement
}

type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition condition `json:",omitempty"`
}

// condition is operator → key → values.
type condition map[string]map[string][]string

// printer makes a policy. What it is not told stays a placeholder.
type printer struct {
	region, account, key, function string
	batch                          bool
	policy                         policy
}

// add adds what the references of one environment need.
func (p *printer) add(environ map[string]string, declared map[string]secrets.Scheme) error {
	opts := []secrets.Option{secrets.WithEnviron(environ)}
	for name, scheme := range declared {
		if _, ok := environ[name]; ok {
			opts = append(opts, secrets.WithVars(scheme, name))
		}
	}
	env, err := secrets.New(opts...) // the library's own reading, with all that it refuses
	if err != nil {
		return err
	}
	p.policy.Version = "2012-10-17"
	region := p.region
	if region == "" {
		region = environ["AWS_REGION"]
	}
	for _, r := range env.Refs() {
		if r.Ref.Scheme() == secrets.Literal {
			continue
		}
		ref, err := refsyntax.Parse(r.Ref.Text())
		if err != nil {
			return fmt.Errorf("%s: %w", r.Variable, err)
		}
		scope := iam.Scope{Region: or(ref.Region, or(region, "REGION")), Account: or(p.account, "ACCOUNT")}
		switch secrets.Scheme(ref.Scheme) {
		case secrets.KMS:
			p.ciphertext(scope, ref, or(p.function, or(environ["AWS_LAMBDA_FUNCTION_NAME"], "FUNCTION")))
		case secrets.SSM:
			p.parameter(scope, ref)
		case secrets.SecretsManager:
			p.secret(scope, ref)
		}
	}
	return nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// ciphertext allows kms:Decrypt on its key, bound to its encryption context where that is known.
func (p *printer) ciphertext(scope iam.Scope, ref refsyntax.Ref, function string) {
	c := condition{}
	switch ref.Context {
	case refsyntax.ContextNone:
	case "", refsyntax.ContextConsole: // tried without a context and with the function's name: allow both, and nothing else
		c["ForAllValues:StringEquals"] = map[string][]string{"kms:EncryptionContextKeys": {"LambdaFunctionName"}}
		c["StringEqualsIfExists"] = map[string][]string{"kms:EncryptionContext:LambdaFunctionName": {function}}
	default:
		keys := map[string][]string{}
		for name, value := range ref.EncryptionContext() {
			keys["kms:EncryptionContext:"+name] = []string{value}
		}
		c["StringEquals"] = keys
	}
	p.allow("Ciphertexts", c, scope.KeyARN(p.keyOf(ref.Key)), "kms:Decrypt")
}

// keyOf is the key that a policy must name: an alias grants nothing there.
func (p *printer) keyOf(key string) string {
	if key == "" || strings.Contains(key, "alias/") {
		return or(p.key, "KEY-ID")
	}
	return key
}

func (p *printer) parameter(scope iam.Scope, ref refsyntax.Ref) {
	arn := scope.ParameterARN(ref.ID)
	if strings.HasSuffix(ref.ID, "/*") {
		p.allow("ParameterTrees", nil, arn, "ssm:GetParametersByPath")
	} else {
		// Several names go by GetParameters, a lone one by GetParameter.
		p.allow("Parameters", nil, arn, "ssm:GetParameter", "ssm:GetParameters")
	}
	if name, ok := iam.ReferenceSecret(ref.ID); ok {
		ref.ID = name
		p.secret(scope, ref)
		return
	}
	if p.key != "" {
		need := scope.ParameterKey(ref.ID, p.key)
		p.allow("ParametersKey", condition{
			"StringEquals": {"kms:ViaService": {need.Condition["kms:ViaService"]}},
			"StringLike":   {"kms:EncryptionContext:PARAMETER_ARN": {arn}},
		}, need.Resource, need.Action)
	}
}

func (p *printer) secret(scope iam.Scope, ref refsyntax.Ref) {
	arn := scope.SecretARN(ref.ID)
	p.allow("Secrets", nil, arn, "secretsmanager:GetSecretValue")
	if ref.Optional {
		// An absent secret has no six characters: denied on its bare name, it would not read as absent.
		p.allow("Secrets", nil, strings.TrimSuffix(arn, "-??????"), "secretsmanager:GetSecretValue")
	}
	if p.batch {
		p.allow("SecretsInBatches", nil, "*", "secretsmanager:BatchGetSecretValue") // it takes no resource
	}
	if p.key != "" {
		need := scope.SecretKey(ref.ID, p.key)
		p.allow("SecretsKey", condition{
			"StringEquals": {"kms:ViaService": {need.Condition["kms:ViaService"]}},
			"StringLike":   {"kms:EncryptionContext:SecretARN": {arn}},
		}, need.Resource, need.Action)
	}
}

// allow adds a statement, or a resource to the one with the same actions and conditions, or, where the resource is there already, a value to its conditions.
func (p *printer) allow(sid string, c condition, resource string, actions ...string) {
	same := 0
	for _, s := range p.policy.Statement {
		if strings.TrimRight(s.Sid, "0123456789") != sid {
			continue
		}
		same++
		switch {
		case reflect.DeepEqual(s.Condition, c):
			if !slices.Contains(s.Resource, resource) {
				s.Resource = append(s.Resource, resource)
			}
			return
		case sid != "Ciphertexts" && slices.Equal(s.Resource, []string{resource}) && s.Condition.merge(c):
			return
		}
	}
	s := &statement{Sid: sid, Effect: "Allow", Action: actions, Resource: []string{resource}, Condition: c}
	if same > 0 {
		s.Sid += fmt.Sprint(same + 1)
	}
	p.policy.Statement = append(p.policy.Statement, s)
}

// merge adds the encryption contexts of d, if both are otherwise alike. Each names one ARN of one service, so any pair of them may be allowed.
func (c condition) merge(d condition) bool {
	if !reflect.DeepEqual(c["StringEquals"], d["StringEquals"]) || !slices.Equal(slices.Sorted(maps.Keys(c)), slices.Sorted(maps.Keys(d))) {
		return false
	}
	for operator, keys := range d {
		if operator == "StringEquals" {
			continue
		}
		for key, values := range keys {
			for _, v := range values {
				if !slices.Contains(c[operator][key], v) {
					c[operator][key] = append(c[operator][key], v)
				}
			}
		}
	}
	return true
}

// notes says what is left to fill in.
func (p *printer) notes() []string {
	var notes []string
	all := "\n" + strings.Join(p.text(), "\n") + "\n"
	for _, placeholder := range []struct{ name, within, flag, what string }{ // within: a parameter, too, may be called so
		{"REGION", ":REGION:", "-region", "the function's Region"}, {"ACCOUNT", ":ACCOUNT:", "-account", "the account that holds parameters, secrets and keys"},
		{"KEY-ID", ":key/KEY-ID\n", "-key", "the key that ciphertexts are under"}, {"FUNCTION", "\nFUNCTION\n", "-function", "the function's name"},
	} {
		if strings.Contains(all, placeholder.within) {
			notes = append(notes, fmt.Sprintf("replace %s: %s (or run again with %s)", placeholder.name, placeholder.what, placeholder.flag))
		}
	}
	if p.key == "" && strings.Contains(all, ":parameter") || p.key == "" && strings.Contains(all, ":secret:") {
		notes = append(notes, "parameters and secrets under a customer managed key need kms:Decrypt besides: run again with -key")
	}
	return notes
}

// text is every resource and condition value.
func (p *printer) text() (all []string) {
	for _, s := range p.policy.Statement {
		all = append(all, s.Resource...)
		for _, keys := range s.Condition {
			for _, values := range keys {
				all = append(all, values...)
			}
		}
	}
	return all
}
