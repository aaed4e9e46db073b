package awsclient

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	smithyendpoints "github.com/aws/smithy-go/endpoints"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// asLambda gives the process the environment of a function, and nothing of this machine's.
func asLambda(t *testing.T, more map[string]string) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-access-key", "AWS_REGION": region,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_SAM_LOCAL": "", "AWS_PROFILE": "",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_SSM": "", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "",
	} {
		t.Setenv(name, value)
	}
	for name, value := range more {
		t.Setenv(name, value)
	}
}

// overridden makes one call and returns what Overridden was told.
func overridden(t *testing.T, s *Source) (told []string, err error) {
	t.Helper()
	s.Overridden = func(_ context.Context, service, endpoint string) { told = append(told, service+" "+endpoint) }
	cfg, _, err := s.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is told once
		err = get(t.Context(), cfg)
	}
	return told, err
}

// An endpoint is seen wherever it was set, since the request is looked at.
func TestEndpoint_OverriddenIsLogged(t *testing.T) {
	s := endpoint.New(endpoint.Options{})
	at, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Region(region).PutParameter(endpoint.Parameter{Name: "/a", Value: "v"})
	given := func(t *testing.T, set ...func(*aws.Config)) *Source {
		cfg, err := config.LoadDefaultConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range set {
			set(&cfg)
		}
		return Fixed(cfg)
	}
	loaded := func(*testing.T) *Source { return Default("") }
	forSSM, profile := map[string]string{"AWS_ENDPOINT_URL_SSM": at}, "[default]\nendpoint_url = "+at+"\n"
	for _, tc := range []struct {
		name    string
		environ map[string]string
		profile string // of the shared configuration file
		source  func(t *testing.T) *Source
	}{
		{"variable", map[string]string{"AWS_ENDPOINT_URL": at}, "", loaded},
		{"service's variable", forSSM, "", loaded},
		{"service's variable, given configuration", forSSM, "", func(t *testing.T) *Source { return given(t) }},
		{"profile", nil, profile, loaded},
		{"profile, given configuration", nil, profile, func(t *testing.T) *Source { return given(t) }},
		{"profile's service", nil, "[default]\nservices = x\n[services x]\nssm =\n  endpoint_url = " + at + "\n",
			func(t *testing.T) *Source { return given(t) }},
		{"BaseEndpoint", nil, "", func(t *testing.T) *Source {
			return given(t, func(c *aws.Config) { c.BaseEndpoint = &at })
		}},
		{"service's option", nil, "", func(t *testing.T) *Source {
			return given(t, func(c *aws.Config) {
				c.ServiceOptions = append(c.ServiceOptions, func(_ string, o any) {
					o.(*ssm.Options).EndpointResolverV2 = resolver(at)
				})
			})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asLambda(t, tc.environ)
			if tc.profile != "" {
				file := filepath.Join(t.TempDir(), "config")
				if err := os.WriteFile(file, []byte(tc.profile), 0o600); err != nil {
					t.Fatal(err)
				}
				t.Setenv("AWS_CONFIG_FILE", file)
			}
			told, err := overridden(t, tc.source(t))
			if err != nil || !slices.Equal(told, []string{"ssm " + at}) {
				t.Errorf("told %q, error %v", told, err)
			}
		})
	}
}

type resolver string

func (r resolver) ResolveEndpoint(context.Context, ssm.EndpointParameters) (smithyendpoints.Endpoint, error) {
	u, err := url.Parse(string(r))
	return smithyendpoints.Endpoint{URI: *u}, err
}

// No alarm where the SDK asks AWS: a variable that it ignores, other services' variables, FIPS and dual stack.
func TestEndpoint_AWSIsNotLogged(t *testing.T) {
	for name, environ := range map[string]map[string]string{
		"nothing":   nil,
		"ignored":   {"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "True"},
		"S3's":      {"AWS_ENDPOINT_URL_S3": "http://localhost:1"},
		"FIPS":      {"AWS_USE_FIPS_ENDPOINT": "true"},
		"IPv6":      {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
		"both":      {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
		"China":     {"AWS_REGION": "cn-north-1", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
		"sovereign": {"AWS_REGION": "eusc-de-east-1"},
		"isolated":  {"AWS_REGION": "us-iso-east-1"},
	} {
		t.Run(name, func(t *testing.T) {
			asLambda(t, environ)
			cfg, err := config.LoadDefaultConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			asked := ""
			cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				asked = r.URL.String()
				return nil, errors.New("not in a test")
			})}
			if told, _ := overridden(t, Fixed(cfg)); len(told) > 0 || asked == "" {
				t.Errorf("asked %q, told %q", asked, told)
			}
		})
	}
}

func TestEndpoint_PlainHTTPOnLambda(t *testing.T) {
	for _, tc := range []struct {
		endpoint string
		environ  map[string]string
		allow    bool
		refused  bool
	}{
		{"http://ssm.test", nil, false, true},
		{"http://169.254.1.1:4566", nil, false, true},
		{"http://localhost.test", nil, false, true},
		{"http://ssm." + region + ".amazonaws.com", nil, false, true},
		{"http://ssm.test", nil, true, false},
		{"http://ssm.test", map[string]string{"AWS_SAM_LOCAL": "true"}, false, false},
		{"http://ssm.test", map[string]string{"AWS_LAMBDA_FUNCTION_NAME": ""}, false, false},
		{"https://ssm.test", nil, false, false},
		{"http://localhost:4566", nil, false, false},
		{"http://ssm.localhost", nil, false, false},
		{"http://127.0.0.1:4566", nil, false, false},
		{"http://[::1]:4566", nil, false, false},
	} {
		t.Run(tc.endpoint, func(t *testing.T) {
			asLambda(t, tc.environ)
			cfg, sent := base(tc.endpoint), 0
			cfg.HTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				sent++
				return nil, &net.OpError{Op: "dial", Err: errors.New("not in a test")}
			})}
			s := Fixed(cfg)
			s.AllowHTTP = tc.allow
			told, err := overridden(t, s)
			if !slices.Equal(told, []string{"ssm " + tc.endpoint}) {
				t.Errorf("told %q", told)
			}
			r := Refused(err)
			if (r != nil) != tc.refused || (sent == 0) != tc.refused {
				t.Errorf("%d requests were sent: %v", sent, err)
			}
			if r != nil && (!r.Permanent || !strings.Contains(r.Problem, tc.endpoint)) {
				t.Errorf("%+v", r)
			}
		})
	}
}
