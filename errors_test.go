package secrets_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

var update = flag.Bool("update", false, "write testdata/errors.golden anew")

// fakeAWS is the embedded endpoint under AWS's own host names, over TLS.
type fakeAWS struct {
	*endpoint.Server
	st   *endpoint.Store
	cfg  aws.Config
	dial func(host string) error // what a connection attempt fails with, or nil

	refused atomic.Int32 // attempts that did not get as far as the server
}

func newFakeAWS(t testing.TB) *fakeAWS {
	t.Helper()
	s := endpoint.New(endpoint.Options{})
	url, err := s.StartTLS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	f := &fakeAWS{Server: s, st: s.Region(region), cfg: config("")}
	f.cfg.BaseEndpoint = nil
	// Patience beyond the library's own, for busy machines.
	client := awshttp.NewBuildableClient().WithTimeout(time.Minute).WithDialerOptions(func(d *net.Dialer) {
		d.Timeout = time.Minute
	})
	f.cfg.HTTPClient = client.WithTransportOptions(func(tr *http.Transport) {
		tr.TLSHandshakeTimeout = time.Minute
		tr.TLSClientConfig.RootCAs = s.CertPool()
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if f.dial != nil {
				if err := f.dial(addr); err != nil {
					f.refused.Add(1)
					return nil, err
				}
			}
			return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(url, "https://"))
		}
	})
	return f
}

// A failing is one row of the golden file.
type failing struct {
	name string
	ref  string                  // of the variable X, unless prepare sets it
	do   func(f *fakeAWS) string // prepares the failure; returns the reference, or "" for ref
	opts []secrets.Option
	get  string // the variable to Get, instead of warming
}

func faulty(fault endpoint.Fault) func(*fakeAWS) string {
	return func(f *fakeAWS) string {
		f.st.PutParameter(endpoint.Parameter{Name: "/app/db", Type: "SecureString", Value: "canary"})
		f.st.PutSecret("prod/db", "canary")
		f.Fault(fault)
		return ""
	}
}

func fails(code, message string) func(*fakeAWS) string {
	return faulty(endpoint.Fault{Do: endpoint.Fail, Code: code, Message: message})
}

func policy(statements string) func(*fakeAWS) string {
	return func(f *fakeAWS) string {
		faulty(endpoint.Fault{Do: endpoint.Hang, Times: 1, Operation: "none"})(f)
		if err := f.SetPolicy(`{"Statement":[` + statements + `]}`); err != nil {
			panic(err)
		}
		return ""
	}
}

func dialing(err error) func(*fakeAWS) string {
	return func(f *fakeAWS) string {
		f.dial = func(string) error { return err }
		return ""
	}
}

const (
	allowSSM  = `{"Effect":"Allow","Action":"ssm:*","Resource":"*"}`
	allowSM   = `{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}`
	allowNone = `{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}`
	user      = "User: arn:aws:sts::123456789012:assumed-role/orders-prod/orders is not authorized to perform: "
	param     = "ssm:///app/db"
	inRegion  = "arn:aws:ssm:eu-west-1:123456789012:"
)

// sealed encrypts a value and does something to its key.
func sealed(context map[string]string, suffix string, then func(f *fakeAWS, key string)) func(*fakeAWS) string {
	return func(f *fakeAWS) string {
		key := f.st.CreateKey()
		ref := kmsRef(f.st.Encrypt(key, []byte("canary"), context)) + strings.ReplaceAll(suffix, "KEY", key)
		if then != nil {
			then(f, key)
		}
		return ref
	}
}

func underKey(f *fakeAWS) string {
	key := f.st.CreateKey()
	f.st.PutParameter(endpoint.Parameter{Name: "/app/db", Type: "SecureString", Value: "canary", KeyID: key})
	f.st.CreateSecret("prod/db", key)
	f.st.PutSecret("prod/db", "canary")
	return key
}

// holding stores a text as the secret json.
func holding(text string) func(*fakeAWS) string {
	return func(f *fakeAWS) string { f.st.PutSecret("json", text); return "" }
}

var failings = []struct {
	title string
	rows  []failing
}{
	{"not found", []failing{
		{name: "parameter", ref: "ssm:///app/none"},
		{name: "parameter among others", ref: "ssm:///app/none", do: func(f *fakeAWS) string {
			f.st.PutParameter(endpoint.Parameter{Name: "/app/other", Value: "canary"})
			return ""
		}, opts: []secrets.Option{secrets.WithRef("OTHER", secrets.SSMParameter("/app/other"))}},
		{name: "parameter version", ref: param + ":7", do: faulty(endpoint.Fault{Operation: "none"})},
		{name: "parameter label", ref: param + ":blue", do: faulty(endpoint.Fault{Operation: "none"})},
		{name: "nothing below a path", ref: "ssm:///app/none/*"},
		{name: "secret", ref: "sm://prod/none"},
		{name: "secret by the ARN of its predecessor",
			ref: "sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf"},
		{name: "secret by a partial ARN of a name that ends in a hyphen and six letters",
			ref: "sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod-secret"},
		{name: "staging label", ref: "sm://prod/db?stage=AWSPENDING", do: faulty(endpoint.Fault{Operation: "none"})},
		{name: "secret version", ref: "sm://prod/db?version=00000000-0000-0000-0000-000000000000",
			do: faulty(endpoint.Fault{Operation: "none"})},
		{name: "secret without a value", ref: "sm://prod/new",
			do: func(f *fakeAWS) string { f.st.CreateSecret("prod/new", ""); return "" }},
		{name: "secret marked for deletion", ref: "sm://prod/db", do: func(f *fakeAWS) string {
			f.st.PutSecret("prod/db", "canary")
			f.st.DeleteSecret("prod/db")
			return ""
		}},
		{name: "secret through Parameter Store", ref: "ssm:///aws/reference/secretsmanager/prod/none"},
		{name: "another Region", ref: "sm://prod/db?region=us-east-1", do: faulty(endpoint.Fault{Operation: "none"})},
	}},
	{"access denied", []failing{
		{name: "GetParameter", ref: param, do: policy(allowNone)},
		{name: "GetParametersByPath", ref: "ssm:///app/*", do: policy(allowNone)},
		{name: "GetSecretValue", ref: "sm://prod/db", do: policy(allowNone)},
		{name: "GetSecretValue through Parameter Store", ref: "ssm:///aws/reference/secretsmanager/prod/db",
			do: policy(allowSSM)},
		{name: "Parameter Store's reference to a secret", ref: "ssm:///aws/reference/secretsmanager/prod/db",
			do: policy(allowNone)},
		{name: "GetSecretValue in a batch", ref: "sm://prod/db", do: func(f *fakeAWS) string {
			f.st.PutSecret("prod/other", "canary")
			return policy(`{"Effect":"Allow","Action":"secretsmanager:BatchGetSecretValue","Resource":"*"},` +
				`{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*:prod/other-??????"}`)(f)
		}, opts: []secrets.Option{secrets.WithBatchGetSecretValue(),
			secrets.WithRef("OTHER", secrets.Secret("prod/other"))}},
		{name: "absent secret", ref: "sm://prod/none", do: policy(allowNone)},
		{name: "partial ARN of a name that ends in a hyphen and six letters",
			ref: "sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod-secret", do: policy(allowNone)},
		{name: "Decrypt", do: func(f *fakeAWS) string {
			policy(allowNone)(f)
			return sealed(nil, "?context=none", nil)(f)
		}},
		{name: "Decrypt with a key named", do: func(f *fakeAWS) string {
			policy(allowNone)(f)
			return sealed(nil, "?key=KEY&context=none", nil)(f)
		}},
		{name: "ciphertext of another Region", do: func(f *fakeAWS) string {
			other := f.Region("us-east-1")
			return kmsRef(other.Encrypt(other.CreateKey(), []byte("canary"), nil)) + "?context=none"
		}},
		{name: "parameter's key", ref: param, do: func(f *fakeAWS) string {
			underKey(f)
			f.SetPolicy(`{"Statement":` + allowSSM + `}`)
			return ""
		}},
		{name: "parameter's key, named", ref: param, do: fails("AccessDeniedException", user+"kms:Decrypt on "+
			"resource: arn:aws:kms:eu-west-1:123456789012:key/its-key because no identity-based policy allows the "+
			"kms:Decrypt action (Service: AWSKMS; Status Code: 400; Error Code: AccessDeniedException)")},
		{name: "secret's key", ref: "sm://prod/db", do: func(f *fakeAWS) string {
			underKey(f)
			f.SetPolicy(`{"Statement":` + allowSM + `}`)
			return ""
		}},
		{name: "without a reason", ref: param, do: faulty(endpoint.Fault{Do: endpoint.DenyBare})},
		{name: "explicit deny", ref: "sm://prod/db",
			do: policy(allowSM + `,{"Effect":"Deny","Action":"*","Resource":"*"}`)},
		{name: "explicit deny of a policy that is not named", ref: param, do: fails("AccessDeniedException",
			user+"ssm:GetParameter on resource: "+inRegion+"parameter/app/db with an explicit deny")},
		{name: "service control policy", ref: "sm://prod/db", do: faulty(endpoint.Fault{Do: endpoint.DenySCP})},
		{name: "permissions boundary", ref: param, do: fails("AccessDeniedException", user+"ssm:GetParameter on "+
			"resource: "+inRegion+"parameter/app/db because no permissions boundary allows the "+
			"ssm:GetParameter action")},
		{name: "session policy", ref: param, do: fails("AccessDeniedException", user+"ssm:GetParameter on resource: "+
			inRegion+"parameter/app/db because no session policy allows the ssm:GetParameter action")},
		{name: "VPC endpoint policy", ref: param, do: fails("AccessDeniedException", user+"ssm:GetParameter "+
			"on resource: "+inRegion+"parameter/app/db because no VPC endpoint policy allows the "+
			"ssm:GetParameter action")},
		{name: "key policy", do: func(f *fakeAWS) string {
			f.Fault(endpoint.Fault{Do: endpoint.DenyKey})
			return sealed(nil, "?context=none", nil)(f)
		}},
		{name: "secret's resource policy",
			ref: "sm://arn:aws:secretsmanager:eu-west-1:999999999999:secret:prod/db-AbCdEf", do: policy(allowSM)},
		{name: "another account's secret, role",
			ref: "sm://arn:aws:secretsmanager:eu-west-1:999999999999:secret:prod/db-AbCdEf",
			do: fails("AccessDeniedException", user+"secretsmanager:GetSecretValue on resource: "+
				"arn:aws:secretsmanager:eu-west-1:999999999999:secret:prod/db-AbCdEf because no identity-based "+
				"policy allows the secretsmanager:GetSecretValue action")},
		{name: "another account's parameter", ref: "ssm://arn:aws:ssm:eu-west-1:999999999999:parameter/app/db",
			do: policy(allowSSM)},
		{name: "another account's secret under the default key",
			ref: "sm://arn:aws:secretsmanager:eu-west-1:999999999999:secret:prod/db-AbCdEf",
			do: fails("InvalidParameterException", "You can't access a secret from a different AWS account if you "+
				"encrypt the secret with the default KMS service key.")},
		{name: "malformed name", ref: param, do: fails("AccessDeniedException", user+"ssm:GetParameter on resource: "+
			inRegion+"* because no identity-based policy allows the ssm:GetParameter action")},
	}},
	{"cannot decrypt", []failing{
		{name: "wrong encryption context", do: sealed(map[string]string{"LambdaFunctionName": "orders-old"}, "", nil)},
		{name: "stated encryption context", do: sealed(nil, "?context.app=x", nil)},
		{name: "encoded twice", do: func(f *fakeAWS) string {
			return kmsRef([]byte(base64.StdEncoding.EncodeToString(f.st.Encrypt(f.st.CreateKey(),
				[]byte("canary"), nil))))
		}},
		{name: "raw value of an advanced parameter",
			ref: kmsRef([]byte("\x01\x80\x03\x78 an AWS Encryption SDK message")) +
				"?context.PARAMETER_ARN=arn:aws:ssm:eu-west-1:123456789012:parameter/app/db"},
		{name: "asymmetric", ref: kmsRef(make([]byte, 256)) + "?context=none"},
		{name: "no ciphertext", ref: kmsRef([]byte("hello, world, for as long as a ciphertext")) + "?context=none"},
		{name: "another key", do: func(f *fakeAWS) string {
			return sealed(nil, "?context=none&key="+f.st.CreateKey(), nil)(f)
		}},
		{name: "disabled key", do: sealed(nil, "?context=none", func(f *fakeAWS, key string) { f.st.DisableKey(key) })},
		{name: "key pending deletion", do: sealed(nil, "?context=none", func(f *fakeAWS, key string) {
			f.st.ScheduleKeyDeletion(key)
		})},
		{name: "no such key", do: sealed(nil, "?context=none&key=alias/none", nil)},
		{name: "unusable key", do: func(f *fakeAWS) string {
			f.Fault(endpoint.Fault{Do: endpoint.Fail, Code: "InvalidKeyUsageException",
				Message: "key-usage is not ENCRYPT_DECRYPT"})
			return sealed(nil, "?context=none", nil)(f)
		}},
		{name: "parameter's disabled key", ref: param,
			do: func(f *fakeAWS) string { f.st.DisableKey(underKey(f)); return "" }},
		{name: "secret's disabled key", ref: "sm://prod/db",
			do: func(f *fakeAWS) string { f.st.DisableKey(underKey(f)); return "" }},
		{name: "key not pinned", do: sealed(nil, "?context=none", nil),
			opts: []secrets.Option{secrets.WithKMSKeys("arn:aws:kms:eu-west-1:123456789012:key/pinned")}},
	}},
	{"throttled", []failing{
		{name: "KMS", do: func(f *fakeAWS) string {
			f.Fault(endpoint.Fault{Do: endpoint.Throttle})
			return sealed(nil, "", nil)(f)
		}},
		{name: "Parameter Store", ref: param, do: faulty(endpoint.Fault{Do: endpoint.Throttle})},
		{name: "Secrets Manager", ref: "sm://prod/db", do: faulty(endpoint.Fault{Do: endpoint.Throttle})},
		{name: "429 without a code", ref: param, do: faulty(endpoint.Fault{Do: endpoint.Fail, Status: 429})},
	}},
	{"unavailable", []failing{
		{name: "500", ref: param, do: faulty(endpoint.Fault{Do: endpoint.Fail, Status: 500, Code: "InternalServerError",
			Message: "An error occurred on the server side."})},
		{name: "503 of a load balancer", ref: "sm://prod/db", do: faulty(endpoint.Fault{Do: endpoint.HTML503})},
		{name: "truncated answer", ref: "sm://prod/db", do: faulty(endpoint.Fault{Do: endpoint.TruncatedJSON})},
		{name: "no JSON", ref: param, do: faulty(endpoint.Fault{Do: endpoint.Garbled})},
		{name: "wrong types", ref: "sm://prod/db", do: faulty(endpoint.Fault{Do: endpoint.WrongTypes})},
		{name: "empty answer", ref: param, do: faulty(endpoint.Fault{Do: endpoint.Empty})},
		{name: "member missing", ref: "sm://prod/db",
			do: faulty(endpoint.Fault{Do: endpoint.Missing, Member: "SecretString"})},
		{name: "unknown code", ref: param, do: fails("BrandNewException", "something new")},
		{name: "no answer", ref: param, do: func(f *fakeAWS) string {
			f.cfg.HTTPClient = f.cfg.HTTPClient.(*awshttp.BuildableClient).WithTimeout(200 * time.Millisecond)
			return faulty(endpoint.Fault{Do: endpoint.Hang})(f)
		}},
		{name: "no answer after its headers", ref: param, do: func(f *fakeAWS) string {
			// for the headers on a busy machine
			f.cfg.HTTPClient = f.cfg.HTTPClient.(*awshttp.BuildableClient).WithTimeout(600 * time.Millisecond)
			return faulty(endpoint.Fault{Do: endpoint.HangAfterHeaders})(f)
		}},
		{name: "connection cut", ref: "sm://prod/db", do: faulty(endpoint.Fault{Do: endpoint.CutRST})},
		{name: "connection refused", ref: param,
			do: dialing(&net.OpError{Op: "dial", Net: "tcp",
				Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})},
		{name: "unknown host", ref: param + "?region=eu-west-9", do: dialing(&net.OpError{Op: "dial", Net: "tcp",
			Err: &net.DNSError{Err: "no such host", Name: "ssm.eu-west-9.amazonaws.com", IsNotFound: true}})},
		{name: "untrusted certificate", ref: "sm://prod/db", do: func(f *fakeAWS) string {
			f.cfg.HTTPClient = f.cfg.HTTPClient.(*awshttp.BuildableClient).
				WithTransportOptions(func(tr *http.Transport) { tr.TLSClientConfig.RootCAs = nil })
			f.dial = func(string) error { f.refused.Add(1); return nil }
			return ""
		}},
		{name: "own endpoint does not answer", ref: param, do: func(f *fakeAWS) string {
			f.cfg.BaseEndpoint = aws.String("https://localstack.internal:4566")
			return dialing(&net.OpError{Op: "dial", Net: "tcp",
				Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})(f)
		}},
		{name: "credentials expired", ref: param,
			do: fails("ExpiredTokenException", "The security token included in the request is expired")},
		{name: "credentials unknown", ref: "sm://prod/db",
			do: fails("UnrecognizedClientException", "The security token included in the request is invalid.")},
		{name: "wrong clock", ref: param, do: fails("InvalidSignatureException",
			"Signature expired: 20261123T000000Z is now earlier than 20261123T010000Z (20261123T010500Z - 5 min.)")},
		{name: "wrong secret key", ref: param, do: fails("InvalidSignatureException", "The request signature we "+
			"calculated does not match the signature you provided. Check your AWS Secret Access Key and signing "+
			"method. Consult the service documentation for details.")},
		{name: "no credentials", ref: param, do: func(f *fakeAWS) string {
			f.cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				f.refused.Add(1)
				return aws.Credentials{}, errors.New("no EC2 IMDS role found, operation error ec2imds: GetMetadata, " +
					"access disabled to EC2 IMDS via client option, or \"AWS_EC2_METADATA_DISABLED\" " +
					"environment variable")
			})
			return ""
		}},
	}},
	{"no such field", []failing{
		{name: "no JSON", ref: "sm://prod/db#password", do: faulty(endpoint.Fault{Operation: "none"})},
		{name: "missing", ref: "sm://json#password",
			do: func(f *fakeAWS) string { f.st.PutSecret("json", `{"user":"canary"}`); return "" }},
		{name: "null", ref: "sm://json#password",
			do: func(f *fakeAWS) string { f.st.PutSecret("json", `{"password":null}`); return "" }},
		{name: "duplicate", ref: "sm://json#password", do: func(f *fakeAWS) string {
			f.st.PutSecret("json", `{"password":"canary","password":"x"}`)
			return ""
		}},
		{name: "byte order mark", ref: "sm://json#password", do: holding("\ufeff{\"password\":\"canary\"}")},
		{name: "trailing comma", ref: "sm://json#password", do: holding("{\n  \"password\": \"canary\",\n}")},
		{name: "single quotes", ref: "sm://json#password", do: holding("{'password': 'canary'}")},
		{name: "JSON encoded twice", ref: "sm://json#password", do: holding(`"{\"password\":\"canary\"}"`)},
		{name: "JSON in a string of the JSON", ref: "sm://json#config.password",
			do: holding(`{"config":"{\"password\":\"canary\"}"}`)},
		{name: "line break in a string", ref: "sm://json#key",
			do: holding("{\"key\":\"-----BEGIN\ncanary\n-----END\"}")},
		{name: "array", ref: "sm://json#password", do: holding(`[{"password":"canary"}]`)},
		{name: "host of a secret that RDS manages", ref: "sm://rds!db-1234#host", do: func(f *fakeAWS) string {
			f.st.PutSecret("rds!db-1234", `{"username":"app","password":"canary"}`)
			return ""
		}},
	}},
	{"invalid reference", []failing{
		{name: "validation", ref: param,
			do: fails("ValidationException", "Parameter name: can't be prefixed with \"ssm\" (case-insensitive).")},
		{name: "secret's name", ref: "sm://prod/db", do: fails("ValidationException", "Invalid name. Must be a valid "+
			"name containing alphanumeric characters, or any of the following: -/_+=.@!")},
		{name: "KMS request", do: func(f *fakeAWS) string {
			f.Fault(endpoint.Fault{Do: endpoint.Fail, Code: "ValidationException",
				Message: "1 validation error detected"})
			return sealed(nil, "", nil)(f)
		}},
		{name: "version without stage", do: func(f *fakeAWS) string {
			_, id := f.st.PutSecret("prod/db", "canary")
			return "sm://prod/db?stage=AWSPREVIOUS&version=" + id
		}},
		{name: "too many parameters below a path", ref: "ssm:///many/*", do: func(f *fakeAWS) string {
			for i := range 1001 {
				f.st.PutParameter(endpoint.Parameter{Name: fmt.Sprintf("/many/%d", i), Value: "canary"})
			}
			return ""
		}},
	}},
	{"invalid configuration", []failing{
		{name: "no Region", ref: param, do: func(f *fakeAWS) string { f.cfg.Region = ""; return "" }},
		{name: "malformed Region", ref: param, do: func(f *fakeAWS) string { f.cfg.Region = " eu-west-1"; return "" }},
		{name: "endpoint without a scheme", ref: param, do: func(f *fakeAWS) string {
			f.cfg.BaseEndpoint = aws.String("localhost:4566")
			return ""
		}},
	}},
	{"not a reference", []failing{
		{name: "not set", get: "DB_PASSWORD"},
		{name: "plain", get: "PLAIN"},
		{name: "bare ARN", get: "ARN"},
	}},
}

// stable replaces what differs from run to run.
var stable = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`(?i)(request(?: id:)?) [0-9a-f]{8}-[0-9a-f-]{27}`), "$1 REQUEST-ID"},
	{regexp.MustCompile(`:key/[0-9a-f]{8}-[0-9a-f-]{27}`), ":key/1234abcd"},
	{regexp.MustCompile(`version=[0-9a-f]{8}-[0-9a-f-]{27}`), "version=VERSION-ID"},
	{regexp.MustCompile(`(secret:prod/db)-[A-Za-z0-9]{6}`), "$1-AbCdEf"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`within \d+(\.\d+)?m?s`), "within 123ms"},
}

// giveUp ends a caller's patience with a transient failure once it has been retried: after four of AWS's codes, or four
// attempts, of which the SDK makes three by itself where a connection broke or a clock is off. Less would race with the
// first answer.
func (f *fakeAWS) giveUp(ctx context.Context, cancel func()) {
	for ctx.Err() == nil {
		codes, attempts := 0, int(f.refused.Load())
		for _, c := range f.Calls() {
			if c.Code != "" {
				codes++
			}
			if c.Operation != "ssm:GetParametersByPath" { // pages are no attempts
				attempts++
			}
		}
		if codes >= 4 || attempts >= 4 {
			cancel()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// fail makes one failure happen, by real SDK calls, and returns its error.
func fail(t *testing.T, row failing) error {
	f := newFakeAWS(t)
	ref := row.ref
	if row.do != nil {
		if made := row.do(f); made != "" {
			ref = made
		}
	}
	environ := map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "orders", "PLAIN": "plain",
		"ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf"}
	if ref != "" {
		environ["DB_PASSWORD"] = ref
	}
	env := newEnv(t, f.cfg, environ, append(row.opts, secrets.WithLogger(slog.New(slog.DiscardHandler)))...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go f.giveUp(ctx, cancel)
	if row.get != "" {
		_, err := env.Get(ctx, row.get)
		return err
	}
	return env.Warm(ctx)
}

// TestErrors_Golden shows each kind of failure as a user sees it. go test -run TestErrors_Golden -update writes the
// file anew.
func TestErrors_Golden(t *testing.T) {
	t.Parallel()
	const file = "testdata/errors.golden"
	golden, _ := os.ReadFile(file) // its absence is reported below
	texts := map[*failing]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, 16) // most rows wait rather than work
	for i := range failings {
		kind := failings[i].title
		for j := range failings[i].rows {
			row := &failings[i].rows[j]
			all.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				var err error
				var text string
				for try := 1; ; try++ { // a busy machine may make another failure of it once or twice
					if err = fail(t, *row); err == nil {
						break
					}
					text = stably("Error:  " + err.Error() + "\nDetail: " + secrets.Detail(err))
					if try == 3 || *update || strings.Contains(string(golden), "\n# "+row.name+"\n"+text+"\n") {
						break
					}
				}
				var e *secrets.ResolveError
				if !errors.As(err, &e) || !strings.HasPrefix(e.Unwrap()[0].Error(), kind) {
					t.Errorf("%s, %s: the kind of %v", kind, row.name, err)
					return
				}
				if strings.Contains(text, "canary") || len(text) > 1500 || strings.Count(text, "\n") != 1 {
					t.Errorf("%s, %s: too long, or quotes the value: %s", kind, row.name, text)
				}
				if form := leaks(walk(err)+fmt.Sprintf("%+v %#v", err, err), "canary"); form != "" {
					t.Errorf("%s, %s: %q is reachable from the error", kind, row.name, form)
				}
				if of := madeOf(err, "github.com/aws/", "net/"); of != "" {
					t.Errorf("%s, %s: a %s is reachable from the error", kind, row.name, of)
				}
				mu.Lock()
				texts[row] = text
				mu.Unlock()
			})
		}
	}
	all.Wait()
	var b strings.Builder
	b.WriteString("What users see, by kind of failure. Written by go test -run TestErrors_Golden -update; " +
		"read it top to bottom.\n")
	for i := range failings {
		fmt.Fprintf(&b, "\n## %s\n", failings[i].title)
		for j := range failings[i].rows {
			row := &failings[i].rows[j]
			fmt.Fprintf(&b, "\n# %s\n%s\n", row.name, texts[row])
		}
	}
	fmt.Fprintf(&b, "\n## several at once\n\n# warm\n%s\n\n# New\n%s\n", several(t), everythingWrong())
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for i := range got {
		if i >= len(wanted) || got[i] != wanted[i] {
			t.Fatalf("line %d differs from %s:\n%s", i+1, file, got[i])
		}
	}
	if len(got) != len(wanted) {
		t.Errorf("%s has %d lines more", file, len(wanted)-len(got))
	}
}

// several is what a warm says that fails for several variables, in the log and to the invoker.
func several(t *testing.T) string {
	f := newFakeAWS(t)
	policy(allowSSM + "," + allowSM)(f)
	env := newEnv(t, f.cfg, map[string]string{"STRIPE_KEY": "ssm:///app/none", "DB_PASSWORD": "sm://prod/db#password",
		"API_TOKEN": "sm://prod/none", "SIGNING_KEY": sealed(nil, "?context=none", nil)(f)},
		secrets.WithLogger(slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := env.Warm(ctx)
	if err == nil || secrets.Retryable(err) {
		t.Errorf("warm: %v", err)
	}
	return stably("Error:  " + err.Error() + "\nDetail: " + secrets.Detail(err))
}

// everythingWrong is what New says of an environment in which nothing is right.
func everythingWrong() string {
	_, err := secrets.New(secrets.WithVars(secrets.KMS, "CIPHERTEXT", "UNSET"), secrets.WithEnviron(map[string]string{
		"AWS_REGION": "eu-west-1", "CASE": "SSM:///app/db", "SLASH": "ssm://app/db", "SPACE": " sm://prod/db",
		"RESOLVE": "{{resolve:ssm:/app/db}}", "OPTION": "sm://prod/db?stag=AWSPENDING",
		"BASE64": "kms://!!", "AWS_SESSION_TOKEN": "ssm:///app/token", "CIPHERTEXT": "hunter2",
		"PARTITION": "sm://prod/db?region=cn-north-1"}))
	return stably("Error:  " + err.Error())
}

func stably(text string) string {
	for _, r := range stable {
		text = r.re.ReplaceAllString(text, r.to)
	}
	return text
}

// docs/operations.md has every key of the log, and no other.
func TestLogKeys_Documented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile(`"(secrets\.(?:[a-mo-z]|n[a-np-z])[a-z]*)"`) // not the build tags, secrets.no…
	documented := regexp.MustCompile("(?m)^\\| `(secrets\\.[a-z]+)` \\|")
	keys := func(re *regexp.Regexp, text []byte, into map[string]bool) {
		for _, m := range re.FindAllSubmatch(text, -1) {
			into[string(m[1])] = true
		}
	}
	inSource, onPage := map[string]bool{}, map[string]bool{}
	keys(documented, page, onPage)
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		keys(key, source, inSource)
	}
	if len(inSource) < 7 || !maps.Equal(inSource, onPage) {
		t.Errorf("in the source: %v; on the page: %v", inSource, onPage)
	}
}

// The chain behind an error keeps what AWS said of the failure, and nothing of the SDK's. (Promise 7.)
func TestChain_KeepsNothingOfSDK(t *testing.T) {
	t.Parallel()
	err := fail(t, failing{ref: "sm://prod/none"})
	var api smithy.APIError
	var status interface{ HTTPStatusCode() int }
	var id interface{ ServiceRequestID() string }
	if !errors.As(err, &api) || api.ErrorCode() != "ResourceNotFoundException" ||
		!strings.HasPrefix(api.ErrorMessage(), "Secrets Manager can't find") ||
		!errors.As(err, &status) || status.HTTPStatusCode() != 400 || !errors.As(err, &id) ||
		len(id.ServiceRequestID()) != 36 {
		t.Errorf("the chain of %v lacks code, message, status or request id", err)
	}
	for name, row := range map[string]failing{
		"answered":  {ref: "sm://prod/none"},
		"truncated": {ref: "sm://prod/db", do: faulty(endpoint.Fault{Do: endpoint.TruncatedJSON})},
		"cut":       {ref: param, do: faulty(endpoint.Fault{Do: endpoint.Truncated})},
		"html":      {ref: param, do: faulty(endpoint.Fault{Do: endpoint.HTML503})},
	} {
		err := fail(t, row)
		if of := madeOf(err, "github.com/aws/", "net/"); of != "" {
			t.Errorf("%s: the chain holds a %s", name, of)
		}
	}
	if madeOf(&smithy.OperationError{Err: errors.New("x")}, "github.com/aws/") == "" ||
		madeOf(fmt.Errorf("x: %w", &net.OpError{}), "net/") == "" {
		t.Error("an error of the SDK is not seen: the test is void")
	}
}

// madeOf returns the first struct of one of these packages that v reaches, by whatever field of whatever error in its
// chain, or "".
func madeOf(v any, packages ...string) string {
	seen := map[reflect.Value]bool{}
	var step func(v reflect.Value) string
	step = func(v reflect.Value) string {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() && !seen[v] {
				seen[v] = true
				return step(v.Elem())
			}
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[net.DNSError]() {
				return "" // it holds texts
			}
			for _, p := range packages {
				if strings.HasPrefix(v.Type().PkgPath()+"/", p) {
					return v.Type().String()
				}
			}
			for i := range v.NumField() {
				if of := step(v.Field(i)); of != "" {
					return of
				}
			}
		case reflect.Array, reflect.Slice:
			for i := range v.Len() {
				if of := step(v.Index(i)); of != "" {
					return of
				}
			}
		}
		return ""
	}
	return step(reflect.ValueOf(v))
}

// One line per failure, however the program put them together, and whatever stands beside them.
func TestDetail_JoinedErrors(t *testing.T) {
	t.Parallel()
	env := newEnv(t, config(""), map[string]string{"A": "ssm:///a"})
	_, one := env.Get(t.Context(), "ONE")
	_, two := env.Get(t.Context(), "TWO")
	first, second, other := secrets.Detail(one), secrets.Detail(two), errors.New("other")
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"one":     {one, first},
		"wrapped": {fmt.Errorf("load: %w", one), first},
		"joined":  {errors.Join(one, two), first + "\n" + second},
		"joined, wrapped": {fmt.Errorf("load: %w", errors.Join(one, fmt.Errorf("again: %w", two))),
			first + "\n" + second},
		"with another's": {errors.Join(other, two), "other\n" + second},
		"another's":      {fmt.Errorf("%w, %w", other, other), "other, other"},
		"none":           {nil, ""},
	} {
		if got := secrets.Detail(tc.err); got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tc.want)
		}
	}
}

// Nobody can put a second line, or a very long one, into what goes to the invoker. (Promise 7.)
func TestError_OneShortLine(t *testing.T) {
	t.Parallel()
	odd := "a\nb\r\u0085\u2028\x1b[31m\u009b\u202e" + strings.Repeat("c", 5000)
	env := newEnv(t, config(""), map[string]string{"A": "ssm:///a"})
	_, unknown := env.Get(t.Context(), odd)
	_, invalid := env.Resolve(t.Context(), secrets.Secret(odd))
	body, _ := json.Marshal(map[string]string{"__type": odd, "message": odd})
	aws, cfg := answer(0, body)
	aws.status = 400
	coded := secrets.NewSSM(cfg).Fetch(t.Context(), []secrets.Ref{secrets.SSMParameter("/a")})[0].Err
	changed := *unknown.(*secrets.ResolveError) // as a provider may change one of ours
	changed.Operation, changed.Code, changed.RequestID = odd, odd, odd
	for name, err := range map[string]error{"variable": unknown, "reference": invalid, "answer": coded,
		"provider": &changed} {
		text, detail := err.Error(), secrets.Detail(err)
		if strings.ContainsFunc(text+detail, func(r rune) bool { return !unicode.IsPrint(r) }) || len(text) > 500 ||
			len(detail) > 3500 {
			t.Errorf("%s: %d and %d bytes: %.200q", name, len(text), len(detail), text)
		}
	}
}

func TestRetryable_JoinedErrors(t *testing.T) {
	t.Parallel()
	transient, permanent := secrets.ErrThrottled, secrets.ErrAccessDenied
	for _, tc := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"transient", transient, true},
		{"permanent", permanent, false},
		{"wrapped", fmt.Errorf("x: %w", transient), true},
		{"all transient", errors.Join(transient, secrets.ErrUnavailable), true},
		{"one permanent", errors.Join(transient, permanent), false},
		{"deadline", context.DeadlineExceeded, true},
		{"somebody's", errors.New("x"), false},
		{"a throttle", fail(t, failing{ref: param, do: faulty(endpoint.Fault{Do: endpoint.Throttle})}), true},
		{"a denial", fail(t, failing{ref: param, do: faulty(endpoint.Fault{Do: endpoint.Deny})}), false},
		{"a warm of both", fail(t, failing{ref: param, do: faulty(endpoint.Fault{Do: endpoint.Throttle}),
			opts: []secrets.Option{secrets.WithRef("B", secrets.Secret("none"))}}), true},
	} {
		if got := secrets.Retryable(tc.err); got != tc.want {
			t.Errorf("%s: Retryable(%v) = %v", tc.name, tc.err, got)
		}
	}
}

func mustParse(t testing.TB, text string) secrets.Ref {
	t.Helper()
	ref, err := secrets.ParseRef(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// Anybody may make one, to compare with or to return from a fake.
func TestResolveError_ByHand(t *testing.T) {
	for _, e := range []*secrets.ResolveError{{},
		{Variable: "X", Operation: "ssm:GetParameter", Code: "Odd", RequestID: "1"}} {
		if got := fmt.Sprint(e, secrets.Detail(e)); !strings.HasPrefix(got, "secrets: ") {
			t.Error(got)
		}
		for _, err := range e.Unwrap() {
			if err == nil {
				t.Error("Unwrap returns a nil error")
			}
		}
		if secrets.Retryable(e) || errors.Is(e, secrets.ErrNotFound) {
			t.Error("it has a kind")
		}
	}
}

// A failure of who gives the credentials says nothing of the value: it is retryable, whatever STS answers, and names
// its own operation.
func TestResolveError_CredentialStep(t *testing.T) {
	t.Parallel()
	step := func(service, operation, code, message string) error {
		return &smithy.OperationError{ServiceID: service, OperationName: operation,
			Err: &smithy.GenericAPIError{Code: code, Message: message}}
	}
	for _, tc := range []struct {
		err                   error
		operation, code, next string
		kind                  error
	}{
		{step("STS", "AssumeRole", "AccessDenied", user+"sts:AssumeRole on resource: arn:aws:iam::1:role/app"),
			"sts:AssumeRole", "AccessDenied", "the role's trust policy", secrets.ErrUnavailable},
		{step("STS", "AssumeRoleWithWebIdentity", "AccessDenied", "Not authorized to perform "+
			"sts:AssumeRoleWithWebIdentity"), "sts:AssumeRoleWithWebIdentity", "AccessDenied",
			"let the trust policy of the role allow", secrets.ErrUnavailable},
		{step("STS", "AssumeRoleWithWebIdentity", "InvalidIdentityToken", "No OpenIDConnect provider found"),
			"sts:AssumeRoleWithWebIdentity", "InvalidIdentityToken", "AWS_WEB_IDENTITY_TOKEN_FILE",
			secrets.ErrUnavailable},
		{step("STS", "AssumeRole", "Throttling", "Rate exceeded"), "sts:AssumeRole", "Throttling", "STS's own quota",
			secrets.ErrThrottled},
		{step("STS", "AssumeRole", "ValidationError", "1 validation error"), "sts:AssumeRole", "ValidationError",
			"see the role", secrets.ErrUnavailable},
		{step("SSO", "GetRoleCredentials", "UnauthorizedException", "Session token not found or invalid"),
			"sso:GetRoleCredentials", "UnauthorizedException", "aws sso login", secrets.ErrUnavailable},
		{step("SSO", "GetRoleCredentials", "ResourceNotFoundException", "No access"), "sso:GetRoleCredentials",
			"ResourceNotFoundException", "aws sso login", secrets.ErrUnavailable},
		{step("ec2imds", "GetMetadata", "NotFound", "canary"), "ssm:GetParameter", "", "on Lambda the function's role",
			secrets.ErrUnavailable},
	} {
		err := fail(t, failing{ref: param, do: func(f *fakeAWS) string {
			f.cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				f.refused.Add(1)
				return aws.Credentials{}, tc.err
			})
			return ""
		}})
		var e *secrets.ResolveError
		if !errors.As(err, &e) || e.Operation != tc.operation || e.Code != tc.code || !errors.Is(err, tc.kind) ||
			!secrets.Retryable(err) {
			t.Errorf("%v: %+v, retryable %v", tc.err, e, secrets.Retryable(err))
		}
		if detail := secrets.Detail(err); !strings.Contains(detail, tc.next) {
			t.Errorf("%v: lacks %q: %s", tc.err, tc.next, detail)
		}
	}
}

// A page that a gateway answers with 403 denies nothing that AWS knows of: it is retryable.
func TestResolveError_ForbiddenPage(t *testing.T) {
	t.Parallel()
	for _, row := range []failing{{ref: param, do: faulty(endpoint.Fault{Do: endpoint.Fail, Status: 403})},
		{ref: "sm://prod/db", do: faulty(endpoint.Fault{Do: endpoint.Fail, Status: 403})}} {
		if err := fail(t, row); !errors.Is(err, secrets.ErrUnavailable) || errors.Is(err, secrets.ErrAccessDenied) ||
			!secrets.Retryable(err) || !strings.Contains(secrets.Detail(err), "HTTP status 403") {
			t.Errorf("%v", secrets.Detail(err))
		}
	}
}

// Who answers in AWS's place cannot put a text into the code or the request id, which reach the invoker.
func TestResolveError_ForeignIdentifiers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"my secret canary", "canary:canary", "canary@host", "Ünicode", "canary=",
		strings.Repeat("a", 101)} {
		body, _ := json.Marshal(map[string]string{"__type": text, "message": "m"})
		cfg := config("https://aws.example")
		cfg.Retryer = onceOnly
		cfg.HTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 400, Header: http.Header{"X-Amzn-Requestid": {text}},
				Body: io.NopCloser(bytes.NewReader(body))}, nil
		})}
		err := secrets.NewSSM(cfg).Fetch(t.Context(), []secrets.Ref{secrets.SSMParameter("/a")})[0].Err
		var e *secrets.ResolveError
		if !errors.As(err, &e) || e.Code == text || e.RequestID != "" || strings.Contains(err.Error(), text) ||
			!secrets.Retryable(err) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// codes is every code that AWS-FACTS lists for the operations used: those of the service models, and those that any
// service may answer.
var codes = []struct {
	operation string // "" for each of them
	kind      error
	codes     string
}{
	{"kms:Decrypt", secrets.ErrDecrypt, "InvalidCiphertextException IncorrectKeyException InvalidKeyUsageException " +
		"InvalidGrantTokenException DisabledException " +
		"KMSInvalidStateException NotFoundException UnsupportedOperationException"},
	{"kms:Decrypt", secrets.ErrUnavailable,
		"DependencyTimeoutException KeyUnavailableException KMSInternalException DryRunOperationException"},
	{"ssm:GetParameter", secrets.ErrNotFound, "ParameterNotFound ParameterVersionNotFound"},
	{"ssm:GetParameter", secrets.ErrDecrypt, "InvalidKeyId"},
	{"ssm:GetParametersByPath", secrets.ErrDecrypt, "InvalidKeyId"},
	{"ssm:GetParametersByPath", secrets.ErrInvalidReference,
		"InvalidFilterKey InvalidFilterOption InvalidFilterValue InvalidNextToken"},
	{"secretsmanager:GetSecretValue", secrets.ErrNotFound, "ResourceNotFoundException"},
	{"secretsmanager:GetSecretValue", secrets.ErrDecrypt, "DecryptionFailure DecryptionFailureException"},
	{"secretsmanager:GetSecretValue", secrets.ErrInvalidReference,
		"InvalidParameterException InvalidRequestException InvalidNextTokenException"},
	{"", secrets.ErrUnavailable, "InternalServerError InternalServiceError InternalServiceErrorException " +
		"InternalFailure InternalError ServiceUnavailable ServiceUnavailableException " +
		"RequestTimeout RequestTimeoutException ExpiredToken ExpiredTokenException TokenRefreshRequired " +
		"UnrecognizedClientException InvalidClientTokenId InvalidSignatureException " +
		"SignatureDoesNotMatch IncompleteSignature IncompleteSignatureException MissingAuthenticationToken " +
		"MissingAuthenticationTokenException RequestExpired RequestTimeTooSkewed AuthFailure " +
		"BrandNewException UnknownOperationException SerializationException"},
	{"", secrets.ErrThrottled, "ThrottlingException Throttling ThrottledException RequestThrottled " +
		"RequestThrottledException TooManyRequestsException ProvisionedThroughputExceededException " +
		"TransactionInProgressException RequestLimitExceeded BandwidthLimitExceeded LimitExceededException SlowDown " +
		"PriorRequestNotComplete EC2ThrottledException"},
	{"", secrets.ErrAccessDenied, "AccessDeniedException AccessDenied UnauthorizedOperation " +
		"KMSAccessDeniedException OptInRequired"},
	{"", secrets.ErrInvalidReference, "ValidationException InvalidParameterValue"},
}

// Each code is of one kind, whatever type this SDK makes of it, and whatever status it came with.
func TestKind_OfEveryCode(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.cfg.Retryer = onceOnly
	providers := map[string]secrets.Provider{"kms": secrets.NewKMS(f.cfg), "ssm": secrets.NewSSM(f.cfg),
		"secretsmanager": secrets.NewSecretsManager(f.cfg)}
	refs := map[string]secrets.Ref{
		"kms:Decrypt": secrets.Ciphertext([]byte("blobblobblobblobblobblobblobblob")).With("context",
			"none"),
		"ssm:GetParameter":              secrets.SSMParameter("/app/db"),
		"ssm:GetParametersByPath":       mustParse(t, "ssm:///app/*"),
		"secretsmanager:GetSecretValue": secrets.Secret("prod/db")}
	kinds := []error{secrets.ErrNotFound, secrets.ErrAccessDenied, secrets.ErrThrottled, secrets.ErrUnavailable,
		secrets.ErrDecrypt, secrets.ErrField, secrets.ErrInvalidReference, secrets.ErrNotReference}
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
				if !errors.As(err, &e) || e.Code != code || e.Operation != operation &&
					operation != "ssm:GetParameter" || e.RequestID == "" {
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

// An error may be shared by calls that go on at once.
func TestResolveError_SharedByConcurrentCalls(t *testing.T) {
	t.Parallel()
	_, st, cfg := start(t)
	shared := new(secrets.ResolveError)
	_, err := secrets.ParseRef("ssm:/x")
	errors.As(err, &shared)
	before := *shared
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, shared
	})
	for name, b := range backends(cfg, st) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if r := fetch(t, b, b.ref)[0]; !errors.Is(r.Err, secrets.ErrInvalidReference) {
					t.Errorf("%s: %v", name, r.Err)
				}
			})
		}
		wg.Wait()
	}
	if secrets.Detail(shared) != secrets.Detail(&before) {
		t.Errorf("changed to %s", secrets.Detail(shared))
	}
}

// The text that a program passes as the name of a variable may be anything.
func TestError_NameOfNoVariable(t *testing.T) {
	t.Parallel()
	env := newEnv(t, config(""), map[string]string{"A": "ssm:///a"})
	for _, name := range []string{"postgres://app:canary@db/orders", "canary canary", "canary\ncanary",
		`{"password":"canary"}`} {
		_, err := env.Get(t.Context(), name)
		if text := fmt.Sprint(err) + secrets.Detail(err); strings.Contains(text, "canary") ||
			!strings.Contains(text, fmt.Sprintf("%d bytes", len(name))) {
			t.Errorf("%q: %s", name, text)
		}
	}
	if _, err := env.Get(t.Context(), "DB.PASSWORD-2/x"); !strings.Contains(fmt.Sprint(err), "DB.PASSWORD-2/x: ") {
		t.Errorf("%v", err)
	}
}

// What a deadline adds to a failure stays in the chain of a declared variable's error, whose text is not quoted.
func TestResolveError_DeclaredKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		throttled := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
			return secrets.Value{}, &smithy.GenericAPIError{Code: "ThrottlingException", Message: "slow down"}
		})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{"TOKEN": "name"}), secrets.WithLogger(quiet()),
			secrets.WithVars(secrets.SSM, "TOKEN"), secrets.WithProvider(throttled))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = env.Get(ctx, "TOKEN")
		if !errors.Is(err, secrets.ErrThrottled) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}
