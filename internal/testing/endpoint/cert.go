package endpoint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"sync"
	"time"
)

// certificates makes a certificate authority and one server certificate, on first use: plain HTTP pays for neither.
type certificates struct {
	hosts []string

	once sync.Once
	cert tls.Certificate
	ca   *x509.Certificate
	err  error
}

func (c *certificates) make() {
	c.once.Do(func() {
		// The validity starts at time.Now, which inside a synctest bubble is a day of the year 2000, and reaches far
		// enough for tests that travel.
		from := time.Now().Add(-24 * time.Hour)
		until := from.AddDate(10, 0, 0)
		caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			c.err = err
			return
		}
		ca := &x509.Certificate{
			SerialNumber:          serial(),
			Subject:               pkix.Name{CommonName: "Embedded AWS endpoint CA"},
			NotBefore:             from,
			NotAfter:              until,
			IsCA:                  true,
			BasicConstraintsValid: true,
			KeyUsage:              x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
		if err != nil {
			c.err = err
			return
		}
		if c.ca, c.err = x509.ParseCertificate(der); c.err != nil {
			return
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			c.err = err
			return
		}
		leaf := &x509.Certificate{
			SerialNumber: serial(),
			Subject:      pkix.Name{CommonName: "embedded AWS endpoint"},
			NotBefore:    from,
			NotAfter:     until,
			KeyUsage:     x509.KeyUsageDigitalSignature,
			ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		}
		for _, host := range append(regionalHosts(), c.hosts...) {
			if ip := net.ParseIP(host); ip != nil {
				leaf.IPAddresses = append(leaf.IPAddresses, ip)
			} else {
				leaf.DNSNames = append(leaf.DNSNames, host)
			}
		}
		der, err = x509.CreateCertificate(rand.Reader, leaf, c.ca, key.Public(), caKey)
		c.cert, c.err = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
	})
}

// regionalHosts lists the SDK's host names. A wildcard stands for one whole leftmost label only, hence *.REGION.
func regionalHosts() []string {
	hosts := []string{"localhost", "*.localhost", "*.amazonaws.com"}
	for _, region := range []string{
		"us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1",
		"eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1", "eu-south-1",
		"ap-south-1", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "ap-northeast-2", "us-gov-west-1",
		"us-gov-east-1",
	} {
		hosts = append(hosts, "*."+region+".amazonaws.com", "*."+region+".api.aws")
	}
	return append(hosts, "*.cn-north-1.amazonaws.com.cn", "*.cn-northwest-1.amazonaws.com.cn")
}

func (c *certificates) leaf() (tls.Certificate, error) {
	c.make()
	return c.cert, c.err
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand does not fail
	return n
}

// CAPEM is the authority's certificate as PEM, fit for a file that AWS_CA_BUNDLE names.
func (s *Server) CAPEM() []byte {
	s.certs.make()
	must(s.certs.err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certs.ca.Raw})
}

// CertPool trusts the server's certificate and nothing else.
func (s *Server) CertPool() *x509.CertPool {
	s.certs.make()
	must(s.certs.err)
	pool := x509.NewCertPool()
	pool.AddCert(s.certs.ca)
	return pool
}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
