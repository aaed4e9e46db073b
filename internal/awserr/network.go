package awserr

import (
	"cmp"
	"net"
	"net/http"
	"strings"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// What to do where no answer of the service's API came.
const (
	setRegion = "set AWS_REGION, or state ?region= in the reference"
	login     = "log in again: aws sso login (aws login where the profile uses it), " +
		"with the profile that AWS_PROFILE names"
	proxies = "see HTTPS_PROXY and NO_PROXY (.amazonaws.com there keeps AWS's hosts " +
		"out of the proxy)"
)

// byReason is the advice that depends on nothing else.
var byReason = [...]struct {
	reason Reason
	advice string
}{
	{NoRegion, setRegion},
	{BadRegion, "write AWS_REGION as in eu-west-1, without blanks or quotes; it is read as " +
		"it stands"},
	{Endpoints, "see AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT, AWS_ENDPOINT_URL and " +
		"AWS_REGION: leave out the one that the text names"},
	{NoEndpoint, "write AWS_ENDPOINT_URL, or BaseEndpoint in the aws.Config, as " +
		"http://HOST:PORT"},
	{NotLoaded, "mend the file or the variable that is named; AWS_PROFILE names a profile " +
		"in AWS_CONFIG_FILE (~/.aws/config), AWS_CA_BUNDLE a file of certificates, " +
		"AWS_ROLE_ARN the role for AWS_WEB_IDENTITY_TOKEN_FILE; on Lambda leave them unset"},
	{LoginExpired, login},
	{CommandFailed, "run the credential_process of the profile by hand: it must print JSON " +
		"and exit with 0; what it wrote to standard error is on this process's"},
	{CredentialsFile, "see AWS_WEB_IDENTITY_TOKEN_FILE, " +
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE and the profile: the file must be there " +
		"and readable for this process's user"},
	{OpenFiles, "the limit is RLIMIT_NOFILE (ulimit -n; 1,024 on Lambda): look for " +
		"connections or files that are not closed; neither DNS nor AWS is at fault"},
	{NoRoots, "this image has no CA certificates: install ca-certificates, or name a file " +
		"of them in AWS_CA_BUNDLE"},
	{CertificateTime, "set this machine's clock by NTP (a container takes its host's), or " +
		"renew the certificate if it is your own endpoint's"},
	{CertificateHost, "something else answers under that name: see the DNS, HTTPS_PROXY " +
		"and AWS_ENDPOINT_URL; a VPC endpoint needs its own DNS name"},
	{ProxyFailed, proxies + ", and whether the proxy is up"},
	{ProxyRefused, proxies + ", and whether the proxy lets this function through; 407 " +
		"(authentication required) asks for http://USER:PASSWORD@HOST:PORT"},
	{ProxyBroken, proxies + ", and what the proxy's log says; it is retried automatically"},
	{ProxyTimeout, proxies + ", and whether the proxy lets this function through"},
	{ProxyURL, "write HTTPS_PROXY as http://HOST:PORT; special characters in a password " +
		"are percent-encoded"},
	{DNSTimeout, "see the DNS server that is named: in a VPC the resolver is at the second " +
		"address of its range, and enableDnsSupport must be on"},
	{DNSFailed, "see the DNS server that is named, and the rules of the resolver that it " +
		"forwards to; the name may well exist"},
}

// unanswered is the advice where there was no answer of the service's API.
func (c *Case) unanswered() string {
	for _, r := range byReason {
		if r.reason == c.Reason {
			return r.advice
		}
	}
	if c.Step == "" && !c.awsHost() {
		return c.ownEndpoint()
	}
	switch c.Reason {
	case Handshake:
		return "something between here and AWS does not speak TLS 1.2 or newer: see " +
			"HTTPS_PROXY, and who answers there"
	case Broken:
		return retried + "; if it stays, see whether anything between here and AWS " +
			"cuts connections, such as a NAT gateway or a proxy"
	case Timeout, GivenUp, Refused, NoRoute:
		if c.Reason == Timeout && c.Status != 0 {
			break // the way to AWS is open
		}
		return "a function in a VPC needs a way to AWS: a NAT gateway, or the VPC " +
			"endpoint " + c.vpcEndpoint() +
			" with private DNS and a security group that lets in 443 from the function's"
	case UnknownHost:
		return "check that Region " + c.Region + " exists" + c.variant() + ", and the VPC's DNS: " +
			"enableDnsSupport, and private DNS on the endpoint " + c.vpcEndpoint()
	case Certificate:
		return "something between here and AWS answers with a certificate of its " +
			"own: name its CA in AWS_CA_BUNDLE, or keep the proxy out (NO_PROXY)"
	case Foreign:
		if c.Status < http.StatusInternalServerError {
			return elsewhere + ", and who answers there"
		}
		return retried + "; if it stays, " + elsewhere
	}
	return retried
}

// noCredentials is the advice where nobody gave credentials.
func (c *Case) noCredentials() string {
	if c.Error.Host != "" {
		return "see who answers there: the role of the task (ECS), the pod (EKS) or the " +
			"instance (EC2), and the variables AWS_CONTAINER_…"
	}
	return "on Lambda the function's role provides them; elsewhere set AWS_PROFILE, or " +
		"AWS_ACCESS_KEY_ID and its like"
}

// ownEndpoint is the advice where an endpoint was configured and it is not AWS's.
func (c *Case) ownEndpoint() string {
	const own = "this is not AWS's own endpoint: see AWS_ENDPOINT_URL, or " +
		"BaseEndpoint in the aws.Config, and "
	switch {
	case c.Reason == Certificate:
		return own + "name the CA of its certificate in AWS_CA_BUNDLE"
	case c.Reason == Handshake:
		return own + "write http:// if it has no TLS; else it has to speak TLS 1.2 or " +
			"newer, without a client's certificate"
	case c.Status != 0:
		return own + "who answers there"
	}
	return own + "whether it is up"
}

// variant names the setting that asks for another host than the usual.
func (c *Case) variant() string {
	host := c.hostname()
	switch {
	case strings.Contains(host, "-fips."):
		return " and has a FIPS endpoint (AWS_USE_FIPS_ENDPOINT)"
	case strings.Contains(host, ".api."):
		return " and has a dual-stack endpoint (AWS_USE_DUALSTACK_ENDPOINT)"
	}
	return ""
}

// awsHost reports whether the host that was asked is AWS's, or not known.
func (c *Case) awsHost() bool {
	_, ok := arn.CutDomain(c.hostname())
	return ok || c.Host == ""
}

func (c *Case) hostname() string {
	if host, _, err := net.SplitHostPort(c.Host); err == nil {
		return host
	}
	return c.Host
}

// vpcEndpoint names the VPC endpoint of the service that did not answer.
func (c *Case) vpcEndpoint() string {
	service, _, _ := strings.Cut(cmp.Or(c.Step, c.Operation), ":")
	if strings.Contains(c.hostname(), "-fips.") {
		service += "-fips"
	}
	return "com.amazonaws." + c.Region + "." + service
}

// step is the advice where a service that gives credentials refused them.
func (c *Case) step() string {
	service, _, _ := strings.Cut(c.Step, ":")
	class := Classify(c.Step, c.Code, "", 0)
	switch {
	case class == Throttled:
		return "this is " + strings.ToUpper(service) + "'s own quota, per account " +
			"and Region, not the secret's: let processes share and keep their " +
			"credentials; it is retried automatically"
	case service != "sts":
		return login
	case class == AccessDenied:
		return c.assumeRole()
	case c.Status >= http.StatusInternalServerError:
		return retried
	case Credentials(c.Code) && !strings.HasSuffix(c.Step, "Identity"): // no token's
		return "the credentials to assume the role with: " + credentialAdvice(c.Code)
	}
	return "see the role and the token that the profile, or AWS_ROLE_ARN and " +
		"AWS_WEB_IDENTITY_TOKEN_FILE, name"
}

// assumeRole is the advice where STS denies a role. It says the same whether the
// caller's policy or the role's trust policy lacks the permission.
func (c *Case) assumeRole() string {
	role := cmp.Or(c.Resource(), "the role")
	if !strings.HasSuffix(c.Step, ":AssumeRole") {
		return "let the trust policy of " + role + " allow " + c.Step +
			" to the token's provider, and check its conditions (aud, sub)"
	}
	return "both are needed: allow " + cmp.Or(c.after("User: "), "the caller") +
		" sts:AssumeRole on " + role +
		" in its own policy, and name it as Principal in the role's trust policy"
}
