package secrethttp

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/lambdasecrets/secrets"
)

// Bearer sets Authorization: Bearer to the whole value. It is the default of Transport.Set.
func Bearer(h http.Header, v secrets.Value) error {
	h.Set("Authorization", "Bearer "+v.Reveal())
	return nil
}

// Basic sets Authorization: Basic to the user and password of a JSON object with the fields
// username and password, as AWS's rotation functions keep a login. Both come from one value, so
// they belong together. The error is a [secrets.ErrField] if one of them is missing.
func Basic(h http.Header, v secrets.Value) error {
	user, err := v.Field("username")
	if err != nil {
		return err
	}
	password, err := v.Field("password")
	if err != nil {
		return err
	}
	if strings.Contains(user.Reveal(), ":") {
		return errors.New("the user name has a colon, which basic authentication does not allow")
	}
	login := []byte(user.Reveal() + ":" + password.Reveal())
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(login))
	return nil
}

// Header returns a function for Transport.Set that sets the named header to the whole value, as
// for an API key: Header("X-Api-Key").
func Header(name string) func(h http.Header, v secrets.Value) error {
	return func(h http.Header, v secrets.Value) error {
		h.Set(name, v.Reveal())
		return nil
	}
}
