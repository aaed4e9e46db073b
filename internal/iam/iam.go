// Package iam says which IAM resource each AWS call of this module needs, and what
// throttles the call. Error details, the policy printer and the embedded endpoint's access
// checks all read it, so that what an error tells people to allow is what the endpoint then
// accepts.
//
// It evaluates nothing and makes no calls.
package iam

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// Quota says what throttles an action of this module, and what to do.
func Quota(action string) string {
	switch action {
	case "kms:Decrypt":
		return "KMS answers 10,000 cryptographic requests a second per account (100,000 in the " +
			"largest Regions), those made by other services for it included: ask for more in " +
			"Service Quotas"
	case "ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath":
		return "Parameter Store answers 40 reads a second per account and Region, " +
			"GetParameter, GetParameters and GetParametersByPath together: turn on its higher " +
			"throughput, or raise the TTL"
	case "secretsmanager:GetSecretValue":
		return "Secrets Manager answers 10,000 GetSecretValue a second per account and " +
			"Region, which cannot be raised: raise the TTL"
	case "secretsmanager:BatchGetSecretValue":
		return "Secrets Manager answers 100 BatchGetSecretValue a second per account and Region, " +
			"which cannot be raised: leave WithBatchGetSecretValue out"
	}
	return ""
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
// [Scope.ParameterKey] and [Scope.SecretKey]. An action that is not in the switch
// below needs nothing.
func (s Scope) Needs(action string, ids ...string) []Need {
	var needs []Need
	add := func(action, resource string) {
		same := func(n Need) bool { return n.Action == action && n.Resource == resource }
		if !slices.ContainsFunc(needs, same) {
			needs = append(needs, Need{Action: action, Resource: resource})
		}
	}
	const getSecret, batch = "secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"
	switch {
	case action == "kms:Decrypt" && len(ids) == 0:
		ids = []string{""}
	case action == batch:
		add(batch, "*")
	}
	for _, id := range ids {
		isSecret := false
		switch action {
		case "kms:Decrypt":
			add(action, s.KeyARN(id))
		case "ssm:GetParametersByPath":
			add(action, s.ParameterARN(strings.TrimRight(id, "/"))+"/*")
		case "ssm:GetParameter", "ssm:GetParameters":
			add(action, s.ParameterARN(id))
			id, isSecret = ReferenceSecret(id)
		case getSecret, batch:
			isSecret = true
		}
		if isSecret {
			add(getSecret, s.SecretARN(id))
		}
	}
	return needs
}

// ParameterKey is the permission that a SecureString under a customer managed key needs
// besides. Under the default key, alias/aws/ssm, nothing is needed. parameter is a name
// or ARN, key as in [Scope.KeyARN].
func (s Scope) ParameterKey(parameter, key string) Need {
	return s.keyThrough("ssm", key, "PARAMETER_ARN", s.ParameterARN(parameter))
}

// SecretKey is the same for a secret under a customer managed key.
func (s Scope) SecretKey(secret, key string) Need {
	return s.keyThrough("secretsmanager", key, "SecretARN", s.SecretARN(secret))
}

// keyThrough is the permission to use a key through a service, which names what it decrypts
// in the encryption context.
func (s Scope) keyThrough(service, key, name, value string) Need {
	// Only China's suffix differs among the partitions this was checked for.
	suffix := ".amazonaws.com"
	if arn.Partition(s.Region) == "aws-cn" {
		suffix += ".cn"
	}
	return Need{Action: "kms:Decrypt", Resource: s.KeyARN(key), Condition: map[string]string{
		"kms:ViaService":                service + "." + s.fill().Region + suffix,
		"kms:EncryptionContext:" + name: value,
	}}
}

// ParameterARN is the ARN of a parameter given by name or path, with or without selector.
// An ARN loses only its selector. The names a and /a share one ARN. Public
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
	i := strings.LastIndexFunc(secret, func(c rune) bool {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		return !letter && !digit
	})
	hyphen := i >= 0 && secret[i] == '-'
	return hyphen && len(secret)-i == len("-AbCdEf")
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
// Store's references to Secrets Manager, with or without selector.
func ReferenceSecret(parameter string) (name string, ok bool) {
	name, ok = strings.CutPrefix(trimSelector(parameter, 0), arn.SecretParameter)
	return name, ok && name != ""
}

func (s Scope) fill() Scope {
	return Scope{
		Partition: cmp.Or(s.Partition, arn.Partition(s.Region)),
		Region:    cmp.Or(s.Region, "*"),
		Account:   cmp.Or(s.Account, "*"),
	}
}

func (s Scope) arn(service, resource string) string {
	return arn.ARN{Partition: s.Partition, Service: service, Region: s.Region,
		Account: s.Account, Resource: resource}.String()
}

// trimSelector cuts name at its first colon after the given number of colons.
func trimSelector(name string, colons int) string {
	parts := strings.SplitN(name, ":", colons+2)
	return strings.Join(parts[:min(colons+1, len(parts))], ":")
}
