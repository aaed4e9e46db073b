package secrethttp_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secrethttp"
)

// A token is replaced while its old value is cached. The server refuses that once, and the caller
// does not notice.
func ExampleTransport() {
	token := "yesterday"
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			fmt.Println("the server refuses a request")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, "hello")
	}))
	defer api.Close()

	// This Env stands in for one that asks AWS.
	fetch := func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue(token, "version of "+token), nil
	}
	env, err := secrets.New(
		secrets.WithEnviron(map[string]string{"API_TOKEN": "sm://prod/api"}),
		secrets.WithProvider(secrets.ProviderFunc(fetch)),
		secrets.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		panic(err)
	}

	client := &http.Client{Transport: &secrethttp.Transport{
		Env: env, Name: "API_TOKEN", Origin: api.URL,
	}}
	get := func() {
		resp, err := client.Get(api.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		fmt.Println(resp.Status, string(text))
	}
	get()
	token = "today"
	get()
	// Output:
	// 200 OK hello
	// the server refuses a request
	// 200 OK hello
}
