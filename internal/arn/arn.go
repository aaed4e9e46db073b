// Package arn takes Amazon Resource Names apart, and knows which partition a Region
// belongs to.
package arn

import "strings"

// SecretParameter begins the names of the parameters by which Parameter Store reads secrets.
const SecretParameter = "/aws/reference/secretsmanager/"

// An ARN is arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE. Region and Account may be
// empty.
type ARN struct{ Partition, Service, Region, Account, Resource string }

// Parse takes text apart. It reports false for a text that is no ARN, or that is cut
// short. It does not check the parts.
func Parse(text string) (ARN, bool) {
	if !Is(text) {
		return ARN{}, false
	}
	f := strings.SplitN(text, ":", 6)
	if len(f) < 6 || f[5] == "" {
		return ARN{}, false
	}
	return ARN{Partition: f[1], Service: f[2], Region: f[3], Account: f[4], Resource: f[5]}, true
}

// String is the inverse of [Parse].
func (a ARN) String() string {
	return strings.Join([]string{
		"arn", a.Partition, a.Service, a.Region, a.Account, a.Resource}, ":")
}

// Is reports whether text begins like an ARN, whole or cut short.
func Is(text string) bool { return strings.HasPrefix(text, "arn:") }

// Region returns the Region that an ARN states, or "" for anything else.
func Region(text string) string {
	a, _ := Parse(text)
	return a.Region
}

// InRegion returns the ARN of the replica in another Region: the same but for the Region.
// A text that is no ARN is returned as it is.
func InRegion(text, region string) string {
	a, ok := Parse(text)
	if !ok {
		return text
	}
	a.Region = region
	return a.String()
}

// Partition returns the partition of the Region, which is aws where its name does not
// tell another.
func Partition(region string) string {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}

var partitions = [...]struct{ prefix, partition string }{
	{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-iso-", "aws-iso"}, {"us-isob-", "aws-iso-b"},
	{"eu-isoe-", "aws-iso-e"}, {"us-isof-", "aws-iso-f"}, {"eusc-", "aws-eusc"},
}

// IsRegion reports whether text has the form of a Region's name, as us-gov-west-1:
// letters, words, a number. Nothing else may become part of a host name: some versions of
// the SDK would send a signed request to x@attacker.example:443/#.
func IsRegion(text string) bool {
	part := strings.Split(text, "-")
	last := len(part) - 1
	if last < 2 || len(text) > 40 {
		return false
	}
	if n := len(part[0]); n < 2 || n > 4 {
		return false
	}
	for _, word := range part[:last] {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	short := part[last] != "" && len(part[last]) <= 2
	return short && IsDigits(part[last])
}

// IsAccount reports whether text has the form of an account's number.
func IsAccount(text string) bool { return len(text) == 12 && IsDigits(text) }

// IsDigits reports whether text is made of digits alone. The empty text is.
func IsDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// IsKey reports whether text is the ARN of a KMS key, rather than of an alias.
func IsKey(text string) bool {
	a, _ := Parse(text)
	id, isKey := strings.CutPrefix(a.Resource, "key/")
	if a.Service != "kms" || !isKey {
		return false
	}
	located := a.Region != "" && a.Account != ""
	return located && id != ""
}

// CutDomain cuts the domain of AWS's own endpoints off a host's name: what is left is
// SERVICE.REGION, or what somebody put below the domain.
func CutDomain(host string) (rest string, ok bool) {
	for _, domain := range []string{ // of each partition, for IPv4 and for both
		".amazonaws.com", ".api.aws",
		".amazonaws.com.cn", ".api.amazonwebservices.com.cn",
		".amazonaws.eu", ".api.amazonwebservices.eu",
		".c2s.ic.gov", ".api.aws.ic.gov",
		".sc2s.sgov.gov", ".api.aws.scloud",
		".cloud.adc-e.uk", ".api.cloud-aws.adc-e.uk",
		".csp.hci.ic.gov", ".api.aws.hci.ic.gov",
	} {
		if rest, ok = strings.CutSuffix(host, domain); ok {
			return rest, true
		}
	}
	return "", false
}
