package fleet

import (
	"strings"
	"sync"
	"time"
)

// Quotas says how many calls per second AWS admits, by operation ("ssm:GetParameters") or, for all
// Get operations of Parameter Store together, "ssm". What is not listed is not limited.
type Quotas map[string]float64

// Default returns the quotas of an account that changed nothing: 40/s for the three Get operations
// of Parameter Store together, 10,000/s for GetSecretValue, 100/s for BatchGetSecretValue, 10,000/s
// for KMS (some Regions have 20,000 or 100,000). See the pages "endpoints and quotas" of the three
// services in the AWS General Reference.
func Default() Quotas {
	return Quotas{
		"ssm":                                40,
		"secretsmanager:GetSecretValue":      10_000,
		"secretsmanager:BatchGetSecretValue": 100,
		"kms:Decrypt":                        10_000,
	}
}

// HighThroughput returns the quotas after Parameter Store's setting high-throughput-enabled was
// switched on, which makes its calls cost money.
func HighThroughput() Quotas {
	q := Default()
	delete(q, "ssm")
	q["ssm:GetParameter"], q["ssm:GetParameters"], q["ssm:GetParametersByPath"] = 10_000, 1_000, 100
	return q
}

// An Outage is a time in which a service answers no call.
type Outage struct {
	Service  string        // "ssm", "secretsmanager" or "kms"
	From, To time.Duration // since the start of the run
	Hang     bool          // calls end by their time limit; else by a 503 after the usual latency
}

// A verdict is what AWS makes of a call.
type verdict int

const (
	admitted  verdict = iota
	throttled         // by its own quota, or by that of KMS for the values inside
	failed            // in an outage
	verdicts          // how many there are
)

// account is one AWS account in one Region: its quotas, outages and rotations, and the record of
// every call.
type account struct {
	began   time.Time
	quotas  Quotas
	outages []Outage
	rotated time.Duration // when every value changes, or 0: never

	mu      sync.Mutex
	buckets map[string]*bucket
	record  map[string][]bin // operation → second of the run → calls
	decrypt []int            // second of the run → values that KMS decrypted for the other two services
	values  map[string]int   // operation → values that its admitted calls brought
}

// A bin counts the calls of one second, by verdict.
type bin [verdicts]int

// A bucket is a token bucket. AWS publishes rates, not capacities: one second's worth is assumed,
// and that a refused call takes no token.
type bucket struct {
	rate, tokens float64
	filled       time.Duration
}

func newAccount(s Scenario) *account {
	a := &account{
		began:   time.Now(),
		quotas:  s.Quotas,
		outages: s.Outages,
		rotated: s.Rotated,
		buckets: map[string]*bucket{},
		record:  map[string][]bin{},
		values:  map[string]int{},
	}
	for group, rate := range s.Quotas {
		a.buckets[group] = &bucket{rate: rate, tokens: rate}
	}
	return a
}

func (a *account) now() time.Duration { return time.Since(a.began) }

// call makes one call of op for that many values, each encrypted under a KMS key. It does not
// block: latency is its caller's part.
func (a *account) call(op string, values int) (verdict, Outage) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	v := admitted
	service, _, _ := strings.Cut(op, ":")
	outage, out := a.outage(service, now)
	switch {
	case out:
		v = failed
	case !a.take(op, now, 1):
		v = throttled
	case service != "kms" && !a.take("kms:Decrypt", now, values):
		v = throttled // a SecureString is decrypted on the caller's KMS quota
	}
	second := int(now / time.Second)
	for len(a.record[op]) <= second {
		a.record[op] = append(a.record[op], bin{})
	}
	a.record[op][second][v]++
	if v == admitted {
		a.values[op] += values
		if service != "kms" {
			for len(a.decrypt) <= second {
				a.decrypt = append(a.decrypt, 0)
			}
			a.decrypt[second] += values
		}
	}
	return v, outage
}

func (a *account) outage(service string, now time.Duration) (Outage, bool) {
	for _, o := range a.outages {
		if o.Service == service && o.From <= now && now < o.To {
			return o, true
		}
	}
	return Outage{}, false
}

// take takes n tokens from op's bucket, or none.
func (a *account) take(op string, now time.Duration, n int) bool {
	b := a.buckets[op]
	if service, _, _ := strings.Cut(op, ":"); b == nil {
		b = a.buckets[service]
	}
	if b == nil {
		return true
	}
	b.tokens = min(b.rate, b.tokens+b.rate*(now-b.filled).Seconds())
	b.filled = now
	if b.tokens < float64(n) {
		return false
	}
	b.tokens -= float64(n)
	return true
}

// version returns the version of every value at this moment.
func (a *account) version() string {
	if a.rotated > 0 && a.now() >= a.rotated {
		return "2"
	}
	return "1"
}
