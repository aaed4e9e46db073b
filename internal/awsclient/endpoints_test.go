package awsclient

import (
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestEndpoints(t *testing.T) {
	t.Parallel()
	both := map[string]string{"AWS_ENDPOINT_URL": "http://user:password@all.test:1", "AWS_ENDPOINT_URL_SSM": "https://ssm.test/path"}
	for _, tc := range []struct {
		name    string
		environ map[string]string
		given   *aws.Config
		want    map[string]string
	}{
		{"none", nil, nil, map[string]string{}},
		{"two", both, nil, map[string]string{"AWS_ENDPOINT_URL": "all.test:1", "AWS_ENDPOINT_URL_SSM": "ssm.test"}},
		{"ignored", map[string]string{"AWS_ENDPOINT_URL": "http://all.test", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, nil, map[string]string{}},
		{"a service of no concern", map[string]string{"AWS_ENDPOINT_URL_S3": "http://s3.test"}, nil, map[string]string{}},
		{"not a URL", map[string]string{"AWS_ENDPOINT_URL_KMS": "http://[::1"}, nil, map[string]string{"AWS_ENDPOINT_URL_KMS": "(not a URL)"}},
		{"a configuration without it", both, &aws.Config{}, map[string]string{}},
		{"a configuration with one of them", both, &aws.Config{BaseEndpoint: aws.String(both["AWS_ENDPOINT_URL_SSM"])}, map[string]string{"AWS_ENDPOINT_URL_SSM": "ssm.test"}},
	} {
		got := map[string]string{}
		Endpoints(tc.environ, tc.given, func(name, host string) { got[name] = host })
		if !maps.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
