// Package iam holds one table: which IAM action on which resource each AWS call of this
// module needs, and what CloudTrail says of it. Error details, the policy printer and the
// embedded endpoint's access checks all read it, so that what an error tells people to
// allow is what the endpoint then accepts.
//
// It evaluates nothing and makes no calls.
package iam

import (
	"strings"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// Operation describes one read operation. Its Action is also its name in this module:
// "ssm:GetParameters".
type Operation struct {
	Action   string // IAM action; service prefix, colon, operation
	Target   string // X-Amz-Target on the wire
	Resource string // resource form for a policy, placeholders in capitals
	Event    string // CloudTrail event name
	Source   string // CloudTrail event source
	Recorded string // what of it CloudTrail records; "" when nothing does
	Hint     string // what people get wrong
	Quota    string // what throttles it, and what to do
}

// The three Get operations share one quota.
const parameterQuota = "Parameter Store answers 40 reads a second per account and Region, " +
	"GetParameter, GetParameters and GetParametersByPath together: turn on its higher " +
	"throughput, or raise the TTL"

// The operations this module calls, in the order of its schemes. All are CloudTrail
// management events of kind read.
var operations = []Operation{
	{
		Action: "kms:Decrypt", Target: "TrentService.Decrypt",
		Resource: "arn:PARTITION:kms:REGION:ACCOUNT:key/KEY-ID",
		Event:    "Decrypt", Source: "kms.amazonaws.com",
		Recorded: "every call, the encryption context in plain text",
		Hint: "name the key, not an alias: an alias ARN as Resource grants nothing; the key " +
			"policy must allow it too",
		Quota: "KMS answers 10,000 cryptographic requests a second per account (100,000 in the " +
			"largest Regions), those made by other services for it included: ask for more in " +
			"Service Quotas",
	},
	{
		Action: "ssm:GetParameter", Target: "AmazonSSM.GetParameter",
		Resource: "arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME",
		Event:    "GetParameter", Source: "ssm.amazonaws.com",
		Recorded: "every call but those that end in ParameterNotFound",
		Hint:     "ssm:GetParameters does not include it",
		Quota:    parameterQuota,
	},
	{
		Action: "ssm:GetParameters", Target: "AmazonSSM.GetParameters",
		Resource: "arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME",
		Event:    "GetParameters", Source: "ssm.amazonaws.com", Recorded: "every call",
		Hint: "one name that is denied denies the whole call; ssm:GetParameter does not " +
			"include it",
		Quota: parameterQuota,
	},
	{
		Action: "ssm:GetParametersByPath", Target: "AmazonSSM.GetParametersByPath",
		Resource: "arn:PARTITION:ssm:REGION:ACCOUNT:parameter/PATH/*",
		Event:    "GetParametersByPath", Source: "ssm.amazonaws.com", Recorded: "every call",
		Hint:  "checked once, on the path as sent; what stands below it is not checked again",
		Quota: parameterQuota,
	},
	{
		Action: "secretsmanager:GetSecretValue", Target: "secretsmanager.GetSecretValue",
		Resource: "arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME-??????",
		Event:    "GetSecretValue", Source: "secretsmanager.amazonaws.com",
		Recorded: "every call",
		Hint: "end the name in -??????, never in -*, which would cover every name that " +
			"begins alike",
		Quota: "Secrets Manager answers 10,000 GetSecretValue a second per account and " +
			"Region, which cannot be raised: raise the TTL",
	},
	{
		Action: "secretsmanager:BatchGetSecretValue", Target: "secretsmanager.BatchGetSecretValue",
		Resource: "*",
		Event:    "GetSecretValue", Source: "secretsmanager.amazonaws.com",
		Recorded: "one event per secret",
		Hint: `takes no resource, so only Resource "*" grants it; ` +
			"secretsmanager:GetSecretValue is needed per secret besides",
		Quota: "Secrets Manager answers 100 BatchGetSecretValue a second per account and Region, " +
			"which cannot be raised: leave WithBatchGetSecretValue out",
	},
}

// All returns the operations. The slice is the caller's.
func All() []Operation { return append([]Operation(nil), operations...) }

// Lookup finds an operation by its action.
func Lookup(action string) (Operation, bool) {
	for _, op := range operations {
		if op.Action == action {
			return op, true
		}
	}
	return Operation{}, false
}

// Need is one permission.
type Need struct {
	Action   string
	Resource string // as a policy's Resource should say it; may hold wildcards

	// Condition holds the condition keys the request carries and a policy can narrow by:
	// key → value. Nil: none.
	Condition map[string]string
}

// Scope says where ARNs are. Empty fields are unknown and become "*", but an empty
// Partition follows from the Region.
type Scope struct{ Partition, Region, Account string }

// Needs lists what a call of action for the given ids needs, without duplicates and in
// order. Ids are what the request says: names, paths, ARNs; for KMS a key ID or key ARN.
// No id, or an alias (which stands for a key not known here), means any key. KMS keys
// that Parameter Store and Secrets Manager decrypt with are not known from a request: see
// [Scope.ParameterKey] and [Scope.SecretKey]. An action that is not in the table needs
// nothing.
func (s Scope) Needs(action string, ids ...string) []Need {
	var needs []Need
	add := func(action, resource string) {
		for _, n := range needs {
			if n.Action == action && n.Resource == resource {
				return
			}
		}
		needs = append(needs, Need{Action: action, Resource: resource})
	}
	const getSecret = "secretsmanager:GetSecretValue"
	switch action {
	case "kms:Decrypt":
		if len(ids) == 0 {
			ids = []string{""}
		}
		for _, id := range ids {
			add(action, s.KeyARN(id))
		}
	case "ssm:GetParameter", "ssm:GetParameters":
		for _, id := range ids {
			add(action, s.ParameterARN(id))
			if secret, ok := ReferenceSecret(id); ok {
				add(getSecret, s.SecretARN(secret))
			}
		}
	case "ssm:GetParametersByPath":
		for _, id := range ids {
			add(action, s.ParameterARN(strings.TrimRight(id, "/"))+"/*")
		}
	case "secretsmanager:BatchGetSecretValue":
		add(action, "*")
		fallthrough
	case getSecret:
		for _, id := range ids {
			add(getSecret, s.SecretARN(id))
		}
	}
	return needs
}

// ParameterKey is the permission that a SecureString under a customer managed key needs
// besides. Under the default key, alias/aws/ssm, nothing is needed. parameter is a name
// or ARN, key as in [Scope.KeyARN].
func (s Scope) ParameterKey(parameter, key string) Need {
	return Need{Action: "kms:Decrypt", Resource: s.KeyARN(key), Condition: map[string]string{
		"kms:ViaService":                      "ssm." + s.fill().Region + "." + dnsSuffix(s.Region),
		"kms:EncryptionContext:PARAMETER_ARN": s.ParameterARN(parameter),
	}}
}

// SecretKey is the same for a secret under a customer managed key.
func (s Scope) SecretKey(secret, key string) Need {
	service := "secretsmanager." + s.fill().Region + "." + dnsSuffix(s.Region)
	return Need{Action: "kms:Decrypt", Resource: s.KeyARN(key), Condition: map[string]string{
		"kms:ViaService":                  service,
		"kms:EncryptionContext:SecretARN": s.SecretARN(secret),
	}}
}

// ParameterARN is the ARN of a parameter given by name or path, with or without selector.
// An ARN stays as it is but for its selector. The names a and /a share one ARN. Public
// parameters (/aws/service/…) belong to no account.
func (s Scope) ParameterARN(name string) string {
	if arn.Is(name) {
		return trimSelector(name, 5)
	}
	s, name = s.fill(), trimSelector(name, 0)
	if strings.HasPrefix(name, "/aws/service/") {
		s.Account = ""
	}
	if name != "" && !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	return s.arn("ssm", "parameter"+name)
}

// SecretARN is the resource that covers a secret: a full ARN as it is, a name or a
// partial ARN with -?????? behind it for the six characters that Secrets Manager appends.
// An ARN that ends in a hyphen and six letters or digits counts as full, as it does in
// AWS.
func (s Scope) SecretARN(id string) string {
	if !arn.Is(id) {
		return s.fill().arn("secretsmanager", "secret:"+id+"-??????")
	}
	if !FullSecretARN(id) {
		id += "-??????"
	}
	return id
}

// FullSecretARN tells whether a secret's ARN ends in the hyphen and six characters of a
// full one.
func FullSecretARN(secret string) bool {
	i := strings.LastIndexByte(secret, '-')
	if i < 0 || len(secret)-i-1 != 6 {
		return false
	}
	return !strings.ContainsFunc(secret[i+1:], func(r rune) bool {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z'
		digit := '0' <= r && r <= '9'
		return !letter && !digit
	})
}

// KeyARN is the resource that covers a key given by ID or ARN; key/* for "" and for
// aliases, which KMS resolves before it checks access.
func (s Scope) KeyARN(key string) string {
	alias := strings.Contains(key, "alias/")
	a, isARN := arn.Parse(key)
	switch {
	case isARN && !alias:
		return key
	case isARN: // an alias ARN still says where the key is
		s = Scope{a.Partition, a.Region, a.Account}
	}
	if key == "" || alias {
		key = "*"
	}
	return s.fill().arn("kms", "key/"+key)
}

// ReferenceSecret returns the secret's name when a parameter name is one of Parameter
// Store's references to Secrets Manager, /aws/reference/secretsmanager/NAME[:selector].
func ReferenceSecret(parameter string) (name string, ok bool) {
	name, ok = strings.CutPrefix(trimSelector(parameter, 0), "/aws/reference/secretsmanager/")
	return name, ok && name != ""
}

// dnsSuffix is the end of kms:ViaService values. Only China's differs among the
// partitions this was checked for.
func dnsSuffix(region string) string {
	if arn.Partition(region) == "aws-cn" {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

func (s Scope) fill() Scope {
	if s.Partition == "" {
		s.Partition = arn.Partition(s.Region)
	}
	if s.Region == "" {
		s.Region = "*"
	}
	if s.Account == "" {
		s.Account = "*"
	}
	return s
}

func (s Scope) arn(service, resource string) string {
	return arn.ARN{
		Partition: s.Partition, Service: service, Region: s.Region, Account: s.Account,
		Resource: resource,
	}.String()
}

// trimSelector cuts name at its first colon after the given number of colons.
func trimSelector(name string, colons int) string {
	parts := strings.SplitN(name, ":", colons+2)
	return strings.Join(parts[:min(colons+1, len(parts))], ":")
}
