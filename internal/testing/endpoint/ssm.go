package endpoint

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/iam"
)

// Parameter is what PutParameter takes.
type Parameter struct {
	Name  string
	Type  string // String, StringList or SecureString; default String, or that of the version before
	Value string // at most 4096 bytes, 8192 in the advanced tier
	KeyID string // of a SecureString: key ID, ARN or alias; default alias/aws/ssm
	Tier  string // Standard or Advanced; default Standard

	// Account, if not this server's, makes it a parameter that another account shares: in the advanced tier, and to be
	// asked for by its full ARN only. Its KeyID is a key of this server nevertheless.
	Account string
}

type parameter struct {
	name, arn string
	versions  []*parameterVersion // oldest first, at most 100
}

type parameterVersion struct {
	number   int64
	kind     string
	value    string // of String and StringList
	sealed   []byte // of SecureString: a KMS blob under key with the parameter's ARN as context
	key      *key
	advanced bool
	labels   []string
	modified time.Time
}

// PutParameter makes a parameter, or a new version of it, and returns the version's number.
func (st *Store) PutParameter(p Parameter) (version int64) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	version, err := st.put(p)
	must(err)
	return version
}

func (st *Store) put(p Parameter) (int64, error) {
	if p.Tier == "" {
		p.Tier = "Standard"
	}
	scope, limit, at := st.scope, 4096, p.Name
	if p.Tier == "Advanced" {
		limit = 8192
	}
	if p.Account != "" && p.Account != scope.Account {
		scope.Account = p.Account
		at = scope.ParameterARN(p.Name)
	}
	first, _, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(p.Name, "/")), "/")
	switch {
	case !wellFormed(p.Name):
		return 0, malformed()
	case strings.HasPrefix(first, "aws") && !strings.HasPrefix(p.Name, "/aws/service/"):
		return 0, errorf("ValidationException", "No access to reserved parameter name: %s.", p.Name)
	case p.Value == "":
		return 0, invalid("", "value", "Member must have length greater than or equal to 1")
	case len(p.Value) > limit:
		return 0, errorf("ValidationException",
			"%s tier parameters support a maximum parameter value of %d characters.", p.Tier, limit)
	case p.Tier != "Standard" && p.Tier != "Advanced":
		return 0, invalid(p.Tier, "tier", "Member must satisfy enum value set: [Standard, Advanced]")
	}
	old := st.parameters[at]
	if old == nil {
		old = &parameter{name: p.Name, arn: scope.ParameterARN(p.Name)}
	}
	v := &parameterVersion{number: 1, kind: p.Type, advanced: p.Tier == "Advanced", modified: st.server.now()}
	if n := len(old.versions); n > 0 {
		v.number = old.versions[n-1].number + 1
		if v.kind == "" {
			v.kind = old.versions[n-1].kind
		}
	}
	switch v.kind {
	case "", "String":
		v.kind, v.value = "String", p.Value
	case "StringList":
		v.value = p.Value
	case "SecureString":
		if p.KeyID == "" {
			p.KeyID = "alias/aws/ssm"
		}
		k, err := st.findKey(p.KeyID)
		if err == nil {
			err = k.usable()
		}
		if err != nil {
			return 0, invalidKeyID(err)
		}
		v.key, v.sealed = k, k.seal([]byte(p.Value), map[string]string{"PARAMETER_ARN": old.arn})
	default:
		return 0, invalid(v.kind, "type", "Member must satisfy enum value set: [String, StringList, SecureString]")
	}
	old.versions = append(old.versions, v)
	if len(old.versions) > 100 {
		// AWS refuses instead when the oldest one is labelled; no client of ours writes that many.
		old.versions = old.versions[1:]
	}
	st.parameters[at] = old
	return v.number, nil
}

// LabelParameter attaches labels to a version, taking them from the version that has them.
func (st *Store) LabelParameter(name string, version int64, labels ...string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	must(st.label(name, version, labels))
}

var labelForm = regexp.MustCompile(`^[A-Za-z_.-][A-Za-z0-9_.-]{0,99}$`)

func (st *Store) label(name string, version int64, labels []string) error {
	p := st.parameters[name]
	if p == nil {
		return &Error{Code: "ParameterNotFound"}
	}
	i := slices.IndexFunc(p.versions, func(v *parameterVersion) bool { return v.number == version })
	if i < 0 {
		return versionNotFound(name, strconv.FormatInt(version, 10))
	}
	v := p.versions[i]
	for _, l := range labels {
		lower := strings.ToLower(l)
		if !labelForm.MatchString(l) || strings.HasPrefix(lower, "aws") || strings.HasPrefix(lower, "ssm") {
			return errorf("ValidationException", "Label %s is invalid.", l)
		}
		for _, other := range p.versions {
			other.labels = slices.DeleteFunc(other.labels, func(have string) bool { return have == l })
		}
		v.labels = append(v.labels, l)
	}
	if len(v.labels) > 10 {
		return errorf("ParameterVersionLabelLimitExceeded", "A parameter version can have a maximum of ten labels.")
	}
	return nil
}

// DeleteParameter removes a parameter with all its versions; its name counts from 1 again. Removing an absent one
// panics.
func (st *Store) DeleteParameter(name string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	must(st.remove(name))
}

func (st *Store) remove(name string) error {
	if st.parameters[name] == nil {
		return &Error{Code: "ParameterNotFound"}
	}
	delete(st.parameters, name)
	return nil
}

// parameterOutput is the Parameter of all three read operations.
type parameterOutput struct {
	ARN              string
	DataType         string
	LastModifiedDate json.Number
	Name             string
	Selector         string `json:",omitempty"`
	SourceResult     string `json:",omitempty"`
	Type             string
	Value            string
	Version          int64
}

// asked is one name of a request, parsed.
type asked struct {
	text     string // as sent
	name     string // key into the store's parameters
	base     string // without selector, as sent otherwise
	selector string // without its colon
	hasSel   bool
	bad      bool // malformed
}

var nameForm = regexp.MustCompile(`^(/?[A-Za-z0-9_.-]+|(/[A-Za-z0-9_.-]+)+)$`)

// wellFormed checks the grammar of a bare name: a name with a slash begins with one, and has at most 15 levels.
func wellFormed(name string) bool {
	return nameForm.MatchString(name) && strings.Count(name, "/") <= 15 && len(name) <= 1011 &&
		!strings.HasPrefix(strings.ToLower(strings.TrimPrefix(name, "/")), "ssm")
}

func (st *Store) ask(text string) asked {
	a := asked{text: text}
	base := strings.TrimSpace(text) // the service strips them
	rest := base
	if strings.HasPrefix(base, "arn:") {
		f := strings.SplitN(base, ":", 6)
		path, ok := "", len(f) == 6 && f[2] == "ssm" && f[3] == st.scope.Region
		if ok {
			path, ok = strings.CutPrefix(f[5], "parameter/")
		}
		if !ok {
			a.bad, a.base = true, base
			return a
		}
		rest = path
	}
	// Whether AWS takes a selector behind an ARN is unverified; here it does.
	rest, a.selector, a.hasSel = strings.Cut(rest, ":")
	a.base = base
	if a.hasSel {
		a.base = strings.TrimSuffix(base, ":"+a.selector)
	}
	a.name = rest
	if strings.HasPrefix(base, "arn:") {
		f := strings.SplitN(base, ":", 6)
		if f[4] != st.scope.Account && f[4] != "" {
			a.name = a.base // another account's, stored by ARN
			return a
		}
		// parameter/a stands for a and for /a.
		if st.parameters[rest] == nil || strings.Contains(rest, "/") {
			a.name = "/" + rest
		}
	}
	_, reference := iam.ReferenceSecret(a.name)
	a.bad = a.hasSel && a.selector == "" || !reference && !wellFormed(a.name)
	return a
}

func malformed() error {
	return errorf("ValidationException", `Parameter name: can't be prefixed with "ssm" (case-insensitive). If formed `+
		`as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of `+
		`letters, numbers and the following 3 symbols .-_`)
}

func versionNotFound(name, selector string) error {
	kind := "label"
	if _, err := strconv.ParseInt(selector, 10, 64); err == nil {
		kind = "version"
	}
	return errorf("ParameterVersionNotFound",
		"Systems Manager could not find %s %s of %s. Verify the %s and try again.", kind, selector, name, kind)
}

// invalidKeyID wraps what KMS said, in the form of the service's Java exceptions.
func invalidKeyID(err error) error {
	var e *Error
	errors.As(err, &e)
	return errorf("InvalidKeyId", "%s (Service: Kms, Status Code: 400, Request ID: %s)", e.Message, uuid())
}

// permit checks access to one name. A malformed one has no ARN of its own: the check falls on arn:…:*, so that people
// with ordinary policies see AccessDenied and only those allowed everything learn that the name is malformed. That both
// answers come from AWS is reported; that this is what decides between them is inferred.
func (r *request) permit(a asked) error {
	if a.bad {
		arn := strings.TrimSuffix(r.store.scope.ParameterARN(""), "parameter") + "*"
		return r.authorize(r.op, arn, nil)
	}
	arn := r.store.scope.ParameterARN(a.base)
	if err := r.authorize(r.op, arn, nil); err != nil {
		return err
	}
	if f := strings.SplitN(arn, ":", 6); f[4] != r.store.scope.Account && f[4] != "" &&
		r.store.parameters[a.name] == nil {
		return r.denied(r.op, arn, "because no resource-based policy allows the "+r.op+" action")
	}
	if id, ok := iam.ReferenceSecret(a.name); ok {
		return r.authorizeSecret("secretsmanager:GetSecretValue", id)
	}
	return nil
}

// fetch finds one permitted name and decrypts it. Not found is ParameterNotFound or ParameterVersionNotFound.
func (r *request) fetch(a asked, decrypt bool) (*parameterOutput, error) {
	if a.bad {
		return nil, malformed()
	}
	if id, ok := iam.ReferenceSecret(a.name); ok {
		return r.fetchReference(a, id, decrypt)
	}
	p := r.store.parameters[a.name]
	if p == nil {
		return nil, &Error{Code: "ParameterNotFound"}
	}
	v := p.versions[len(p.versions)-1]
	if a.hasSel {
		number, err := strconv.ParseInt(a.selector, 10, 64)
		i := slices.IndexFunc(p.versions, func(v *parameterVersion) bool {
			return err == nil && v.number == number || slices.Contains(v.labels, a.selector)
		})
		if i < 0 {
			return nil, versionNotFound(p.name, a.selector)
		}
		v = p.versions[i]
	}
	out, err := r.render(p, v, decrypt)
	if err == nil && a.hasSel {
		out.Selector = ":" + a.selector
	}
	return out, err
}

// render makes the answer for one version. Asked by ARN or by name, Name is the bare name; for a parameter another
// account shares that is unverified.
func (r *request) render(p *parameter, v *parameterVersion, decrypt bool) (*parameterOutput, error) {
	out := &parameterOutput{
		ARN: p.arn, DataType: "text", LastModifiedDate: seconds(v.modified), Name: p.name, Type: v.kind, Value: v.value,
		Version: v.number,
	}
	switch {
	case v.kind != "SecureString":
		r.plaintexts++
	case !decrypt && v.advanced:
		// The advanced tier stores an AWS Encryption SDK message, which KMS cannot decrypt: version 1, type 128.
		message := make([]byte, 20)
		rand.Read(message)
		message = append([]byte{1, 0x80, 3, 0x78}, message...)
		out.Value = base64.StdEncoding.EncodeToString(append(message, v.sealed...))
	case !decrypt:
		out.Value = base64.StdEncoding.EncodeToString(v.sealed)
	default:
		plaintext, err := r.unseal(p, v)
		if err != nil {
			return nil, err
		}
		r.plaintexts++
		out.Value = string(plaintext)
	}
	return out, nil
}

// unseal decrypts on the caller's behalf: under the default key that needs no permission, under any other kms:Decrypt.
func (r *request) unseal(p *parameter, v *parameterVersion) ([]byte, error) {
	context := map[string]string{"PARAMETER_ARN": p.arn}
	if !v.key.managed {
		kms := *r
		kms.via = "ssm"
		if err := kms.authorizeKey(v.key, context); err != nil {
			return nil, errorf("AccessDeniedException", "%s (Service: AWSKMS; Status Code: 400; Error Code: "+
				"AccessDeniedException; Request ID: %s; Proxy: null)", unreachable().Message, uuid())
		}
	}
	if _, err := r.store.existing(v.key, v.key.id); err != nil {
		return nil, invalidKeyID(err)
	}
	if err := v.key.usable(); err != nil {
		return nil, invalidKeyID(err)
	}
	b, err := parseBlob(v.sealed)
	if err != nil {
		return nil, err
	}
	return v.key.open(b, context)
}

// fetchReference reads a secret through Parameter Store. An ARN instead of a name collides with the selector's colon
// and is not found; what AWS says to it is unverified.
func (r *request) fetchReference(a asked, id string, decrypt bool) (*parameterOutput, error) {
	if !decrypt {
		return nil, errorf("ValidationException",
			"WithDecryption flag must be True for retrieving a Secret Manager secret.")
	}
	in := getSecretInput{SecretId: id}
	if a.hasSel {
		if versionID.MatchString(a.selector) {
			in.VersionId = &a.selector
		} else {
			in.VersionStage = &a.selector
		}
	}
	sec, v, err := r.store.secretVersion(in)
	var e *Error
	if errors.As(err, &e) && e.Code == "ResourceNotFoundException" {
		return nil, errorf("ParameterNotFound",
			"An error occurred (ParameterNotFound) when referencing Secrets Manager: Secret %s not found.", a.text)
	}
	if err == nil {
		err = r.unlock(sec, v)
	}
	if err != nil {
		return nil, err
	}
	r.plaintexts++
	value := sec.output(v)
	source, err := json.Marshal(value)
	must(err)
	out := &parameterOutput{
		ARN: sec.arn, DataType: "text", LastModifiedDate: seconds(v.created),
		Name:         "/aws/reference/secretsmanager/" + id,
		SourceResult: string(source), Type: "SecureString", Version: 0,
	}
	if value.SecretString != nil {
		out.Value = *value.SecretString
	} else {
		out.Value = base64.StdEncoding.EncodeToString(value.SecretBinary) // unverified for binary secrets
	}
	if a.hasSel {
		out.Selector = ":" + a.selector
	}
	return out, nil
}

type getParameterInput struct {
	Name           string
	Names          []string
	WithDecryption bool
}

func (r *request) getParameter(in getParameterInput) (any, error) {
	if err := length(in.Name, "name", 1, 2048); err != nil {
		return nil, err
	}
	a := r.store.ask(in.Name)
	if err := r.permit(a); err != nil {
		return nil, err
	}
	out, err := r.fetch(a, in.WithDecryption)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Parameter": out}, nil
}

// getParameters is all or nothing in access and in grammar: that one denied name denies the call is widely reported,
// and unverified for a denial of one parameter's KMS key.
func (r *request) getParameters(in getParameterInput) (any, error) {
	if err := count(in.Names, "names", 1, 10); err != nil {
		return nil, err
	}
	var all []asked
	for _, name := range in.Names {
		if err := length(name, "names", 1, 2048); err != nil {
			return nil, err
		}
		a := r.store.ask(name)
		if err := r.permit(a); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(b asked) bool { return a.text == b.text }) {
			all = append(all, a)
		}
	}
	found, missing := []*parameterOutput{}, []string{}
	for _, a := range all {
		out, err := r.fetch(a, in.WithDecryption)
		var e *Error
		switch {
		case err == nil:
			found = append(found, out)
		case errors.As(err, &e) && (e.Code == "ParameterNotFound" || e.Code == "ParameterVersionNotFound"):
			missing = append(missing, a.text)
		default:
			return nil, err
		}
	}
	slices.SortStableFunc(found, func(a, b *parameterOutput) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(missing)
	return map[string]any{"Parameters": found, "InvalidParameters": missing}, nil
}

type getByPathInput struct {
	Path             string
	Recursive        bool
	WithDecryption   bool
	MaxResults       *int
	NextToken        string
	ParameterFilters []parameterFilter
}

// parameterFilter is one of GetParametersByPath's filters, of which the endpoint knows Label alone.
type parameterFilter struct {
	Key, Option string
	Values      []string
}

// labelOf returns the label that the filters ask for, or "".
func labelOf(filters []parameterFilter) (string, error) {
	if len(filters) == 0 {
		return "", nil
	}
	f := filters[0]
	switch {
	case len(filters) > 1 || f.Key != "Label":
		return "", errorf("InvalidFilterKey", "The embedded endpoint knows the filter Label alone.")
	case f.Option != "" && f.Option != "Equals":
		return "", errorf("InvalidFilterOption", "The filter Label takes the option Equals alone.")
	case len(f.Values) != 1 || !labelForm.MatchString(f.Values[0]):
		return "", errorf("InvalidFilterValue", "The filter Label takes one label.")
	}
	return f.Values[0], nil
}

// labelled returns the version that has the label, or nil; the newest one if there is no label.
func (p *parameter) labelled(label string) *parameterVersion {
	if label == "" {
		return p.versions[len(p.versions)-1]
	}
	for _, v := range p.versions {
		if slices.Contains(v.labels, label) {
			return v
		}
	}
	return nil
}

// getParametersByPath is authorized once, on the path as sent with its trailing slash.
func (r *request) getParametersByPath(in getByPathInput) (any, error) {
	if err := length(in.Path, "path", 1, 2048); err != nil {
		return nil, err
	}
	arn := r.store.scope.ParameterARN(in.Path)
	if err := r.authorize(r.op, arn, nil); err != nil {
		return nil, err
	}
	path := strings.TrimSuffix(in.Path, "/")
	if !strings.HasPrefix(in.Path, "/") || path != "" && !wellFormed(path) {
		return nil, errorf("ValidationException", `The parameter doesn't meet the parameter name requirements. The `+
			`parameter name must begin with a forward slash "/". It can't be prefixed with "aws" or "ssm" `+
			`(case-insensitive). It must use only letters, numbers, or the following symbols: . (period), - `+
			`(hyphen), _ (underscore). Special characters are not allowed. All sub-paths, if specified, must use `+
			`the forward slash symbol "/". Valid example: /get/parameters2-/by1./path0_.`)
	}
	label, err := labelOf(in.ParameterFilters)
	if err != nil {
		return nil, err
	}
	size := 10
	if in.MaxResults != nil {
		if size = *in.MaxResults; size < 1 || size > 10 {
			return nil, invalid(size, "maxResults", "Member must have value between 1 and 10")
		}
	}
	start := 0
	if in.NextToken != "" {
		token, err := base64.StdEncoding.DecodeString(in.NextToken)
		if n, _ := fmt.Sscanf(string(token), "from %d", &start); err != nil || n != 1 || start < 0 {
			return nil, errorf("InvalidNextToken", "The specified token is not valid.")
		}
	}
	var below []*parameter
	for name, p := range r.store.parameters {
		rest, ok := strings.CutPrefix(name, path+"/")
		if ok && (in.Recursive || !strings.Contains(rest, "/")) && p.labelled(label) != nil {
			below = append(below, p)
		}
	}
	slices.SortFunc(below, func(a, b *parameter) int { return strings.Compare(a.name, b.name) })
	start = min(start, len(below))
	end := min(start+size, len(below))
	page := []*parameterOutput{}
	for _, p := range below[start:end] {
		// That one key denied fails the page is unverified.
		out, err := r.render(p, p.labelled(label), in.WithDecryption)
		if err != nil {
			return nil, err
		}
		if label != "" {
			out.Selector = ":" + label // that it comes back here is unverified
		}
		page = append(page, out)
	}
	answer := map[string]any{"Parameters": page}
	if end < len(below) {
		answer["NextToken"] = nextToken(end)
	}
	return answer, nil
}

func nextToken(from int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "from %d", from))
}

// emptyPage answers GetParametersByPath as the API may: nothing yet, and a token that continues where the request was.
func (r *request) emptyPage() (any, error) {
	var in getByPathInput
	if err := json.Unmarshal(r.body, &in); err != nil {
		return nil, &Error{Code: "SerializationException"}
	}
	if err := r.authorize(r.op, r.store.scope.ParameterARN(in.Path), nil); err != nil {
		return nil, err
	}
	if in.NextToken == "" {
		in.NextToken = nextToken(0)
	}
	return map[string]any{"Parameters": []any{}, "NextToken": in.NextToken}, nil
}

type putParameterInput struct {
	Name, Type, Value, KeyId, Tier string
	Overwrite                      bool
}

func (r *request) putParameter(in putParameterInput) (any, error) {
	if err := r.authorize(r.op, r.store.scope.ParameterARN(in.Name), nil); err != nil {
		return nil, err
	}
	switch {
	case r.store.parameters[in.Name] != nil && !in.Overwrite:
		return nil, errorf("ParameterAlreadyExists",
			"The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	case r.store.parameters[in.Name] == nil && in.Type == "":
		return nil, errorf("ValidationException", "A parameter type is required when you create a parameter.")
	}
	version, err := r.store.put(Parameter{Name: in.Name, Type: in.Type, Value: in.Value, KeyID: in.KeyId,
		Tier: in.Tier})
	if err != nil {
		return nil, err
	}
	tier := in.Tier
	if tier == "" {
		tier = "Standard"
	}
	return map[string]any{"Version": version, "Tier": tier}, nil
}

type labelInput struct {
	Name             string
	ParameterVersion *int64
	Labels           []string
}

func (r *request) labelParameterVersion(in labelInput) (any, error) {
	if err := r.authorize(r.op, r.store.scope.ParameterARN(in.Name), nil); err != nil {
		return nil, err
	}
	p := r.store.parameters[in.Name]
	if p == nil {
		return nil, &Error{Code: "ParameterNotFound"}
	}
	version := p.versions[len(p.versions)-1].number
	if in.ParameterVersion != nil {
		version = *in.ParameterVersion
	}
	if err := r.store.label(in.Name, version, in.Labels); err != nil {
		return nil, err
	}
	return map[string]any{"ParameterVersion": version, "InvalidLabels": []string{}}, nil
}

func (r *request) deleteParameter(in getParameterInput) (any, error) {
	if err := r.authorize(r.op, r.store.scope.ParameterARN(in.Name), nil); err != nil {
		return nil, err
	}
	return struct{}{}, r.store.remove(in.Name)
}
