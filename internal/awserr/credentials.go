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

// credentialError returns the part of err that is about getting the credentials, or nil
// if the service itself was called: the innermost, for a role is assumed with credentials,
// too. The SDK marks it by words alone; these are those of all its versions.
func credentialError(err error) (found error) {
	for ; err != nil; err = unwrap(err) {
		for _, mark := range []string{
			"get identity: ", "get credentials: ", "failed to retrieve credentials",
		} {
			if strings.HasPrefix(err.Error(), mark) {
				found = err
			}
		}
	}
	return found
}

// stepName returns the operation that failed in a credential step, such as
// "sts:AssumeRole", or "" where no service was called.
func stepName(err error) string {
	name := ""
	for ; err != nil; err = unwrap(err) {
		op, ok := err.(*smithy.OperationError)
		if !ok {
			continue
		}
		switch op.ServiceID {
		case "STS", "SSO", "Signin":
			name = strings.ToLower(op.ServiceID) + ":" + op.OperationName
		case "SSO OIDC":
			name = "sso-oauth:" + op.OperationName
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
	e.answer(blob, err)
	if e.Code != "" && e.Step != "" {
		return
	}
	said := strings.TrimSuffix(e.Code+": "+e.Message, ": ")
	e.Code, e.Message, e.Fault = "", "", smithy.FaultUnknown
	e.locally(err)
	var file *fs.PathError
	switch {
	case e.Reason == LoginExpired, e.Reason == CommandFailed, e.Reason == CredentialsFile:
		e.Step = ""
	case errors.As(err, &file):
		e.Step, e.Reason, e.Words = "", CredentialsFile, words(err)
	case e.Step == "":
		e.noCredentials(said, err)
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil {
		if r := answer.Response.Request; r != nil && e.Status != 0 {
			e.Host = Clip(r.URL.Host, 100)
		}
	}
	if e.Step == "" {
		e.RequestID = "" // not AWS's
		if e.Status != 0 {
			e.Host = cmp.Or(e.Host, containerHost())
		}
	}
}

// noCredentials makes e tell that nobody gave credentials, with what who should have given
// them said.
func (e *Error) noCredentials(said string, err error) {
	switch {
	case said != "" || e.Status != 0:
		e.Words = said
	case e.Reason == Timeout, e.Reason == GivenUp:
		e.Words = "a credential_process, or the endpoint that gives them to a container or an " +
			"instance, does not answer in time"
		e.Host = containerHost()
	case e.Reason == Garbled:
		e.Words = string(Garbled)
		e.Host = containerHost()
	default:
		e.Words = words(err)
	}
	e.Reason = NoCredentials
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
