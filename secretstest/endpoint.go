package secretstest

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// Region is where an [Endpoint] is.
const Region = "eu-west-1"

// An Endpoint answers as KMS, Systems Manager Parameter Store and Secrets Manager do, in one account
// and Region, with their error codes, limits and access checks, so that a test runs the whole stack,
// the SDK's clients included. It is in memory and opens no port. Its methods are safe for concurrent
// use; they end the test on what the service would refuse, as an empty name, or the rotation of a
// secret that there is not, and on an operation that the Endpoint does not have.
//
// Where waiting is part of what is tested, run the test in a testing/synctest bubble, in which it
// takes no time: Fail with a retryable kind, and a latency of more than a second, end the test
// anywhere else.
type Endpoint struct {
	t      testing.TB
	server *endpoint.Server
	store  *endpoint.Store
	client *http.Client
	key    string // ARN of the key that Encrypt uses
}

// StartEndpoint returns a running Endpoint that holds nothing. It ends with the test.
func StartEndpoint(t testing.TB) *Endpoint {
	t.Helper()
	notOnLambda()
	server, pipe := endpoint.New(endpoint.Options{}), endpoint.NewPipe()
	transport := &http.Transport{DialContext: pipe.DialContext, MaxIdleConnsPerHost: 32}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(pipe)
	}()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		pipe.Close() // for the case that Serve had not begun
		<-served
	})
	e := &Endpoint{t: t, server: server, store: server.Region(Region),
		client: &http.Client{Transport: transport}}
	e.key = e.store.CreateKey()
	return e
}

// Config returns a configuration for the Endpoint, for [secrets.WithAWSConfig] and any client of the
// three services.
func (e *Endpoint) Config() aws.Config {
	return aws.Config{Region: Region, BaseEndpoint: aws.String("http://localhost"), HTTPClient: e.client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret-access-key"}, nil
		})}
}

// PutParameter makes a SecureString parameter, or a new version of it, and returns the version's
// number.
func (e *Endpoint) PutParameter(name, value string) (version int64) {
	e.t.Helper()
	defer e.endIfRefused()
	return e.store.PutParameter(endpoint.Parameter{Name: name, Type: "SecureString", Value: value})
}

// DeleteParameter deletes a parameter.
func (e *Endpoint) DeleteParameter(name string) {
	e.t.Helper()
	defer e.endIfRefused()
	e.store.DeleteParameter(name)
}

// PutSecret gives a secret a new AWSCURRENT version, making the secret first where there is none.
func (e *Endpoint) PutSecret(name, value string) (arn, versionID string) {
	e.t.Helper()
	defer e.endIfRefused()
	return e.store.PutSecret(name, value)
}

// BeginRotation gives a secret an AWSPENDING version.
func (e *Endpoint) BeginRotation(name, value string) (versionID string) {
	e.t.Helper()
	defer e.endIfRefused()
	return e.store.PutPending(name, value)
}

// FinishRotation makes the AWSPENDING version of a secret AWSCURRENT.
func (e *Endpoint) FinishRotation(name string) {
	e.t.Helper()
	defer e.endIfRefused()
	e.store.FinishRotation(name)
}

// DeleteSecret marks a secret for deletion.
func (e *Endpoint) DeleteSecret(name string) {
	e.t.Helper()
	defer e.endIfRefused()
	e.store.DeleteSecret(name)
}

// endIfRefused ends the test where the service would refuse what it does: a panic would end those
// of all other tests, too.
func (e *Endpoint) endIfRefused() {
	e.t.Helper()
	if p := recover(); p != nil {
		e.t.Fatalf("secretstest: %v", p)
	}
}

// Encrypt returns a kms:// reference to plaintext (at most 4096 bytes), encrypted under the
// Endpoint's one key. The encryption context may be nil; otherwise the reference states it. What
// stands between kms:// and ? is the bare ciphertext, as a variable of WithVars(KMS, …) holds it.
func (e *Endpoint) Encrypt(plaintext string, encryptionContext map[string]string) (ref string) {
	e.t.Helper()
	defer e.endIfRefused()
	r := secrets.Ciphertext(e.store.Encrypt(e.key, []byte(plaintext), encryptionContext))
	for name, value := range encryptionContext {
		r = r.With("context."+name, value)
	}
	return r.Text()
}

// KeyARN returns the ARN of the key that Encrypt uses.
func (e *Endpoint) KeyARN() string { return e.key }

// SetPolicy makes the Endpoint allow only what an IAM policy document allows, as the role's only
// policy. Before, everything is allowed.
func (e *Endpoint) SetPolicy(document string) error { return e.server.SetPolicy(document) }

// Fail makes requests fail until heal is called: those of an operation such as
// "ssm:GetParameters", a service, "ssm:*", or all, "*". The kind is [secrets.ErrThrottled],
// [secrets.ErrAccessDenied] or [secrets.ErrUnavailable] (a 503 without a body that the SDK could
// read); another ends the test. A read retries the first and the last until its deadline, so these
// end the test if it is not in a testing/synctest bubble.
func (e *Endpoint) Fail(operation string, kind error) (heal func()) {
	e.t.Helper()
	e.needsOperation("Fail", operation)
	if retryable(kind) && !inBubble() {
		e.t.Fatalf("secretstest: Fail(%q, %v): %s", operation, kind, realTime)
	}
	var do endpoint.Action
	switch {
	case errors.Is(kind, secrets.ErrThrottled):
		do = endpoint.Throttle
	case errors.Is(kind, secrets.ErrAccessDenied):
		do = endpoint.Deny
	case errors.Is(kind, secrets.ErrUnavailable):
		do = endpoint.HTML503
	default:
		e.t.Fatalf("secretstest: Fail(%q): the kind is none of ErrThrottled, ErrAccessDenied, "+
			"ErrUnavailable", operation)
	}
	return e.server.Fault(endpoint.Fault{Do: do, Operation: operation}).Remove
}

// SetLatency delays every answer by d. It ends the test if d is more than a second and the test is
// not in a testing/synctest bubble.
func (e *Endpoint) SetLatency(d time.Duration) {
	e.t.Helper()
	if d > time.Second && !inBubble() {
		e.t.Fatalf("secretstest: SetLatency(%v): %s", d, realTime)
	}
	e.server.SetLatency("*", d)
}

// Calls returns how many requests of an operation there were: "kms:Decrypt", "ssm:*", "*".
func (e *Endpoint) Calls(operation string) int {
	e.t.Helper()
	e.needsOperation("Calls", operation)
	return e.server.Count(operation)
}

// needsOperation ends the test where no operation matches: a typo must leave no test green.
func (e *Endpoint) needsOperation(method, operation string) {
	e.t.Helper()
	if !endpoint.Answers(operation) {
		e.t.Fatalf("secretstest: %s(%q): the Endpoint has no such operation. Write one such as "+
			`"ssm:GetParameters", a service, "ssm:*", or "*"`, method, operation)
	}
}
