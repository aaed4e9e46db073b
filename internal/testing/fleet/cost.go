package fleet

import "strings"

// List prices in US dollars, us-east-1, without free tiers and volume discounts. docs/scale.md says
// where they come from, and what is an assumption.
const (
	// Parameter Store with higher throughput, per parameter in an answered call; without it: free
	priceInteraction = 0.05 / 10_000
	priceSecret      = 0.05 / 10_000 // Secrets Manager, per secret in an answered call
	priceDecrypt     = 0.03 / 10_000 // KMS, per SecureString and per secret under a customer managed key
	priceTrail       = 2.0 / 100_000 // CloudTrail, per management event in each copy after the first
	priceGuard       = 4.0 / 1e6     // GuardDuty, per management event it analyses
)

// A Cost is in US dollars.
type Cost struct {
	SSM, SecretsManager, KMS float64
	Trail                    float64 // of a second copy of the events; the first is free
	Guard                    float64
}

// Total returns the sum without the second trail.
func (c Cost) Total() float64 { return c.SSM + c.SecretsManager + c.KMS + c.Guard }

// Cost returns what the calls of the whole run cost, per million invocations. Cold starts are in
// it; storage is not.
func (r *Report) Cost() Cost {
	a := r.account
	each := 1e6 / float64(max(1, r.Invocations()+len(r.Ready())))
	var c Cost
	events := 0
	for op, record := range a.record {
		for _, b := range record {
			events += b[admitted] + b[throttled]
		}
		switch values := float64(a.values[op]); service(op) {
		case "ssm":
			if _, standard := r.Scenario.Quotas["ssm"]; !standard {
				c.SSM += values * priceInteraction
			}
		case "secretsmanager":
			c.SecretsManager += values * priceSecret
			if strings.HasSuffix(op, "BatchGetSecretValue") {
				events += a.values[op] // CloudTrail gets an event for each secret besides
			}
		case "kms":
			c.KMS += values * priceDecrypt
		}
	}
	decrypted := total(a.decrypt)
	events += decrypted // made on the caller's behalf, and recorded like its own
	c.KMS += float64(decrypted) * priceDecrypt
	c.Trail, c.Guard = float64(events)*priceTrail, float64(events)*priceGuard
	for _, x := range []*float64{&c.SSM, &c.SecretsManager, &c.KMS, &c.Trail, &c.Guard} {
		*x *= each
	}
	return c
}

func service(op string) string {
	s, _, _ := strings.Cut(op, ":")
	return s
}
