package awserr

import (
	"encoding/base64"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"

	"github.com/lambdasecrets/secrets/internal/iam"
)

// A Case is a failure and what is known of the request, to give advice by.
type Case struct {
	Error            // Class alone, where AWS answered something that is no error
	Operation string // "ssm:GetParameters"
	ID        string // as the reference has it: name, path, ARN; for KMS the ciphertext's bytes, which are looked at and never shown
	Key       string // of a KMS reference that names one
	Version   string // version, label or stage asked for
	Region    string
	Host      string // that was asked

}

// Next returns what to do, in a line, or "" where nothing better is known than AWS's own words.
func (c Case) Next() string {
	switch {
	case c.Reason == NoRegion, c.Region == "" && Credentials(c.Code): // with an endpoint of one's own the SDK signs for no Region
		return "set AWS_REGION, or state ?region= in the reference"
	case c.Reason == NoEndpoint:
		return "write AWS_ENDPOINT_URL, or BaseEndpoint in the aws.Config, as http://HOST:PORT"
	case c.Reason == NoCredentials:
		return "on Lambda the function's role provides them; elsewhere set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its like"
	case c.Reason != "":
		return c.network()
	case Credentials(c.Code):
		if strings.Contains(c.Message, "Signature expired") || strings.Contains(c.Message, "not yet current") {
			return skewed
		}
		return credentials[c.Code]
	}
	switch c.Class {
	case Throttled:
		op, _ := iam.Lookup(c.Operation)
		return op.Quota
	case NotFound:
		return c.missing()
	case AccessDenied:
		return c.denied()
	case Decrypt:
		return c.undecryptable()
	case Invalid:
		return c.invalid()
	}
	switch {
	case c.Status >= 500:
		return "it is retried by itself; if it stays, see the AWS Health Dashboard for " + c.Region
	case c.Code != "":
		return "it is retried by itself; if it stays, look the code up, or give AWS Support the request id"
	}
	// AWS answered, and the answer makes no sense.
	return "it is retried by itself; if it stays, see whether HTTPS_PROXY or AWS_ENDPOINT_URL leads elsewhere, and who answers there"
}

func (c Case) service() string {
	service, _, _ := strings.Cut(c.Operation, ":")
	return service
}

// network is the advice where there was no answer of the API.
func (c Case) network() string {
	host, _, err := net.SplitHostPort(c.Host)
	if err != nil {
		host = c.Host
	}
	if host != "" && !strings.Contains(host, ".amazonaws.") && !strings.Contains(host, "api.aws") && !strings.Contains(host, ".amazonwebservices.") {
		return "this is not AWS's own endpoint: see AWS_ENDPOINT_URL, or BaseEndpoint in the aws.Config, and whether it is up"
	}
	if c.Reason == Timeout && c.Status != 0 {
		return "it is retried by itself" // the way to AWS is open
	}
	endpoint := "com.amazonaws." + c.Region + "." + c.service()
	switch c.Reason {
	case Broken:
		return "it is retried by itself; if it stays, see whether anything between here and AWS cuts connections, such as a NAT gateway or a proxy"
	case Timeout, GivenUp, Refused:
		return "a function in a VPC needs a way to AWS: a NAT gateway, or the VPC endpoint " + endpoint + " with private DNS and a security group that lets in 443 from the function's"
	case UnknownHost:
		return "check that Region " + c.Region + " exists, and the VPC's DNS: enableDnsSupport, and private DNS on the endpoint " + endpoint
	case Certificate:
		return "something between here and AWS answers with a certificate of its own: name its CA in AWS_CA_BUNDLE, or keep the proxy out (NO_PROXY)"
	case Foreign:
		if c.Status >= 500 {
			return "it is retried by itself; if it stays, see whether HTTPS_PROXY or AWS_ENDPOINT_URL leads elsewhere"
		}
		return "see whether HTTPS_PROXY or AWS_ENDPOINT_URL leads elsewhere, and who answers there"
	}
	return "it is retried by itself"
}

// missing is the advice for what does not exist.
func (c Case) missing() string {
	region := ""
	if !strings.HasPrefix(c.ID, "arn:") && c.Region != "" {
		region = "; " + c.Region + " was asked, and ?region= asks another Region"
	}
	switch {
	case strings.Contains(c.Message, "marked for deletion"):
		return "restore it (aws secretsmanager restore-secret), or refer to what replaces it"
	case strings.Contains(c.Message, "staging label: AWSCURRENT"):
		return "the secret exists and has no value yet: store one"
	case strings.Contains(c.Message, "staging label:"), strings.Contains(c.Message, "VersionId:"):
		return "the secret exists without that version or stage; AWSPENDING is there only during a rotation, versions without a stage are removed in time"
	case c.service() == "ssm" && c.Version != "":
		return "check the name" + region + "; of a parameter 100 versions are kept, and none of those before it was deleted and made again"
	case c.service() == "secretsmanager" && strings.HasPrefix(c.ID, "arn:"):
		return "check the ARN: its last six characters change when a secret is deleted and made again; a name would not"
	}
	return "check the name" + region
}

// undecryptable is the advice where KMS has no plaintext for us.
func (c Case) undecryptable() string {
	switch {
	case c.Code == "InvalidCiphertextException":
		return c.ciphertext()
	case c.Code == "IncorrectKeyException":
		return "it was encrypted under another key than ?key= names"
	case c.Code == "InvalidKeyUsageException":
		return "the key is not a symmetric one for encryption; ciphertext of asymmetric keys is not supported"
	case strings.Contains(c.Message, "pending deletion"):
		return "take the deletion back while it is pending (aws kms cancel-key-deletion, then enable-key): afterwards nothing can decrypt this value"
	case strings.Contains(c.Message, "is disabled"):
		return "enable the key (aws kms enable-key)"
	case strings.HasPrefix(c.Message, "Invalid arn"), c.Code == "NotFoundException":
		return "no such key in Region " + c.Region + " of the account asked: a key ARN in ?key= sends the call to its own Region"
	case c.service() != "kms":
		return "see whether its KMS key is disabled, pending deletion or gone, and whether it still allows this role kms:Decrypt"
	}
	return "see the state of the key"
}

// ciphertext tells the usual mistakes apart by the first bytes. AWS does not publish its format and may change it: this picks words, and decides nothing.
func (c Case) ciphertext() string {
	b := c.ID
	_, twice := base64.StdEncoding.DecodeString(b)
	switch {
	case len(b) > 16 && twice == nil:
		return "the bytes are base64 text again: it was encoded twice; store it decoded once"
	case strings.HasPrefix(b, "\x01\x80"), strings.HasPrefix(b, "\x02\x05\x78"), strings.HasPrefix(b, "\x02\x04\x78"):
		return "it is an AWS Encryption SDK message, such as the raw value of an advanced-tier parameter, which KMS alone cannot decrypt: refer to the parameter, ssm:///NAME"
	case len(b) > 5 && b[0] == 1 && b[3:5] == "\x00\x78":
		return "the encryption context is not among those tried, or the text was damaged: the Lambda console binds a value to its function's name, so in a renamed or cloned function " +
			"encrypt it again or state ?context.LambdaFunctionName=OLD-NAME; the raw value of a SecureString needs ?context.PARAMETER_ARN=ARN; the Region must be the one it was encrypted in"
	case len(b) == 256, len(b) == 384, len(b) == 512:
		return "it may be ciphertext of an asymmetric key, which is not supported"
	}
	return "it does not look like ciphertext of KMS: it must be the whole CiphertextBlob that Encrypt returned, in base64"
}

// invalid is the advice for a request that AWS does not accept.
func (c Case) invalid() string {
	switch {
	case c.Code == "InvalidRequestException" && strings.Contains(c.Message, "VersionStage"):
		return "the version does not have that stage: state one of the two"
	case c.service() == "ssm":
		return malformed
	case c.service() == "secretsmanager":
		return "a secret's name has letters, digits and /_+=.@-! only; another account's secret takes its full ARN"
	}
	return "KMS refused the form of the request, before it looked at the ciphertext: check ?key= and the ?context.NAME= pairs"
}

const malformed = "the name is malformed: one with a slash begins with a slash (ssm:///app/db), and has letters, digits and .-_ only"

var (
	resourceIn = onUse(`on resource: (arn:\S+)`)
	actionIn   = onUse(`to perform: ([a-z]+:[A-Za-z]+)`)
	roleIn     = onUse(`arn:[a-z-]+:sts::([0-9]{12}):assumed-role/([^/\s]+)/`)
	userIn     = onUse(`arn:[a-z-]+:(?:iam|sts)::([0-9]{12}):`)
	clauseIn   = onUse(`(because no|with an explicit deny in an?) ((?:identity-based|resource-based|service control|resource control|session|VPC endpoint) policy|permissions boundary)`)
)

// onUse compiles an expression when it is first needed: most cold starts see no error, and should not pay for them.
func onUse(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// Account returns the account of the caller as AWS's message names it, or "". So does a nil e.
func (e *Error) Account() string {
	if e == nil {
		return ""
	}
	if m := userIn().FindStringSubmatch(e.Message); m != nil {
		return m[1]
	}
	return ""
}

// Resource returns the resource that AWS's message denies, or "".
func (e *Error) Resource() string {
	if m := resourceIn().FindStringSubmatch(e.Message); m != nil {
		return m[1]
	}
	return ""
}

// denied is the advice for a denial. AWS often says whose policy decided; where that is not the role's own, an Allow there would not help.
func (c Case) denied() string {
	if strings.Contains(c.Message, "different AWS account") {
		return "a secret that is read from another account must be encrypted under a customer managed key that allows this role kms:Decrypt"
	}
	if c.service() == "ssm" && strings.HasSuffix(c.Resource(), ":*") && !strings.Contains(c.Resource(), "parameter") {
		return malformed + "; AWS denies such names on …:*"
	}
	action, who := c.Operation, "the function's role"
	if m := actionIn().FindStringSubmatch(c.Message); m != nil {
		action = m[1]
	}
	if m := roleIn().FindStringSubmatch(c.Message); m != nil {
		who = "role " + m[2]
	}
	allow := fmt.Sprintf("allow %s %s on %s", who, c.actions(action), c.resource(action))
	if clause := clauseIn().FindStringSubmatch(c.Message); clause != nil {
		denies, policy := clause[1] != "because no", clause[2]
		switch {
		case policy == "identity-based policy" && denies:
			return "a Deny in the policies of " + who + " matches: narrow it; another Allow does not help"
		case policy == "identity-based policy":
			return allow + c.absent() + c.besides(action)
		case policy == "resource-based policy" && !denies:
			return c.byResource(action, who)
		case policy == "VPC endpoint policy":
			return "change the policy of the VPC endpoint com.amazonaws." + c.Region + "." + c.service() + "; an Allow in the role's policy does not help"
		}
		return "ask who manages the " + policy + "; an Allow in the role's policy does not help"
	}
	if strings.Contains(c.Message, "explicit deny") {
		return "a Deny in some policy matches " + who + ", its own or one above it (resource, boundary, session, organization, VPC endpoint): find it and narrow it; another Allow does not help"
	}
	switch {
	case action == "kms:Decrypt":
		return allow + ", in its policy and in the key's; KMS says the same where the key is in another Region or account, or gone, and where a policy asks for an encryption context"
	case strings.Contains(c.Message, "KMS") || strings.Contains(c.Message, "customer master key"):
		return fmt.Sprintf("allow %s kms:Decrypt on %s (the key it is encrypted under), in its policy and in the key's", who, c.scope().KeyARN("KEY-ID"))
	case c.Code == "": // a 403 without a code: somebody's page
		return c.network()
	}
	return allow + c.besides(action)
}

// scope is where the value is, and its key: in the account of its ARN, else in the caller's.
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

// actions names what a policy should allow where action was denied: a parameter is read by GetParameters together with others, and by GetParameter alone.
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
		if id = c.Key; strings.Contains(c.Resource(), ":key/") {
			id = c.Resource()
		} else if id == "" || strings.Contains(id, "alias/") {
			id = "KEY-ID"
		}
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

// absent adds that a secret may not exist. AWS checks an absent one under its bare name, which …:secret:NAME-?????? does not cover.
func (c Case) absent() string {
	if r := c.Resource(); strings.Contains(r, ":secret:") && !iam.FullSecretARN(r) {
		return "; or there is no such secret in " + c.Region + ", for AWS names its ARN without the six last characters"
	}
	return ""
}

// besides adds what an encrypted value takes.
func (c Case) besides(action string) string {
	key := "; under a customer managed key also kms:Decrypt on " + c.scope().KeyARN("KEY-ID") + ", in the key's policy too"
	secret, ok := iam.ReferenceSecret(c.ID)
	switch {
	case action == "kms:Decrypt":
		return ", and in the key's policy"
	case strings.HasPrefix(action, "ssm:Get") && ok:
		return "; and secretsmanager:GetSecretValue on " + c.scope().SecretARN(secret) + key
	case strings.HasPrefix(action, "ssm:Get"), action == "secretsmanager:GetSecretValue":
		return key
	}
	return ""
}

// byResource is the advice where the resource's own policy decides.
func (c Case) byResource(action, who string) string {
	switch service, _, _ := strings.Cut(action, ":"); service {
	case "kms":
		return "allow " + who + " kms:Decrypt in the key's policy (or let that policy delegate to IAM, by its account's root), and in the role's"
	case "ssm":
		return "share the parameter with this account by AWS RAM (advanced tier, full ARN), and allow " + who + " " + c.actions(action) + " on that ARN"
	}
	return "allow " + who + " " + action + " in the secret's resource policy, and kms:Decrypt in the policy of its key"
}
