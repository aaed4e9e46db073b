// Package samples is the environment of the quickstart, which the policy printer is tried on, too.
package samples

import (
	"encoding/base64"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// Store puts a sample of every kind into the endpoint and returns the environment that refers to
// them, and the ARN of the key that its ciphertexts are under. CONSOLE_KEY holds a bare ciphertext
// and wants secrets.WithVars.
func Store(server *endpoint.Server) (environ map[string]string, key string) {
	st := server.Region("eu-west-1")
	key = st.CreateKey()
	b64 := base64.StdEncoding.EncodeToString
	st.PutParameter(endpoint.Parameter{Name: "/app/prod/db/host", Type: "String", Value: "db.internal"})
	st.PutParameter(endpoint.Parameter{Name: "/app/prod/db/port", Type: "String", Value: "5432"})
	st.PutParameter(endpoint.Parameter{Name: "/app/prod/api-key", Type: "SecureString", Value: "k-1111"})
	st.PutParameter(endpoint.Parameter{Name: "/app/prod/api-key", Type: "SecureString", Value: "k-2222"})
	server.Region(
		"us-east-1",
	).PutParameter(
		endpoint.Parameter{Name: "/shared/license", Type: "SecureString", Value: "license-us"},
	)
	st.PutSecret("prod/db", `{"username":"app","password":"correct horse 0"}`)
	st.PutSecret("prod/db", `{"username":"app","password":"correct horse 1"}`)
	st.PutSecretBinary("prod/signing-key", []byte{0x00, 0xff, 0x10, 0x80, 0x0a})
	st.PutSecret("prod/payments", "sk_live_sample")
	return map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME": "quickstart",
		"CONSOLE_KEY": b64(
			st.Encrypt(key, []byte("from the console"), map[string]string{"LambdaFunctionName": "quickstart"}),
		),
		"CLI_KEY":         "kms://" + b64(st.Encrypt(key, []byte("from the CLI"), nil)),
		"DB_HOST":         "ssm:///app/prod/db/host",
		"API_KEY":         "ssm:///app/prod/api-key",
		"API_KEY_V1":      "ssm:///app/prod/api-key:1",
		"LICENSE":         "ssm:///shared/license?region=us-east-1",
		"SETTINGS":        "ssm:///app/prod/*",
		"DB_USER":         "sm://prod/db#username",
		"DB_PASSWORD":     "sm://prod/db#password",
		"DB_PASSWORD_OLD": "sm://prod/db?stage=AWSPREVIOUS#password",
		"SIGNING_KEY":     "sm://prod/signing-key",
		"GREETING":        "hello",
		"LOG_LEVEL":       "INFO",
	}, key
}
