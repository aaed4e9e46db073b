package main

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/lambdasecrets/secrets/internal/iam"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// ciphertext asks KMS whether it would decrypt, with each encryption context that the library tries.
func (c *checker) ciphertext(ctx context.Context, p place) {
	res, ref := p.res, p.ref
	in := &kms.DecryptInput{CiphertextBlob: []byte(ref.ID), DryRun: aws.Bool(true)}
	if ref.Key != "" {
		in.KeyId = &ref.Key
	}
	var code string
	var err error
	used := map[string]string{}
	for _, used = range contexts(ref, c.function) {
		in.EncryptionContext = used
		_, err = c.kms.Decrypt(ctx, in, func(o *kms.Options) { o.Region = p.Region })
		if code = codeOf(err); code != "InvalidCiphertextException" {
			break
		}
	}
	switch message := strings.ToLower(text(err)); {
	case code == "DryRunOperationException":
		res.set(&res.Decrypts, ok, "", "")
	case code == "InvalidCiphertextException":
		next := "encrypt it again, or state the context: ?context.NAME=value"
		if c.function == "" && ref.Context != refsyntax.ContextNone {
			next = "give -function, the name that the Lambda console binds ciphertexts to; else " + next
		}
		res.set(&res.Decrypts, failed, "KMS cannot decrypt it: it is damaged, or bound to another encryption context",
			next)
	case code == "DisabledException":
		res.set(&res.Decrypts, failed, "its key is disabled", "aws kms enable-key")
	case code == "KMSInvalidStateException":
		res.set(&res.Decrypts, failed, "its key cannot be used: "+text(err),
			"aws kms cancel-key-deletion, then enable-key")
	case code == "NotFoundException", code == "IncorrectKeyException", code == "InvalidKeyUsageException":
		res.set(&res.Decrypts, failed, "its key is not the stated one: "+code, "check ?key= and the Region")
	case strings.HasPrefix(code, "AccessDenied") && strings.Contains(message, "resource-based policy"):
		res.set(&res.Decrypts, failed,
			"the key's policy allows kms:Decrypt neither to you nor to your account's IAM policies",
			"allow the role in the key's policy, or give it the default statement for the account")
	default:
		denied(res, &res.Decrypts, "kms:Decrypt", err)
	}
	key := ref.Key
	if key == "" {
		key = c.key
	}
	if key == "" {
		res.set(&res.Role, unchecked, "a ciphertext does not tell its key, so the role cannot be checked",
			"give -key, or write ?key=ARN")
		return
	}
	c.usable(ctx, p, key, iam.Need{Condition: contextKeys(used)})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// contexts are the encryption contexts in the library's order.
func contexts(ref refsyntax.Ref, function string) []map[string]string {
	console := map[string]string{"LambdaFunctionName": function}
	switch {
	case ref.EncryptionContext() != nil:
		return []map[string]string{ref.EncryptionContext()}
	case ref.Context == refsyntax.ContextNone, function == "":
		return []map[string]string{nil}
	case ref.Context == refsyntax.ContextConsole:
		return []map[string]string{console, nil}
	}
	return []map[string]string{nil, console}
}

func contextKeys(pairs map[string]string) map[string]string {
	keys := map[string]string{}
	for name, value := range pairs {
		keys["kms:EncryptionContext:"+name] = value
	}
	return keys
}

// usable checks that a key can be used, and that the role may decrypt with it. need holds the condition keys that the
// request will carry. Under AWS's own keys, alias/aws/…, nothing is needed.
func (c *checker) usable(ctx context.Context, p place, key string, need iam.Need) {
	res := p.res
	if key == "" || strings.Contains(key, "alias/aws/") {
		res.set(&res.Decrypts, ok, "", "")
		return
	}
	inRegion := func(o *kms.Options) { o.Region = p.Region }
	out, err := c.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key}, inRegion)
	switch {
	case codeOf(err) == "NotFoundException":
		res.set(&res.Decrypts, failed, "its key "+key+" does not exist", "check the key's ARN and the Region")
		return
	case err != nil:
		denied(res, &res.Decrypts, "kms:DescribeKey", err)
		return
	case out.KeyMetadata.KeyManager == types.KeyManagerTypeAws:
		res.set(&res.Decrypts, ok, "", "")
		return
	}
	arn := aws.ToString(out.KeyMetadata.Arn)
	switch state := out.KeyMetadata.KeyState; state {
	case types.KeyStateEnabled:
		res.set(&res.Decrypts, ok, "", "")
	case types.KeyStateDisabled:
		res.set(&res.Decrypts, failed, "its key "+arn+" is disabled", "aws kms enable-key --key-id "+arn)
	case types.KeyStatePendingDeletion:
		res.set(&res.Decrypts, failed, "its key "+arn+" is pending deletion",
			"aws kms cancel-key-deletion --key-id "+arn)
	default:
		res.set(&res.Decrypts, failed, "its key "+arn+" cannot be used: "+string(state), "see the key's state in KMS")
	}
	if p.role == "" {
		c.readable(ctx, p, nil, "", nil) // says that the role is not known
		return
	}
	policy, err := c.kms.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &arn}, inRegion)
	if err != nil {
		denied(res, &res.Decrypts, "kms:GetKeyPolicy", err)
		return
	}
	switch says := judgeKeyPolicy(aws.ToString(policy.Policy), p.role); says {
	case keyDenies:
		res.set(&res.Decrypts, failed, "the policy of key "+arn+" denies the role kms:Decrypt",
			"take the role out of its Deny statement")
	case keySilent:
		res.set(&res.Decrypts, failed,
			"the policy of key "+arn+" allows kms:Decrypt neither to the role nor to its account's IAM policies",
			"allow the role there, or add the default statement for the account's root")
	case keyAllows:
		res.set(&res.Role, ok, "", "")
	default:
		c.readable(ctx, p, []string{"kms:Decrypt"}, arn, conditions(need))
	}
}

// conditions are the condition keys of a request to KMS.
func conditions(need iam.Need) map[string][]string {
	keys := map[string][]string{}
	for _, key := range slices.Sorted(maps.Keys(need.Condition)) {
		keys[key] = []string{need.Condition[key]}
		if name, ok := strings.CutPrefix(key, "kms:EncryptionContext:"); ok {
			keys["kms:EncryptionContextKeys"] = append(keys["kms:EncryptionContextKeys"], name)
		}
	}
	return keys
}

// What a key's policy says of kms:Decrypt by a role.
type keyVerdict int

const (
	keySilent    keyVerdict = iota
	keyDenies               // whatever IAM says
	keyAllows               // whatever IAM says
	keyDelegates            // to the IAM policies of the role's account
)

// judgeKeyPolicy reads a key's policy, since the simulator takes none for a role. A condition on an Allow is taken to
// hold, a Deny with a condition or a NotPrincipal not to.
func judgeKeyPolicy(document, role string) keyVerdict {
	var policy struct {
		Statement list[struct {
			Effect            string
			Action, NotAction list[string]
			Principal         principals
			Condition         json.RawMessage
		}]
	}
	if json.Unmarshal([]byte(document), &policy) != nil {
		return keySilent
	}
	account := strings.Split(role+":::::", ":")[4]
	verdict := keySilent
	for _, s := range policy.Statement {
		about := slices.ContainsFunc(s.Action, isDecrypt) || len(s.NotAction) > 0 &&
			!slices.ContainsFunc(s.NotAction, isDecrypt)
		isRole, isAccount := s.Principal.are(role, account)
		switch {
		case !about:
		case s.Effect == "Deny":
			if (isRole || isAccount) && len(s.Condition) == 0 {
				return keyDenies
			}
		case isRole:
			verdict = keyAllows
		case isAccount && verdict == keySilent:
			verdict = keyDelegates
		}
	}
	return verdict
}

func isDecrypt(pattern string) bool {
	expression := "(?i)^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern)) + "$"
	matched, _ := regexp.MatchString(expression, "kms:Decrypt")
	return matched
}

// list is JSON's one or several.
type list[T any] []T

func (l *list[T]) UnmarshalJSON(b []byte) error {
	if b[0] == '[' {
		return json.Unmarshal(b, (*[]T)(l))
	}
	*l = make([]T, 1)
	return json.Unmarshal(b, &(*l)[0])
}

// principals are the AWS principals of a statement.
type principals []string

func (p *principals) UnmarshalJSON(b []byte) error {
	if string(b) == `"*"` {
		*p = principals{"*"}
		return nil
	}
	var of struct{ AWS list[string] }
	err := json.Unmarshal(b, &of)
	*p = principals(of.AWS)
	return err
}

// are says whether the role is among them, and whether its account is.
func (p principals) are(role, account string) (isRole, isAccount bool) {
	for _, one := range p {
		switch {
		case one == "*", one == role:
			isRole = true
		case one == account, strings.HasSuffix(one, "::"+account+":root"):
			isAccount = true
		}
	}
	return isRole, isAccount
}
