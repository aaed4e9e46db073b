// Command local runs the handler beside it on this machine, without AWS: it builds the function as users build it, starts it on the simulated Lambda
// with an embedded AWS endpoint that holds sample values, sends it one event, and prints the reply, the log and the timing.
//
//	go run ./examples/handler/local [-event file|-]
//
// It exits with 1 if the function failed. It runs where SIGSTOP does, which is not Windows.
package main

import (
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/lambdasim"
)

//go:embed event.json
var sample []byte

func main() {
	event := flag.String("event", "", "file that holds the event as JSON, or - for standard input; without it, a sample event")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *event, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string, in io.Reader, out io.Writer) error {
	event, err := read(file, in)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "handler")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := build(ctx, dir)
	if err != nil {
		return err
	}
	return invoke(ctx, binary, event, out)
}

// build compiles the handler into dir and returns the binary's path.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "bootstrap")
	return binary, lambdasim.Build(ctx, "", "github.com/lambdasecrets/secrets/examples/handler", binary, nil)
}

// invoke runs binary for one event, and writes to out what it logs and answers.
func invoke(ctx context.Context, binary string, event []byte, out io.Writer) error {
	server := endpoint.New(endpoint.Options{})
	defer server.Close()
	url, err := server.Start()
	if err != nil {
		return err
	}
	result, err := lambdasim.Run(ctx, lambdasim.Config{Binary: binary, FunctionName: "orders", Log: out, Env: seed(server, url)}, event)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n\ninit %v, invocation %v, %d calls to AWS\n", result.Payload,
		result.InitDuration.Round(time.Millisecond), result.Duration.Round(time.Millisecond), len(server.Calls()))
	if result.FunctionError != nil {
		return result.FunctionError
	}
	return nil
}

func read(file string, in io.Reader) ([]byte, error) {
	switch file {
	case "":
		return sample, nil
	case "-":
		event, err := io.ReadAll(in)
		if err == nil && len(event) == 0 {
			err = errors.New("standard input is empty")
		}
		return event, err
	}
	return os.ReadFile(file)
}

// seed stores the sample values and returns the environment that refers to them.
func seed(server *endpoint.Server, url string) map[string]string {
	store := server.Region("us-east-1")
	key := store.CreateKey()
	store.PutSecret("orders/db", `{"username":"orders","password":"sample p@ss/word","host":"db.internal","port":5432,"dbname":"orders"}`)
	store.PutParameter(endpoint.Parameter{Name: "/orders/api-key", Type: "SecureString", Value: "sample-api-key"})
	ciphertext := store.Encrypt(key, []byte("sample-signing-key"), map[string]string{"LambdaFunctionName": "orders"})
	return map[string]string{
		"DATABASE":         "sm://orders/db",
		"API_KEY":          "ssm:///orders/api-key",
		"SIGNING_KEY":      base64.StdEncoding.EncodeToString(ciphertext),
		"AWS_ENDPOINT_URL": url,
	}
}
