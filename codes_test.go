//go:build !secrets.nokms && !secrets.nossm && !secrets.nosm

package secrets_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// codes is every code that AWS-FACTS lists for the operations used: those of the service models, and those that any service may answer.
var codes = []struct {
	operation string // "" for each of them
	kind      error
	codes     string
}{
	{"kms:Decrypt", secrets.ErrDecrypt, "InvalidCiphertextException IncorrectKeyException InvalidKeyUsageException InvalidGrantTokenException DisabledException " +
		"KMSInvalidStateException NotFoundException UnsupportedOperationException"},
	{"kms:Decrypt", secrets.ErrUnavailable, "DependencyTimeoutException KeyUnavailableException KMSInternalException DryRunOperationException"},
	{"ssm:GetParameter", secrets.ErrNotFound, "ParameterNotFound ParameterVersionNotFound"},
	{"ssm:GetParameter", secrets.ErrDecrypt, "InvalidKeyId"},
	{"ssm:GetParametersByPath", secrets.ErrDecrypt, "InvalidKeyId"},
	{"ssm:GetParametersByPath", secrets.ErrInvalidReference, "InvalidFilterKey InvalidFilterOption InvalidFilterValue InvalidNextToken"},
	{"secretsmanager:GetSecretValue", secrets.ErrNotFound, "ResourceNotFoundException"},
	{"secretsmanager:GetSecretValue", secrets.ErrDecrypt, "DecryptionFailure DecryptionFailureException"},
	{"secretsmanager:GetSecretValue", secrets.ErrInvalidReference, "InvalidParameterException InvalidRequestException InvalidNextTokenException"},
	{"", secrets.ErrUnavailable, "InternalServerError InternalServiceError InternalServiceErrorException InternalFailure InternalError ServiceUnavailable ServiceUnavailableException " +
		"RequestTimeout RequestTimeoutException ExpiredToken ExpiredTokenException TokenRefreshRequired UnrecognizedClientException InvalidClientTokenId InvalidSignatureException " +
		"SignatureDoesNotMatch IncompleteSignature IncompleteSignatureException MissingAuthenticationToken MissingAuthenticationTokenException RequestExpired RequestTimeTooSkewed AuthFailure " +
		"BrandNewException UnknownOperationException SerializationException"},
	{"", secrets.ErrThrottled, "ThrottlingException Throttling ThrottledException RequestThrottled RequestThrottledException TooManyRequestsException ProvisionedThroughputExceededException " +
		"TransactionInProgressException RequestLimitExceeded BandwidthLimitExceeded LimitExceededException SlowDown PriorRequestNotComplete EC2ThrottledException"},
	{"", secrets.ErrAccessDenied, "AccessDeniedException AccessDenied UnauthorizedOperation KMSAccessDeniedException OptInRequired"},
	{"", secrets.ErrInvalidReference, "ValidationException InvalidParameterValue"},
}

// Each code is of one kind, whatever type this SDK makes of it, and whatever status it came with.
func TestKindOfCode(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.cfg.Retryer = onceOnly
	providers := map[string]secrets.Provider{"kms": secrets.NewKMS(f.cfg), "ssm": secrets.NewSSM(f.cfg), "secretsmanager": secrets.NewSecretsManager(f.cfg)}
	refs := map[string]secrets.Ref{"kms:Decrypt": secrets.Ciphertext([]byte("blobblobblobblobblobblobblobblob")).With("context", "none"), "ssm:GetParameter": secrets.SSMParameter("/app/db"),
		"ssm:GetParametersByPath": mustParse(t, "ssm:///app/*"), "secretsmanager:GetSecretValue": secrets.Secret("prod/db")}
	kinds := []error{secrets.ErrNotFound, secrets.ErrAccessDenied, secrets.ErrThrottled, secrets.ErrUnavailable, secrets.ErrDecrypt, secrets.ErrField, secrets.ErrInvalidReference, secrets.ErrNotReference}
	for _, row := range codes {
		for operation, ref := range refs {
			if row.operation != "" && row.operation != operation {
				continue
			}
			service, _, _ := strings.Cut(operation, ":")
			for i, code := range strings.Fields(row.codes) {
				status := 400 + 100*(i%2) // the code decides
				fault := f.Fault(endpoint.Fault{Do: endpoint.Fail, Code: code, Status: status, Message: "canary"})
				err := providers[service].Fetch(t.Context(), []secrets.Ref{ref})[0].Err
				fault.Remove()
				var e *secrets.ResolveError
				if !errors.As(err, &e) || e.Code != code || e.Operation != operation && operation != "ssm:GetParameter" || e.RequestID == "" {
					t.Fatalf("%s %s: %v, %+v", operation, code, err, e)
				}
				for _, kind := range kinds {
					if errors.Is(err, kind) != (kind == row.kind) {
						t.Errorf("%s %s, status %d: is %v: %v", operation, code, status, kind, kind != row.kind)
					}
				}
			}
		}
	}
}
