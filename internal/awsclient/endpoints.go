package awsclient

import (
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Endpoints calls found for each variable of the environment that states an endpoint which is in force, with its host. Where a configuration is given, which may
// be nil, they are in force only as far as it took them over.
func Endpoints(environ map[string]string, given *aws.Config, found func(variable, host string)) {
	if environ["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] == "true" {
		return
	}
	for _, suffix := range []string{"", "_KMS", "_SSM", "_SECRETS_MANAGER"} {
		name := "AWS_ENDPOINT_URL" + suffix
		text := environ[name]
		if text == "" || given != nil && (given.BaseEndpoint == nil || *given.BaseEndpoint != text) {
			continue
		}
		host := "(not a URL)"
		if u, err := url.Parse(text); err == nil {
			host = u.Host // without user and password
		}
		found(name, host)
	}
}
