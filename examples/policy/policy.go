package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/lambdasecrets/secrets/examples/internal/environ"
	"github.com/lambdasecrets/secrets/internal/arn"
	"github.com/lambdasecrets/secrets/internal/iam"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// policy is an IAM policy document.
type policy struct {
	Version   string
	Statement []*statement

	account string // of the role that it is for
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
	region, account, function string
	keys                      []string
	batch                     bool
	role                      string // the function's own

	policy policy             // of the function
	roles  map[string]*policy // of the roles that references state: ARN → what it must allow
	trusts map[string]string  // ARN of such a role → the function's role, which it must trust
	into   *policy            // the one that is written

	names     []string // placeholders for names that only the deployment knows
	usedKeys  []string
	encrypted bool // there are parameters or secrets, which may be under a key
}

// add adds what the references of one environment need.
func (p *printer) add(e environ.Environment, refs []environ.Reference) {
	p.policy.Version = "2012-10-17"
	home := cmp.Or(p.region, e.Region, e.Lookup("AWS_REGION"), "REGION")
	account := cmp.Or(p.account, e.Account, "ACCOUNT")
	function := cmp.Or(p.function, e.Function, e.Lookup("AWS_LAMBDA_FUNCTION_NAME"), "FUNCTION")
	partition := "arn:" + arn.Partition(home) + ":"
	known := strings.NewReplacer(environ.RegionStandIn, home, environ.AccountStandIn, account)
	for _, r := range refs {
		ref := r.Ref
		p.into = &p.policy
		account := account
		if ref.Role != "" {
			account = accountOf(ref.Role)
			p.allow("Roles", nil, ref.Role, "sts:AssumeRole")
			p.enter(ref.Role, cmp.Or(p.role, e.Role,
				"arn:aws:iam::"+cmp.Or(p.account, e.Account, "ACCOUNT")+":role/FUNCTION-ROLE"))
		}
		p.names = append(p.names, environ.Unknowns(ref.ID)...)
		if strings.Contains(ref.ID, environ.RegionStandIn) {
			ref.ID = strings.Replace(ref.ID, "arn:aws:", partition, 1)
		}
		ref.ID, ref.Region = known.Replace(ref.ID), known.Replace(ref.Region)
		p.source(iam.Scope{Region: cmp.Or(ref.Region, home), Account: account}, home, ref, function)
		if second, ok := ref.InFailover(); ok {
			p.source(iam.Scope{Region: second.Region, Account: account}, home, second, function)
		}
	}
}

// source adds what one source needs, in one Region.
func (p *printer) source(scope iam.Scope, home string, ref refsyntax.Ref, function string) {
	switch ref.Scheme {
	case refsyntax.KMS:
		p.ciphertext(scope, home, ref, function)
	case refsyntax.SSM:
		p.parameter(scope, home, ref)
	case refsyntax.SecretsManager:
		p.secret(scope, home, ref)
	}
}

// enter goes on with the policy of a role that the function assumes.
func (p *printer) enter(role, function string) {
	if p.roles == nil {
		p.roles, p.trusts = map[string]*policy{}, map[string]string{}
	}
	if p.roles[role] == nil {
		p.roles[role] = &policy{Version: "2012-10-17", account: accountOf(role)}
	}
	p.into, p.trusts[role] = p.roles[role], function
}

// accountOf is the account in an ARN.
func accountOf(text string) string {
	a, _ := arn.Parse(text)
	return a.Account
}

// trust is the trust policy of a role that the function assumes.
func trust(function string) any {
	return map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]string{"AWS": function}, "Action": "sts:AssumeRole",
	}}}
}

// all are the policies: the function's, then those of roles.
func (p *printer) all() []*policy {
	all := []*policy{&p.policy}
	for _, role := range slices.Sorted(maps.Keys(p.roles)) {
		all = append(all, p.roles[role])
	}
	return all
}

// escapes writes characters that have a meaning in a pattern.
var escapes = strings.NewReplacer("$", "${$}", "*", "${*}", "?", "${?}")

// ciphertext allows kms:Decrypt on its key, bound to its encryption context.
func (p *printer) ciphertext(scope iam.Scope, home string, ref refsyntax.Ref, function string) {
	const keys = "kms:EncryptionContextKeys"
	c := condition{}
	switch ref.Context {
	case refsyntax.ContextNone:
		c["Null"] = map[string][]string{keys: {"true"}}
	// tried without a context and with the function's name: allow both, and nothing else
	case "", refsyntax.ContextConsole:
		c["ForAllValues:StringEquals"] = map[string][]string{keys: {"LambdaFunctionName"}}
		c["StringEqualsIfExists"] = map[string][]string{"kms:EncryptionContext:LambdaFunctionName": {function}}
	default:
		pairs := ref.EncryptionContext()
		c["ForAllValues:StringEquals"] = map[string][]string{keys: slices.Sorted(maps.Keys(pairs))}
		for name, value := range pairs {
			operator := "StringEquals"
			// IAM would read a policy variable. Evaluators agree on escapes in patterns
			if strings.Contains(value, "${") {
				operator, value = "StringLike", escapes.Replace(value)
			}
			if c[operator] == nil {
				c[operator] = map[string][]string{}
			}
			c[operator]["kms:EncryptionContext:"+name] = []string{value}
		}
	}
	named := []string{ref.Key}
	if ref.Key == "" || strings.Contains(ref.Key, "alias/") { // an alias grants nothing in a policy
		if named = p.keysIn(scope.Region, home); len(named) == 0 {
			named = []string{"KEY-ID"}
		}
	}
	for _, key := range named {
		p.allow("Ciphertexts", c, scope.KeyARN(key), "kms:Decrypt")
	}
}

// keysIn returns the keys of -key that are in a Region. A key decrypts in its own Region only: that of its ARN, or the
// function's. A multi-Region key has a replica of the same id in others.
func (p *printer) keysIn(region, home string) (keys []string) {
	for _, key := range p.keys {
		in, id := home, key
		if f := strings.SplitN(key, ":", 6); len(f) == 6 {
			if p.into != &p.policy && f[4] != p.into.account {
				continue // a role of another account reads what is under keys there
			}
			in, id = f[3], strings.TrimPrefix(f[5], "key/")
		}
		switch {
		case in == region:
			keys = append(keys, key)
		case strings.HasPrefix(id, "mrk-"):
			keys = append(keys, strings.Replace(key, ":"+in+":", ":"+region+":", 1))
		default:
			continue
		}
		p.usedKeys = append(p.usedKeys, key)
	}
	return keys
}

func (p *printer) parameter(scope iam.Scope, home string, ref refsyntax.Ref) {
	arn := scope.ParameterARN(ref.ID)
	if strings.HasSuffix(ref.ID, "/*") {
		p.allow("ParameterTrees", nil, arn, "ssm:GetParametersByPath")
	} else {
		// Several names go by GetParameters, a lone one by GetParameter.
		p.allow("Parameters", nil, arn, "ssm:GetParameter", "ssm:GetParameters")
	}
	if name, ok := iam.ReferenceSecret(ref.ID); ok {
		ref.ID = name
		p.secret(scope, home, ref)
		return
	}
	p.encrypted = true
	for _, key := range p.keysIn(scope.Region, home) {
		p.through("ParametersKey", scope.ParameterKey(ref.ID, key))
	}
}

func (p *printer) secret(scope iam.Scope, home string, ref refsyntax.Ref) {
	arn := scope.SecretARN(ref.ID)
	p.allow("Secrets", nil, arn, "secretsmanager:GetSecretValue")
	if ref.Optional {
		// An absent secret has no six characters: denied on its bare name, it would not read as absent.
		p.allow("Secrets", nil, strings.TrimSuffix(arn, "-??????"), "secretsmanager:GetSecretValue")
	}
	if p.batch {
		p.allow("SecretsInBatches", nil, "*", "secretsmanager:BatchGetSecretValue") // it takes no resource
	}
	p.encrypted = true
	for _, key := range p.keysIn(scope.Region, home) {
		p.through("SecretsKey", scope.SecretKey(ref.ID, key))
	}
}

// through allows what a service decrypts on the function's behalf.
func (p *printer) through(sid string, need iam.Need) {
	c := condition{"StringEquals": {}, "StringLike": {}}
	for key, value := range need.Condition {
		operator := "StringLike" // the ARN may hold wildcards
		if key == "kms:ViaService" {
			operator = "StringEquals"
		}
		c[operator][key] = []string{value}
	}
	p.allow(sid, c, need.Resource, need.Action)
}

// allow adds a statement, or a resource to the one with the same actions and conditions, or, where the resource is
// there already, a value to its conditions.
func (p *printer) allow(sid string, c condition, resource string, actions ...string) {
	for _, s := range p.into.Statement {
		if s.Sid != sid {
			continue
		}
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
	p.into.Statement = append(p.into.Statement, &statement{sid, "Allow", actions, []string{resource}, c})
}

// merge adds the encryption contexts of d, if both are through the same service. Each names one ARN, so any pair of
// them may be allowed.
func (c condition) merge(d condition) bool {
	if !reflect.DeepEqual(c["StringEquals"], d["StringEquals"]) {
		return false
	}
	for key, values := range d["StringLike"] {
		for _, v := range values {
			if !slices.Contains(c["StringLike"][key], v) {
				c["StringLike"][key] = append(c["StringLike"][key], v)
			}
		}
	}
	return true
}

// trim takes out what another part of the policy allows already.
func (p *policy) trim() {
	const context = "kms:EncryptionContext:LambdaFunctionName"
	for _, s := range p.Statement {
		s.Resource = uncovered(s.Resource)
		for key, values := range s.Condition["StringLike"] {
			s.Condition["StringLike"][key] = uncovered(values)
		}
		function := s.Condition["StringEqualsIfExists"][context]
		if function == nil {
			continue
		}
		// The statement for both tries of the default covers one without a context, and one with the function's name.
		for _, other := range p.Statement {
			stated := other.Condition["StringEquals"]
			if other.Condition["Null"] != nil || len(stated) == 1 && slices.Equal(stated[context], function) {
				other.Resource = slices.DeleteFunc(other.Resource,
					func(r string) bool { return slices.Contains(s.Resource, r) })
			}
		}
	}
	p.Statement = slices.DeleteFunc(p.Statement, func(s *statement) bool { return len(s.Resource) == 0 })
	count := map[string]int{}
	for _, s := range p.Statement {
		if count[s.Sid]++; count[s.Sid] > 1 { // Sids are unique in a policy
			s.Sid += fmt.Sprint(count[s.Sid])
		}
	}
}

// uncovered drops the texts that a pattern among them matches.
func uncovered(texts []string) (kept []string) {
	for _, text := range texts {
		if !slices.ContainsFunc(texts, func(pattern string) bool { return pattern != text && like(pattern, text) }) {
			kept = append(kept, text)
		}
	}
	return kept
}

// like reports whether a pattern with * and ? matches text, which may be a pattern itself.
func like(pattern, text string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return false
	}
	expression := strings.NewReplacer(`\*`, ".*", `\?`, "[^*]").Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile("^" + expression + "$").MatchString(text)
}

// IAM's limits, in characters without white space.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	managedLimit = 6144
	inlineLimit  = 10240
)

// notes says what is left to fill in or to look at.
func (p *printer) notes() []string {
	var notes []string
	all := "\n" + strings.Join(p.text(), "\n") + "\n"
	// within: a parameter, too, may be called so
	for _, placeholder := range []struct{ name, within, flag, what string }{
		{"REGION", ":REGION:", "-region", "the function's Region"},
		{"ACCOUNT", ":ACCOUNT:", "-account", "the account that holds parameters, secrets and keys"},
		{"KEY-ID", ":key/KEY-ID\n", "-key", "the key that ciphertexts are under, as kms decrypt prints it"},
		{"FUNCTION", "\nFUNCTION\n", "-function", "the function's name"},
	} {
		if strings.Contains(all, placeholder.within) {
			notes = append(notes, fmt.Sprintf("replace %s: %s (or run again with %s)", placeholder.name,
				placeholder.what, placeholder.flag))
		}
	}
	slices.Sort(p.names)
	for _, name := range slices.Compact(p.names) {
		notes = append(notes, fmt.Sprintf("replace %s: the name that the deployment puts there; of a secret's ARN "+
			"the part behind :secret:, without the hyphen and six characters at its end", name))
	}
	for _, key := range p.keys {
		if !slices.Contains(p.usedKeys, key) {
			notes = append(notes, fmt.Sprintf("-key %s: no reference is in its Region, so it is in no statement", key))
		}
	}
	if len(p.usedKeys) == 0 && p.encrypted {
		notes = append(notes, "parameters and secrets under a customer managed key need kms:Decrypt besides: "+
			"run again with -key")
	}
	for i, role := range slices.Sorted(maps.Keys(p.roles)) {
		notes = append(notes, fmt.Sprintf("document %d is for %s: what it may do; document %d is its trust policy",
			2*i+2, role, 2*i+3))
		if strings.HasSuffix(p.trusts[role], ":role/FUNCTION-ROLE") {
			notes = append(notes, "replace FUNCTION-ROLE: the function's role (or run again with -role)")
		}
	}
	for _, one := range p.all() {
		notes = append(notes, one.size()...)
	}
	return notes
}

// size says whether the policy is larger than IAM takes.
func (p *policy) size() (notes []string) {
	b, _ := json.Marshal(p) // strings only
	switch n := len([]rune(string(b))); {
	case n > inlineLimit:
		notes = append(notes, fmt.Sprintf("the policy has %d characters: more than the inline policies of "+
			"a role (%d) or a "+
			"managed policy (%d) may have; divide its statements over several managed policies", n,
			inlineLimit, managedLimit))
	case n > managedLimit:
		notes = append(notes, fmt.Sprintf("the policy has %d characters: more than a managed policy may have "+
			"(%d); make it an "+
			"inline policy of the role (%d, all of them together), or divide its statements",
			n, managedLimit, inlineLimit))
	}
	return notes
}

// text is every resource and condition value.
func (p *printer) text() (all []string) {
	for _, one := range p.all() {
		for _, s := range one.Statement {
			all = append(all, s.Resource...)
			for _, keys := range s.Condition {
				for _, values := range keys {
					all = append(all, values...)
				}
			}
		}
	}
	return all
}
