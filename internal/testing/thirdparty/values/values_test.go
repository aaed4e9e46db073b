// Package values shows that encoders with decoders never make a plaintext of what a Value prints, and that
// composed texts survive the parsers that read them.
package values

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/url"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/davecgh/go-spew/spew"
	"github.com/fxamacker/cbor/v2"
	"github.com/go-sql-driver/mysql"
	"github.com/go-viper/mapstructure/v2"
	gojson "github.com/goccy/go-json"
	goyaml "github.com/goccy/go-yaml"
	"github.com/jackc/pgx/v5"
	jsoniter "github.com/json-iterator/go"
	gotoml "github.com/pelletier/go-toml/v2"
	"github.com/ugorji/go/codec"
	"github.com/vmihailenco/msgpack/v5"
	"gopkg.in/yaml.v3"

	"github.com/lambdasecrets/secrets"
)

type state struct{ Password secrets.Value }

// Each encoder either refuses a Value, or its decoder refuses what the encoder wrote, or the field stays zero.
func TestEncoders_RoundTrip(t *testing.T) {
	t.Parallel()
	in := state{secrets.NewValue("hunter2", "1")}
	handle := &codec.CborHandle{}
	for name, roundTrip := range map[string]func(out *state) error{
		"encoding/json": both(in, json.Marshal, json.Unmarshal),
		"encoding/xml":  both(in, xml.Marshal, xml.Unmarshal),
		"encoding/gob": func(out *state) error {
			var b bytes.Buffer
			if err := gob.NewEncoder(&b).Encode(in); err != nil {
				return err
			}
			return gob.NewDecoder(&b).Decode(out)
		},
		"json-iterator":   both(in, jsoniter.Marshal, jsoniter.Unmarshal),
		"goccy/go-json":   both(in, gojson.Marshal, gojson.Unmarshal),
		"yaml.v3":         both(in, yaml.Marshal, yaml.Unmarshal),
		"goccy/go-yaml":   both(in, goyaml.Marshal, goyaml.Unmarshal),
		"pelletier/toml":  both(in, gotoml.Marshal, gotoml.Unmarshal),
		"BurntSushi/toml": both(in, toml.Marshal, toml.Unmarshal),
		"msgpack":         both(in, msgpack.Marshal, msgpack.Unmarshal),
		"cbor":            both(in, cbor.Marshal, cbor.Unmarshal),
		"ugorji/codec": func(out *state) error {
			var b []byte
			if err := codec.NewEncoderBytes(&b, handle).Encode(in); err != nil {
				return err
			}
			return codec.NewDecoderBytes(b, handle).Decode(out)
		},
		"mapstructure": func(out *state) error {
			d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: out,
				DecodeHook: mapstructure.TextUnmarshallerHookFunc()})
			if err != nil {
				return err
			}
			return d.Decode(map[string]any{"Password": in.Password.String()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out state
			err := roundTrip(&out)
			if !out.Password.IsZero() {
				t.Errorf("it comes back holding %q, %v", out.Password.Reveal(), err)
			}
			t.Logf("%v", err)
		})
	}
}

func both(in state, encode func(any) ([]byte, error), decode func([]byte, any) error) func(*state) error {
	return func(out *state) error {
		text, err := encode(in)
		if err != nil {
			return err
		}
		return decode(text, out)
	}
}

// A generated password with every reserved character reaches the server byte for byte.
func TestComposed_Parsers(t *testing.T) {
	t.Parallel()
	printable := ""
	for c := ' '; c <= '~'; c++ {
		printable += string(c)
	}
	for _, password := range []string{
		"p@ss", "a/b", "50%", "%41", "a:b", "a?b=c", "a#b", "a b+c", "[x]&;=,", "!$'()*é~\"\\^`{|}<>",
		printable, "@:/?#[]@", "://@h:1/", "%25%2F", "}}{{", "${X}", "{{sm://a}}", "a\tb", "/", "@",
	} {
		object, _ := json.Marshal(map[string]string{"username": "app", "password": password})
		env, err := secrets.New(secrets.WithEnviron(map[string]string{
			"PGX": "postgres://{{sm://db#username}}:{{sm://db#password}}@db.example.com:5432/orders",
			"SQL": "{{sm://db#username}}:{{sm://db#password}}@tcp(db.example.com:3306)/orders?parseTime=true",
		}), secrets.WithProvider(secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
			return secrets.NewValue(string(object), "1"), nil
		})))
		if err != nil {
			t.Fatal(err)
		}
		all, err := env.RevealAll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c, err := pgx.ParseConfig(all["PGX"]); err != nil || c.Password != password || c.User != "app" ||
			c.Host != "db.example.com" {
			t.Errorf("pgx reads %q: %v", password, err)
		}
		u, err := url.Parse(all["PGX"])
		if err != nil {
			t.Errorf("net/url, %q: %v", password, err)
		} else if got, _ := u.User.Password(); got != password {
			t.Errorf("net/url reads %q of %q", got, password)
		}
		if c, err := mysql.ParseDSN(all["SQL"]); err != nil || c.Passwd != password || c.User != "app" ||
			c.Addr != "db.example.com:3306" {
			t.Errorf("go-sql-driver reads %q: %v", password, err)
		}
	}
}

// go-spew's default mode ends the process where a struct of one pointer has methods (golang/go#38601).
func TestSpew_Ref(t *testing.T) {
	t.Parallel()
	ref, err := secrets.ParseRef("literal://hunter2")
	if err != nil {
		t.Fatal(err)
	}
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": "sm://a", "B": "literal://hunter2"}))
	if err != nil {
		t.Fatal(err)
	}
	printed := spew.Sdump(ref, &ref, env, env.Refs(), map[secrets.Ref]int{ref: 1}) +
		fmt.Sprintf("%+v %#v", ref, env.Refs())
	if bytes.Contains([]byte(printed), []byte("hunter2")) {
		t.Error(printed)
	}
}
