// Package clients has the programs of docs/clients.md, each before and after the change that makes
// its password rotate. The functions whose names end in Before read the secret once, from the
// environment; those whose names end in After ask the Env. The page shows the difference, which a
// test compares with these functions and counts.
package clients

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

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

// Refused is what the programs give to secrets.WithRejected: the refusals of all clients that do
// not mark them by themselves.
func Refused(err error) bool {
	var redisErr *rueidis.RedisError
	return secretsql.Refused(err) || redis.IsAuthError(err) ||
		errors.As(err, &redisErr) && strings.HasPrefix(redisErr.Error(), "WRONGPASS") ||
		refusedByBroker(err)
}
