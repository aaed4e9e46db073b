package secrets_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

const otherRegion = "us-east-1"

// twoRegions is one endpoint under the host names of AWS, in a bubble. The first Region's hosts are
// dialled by dial, if it is not nil.
func twoRegions(
	t *testing.T, dial func(ctx context.Context) (net.Conn, error),
) (*endpoint.Server, aws.Config) {
	t.Helper()
	s, p := endpoint.New(endpoint.Options{}), endpoint.NewPipe()
	go s.ServeTLS(p)
	t.Cleanup(func() {
		time.Sleep(time.Minute) // a connection that nobody waits for any more is still being made
		s.Close()
	})
	cfg := aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = &tls.Config{RootCAs: s.CertPool()}
			t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dial != nil && strings.Contains(addr, region) {
					return dial(ctx)
				}
				return p.DialContext(ctx, network, addr)
			}
		}),
	}
	return s, cfg
}

// seedBoth puts a thing of each backend into both Regions, and returns references to them.
func seedBoth(s *endpoint.Server) map[string][]string {
	refs := map[string][]string{}
	const both = "?region=" + region + "," + otherRegion
	for i := range 12 {
		name := fmt.Sprint("n", i)
		for _, in := range []string{region, otherRegion} {
			s.Region(in).PutParameter(endpoint.Parameter{Name: "/" + name, Value: in})
			s.Region(in).PutSecret(name, in)
		}
		refs["ssm"] = append(refs["ssm"], "ssm:///"+name+both)
		refs["secretsmanager"] = append(refs["secretsmanager"], "sm://"+name+both)
	}
	// A multi-Region key decrypts the same ciphertext in both. Here only the second Region has it.
	key := s.Region(otherRegion).CreateKey()
	refs["kms"] = []string{kmsRef(s.Region(otherRegion).Encrypt(key, []byte(otherRegion), nil)) + both}
	return refs
}

func failingOver(cfg aws.Config) map[string]secrets.Provider {
	return map[string]secrets.Provider{
		"kms":            secrets.FailingOver(secrets.NewKMS(cfg)),
		"ssm":            secrets.FailingOver(secrets.NewSSM(cfg)),
		"secretsmanager": secrets.FailingOver(secrets.NewSecretsManager(cfg)),
	}
}

func everything(secrets.Ref) bool { return true }

// A dead first Region, in whatever way, costs a second at most.
func TestFailover_DeadRegion(t *testing.T) {
	t.Parallel()
	for name, dead := range map[string]struct {
		dial  func(ctx context.Context) (net.Conn, error)
		fault endpoint.Action
	}{
		"hang":  {fault: endpoint.Hang},
		"reset": {fault: endpoint.CutRST},
		"503":   {fault: endpoint.HTML503},
		"unknown host": {dial: func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
		}},
		"refused": {dial: func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}},
		"silent drop": {dial: func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	} {
		for _, scheme := range []string{"kms", "ssm", "secretsmanager"} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, cfg := twoRegions(t, dead.dial)
					refs := seedBoth(s)[scheme]
					if dead.fault != "" {
						s.Fault(endpoint.Fault{Do: dead.fault, Region: region})
					}
					s.SetLatency("*", 20*time.Millisecond)
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					defer cancel()
					began := time.Now()
					for i, a := range arrivals(t, secrets.WithFailover(ctx, everything), failingOver(cfg)[scheme], refs...) {
						if a.Err != nil || a.Value.Reveal() != otherRegion || a.after > 1500*time.Millisecond {
							t.Errorf("%s: %v after %v", refs[i], a.Err, a.after)
						} else if secrets.ResultRegion(a.Result) != otherRegion {
							t.Errorf("%s is not marked", refs[i])
						}
					}
					if took := time.Since(began); took > 1500*time.Millisecond {
						t.Errorf("it returned after %v", took)
					}
					time.Sleep(2 * time.Second) // a dial that nobody waits for ends at its own limit
				})
			})
		}
	}
}

// The second Region is asked after nothing else: not after an answer of 4xx, a throttle, refused
// credentials; not where the cache has a value; not without its word at all.
func TestFailover_NeverAsked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault endpoint.Fault
		ctx   func(context.Context) context.Context
		kind  error // nil: the first Region answers
	}{
		{name: "it answers"},
		{name: "not found", fault: endpoint.Fault{Do: endpoint.Fail, Code: "ResourceNotFoundException"}, kind: secrets.ErrNotFound},
		{name: "denied", fault: endpoint.Fault{Do: endpoint.Deny}, kind: secrets.ErrAccessDenied},
		{name: "throttled", fault: endpoint.Fault{Do: endpoint.Throttle}, kind: secrets.ErrThrottled},
		{name: "throttled with 503", fault: endpoint.Fault{Do: endpoint.Fail, Code: "ThrottlingException", Status: 503}, kind: secrets.ErrThrottled},
		{name: "unknown 400", fault: endpoint.Fault{Do: endpoint.Fail, Code: "BrandNewException"}, kind: secrets.ErrUnavailable},
		{name: "expired credentials", fault: endpoint.Fault{Do: endpoint.Fail, Code: "ExpiredTokenException"}, kind: secrets.ErrUnavailable},
		{name: "garbled", fault: endpoint.Fault{Do: endpoint.Garbled}, kind: secrets.ErrUnavailable},
		{name: "a value in hand", fault: endpoint.Fault{Do: endpoint.HTML503}, kind: secrets.ErrUnavailable,
			ctx: func(ctx context.Context) context.Context {
				return secrets.WithFailover(ctx, func(secrets.Ref) bool { return false })
			}},
		{name: "without the cache's word", fault: endpoint.Fault{Do: endpoint.HTML503}, kind: secrets.ErrUnavailable,
			ctx: func(ctx context.Context) context.Context { return ctx }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, cfg := twoRegions(t, nil)
				refs := seedBoth(s)["secretsmanager"]
				if test.fault.Do != "" {
					test.fault.Region = region
					s.Fault(test.fault)
				}
				ctx := secrets.WithFailover(t.Context(), everything)
				if test.ctx != nil {
					ctx = test.ctx(t.Context())
				}
				for _, a := range arrivals(t, ctx, failingOver(cfg)["secretsmanager"], refs...) {
					wantResult(t, a.Result, region, test.kind)
				}
				for _, c := range s.Calls() {
					if c.Region != region {
						t.Fatalf("%s is asked", c.Region)
					}
				}
			})
		})
	}
}

// Nobody waits any more: the second Region is not asked.
func TestFailover_Ended(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, cfg := twoRegions(t, nil)
		refs := seedBoth(s)["secretsmanager"]
		s.Fault(endpoint.Fault{Do: endpoint.Hang, Region: region})
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		for _, a := range arrivals(t, secrets.WithFailover(ctx, everything), failingOver(cfg)["secretsmanager"], refs...) {
			wantResult(t, a.Result, "", secrets.ErrUnavailable)
			if a.after > 600*time.Millisecond || strings.Contains(secrets.Detail(a.Err), "second Region") {
				t.Errorf("%s after %v", secrets.Detail(a.Err), a.after)
			}
		}
	})
}

// A first Region that is slow and answers is taken, if it is first; where both fail, the first
// one's failure is told, with the other's.
func TestFailover_Both(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		first, second time.Duration // how long their answers take
		fault         endpoint.Fault
		want          string
		after         time.Duration
	}{
		{"the first is slow and the second slower", 1200 * time.Millisecond, 500 * time.Millisecond, endpoint.Fault{}, region, 1200 * time.Millisecond},
		{"the first is slower", 1800 * time.Millisecond, 100 * time.Millisecond, endpoint.Fault{}, otherRegion, 1100 * time.Millisecond},
		{"the second has no replica", time.Minute, 100 * time.Millisecond,
			endpoint.Fault{Region: otherRegion, Do: endpoint.Fail, Code: "ResourceNotFoundException"}, "", 2 * time.Second},
		{"the first says no later", 1500 * time.Millisecond, time.Minute,
			endpoint.Fault{Region: region, Do: endpoint.Fail, Code: "ResourceNotFoundException"}, "", 1500 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, cfg := twoRegions(t, nil)
				ref := seedBoth(s)["secretsmanager"][0]
				if test.fault.Do != "" {
					s.Fault(test.fault)
				}
				slow := func(next awshttpDoer) doing {
					return func(r *http.Request) (*http.Response, error) {
						d := test.second
						if strings.Contains(r.URL.Host, region) {
							d = test.first
						}
						if err := pause(r.Context(), min(d, 2*time.Second)); err != nil {
							return nil, err
						}
						if d > 2*time.Second {
							return nil, &net.OpError{Op: "read", Err: syscall.ETIMEDOUT}
						}
						return next.Do(r)
					}
				}
				cfg.HTTPClient = slow(cfg.HTTPClient)
				cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				a := arrivals(t, secrets.WithFailover(ctx, everything), failingOver(cfg)["secretsmanager"], ref)[0]
				if d := (a.after - test.after).Abs(); d > 50*time.Millisecond {
					t.Errorf("after %v, want %v", a.after, test.after)
				}
				switch {
				case test.want != "":
					wantResult(t, a.Result, test.want, nil)
				case test.fault.Region == region:
					wantResult(t, a.Result, "", secrets.ErrNotFound)
				default:
					wantResult(t, a.Result, "", secrets.ErrUnavailable)
					if detail := secrets.Detail(a.Err); !strings.Contains(detail, "second Region us-east-1: not found") {
						t.Errorf("%s", detail)
					}
				}
			})
		})
	}
}

type awshttpDoer interface {
	Do(*http.Request) (*http.Response, error)
}

// Whatever either Region does, each reference has exactly one result: its own, or an error.
func TestFailover_Random(t *testing.T) {
	t.Parallel()
	for seed := range 300 {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			random := newRandom(seed)
			p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
				mu.Lock()
				how, wait := random(5), time.Duration(random(3000))*time.Millisecond
				mu.Unlock()
				if err := pause(ctx, wait); err != nil {
					return secrets.Value{}, err
				}
				switch how {
				case 0:
					return secrets.Value{}, secrets.ErrNotFound
				case 1:
					return secrets.Value{}, secrets.RegionalError(ref)
				case 2:
					panic("hunter2")
				}
				return secrets.NewValue(ref.ID()+"@"+ref.Region(), ""), nil
			})
			var texts []string
			for i := range 8 {
				text := fmt.Sprintf("sm://n%d?region=%s", i, region)
				if i%4 != 0 {
					text += "," + otherRegion
				}
				texts = append(texts, text)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random(4000))*time.Millisecond)
			defer cancel()
			ctx = secrets.WithFailover(ctx, func(r secrets.Ref) bool { return r.ID() != "n1" })
			for i, a := range arrivals(t, ctx, secrets.FailingOver(p), texts...) {
				in := region
				if r := secrets.ResultRegion(a.Result); r != "" {
					in = r
				}
				if want := fmt.Sprintf("n%d@%s", i, in); a.Err == nil && a.Value.Reveal() != want {
					t.Errorf("seed %d: %s, want %s", seed, a.Value.Reveal(), want)
				}
				if in != region && (i%4 == 0 || i == 1) {
					t.Errorf("seed %d: n%d came from %s", seed, i, in)
				}
			}
		})
	}
}

// newRandom returns a source of small numbers that depends on the seed alone.
func newRandom(seed int) func(n int) int {
	x := uint64(seed)*2862933555777941757 + 3037000493
	return func(n int) int {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return int(x>>11) % n
	}
}
