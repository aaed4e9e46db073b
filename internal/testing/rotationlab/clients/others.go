package clients

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"

	"github.com/sethvargo/go-envconfig"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/grpc"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secrethttp"
)

// newMongo makes a client of the JSON of a login.
func newMongo(text string) (*mongo.Client, error) {
	l, err := parse(text)
	if err != nil {
		return nil, err
	}
	return mongo.Connect(options.Client().ApplyURI("mongodb://" + Mongo).
		SetAuth(options.Credential{Username: l.Username, Password: l.Password}))
}

func MongoBefore() (func(context.Context) error, error) {
	client, err := newMongo(os.Getenv("MONGO"))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return client.Ping(ctx, nil)
	}, nil
}

func MongoAfter(env *secrets.Env) (func(context.Context) error, error) {
	clients := secrets.Derive(env, "MONGO", revealed(newMongo), closeMongo)
	return func(ctx context.Context) error {
		return clients.Do(ctx, func(client *mongo.Client) error { return client.Ping(ctx, nil) })
	}, nil
}

func closeMongo(c *mongo.Client) { c.Disconnect(context.Background()) }

func HTTPBefore(ctx context.Context, url string) (*http.Response, error) {
	client := &http.Client{}
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	return client.Do(req)
}

func HTTPAfter(ctx context.Context, env *secrets.Env, url string) (*http.Response, error) {
	client := &http.Client{Transport: &secrethttp.Transport{Env: env, Name: "TOKEN", Origin: url}}
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

// A bearer is a token that is sent with an RPC.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity lets gRPC refuse to send the token in plain text.
func (bearer) RequireTransportSecurity() bool { return true }

func GRPCBefore(ctx context.Context, conn *grpc.ClientConn, method string, in, out any) error {
	return conn.Invoke(ctx, method, in, out, grpc.PerRPCCredentials(bearer(os.Getenv("TOKEN"))))
}

func GRPCAfter(ctx context.Context, env *secrets.Env, conn *grpc.ClientConn, method string, in, out any) error {
	return env.Do(ctx, "TOKEN", func(v secrets.Value) error {
		return conn.Invoke(ctx, method, in, out, grpc.PerRPCCredentials(bearer(v.Reveal())))
	})
}

// fetchToken gets a token from the token endpoint for a client secret.
func fetchToken(ctx context.Context, url, secret string) (*oauth2.Token, error) {
	config := clientcredentials.Config{ClientID: "app", ClientSecret: secret, TokenURL: url}
	return config.Token(ctx)
}

// A tokenFunc is an oauth2.TokenSource.
type tokenFunc func() (*oauth2.Token, error)

func (f tokenFunc) Token() (*oauth2.Token, error) { return f() }

func OAuth2Before(ctx context.Context, url string) oauth2.TokenSource {
	return oauth2.ReuseTokenSource(nil, tokenFunc(func() (t *oauth2.Token, err error) {
		t, err = fetchToken(ctx, url, os.Getenv("CLIENT_SECRET"))
		return t, err
	}))
}

func OAuth2After(ctx context.Context, env *secrets.Env, url string) oauth2.TokenSource {
	return oauth2.ReuseTokenSource(nil, tokenFunc(func() (t *oauth2.Token, err error) {
		err = env.Do(ctx, "CLIENT_SECRET", func(v secrets.Value) error {
			t, err = fetchToken(ctx, url, v.Reveal())
			return err
		})
		return t, err
	}))
}

// parsePEM makes a certificate of the PEM of a key and of its certificates.
func parsePEM(text string) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair([]byte(text), []byte(text))
	return &c, err
}

func TLSBefore() (*tls.Config, error) {
	certificate, err := parsePEM(os.Getenv("CERTIFICATE"))
	if err != nil {
		return nil, err
	}
	return &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (c *tls.Certificate, err error) {
		c = certificate
		return c, err
	}}, nil
}

func TLSAfter(env *secrets.Env) (*tls.Config, error) {
	certificates := secrets.Derive(env, "CERTIFICATE", revealed(parsePEM), nil)
	return &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (c *tls.Certificate, err error) {
		err = certificates.Do(hello.Context(), func(current *tls.Certificate) error { c = current; return nil })
		return c, err
	}}, nil
}

// A Config is read by go-envconfig.
type Config struct {
	Port     int    `env:"PORT, default=8080"`
	Password string `env:"DB_PASSWORD, required"`
}

func EnvconfigBefore(ctx context.Context) (c Config, err error) {
	err = envconfig.ProcessWith(ctx, &envconfig.Config{Target: &c, Lookuper: envconfig.OsLookuper()})
	return c, err
}

func EnvconfigAfter(ctx context.Context, env *secrets.Env) (c Config, err error) {
	values, err := env.RevealAll(ctx)
	if err == nil {
		err = envconfig.ProcessWith(ctx, &envconfig.Config{Target: &c, Lookuper: envconfig.MapLookuper(values)})
	}
	return c, err
}
