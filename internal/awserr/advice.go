package awserr

import (
	"encoding/base64"
	"strings"

	"github.com/lambdasecrets/secrets/internal/arn"
	"github.com/lambdasecrets/secrets/internal/iam"
)

// A Case is a failure and what is known of the request, to give advice by.
type Case struct {
	Error            // Class alone, where AWS answered something that is no error
	Operation string // "ssm:GetParameters"
	// ID is the name, path or ARN in the reference. For KMS it is the ciphertext's
	// bytes, which are looked at and never shown.
	ID      string
	Key     string // of a KMS reference that names one
	Version string // version, label or stage asked for
	Region  string
	Host    string // that was asked
}

const (
	retried   = "it is retried automatically"
	elsewhere = "see whether HTTPS_PROXY or AWS_ENDPOINT_URL leads elsewhere"
	malformed = "the name is malformed: one with a slash begins with a slash " +
		"(ssm:///app/db), and has letters, digits and .-_ only"
)

// Next returns what to do, in a line, or "" where nothing better is known than AWS's
// own words.
func (c *Case) Next() string {
	switch {
	case c.Step != "" && c.Code != "":
		return c.step()
	case c.Reason == NoCredentials:
		return c.noCredentials()
	case c.Reason != "":
		return c.unanswered()
	case Credentials(c.Code):
		return c.credentials()
	}
	switch c.Class {
	case Throttled:
		return iam.Quota(c.Operation)
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
		return retried + "; if it stays, see the AWS Health Dashboard for " + c.Region
	case c.Code != "":
		return retried + "; if it stays, look the code up, or give AWS Support the request id"
	}
	// AWS answered, and the answer makes no sense.
	return retried + "; if it stays, " + elsewhere + ", and who answers there"
}

// credentials is the advice where the service refused the credentials or the
// signature's time.
func (c *Case) credentials() string {
	switch {
	case c.Region == "":
		return setRegion // with an endpoint of one's own the SDK signs for no Region
	case c.says("Signature expired"), c.says("not yet current"):
		return skewed
	}
	return credentialAdvice(c.Code)
}

func (c *Case) service() string {
	service, _, _ := strings.Cut(c.Operation, ":")
	return service
}

// missing is the advice for what does not exist.
func (c *Case) missing() string {
	name := "check the name"
	if !arn.Is(c.ID) && c.Region != "" {
		name += "; " + c.Region + " was asked, and ?region= asks another Region"
	}
	secretARN := c.service() == "secretsmanager" && arn.Is(c.ID)
	switch {
	case c.says("marked for deletion"):
		return "restore it (aws secretsmanager restore-secret), or refer to what replaces it"
	case c.says("staging label: AWSCURRENT"):
		return "the secret exists and has no value yet: store one"
	case c.says("staging label:"), c.says("VersionId:"):
		return "the secret exists without that version or stage; AWSPENDING is there " +
			"only during a rotation, versions without a stage are removed in time"
	case c.service() == "ssm" && c.Version != "":
		return name + "; of a parameter 100 versions are kept, and none of those before it " +
			"was deleted and made again"
	case secretARN && iam.FullSecretARN(c.ID):
		return "check the ARN: its last six characters change when a secret is deleted " +
			"and made again; a name would not; " + c.sixCharacters()
	case secretARN:
		return "check the ARN; a partial one, without the six characters at its end, " +
			"must be the name's"
	}
	return name
}

// sixCharacters explains an ARN whose end may be part of the secret's own name: AWS
// takes a hyphen and six letters or digits for its own suffix, so the partial ARN of
// prod-secret is never found.
func (c *Case) sixCharacters() string {
	_, name, _ := strings.Cut(c.ID, ":secret:")
	return "if the name itself ends in " + name[strings.LastIndexByte(name, '-'):] +
		", AWS took that for the six: write sm://" + Clip(name, 200) + ", or the full ARN"
}

// undecryptable is the advice where KMS has no plaintext for us.
func (c *Case) undecryptable() string {
	switch {
	case c.Code == "InvalidCiphertextException":
		return c.ciphertext()
	case c.Code == "IncorrectKeyException":
		return "it was encrypted under another key than ?key= names"
	case c.Code == "InvalidKeyUsageException":
		return "the key is not a symmetric one for encryption; ciphertext of " +
			"asymmetric keys is not supported"
	case c.says("pending deletion"):
		return "take the deletion back while it is pending (aws kms cancel-key-deletion, " +
			"then enable-key): afterwards nothing can decrypt this value"
	case c.says("is disabled"):
		return "enable the key (aws kms enable-key)"
	case strings.HasPrefix(c.Message, "Invalid arn"), c.Code == "NotFoundException":
		return "no such key in Region " + c.Region + " of the account asked: a key " +
			"ARN in ?key= sends the call to its own Region"
	case c.service() != "kms":
		return "see whether its KMS key is disabled, pending deletion or gone, and " +
			"whether it still allows this role kms:Decrypt"
	}
	return "see the state of the key"
}

// ciphertext tells the usual mistakes apart by the first bytes. AWS does not publish
// its format and may change it: this picks words, and decides nothing.
func (c *Case) ciphertext() string {
	b := c.ID
	begins := func(start string) bool { return strings.HasPrefix(b, start) }
	_, twice := base64.StdEncoding.DecodeString(b)
	switch {
	case len(b) > 16 && twice == nil:
		return "the bytes are base64 text again: it was encoded twice; store it decoded once"
	case begins("\x01\x80"), begins("\x02\x05\x78"), begins("\x02\x04\x78"):
		return "it is an AWS Encryption SDK message, such as the raw value of an " +
			"advanced-tier parameter, which KMS alone cannot decrypt: refer to the " +
			"parameter, ssm:///NAME"
	case begins("\x01") && strings.HasPrefix(b[min(3, len(b)):], "\x00\x78"):
		return "the encryption context is not among those tried, or the text was " +
			"damaged: the Lambda console binds a value to its function's name, so in " +
			"a renamed or cloned function encrypt it again or state " +
			"?context.LambdaFunctionName=OLD-NAME; the raw value of a SecureString " +
			"needs ?context.PARAMETER_ARN=ARN; the Region must be the one it was " +
			"encrypted in"
	case len(b) == 256, len(b) == 384, len(b) == 512:
		return "it may be ciphertext of an asymmetric key, which is not supported"
	case !c.awsHost():
		return "the encryption context is not among those tried, or it is not " +
			"ciphertext of the KMS that answers at " + c.Host
	}
	return "it does not look like ciphertext of KMS: it must be the whole " +
		"CiphertextBlob that Encrypt returned, in base64"
}

// invalid is the advice for a request that AWS does not accept.
func (c *Case) invalid() string {
	switch {
	case c.Code == "InvalidRequestException" && c.says("VersionStage"):
		return "the version does not have that stage: state one of the two"
	case c.service() == "ssm":
		return malformed
	case c.service() == "secretsmanager":
		return "a secret's name has letters, digits and /_+=.@-! only; another " +
			"account's secret takes its full ARN"
	}
	return "KMS refused the form of the request, before it looked at the ciphertext: " +
		"check ?key= and the ?context.NAME= pairs"
}
