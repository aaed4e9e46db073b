package awserr

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// answered wraps err as the SDK does when there was a response.
func answered(status int, err error) error {
	return &smithy.OperationError{ServiceID: "SSM", OperationName: "GetParameter", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err}}
}

// unsent wraps err as the SDK does when there was none.
func unsent(err error) error {
	return &smithy.OperationError{ServiceID: "SSM", OperationName: "GetParameter",
		Err: &smithyhttp.RequestSendError{Err: &url.Error{Op: "Post", URL: "https://ssm.eu-west-1.amazonaws.com/", Err: err}}}
}

type slow struct{}

func (slow) Error() string   { return "i/o timeout" }
func (slow) Timeout() bool   { return true }
func (slow) Temporary() bool { return true }

// A code is the same code in other letters: stand-ins for AWS write it as they please.
func TestClassifyMindsNoCase(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]Class{"accessDeniedException": AccessDenied, "THROTTLINGEXCEPTION": Throttled, "validationException": Invalid, "brandNewException": Unavailable, "": Unavailable} {
		if got := Classify("ssm:GetParameter", code, "", 400); got != want {
			t.Errorf("%q: class %d, want %d", code, got, want)
		}
	}
}

// What has no code goes by HTTP status, then by the network's error.
func TestCopyWithoutCode(t *testing.T) {
	t.Parallel()
	page := &smithy.DeserializationError{Err: errors.New("invalid character '<'"), Snapshot: []byte("<html>canary")}
	for _, tc := range []struct {
		name   string
		err    error
		class  Class
		reason Reason
	}{
		{"cut answer", answered(200, page), Unavailable, Garbled},
		{"body ends early", answered(200, io.ErrUnexpectedEOF), Unavailable, Garbled},
		{"hangs in the body", answered(200, &smithy.DeserializationError{Err: slow{}}), Unavailable, Timeout},
		{"page", answered(503, page), Unavailable, Foreign},
		{"proxy wants a login", answered(407, page), Unavailable, Foreign},
		{"page says forbidden", answered(403, page), Unavailable, Foreign}, // a gateway's: AWS denies with a code
		{"page says not found", answered(404, page), Unavailable, Foreign}, // never NotFound: absence may be optional
		{"page says too many", answered(429, page), Throttled, Foreign},
		{"the SDK's own word", answered(500, &smithy.GenericAPIError{Code: "UnknownError"}), Unavailable, Foreign},
		{"the SDK's own word, forbidden", answered(403, &smithy.GenericAPIError{Code: "UnknownError"}), Unavailable, Foreign},
		{"redirect", answered(302, page), Unavailable, Foreign},

		{"timeout", unsent(slow{}), Unavailable, Timeout},
		{"dial timeout", unsent(&net.OpError{Op: "dial", Err: slow{}}), Unavailable, Timeout},
		{"deadline", unsent(context.DeadlineExceeded), Unavailable, Timeout},
		{"canceled", unsent(context.Canceled), Unavailable, GivenUp},
		{"unknown host", unsent(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}), Unavailable, UnknownHost},
		{"slow DNS", unsent(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", IsTimeout: true}}), Unavailable, DNSTimeout},
		{"refused", unsent(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}), Unavailable, Refused},
		{"reset", unsent(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}), Unavailable, Broken},
		{"closed", unsent(io.EOF), Unavailable, Broken},
		{"certificate", unsent(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), Unavailable, Certificate},

		{"no Region", fmt.Errorf("resolve endpoint: %w", errors.New("Invalid Configuration: Missing Region")), Configuration, NoRegion},
		{"endpoint without a scheme", unsent(errors.New(`unsupported protocol scheme "localhost"`)), Configuration, NoEndpoint},
		{"endpoint without a host", unsent(errors.New("http: no Host in request URL")), Configuration, NoEndpoint},
		{"endpoint that does not parse", fmt.Errorf("failed to resolve service endpoint, %w", errors.New("Failed to parse uri: 127.0.0.1:4566")), Configuration, NoEndpoint},
		{"no credentials", fmt.Errorf("get identity: get credentials: %w", context.DeadlineExceeded), Unavailable, NoCredentials},
		{"credentials' own page", fmt.Errorf("get identity: get credentials: %w", answered(404, page)), Unavailable, NoCredentials},
		{"credentials' own endpoint", fmt.Errorf("get identity: get credentials: %w", unsent(errors.New(`unsupported protocol scheme ""`))), Unavailable, NoCredentials},
		{"anything else", errors.New("x"), Unavailable, Broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := Copy("ssm:GetParameter", "", tc.err)
			if e.Class != tc.class || e.Reason != tc.reason || e.Code != "" {
				t.Errorf("%+v; want class %d, reason %q", e, tc.class, tc.reason)
			}
			if got, want := errors.Is(e, context.DeadlineExceeded), tc.reason == Timeout || tc.reason == DNSTimeout; got != want {
				t.Errorf("is a deadline: %v", got)
			}
			if strings.Contains(fmt.Sprintf("%+v", e), "canary") {
				t.Error("quotes the body")
			}
		})
	}
}

// Where AWS says nothing besides the code, the SDK says UnknownError: not AWS's words, and no help.
func TestCopyOfNoMessage(t *testing.T) {
	t.Parallel()
	if e := Copy("ssm:GetParameter", "", answered(400, &smithy.GenericAPIError{Code: "ThrottlingException", Message: "UnknownError"})); e.Message != "" || e.Class != Throttled {
		t.Errorf("%+v", e)
	}
}

func TestCopyHidesCiphertext(t *testing.T) {
	t.Parallel()
	blob := "\x01\x02\x03\xff\xfe\xfdcanary??>>"
	for name, form := range map[string]string{
		"raw": blob, "standard": base64.StdEncoding.EncodeToString([]byte(blob)), "unpadded": base64.RawStdEncoding.EncodeToString([]byte(blob)),
		"URL": base64.URLEncoding.EncodeToString([]byte(blob)), "unpadded URL": base64.RawURLEncoding.EncodeToString([]byte(blob)),
	} {
		e := Copy("kms:Decrypt", blob, answered(400, &smithy.GenericAPIError{Code: "ValidationException", Message: "1 error: Value '" + form + "' is\nbad"}))
		if strings.Contains(e.Message, strings.TrimRight(form, "=")) || !strings.Contains(e.Message, "(ciphertext)") || strings.Contains(e.Message, "\n") {
			t.Errorf("%s: %q", name, e.Message)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		n    int
		want string
	}{
		{"short", 10, "short"},
		{"a\nb\rc\x00d\u2028e\u0085f", 20, "a b c d e f"},
		{"a\x1b[31m\u009bb\u202ec\xff", 30, "a [31m b c\ufffd"}, // what terminals and viewers would obey
		{"längst", 2, "l…"},                                     // not half a rune
		{"abcdef", 3, "abc…"},
	} {
		if got := Clip(tc.in, tc.n); got != tc.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", tc.in, tc.n, got, tc.want)
		}
	}
}

// Every class has advice where an operation of ours can meet it, and none that quotes the ciphertext.
func TestNext(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		c    Case
		want string // part of the advice
	}{
		{"China's endpoint", Case{Error: Error{Reason: Timeout}, Operation: "ssm:GetParameter", Region: "cn-north-1", Host: "ssm.cn-north-1.amazonaws.com.cn"}, "com.amazonaws.cn-north-1.ssm"},
		{"dual stack", Case{Error: Error{Reason: Timeout}, Operation: "kms:Decrypt", Region: "eu-west-1", Host: "kms.eu-west-1.api.aws:443"}, "com.amazonaws.eu-west-1.kms"},
		{"own host", Case{Error: Error{Reason: Timeout}, Operation: "kms:Decrypt", Host: "127.0.0.1:4566"}, "not AWS's own endpoint"},
		{"proxy's 403", Case{Error: Error{Reason: Foreign, Status: 403}, Operation: "kms:Decrypt", Host: "kms.eu-west-1.amazonaws.com"}, "HTTPS_PROXY"},
		{"no Region, own host", Case{Error: Error{Code: "IncompleteSignatureException"}, Operation: "kms:Decrypt", Host: "127.0.0.1:4566"}, "set AWS_REGION"},
		{"no URL", Case{Error: Error{Reason: NoEndpoint, Class: Invalid}, Operation: "kms:Decrypt", Region: "eu-west-1"}, "as http://HOST:PORT"},
		{"partial secret ARN", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied}, Operation: "secretsmanager:GetSecretValue",
			ID: "arn:aws:secretsmanager:eu-west-1:1:secret:db"}, "on arn:aws:secretsmanager:eu-west-1:1:secret:db-??????"},
		{"nothing known", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied}, Operation: "ssm:GetParameter", ID: "/a"}, "on arn:aws:ssm:REGION:ACCOUNT:parameter/a"},
		{"GovCloud", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied}, Operation: "ssm:GetParameter", ID: "/a", Region: "us-gov-west-1"}, "on arn:aws-us-gov:ssm:us-gov-west-1:ACCOUNT:parameter/a"},
		{"IAM user", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied, Message: "User: arn:aws:iam::111122223333:user/me is not authorized to perform: ssm:GetParameter on resource: arn:aws:ssm:eu-west-1:111122223333:parameter/a"},
			Operation: "ssm:GetParameter", ID: "/a", Region: "eu-west-1"}, "arn:aws:ssm:eu-west-1:111122223333:parameter/a"},
		{"newer words", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied, Message: "User: arn:aws:sts::111122223333:assumed-role/r/f is not authorized to perform: ssm:GetParameter on resource: arn:aws:ssm:eu-west-1:111122223333:parameter/a with an explicit deny in a resource control policy: arn:aws:organizations::1:policy/x"},
			Operation: "ssm:GetParameter", ID: "/a", Region: "eu-west-1"}, "ask who manages the resource control policy"},
		{"alias", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied}, Operation: "kms:Decrypt", Key: "alias/app", Region: "eu-west-1", ID: "blob"}, "key/KEY-ID"},
		{"key's Region", Case{Error: Error{Code: "NotFoundException", Class: Decrypt, Message: "Invalid arn us-east-1"}, Operation: "kms:Decrypt", Region: "eu-west-1"}, "no such key in Region eu-west-1"},
	} {
		if got := tc.c.Next(); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q lacks %q", tc.name, got, tc.want)
		}
	}
}
