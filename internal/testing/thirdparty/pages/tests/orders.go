// Package tests is the function whose tests docs/testing.md shows.
package tests

import (
	"context"
	"database/sql"
	"net/http"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/secrethttp"
)

// region: function

// A Function is what main builds once, from its Env, and what handles events.
type Function struct {
	env *secrets.Env
	db  *sql.DB      // with the password of the variable DB_PASSWORD
	api *http.Client // with the token of the variable TOKEN
}

// endregion

// API is where orders go.
const API = "https://api.example.com"

func newAPI(env *secrets.Env, base http.RoundTripper) *http.Client {
	return &http.Client{Transport: &secrethttp.Transport{Env: env, Name: "TOKEN", Origin: API, Base: base}}
}

// Handle handles an event.
func (f *Function) Handle(ctx context.Context, order string) (string, error) {
	if f.db != nil {
		if err := f.db.PingContext(ctx); err != nil {
			return "", err
		}
	}
	if f.api != nil {
		req, err := http.NewRequestWithContext(ctx, "POST", API+"/orders/"+order, nil)
		if err != nil {
			return "", err
		}
		resp, err := f.api.Do(req)
		if err != nil {
			return "", err
		}
		resp.Body.Close()
	}
	return "ordered " + order, nil
}
