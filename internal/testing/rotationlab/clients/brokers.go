package clients

import (
	"context"
	"errors"
	"os"

	"github.com/nats-io/nats.go"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/lambdasecrets/secrets"
)

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

// region: dial-nats

// dialNATS connects with the JSON of a login.
func dialNATS(text string) (conn *nats.Conn, err error) {
	l, err := parse(text)
	if err != nil {
		return nil, err
	}
	for range 2 { // a server that reloads its users cuts connections that are being made
		conn, err = nats.Connect("nats://"+NATS, nats.UserInfo(l.Username, l.Password), nats.NoReconnect())
		if err == nil || errors.Is(err, nats.ErrAuthorization) {
			break
		}
	}
	return conn, err
}

// endregion

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
	auth := func(ctx context.Context) (a scram.Auth, err error) {
		a, err = scramAuth(os.Getenv("KAFKA"))
		return a, err
	}
	return kgo.NewClient(kgo.SeedBrokers(Kafka...), kgo.SASL(scram.Sha256(auth)))
}

func KafkaAfter(env *secrets.Env) (*kgo.Client, error) {
	auth := func(ctx context.Context) (a scram.Auth, err error) {
		err = env.Do(ctx, "KAFKA", func(v secrets.Value) error {
			a, err = scramAuth(v.Reveal())
			return err
		})
		return a, err
	}
	return kgo.NewClient(kgo.SeedBrokers(Kafka...), kgo.SASL(scram.Sha256(auth)))
}
