package fleet

import (
	cryptorand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// run runs s in a bubble and prints its figures. The tests of this package are not parallel: run
// seeds the source of the library's jitter, crypto/rand, which is one for the process, so that the
// same scenario gives the same figures, but for what depends on the order of goroutines within one
// instant.
func run(t *testing.T, s Scenario) (r *Report) {
	t.Helper()
	if len(s.Starts) > 1 && !*fleets && !*full {
		t.Skip("a fleet takes seconds: .ci/run fleet, or -fleets")
	}
	before := cryptorand.Reader
	defer func() { cryptorand.Reader = before }()
	cryptorand.Reader = &seeded{chacha: rand.NewChaCha8([32]byte{byte(s.Seed)})}
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = Run(s); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%s  %-22s %v", r, "simulated in", time.Since(began).Round(time.Millisecond))
	return r
}

type seeded struct {
	mu     sync.Mutex
	chacha *rand.ChaCha8
}

func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chacha.Read(p)
}

// thousand is the fleet of most tests here: 1,000 environments that start over 10 s.
func thousand(name string) Scenario {
	return Scenario{
		Name:       name,
		Starts:     Burst(1000, 10*time.Second, 1),
		Length:     time.Minute,
		Parameters: 5,
		Secrets:    3,
		Quotas:     Default(),
	}
}

// allReady checks that every environment had everything within its timeout, and that none crashed.
func allReady(t *testing.T, r *Report) {
	t.Helper()
	if n := r.InTime(); n != len(r.Environments) {
		t.Errorf("%d of %d environments resolved within the function's timeout", n, len(r.Environments))
	}
	if n := r.Count(func(e Environment) int { return e.Crashes }); n != 0 {
		t.Errorf("%d crashes in init", n)
	}
}

func perEnvironment(r *Report) float64 {
	return float64(total(r.Calls(""))) / float64(len(r.Environments))
}

func TestFleet_ThousandStartsOnDefaultQuota(t *testing.T) {
	s := thousand("start, 40/s")
	library := run(t, s)
	allReady(t, library)
	// Calls that leave no token lying about take 1,000 ÷ 40 = 25 s; the last environment began
	// after 10.
	if ready := library.Ready(); Quantile(ready, 1) > 25*time.Second {
		t.Errorf("the last environment was ready after %v", Quantile(ready, 1))
	}
	s.Name, s.Client = "start, 40/s, a call per name", PerName
	naive := run(t, s)
	t.Logf(
		"calls per environment: %.1f, a client with a call per name and the SDK's retries %.1f",
		perEnvironment(library),
		perEnvironment(naive),
	)
	if perEnvironment(naive) < 3*perEnvironment(library) {
		t.Error("the client to compare with does suspiciously well")
	}
}

func TestFleet_OutageOfParameterStore(t *testing.T) {
	for name, hang := range map[string]bool{"503": false, "no answer": true} {
		t.Run(name, func(t *testing.T) {
			s := thousand("outage, " + name)
			s.Every, s.Length = 15*time.Second, 20*time.Minute
			s.Outages = []Outage{{Service: "ssm", From: 7 * time.Minute, To: 17 * time.Minute, Hang: hang}}
			recovers(t, run(t, s), 40)
		})
	}
}

// recovers checks what an outage may do to warm environments.
func recovers(t *testing.T, r *Report, quota float64) {
	t.Helper()
	allReady(t, r)
	if n := r.Count(func(e Environment) int { return e.Failed }); n != 0 {
		t.Errorf("%d reads failed in environments that were warm", n)
	}
	if r.Count(func(e Environment) int { return e.Stale }) == 0 {
		t.Error("no read was stale: there was no outage")
	}
	n := float64(len(r.Environments))
	limit := time.Duration(1.5*n/quota*float64(time.Second)) + 30*time.Second
	t.Logf("recovered after %v, limit %v", round(r.Recovery()), round(limit))
	if r.Recovery() == 0 || r.Recovery() > limit {
		t.Errorf("recovery took %v, more than %v", r.Recovery(), limit)
	}
}

func TestFleet_RefreshesSpread(t *testing.T) {
	s := thousand("steady")
	s.Every, s.Length, s.Quotas = 10*time.Second, 20*time.Minute, HighThroughput()
	r := run(t, s)
	// A thousand are too few to see 1.4 times the mean beside Poisson's own peak: TestScale has ten
	// thousand. A fleet in step stands at 8 times the mean.
	const factor = 1.4
	for _, service := range []string{"ssm:", "secretsmanager:"} {
		bins := Bins(r.Calls(service), 5*time.Minute, r.Scenario.Length, 10*time.Second)
		rounds := mean(bins)
		if service == "secretsmanager:" {
			rounds /= float64(r.Scenario.Secrets) // they leave together: rounds are what falls independently
		}
		over, own := peak(bins)/mean(bins), PoissonPeak(rounds, len(bins))
		t.Logf(
			"%s 10 s bins from the second TTL on: mean %.0f, peak %.0f, %.2f times the mean; Poisson's own %.2f",
			service,
			mean(bins),
			peak(bins),
			over,
			own,
		)
		if over > factor*own {
			t.Errorf("%s the peak is %.2f times the mean, more than %.2f", service, over, factor*own)
		}
	}
}

func TestFleet_RotationReachesEveryone(t *testing.T) {
	s := thousand("rotation")
	s.Every, s.Length, s.Rotated, s.Quotas = 10*time.Second, 15*time.Minute, 7*time.Minute, HighThroughput()
	for _, refused := range []bool{false, true} {
		s.Refused = refused
		r := run(t, s)
		took := r.Durations(func(e Environment) time.Duration { return e.Rotated })
		t.Logf(
			"refused %v: the new version everywhere after p50 %v, p99 %v, max %v",
			refused,
			round(Quantile(took, .5)),
			round(Quantile(took, .99)),
			round(Quantile(took, 1)),
		)
		limit := 5*time.Minute + 15*time.Second // the TTL, and the longest pause between two invocations
		if refused {
			limit = 30 * time.Second // the invocation that is refused, and the next, which reads what it found
		}
		if len(took) != len(s.Starts) || Quantile(took, 1) > limit {
			t.Errorf(
				"%d of %d environments read the new version, the last after %v, limit %v",
				len(took),
				len(s.Starts),
				Quantile(took, 1),
				limit,
			)
		}
		if n := r.Count(func(e Environment) int { return e.Refused }); n != 0 {
			t.Errorf("%d invocations were left with the refused credential", n)
		}
	}
}

// Where refreshes and cold starts together want all that the quota has, refreshes must give way:
// they have something to serve.
func TestFleet_ColdStartsGoFirst(t *testing.T) {
	s := Scenario{
		Name:       "a full quota",
		Starts:     Poisson(1.5, 20*time.Minute, 1),
		Life:       10 * time.Minute,
		Length:     20 * time.Minute,
		Every:      15 * time.Second,
		Parameters: 5,
		Secrets:    3,
		Quotas:     Quotas{"ssm": 5},
	}
	r := run(t, s)
	failed := r.Count(func(e Environment) int { return count(e.WarmFailed) })
	if total(r.Throttled("ssm:")) == 0 {
		t.Error("nothing was throttled: the quota was not full")
	}
	if 100*failed > len(s.Starts) {
		t.Errorf("%d of %d warms failed, more than 1 %%", failed, len(s.Starts))
	}
}

// The simulation is worth what its calls are worth: for the same references the real backends have
// to make the same ones.
func TestFleet_CallsAreThoseOfBackends(t *testing.T) {
	for _, tt := range []struct {
		parameters, secrets int
		batch               bool
	}{{1, 1, false}, {5, 3, false}, {25, 25, false}, {1, 1, true}, {21, 41, true}} {
		t.Run(
			fmt.Sprintf("%d parameters, %d secrets, batch %v", tt.parameters, tt.secrets, tt.batch),
			func(t *testing.T) {
				s := Scenario{
					Starts:     []time.Duration{0},
					Length:     time.Second,
					Parameters: tt.parameters,
					Secrets:    tt.secrets,
					Batch:      tt.batch,
					Quotas:     Default(),
				}
				r := run(t, s)
				server := endpoint.New(endpoint.Options{})
				defer server.Close()
				url, err := server.Start()
				if err != nil {
					t.Fatal(err)
				}
				store := server.Region("eu-west-1")
				for _, ref := range r.Scenario.refs {
					if ref.Scheme() == secrets.SSM {
						store.PutParameter(
							endpoint.Parameter{Name: ref.ID(), Type: "SecureString", Value: "plaintext"},
						)
					} else {
						store.PutSecret(ref.ID(), "plaintext")
					}
				}
				opts := []secrets.Option{
					secrets.WithEnviron(r.Scenario.environ),
					secrets.WithAWSConfig(aws.Config{Region: "eu-west-1", BaseEndpoint: &url,
						Credentials: credentials.NewStaticCredentialsProvider(
							"AKIDEXAMPLE",
							"secret-access-key",
							"",
						)}),
				}
				if tt.batch {
					opts = append(opts, secrets.WithBatchGetSecretValue())
				}
				env, err := secrets.New(opts...)
				if err != nil {
					t.Fatal(err)
				}
				if err := env.Warm(t.Context()); err != nil {
					t.Fatal(secrets.Detail(err))
				}
				calls := 0
				for op, record := range r.account.record {
					simulated := 0
					for _, b := range record {
						simulated += b[admitted]
					}
					calls += simulated
					if real := server.Count(op); real != simulated {
						t.Errorf("%s: %d simulated calls, %d real ones", op, simulated, real)
					}
				}
				if real := len(server.Calls()); real != calls {
					t.Errorf("%d simulated calls, %d real ones", calls, real)
				}
			},
		)
	}
}
