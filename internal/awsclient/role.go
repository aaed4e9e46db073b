package awsclient

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
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
