package secrets_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/secretstest"
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
					for i, a := range arrivals(t, secrets.WithFailover(ctx, everything),
						failingOver(cfg)[scheme], refs...) {
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
		{name: "not found", fault: endpoint.Fault{Do: endpoint.Fail, Code: "ResourceNotFoundException"},
			kind: secrets.ErrNotFound},
		{name: "denied", fault: endpoint.Fault{Do: endpoint.Deny}, kind: secrets.ErrAccessDenied},
		{name: "throttled", fault: endpoint.Fault{Do: endpoint.Throttle}, kind: secrets.ErrThrottled},
		{name: "throttled with 503", fault: endpoint.Fault{Do: endpoint.Fail, Code: "ThrottlingException", Status: 503},
			kind: secrets.ErrThrottled},
		{name: "unknown 400", fault: endpoint.Fault{Do: endpoint.Fail, Code: "BrandNewException"},
			kind: secrets.ErrUnavailable},
		{name: "expired credentials", fault: endpoint.Fault{Do: endpoint.Fail, Code: "ExpiredTokenException"},
			kind: secrets.ErrUnavailable},
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
		for _, a := range arrivals(t, secrets.WithFailover(ctx, everything),
			failingOver(cfg)["secretsmanager"], refs...) {
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
		{"the first is slow and the second slower", 1200 * time.Millisecond, 500 * time.Millisecond, endpoint.Fault{},
			region, 1200 * time.Millisecond},
		{"the first is slower", 1800 * time.Millisecond, 100 * time.Millisecond, endpoint.Fault{}, otherRegion,
			1100 * time.Millisecond},
		{"the second has no replica", time.Minute, 100 * time.Millisecond,
			endpoint.Fault{Region: otherRegion, Do: endpoint.Fail, Code: "ResourceNotFoundException"}, "",
			2 * time.Second},
		{"the first says no later", 1500 * time.Millisecond, time.Minute,
			endpoint.Fault{Region: region, Do: endpoint.Fail, Code: "ResourceNotFoundException"},
			"", 1500 * time.Millisecond},
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
					if detail := secrets.Detail(a.Err); !strings.Contains(detail,
						"second Region us-east-1: not found") {
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

var failovers = flag.Int("failovers", 30, "how many random runs of TestFailover_RandomDays")

// A day of random faults in either Region, rotations and reads: a value is always one that was put under
// its name in the Region that Refs tells, never an older one than the same Region gave before, and not
// one of the second Region where an old value of the first could be served.
func TestFailover_RandomDays(t *testing.T) {
	t.Parallel()
	faults := []endpoint.Fault{
		{Do: endpoint.Hang}, {Do: endpoint.CutRST}, {Do: endpoint.HTML503}, {Do: endpoint.CutSilent},
		{Do: endpoint.Throttle},
		{Do: endpoint.Deny}, {Do: endpoint.Garbled}, {Do: endpoint.Fail, Code: "ResourceNotFoundException"},
	}
	for seed := range *failovers {
		synctest.Test(t, func(t *testing.T) {
			random := newRandom(seed)
			w := newTwinned(t, "ssm", deadRegion{})
			rotate := func(i, version int, in string) {
				text := fmt.Sprintf("%d %s %06d", i, in, version)
				w.server.Region(in).PutParameter(endpoint.Parameter{Name: fmt.Sprint("/n", i), Value: text})
			}
			for i := range 12 {
				rotate(i, 0, region)
				rotate(i, 0, otherRegion)
			}
			seen, first := map[string]string{}, map[string]time.Time{}
			for version := 1; version < 20; version++ {
				f := faults[random(len(faults))]
				f.Region = []string{region, region, otherRegion}[random(3)]
				f.Resource = []string{"", "", "n1"}[random(3)]
				fault := w.server.Fault(f)
				i := random(12)
				rotate(i, version, region)
				rotate(i, version, otherRegion)
				time.Sleep(time.Duration(random(4000)) * time.Second)
				for range 3 {
					i := random(12)
					name := fmt.Sprint("V", i)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random(5000))*time.Millisecond)
					v, err := w.Get(ctx, name)
					cancel()
					if err != nil {
						continue
					}
					refs := w.Refs()
					r := refs[slices.IndexFunc(refs, func(r secrets.RefInfo) bool { return r.Variable == name })]
					if !r.FetchedAt.Equal(v.FetchedAt()) {
						continue // a newer one has come meanwhile
					}
					in := cmp.Or(r.Region, region)
					text, prefix := v.Reveal(), fmt.Sprintf("%d %s ", i, in)
					if !strings.HasPrefix(text, prefix) || text < seen[prefix] {
						t.Fatalf("seed %d: %s is %q after %q, and Refs says %s", seed, name, text, seen[prefix], in)
					}
					seen[prefix] = text
					if in == region {
						first[name] = v.FetchedAt()
					} else if at, ok := first[name]; ok && v.FetchedAt().Sub(at) < 55*time.Minute {
						t.Fatalf("seed %d: %s comes from %s, though %v is old", seed, name, in, v.FetchedAt().Sub(at))
					}
				}
				if random(2) == 0 {
					fault.Remove()
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

// A deadRegion is a way for the first Region to fail. What it does to new connections and to those that
// stand begins and ends with the switch.
type deadRegion struct {
	name  string
	fault endpoint.Action
	dial  func(ctx context.Context) (net.Conn, error)
}

var deadRegions = []deadRegion{
	{name: "hang", fault: endpoint.Hang},
	{name: "reset", fault: endpoint.CutRST},
	{name: "503", fault: endpoint.HTML503},
	{name: "unknown host", fault: endpoint.CutRST, dial: func(context.Context) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
	}},
	{name: "silent drop", fault: endpoint.CutSilent, dial: func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}},
}

// A twinned is an Env whose references state two Regions of one endpoint.
type twinned struct {
	*secrets.Env
	log     *journal
	server  *endpoint.Server
	environ map[string]string
	die     func(bool) // the first Region
	values  map[string]string
}

func newTwinned(t *testing.T, scheme string, dead deadRegion) *twinned {
	t.Helper()
	var isDead atomic.Bool
	p := endpoint.NewPipe()
	s, cfg := twoRegions(t, nil)
	go s.ServeTLS(p)
	cfg.HTTPClient = cfg.HTTPClient.(*awshttp.BuildableClient).WithTransportOptions(func(tr *http.Transport) {
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dead.dial != nil && isDead.Load() && strings.Contains(addr, region) {
				return dead.dial(ctx)
			}
			return p.DialContext(ctx, network, addr)
		}
	})
	s.SetLatency("*", 20*time.Millisecond)
	w := &twinned{server: s, environ: map[string]string{}, values: map[string]string{}}
	for i, text := range seedBoth(s)[scheme] {
		w.environ[fmt.Sprint("V", i)] = text
	}
	if scheme == "kms" {
		key := s.Region(region).CreateKey()
		s.Region(otherRegion).ReplicateKey(key)
		blob := kmsRef(s.Region(region).Encrypt(key, []byte("either"), nil))
		w.environ["V0"] = blob + "?region=" + region + "," + otherRegion
		w.values[region], w.values[otherRegion] = "either", "either"
	} else {
		w.values[region], w.values[otherRegion] = region, otherRegion
	}
	var fault *endpoint.FaultHandle
	w.die = func(yes bool) {
		isDead.Store(yes)
		if yes {
			fault = s.Fault(endpoint.Fault{Do: dead.fault, Region: region})
		} else {
			fault.Remove()
		}
	}
	var logger secrets.Option
	w.log, logger = newJournal()
	w.Env = newEnv(t, cfg, w.environ, logger, secrets.WithClock(secretstest.NewClock().Now),
		secrets.WithTTL(5*time.Minute), secrets.WithMaxStale(time.Hour))
	return w
}

// expect reads every variable within limit, and checks where the values come from.
func (w *twinned) expect(t *testing.T, what, from string, stale bool, limit time.Duration) {
	t.Helper()
	began := time.Now()
	var readers sync.WaitGroup
	for name := range w.environ {
		readers.Go(func() {
			v, err := w.Get(t.Context(), name)
			if err != nil {
				t.Errorf("%s: %s", what, secrets.Detail(err))
			} else if v.Reveal() != w.values[from] || v.Stale() != stale {
				t.Errorf("%s: %s, stale %v, want it from %s", what, v.Reveal(), v.Stale(), from)
			}
		})
	}
	readers.Wait()
	if took := time.Since(began); took > limit {
		t.Errorf("%s: the reads took %v", what, took)
	}
	want := ""
	if from != region {
		want = from
	}
	for _, r := range w.Refs() {
		if r.Region != want {
			t.Errorf("%s: Refs says Region %q of %s, want %q", what, r.Region, r.Variable, want)
		}
	}
}

// asked counts the calls to a Region since the last time.
func (w *twinned) asked(in string) (n int) {
	for _, c := range w.server.Calls() {
		if c.Region == in {
			n++
		}
	}
	w.server.ResetCalls()
	return n
}

// The second Region serves a warm that finds the first one dead, and the first one again from the next
// refresh on.
func TestFailover_Cold(t *testing.T) {
	t.Parallel()
	eachDeadRegion(t, func(t *testing.T, w *twinned) {
		w.die(true)
		began := time.Now()
		if err := w.Warm(t.Context()); err != nil {
			t.Error(secrets.Detail(err))
		}
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("the warm took %v", took)
		}
		w.expect(t, "cold", otherRegion, false, 0)
		n := len(w.environ)
		if lines := w.log.Count("secrets.failover"); lines != n {
			t.Errorf("%d lines, want one for each of %d", lines, n)
		}
		if w.values[region] == w.values[otherRegion] {
			return // what a ciphertext holds is fetched once
		}
		time.Sleep(6 * time.Minute)
		w.asked(otherRegion)
		w.expect(t, "still dead", otherRegion, true, 3*time.Second)
		if n := w.asked(otherRegion); n != 0 {
			t.Errorf("a value is in hand, and the second Region is asked %d times", n)
		}
		time.Sleep(time.Minute)
		w.die(false)
		w.expect(t, "alive", region, false, 3*time.Second)
		if n := w.asked(otherRegion); n != 0 {
			t.Errorf("the first is alive, and the second Region is asked %d times", n)
		}
		if lines := w.log.Count("secrets.failover"); lines != 2*n {
			t.Errorf("%d lines, want one each way for each of %d", lines, n)
		}
	})
}

// An old value is served first; the second Region is asked when that is too old.
func TestFailover_Warm(t *testing.T) {
	t.Parallel()
	eachDeadRegion(t, func(t *testing.T, w *twinned) {
		if err := w.Warm(t.Context()); err != nil {
			t.Fatal(secrets.Detail(err))
		}
		w.expect(t, "healthy", region, false, 0)
		w.die(true)
		if w.values[region] == w.values[otherRegion] {
			w.expect(t, "a plaintext in hand", region, false, 0)
			return // for good: what a ciphertext holds is fetched once
		}
		for range 4 {
			time.Sleep(14 * time.Minute)
			w.expect(t, "an old value in hand", region, true, 5*time.Second)
		}
		if n := w.asked(otherRegion) + w.log.Count("secrets.failover"); n != 0 {
			t.Errorf("it is served, and the second Region is asked %d times", n)
		}
		time.Sleep(10 * time.Minute)
		began := time.Now()
		if err := w.Warm(t.Context()); err != nil {
			t.Error(secrets.Detail(err))
		}
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("the warm took %v", took)
		}
		w.expect(t, "too old", otherRegion, false, 0)
		if lines := w.log.Count("secrets.failover"); lines != len(w.environ) {
			t.Errorf("%d lines, want one for each of %d", lines, len(w.environ))
		}
	})
}

func eachDeadRegion(t *testing.T, f func(t *testing.T, w *twinned)) {
	for _, dead := range deadRegions {
		for _, scheme := range []string{"kms", "ssm", "secretsmanager"} {
			t.Run(dead.name+" "+scheme, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { f(t, newTwinned(t, scheme, dead)) })
			})
		}
	}
}

// A reference that is resolved in code, too, goes to the second Region when its value is too old.
func TestFailover_Resolve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTwinned(t, "ssm", deadRegions[2])
		const one = "sm://n2?region=" + region
		read := func(text, from string, limit time.Duration) {
			t.Helper()
			ref, err := secrets.ParseRef(text)
			if err != nil {
				t.Fatal(err)
			}
			took(t, text, 0, limit, func() {
				v, err := w.Resolve(t.Context(), ref)
				switch {
				case err != nil && from != "", err == nil && v.Reveal() != from:
					t.Errorf("%s: %v, %v, want %q", text, v, err, from)
				}
			})
		}
		const both = "sm://n1?region=" + region + "," + otherRegion
		read(one, region, time.Second)
		read(both, region, time.Second)
		w.die(true)
		time.Sleep(10 * time.Minute)
		read(one, region, 2*time.Second)
		read(both, region, 2*time.Second)
		time.Sleep(2 * time.Hour)
		read(both, otherRegion, 1500*time.Millisecond)
		read(one, "", 11*time.Second) // it waits, and wakes up only when there is something to do
	})
}

// What the first Region refused is not taken from the second when the first is down later; and a value
// of the second keeps its mark while the first refuses it.
func TestFailover_Refused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTwinned(t, "secretsmanager", deadRegions[2])
		w.die(true)
		if err := w.Warm(t.Context()); err != nil {
			t.Fatal(secrets.Detail(err))
		}
		w.die(false)
		deny := w.server.Fault(endpoint.Fault{Do: endpoint.Deny, Region: region})
		time.Sleep(6 * time.Minute)
		w.expect(t, "refused, in its grace", otherRegion, true, 3*time.Second)
		time.Sleep(10 * time.Minute)
		deny.Remove()
		w.die(true)
		w.asked(otherRegion)
		for name := range w.environ {
			if v, err := w.Get(t.Context(), name); err == nil {
				t.Errorf("%s: %v", name, v)
			}
		}
		if n := w.asked(otherRegion); n != 0 {
			t.Errorf("the second Region is asked %d times", n)
		}
	})
}

// In one round with an old value, only what has none is asked of the second Region.
func TestFailover_OnlyWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		var mu sync.Mutex
		var second []string
		p := secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
			switch {
			case ref.Region() == otherRegion:
				mu.Lock()
				defer mu.Unlock()
				second = append(second, ref.ID())
			case down.Load():
				return secrets.Value{}, secrets.RegionalError(ref)
			}
			return secrets.NewValue(ref.Region(), ""), nil
		})
		const both = "?region=" + region + "," + otherRegion
		env, err := secrets.New(secrets.WithLogger(quiet()), secrets.WithProvider(secrets.FailingOver(p)),
			secrets.WithEnviron(map[string]string{"A": "sm://a" + both, "B": "sm://b" + both, "C": "sm://c" + both}))
		if err != nil {
			t.Fatal(err)
		}
		mustGet(t, env, "A")
		mustGet(t, env, "C")
		time.Sleep(5 * time.Minute)
		down.Store(true)
		if v := mustGet(t, env, "B"); v.Reveal() != otherRegion || !slices.Equal(second, []string{"b"}) {
			t.Errorf("%s, after %q from the second Region, want b alone of what left together", v.Reveal(), second)
		}
		s := env.Snapshot(t.Context())
		for name, want := range map[string]string{"A": region, "B": otherRegion, "C": region} {
			if v, err := s.Get(name); err != nil || v.Reveal() != want {
				t.Errorf("%s: %v, %v, want it from %s", name, v, err, want)
			}
		}
		if !slices.Equal(second, []string{"b"}) {
			t.Errorf("the second Region is asked for %q, want b", second)
		}
	})
}

// Refresh, Do and the pending version of a rotation are the first Region's business.
func TestFailover_FirstOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTwinned(t, "secretsmanager", deadRegions[2])
		if err := w.Warm(t.Context()); err != nil {
			t.Fatal(secrets.Detail(err))
		}
		w.die(true)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := w.Refresh(ctx, "V0"); !errors.Is(err, secrets.ErrUnavailable) {
			t.Errorf("Refresh: %v", err)
		}
		refused := errors.New("refused")
		err := w.Do(ctx, "V1", func(secrets.Value) error { return secrets.Rejected(refused) })
		if !errors.Is(err, refused) {
			t.Errorf("Do: %v", err)
		}
		pending, err := secrets.ParseRef("sm://n1?stage=AWSPENDING&region=" + region + "," + otherRegion)
		if err != nil {
			t.Fatal(err)
		}
		w.server.Region(otherRegion).PutPending("n1", "hunter2")
		if v, err := w.Resolve(ctx, pending); !errors.Is(err, secrets.ErrUnavailable) {
			t.Errorf("AWSPENDING: %v, %v", v, err)
		}
		if n := w.asked(otherRegion); n != 0 {
			t.Errorf("the second Region is asked %d times", n)
		}
	})
}
