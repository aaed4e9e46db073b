package awserr

import (
	"net/http"
	"slices"
	"strings"
)

// codes holds AWS's error codes by class, whatever the service. Codes that are not
// listed are Unavailable. Sources: the service models of kms, ssm and secretsmanager, and
// the codes that every AWS service may answer.
var codes = [...]string{
	NotFound: "ParameterNotFound ParameterVersionNotFound ResourceNotFoundException",
	AccessDenied: "AccessDeniedException AccessDenied UnauthorizedOperation NotAuthorized " +
		"OptInRequired KMSAccessDeniedException",
	// The SDK counts LimitExceededException among them.
	Throttled: "Throttling ThrottlingException ThrottledException RequestThrottled " +
		"RequestThrottledException TooManyRequestsException " +
		"ProvisionedThroughputExceededException TransactionInProgressException " +
		"RequestLimitExceeded BandwidthLimitExceeded LimitExceededException SlowDown " +
		"PriorRequestNotComplete EC2ThrottledException",
	// InvalidKeyId is Parameter Store's: the key is disabled or gone. The Secrets Manager
	// console's snippets write DecryptionFailureException.
	Decrypt: "InvalidCiphertextException IncorrectKeyException InvalidKeyUsageException " +
		"InvalidGrantTokenException DisabledException KMSInvalidStateException InvalidKeyId " +
		"DecryptionFailure DecryptionFailureException EncryptionFailure " +
		"UnsupportedOperationException",
	Invalid: "ValidationException InvalidParameterException InvalidParameterValue " +
		"InvalidRequestException InvalidNextTokenException InvalidNextToken InvalidFilterKey " +
		"InvalidFilterOption InvalidFilterValue InvalidArnException InvalidResourceId",
}

// credentialCodes say nothing about the secret: the credentials were refused, or the
// clock is wrong. They are transient.
var credentialCodes = [...]struct{ codes, advice string }{
	{"ExpiredToken ExpiredTokenException TokenRefreshRequired",
		"the credentials expired; the clients are rebuilt once by themselves; where they " +
			"come from a file or a profile, log in again"},
	{"RequestExpired RequestTimeTooSkewed", skewed},
	{"InvalidSignatureException SignatureDoesNotMatch",
		"the secret key does not belong to the key id, or something between here and AWS " +
			"changes requests"},
	{"UnrecognizedClientException InvalidClientTokenId InvalidAccessKeyId AuthFailure",
		"AWS does not know these credentials: deleted, of another partition, or without " +
			"their session token"},
	{"IncompleteSignature IncompleteSignatureException MissingAuthenticationToken " +
		"MissingAuthenticationTokenException",
		"the request was not signed: anonymous credentials, or something between here and " +
			"AWS drops the Authorization header"},
}

const skewed = "the clock of this machine is wrong: set it by NTP (a container takes its " +
	"host's clock)"

// Classify returns the class of an AWS answer by its code, then by words that AWS puts
// into the message, then by HTTP status. Never by Go type: the types changed between
// SDK versions, for the same answer. A status without a code is somebody else's, such
// as a gateway's 403: it denies nothing.
func Classify(operation, code, message string, status int) Class {
	class := Class(slices.IndexFunc(codes[:], func(list string) bool { return listed(list, code) }))
	switch {
	case code == "NotFoundException" && strings.HasPrefix(operation, "kms:"):
		return Decrypt // the key
	case code == "InvalidRequestException" && strings.Contains(message, "delet"):
		// "You can't perform this operation on the secret because it was marked for
		// deletion."; in older words, "currently marked deleted"
		return NotFound
	case class == Invalid && strings.Contains(message, "different AWS account"):
		return AccessDenied // a secret under the default key, read from another account
	case code == "" && status == http.StatusTooManyRequests:
		return Throttled
	}
	return max(class, Unavailable)
}

// Credentials reports whether code says that the credentials or the clock were refused.
func Credentials(code string) bool { return credentialAdvice(code) != "" }

func credentialAdvice(code string) string {
	for _, c := range credentialCodes {
		if listed(c.codes, code) {
			return c.advice
		}
	}
	return ""
}

// listed minds no case, as the SDK where it knows a code.
func listed(list, code string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(c string) bool {
		return strings.EqualFold(c, code)
	})
}
