package awserr

import (
	"net/http"
	"strings"
)

// classes maps AWS's error codes to classes, whatever the service, with those that mean
// different things in front as service:code. Codes that are not listed are Unavailable.
// Sources: the service models of kms, ssm and secretsmanager, and the codes that every
// AWS service may answer.
var classes = map[string]Class{
	"kms:NotFoundException": Decrypt, // the key

	"ParameterNotFound":         NotFound,
	"ParameterVersionNotFound":  NotFound,
	"ResourceNotFoundException": NotFound,

	"AccessDeniedException":    AccessDenied,
	"AccessDenied":             AccessDenied,
	"UnauthorizedOperation":    AccessDenied,
	"NotAuthorized":            AccessDenied,
	"OptInRequired":            AccessDenied,
	"KMSAccessDeniedException": AccessDenied,

	"Throttling":                             Throttled,
	"ThrottlingException":                    Throttled,
	"ThrottledException":                     Throttled,
	"RequestThrottled":                       Throttled,
	"RequestThrottledException":              Throttled,
	"TooManyRequestsException":               Throttled,
	"ProvisionedThroughputExceededException": Throttled,
	"TransactionInProgressException":         Throttled,
	"RequestLimitExceeded":                   Throttled,
	"BandwidthLimitExceeded":                 Throttled,
	"LimitExceededException":                 Throttled, // the SDK counts it among them
	"SlowDown":                               Throttled,
	"PriorRequestNotComplete":                Throttled,
	"EC2ThrottledException":                  Throttled,

	"InvalidCiphertextException":    Decrypt,
	"IncorrectKeyException":         Decrypt,
	"InvalidKeyUsageException":      Decrypt,
	"InvalidGrantTokenException":    Decrypt,
	"DisabledException":             Decrypt,
	"KMSInvalidStateException":      Decrypt,
	"InvalidKeyId":                  Decrypt, // Parameter Store's: the key is disabled or gone
	"DecryptionFailure":             Decrypt,
	"DecryptionFailureException":    Decrypt, // the Secrets Manager console's snippets call it so
	"EncryptionFailure":             Decrypt,
	"UnsupportedOperationException": Decrypt,

	"ValidationException":       Invalid,
	"InvalidParameterException": Invalid,
	"InvalidParameterValue":     Invalid,
	"InvalidRequestException":   Invalid,
	"InvalidNextTokenException": Invalid,
	"InvalidNextToken":          Invalid,
	"InvalidFilterKey":          Invalid,
	"InvalidFilterOption":       Invalid,
	"InvalidFilterValue":        Invalid,
	"InvalidArnException":       Invalid,
	"InvalidResourceId":         Invalid,
}

// Classify returns the class of an AWS answer by its code, then by words that AWS puts
// into the message, then by HTTP status. Never by Go type: the types changed between
// SDK versions, for the same answer. A status without a code is somebody else's, such
// as a gateway's 403: it denies nothing.
func Classify(operation, code, message string, status int) Class {
	class, known := classOf(operation, code)
	switch {
	case code == "InvalidRequestException" && strings.Contains(message, "delet"):
		// "You can't perform this operation on the secret because it was marked for
		// deletion."; in older words, "currently marked deleted"
		return NotFound
	case class == Invalid && strings.Contains(message, "different AWS account"):
		return AccessDenied // a secret under the default key, read from another account
	case known:
		return class
	case code == "" && status == http.StatusTooManyRequests:
		return Throttled
	}
	return Unavailable
}

// classOf looks code up. The SDK, too, minds no case where it knows a code.
func classOf(operation, code string) (class Class, known bool) {
	service, _, _ := strings.Cut(operation, ":")
	if class, known = classes[service+":"+code]; known {
		return class, true
	}
	if class, known = classes[code]; known {
		return class, true
	}
	for listed, class := range classes {
		if strings.EqualFold(listed, code) {
			return class, true
		}
	}
	return Unavailable, false
}

// credentials are the codes that say nothing about the secret: the credentials were
// refused, or the clock is wrong. They are transient.
var credentials = map[string]string{
	"ExpiredToken":                        expired,
	"ExpiredTokenException":               expired,
	"TokenRefreshRequired":                expired,
	"RequestExpired":                      skewed,
	"RequestTimeTooSkewed":                skewed,
	"InvalidSignatureException":           signature,
	"SignatureDoesNotMatch":               signature,
	"UnrecognizedClientException":         unknown,
	"InvalidClientTokenId":                unknown,
	"InvalidAccessKeyId":                  unknown,
	"AuthFailure":                         unknown,
	"IncompleteSignature":                 unsigned,
	"IncompleteSignatureException":        unsigned,
	"MissingAuthenticationToken":          unsigned,
	"MissingAuthenticationTokenException": unsigned,
}

// What to do about them.
const (
	expired = "the credentials expired; the clients are rebuilt once by " +
		"themselves; where they come from a file or a profile, log in again"
	skewed = "the clock of this machine is wrong: set it by NTP (a container " +
		"takes its host's clock)"
	signature = "the secret key does not belong to the key id, or something between " +
		"here and AWS changes requests"
	unknown = "AWS does not know these credentials: deleted, of another partition, " +
		"or without their session token"
	unsigned = "the request was not signed: anonymous credentials, or something " +
		"between here and AWS drops the Authorization header"
)

// Credentials reports whether code says that the credentials or the clock were refused.
func Credentials(code string) bool { return credentials[code] != "" }
