// Package clients has the programs of docs/clients.md, each before and after the change that makes
// its password rotate. The functions whose names end in Before read the secret once, from the
// environment; those whose names end in After ask the Env. The page shows the difference, which a
// test compares with these functions and counts.
package clients

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"golang.org/x/oauth2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secretsql"
)

// Where the servers of the programs are. The lab sets these before it uses one.
var (
	PostgreSQL = "127.0.0.1:5432"
	MariaDB    = "127.0.0.1:3306"
	Redis      = "127.0.0.1:6379"
	RabbitMQ   = "127.0.0.1:5672"
	NATS       = "127.0.0.1:4222"
	Kafka      = []string{"127.0.0.1:9092"}
	Mongo      = "127.0.0.1:27017"
)

// A login is the JSON that AWS's rotation functions keep in a secret.
type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

func parse(text string) (login, error) {
	var l login
	if json.Unmarshal([]byte(text), &l) != nil || l.Username == "" || l.Password == "" {
		return login{}, errors.New("the secret is not the JSON of a login") // which is not quoted
	}
	return l, nil
}

// region: once

// revealed makes a function for Derive of one that takes the plaintext.
func revealed[T any](build func(text string) (T, error)) func(context.Context, secrets.Value) (T, error) {
	return func(_ context.Context, v secrets.Value) (T, error) { return build(v.Reveal()) }
}

// endregion

// region: refused

// Refused is for secrets.WithRejected: it reports whether one of the program's clients was refused.
func Refused(err error) bool {
	if secretsql.Refused(err) || redis.IsAuthError(err) { // PostgreSQL, MySQL, MariaDB; go-redis
		return true
	}
	if e := new(rueidis.RedisError); errors.As(err, &e) {
		return strings.HasPrefix(e.Error(), "WRONGPASS")
	}
	if e := new(amqp.Error); errors.As(err, &e) { // RabbitMQ
		return e.Code == amqp.AccessRefused
	}
	if e := new(oauth2.RetrieveError); errors.As(err, &e) {
		return e.ErrorCode == "invalid_client"
	}
	if err != nil && strings.Contains(err.Error(), "(AuthenticationFailed)") { // MongoDB
		return true
	}
	return errors.Is(err, nats.ErrAuthorization) || status.Code(err) == codes.Unauthenticated // gRPC
}

// endregion
