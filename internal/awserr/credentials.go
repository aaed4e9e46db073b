package awserr

import (
	"cmp"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// credentialMarks begin the texts of the SDK's errors about credentials, of all its versions.
var credentialMarks = []string{
	"get identity: ", "get credentials: ", "failed to retrieve credentials",
}

// credentialError returns the part of err that is about getting the credentials, or nil
// if the service itself was called. The SDK marks it by words alone.
func credentialError(err error) error {
	for inner := err; inner != nil; inner = unwrap(inner) {
		for _, mark := range credentialMarks {
			if strings.HasPrefix(inner.Error(), mark) {
				return inner
			}
		}
	}
	return nil
}

// stepServices are the services that give credentials, as the SDK calls them, with
// their IAM prefixes.
var stepServices = map[string]string{
	"STS": "sts", "SSO": "sso", "SSO OIDC": "sso-oauth", "Signin": "signin",
}

// stepName returns the operation that failed in a credential step, such as
// "sts:AssumeRole", or "" where no service was called.
func stepName(err error) string {
	name := ""
	for inner := err; inner != nil; inner = unwrap(inner) {
		if op, ok := inner.(*smithy.OperationError); ok {
			if service, known := stepServices[op.ServiceID]; known {
				name = service + ":" + op.OperationName // the innermost: roles may be chained
			}
		}
	}
	return name
}

// credentialStep takes over what err says of the step that was to bring the
// credentials. What happened between here and STS or IAM Identity Center is told as it
// is; a failure of who gives credentials on this machine is told as credentials that
// are missing.
func (e *Error) credentialStep(blob string, err error) {
	e.Step = stepName(err)
	e.answered(blob, err)
	if e.Code != "" && e.Step != "" {
		return
	}
	said := strings.TrimSuffix(e.Code+": "+e.Message, ": ")
	e.Code, e.Message, e.Fault = "", "", smithy.FaultUnknown
	e.locally(err)
	if reason := missingCredentials(err); reason != "" {
		e.Step, e.Reason, e.Words = "", reason, words(err)
	} else if e.Step == "" || e.Reason == Foreign {
		e.Reason, e.Words = NoCredentials, said
		if said == "" && e.Status == 0 {
			e.Words = words(err)
		}
	}
	var answer *smithyhttp.ResponseError
	if e.Status != 0 && errors.As(err, &answer) {
		e.Host = askedHost(answer)
	}
	if e.Step == "" {
		e.RequestID = "" // not AWS's
		if e.Status != 0 {
			e.Host = cmp.Or(e.Host, containerHost())
		}
	}
}

// missingCredentials says what is missing on this machine, or "".
func missingCredentials(err error) Reason {
	text := err.Error()
	has := func(s string) bool { return strings.Contains(text, s) }
	var command interface{ ExitCode() int } // of *exec.ExitError
	var file *fs.PathError
	switch {
	case has("SSO token"), has("SSO session"), has("please reauthenticate"):
		return LoginExpired
	case errors.As(err, &command), has("credential_process"), has("process provider error"):
		return CommandFailed
	case errors.As(err, &file), has("unable to read file"), has("failed to read " +
		"authorization token"):
		return CredentialsFile
	}
	return ""
}

// containerHost returns the host that gives a container its credentials. The SDK's
// error does not name it.
func containerHost() string {
	u, err := url.Parse(os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
	if err == nil && u.Host != "" {
		return Clip(u.Host, 100)
	}
	if os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" {
		return "169.254.170.2"
	}
	return ""
}

// askedHost returns the host that gave an answer.
func askedHost(err *smithyhttp.ResponseError) string {
	if err.Response == nil || err.Response.Response == nil {
		return ""
	}
	r := err.Response.Request
	if r == nil || r.URL == nil {
		return ""
	}
	return Clip(r.URL.Host, 100)
}
