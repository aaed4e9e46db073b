package awsclient

import (
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"

	"github.com/lambdasecrets/secrets/internal/arn"
	"github.com/lambdasecrets/secrets/internal/lambdaenv"
)

// checkEndpoint tells Overridden of an endpoint that is not AWS's own, and refuses plain http
// on Lambda: a request carries the session token, and the answer the secret. It judges the URL
// of the request, since an endpoint can be set in many places: variables, profiles, the
// configuration, its resolvers, middleware.
func (s *Source) checkEndpoint(ctx context.Context, u *url.URL) error {
	// As in the host's name.
	service := strings.ToLower(strings.ReplaceAll(middleware.GetServiceID(ctx), " ", ""))
	if u.Scheme == "https" && isAWS(service, middleware.GetRegion(ctx), u.Hostname(), u.Port()) {
		return nil
	}
	endpoint := u.Scheme + "://" + u.Host // without user, password and path
	_, seen := s.seen.LoadOrStore(service+" "+endpoint, struct{}{})
	if !seen && s.Overridden != nil {
		s.Overridden(ctx, service, endpoint)
	}
	if u.Scheme == "https" || isLoopback(u.Hostname()) {
		return nil
	}
	// The real environment, whatever WithEnviron says.
	if s.AllowHTTP || !lambdaenv.Process().Deployed() {
		return nil
	}
	return &Refusal{
		Problem:   "the endpoint " + endpoint + " is plain http, which is refused on Lambda",
		Hint:      "use https, or state WithInsecureEndpoint if the network is trusted",
		Permanent: true,
	}
}

// isAWS reports whether a host is the public endpoint of a service in a Region, with FIPS or
// without. Others below the same domains are not: anybody can have an API Gateway there.
func isAWS(service, region, host, port string) bool {
	if port != "" && port != "443" {
		return false
	}
	if host == "sts.amazonaws.com" {
		return service == "sts" // which has one for all Regions, too
	}
	name, ok := arn.CutDomain(host)
	return ok && strings.Replace(name, service+"-fips.", service+".", 1) == service+"."+region
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
