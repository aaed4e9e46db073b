package awsclient

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

const (
	// roleDuration is how long the credentials of a role are good: as long as AWS
	// permits where the caller is an assumed role itself, as every function is.
	roleDuration = time.Hour
	// roleRenewal is how long before their end they are renewed, so that none expires
	// on its way.
	roleRenewal = 5 * time.Minute
)

// sessionName is what CloudTrail shows for a use of the role: at most 64 letters, digits
// and +=,.@_-, which every function name is made of.
func sessionName(function string) string {
	name := strings.TrimSuffix(UserAgent+"-"+function, "-")
	return name[:min(len(name), 64)]
}

// assume returns the credentials of a role for the configuration of number seq. It is
// assumed once, whichever service and Region ask.
func (s *Source) assume(cfg aws.Config, seq int, role string) aws.CredentialsProvider {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq != s.rolesOf {
		s.rolesOf, s.roles = seq, map[string]aws.CredentialsProvider{}
	}
	if s.roles[role] == nil {
		client := sts.NewFromConfig(cfg, func(o *sts.Options) { o.ClientLogMode &^= unlogged })
		session := func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.Duration = sessionName(s.Function), roleDuration
		}
		assumed := stscreds.NewAssumeRoleProvider(client, role, session)
		s.roles[role] = aws.NewCredentialsCache(assumed, func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow, o.ExpiryWindowJitterFrac = roleRenewal, 0.5
		})
	}
	return s.roles[role]
}

// addCredentialsCheck makes an answer of STS without credentials an error. The SDK reads what is
// not there, on a goroutine of its own, which ends the process.
func addCredentialsCheck(stack *middleware.Stack) error {
	const id = "lambdasecrets.Credentials"
	if _, has := stack.Initialize.Get(id); has {
		return nil
	}
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc(id, checkCredentials),
		middleware.After)
}

func checkCredentials(
	ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
) (middleware.InitializeOutput, middleware.Metadata, error) {
	out, md, err := next.HandleInitialize(ctx, in)
	if err != nil {
		return out, md, err
	}
	whole := true
	switch r := out.Result.(type) {
	case *sts.AssumeRoleOutput:
		whole = complete(r.Credentials)
	case *sts.AssumeRoleWithWebIdentityOutput:
		whole = complete(r.Credentials)
	}
	if !whole {
		err = &smithy.DeserializationError{Err: errors.New("no credentials in the answer of STS")}
	}
	return out, md, err
}

func complete(c *types.Credentials) bool {
	return c != nil && aws.ToString(c.AccessKeyId) != "" && aws.ToString(c.SecretAccessKey) != "" &&
		c.SessionToken != nil && c.Expiration != nil
}
