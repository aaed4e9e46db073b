package awserr

import "net/http"

// Regional reports whether another Region may answer where this one did not: it
// failed with a 5xx, or was not reached. An answer of 4xx, a throttle among them, and
// what is wrong on this machine, in its configuration or with its credentials would
// be the same elsewhere.
func (e *Error) Regional() bool {
	if e.Step != "" {
		return false
	}
	switch e.Reason {
	case UnknownHost, DNSTimeout, DNSFailed, Timeout, Refused, NoRoute, Broken,
		Certificate, CertificateTime, CertificateHost, ProxyRefused, ProxyTimeout:
		return true
	}
	return e.Status >= http.StatusInternalServerError && e.Class != Throttled
}
