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

// The user and password of one JSON secret, as AWS's rotation functions keep a login.
func ExampleBasic() {
	login := secrets.NewValue(`{"username":"orders","password":"swordfish"}`, "1")
	header := http.Header{}
	fmt.Println(secrethttp.Basic(header, login))
	fmt.Println(header)
	// Output:
	// <nil>
	// map[Authorization:[Basic b3JkZXJzOnN3b3JkZmlzaA==]]
}

// The whole value, as Transport sends it where Set is nil.
func ExampleBearer() {
	header := http.Header{}
	fmt.Println(secrethttp.Bearer(header, secrets.NewValue("a-token", "1")))
	fmt.Println(header)
	// Output:
	// <nil>
	// map[Authorization:[Bearer a-token]]
}

// An API key in a header of its own.
func ExampleHeader() {
	transport := &secrethttp.Transport{Set: secrethttp.Header("X-Api-Key")}
	header := http.Header{}
	fmt.Println(transport.Set(header, secrets.NewValue("a-key", "1")))
	fmt.Println(header)
	// Output:
	// <nil>
	// map[X-Api-Key:[a-key]]
}

// Another transport around this one needs no client: it calls RoundTrip.
func ExampleTransport_RoundTrip() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("Authorization"))
	}))
	defer api.Close()
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"API_TOKEN": "sm://prod/api"}),
		secrets.WithLocalValues(map[string]string{"API_TOKEN": "a-token"}))
	if err != nil {
		panic(err)
	}
	transport := &secrethttp.Transport{Env: env, Name: "API_TOKEN", Origin: api.URL}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, api.URL, nil)
	if err != nil {
		panic(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	fmt.Println(string(text), req.Header)
	// Output: Bearer a-token map[]
}
