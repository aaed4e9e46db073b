package clients

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/lambdasecrets/secrets"
)

// refusedByBroker reports whether RabbitMQ, NATS or Kafka did not accept the login.
func refusedByBroker(err error) bool {
	var broker *amqp.Error
	return errors.As(err, &broker) && broker.Code == amqp.AccessRefused ||
		errors.Is(err, amqp.ErrCredentials) || errors.Is(err, nats.ErrAuthorization) ||
		errors.Is(err, kerr.SaslAuthenticationFailed) ||
		err != nil && strings.Contains(err.Error(), nats.ErrAuthorization.Error())
}

// dialAMQP connects with the JSON of a login.
func dialAMQP(text string) (*amqp.Connection, error) {
	l, err := parse(text)
	if err != nil {
		return nil, err
	}
	return amqp.DialConfig("amqp://"+RabbitMQ, amqp.Config{
		SASL: []amqp.Authentication{&amqp.PlainAuth{Username: l.Username, Password: l.Password}},
	})
}

func AMQPBefore(ctx context.Context) (conn *amqp.Connection, err error) {
	conn, err = dialAMQP(os.Getenv("BROKER"))
	return conn, err
}

func AMQPAfter(ctx context.Context, env *secrets.Env) (conn *amqp.Connection, err error) {
	err = env.Do(ctx, "BROKER", func(v secrets.Value) error {
		conn, err = dialAMQP(v.Reveal())
		return err
	})
	return conn, err
}

// dialNATS connects with the JSON of a login.
func dialNATS(text string) (*nats.Conn, error) {
	l, err := parse(text)
	if err != nil {
		return nil, err
	}
	return nats.Connect("nats://"+NATS, nats.UserInfo(l.Username, l.Password), nats.NoReconnect())
}

func NATSBefore(ctx context.Context) (conn *nats.Conn, err error) {
	conn, err = dialNATS(os.Getenv("BROKER"))
	return conn, err
}

func NATSAfter(ctx context.Context, env *secrets.Env) (conn *nats.Conn, err error) {
	err = env.Do(ctx, "BROKER", func(v secrets.Value) error {
		conn, err = dialNATS(v.Reveal())
		return err
	})
	return conn, err
}

// scramAuth makes SCRAM's credentials of the JSON of a login.
func scramAuth(text string) (scram.Auth, error) {
	l, err := parse(text)
	return scram.Auth{User: l.Username, Pass: l.Password}, err
}

func KafkaBefore() (*kgo.Client, error) {
	auth, err := scramAuth(os.Getenv("KAFKA"))
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(kgo.SeedBrokers(Kafka...), kgo.SASL(auth.AsSha256Mechanism()))
}

func KafkaAfter(env *secrets.Env) (*kgo.Client, error) {
	auth := func(ctx context.Context) (scram.Auth, error) {
		v, err := env.Get(ctx, "KAFKA")
		if err != nil {
			return scram.Auth{}, err
		}
		return scramAuth(v.Reveal())
	}
	return kgo.NewClient(kgo.SeedBrokers(Kafka...), kgo.SASL(scram.Sha256(auth)))
}
