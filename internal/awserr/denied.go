package awserr

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/lambdasecrets/secrets/internal/iam"
)

var (
	resourceIn = onUse(`on resource: (\S+)`)
	actionIn   = onUse(`to perform: ([a-z]+:[A-Za-z]+)`)
	roleIn     = onUse(`arn:[a-z-]+:sts::([0-9]{12}):assumed-role/([^/\s]+)/`)
	userIn     = onUse(`arn:[a-z-]+:(?:iam|sts)::([0-9]{12}):`)
	clauseIn   = onUse(`(because no|with an explicit deny in an?) (` +
		`(?:identity-based|resource-based|service control|resource control|session|VPC endpoint)` +
		` policy|permissions boundary)`)
)

// onUse compiles an expression when it is first needed: most cold starts see no error,
// and should not pay for them.
func onUse(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// Account returns the account of the caller as AWS's message names it, or "". So does a
// nil e.
func (e *Error) Account() string {
	if e == nil {
		return ""
	}
	if m := userIn().FindStringSubmatch(e.Message); m != nil {
		return m[1]
	}
	return ""
}

// Resource returns the resource that AWS's message denies, an ARN, or "".
func (e *Error) Resource() string {
	m := resourceIn().FindStringSubmatch(e.Message)
	if m == nil || !strings.HasPrefix(m[1], "arn:") {
		return ""
	}
	return m[1]
}

// Names reports whether AWS's message denies the very id that was sent, which is a
// name.
func (e *Error) Names(id string) bool {
	m := resourceIn().FindStringSubmatch(e.Message)
	return m != nil && m[1] == id
}

// denied is the advice for a denial. AWS often says whose policy decided; where that is
// not the role's own, an Allow there would not help.
func (c Case) denied() string {
	if strings.Contains(c.Message, "different AWS account") {
		return "a secret that is read from another account must be encrypted under a " +
			"customer managed key that allows this role kms:Decrypt"
	}
	if c.service() == "ssm" && strings.HasSuffix(c.Resource(), ":*") { // no name ends so
		return malformed + "; AWS denies such names on …:*"
	}
	action, who := c.Operation, "the function's role"
	if m := actionIn().FindStringSubmatch(c.Message); m != nil {
		action = m[1]
	}
	if m := roleIn().FindStringSubmatch(c.Message); m != nil {
		who = "role " + m[2]
	}
	if clause := clauseIn().FindStringSubmatch(c.Message); clause != nil {
		return c.byClause(clause[1] != "because no", clause[2], action, who)
	}
	if strings.Contains(c.Message, "explicit deny") {
		return "a Deny in some policy matches " + who + ", its own or one above it " +
			"(resource, boundary, session, organization, VPC endpoint): find it and " +
			"narrow it; another Allow does not help"
	}
	allow := c.allow(action, who)
	switch {
	case action == "kms:Decrypt":
		return allow + ", in its policy and in the key's; KMS says the same where " +
			"the key is in another Region or account, or gone, and where a policy " +
			"asks for an encryption context"
	case strings.Contains(c.Message, "KMS") || strings.Contains(c.Message, "customer master key"):
		return fmt.Sprintf("allow %s kms:Decrypt on %s (the key it is encrypted "+
			"under), in its policy "+
			"and in the key's", who, c.scope().KeyARN("KEY-ID"))
	}
	return allow + c.absent() + c.besides(action)
}

// byClause is the advice where AWS says whose policy decided.
func (c Case) byClause(denies bool, policy, action, who string) string {
	switch {
	case policy == "identity-based policy" && denies:
		return "a Deny in the policies of " + who + " matches: narrow it; another " +
			"Allow does not help"
	case policy == "identity-based policy":
		return c.allow(action, who) + c.absent() + c.besides(action)
	case policy == "resource-based policy" && !denies:
		return c.byResource(action, who)
	case policy == "VPC endpoint policy":
		return "change the policy of the VPC endpoint " + c.vpcEndpoint() +
			"; an Allow in the role's policy does not help"
	}
	return "ask who manages the " + policy + "; an Allow in the role's policy does " +
		"not help"
}

func (c Case) allow(action, who string) string {
	return fmt.Sprintf("allow %s %s on %s", who, c.actions(action), c.resource(action))
}

// scope is where the value is, and its key: in the account of its ARN, else in the
// caller's.
func (c Case) scope() iam.Scope {
	s := iam.Scope{Region: c.Region, Account: c.Account()}
	if arn := strings.SplitN(c.ID, ":", 6); c.service() != "kms" && len(arn) == 6 {
		s.Account = arn[4]
	}
	if s.Region == "" {
		s.Region = "REGION"
	}
	if s.Account == "" {
		s.Account = "ACCOUNT"
	}
	return s
}

// actions names what a policy should allow where action was denied: a parameter is read
// by GetParameters together with others, and by GetParameter alone.
func (c Case) actions(action string) string {
	if action == "ssm:GetParameter" || action == "ssm:GetParameters" {
		return "ssm:GetParameter and ssm:GetParameters"
	}
	return action
}

// resource is the ARN to allow action on.
func (c Case) resource(action string) string {
	id := c.ID
	switch {
	case action == "kms:Decrypt":
		id = c.deniedKey()
	case action == "ssm:GetParametersByPath":
		id = strings.TrimSuffix(id, "*")
	case strings.HasPrefix(action, "secretsmanager:"):
		if name, ok := iam.ReferenceSecret(id); ok {
			id = name
		}
	}
	// The last is the narrowest: BatchGetSecretValue needs its own action on * first.
	needs := c.scope().Needs(action, id)
	for _, n := range needs {
		if n.Action == action {
			return n.Resource
		}
	}
	return "*"
}

// deniedKey is the key of a denied kms:Decrypt as far as it is known.
func (c Case) deniedKey() string {
	if strings.Contains(c.Resource(), ":key/") {
		return c.Resource()
	}
	if c.Key == "" || strings.Contains(c.Key, "alias/") {
		return "KEY-ID"
	}
	return c.Key
}

// absent adds that a secret may not exist. Of an absent one AWS says that it is denied
// unless a policy covers its bare name, which …:secret:NAME-?????? does not. AWS
// repeats the id as it was sent, so nothing in the message tells the two apart.
func (c Case) absent() string {
	if c.service() != "secretsmanager" {
		return ""
	}
	if !strings.HasPrefix(c.ID, "arn:") {
		return "; or there is no such secret in " + c.Region + ": AWS denies an " +
			"absent name too"
	}
	if iam.FullSecretARN(c.ID) {
		return "; or there is no such secret; " + c.sixCharacters()
	}
	return "; or there is no such secret, or the ARN is not the name's: AWS denies " +
		"an absent one too"
}

// besides adds what an encrypted value takes.
func (c Case) besides(action string) string {
	key := "; under a customer managed key also kms:Decrypt " +
		"on " + c.scope().KeyARN("KEY-ID") +
		", in the key's policy too"
	secret, ok := iam.ReferenceSecret(c.ID)
	switch {
	case action == "kms:Decrypt":
		return ", and in the key's policy"
	case strings.HasPrefix(action, "ssm:Get") && ok:
		return "; and secretsmanager:GetSecretValue " +
			"on " + c.scope().SecretARN(secret) + key
	case strings.HasPrefix(action, "ssm:Get"), action == "secretsmanager:GetSecretValue":
		return key
	}
	return ""
}

// byResource is the advice where the resource's own policy decides.
func (c Case) byResource(action, who string) string {
	switch service, _, _ := strings.Cut(action, ":"); service {
	case "kms":
		return "allow " + who + " kms:Decrypt in the key's policy (or let that " +
			"policy delegate to IAM, by its account's root), and in the role's"
	case "ssm":
		return "share the parameter with this account by AWS RAM (advanced tier, " +
			"full ARN), and allow " +
			who + " " + c.actions(action) + " on that ARN"
	}
	return "allow " + who + " " + action + " in the secret's resource policy, and " +
		"kms:Decrypt in the policy of its key"
}
