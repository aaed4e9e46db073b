// Command handler is a Lambda function to copy: behind an API Gateway HTTP API it answers GET
// /orders/{id} with a signed receipt, as JSON. Its environment holds no secret, only references to
// three:
//
//	DATABASE     sm://…      a Secrets Manager secret with username, password, host, port and
//	                         dbname, from which it makes a PostgreSQL DSN
//	API_KEY      ssm://…     the key that callers send as x-api-key, in Parameter Store
//	SIGNING_KEY  AQICAHh…    what the Lambda console's "helpers for encryption in transit" leave in a variable:
//	                         KMS ciphertext in base64
//
// Build it for either processor:
//
//	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -trimpath -tags lambda.norpc -o build/bootstrap .
//
// template.yaml (AWS SAM), main.tf (Terraform) and app.mjs (AWS CDK) create it and all it needs. To
// try it on this machine, without AWS:
//
//	go run ./examples/local
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/lambdasecrets/secrets"
)

// declared says which variables hold a reference that does not look like one.
var declared = secrets.WithVars(secrets.KMS, "SIGNING_KEY")

// The warm stands in main rather than in a package variable or init, which run under go test too:
// there an Env of local values takes its place.
func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	lambda.Start(newService(secrets.MustWarm(context.Background(), declared)).handle)
}

type service struct {
	env *secrets.Env
	// With a driver this holds a pool instead: Derive(env, "DATABASE", open,
	// (*pgxpool.Pool).Close), and reports a refused password as secrets.Rejected from the function
	// that it gives to Do.
	database *secrets.Derived[*url.URL]
}

func newService(env *secrets.Env) *service {
	return &service{env: env, database: secrets.Derive(env, "DATABASE", dsn, nil)}
}

// dsn makes the connection string out of one value of the secret, so user and password are always
// of the same rotation.
func dsn(_ context.Context, v secrets.Value) (*url.URL, error) {
	part := map[string]string{}
	for _, name := range []string{"username", "password", "host", "port", "dbname"} {
		field, err := v.Field(name)
		if err != nil {
			return nil, err
		}
		part[name] = field.Reveal()
	}
	return &url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(part["username"], part["password"]), // escapes what a generated password may hold
		Host:     net.JoinHostPort(part["host"], part["port"]),
		Path:     "/" + part["dbname"],
		RawQuery: "sslmode=verify-full",
	}, nil
}

type receipt struct {
	Order     string `json:"order"`
	StoredIn  string `json:"storedIn"`
	Signature string `json:"signature"`
}

// problem is an answer that is no receipt. It tells the caller nothing about the function's inside.
type problem struct {
	Error   string `json:"error"`
	Request string `json:"request,omitempty"` // to be found in the log by
}

// handle answers one request. It never returns an error: Lambda would show its text to the caller.
func (s *service) handle(
	ctx context.Context,
	req events.APIGatewayV2HTTPRequest,
) (events.APIGatewayV2HTTPResponse, error) {
	start := time.Now()
	status, body := s.answer(ctx, req)
	slog.InfoContext(
		ctx,
		"request",
		"id",
		requestID(ctx),
		"route",
		req.RouteKey,
		"status",
		status,
		"took",
		time.Since(start).String(),
	)
	text, err := json.Marshal(body)
	if err != nil {
		return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusInternalServerError}, nil
	}
	res := events.APIGatewayV2HTTPResponse{
		StatusCode: status,
		Headers:    map[string]string{"content-type": "application/json"},
		Body:       string(text),
	}
	if status == http.StatusServiceUnavailable {
		res.Headers["retry-after"] = "1"
	}
	return res, nil
}

func (s *service) answer(ctx context.Context, req events.APIGatewayV2HTTPRequest) (int, any) {
	// Ask for values on every request: that is how a rotation arrives, and a read that finds a
	// fresh value costs next to nothing.
	key, err := s.env.Get(ctx, "API_KEY")
	if err != nil {
		return failed(ctx, err)
	}
	if !key.EqualString(header(req, "x-api-key")) { // constant time
		return http.StatusUnauthorized, problem{Error: "x-api-key is missing or wrong"}
	}
	id := req.PathParameters["id"]
	if id == "" {
		return http.StatusNotFound, problem{Error: "no such route"}
	}
	r := receipt{Order: id}
	err = s.database.Do(ctx, func(dsn *url.URL) error {
		r.StoredIn = dsn.Host + dsn.Path // of the connection string, only what is no secret
		return nil
	})
	if err != nil {
		return failed(ctx, err)
	}
	signing, err := s.env.Get(ctx, "SIGNING_KEY")
	if err != nil {
		return failed(ctx, err)
	}
	mac := hmac.New(sha256.New, signing.RevealBytes())
	fmt.Fprintf(mac, "%s\n%s", r.Order, r.StoredIn)
	r.Signature = hex.EncodeToString(mac.Sum(nil))
	return http.StatusOK, r
}

// failed puts the whole story into the log, and the least into the answer.
func failed(ctx context.Context, err error) (int, any) {
	var unresolved *secrets.ResolveError
	if errors.As(err, &unresolved) {
		slog.ErrorContext(
			ctx,
			"secret",
			"id",
			requestID(ctx),
			"variable",
			unresolved.Variable,
			"error",
			secrets.Detail(err),
		)
	} else {
		slog.ErrorContext(ctx, "request", "id", requestID(ctx), "error", err.Error())
	}
	if secrets.Retryable(err) {
		return http.StatusServiceUnavailable, problem{"try again", requestID(ctx)}
	}
	return http.StatusInternalServerError, problem{"internal error", requestID(ctx)}
}

// header finds a header whatever its case: API Gateway's HTTP APIs write them small, REST APIs as
// they came.
func header(req events.APIGatewayV2HTTPRequest, name string) string {
	for k, v := range req.Headers {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

func requestID(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	return ""
}
