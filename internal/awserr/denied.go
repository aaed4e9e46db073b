package awserr

import (
	"cmp"
	"strings"

	"github.com/lambdasecrets/secrets/internal/arn"
	"github.com/lambdasecrets/secrets/internal/iam"
)

// after returns the word that follows mark in AWS's message, or "".
func (e *Error) after(mark string) string {
	_, rest, _ := strings.Cut(e.Message, mark)
	word, _, _ := strings.Cut(rest, " ")
	return word
}

func (e *Error) says(words string) bool { return strings.Contains(e.Message, words) }

// Account returns the account of the caller as AWS's message names it, or "". So does a
// nil e.
func (e *Error) Account() string {
	if e == nil {
		return ""
	}
	caller, _ := arn.Parse(e.after("User: "))
	return caller.Account
}

// Resource returns the resource that AWS's message denies, an ARN, or "".
func (e *Error) Resource() string {
	if resource := e.after("on resource: "); arn.Is(resource) {
		return resource
	}
	return ""
}

// Names reports whether AWS's message denies the very id that was sent, which is a
// name.
func (e *Error) Names(id string) bool { return e.after("on resource: ") == id }

// action is what was denied: an encrypted value takes more than the operation that was
// called.
func (c *Case) action() string { return cmp.Or(c.after("to perform: "), c.Operation) }

// role is who was denied.
func (c *Case) role() string {
	if role, _, ok := strings.Cut(c.after(":assumed-role/"), "/"); ok {
		return "role " + role
	}
	return "the function's role"
}

// policy returns the kind of policy that decided, where AWS's message says so, and whether
// that one denies, rather than lacks an Allow.
func (e *Error) policy() (kind string, denies bool) {
	for _, kind := range []string{
		"identity-based policy", "resource-based policy", "service control policy",
		"resource control policy", "session policy", "VPC endpoint policy",
		"permissions boundary",
	} {
		denies := e.says("explicit deny in a "+kind) || e.says("explicit deny in an "+kind)
		if denies || e.says("because no "+kind) {
			return kind, denies
		}
	}
	return "", false
}

// denied is the advice for a denial. Where another policy than the role's own decided, an
// Allow there would not help.
func (c *Case) denied() string {
	policy, denies := c.policy()
	switch {
	case c.says("different AWS account"):
		return "a secret that is read from another account must be encrypted under a " +
			"customer managed key that allows this role kms:Decrypt"
	case c.service() == "ssm" && strings.HasSuffix(c.Resource(), ":*"): // no name ends so
		return malformed + "; AWS denies such names on …:*"
	case policy != "":
		return c.byPolicy(policy, denies)
	case c.says("explicit deny"):
		return "a Deny in some policy matches " + c.role() + ", its own or one above it " +
			"(resource, boundary, session, organization, VPC endpoint): find it and " +
			"narrow it; another Allow does not help"
	case c.action() == "kms:Decrypt":
		return c.allow() + ", in its policy and in the key's; KMS says the same where " +
			"the key is in another Region or account, or gone, and where a policy " +
			"asks for an encryption context"
	case c.says("KMS"), c.says("customer master key"):
		return "allow " + c.role() + " kms:Decrypt on " + c.scope().KeyARN("KEY-ID") +
			" (the key it is encrypted under), in its policy and in the key's"
	}
	return c.allow() + c.absent() + c.besides()
}

func (c *Case) byPolicy(policy string, denies bool) string {
	switch {
	case policy == "identity-based policy" && denies:
		return "a Deny in the policies of " + c.role() + " matches: narrow it; another " +
			"Allow does not help"
	case policy == "identity-based policy":
		return c.allow() + c.absent() + c.besides()
	case policy == "resource-based policy" && !denies:
		return c.byResource()
	case policy == "VPC endpoint policy":
		return "change the policy of the VPC endpoint " + c.vpcEndpoint() +
			"; an Allow in the role's policy does not help"
	}
	return "ask who manages the " + policy + "; an Allow in the role's policy does not help"
}

// byResource is the advice where the resource's own policy lacks an Allow.
func (c *Case) byResource() string {
	switch service, _, _ := strings.Cut(c.action(), ":"); service {
	case "kms":
		return "allow " + c.role() + " kms:Decrypt in the key's policy (or let that " +
			"policy delegate to IAM, by its account's root), and in the role's"
	case "ssm":
		return "share the parameter with this account by AWS RAM (advanced tier, full ARN), " +
			"and allow " + c.role() + " " + c.actions() + " on that ARN"
	}
	return "allow " + c.role() + " " + c.action() + " in the secret's resource policy, and " +
		"kms:Decrypt in the policy of its key"
}

// allow says what a policy should allow.
func (c *Case) allow() string {
	id := c.ID
	switch action := c.action(); {
	case action == "kms:Decrypt" && strings.Contains(c.Resource(), ":key/"):
		id = c.Resource()
	case action == "kms:Decrypt":
		if id = c.Key; id == "" || strings.Contains(id, "alias/") {
			id = "KEY-ID"
		}
	case action == "ssm:GetParametersByPath":
		id = strings.TrimSuffix(id, "*")
	case strings.HasPrefix(action, "secretsmanager:"):
		if name, ok := iam.ReferenceSecret(id); ok {
			id = name
		}
	}
	resource := "*"
	if needs := c.scope().Needs(c.action(), id); len(needs) > 0 {
		resource = needs[0].Resource
	}
	return "allow " + c.role() + " " + c.actions() + " on " + resource
}

// actions names what a policy should allow: a parameter is read by GetParameters
// together with others, and by GetParameter alone.
func (c *Case) actions() string {
	action := c.action()
	if action == "ssm:GetParameter" || action == "ssm:GetParameters" {
		return "ssm:GetParameter and ssm:GetParameters"
	}
	return action
}

// scope is where the value is, and its key: in the account of its ARN, else in the
// caller's.
func (c *Case) scope() iam.Scope {
	account := ""
	if id, ok := arn.Parse(c.ID); ok && c.service() != "kms" {
		account = id.Account
	}
	return iam.Scope{
		Region:  cmp.Or(c.Region, "REGION"),
		Account: cmp.Or(account, c.Account(), "ACCOUNT"),
	}
}

// absent adds that a secret may not exist. Of an absent one AWS says that it is denied
// unless a policy covers its bare name, which …:secret:NAME-?????? does not. AWS
// repeats the id as it was sent, so nothing in the message tells the two apart.
func (c *Case) absent() string {
	switch {
	case c.service() != "secretsmanager":
		return ""
	case !arn.Is(c.ID):
		return "; or there is no such secret in " + c.Region + ": AWS denies an " +
			"absent name too"
	case iam.FullSecretARN(c.ID):
		return "; or there is no such secret; " + c.sixCharacters()
	}
	return "; or there is no such secret, or the ARN is not the name's: AWS denies " +
		"an absent one too"
}

// besides adds what an encrypted value takes.
func (c *Case) besides() string {
	action, scope := c.action(), c.scope()
	key := "; under a customer managed key also kms:Decrypt on " + scope.KeyARN("KEY-ID") +
		", in the key's policy too"
	secret, ok := iam.ReferenceSecret(c.ID)
	switch {
	case action == "kms:Decrypt":
		return ", and in the key's policy"
	case strings.HasPrefix(action, "ssm:Get") && ok:
		return "; and secretsmanager:GetSecretValue on " + scope.SecretARN(secret) + key
	case strings.HasPrefix(action, "ssm:Get"), action == "secretsmanager:GetSecretValue":
		return key
	}
	return ""
}
