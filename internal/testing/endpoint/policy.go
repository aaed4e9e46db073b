package endpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// policy is the caller's one identity policy.
type policy struct {
	Version   string
	ID        string `json:"Id"`
	Statement list[statement]
}

type statement struct {
	Sid       string
	Effect    string
	Action    list[string]
	Resource  list[string]
	Condition map[string]map[string]list[string] // operator → key → values
}

// list is JSON's "one or several" of policies.
type list[T any] []T

func (l *list[T]) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var many []T
		err := strict(b, &many)
		*l = many
		return err
	}
	one := make([]T, 1)
	err := strict(b, &one[0])
	*l = one
	return err
}

func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// SetPolicy makes document the only permissions callers have: what it does not allow is denied. It knows Effect,
// Action and Resource with * and ?, and the condition operators StringEquals, StringNotEquals, StringLike and
// StringNotLike, also behind ForAllValues: and ForAnyValue: or with IfExists, and Null, over kms:EncryptionContext:KEY,
// kms:EncryptionContextKeys and kms:ViaService, with ${$}, ${*} and ${?} for these characters. Anything else in it is
// an error, rather than be overlooked. "" allows everything again, which is the default. Key policies and grants are
// taken to allow whatever the policy allows.
func (s *Server) SetPolicy(document string) error {
	p, err := parsePolicy(document)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policy = p
	return nil
}

// parsePolicy parses a document; nil for "".
func parsePolicy(document string) (*policy, error) {
	if document == "" {
		return nil, nil
	}
	p := new(policy)
	if err := strict([]byte(document), p); err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	for i, st := range p.Statement {
		if err := st.check(); err != nil {
			return nil, fmt.Errorf("read policy: statement %d: %w", i+1, err)
		}
	}
	return p, nil
}

func (st statement) check() error {
	if st.Effect != "Allow" && st.Effect != "Deny" {
		return fmt.Errorf("effect %q", st.Effect)
	}
	if len(st.Action) == 0 || len(st.Resource) == 0 {
		return fmt.Errorf("no Action or no Resource")
	}
	for name, keys := range st.Condition {
		if _, ok := operatorOf(name); !ok {
			return fmt.Errorf("condition operator %q is not supported", name)
		}
		for key, values := range keys {
			if slices.ContainsFunc(values, func(v string) bool {
				return strings.Contains(unescaped.Replace(v), "${")
			}) {
				return fmt.Errorf("a policy variable in %q is not supported", key)
			}
			lower := strings.ToLower(key)
			if !strings.HasPrefix(lower, "kms:encryptioncontext:") && lower != "kms:encryptioncontextkeys" &&
				lower != "kms:viaservice" {
				return fmt.Errorf("condition key %q is not supported", key)
			}
		}
	}
	return nil
}

type operator struct {
	all, any bool // the set prefixes
	ifExists bool
	negate   bool
	like     bool
	null     bool
}

// unescape reads what IAM takes for characters that have a meaning in policies. The wildcards among them are matched as
// wildcards here, which no test of ours can tell.
var (
	unescape  = strings.NewReplacer("${$}", "$", "${*}", "*", "${?}", "?")
	unescaped = strings.NewReplacer("${$}", "", "${*}", "", "${?}", "")
)

func operatorOf(name string) (operator, bool) {
	var o operator
	name, o.all = strings.CutPrefix(name, "ForAllValues:")
	name, o.any = strings.CutPrefix(name, "ForAnyValue:")
	name, o.ifExists = strings.CutSuffix(name, "IfExists")
	switch name {
	case "StringEquals":
	case "Null":
		o.null = true
	case "StringNotEquals":
		o.negate = true
	case "StringLike":
		o.like = true
	case "StringNotLike":
		o.like, o.negate = true, true
	default:
		return o, false
	}
	return o, true
}

// holds evaluates one operator on one condition key. values is nil when the request does not carry the key: positive
// operators then fail, negated ones and ForAllValues hold.
func (o operator) holds(want, values []string) bool {
	if o.null {
		return slices.Contains(want, fmt.Sprint(len(values) == 0))
	}
	one := func(v string) bool {
		matched := slices.ContainsFunc(want, func(w string) bool {
			w = unescape.Replace(w)
			return w == v || o.like && glob(w, v)
		})
		return matched != o.negate
	}
	switch {
	case o.all:
		return !slices.ContainsFunc(values, func(v string) bool { return !one(v) })
	case len(values) == 0:
		return o.ifExists || o.negate && !o.any
	case o.any:
		return slices.ContainsFunc(values, one)
	}
	return len(values) == 1 && one(values[0])
}

func (st statement) matches(action, resource string, keys map[string][]string) bool {
	// Actions and condition keys do not mind case, resources do.
	if !slices.ContainsFunc(st.Action, func(a string) bool {
		return glob(strings.ToLower(a), strings.ToLower(action))
	}) ||
		!slices.ContainsFunc(st.Resource, func(r string) bool { return glob(r, resource) }) {
		return false
	}
	for name, conditions := range st.Condition {
		o, _ := operatorOf(name)
		for key, want := range conditions {
			var values []string
			for _, have := range slices.Sorted(maps.Keys(keys)) {
				if strings.EqualFold(have, key) {
					values = keys[have]
				}
			}
			if !o.holds(want, values) {
				return false
			}
		}
	}
	return true
}

// authorize decides as IAM does: an explicit deny wins, then any allow, and the rest is denied.
func (r *request) authorize(action, resource string, keys map[string][]string) error {
	return r.authorizeAs(action, resource, resource, keys)
}

// authorizeAs is authorize for a resource that a denial calls by the name that was sent.
func (r *request) authorizeAs(action, resource, sent string, keys map[string][]string) error {
	p := r.policy
	if p == nil {
		return nil
	}
	allowed := false
	for _, st := range p.Statement {
		if !st.matches(action, resource, keys) {
			continue
		}
		if st.Effect == "Deny" {
			return r.denied(action, sent, "with an explicit deny in an identity-based policy")
		}
		allowed = true
	}
	if !allowed {
		return r.denied(action, sent, "because no identity-based policy allows the "+action+" action")
	}
	return nil
}

func (r *request) denied(action, resource, why string) error {
	return deny(r.caller, action, resource, why)
}

// deny words a denial as AWS does. Actions that take no resource name none.
func deny(caller, action, resource, why string) error {
	text := fmt.Sprintf("User: %s is not authorized to perform: %s", caller, action)
	if resource != "*" {
		text += " on resource: " + resource
	}
	if why != "" {
		text += " " + why
	}
	return errorf("AccessDeniedException", "%s", text)
}

// glob matches * (any run) and ? (any one byte).
func glob(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0: // let the last star take one more
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
