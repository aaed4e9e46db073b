package endpoint

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// Role is an IAM role that callers may assume by AssumeRole.
type Role struct {
	ARN string // arn:aws:iam::ACCOUNT:role/NAME; the account need not be this server's
	// Trust is the trust policy: statements of Effect, Action sts:AssumeRole and Principal, which is
	// "*" or {"AWS": one or several of account ids, root ARNs and role ARNs}. "" trusts nobody.
	Trust string
	// Policy is what the role may do, as SetPolicy takes it; "" allows everything.
	Policy string
}

// role is a Role, parsed.
type role struct {
	arn, account, name string
	trust              []trust
	policy             *policy
}

type trust struct {
	Sid       string
	Effect    string
	Action    list[string]
	Principal principals
}

// principals are the callers that a statement is about.
type principals []string

func (p *principals) UnmarshalJSON(b []byte) error {
	if string(b) == `"*"` {
		*p = principals{"*"}
		return nil
	}
	var members struct{ AWS list[string] }
	err := strict(b, &members)
	*p = principals(members.AWS)
	return err
}

// A session is what AssumeRole gave somebody.
type session struct {
	role    *role
	caller  string // ARN of the assumed role with its session name, as CloudTrail shows it
	token   string
	expires time.Time
}

var roleForm = regexp.MustCompile(`^arn:[a-z-]+:iam::([0-9]{12}):role/(?:[!-~]*/)?([A-Za-z0-9+=,.@_-]{1,64})$`)

// AddRole makes a role, or replaces it. Sessions that were given before keep what they were given.
func (s *Server) AddRole(r Role) error {
	m := roleForm.FindStringSubmatch(r.ARN)
	if m == nil {
		return fmt.Errorf("add role: %q is not the ARN of a role", r.ARN)
	}
	parsed := &role{arn: r.ARN, account: m[1], name: m[2]}
	if r.Trust != "" {
		var document struct {
			Version   string
			Statement list[trust]
		}
		if err := strict([]byte(r.Trust), &document); err != nil {
			return fmt.Errorf("read trust policy: %w", err)
		}
		parsed.trust = document.Statement
	}
	var err error
	if parsed.policy, err = parsePolicy(r.Policy); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[r.ARN] = parsed
	return nil
}

// trusts reports whether the trust policy lets in a caller of this account and role.
func (r *role) trusts(account, caller string) bool {
	names := []string{"*", account, "arn:aws:iam::" + account + ":root", caller}
	allowed := false
	for _, st := range r.trust {
		about := slices.ContainsFunc(st.Principal, func(p string) bool { return slices.Contains(names, p) })
		if !about || !slices.Contains(st.Action, "sts:AssumeRole") {
			continue
		}
		if st.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

// identify sets who asks, in which account's store, by the signature's access key. One that was not given by AssumeRole
// is the function's own.
func (r *request) identify(accessKey, token, region string) *Error {
	s := r.server
	r.policy, r.caller = s.policy, fmt.Sprintf("arn:%s:sts::%s:assumed-role/function/function",
		arn.Partition(region), s.account)
	r.store, r.role = s.region(s.account, region), fmt.Sprintf("arn:aws:iam::%s:role/function", s.account)
	given, ok := s.sessions[accessKey]
	switch {
	case !ok && strings.HasPrefix(accessKey, sessionPrefix), ok && given.token != token:
		return &Error{Code: "UnrecognizedClientException",
			Message: "The security token included in the request is invalid."}
	case !ok:
		return nil
	case !s.now().Before(given.expires):
		return &Error{Code: "ExpiredTokenException", Message: "The security token included in the request is expired"}
	}
	r.policy, r.caller, r.role = given.role.policy, given.caller, given.role.arn
	r.store = s.region(given.role.account, region)
	return nil
}

const sessionPrefix = "ASIAENDPOINT"

var sessionForm = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// assumeRole is authorized on both sides: by the caller's own policy, and by the role's trust policy.
func (r *request) assumeRole() (any, error) {
	in, err := url.ParseQuery(string(r.body))
	if err != nil {
		return nil, errorf("MalformedInput", "the body is not a query")
	}
	arn, name := in.Get("RoleArn"), in.Get("RoleSessionName")
	if !sessionForm.MatchString(name) {
		return nil, invalid(name, "roleSessionName", `Member must satisfy regular expression pattern: [\w+=,.@-]*`)
	}
	seconds := 3600
	if text := in.Get("DurationSeconds"); text != "" {
		if n, err := fmt.Sscanf(text, "%d", &seconds); err != nil || n != 1 || seconds < 900 || seconds > 3600 {
			return nil, errorf("ValidationError",
				"The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
		}
	}
	to := r.server.roles[arn]
	if to == nil || !to.trusts(r.store.scope.Account, r.role) || r.authorize("sts:AssumeRole", arn, nil) != nil {
		return nil, &Error{Status: http.StatusForbidden, Code: "AccessDenied", Message: fmt.Sprintf(
			"User: %s is not authorized to perform: sts:AssumeRole on resource: %s", r.caller, arn)}
	}
	key, token := fmt.Sprintf("%s%08d", sessionPrefix, len(r.server.sessions)), uuid()
	given := &session{
		role: to, token: token, expires: r.server.now().Add(time.Duration(seconds) * time.Second),
		caller: fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", to.account, to.name, name),
	}
	r.server.sessions[key] = given
	var out assumeRoleOutput
	out.Result.User.Arn, out.Result.User.ID = given.caller, "AROAENDPOINT:"+name
	out.Result.Credentials.AccessKeyId, out.Result.Credentials.SecretAccessKey = key, "secret-of-"+key
	out.Result.Credentials.SessionToken = token
	out.Result.Credentials.Expiration = given.expires.UTC().Format(time.RFC3339)
	out.Metadata.RequestId = r.id
	return &out, nil
}

type assumeRoleOutput struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
	Result  struct {
		User struct {
			Arn string
			ID  string `xml:"AssumedRoleId"`
		} `xml:"AssumedRoleUser"`
		Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
	} `xml:"AssumeRoleResult"`
	Metadata struct{ RequestId string } `xml:"ResponseMetadata"`
}

// queryError is an error as STS's older protocol writes it.
type queryError struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Error   struct{ Type, Code, Message string }
	ID      string `xml:"RequestId"`
}

// encodeQuery renders an answer of STS.
func encodeQuery(id string, out any, err *Error) (status int, code string, body []byte) {
	if err != nil {
		failed := queryError{ID: id}
		failed.Error.Type, failed.Error.Code, failed.Error.Message = "Sender", err.Code, err.Message
		if status, code, out = err.Status, err.Code, &failed; status == 0 {
			status = http.StatusBadRequest
		}
	} else {
		status = http.StatusOK
	}
	body, encodeErr := xml.Marshal(out)
	must(encodeErr) // our own types
	return status, code, body
}
