package endpoint

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Error is an answer other than success.
type Error struct {
	Status  int    // HTTP status; 0 means 400
	Code    string // goes into __type
	Message string // left out when empty, as KMS and Parameter Store do
	Extra   map[string]any
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// The Smithy models give some of these errors other statuses (KMS NotFoundException 404, DisabledException 409). On the
// wire every client error of an awsJson1.1 service is a 400; recordings of AWS agree. Only server faults differ.
func errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// request is a parsed request on its way to its operation.
type request struct {
	server *Server
	store  *Store
	op     string // "ssm:GetParameter"
	id     string // request ID
	body   []byte
	policy *policy // of the caller; nil: everything is allowed
	caller string  // ARN, as denials name it
	role   string  // ARN of the caller's role
	via    string  // service that calls KMS on the caller's behalf: "ssm", "secretsmanager" or ""

	plaintexts int // values that the answer holds
}

// operation answers a request. It runs under Server.mu and must not wait.
type operation func(*request) (any, error)

// typed adapts a function over its own input type.
func typed[In any](f func(*request, In) (any, error)) operation {
	return func(r *request) (any, error) {
		var in In
		if err := json.Unmarshal(r.body, &in); err != nil {
			return nil, &Error{Code: "SerializationException"}
		}
		return f(r, in)
	}
}

var services = map[string]string{"TrentService": "kms", "AmazonSSM": "ssm", "secretsmanager": "secretsmanager"}

// queryServices are those of the query protocol, by the version that their requests state.
var queryServices = map[string]string{"2011-06-15": "sts", "2010-05-08": "iam"}

func speaksQuery(service string) bool { return service == "sts" || service == "iam" }

var operations = map[string]operation{
	"kms:Decrypt":                             typed((*request).decrypt),
	"kms:Encrypt":                             typed((*request).encrypt),
	"kms:DescribeKey":                         typed((*request).describeKey),
	"kms:GetKeyPolicy":                        typed((*request).getKeyPolicy),
	"kms:CreateKey":                           typed((*request).createKey),
	"kms:CreateAlias":                         typed((*request).createAlias),
	"kms:DisableKey":                          typed((*request).disableKey),
	"kms:EnableKey":                           typed((*request).enableKey),
	"kms:ScheduleKeyDeletion":                 typed((*request).scheduleKeyDeletion),
	"ssm:GetParameter":                        typed((*request).getParameter),
	"ssm:GetParameters":                       typed((*request).getParameters),
	"ssm:GetParametersByPath":                 typed((*request).getParametersByPath),
	"ssm:DescribeParameters":                  typed((*request).describeParameters),
	"ssm:PutParameter":                        typed((*request).putParameter),
	"ssm:LabelParameterVersion":               typed((*request).labelParameterVersion),
	"ssm:DeleteParameter":                     typed((*request).deleteParameter),
	"secretsmanager:GetSecretValue":           typed((*request).getSecretValue),
	"secretsmanager:BatchGetSecretValue":      typed((*request).batchGetSecretValue),
	"secretsmanager:CreateSecret":             typed((*request).createSecret),
	"secretsmanager:PutSecretValue":           typed((*request).putSecretValue),
	"secretsmanager:UpdateSecretVersionStage": typed((*request).updateSecretVersionStage),
	"secretsmanager:DeleteSecret":             typed((*request).deleteSecret),
	"secretsmanager:RestoreSecret":            typed((*request).restoreSecret),
	"secretsmanager:DescribeSecret":           typed((*request).describeSecret),
	"secretsmanager:ListSecretVersionIds":     typed((*request).listSecretVersionIds),
	"iam:SimulatePrincipalPolicy":             (*request).simulate,
	"sts:AssumeRole":                          (*request).assumeRole,
}

// maxBody is more than any request of these services may have: 20 secret IDs, or a 65,536-byte secret in base64.
const maxBody = 1 << 20

func (s *Server) serveHTTP(w http.ResponseWriter, hr *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, hr.Body, maxBody))
	if err != nil {
		return // the client is gone, or not one of an AWS service
	}
	now := s.now()
	r := &request{server: s, id: uuid(), body: body}
	service, name, _ := strings.Cut(hr.Header.Get("X-Amz-Target"), ".")
	if prefix, ok := services[service]; ok {
		r.op = prefix + ":" + name
	} else if query, err := url.ParseQuery(string(body)); err == nil && queryServices[query.Get("Version")] != "" {
		service = queryServices[query.Get("Version")]
		r.op = service + ":" + query.Get("Action")
	} else {
		r.op = hr.Header.Get("X-Amz-Target")
	}
	accessKey, region, authErr := credentialScope(hr.Header.Get("Authorization"))

	s.mu.Lock()
	if err := r.identify(accessKey, hr.Header.Get("X-Amz-Security-Token"), region); authErr == nil {
		authErr = err
	}
	call := &Call{
		Time: now, Operation: r.op, Region: region, AccessKeyID: accessKey, Caller: r.caller,
		account: r.store.scope.Account, Resources: r.store.resources(r.op, body),
		UserAgent: hr.UserAgent(), Connection: connOf(hr.Context()).number, Sent: len(body), RequestID: r.id,
	}
	s.calls = append(s.calls, call)
	fault, latency := s.match(call), s.latencyOf(r.op)
	s.mu.Unlock()

	if !sleep(hr.Context(), max(latency, connOf(hr.Context()).roundTrip())) {
		return
	}
	var status int
	var code string
	var answer []byte
	switch {
	case hr.Method != http.MethodPost || hr.URL.Path != "/":
		status, code, answer = http.StatusNotFound, "UnknownOperationException",
			[]byte(`{"__type":"UnknownOperationException"}`)
	default:
		var out any
		err := error(authErr)
		if authErr == nil {
			out, err = s.answer(r, hr, call, fault)
		}
		status, code, answer = encode(r.id, service, out, err)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if speaksQuery(service) {
		w.Header().Set("Content-Type", "text/xml")
	}
	w.Header().Set("X-Amzn-Requestid", r.id)
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat)) // SDKs learn of skewed clocks from it
	if fault != nil {
		if status, answer = fault.spoil(s, w, hr, status, answer); status == 0 {
			return // the fault has answered, or kept from answering
		}
	}
	s.mu.Lock()
	call.Status, call.Code, call.Received, call.Plaintexts = status, code, len(answer), r.plaintexts
	s.mu.Unlock()
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(status)
	w.Write(answer)
}

// answer runs what stands before an operation, in AWS's order as far as clients can tell: signature, throttling, then
// the operation with its access checks.
func (s *Server) answer(r *request, hr *http.Request, call *Call, f *FaultHandle) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f != nil {
		if err := f.refuse(s, hr, call); err != nil {
			return nil, err
		}
	}
	op, ok := operations[r.op]
	if !ok {
		return nil, &Error{Code: "UnknownOperationException"}
	}
	if err := s.throttle(r.op); err != nil {
		return nil, err
	}
	if f != nil && f.fault.Do == EmptyPage && r.op == "ssm:GetParametersByPath" {
		return r.emptyPage()
	}
	return op(r)
}

// encode renders an answer. Secrets Manager writes the capital Message, the others the small one, and access denials
// come capital from all of them.
func encode(id, service string, out any, err error) (status int, code string, body []byte) {
	if err == nil && speaksQuery(service) {
		return encodeQuery(id, out, nil)
	}
	if err == nil {
		body, err = json.Marshal(out)
		must(err) // our own types
		return http.StatusOK, "", body
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Status: http.StatusInternalServerError, Code: "InternalFailure", Message: err.Error()}
	}
	if speaksQuery(service) {
		return encodeQuery(id, nil, e)
	}
	if status = e.Status; status == 0 {
		status = http.StatusBadRequest
	}
	fields := map[string]any{"__type": e.Code}
	for k, v := range e.Extra {
		fields[k] = v
	}
	key := "message"
	if service == "secretsmanager" || e.Code == "AccessDeniedException" {
		key = "Message"
	}
	if e.Message != "" {
		fields[key] = e.Message
	}
	body, err = json.Marshal(fields)
	must(err)
	return status, e.Code, body
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 ` +
	`Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/[^/,\s]+/aws4_request,\s*SignedHeaders=[^,\s]+,\s*Signature=[0-9a-f]{64}$`)

// credentialScope reads who signs and for which Region.
func credentialScope(header string) (accessKey, region string, err *Error) {
	if header == "" {
		return "", "", &Error{Code: "MissingAuthenticationTokenException", Message: "Missing Authentication Token"}
	}
	m := authorization.FindStringSubmatch(header)
	if m == nil {
		// AWS quotes the header here. It holds no secret, but this server's answers end up in test logs; leave it out.
		return "", "", &Error{Code: "IncompleteSignatureException", Message: "Authorization header requires " +
			"'Credential' parameter. Authorization header requires 'Signature' parameter."}
	}
	return m[1], m[2], nil
}

// resources lists what a request asks for, whatever the operation.
func (st *Store) resources(op string, body []byte) []string {
	var in struct {
		Name, Path, SecretId, KeyId string
		Names, SecretIdList         []string
		CiphertextBlob              []byte
	}
	// One member of a wrong type must not hide the others, and Unmarshal carries on after it.
	_ = json.Unmarshal(body, &in)
	var all []string
	if op == "sts:AssumeRole" {
		query, _ := url.ParseQuery(string(body))
		return []string{query.Get("RoleArn")}
	}
	if op == "kms:Decrypt" {
		if b, err := parseBlob(in.CiphertextBlob); err == nil {
			if k := st.keyByRef(b.ref); k != nil {
				return []string{k.arn}
			}
		}
	}
	for _, one := range []string{in.Name, in.Path, in.SecretId, in.KeyId} {
		if one != "" {
			all = append(all, one)
		}
	}
	return append(append(all, in.Names...), in.SecretIdList...)
}

// sleep waits for d unless ctx ends first, and says whether it slept.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// invalid is the model validation's answer, in AWS's words. field is the member's wire name.
func invalid(value any, field, constraint string) *Error {
	shown := ""
	if value != nil {
		shown = fmt.Sprintf(" '%v'", value)
	}
	field = strings.ToLower(field[:1]) + field[1:]
	return errorf("ValidationException",
		"1 validation error detected: Value%s at '%s' failed to satisfy constraint: %s", shown, field, constraint)
}

// length checks a string against the model's limits.
func length(value, field string, min, max int) error {
	switch {
	case len(value) < min:
		return invalid(value, field, fmt.Sprintf("Member must have length greater than or equal to %d", min))
	case len(value) > max:
		return invalid(value, field, fmt.Sprintf("Member must have length less than or equal to %d", max))
	}
	return nil
}

// count does the same for lists, which AWS shows in brackets.
func count(values []string, field string, min, max int) error {
	shown := "[" + strings.Join(values, ", ") + "]"
	switch {
	case len(values) < min:
		return invalid(shown, field, fmt.Sprintf("Member must have length greater than or equal to %d", min))
	case len(values) > max:
		return invalid(shown, field, fmt.Sprintf("Member must have length less than or equal to %d", max))
	}
	return nil
}

func uuid() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// seconds is a timestamp as awsJson1.1 writes it.
func seconds(t time.Time) json.Number {
	return json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64))
}
