package secrets_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/filelimit"
)

// A localCause is a failure of the machine, of the network's own parts, or of who gives the credentials. It happens
// in a process of its own, because it takes an environment, a resolver or limits of its own.
type localCause struct {
	name    string
	prepare func(*causeWorld) []string // returns the environment of the process
	named   []string                   // what the SDK's text and Detail both say
	detail  []string                   // what Detail says besides
	is      []string                   // what is reachable in the chain, of chainTargets
}

// causeWorld is what the rows are prepared with.
type causeWorld struct {
	t   *testing.T
	dir string
}

func (w *causeWorld) file(name, text string) string {
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// profile returns the environment in which a profile of this text is in use.
func (w *causeWorld) profile(text string, more ...string) []string {
	return append([]string{"AWS_PROFILE=app", "AWS_CONFIG_FILE=" + w.file("config", text)}, more...)
}

// serve starts a plain HTTP server that gives one answer.
func (w *causeWorld) serve(status int, header, body string) string {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", header)
		rw.Header().Set("X-Amzn-Requestid", "11111111-2222-3333-4444-555555555555")
		rw.WriteHeader(status)
		io.WriteString(rw, body)
	}))
	w.t.Cleanup(s.Close)
	return s.URL
}

// raw starts a TCP server that does f with each connection.
func (w *causeWorld) raw(f func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go f(conn)
		}
	}()
	return l.Addr().String()
}

// closed returns the address of a port that nobody listens on.
func (w *causeWorld) closed() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// tls starts a TLS server with a certificate of its own, and returns its address and the file of its CA.
func (w *causeWorld) tls(host string, from, until time.Time) (addr, ca string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	issuer := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root, err := x509.CreateCertificate(rand.Reader, issuer, issuer, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, NotBefore: from,
		NotAfter: until, DNSNames: []string{host},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, issuer, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "https://"),
		w.file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root})))
}

const (
	stsDenied = `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: ` +
		`arn:aws:iam::123456789012:user/dev is not authorized ` +
		`to perform: sts:AssumeRole on resource: arn:aws:iam::999999999999:role/app</Message></Error>` +
		`<RequestId>99999999-2222-3333-4444-555555555555</RequestId></ErrorResponse>`
	stsThrottled = `<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate ` +
		`exceeded</Message></Error>` +
		`<RequestId>99999999-2222-3333-4444-555555555555</RequestId></ErrorResponse>`
	assumed = "[profile app]\nrole_arn = arn:aws:iam::999999999999:role/app\nsource_profile = base\n" +
		"[profile base]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = canary-secret-key\n"
)

// withoutKeys is the environment in which the credentials have to come from elsewhere.
var withoutKeys = []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}

var localCauses = []localCause{
	{name: "AWS_PROFILE names no profile",
		prepare: func(w *causeWorld) []string {
			return w.profile("[profile other]\naws_secret_access_key = canary-secret-key\n", "AWS_PROFILE=orders")
		},
		named: []string{"failed to get shared config profile, orders"}, detail: []string{"DIR/config", "AWS_PROFILE"}},
	{name: "a profile file that is no INI",
		prepare: func(w *causeWorld) []string {
			return w.profile("[profile app\naws_secret_access_key canary-secret-key\n= canary\n[profile app]\n" +
				"retry_mode = other\nregion = eu-west-1\n")
		},
		named: []string{"profile"}},
	{name: "AWS_CA_BUNDLE is absent",
		prepare: func(w *causeWorld) []string { return []string{"AWS_CA_BUNDLE=" + w.dir + "/none.pem"} },
		named:   []string{"none.pem: no such file or directory"}, detail: []string{"AWS_CA_BUNDLE"},
		is: []string{"ENOENT"}},
	{name: "SSO token expired",
		prepare: func(w *causeWorld) []string {
			sum := sha1.Sum([]byte("corp"))
			w.file(".aws/sso/cache/"+hex.EncodeToString(sum[:])+".json",
				`{"accessToken":"canary-token","expiresAt":"2020-01-01T00:00:00Z","region":"eu-west-1",`+
					`"startUrl":"https://corp.awsapps.com/start"}`)
			return w.profile("[profile app]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = dev\n"+
				"[sso-session corp]\nsso_region = eu-west-1\n"+
				"sso_start_url = https://corp.awsapps.com/start\nsso_registration_scopes = sso:account:access\n",
				withoutKeys...)
		},
		named: []string{"expired"}, detail: []string{"the login has expired", "aws sso login"}},
	{name: "credential_process exits with 1",
		prepare: func(w *causeWorld) []string {
			return w.profile("[profile app]\ncredential_process = sh -c \"echo x >> "+w.dir+"/starts; echo "+
				"canary-output; exit 1\"\n", withoutKeys...)
		},
		named: []string{"exit status 1"}, detail: []string{"credential_process"}},
	{name: "credential_process prints no JSON",
		prepare: func(w *causeWorld) []string {
			return w.profile("[profile app]\ncredential_process = sh -c \"echo x >> "+w.dir+"/starts; echo "+
				"{canary-output\"\n", withoutKeys...)
		},
		named: []string{}, detail: []string{"its output is not the JSON"}},
	{name: "AWS_WEB_IDENTITY_TOKEN_FILE is absent",
		prepare: func(w *causeWorld) []string {
			return append([]string{"AWS_WEB_IDENTITY_TOKEN_FILE=" + w.dir + "/token",
				"AWS_ROLE_ARN=arn:aws:iam::123456789012:role/app"}, withoutKeys...)
		},
		named: []string{"DIR/token: no such file or directory"}, detail: []string{"AWS_WEB_IDENTITY_TOKEN_FILE"}},
	{name: "AWS_CONTAINER_CREDENTIALS_FULL_URI answers 404",
		prepare: func(w *causeWorld) []string {
			return append([]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + w.serve(404, "text/html",
				"<html>canary-page") + "/creds", "AWS_CONTAINER_AUTHORIZATION_TOKEN=canary-token"}, withoutKeys...)
		},
		named: []string{}, detail: []string{"asked for credentials: 127.0.0.1:PORT", "HTTP status 404"}},
	{name: "AWS_CONTAINER_CREDENTIALS_FULL_URI answers half",
		prepare: func(w *causeWorld) []string {
			return append([]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + w.serve(200, "application/json",
				`{"AccessKeyId":"canary`) + "/creds"}, withoutKeys...)
		},
		named:  []string{},
		detail: []string{"asked for credentials: 127.0.0.1:PORT", "the answer was cut short", "task (ECS)"}},
	{name: "AWS_CONTAINER_CREDENTIALS_FULL_URI hangs",
		prepare: func(w *causeWorld) []string {
			return append([]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://" + w.raw(func(c net.Conn) {
				io.Copy(io.Discard, c)
			}) + "/creds"}, withoutKeys...)
		},
		named: []string{}, detail: []string{"asked for credentials: 127.0.0.1:PORT", "does not answer in time"}},
	{name: "no credentials at all",
		prepare: func(w *causeWorld) []string {
			return append([]string{"AWS_EC2_METADATA_DISABLED=true"}, withoutKeys...)
		},
		named: []string{"AWS_EC2_METADATA_DISABLED"}, detail: []string{"no credentials could be loaded"}},
	{name: "sts:AssumeRole denied",
		prepare: func(w *causeWorld) []string {
			return w.profile(assumed, append(withoutKeys,
				"AWS_ENDPOINT_URL_STS="+w.serve(403, "text/xml", stsDenied))...)
		},
		named: []string{"not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::999999999999:role/app"},
		detail: []string{"(sts:AssumeRole AccessDenied, request REQUEST-ID)", "the value was not asked for",
			"the role's trust policy", "allow arn:aws:iam::123456789012:user/dev sts:AssumeRole " +
				"on arn:aws:iam::999999999999:role/app"}},
	{name: "sts Throttling",
		prepare: func(w *causeWorld) []string {
			return w.profile(assumed, append(withoutKeys,
				"AWS_ENDPOINT_URL_STS="+w.serve(400, "text/xml", stsThrottled))...)
		},
		named: []string{"Rate exceeded"}, detail: []string{"throttled (sts:AssumeRole Throttling", "STS's own quota"}},
	{name: "a role without credentials to assume it",
		prepare: func(w *causeWorld) []string {
			return w.profile("[profile app]\nrole_arn = arn:aws:iam::1:role/x\ncredential_source = Environment\n",
				withoutKeys...)
		},
		named: []string{"static credentials are empty"}, detail: []string{"no credentials could be loaded"}},
	{name: "the token of a web identity expired",
		prepare: func(w *causeWorld) []string {
			return append([]string{"AWS_WEB_IDENTITY_TOKEN_FILE=" + w.file("token", "canary-jwt"),
				"AWS_ROLE_ARN=arn:aws:iam::123456789012:role/app", "AWS_ENDPOINT_URL_STS=" + w.serve(400, "text/xml",
					strings.NewReplacer("Throttling", "ExpiredTokenException", "Rate exceeded",
						"Token expired").Replace(stsThrottled))}, withoutKeys...)
		},
		named: []string{"Token expired"}, detail: []string{"next: see the role and the token"}},
	{name: "sts answers with a page",
		prepare: func(w *causeWorld) []string {
			return w.profile(assumed, append(withoutKeys,
				"AWS_ENDPOINT_URL_STS="+w.serve(503, "text/html", "<html>canary"))...)
		},
		named:  []string{"503"},
		detail: []string{"sts:AssumeRole", "not from the service's API", "retried automatically"}},
	{name: "sts answers half",
		prepare: func(w *causeWorld) []string {
			return w.profile(assumed, append(withoutKeys, "AWS_ENDPOINT_URL_STS="+w.serve(200, "text/xml",
				"<AssumeRoleResponse><AssumeRoleResult><Credentials><SecretAccessKey>canary-secret"))...)
		},
		named: []string{}, detail: []string{"sts:AssumeRole", "the answer was cut short"}},
	{name: "sts does not answer",
		prepare: func(w *causeWorld) []string {
			return w.profile(assumed, append(withoutKeys, "AWS_ENDPOINT_URL_STS=http://"+w.closed())...)
		},
		named: []string{"connection refused"}, detail: []string{"(sts:AssumeRole)"}, is: []string{"ECONNREFUSED"}},
	{name: "no CA certificates",
		prepare: func(w *causeWorld) []string {
			addr, _ := w.tls("localhost", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
			_, port, _ := net.SplitHostPort(addr)
			return []string{"AWS_ENDPOINT_URL=https://localhost:" + port, "SSL_CERT_FILE=" + w.dir + "/none",
				"SSL_CERT_DIR=" + w.dir + "/none"}
		},
		named:  []string{"certificate signed by unknown authority"},
		detail: []string{"this image has no CA certificates"}, is: []string{"certificate", "authority"}},
	{name: "a certificate that is not yet valid",
		prepare: func(w *causeWorld) []string {
			addr, ca := w.tls("localhost", time.Now().Add(30*time.Minute), time.Now().Add(time.Hour))
			_, port, _ := net.SplitHostPort(addr)
			return []string{"AWS_ENDPOINT_URL=https://localhost:" + port, "AWS_CA_BUNDLE=" + ca}
		},
		named: []string{"certificate has expired or is not yet valid"}, detail: []string{"clock"},
		is: []string{"certificate"}},
	{name: "a certificate for another host",
		prepare: func(w *causeWorld) []string {
			addr, ca := w.tls("vpce.example", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
			_, port, _ := net.SplitHostPort(addr)
			return []string{"AWS_ENDPOINT_URL=https://localhost:" + port, "AWS_CA_BUNDLE=" + ca}
		},
		named: []string{"certificate is valid for vpce.example, not localhost"}, detail: []string{"for another host"},
		is: []string{"certificate", "host"}},
	{name: "a server of TLS 1.1",
		prepare: func(w *causeWorld) []string {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
			s.StartTLS()
			w.t.Cleanup(s.Close)
			return []string{"AWS_ENDPOINT_URL=" + s.URL}
		},
		named:  []string{"tls: protocol version not supported"},
		detail: []string{"the TLS handshake failed", "TLS 1.2"}},
	{name: "a server without TLS",
		prepare: func(w *causeWorld) []string {
			return []string{"AWS_ENDPOINT_URL=" + strings.Replace(w.serve(200, "", ""), "http:", "https:", 1)}
		},
		named:  []string{"server gave HTTP response to HTTPS client"},
		detail: []string{"write http:// if it has no TLS"}},
	// the resolver cannot read its configuration, and says "no such host"
	{name: "too many open files before the first lookup",
		prepare: func(w *causeWorld) []string { return []string{"CAUSE_FILES=32"} },
		detail:  []string{"too many open files", "neither DNS nor AWS is at fault"}, is: []string{"EMFILE"}},
	{name: "too many open files",
		prepare: func(w *causeWorld) []string {
			return []string{"CAUSE_FILES=32", "AWS_ENDPOINT_URL=https://127.0.0.1:1"}
		},
		named: []string{"too many open files"}, detail: []string{"RLIMIT_NOFILE"}, is: []string{"EMFILE"}},
	{name: "HTTPS_PROXY refuses",
		prepare: func(w *causeWorld) []string {
			return []string{"HTTPS_PROXY=http://user:canary-password@" + w.closed()}
		},
		named:  []string{"connection refused"},
		detail: []string{"the proxy cannot be reached", "proxy 127.0.0.1:PORT"}, is: []string{"ECONNREFUSED"}},
	{name: "HTTPS_PROXY hangs",
		prepare: func(w *causeWorld) []string {
			return []string{"HTTPS_PROXY=http://user:canary-password@" + w.raw(func(c net.Conn) {
				io.Copy(io.Discard, c)
			})}
		},
		named: []string{}, detail: []string{"through the proxy", "proxy 127.0.0.1:PORT"}},
	{name: "HTTPS_PROXY answers 407",
		prepare: func(w *causeWorld) []string {
			return []string{"HTTPS_PROXY=http://user:canary-password@" + w.raw(func(c net.Conn) {
				http.ReadRequest(bufio.NewReader(c))
				io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 6\r\n\r\ncanary")
				c.Close()
			})}
		},
		named:  []string{"Proxy Authentication Required"},
		detail: []string{"the proxy refuses", "proxy 127.0.0.1:PORT"}},
	{name: "HTTPS_PROXY answers in its own words",
		prepare: func(w *causeWorld) []string {
			return []string{"HTTPS_PROXY=http://user:canary-password@" + w.raw(func(c net.Conn) {
				http.ReadRequest(bufio.NewReader(c))
				io.WriteString(c, "HTTP/1.1 403 Blocked by policy 7\r\nContent-Length: 6\r\n\r\ncanary")
				c.Close()
			})}
		},
		named:  []string{"Blocked by policy 7"},
		detail: []string{"the connection through the proxy failed", "proxy 127.0.0.1:PORT", "the proxy's log"}},
	{name: "a SOCKS proxy denies",
		prepare: func(w *causeWorld) []string {
			return []string{"HTTPS_PROXY=socks5://" + w.raw(func(c net.Conn) {
				request := make([]byte, 300)
				c.Read(request)
				c.Write([]byte{5, 0})
				c.Read(request)
				c.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0})
				c.Close()
			})}
		},
		named:  []string{"connection not allowed by ruleset"},
		detail: []string{"the proxy refuses", "proxy 127.0.0.1:PORT"}},
	{name: "HTTPS_PROXY with a port too large",
		prepare: func(w *causeWorld) []string { return []string{"HTTPS_PROXY=http://user:canary@127.0.0.1:99999"} },
		named:   []string{}, detail: []string{"invalid configuration", "http://HOST:PORT"}},
	{name: "HTTPS_PROXY does not resolve",
		prepare: func(w *causeWorld) []string {
			return []string{"HTTPS_PROXY=http://user:canary-password@proxy.corp.example:3128", "CAUSE_DNS=3"}
		},
		named:  []string{"lookup proxy.corp.example", "no such host"},
		detail: []string{"the proxy cannot be reached", "proxy proxy.corp.example:3128"}, is: []string{"dns"}},
	{name: "HTTPS_PROXY is no URL",
		prepare: func(w *causeWorld) []string { return []string{"HTTPS_PROXY=http://user:canary password@proxy:3128"} },
		named:   []string{"proxy"}, detail: []string{"invalid configuration",
			"the proxy that is configured is not a URL"}},
	{name: "DNS: no such host",
		prepare: func(w *causeWorld) []string { return []string{"CAUSE_DNS=3"} },
		named:   []string{"no such host", "lookup secretsmanager.eu-west-1.amazonaws.com"},
		detail:  []string{"does not resolve"}, is: []string{"dns"}},
	{name: "DNS: SERVFAIL",
		prepare: func(w *causeWorld) []string { return []string{"CAUSE_DNS=2"} },
		named:   []string{"server misbehaving"}, detail: []string{"the DNS server answers with a failure"},
		is: []string{"dns"}},
	{name: "DNS: refused",
		prepare: func(w *causeWorld) []string { return []string{"CAUSE_DNS=5"} },
		named:   []string{"server misbehaving"}, detail: []string{"the DNS server answers with a failure"},
		is: []string{"dns"}},
	{name: "DNS: no answer",
		prepare: func(w *causeWorld) []string { return []string{"CAUSE_DNS=closed"} },
		named:   []string{"connection refused", "lookup secretsmanager.eu-west-1.amazonaws.com"},
		detail:  []string{"the DNS server answers with a failure"}, is: []string{"dns"}},
	{name: "AWS_REGION with a blank",
		prepare: func(w *causeWorld) []string { return []string{"AWS_REGION=eu west 1"} },
		named:   []string{"egion"}, detail: []string{"invalid configuration", "as in eu-west-1"}},
	{name: "AWS_ENDPOINT_URL without a scheme",
		prepare: func(w *causeWorld) []string { return []string{"AWS_ENDPOINT_URL=localhost:4566"} },
		named:   []string{"localhost"}, detail: []string{"invalid configuration", "http://HOST:PORT"}},
	{name: "AWS_ENDPOINT_URL with a port too large",
		prepare: func(w *causeWorld) []string { return []string{"AWS_ENDPOINT_URL=https://localhost:70000"} },
		named:   []string{"invalid port"}, detail: []string{"invalid configuration", "http://HOST:PORT"}},
	{name: "FIPS and an endpoint of one's own",
		prepare: func(w *causeWorld) []string {
			return []string{"AWS_USE_FIPS_ENDPOINT=true", "AWS_ENDPOINT_URL=https://localhost:1"}
		},
		named:  []string{"FIPS and custom endpoint are not supported"},
		detail: []string{"invalid configuration", "AWS_USE_FIPS_ENDPOINT"}},
	{name: "FIPS where there is none",
		prepare: func(w *causeWorld) []string { return []string{"AWS_USE_FIPS_ENDPOINT=true", "CAUSE_DNS=3"} },
		named:   []string{"secretsmanager-fips.eu-west-1.amazonaws.com", "no such host"},
		detail:  []string{"has a FIPS endpoint (AWS_USE_FIPS_ENDPOINT)"}, is: []string{"dns"}},
	{name: "own endpoint is down",
		prepare: func(w *causeWorld) []string { return []string{"AWS_ENDPOINT_URL=https://" + w.closed()} },
		named:   []string{"connection refused"}, detail: []string{"whether it is up"}, is: []string{"ECONNREFUSED"}},
}

// chainTargets are what programs look for in an error.
var chainTargets = map[string]func(error) bool{
	"EMFILE":       func(err error) bool { return errors.Is(err, syscall.EMFILE) },
	"ENOENT":       func(err error) bool { return errors.Is(err, os.ErrNotExist) },
	"ECONNREFUSED": func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
	"ENETUNREACH":  func(err error) bool { return errors.Is(err, syscall.ENETUNREACH) },
	"EHOSTUNREACH": func(err error) bool { return errors.Is(err, syscall.EHOSTUNREACH) },
	"dns":          func(err error) bool { var e *net.DNSError; return errors.As(err, &e) },
	"certificate":  func(err error) bool { var e *tls.CertificateVerificationError; return errors.As(err, &e) },
	"authority":    func(err error) bool { var e x509.UnknownAuthorityError; return errors.As(err, &e) },
	"host":         func(err error) bool { var e x509.HostnameError; return errors.As(err, &e) },
	"url":          func(err error) bool { var e *url.Error; return errors.As(err, &e) },
}

// A causeReport is what the process of a row tells.
type causeReport struct {
	SDK, Error, Detail, Log string
	Is, SDKIs               []string
	Starts                  int // of the credential command, by our warm
	Leak                    string
}

// TestCauseProcess is the process of a row of TestDetail_LocalCauses.
func TestCauseProcess(t *testing.T) {
	if os.Getenv("CAUSE_DIR") == "" {
		t.Skip("it is run by TestDetail_LocalCauses")
	}
	if rcode := os.Getenv("CAUSE_DNS"); rcode != "" {
		net.DefaultResolver = resolverThatFails(t, rcode)
	}
	opts := []secrets.Option{}
	var cfg aws.Config
	var err error
	if cfg, err = awsconfig.LoadDefaultConfig(t.Context()); err == nil && os.Getenv("CAUSE_FILES") != "" {
		opts = append(opts, secrets.WithAWSConfig(cfg)) // loading takes files, too
		useUpFiles(t)
	}
	report := causeReport{}
	if err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx,
			&secretsmanager.GetSecretValueInput{SecretId: aws.String("prod/db")})
		cancel()
	}
	report.SDK, report.SDKIs = fmt.Sprint(err), targetsIn(err)
	before := starts()
	var log bytes.Buffer
	environ := map[string]string{"DB_PASSWORD": "sm://prod/db", "AWS_REGION": os.Getenv("AWS_REGION")}
	opts = append(opts, secrets.WithEnviron(environ), secrets.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))))
	env, err := secrets.New(opts...)
	if err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		err = env.Warm(ctx)
		cancel()
	}
	report.Error, report.Detail, report.Is = fmt.Sprint(err), secrets.Detail(err), targetsIn(err)
	report.Log, report.Starts = log.String(), starts()-before
	report.Leak = leaks(walk(err)+fmt.Sprintf("%+v %#v", err, err)+report.Log, "canary")
	if of := madeOf(err, "github.com/aws/", "net/http", "net/url", "net"); of != "" {
		report.Leak += " " + of
	}
	text, _ := json.Marshal(report)
	fmt.Fprintf(os.Stderr, "REPORT %s\n", text)
}

func targetsIn(err error) (found []string) {
	for name, in := range chainTargets {
		if err != nil && in(err) {
			found = append(found, name)
		}
	}
	return found
}

func starts() int {
	text, _ := os.ReadFile(filepath.Join(os.Getenv("CAUSE_DIR"), "starts"))
	return bytes.Count(text, []byte("\n"))
}

// useUpFiles lowers the limit and opens files until there is no more.
func useUpFiles(t *testing.T) {
	if err := filelimit.Lower(32); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return
		}
		t.Cleanup(func() { f.Close() })
	}
}

// resolverThatFails asks a DNS server that gives every question this response code, or is not there.
func resolverThatFails(t *testing.T, rcode string) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().String()
	if rcode == "closed" {
		conn.Close()
	} else {
		t.Cleanup(func() { conn.Close() })
		go func() {
			buf := make([]byte, 512)
			for {
				n, from, err := conn.ReadFrom(buf)
				if err != nil {
					return
				}
				buf[2], buf[3] = buf[2]|0x80, 0x80|(rcode[0]-'0') // an answer; recursion is available
				conn.WriteTo(buf[:n], from)
			}
		}()
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", addr)
	}}
}

// unstable is what differs from run to run in the words of the operating system and the SDK.
var unstable = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+->`), ""},
	{regexp.MustCompile(`(127\.0\.0\.1|localhost):\d+`), "$1:PORT"},
	{regexp.MustCompile(`( on )\S+:53\b`), "${1}RESOLVER:53"},
	{regexp.MustCompile(`current time \S+ is before \S+Z`), "current time NOW is before LATER"},
	{regexp.MustCompile(`(?i)(request(?:id)?:? )[0-9a-f]{8}-[0-9a-f-]{27}`), "${1}REQUEST-ID"},
	{regexp.MustCompile(`within \d+(\.\d+)?m?s`), "within 1.23s"},
}

func steady(dir, text string) string {
	text = strings.ReplaceAll(text, dir, "DIR")
	for _, u := range unstable {
		text = u.re.ReplaceAllString(text, u.to)
	}
	return text
}

// runCause runs a row in its process.
func runCause(t *testing.T, row localCause) causeReport {
	t.Helper()
	dir := t.TempDir()
	environ := []string{
		"CAUSE_DIR=" + dir, "HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "AWS_REGION=eu-west-1",
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY=canary-secret-key", "AWS_MAX_ATTEMPTS=1",
	}
	environ = append(environ, row.prepare(&causeWorld{t, dir})...) // the last of one name counts
	cmd := exec.Command(os.Args[0], "-test.run=^TestCauseProcess$", "-test.timeout=60s")
	cmd.Env = environ
	out, _ := cmd.CombinedOutput()
	_, text, found := bytes.Cut(out, []byte("REPORT "))
	var report causeReport
	if !found || json.NewDecoder(bytes.NewReader(text)).Decode(&report) != nil {
		t.Fatalf("no report: %s", out)
	}
	report.SDK, report.Error, report.Detail = steady(dir, report.SDK), steady(dir,
		report.Error), steady(dir, report.Detail)
	return report
}

// Where something before AWS fails, whatever cause the plain SDK's text names, ours names, with a next step, and
// what programs look for is reachable. testdata/causes.golden shows both beside each other.
func TestDetail_LocalCauses(t *testing.T) {
	t.Parallel()
	const file = "testdata/causes.golden"
	golden, _ := os.ReadFile(file)
	texts := make([]string, len(localCauses))
	slots := make(chan struct{}, 6)
	var all sync.WaitGroup
	for i, row := range localCauses {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			got := runCause(t, row)
			t.Logf("%s\n  SDK:  %s\n  ours: %s", row.name, got.SDK, got.Detail)
			checkCause(t, row, got)
			texts[i] = fmt.Sprintf("# %s\nError:  %s\nDetail: %s\n", row.name, got.Error, got.Detail)
		})
	}
	all.Wait()
	text := "What users see where something before AWS fails. Written by go test -run TestDetail_LocalCauses " +
		"-update.\n\n" + strings.Join(texts, "\n")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for i, part := range texts {
		if !strings.Contains(string(golden), part) {
			t.Errorf("%s differs from %s:\n%s", localCauses[i].name, file, part)
		}
	}
}

func checkCause(t *testing.T, row localCause, got causeReport) {
	t.Helper()
	for _, want := range row.named {
		if !strings.Contains(got.SDK, want) {
			t.Errorf("%s: the SDK does not say %q: %s", row.name, want, got.SDK)
		}
		if !strings.Contains(got.Detail, want) {
			t.Errorf("%s: Detail does not say %q: %s", row.name, want, got.Detail)
		}
	}
	for _, want := range append(row.detail, "next: ") {
		if !strings.Contains(got.Detail, want) {
			t.Errorf("%s: Detail does not say %q: %s", row.name, want, got.Detail)
		}
	}
	for _, want := range row.is {
		if !strings.Contains(strings.Join(got.Is, " "), want) {
			t.Errorf("%s: %s is not reachable (of the SDK's: %v)", row.name, want, got.SDKIs)
		}
	}
	if strings.Contains(got.Error+got.Detail, "canary") || got.Leak != "" ||
		strings.Contains(strings.Join(got.Is, " "), "url") {
		t.Errorf("%s: leaks %q: %s %s", row.name, got.Leak, got.Error, got.Detail)
	}
	if len(got.Detail) > 1500 || strings.Contains(got.Detail, "\n") {
		t.Errorf("%s: not one short line: %s", row.name, got.Detail)
	}
	if strings.HasPrefix(row.name, "credential_process") && got.Starts != 1 {
		t.Errorf("%s: a warm started the command %d times", row.name, got.Starts)
	}
}

// What has no process of its own: the errno of a route that is missing.
func TestDetail_NoRoute(t *testing.T) {
	t.Parallel()
	for name, errno := range map[string]syscall.Errno{"ENETUNREACH": syscall.ENETUNREACH,
		"EHOSTUNREACH": syscall.EHOSTUNREACH} {
		err := fail(t, failing{ref: "sm://prod/db",
			do: dialing(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)})})
		detail := secrets.Detail(err)
		if !chainTargets[name](err) || !strings.Contains(detail, "there is no route to the host: dial tcp: connect: "+
			errno.Error()) || !strings.Contains(detail, "next: a function in a VPC needs") {
			t.Errorf("%s: %s", name, detail)
		}
	}
}

// A hyphen and six characters at the end of a name: AWS takes them for the suffix of a full ARN. Found or denied, the
// advice says so.
func TestDetail_PartialARN(t *testing.T) {
	t.Parallel()
	const ref = "sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod-secret"
	for name, do := range map[string]func(*fakeAWS) string{"absent": nil, "denied": policy(allowNone)} {
		detail := secrets.Detail(fail(t, failing{ref: ref, do: do}))
		if !strings.Contains(detail, "if the name itself ends in -secret, AWS took that for the six: write "+
			"sm://prod-secret, or the full ARN") {
			t.Errorf("%s: %s", name, detail)
		}
	}
	// Of a name AWS repeats what was sent: nothing tells denied from absent.
	if detail := secrets.Detail(fail(t, failing{ref: "sm://prod/db", do: policy(allowNone)})); !strings.Contains(detail,
		"on resource: prod/db because") ||
		!strings.Contains(detail, "on arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-??????; or there "+
			"is no such secret in eu-west-1") {
		t.Error(detail)
	}
}

// One cause is told once, with each variable that it took, whatever takes fifty references down.
func TestDetail_SharedCause(t *testing.T) {
	t.Parallel()
	unsent := func(err error) func(*fakeAWS) { return func(f *fakeAWS) { f.dial = func(string) error { return err } } }
	for name, prepare := range map[string]func(*fakeAWS){
		"unknown host": unsent(&net.DNSError{Err: "no such host", Name: "secretsmanager.eu-west-1.amazonaws.com",
			IsNotFound: true}),
		"connection refused": unsent(&net.OpError{Op: "dial", Net: "tcp",
			Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}),
		"credentials": func(f *fakeAWS) {
			f.cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, &os.PathError{Op: "open", Path: "/var/run/token", Err: syscall.ENOENT}
			})
		},
		"no Region": func(f *fakeAWS) { f.cfg.Region = "" },
		"throttled": func(f *fakeAWS) { f.Fault(endpoint.Fault{Do: endpoint.Throttle}) },
		"503 page":  func(f *fakeAWS) { f.Fault(endpoint.Fault{Do: endpoint.HTML503}) },
		"expired": func(f *fakeAWS) {
			f.Fault(endpoint.Fault{Do: endpoint.Fail, Code: "ExpiredTokenException",
				Message: "The security token included in the request is expired"})
		},
		"not loaded": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeAWS(t)
			environ := map[string]string{}
			for i := range 25 {
				environ[fmt.Sprintf("SM_%02d", i+1)] = fmt.Sprintf("sm://prod/%d", i)
				environ[fmt.Sprintf("SSM_%02d", i+1)] = fmt.Sprintf("ssm:///app/%d", i)
			}
			var log bytes.Buffer
			opts := []secrets.Option{secrets.WithEnviron(environ),
				secrets.WithLogger(slog.New(slog.NewJSONHandler(&log, nil)))}
			if prepare == nil {
				opts = append(opts,
					secrets.WithProvider(secrets.ProviderFunc(func(context.Context,
						secrets.Ref) (secrets.Value, error) {
						return secrets.Value{}, secrets.ErrConfiguration
					})))
			} else {
				prepare(f)
				opts = append(opts, secrets.WithAWSConfig(f.cfg))
			}
			env, err := secrets.New(opts...)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err = env.Warm(ctx)
			detail := secrets.Detail(err)
			if len(detail) > 2000 {
				t.Errorf("Detail has %d bytes: %s", len(detail), detail)
			}
			for variable := range environ {
				if n := len(regexp.MustCompile(`\b`+variable+`\b`).FindAllString(detail, -1)); n != 1 {
					t.Errorf("%s is named %d times: %s", variable, n, detail)
				}
			}
			if err == nil || len(err.Error()) > 1500 || strings.Contains(err.Error(), "\n") {
				t.Errorf("Error: %v", err)
			}
			for line := range strings.Lines(log.String()) {
				if len(line) > 8000 {
					t.Errorf("a log line of %d bytes", len(line))
				}
			}
			configured := strings.Count(log.String(), "invalid configuration")
			if lines := strings.Count(log.String(), "secrets.denied"); configured > 0 && lines != 1 {
				t.Errorf("%d lines of a configuration", lines)
			}
		})
	}
}

// Credentials that are still being loaded when the time is up do not hide why they could not be loaded before.
func TestDetail_CredentialsCutOff(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	cfg := aws.Config{Region: region, Credentials: aws.CredentialsProviderFunc(
		func(ctx context.Context) (aws.Credentials, error) {
			if calls.Add(1) == 1 {
				return aws.Credentials{}, errors.New("the vault is sealed")
			}
			<-ctx.Done()
			return aws.Credentials{}, fmt.Errorf("asking the vault: %w", ctx.Err())
		})}
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a"}), secrets.WithAWSConfig(cfg),
		secrets.WithLogger(quiet()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := env.Warm(ctx); !strings.Contains(secrets.Detail(err), "the vault is sealed") || calls.Load() < 2 {
		t.Errorf("%s, after %d calls", secrets.Detail(err), calls.Load())
	}
}

// However many fail, for however many causes, the text fits into a log line.
func TestDetail_FitsALogLine(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]func(i int) error{
		"one": func(int) error { return fmt.Errorf("%s: %w", strings.Repeat(`"\`, 400), secrets.ErrAccessDenied) },
		"each": func(i int) error {
			return fmt.Errorf("%d %s: %w", i, strings.Repeat(`"\`, 400), secrets.ErrAccessDenied)
		},
		"tenth": func(i int) error {
			return fmt.Errorf("%d %s: %w", i%10, strings.Repeat("x", 400), secrets.ErrAccessDenied)
		},
	} {
		for _, n := range []int{1, 2, 20, 200, 2000} {
			environ := map[string]string{}
			for i := range n {
				environ[fmt.Sprintf("A_RATHER_LONG_NAME_OF_A_VARIABLE_%04d", i)] = fmt.Sprintf("sm://prod/%d", i)
			}
			var log bytes.Buffer
			env, err := secrets.New(secrets.WithEnviron(environ),
				secrets.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))),
				secrets.WithProvider(secrets.ProviderFunc(func(_ context.Context,
					ref secrets.Ref) (secrets.Value, error) {
					var i int
					fmt.Sscanf(ref.ID(), "prod/%d", &i)
					return secrets.Value{}, cause(i)
				})))
			if err != nil {
				t.Fatal(err)
			}
			err = env.Warm(t.Context())
			if d := len(secrets.Detail(err)); err == nil || d > 7500 || len(err.Error()) > 2000 {
				t.Errorf("%s, %d: Detail has %d bytes, Error %d", name, n, d, len(err.Error()))
			}
			for line := range strings.Lines(log.String()) {
				if len(line) > 8000 {
					t.Errorf("%s, %d: a log line of %d bytes: %.200s", name, n, len(line), line)
				}
			}
		}
	}
}

// docs/troubleshooting.md explains each kind, each reason and each fault of JSON, and quotes nothing that the code does
// not say.
func TestTroubleshooting_CoversEveryError(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(page, -1) {
		quoted[string(m[1])] = true
	}
	said := literals(t, "*.go", "internal/awserr/*.go", "internal/jsonfield/*.go", "internal/awsclient/*.go")
	for text := range quoted {
		if !strings.Contains(strings.Join(said, "\n"), text) {
			t.Errorf("no error says %q", text)
		}
	}
	explained := func(text string) bool {
		for q := range quoted {
			if strings.HasPrefix(text, q) {
				return true
			}
		}
		return false
	}
	kinds, _ := os.ReadFile("errors.go")
	reasons, _ := os.ReadFile("internal/awserr/local.go")
	required := 0
	for _, m := range regexp.MustCompile(`(?m)^\s+Err\w+ += errors\.New\("([^"]+)"\)`).FindAllSubmatch(kinds, -1) {
		if required++; !quoted[string(m[1])] {
			t.Errorf("the kind %q is not explained", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\s+\w+ +Reason += "([^"]+)"`).FindAllSubmatch(reasons, -1) {
		if required++; !quoted[string(m[1])] {
			t.Errorf("the reason %q is not explained", m[1])
		}
	}
	quoted["the value is \x00, not a JSON object"] = quoted[", not a JSON object, so it has no field"]
	fault := regexp.MustCompile(`^(the value |a byte order|single quotes|a line break|a control|it begins|the JSON ` +
		`(value|ends|is|has dup)|the answer )`)
	for _, text := range said {
		if fault.MatchString(text) && len(text) > 25 {
			if required++; !explained(text) {
				t.Errorf("%q is not explained", text)
			}
		}
	}
	if required < 60 {
		t.Errorf("only %d texts were looked for", required)
	}
}

// literals returns the strings of source files, those that are put together of several as one, with NUL for what is no
// literal.
func literals(t *testing.T, patterns ...string) (all []string) {
	t.Helper()
	var value func(e ast.Expr) string
	value = func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.BasicLit:
			if s, err := strconv.Unquote(e.Value); err == nil {
				return s
			}
		case *ast.BinaryExpr:
			return value(e.X) + value(e.Y)
		case *ast.ParenExpr:
			return value(e.X)
		}
		return "\x00"
	}
	for _, pattern := range patterns {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok {
					if text := value(e); strings.Trim(text, "\x00") != "" {
						all = append(all, text)
						return false
					}
				}
				return true
			})
		}
	}
	return all
}

// A log viewer obeys no character of an attribute, and what prints stays as it is.
func TestLogText_EscapesControlCharacters(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"DB_PASSWORD": "DB_PASSWORD", `sm://a?b="c"\d`: `sm://a?b="c"\d`, "ü…": "ü…", "a\nb": `a\nb`,
		"\x1b[31m": `\x1b[31m`, "\u202ea": `\u202ea`, "\u009b\u2028": `\u009b\u2028`, "\xff\x00": `\xff\x00`,
		"\"\n": `"\n`,
	} {
		if got := secrets.LogText(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// The name of a declared variable that AWS does not know, or denies, may be a plaintext: somebody
// has to hear that CloudTrail keeps it. What cannot be one is spared the warning.
func TestDetail_MisplacedPlaintext(t *testing.T) {
	t.Parallel()
	s, _, cfg := start(t)
	environ := map[string]string{
		"PARAMETER": "correcthorse", "SECRET": "battery-staple", "PATH": "/app/db", "OPEN": "sm://prod/db",
		"ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db",
	}
	opts := []secrets.Option{
		secrets.WithVars(secrets.SSM, "PARAMETER", "PATH"), secrets.WithVars(secrets.SecretsManager, "SECRET", "ARN"),
		secrets.WithLogger(quiet()),
	}
	detail := func(name string) string {
		_, err := newEnv(t, cfg, environ, opts...).Get(patient(t), name)
		text := secrets.Detail(err)
		if err == nil || strings.Contains(text, "correcthorse") || strings.Contains(text, "battery") {
			t.Errorf("%s: %s", name, text)
		}
		return text
	}
	check := func(kind error) {
		for name := range environ {
			text := detail(name)
			if !strings.Contains(text, kind.Error()) {
				t.Errorf("%s: %s, want %v", name, text, kind)
			}
			want := name == "PARAMETER" || name == "SECRET"
			if got := strings.Contains(text, "CloudTrail"); got != want {
				t.Errorf("%s tells of CloudTrail: %v, want %v: %s", name, got, want, text)
			}
		}
	}
	check(secrets.ErrNotFound)
	s.Fault(endpoint.Fault{Do: endpoint.Deny})
	check(secrets.ErrAccessDenied)
}
