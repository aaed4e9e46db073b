package endpoint

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

func TestCert_Verifies(t *testing.T) {
	t.Parallel()
	s := New(Options{Hosts: []string{"aws.test", "10.0.0.1"}})
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CAPEM()) {
		t.Fatal("CAPEM holds no certificate")
	}
	leaf, err := s.certs.leaf()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(leaf.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"127.0.0.1": true, "localhost": true, "ssm.eu-west-1.amazonaws.com": true,
		"kms-fips.us-gov-west-1.amazonaws.com": true,
		"kms.us-east-1.api.aws":                true, "secretsmanager.cn-north-1.amazonaws.com.cn": true,
		"aws.test":    true,
		"10.0.0.1":    true,
		"example.com": false, "ssm.eu-west-1.example.com": false,
	} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, DNSName: host}); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// A bubble's year is 2000; a certificate of today would not be valid yet.
func TestCert_InBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if year := time.Now().Year(); year != 2000 {
			t.Fatalf("the bubble's year is %d", year)
		}
		s := New(Options{})
		leaf, err := s.certs.leaf()
		if err != nil {
			t.Fatal(err)
		}
		cert, _ := x509.ParseCertificate(leaf.Certificate[0])
		if _, err := cert.Verify(x509.VerifyOptions{Roots: s.CertPool(), CurrentTime: time.Now()}); err != nil {
			t.Error(err)
		}
	})
}

func TestServer_HTTP2(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		s := New(Options{HTTP2: on})
		url, err := s.StartTLS()
		if err != nil {
			t.Fatal(err)
		}
		s.Region(region).PutParameter(Parameter{Name: "/a", Value: "v"})
		tr := &protocolOf{Transport: http.Transport{ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{RootCAs: s.CertPool()}}}
		c := connect(url, region, &http.Client{Transport: tr})
		out, err := c.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/a")})
		if err != nil || *out.Parameter.Value != "v" || (tr.major == 2) != on {
			t.Errorf("HTTP2 %v: HTTP/%d, %v", on, tr.major, err)
		}
		tr.CloseIdleConnections()
		s.Close()
	}
}

type protocolOf struct {
	http.Transport
	major int
}

func (p *protocolOf) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.Transport.RoundTrip(r)
	if err == nil {
		p.major = resp.ProtoMajor
	}
	return resp, err
}
