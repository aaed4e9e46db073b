package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lambdasecrets/secrets/examples/internal/environ"
	"github.com/lambdasecrets/secrets/internal/iam"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// store seeds the endpoint with what a function's environment refers to.
type store struct {
	server                    *endpoint.Server
	function, region, account string
	environ                   map[string]string // as the function gets it
	given                     map[string]any    // -values

	values map[string]any // source → plaintext: a string, or an object of fields
	refs   map[string]refsyntax.Ref
	made   []string // variables without a value in given
}

// newStore seeds server. References to ciphertexts and to full ARNs are rewritten: the endpoint has keys and secrets of
// its own.
func newStore(server *endpoint.Server, e environ.Environment, given map[string]any, b *bench) (*store, error) {
	declared, err := environ.ParseVars(cmp.Or(b.vars,
		map[bool]string{true: "kms:SIGNING_KEY"}[b.binary == "" && b.env == ""]),
		[]environ.Environment{e})
	if err != nil {
		return nil, err
	}
	refs, left := e.References(declared)
	for _, l := range left {
		b.say("%s is passed as it is: %s; %s", l.Variable, l.Problem, l.Next)
	}
	s := &store{
		server: server, given: given, environ: map[string]string{}, values: map[string]any{},
		refs:     map[string]refsyntax.Ref{},
		function: cmp.Or(b.config.FunctionName, e.Function, e.Lookup("AWS_LAMBDA_FUNCTION_NAME"), "function"),
		region:   cmp.Or(b.config.Region, e.Region, e.Lookup("AWS_REGION"), "us-east-1"),
		account:  cmp.Or(e.Account, "123456789012"),
	}
	for _, v := range e.Vars {
		if !strings.HasPrefix(v.Name, "AWS_") && !strings.HasPrefix(v.Name, "_") { // those are Lambda's to set
			s.environ[v.Name] = v.Text
		}
	}
	for _, r := range refs {
		ref := r.Ref
		if ref.Region == environ.RegionStandIn {
			ref.Region = s.region
		}
		ref.ID = strings.NewReplacer(environ.RegionStandIn, s.region, environ.AccountStandIn, s.account).Replace(ref.ID)
		if ref.Role != "" || ref.Failover != "" {
			b.say("%s is read without its role, in its first Region", r.Variable)
			ref.Role, ref.Failover = "", ""
		}
		if b.ttl > 0 && !ref.Fixed() {
			ref.TTL, ref.HasTTL = b.ttl, true
		}
		s.refs[r.Variable] = ref
		s.plaintext(r.Variable, ref)
	}
	names := slices.Sorted(maps.Keys(s.refs))
	for _, name := range names {
		ref, err := s.put(s.refs[name], false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.refs[name], s.environ[name] = ref, ref.Text()
	}
	b.say("%d references: %s", len(names), strings.Join(names, ", "))
	if len(s.made) > 0 {
		b.say("-values lacks %s: made up", strings.Join(s.made, ", "))
	}
	return s, nil
}

// source names what is stored: without Region, version, options and field.
func source(ref refsyntax.Ref) string {
	if name, ok := iam.ReferenceSecret(ref.ID); ok {
		return "sm://" + name
	}
	return strings.Replace(ref.Scheme, "secretsmanager", "sm", 1) + "://" + ref.ID
}

// plaintext takes the value of a variable from those given, or makes one up. Fields of one secret come together.
func (s *store) plaintext(variable string, ref refsyntax.Ref) {
	at := source(ref)
	value, ok := s.given[variable]
	if whole, given := s.given[at]; given {
		s.values[at] = whole
		if !ok {
			return
		}
	}
	if !ok {
		s.made = append(s.made, variable)
		value = "sample-" + strings.ToLower(variable)
		if ref.Tree() != "" {
			value = map[string]any{"sample": value}
		}
	}
	field := strings.Split(strings.TrimPrefix(strings.ReplaceAll(ref.Field, "/", "."), "."), ".")
	if ref.Field == "" {
		if _, object := s.values[at].(map[string]any); !object || ok {
			s.values[at] = value
		}
		return
	}
	object, isObject := s.values[at].(map[string]any)
	if !isObject {
		object = map[string]any{}
		s.values[at] = object
	}
	for _, name := range field[:len(field)-1] {
		inner, isObject := object[name].(map[string]any)
		if !isObject {
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	object[field[len(field)-1]] = value
}

// text is a plaintext as it is stored.
func text(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	b, _ := json.Marshal(value) // it came out of JSON
	return string(b)
}

// put stores the value of ref's source and returns ref as it finds it there.
func (s *store) put(ref refsyntax.Ref, again bool) (refsyntax.Ref, error) {
	st, value := s.server.Region(cmp.Or(ref.Region, s.region)), s.values[source(ref)]
	name, isSecret := iam.ReferenceSecret(ref.ID)
	switch {
	case ref.Scheme == refsyntax.KMS:
		context := ref.EncryptionContext()
		if ref.Context == refsyntax.ContextConsole {
			context = map[string]string{"LambdaFunctionName": s.function}
		}
		ref.Key = ""
		ref.ID = string(st.Encrypt(st.CreateKey(), []byte(text(value)), context))
	case isSecret:
		_, version := st.PutSecret(name, text(value))
		if ref.Version != "" {
			ref.Version = version
		}
	case ref.Scheme == refsyntax.SecretsManager:
		name := ref.ID
		if i := strings.Index(name, ":secret:"); i >= 0 {
			if name = name[i+len(":secret:"):]; iam.FullSecretARN(name) {
				name = name[:len(name)-7]
			}
		}
		arn, version := st.PutSecret(name, text(value))
		if strings.HasPrefix(ref.ID, "arn:") {
			ref.ID = arn
		}
		if ref.Version != "" {
			ref.Version = version
		}
		if ref.Stage != "" && ref.Stage != "AWSCURRENT" && !again {
			st.MoveStage(name, ref.Stage, version)
			st.PutSecret(name, text(value))
		}
	case ref.Tree() != "":
		object, ok := value.(map[string]any)
		if !ok {
			return ref, fmt.Errorf("the value of a tree of parameters is a JSON object: relative names and values")
		}
		for name, v := range object {
			st.PutParameter(endpoint.Parameter{Name: ref.Tree() + name, Type: "SecureString", Value: text(v)})
		}
	default:
		p := endpoint.Parameter{Name: ref.ID, Type: "SecureString", Value: text(value)}
		if f := strings.SplitN(ref.ID, ":", 6); len(f) == 6 {
			p.Name, p.Account, p.Tier = strings.TrimPrefix(f[5], "parameter"), f[4], "Advanced"
		}
		version := st.PutParameter(p)
		for n, _ := strconv.ParseInt(ref.Version, 10, 64); version < n && n <= 100; {
			version = st.PutParameter(p)
		}
		if ref.Version == "" && ref.Stage != "" && !again {
			st.LabelParameter(p.Name, version, ref.Stage)
		}
	}
	return ref, nil
}

// rotates says why a variable has no value that can be rotated.
func (s *store) rotates(variable string) error {
	switch ref, ok := s.refs[variable]; {
	case !ok:
		return fmt.Errorf("-rotate %s: the environment has no such reference; it has %s", variable,
			strings.Join(slices.Sorted(maps.Keys(s.refs)), ", "))
	case ref.Fixed():
		return fmt.Errorf("-rotate %s: a ciphertext and a pinned version never change", variable)
	}
	return nil
}

// rotate gives the source of a variable another value.
func (s *store) rotate(variable string) error {
	ref := s.refs[variable]
	at := source(ref)
	s.values[at] = rotated(s.values[at])
	_, err := s.put(ref, true)
	return err
}

// rotated changes every string of a value.
func rotated(value any) any {
	switch v := value.(type) {
	case string:
		return v + "-rotated"
	case map[string]any:
		changed := map[string]any{}
		for name, inner := range v {
			changed[name] = rotated(inner)
		}
		return changed
	}
	return value
}
