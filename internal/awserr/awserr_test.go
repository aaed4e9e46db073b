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
		Err: &smithyhttp.RequestSendError{Err: &url.Error{Op: "Post",
			URL: "https://ssm.eu-west-1.amazonaws.com/", Err: err}}}
}

type slow struct{}

func (slow) Error() string   { return "i/o timeout" }
func (slow) Timeout() bool   { return true }
func (slow) Temporary() bool { return true }

// A code is the same code in other letters: stand-ins for AWS write it as they please.
func TestClassify_AnyCase(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]Class{"accessDeniedException": AccessDenied, "THROTTLINGEXCEPTION": Throttled,
		"validationException": Invalid, "brandNewException": Unavailable, "": Unavailable} {
		if got := Classify("ssm:GetParameter", code, "", 400); got != want {
			t.Errorf("%q: class %d, want %d", code, got, want)
		}
	}
}

// What has no code goes by HTTP status, then by the network's error.
func TestCopy_WithoutCode(t *testing.T) {
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
		{"the SDK's own word, forbidden", answered(403, &smithy.GenericAPIError{Code: "UnknownError"}),
			Unavailable, Foreign},
		{"redirect", answered(302, page), Unavailable, Foreign},

		{"timeout", unsent(slow{}), Unavailable, Timeout},
		{"dial timeout", unsent(&net.OpError{Op: "dial", Err: slow{}}), Unavailable, Timeout},
		{"deadline", unsent(context.DeadlineExceeded), Unavailable, Timeout},
		{"canceled", unsent(context.Canceled), Unavailable, GivenUp},
		{"unknown host", unsent(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}),
			Unavailable, UnknownHost},
		{"slow DNS", unsent(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", IsTimeout: true}}),
			Unavailable, DNSTimeout},
		{"refused", unsent(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}),
			Unavailable, Refused},
		{"reset", unsent(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}),
			Unavailable, Broken},
		{"closed", unsent(io.EOF), Unavailable, Broken},
		{"certificate", unsent(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}),
			Unavailable, Certificate},

		{"no Region", fmt.Errorf("resolve endpoint: %w", errors.New("Invalid Configuration: Missing Region")),
			Configuration, NoRegion},
		{"endpoint without a scheme", unsent(errors.New(`unsupported protocol scheme "localhost"`)),
			Configuration, NoEndpoint},
		{"endpoint without a host", unsent(errors.New("http: no Host in request URL")), Configuration, NoEndpoint},
		{"endpoint that does not parse", fmt.Errorf("failed to resolve service endpoint, %w",
			errors.New("Failed to parse uri: 127.0.0.1:4566")), Configuration, NoEndpoint},
		{"no credentials", fmt.Errorf("get identity: get credentials: %w", context.DeadlineExceeded), Unavailable,
			NoCredentials},
		{"credentials' own page", fmt.Errorf("get identity: get credentials: %w", answered(404, page)), Unavailable,
			NoCredentials},
		{"credentials' own endpoint", fmt.Errorf("get identity: get credentials: %w",
			unsent(errors.New(`unsupported protocol scheme ""`))), Unavailable, NoCredentials},
		{"anything else", errors.New("x"), Unavailable, Broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := Copy("ssm:GetParameter", "", tc.err)
			if e.Class != tc.class || e.Reason != tc.reason || e.Code != "" {
				t.Errorf("%+v; want class %d, reason %q", e, tc.class, tc.reason)
			}
			if got, want := errors.Is(e, context.DeadlineExceeded), tc.reason == Timeout ||
				tc.reason == DNSTimeout; got != want {
				t.Errorf("is a deadline: %v", got)
			}
			if strings.Contains(fmt.Sprintf("%+v", e), "canary") {
				t.Error("quotes the body")
			}
		})
	}
}

// Where AWS says nothing besides the code, the SDK says UnknownError: not AWS's words, and no help.
func TestCopy_WithoutMessage(t *testing.T) {
	t.Parallel()
	if e := Copy("ssm:GetParameter", "",
		answered(400, &smithy.GenericAPIError{Code: "ThrottlingException",
			Message: "UnknownError"})); e.Message != "" || e.Class != Throttled {
		t.Errorf("%+v", e)
	}
}

func TestCopy_HidesCiphertext(t *testing.T) {
	t.Parallel()
	blob := "\x01\x02\x03\xff\xfe\xfdcanary??>>"
	for name, form := range map[string]string{
		"raw": blob, "standard": base64.StdEncoding.EncodeToString([]byte(blob)),
		"unpadded":     base64.RawStdEncoding.EncodeToString([]byte(blob)),
		"URL":          base64.URLEncoding.EncodeToString([]byte(blob)),
		"unpadded URL": base64.RawURLEncoding.EncodeToString([]byte(blob)),
	} {
		e := Copy("kms:Decrypt", blob,
			answered(400, &smithy.GenericAPIError{Code: "ValidationException",
				Message: "1 error: Value '" + form + "' is\nbad"}))
		if strings.Contains(e.Message, strings.TrimRight(form, "=")) || !strings.Contains(e.Message, "(ciphertext)") ||
			strings.Contains(e.Message, "\n") {
			t.Errorf("%s: %q", name, e.Message)
		}
	}
}

func TestClip_Length(t *testing.T) {
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
func TestNext_EveryClass(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		c    Case
		want string // part of the advice
	}{
		{"China's endpoint", Case{Error: Error{Reason: Timeout}, Operation: "ssm:GetParameter", Region: "cn-north-1",
			Host: "ssm.cn-north-1.amazonaws.com.cn"}, "com.amazonaws.cn-north-1.ssm"},
		{"dual stack", Case{Error: Error{Reason: Timeout}, Operation: "kms:Decrypt", Region: "eu-west-1",
			Host: "kms.eu-west-1.api.aws:443"}, "com.amazonaws.eu-west-1.kms"},
		{"FIPS", Case{Error: Error{Reason: Timeout}, Operation: "ssm:GetParameter", Region: "us-east-1",
			Host: "ssm-fips.us-east-1.amazonaws.com"}, "com.amazonaws.us-east-1.ssm-fips"},
		{"an ISO partition", Case{Error: Error{Reason: Timeout}, Operation: "kms:Decrypt", Region: "us-iso-east-1",
			Host: "kms.us-iso-east-1.c2s.ic.gov"}, "a function in a VPC needs"},
		{"private CA at one's own endpoint", Case{Error: Error{Reason: Certificate}, Operation: "kms:Decrypt",
			Host: "localstack:4566"}, "name the CA of its certificate in AWS_CA_BUNDLE"},
		{"wrong context on an emulator", Case{Error: Error{Code: "InvalidCiphertextException", Class: Decrypt},
			Operation: "kms:Decrypt", ID: "blob", Host: "localhost:4566"},
			"the encryption context is not among those tried"},
		{"no ciphertext", Case{Error: Error{Code: "InvalidCiphertextException", Class: Decrypt},
			Operation: "kms:Decrypt", ID: "blob", Host: "kms.eu-west-1.amazonaws.com"},
			"does not look like ciphertext"},
		{"partial ARN that may be full", Case{Error: Error{Code: "ResourceNotFoundException", Class: NotFound},
			Operation: "secretsmanager:GetSecretValue",
			ID:        "arn:aws:secretsmanager:eu-west-1:1:secret:prod-secret"},
			"if the name itself ends in -secret, AWS took that for the six: write sm://prod-secret"},
		{"own host", Case{Error: Error{Reason: Timeout}, Operation: "kms:Decrypt", Host: "127.0.0.1:4566"},
			"not AWS's own endpoint"},
		{"proxy's 403", Case{Error: Error{Reason: Foreign, Status: 403}, Operation: "kms:Decrypt",
			Host: "kms.eu-west-1.amazonaws.com"}, "HTTPS_PROXY"},
		{"no Region, own host", Case{Error: Error{Code: "IncompleteSignatureException"}, Operation: "kms:Decrypt",
			Host: "127.0.0.1:4566"}, "set AWS_REGION"},
		{"no URL", Case{Error: Error{Reason: NoEndpoint, Class: Invalid}, Operation: "kms:Decrypt",
			Region: "eu-west-1"}, "as http://HOST:PORT"},
		{"partial secret ARN", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied},
			Operation: "secretsmanager:GetSecretValue",
			ID:        "arn:aws:secretsmanager:eu-west-1:1:secret:db"},
			"on arn:aws:secretsmanager:eu-west-1:1:secret:db-??????"},
		{"nothing known", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied},
			Operation: "ssm:GetParameter", ID: "/a"}, "on arn:aws:ssm:REGION:ACCOUNT:parameter/a"},
		{"GovCloud", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied},
			Operation: "ssm:GetParameter", ID: "/a", Region: "us-gov-west-1"},
			"on arn:aws-us-gov:ssm:us-gov-west-1:ACCOUNT:parameter/a"},
		{"IAM user", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied,
			Message: "User: arn:aws:iam::111122223333:user/me is not authorized to perform: ssm:GetParameter on " +
				"resource: arn:aws:ssm:eu-west-1:111122223333:parameter/a"},
			Operation: "ssm:GetParameter", ID: "/a", Region: "eu-west-1"},
			"arn:aws:ssm:eu-west-1:111122223333:parameter/a"},
		{"newer words", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied,
			Message: "User: arn:aws:sts::111122223333:assumed-role/r/f is not authorized to perform: " +
				"ssm:GetParameter on resource: arn:aws:ssm:eu-west-1:111122223333:parameter/a with an explicit deny " +
				"in a resource control policy: arn:aws:organizations::1:policy/x"},
			Operation: "ssm:GetParameter", ID: "/a", Region: "eu-west-1"},
			"ask who manages the resource control policy"},
		{"alias", Case{Error: Error{Code: "AccessDeniedException", Class: AccessDenied}, Operation: "kms:Decrypt",
			Key: "alias/app", Region: "eu-west-1", ID: "blob"}, "key/KEY-ID"},
		{"key's Region", Case{Error: Error{Code: "NotFoundException", Class: Decrypt, Message: "Invalid arn us-east-1"},
			Operation: "kms:Decrypt", Region: "eu-west-1"}, "no such key in Region eu-west-1"},
	} {
		if got := tc.c.Next(); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q lacks %q", tc.name, got, tc.want)
		}
	}
}

// Words are kept of what failed on this machine, and nothing of a request, an answer or a password.
func TestCopy_KeepsInnermostWords(t *testing.T) {
	t.Parallel()
	lookup := &net.DNSError{Err: "no such host", Name: "proxy.corp", Server: "10.0.0.2:53", IsNotFound: true}
	for name, tc := range map[string]struct {
		err    error
		reason Reason
		words  string
	}{
		"address": {unsent(&net.OpError{Op: "dial", Net: "tcp",
			Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}, Err: os.NewSyscallError("connect",
				syscall.ECONNREFUSED)}), Refused, "dial tcp 10.0.0.1:443: connect: connection refused"},
		"own port goes": {unsent(errors.New("read tcp 10.0.0.9:4711->10.0.0.1:443: read: connection reset " +
			"by peer")), Broken, "read tcp 10.0.0.1:443: read: connection reset by peer"},
		"no route": {unsent(&net.OpError{Op: "dial", Net: "tcp",
			Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}), NoRoute, "dial tcp: connect: no route to host"},
		"open files": {unsent(&net.OpError{Op: "dial", Net: "tcp",
			Err: os.NewSyscallError("socket", syscall.EMFILE)}), OpenFiles, "dial tcp: socket: too many open files"},
		"open files, by DNS": {unsent(&net.DNSError{Err: "dial udp: socket: too many open files", Name: "x"}),
			OpenFiles, "lookup x: dial udp: socket: too many open files"},
		"DNS server fails": {unsent(&net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}),
			DNSFailed, "lookup x: server misbehaving"},
		"proxy": {unsent(&net.OpError{Op: "proxyconnect", Net: "tcp", Err: &net.OpError{Op: "dial",
			Net: "tcp", Err: lookup}}), ProxyFailed, "lookup proxy.corp on 10.0.0.2:53: no such host"},
		"proxy, open files": {unsent(&net.OpError{Op: "proxyconnect", Net: "tcp", Err: os.NewSyscallError("socket",
			syscall.EMFILE)}), OpenFiles, "proxyconnect tcp: socket: too many open files"},
		"half of credentials": {fmt.Errorf("get identity: get credentials: %w",
			&smithy.DeserializationError{Err: errors.New("canary"), Snapshot: []byte("canary")}), NoCredentials,
			string(Garbled)},
		"proxy refuses": {unsent(errors.New("Proxy Authentication Required")), ProxyRefused,
			"Proxy Authentication Required"},
		"proxy is no URL": {unsent(fmt.Errorf("invalid proxy address %q: x", "http://user:canary@x")), ProxyURL,
			""},
		"URL with password": {unsent(fmt.Errorf("odd http://user:canary@proxy: x")), Broken, "odd http://proxy: x"},
		"host of a " +
			"certificate": {
			unsent(&tls.CertificateVerificationError{
				Err: x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a.example"}},
					Host: "b.example"}}),
			CertificateHost, "tls: failed to verify certificate: x509: certificate is valid for " +
				"a.example, not b.example"},
		"clock": {
			unsent(&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired,
				Detail: "late"}}), CertificateTime,
			"tls: failed to verify certificate: x509: certificate has expired or is not yet valid: late"},
		"answer": {answered(200,
			&smithy.DeserializationError{Err: errors.New("canary"), Snapshot: []byte("canary")}), Garbled, ""},
		"credential output": {fmt.Errorf("get identity: get credentials: process provider error: parse failed of " +
			"process output: canary, error: x"), CommandFailed, "its output is not the JSON that the SDK wants"},
		"token file": {fmt.Errorf("get identity: get credentials: %w", &os.PathError{Op: "open", Path: "/token",
			Err: syscall.ENOENT}), CredentialsFile, "open /token: no such file or directory"},
	} {
		e := Copy("ssm:GetParameter", "", tc.err)
		if e.Reason != tc.reason || e.Words != tc.words {
			t.Errorf("%s: %q, %q", name, e.Reason, e.Words)
		}
		if text := fmt.Sprintf("%+v %v", *e, e.Unwrap()); strings.Contains(text, "canary") {
			t.Errorf("%s: %s", name, text)
		}
		var dns, had *net.DNSError
		var errno, hadErrno syscall.Errno
		if errors.As(tc.err, &had) != errors.As(e, &dns) || errors.As(tc.err, &hadErrno) && !errors.As(e, &errno) {
			t.Errorf("%s: what was reachable is not: %v", name, e.Unwrap())
		}
	}
}

// A configuration that does not load is permanent, unless the context ended or this process lacks files.
func TestConfig_IsPermanent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err   error
		class Class
	}{
		"profile": {errors.New("failed to get shared config profile, x"), Configuration},
		"file": {fmt.Errorf("bundle: %w", &os.PathError{Op: "open", Path: "/ca.pem", Err: syscall.ENOENT}),
			Configuration},
		"files": {&os.PathError{Op: "open", Path: "/ca.pem", Err: syscall.EMFILE}, Unavailable},
		"ended": {fmt.Errorf("x: %w", context.Canceled), Unavailable},
	} {
		e := Config(tc.err, "~/.aws/config")
		if e.Class != tc.class || e.Words != tc.err.Error()+" (read: ~/.aws/config)" ||
			!strings.HasPrefix(e.Error(), string(NotLoaded)+": ") {
			t.Errorf("%s: %d, %v", name, e.Class, e)
		}
	}
	if e := Config(&os.PathError{Op: "open", Path: "/ca.pem", Err: syscall.ENOENT}, ""); !errors.Is(e, os.ErrNotExist) {
		t.Error("the errno is not reachable")
	}
}

func TestIdentifier_Characters(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"AccessDeniedException": "AccessDeniedException",
		"8b9a-1.2_x": "8b9a-1.2_x", "": "", "a b": "", "a:b": "", "ä": "", "a\n": "", "abcdefghijk": ""} {
		if got := Identifier(in, len("AccessDeniedException")); in != "abcdefghijk" && got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if Identifier("abcdefghijk", 10) != "" {
		t.Error("a long one passes")
	}
}
