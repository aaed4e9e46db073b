package endpoint

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// simulation is the answer of iam:SimulatePrincipalPolicy.
type simulation struct {
	XMLName xml.Name     `xml:"https://iam.amazonaws.com/doc/2010-05-08/ SimulatePrincipalPolicyResponse"`
	Members []evaluation `xml:"SimulatePrincipalPolicyResult>EvaluationResults>member"`
}

type evaluation struct{ EvalActionName, EvalResourceName, EvalDecision string }

// simulate judges by the identity policies of the roles of [Server.AddRole].
func (r *request) simulate() (any, error) {
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return nil, errorf("MalformedInput", "the body is not a query")
	}
	arn := form.Get("PolicySourceArn")
	if err := r.authorize(r.op, arn, nil); err != nil {
		return nil, err
	}
	role := r.server.roles[arn]
	if role == nil {
		return nil, &Error{Status: http.StatusNotFound, Code: "NoSuchEntity", Message: "The role with name " +
			arn[strings.LastIndexByte(arn, '/')+1:] + " cannot be found."}
	}
	keys := map[string][]string{}
	for i := 1; form.Has(entry(i, "ContextKeyName")); i++ {
		name := form.Get(entry(i, "ContextKeyName"))
		keys[name] = members(form, entry(i, "ContextKeyValues"))
	}
	var out simulation
	for _, action := range members(form, "ActionNames") {
		for _, resource := range members(form, "ResourceArns") {
			out.Members = append(out.Members, evaluation{action, resource, role.policy.decide(action, resource, keys)})
		}
	}
	return &out, nil
}

// decide returns the simulator's word for what p says.
func (p *policy) decide(action, resource string, keys map[string][]string) string {
	decision := "implicitDeny"
	if p == nil {
		return "allowed"
	}
	for _, st := range p.Statement {
		switch {
		case !st.matches(action, resource, keys):
		case st.Effect == "Deny":
			return "explicitDeny"
		default:
			decision = "allowed"
		}
	}
	return decision
}

func entry(i int, field string) string {
	return "ContextEntries.member." + strconv.Itoa(i) + "." + field
}

// members reads a list of the form.
func members(form url.Values, name string) (all []string) {
	for i := 1; form.Has(name + ".member." + strconv.Itoa(i)); i++ {
		all = append(all, form.Get(name+".member."+strconv.Itoa(i)))
	}
	return all
}
