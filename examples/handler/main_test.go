package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lambdasecrets/secrets"
)

var values = map[string]string{
	"DATABASE":    `{"username":"orders","password":"p@ss/word?#","host":"db.test","port":5432,"dbname":"orders"}`,
	"API_KEY":     "the-key-of-a-caller",
	"SIGNING_KEY": "the-key-of-ours",
}

// environ is what the templates put into the environment.
var environ = map[string]string{
	"DATABASE":    "sm://orders/db",
	"API_KEY":     "ssm:///orders/api-key",
	"SIGNING_KEY": "AQICAHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4",
}

func request(key string) events.APIGatewayV2HTTPRequest {
	return events.APIGatewayV2HTTPRequest{
		Headers:        map[string]string{"X-Api-Key": key},
		PathParameters: map[string]string{"id": "42"},
	}
}

// Local values take AWS out of a unit test.
func TestHandle(t *testing.T) {
	t.Parallel()
	env, err := secrets.New(declared, secrets.WithEnviron(environ), secrets.WithLocalValues(values))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(values["SIGNING_KEY"]))
	mac.Write([]byte("42\ndb.test:5432/orders"))
	for _, tc := range []struct {
		name, key string
		status    int
		body      any
	}{
		{"right key", values["API_KEY"], http.StatusOK,
			receipt{"42", "db.test:5432/orders", hex.EncodeToString(mac.Sum(nil))}},
		{"wrong key", "guess", http.StatusUnauthorized, problem{Error: "x-api-key is missing or wrong"}},
		{"no key", "", http.StatusUnauthorized, problem{Error: "x-api-key is missing or wrong"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := newService(env).handle(t.Context(), request(tc.key))
			if err != nil {
				t.Fatal(err)
			}
			want, err := json.Marshal(tc.body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tc.status || res.Body != string(want) {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, res.Body, tc.status, want)
			}
		})
	}
}

// A key that was never filled in opens nothing, to a request with an empty header or with none.
func TestHandle_EmptyStoredKey(t *testing.T) {
	t.Parallel()
	for _, stored := range []struct{ name, reference, plaintext string }{
		{"empty parameter", "ssm:///orders/api-key", ""},
		{"empty literal", "literal://", ""},
		{"empty field", "sm://orders/key#key", `{"key":""}`},
	} {
		t.Run(stored.name, func(t *testing.T) {
			t.Parallel()
			vars := maps.Clone(environ)
			vars["API_KEY"] = stored.reference
			fetch := func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
				if ref.ID() == "orders/db" {
					return secrets.NewValue(values["DATABASE"], "1"), nil
				}
				return secrets.NewValue(stored.plaintext, "1"), nil
			}
			provider := secrets.WithProvider(secrets.ProviderFunc(fetch))
			env, err := secrets.New(declared, secrets.WithEnviron(vars), provider)
			if err != nil {
				t.Fatal(err)
			}
			for _, req := range []events.APIGatewayV2HTTPRequest{
				request(""), {PathParameters: map[string]string{"id": "42"}}, request("guess"),
			} {
				res, err := newService(env).handle(t.Context(), req)
				if err != nil || res.StatusCode != http.StatusUnauthorized {
					t.Errorf("headers %v: %d %s, %v", req.Headers, res.StatusCode, res.Body, err)
				}
			}
		})
	}
}

func TestDSN(t *testing.T) {
	t.Parallel()
	u, err := dsn(t.Context(), secrets.NewValue(values["DATABASE"], "1"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "postgres://orders:p%40ss%2Fword%3F%23@db.test:5432/orders?sslmode=verify-full"; u.String() != want {
		t.Errorf("got %s, want %s", u, want)
	}
	if _, err := dsn(t.Context(), secrets.NewValue(`{"username":"orders"}`, "1")); !errors.Is(err, secrets.ErrField) {
		t.Errorf("without a password: %v", err)
	}
}

// What goes wrong is in the log, with the variable, and not in the answer.
func TestFailure(t *testing.T) {
	// Not parallel: it replaces the default logger.
	for _, tc := range []struct {
		name   string
		kind   error
		status int
	}{
		{"transient", secrets.ErrThrottled, http.StatusServiceUnavailable},
		{"permanent", secrets.ErrAccessDenied, http.StatusInternalServerError},
	} {
		synctest.Test(t, func(t *testing.T) { // the retries of a throttle take time
			var log bytes.Buffer
			before := slog.Default()
			slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
			defer slog.SetDefault(before)
			env, err := secrets.New(
				declared,
				secrets.WithEnviron(environ),
				secrets.WithProvider(
					secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
						if ref.Scheme() == secrets.SecretsManager {
							return secrets.Value{}, tc.kind
						}
						return secrets.NewValue(values["API_KEY"], "1"), nil
					}),
				),
			)
			if err != nil {
				t.Fatal(err)
			}
			res, err := newService(env).handle(t.Context(), request(values["API_KEY"]))
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tc.status || strings.Contains(res.Body, "DATABASE") ||
				strings.Contains(res.Body, "orders/db") {
				t.Errorf("%s: got %d %s, want %d", tc.name, res.StatusCode, res.Body, tc.status)
			}
			if !strings.Contains(log.String(), `"variable":"DATABASE"`) ||
				!strings.Contains(log.String(), tc.kind.Error()) {
				t.Errorf("%s: the log says nothing of it:\n%s", tc.name, log.String())
			}
		})
	}
}
