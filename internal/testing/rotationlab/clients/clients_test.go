package clients

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretstest"
)

const secret, pending = "sm://app", "sm://app?stage=AWSPENDING"

// A rotation is a secret, and what a server accepts.
type rotation struct {
	fake    *secretstest.Fake
	env     *secrets.Env
	clock   *secretstest.Clock
	accepts atomic.Value
	refused atomic.Int64
}

func newRotation(t *testing.T, variable, first string) *rotation {
	t.Helper()
	r := &rotation{fake: secretstest.NewFake(t, map[string]string{secret: first}), clock: secretstest.NewClock()}
	r.accepts.Store(first)
	r.env = r.fake.Env(map[string]string{variable: secret, "PORT": "80"}, secrets.WithRejected(Refused),
		secrets.WithClock(r.clock.Now), secrets.WithLogger(slog.New(slog.DiscardHandler)))
	return r
}

func (r *rotation) accept(text string) bool {
	ok := r.accepts.Load() == text
	if !ok {
		r.refused.Add(1)
	}
	return ok
}

// through does what a client does before, in the middle of and after two single-user rotations.
func (r *rotation) through(t *testing.T, use func() error) {
	t.Helper()
	check := func(when string) {
		t.Helper()
		if err := use(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	check("before the rotation")
	r.fake.Set(pending, "second")
	r.accepts.Store("second")
	check("between the server and AWSCURRENT")
	r.fake.Set(secret, "second")
	r.fake.Delete(pending)
	check("after the rotation")
	r.fake.Set(secret, "third")
	r.accepts.Store("third")
	check("after the second rotation")
	if n := r.refused.Load(); n != 2 {
		t.Errorf("the server refused %d times, want 2", n)
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	r := newRotation(t, "TOKEN", "first")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !r.accept(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	r.through(t, func() error {
		resp, err := HTTPAfter(t.Context(), r.env, server.URL)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
}

func TestOAuth2(t *testing.T) {
	t.Parallel()
	r := newRotation(t, "CLIENT_SECRET", "first")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, text, basic := req.BasicAuth()
		if !basic {
			text = req.FormValue("client_secret")
		}
		if !r.accept(text) {
			w.WriteHeader(http.StatusUnauthorized)
			json.NewEncoder(w).Encode(map[string]any{"error": "invalid_client"})
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"access_token": "token", "token_type": "Bearer", "expires_in": 3600})
	}))
	t.Cleanup(server.Close)
	// The library tries both ways to send the secret while it does not know which the server wants.
	if _, err := OAuth2After(t.Context(), r.env, server.URL).Token(); err != nil {
		t.Fatal(err)
	}
	r.refused.Store(0)
	refusals := int64(0)
	r.through(t, func() error {
		_, err := OAuth2After(t.Context(), r.env, server.URL).Token()
		if r.refused.Load() > refusals { // one refusal is as many requests as there are ways
			refusals++
			r.refused.Store(refusals)
		}
		return err
	})
}

// certificate returns the PEM of a key and its certificate for the name localhost.
func certificate(t *testing.T, organization string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{organization}},
		DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestTLS(t *testing.T) {
	t.Parallel()
	r := newRotation(t, "CERTIFICATE", certificate(t, "first"))
	config, err := TLSAfter(r.env)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	organization := func() string {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.Organization[0]
	}
	for _, step := range []struct{ text, want string }{
		{certificate(t, "second"), "second"}, {certificate(t, "third"), "third"}, {"no PEM", "third"},
	} {
		before := organization()
		r.fake.Set(secret, step.text)
		if got := organization(); got != before {
			t.Errorf("within the TTL the certificate of %s is shown, want that of %s", got, before)
		}
		r.clock.Advance(10 * time.Minute)
		if got := organization(); got != step.want {
			t.Errorf("after the TTL the certificate of %s is shown, want that of %s", got, step.want)
		}
	}
}

func TestEnvconfig(t *testing.T) {
	t.Parallel()
	r := newRotation(t, "DB_PASSWORD", "first")
	c, err := EnvconfigAfter(t.Context(), r.env)
	if err != nil || c.Password != "first" || c.Port != 80 {
		t.Errorf("EnvconfigAfter = port %d, %v, want port 80 and the plaintext", c.Port, err)
	}
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	r := newRotation(t, "TOKEN", "first")
	text := certificate(t, "server")
	pair, err := tls.X509KeyPair([]byte(text), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "lab.Lab", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Ping", Handler: func(
			_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor,
		) (any, error) {
			in := new(emptypb.Empty)
			if err := decode(in); err != nil {
				return nil, err
			}
			md, _ := metadata.FromIncomingContext(ctx)
			if v := md.Get("authorization"); len(v) != 1 || !r.accept(strings.TrimPrefix(v[0], "Bearer ")) {
				return nil, status.Error(codes.Unauthenticated, "who are you?")
			}
			return in, nil
		}}},
	}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(server.Stop)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(text))
	conn, err := grpc.NewClient(l.Addr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "localhost"})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r.through(t, func() error {
		return GRPCAfter(t.Context(), r.env, conn, "/lab.Lab/Ping", &emptypb.Empty{}, &emptypb.Empty{})
	})
}

// Each new connection to Kafka asks for the login, so users that alternate need nothing else.
func TestKafka(t *testing.T) {
	t.Parallel()
	first, clone := `{"username":"app","password":"one"}`, `{"username":"app_clone","password":"two"}`
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-256", "app", "one"), kfake.Superuser("SCRAM-SHA-256", "app_clone", "two"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	Kafka = cluster.ListenAddrs()
	r := newRotation(t, "KAFKA", first)
	for _, step := range []struct {
		text string
		ok   bool
	}{{first, true}, {clone, true}, {`{"username":"app","password":"two"}`, false}} {
		r.fake.Set(secret, step.text)
		r.clock.Advance(10 * time.Minute)
		client, err := KafkaAfter(r.env)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if err := client.Ping(ctx); (err == nil) != step.ok {
			t.Errorf("connecting, which should succeed: %v, = %v", step.ok, err)
		}
		cancel()
		client.Close()
	}
}
