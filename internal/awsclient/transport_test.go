package awsclient

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// A round of ten calls opens ten connections, all ten die while the sandbox is frozen, and the next round takes about
// as long as the first. (Promise 9.)
func TestTransport_DeadConnections(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Second // for the SDK's default, which waits for ever for a connection that died silently
	for _, tc := range []struct {
		name string
		how  endpoint.Cut
	}{{"closed properly", endpoint.FIN}, {"reset", endpoint.RST}, {"silently", endpoint.Silent}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, cfg := start(t)
			s.SetLatency("*", 100*time.Millisecond) // long enough for ten calls to overlap on a busy machine
			ours := prepare(cfg)
			wall := stop(ours.HTTPClient.(*client))
			calls := ssm.NewFromConfig(ours)
			var first, next time.Duration
			for try := 1; ; try++ { // a busy machine may need more than one
				var err error
				if first, err = round(within(t, 10*time.Second), calls); err != nil {
					t.Fatal(err)
				}
				kill(t, s, tc.how)
				before := s.Connections()
				wall.Add(int64(IdleTimeout + time.Second))
				if next, err = round(within(t, 10*time.Second), calls); err != nil {
					t.Fatal(err)
				}
				if s.Connections() == before {
					t.Error("the next round opened no connection")
				}
				if next <= 3*first {
					break
				}
				if try == 3 {
					t.Errorf("the next round took %v, the first %v", next, first)
					break
				}
				ours.HTTPClient.(*client).transport.CloseIdleConnections()
			}

			calls = ssm.NewFromConfig(cfg)
			round(within(t, limit), calls)
			kill(t, s, tc.how)
			took, err := round(within(t, limit), calls)
			t.Logf("first round %v, after the freeze %v; by the SDK's default %v (error: %v)", ms(first), ms(next),
				ms(took), err != nil)
		})
	}
}

// kill ends the connections of a round. The last ones become idle a moment after their answers.
func kill(t *testing.T, s *endpoint.Server, how endpoint.Cut) {
	t.Helper()
	n := 0
	for range 10 {
		n += s.KillConnections(how)
		time.Sleep(2 * time.Millisecond)
	}
	if n < 5 {
		t.Fatalf("%d idle connections, want about 10", n)
	}
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// stop gives c a monotonic clock that stands still, and returns what is added to its wall clock, in nanoseconds.
func stop(c *client) *atomic.Int64 {
	wall, ahead := time.Now().Round(0), new(atomic.Int64)
	c.now = func() (time.Time, time.Duration) { return wall.Add(time.Duration(ahead.Load())), 0 }
	return ahead
}

// round makes ten calls at once.
func round(ctx context.Context, c *ssm.Client) (time.Duration, error) {
	began, errs := time.Now(), make([]error, 10)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = c.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/a")}) })
	}
	wg.Wait()
	return time.Since(began), errors.Join(errs...)
}

func TestTransport_IdleConnections(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, tc := range []struct {
		name        string
		gaps        []time.Duration // of wall time before each further call, the monotonic clock standing still
		connections int
	}{
		{"at once", []time.Duration{0, 0}, 1},
		{"idle for 20 s", []time.Duration{20 * s}, 1},
		{"idle for longer", []time.Duration{21 * s}, 2},
		{"the clock stepped back", []time.Duration{-s}, 2},
		// The connection in use is never idle for long, but others beside it may have been since the start.
		{"many short freezes", []time.Duration{8 * s, 8 * s, 8 * s, 8 * s}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server, cfg := start(t)
			// net/http keeps no connection whose answer came before the request was known to be written
			server.SetLatency("*", 20*time.Millisecond)
			cfg = prepare(cfg)
			wall := stop(cfg.HTTPClient.(*client))
			for _, gap := range append([]time.Duration{0}, tc.gaps...) {
				wall.Add(int64(gap))
				if err := get(t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
			}
			if n := server.Connections(); n != tc.connections {
				t.Errorf("%d connections, want %d", n, tc.connections)
			}
		})
	}
}

func TestTransport_Prepare(t *testing.T) {
	t.Parallel()
	users := awshttp.NewBuildableClient().WithTimeout(time.Minute).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost, t.IdleConnTimeout, t.TLSHandshakeTimeout = 3, time.Minute, time.Second
	})
	type limits struct {
		perHost                  int
		attempt, idle, handshake time.Duration
	}
	for _, tc := range []struct {
		name string
		in   aws.HTTPClient
		want limits
	}{
		{"none", nil, limits{Width, AttemptTimeout, IdleTimeout, AttemptTimeout}},
		{"the SDK's", awshttp.NewBuildableClient(), limits{Width, AttemptTimeout, IdleTimeout, AttemptTimeout}},
		{"the SDK's with limits", users, limits{3, time.Minute, time.Minute, time.Second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := prepare(aws.Config{HTTPClient: tc.in}).HTTPClient.(*client)
			if got := (limits{c.transport.MaxIdleConnsPerHost, c.http.Timeout, c.transport.IdleConnTimeout,
				c.transport.TLSHandshakeTimeout}); got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
			if c.transport.Proxy == nil {
				t.Error("the proxy of the environment is lost")
			}
		})
	}
	var transport roundTripper
	own := &http.Client{Transport: &transport, Timeout: time.Minute}
	c := prepare(aws.Config{HTTPClient: own}).HTTPClient.(*http.Client)
	if c.Transport != own.Transport || c.Timeout != own.Timeout || own.CheckRedirect != nil {
		t.Errorf("a client of the user's own became %+v", c)
	}
}

// HTTP/2's debug output prints bodies, and one dead connection would take all calls along.
func TestTransport_HTTP1OverTLS(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret-access-key", "AWS_REGION": region,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(name, value)
	}
	s := endpoint.New(endpoint.Options{HTTP2: true})
	url, err := s.StartTLS()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Region(region).PutParameter(endpoint.Parameter{Name: "/a", Value: "v"})
	t.Setenv("AWS_ENDPOINT_URL", url)

	cfg, _, err := Default("").Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := get(t.Context(), cfg); err == nil || len(s.Calls()) != 0 {
		t.Fatalf("an authority that nobody trusts was accepted: %v", err)
	}
	if n := s.Connections(); n != 1 {
		t.Errorf("an untrusted certificate was tried %d times", n)
	}

	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, s.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	if cfg, _, err = Default("").Config(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg.HTTPClient.(*client).http.Transport = protocol(t, cfg.HTTPClient.(*client).transport)
	if err := get(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

// After a freeze the connections are new, their sessions are not.
func TestTransport_SessionsAreResumed(t *testing.T) {
	t.Parallel()
	s := endpoint.New(endpoint.Options{})
	url, err := s.StartTLS()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Region(region).PutParameter(endpoint.Parameter{Name: "/a", Value: "v"})
	cfg := base(url)
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig.RootCAs = s.CertPool()
	})
	cfg = prepare(cfg)
	tr := cfg.HTTPClient.(*client).transport
	var resumed []bool
	for range 2 {
		ctx := httptrace.WithClientTrace(within(t, 10*time.Second),
			&httptrace.ClientTrace{TLSHandshakeDone: func(state tls.ConnectionState, _ error) {
				resumed = append(resumed, state.DidResume)
			}})
		if err := get(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		tr.CloseIdleConnections()
	}
	if want := []bool{false, true}; !slices.Equal(resumed, want) {
		t.Errorf("handshakes resumed a session: %v, want %v", resumed, want)
	}
}

// What is recorded today must not be read by a machine of later: the hybrid key exchange comes first, and is agreed
// on with a server that knows it, also where a session is resumed. Nothing older than TLS 1.2 is offered.
func TestTransport_PostQuantumKeyExchange(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var hellos []*tls.ClientHelloInfo
	var agreed []tls.ConnectionState
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		agreed = append(agreed, *r.TLS)
		io.WriteString(w, `{"Parameter":{"Name":"/a","Value":"v"}}`)
	}))
	s.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		hellos = append(hellos, hello)
		return nil, nil
	}}
	s.StartTLS()
	defer s.Close()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	cfg := base(s.URL)
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig.RootCAs = roots
	})
	cfg = prepare(cfg)
	for range 2 {
		if err := get(within(t, 10*time.Second), cfg); err != nil {
			t.Fatal(err)
		}
		cfg.HTTPClient.(*client).transport.CloseIdleConnections()
	}
	if len(hellos) != 2 || len(agreed) != 2 {
		t.Fatalf("%d handshakes, %d requests", len(hellos), len(agreed))
	}
	for i, hello := range hellos {
		if hello.SupportedCurves[0] != tls.X25519MLKEM768 || slices.Min(hello.SupportedVersions) < tls.VersionTLS12 {
			t.Errorf("offered %v, versions %x", hello.SupportedCurves, hello.SupportedVersions)
		}
		if a := agreed[i]; a.CurveID != tls.X25519MLKEM768 || a.Version != tls.VersionTLS13 || a.DidResume != (i == 1) {
			t.Errorf("agreed on %v, version %x, resumed %v", a.CurveID, a.Version, a.DidResume)
		}
	}
}

// protocol returns a RoundTripper over tr that checks the answers' protocol.
func protocol(t *testing.T, tr http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		res, err := tr.RoundTrip(r)
		if err == nil && res.ProtoMajor != 1 {
			t.Errorf("answer by %s", res.Proto)
		}
		return res, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTransport_UserAgent(t *testing.T) {
	t.Parallel()
	s, cfg := start(t)
	get(t.Context(), prepare(cfg))
	if ua := s.Calls()[0].UserAgent; !strings.Contains(ua, UserAgent+"/"+Version) {
		t.Errorf("user agent %q", ua)
	}
}

// Requests that overlap do not take each other's reading of the clock for a step back, which would cost all idle
// connections.
func TestTransport_OverlappingRequestsCloseNothing(t *testing.T) {
	t.Parallel()
	c := prepare(aws.Config{}).HTTPClient.(*client)
	var wall atomic.Int64
	c.now = func() (time.Time, time.Duration) {
		now := wall.Add(1)
		runtime.Gosched()
		return time.Unix(0, now), time.Duration(now)
	}
	c.closeIdle()
	first := c.closed
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 100 {
				c.closeIdle()
			}
		})
	}
	wg.Wait()
	if c.closed != first {
		t.Error("the idle connections were closed though no clock stepped")
	}
}

// As many calls as go out at once keep their connections for the next round. The SDK keeps ten.
func TestTransport_WidthOfConnections(t *testing.T) {
	t.Parallel()
	s, cfg := start(t)
	s.SetLatency("*", 300*time.Millisecond)
	calls := ssm.NewFromConfig(prepare(cfg))
	var opened [2]int
	for i := range opened {
		var wg sync.WaitGroup
		for range Width {
			wg.Go(func() { calls.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/a")}) })
		}
		wg.Wait()
		opened[i] = s.Connections()
	}
	if opened[0] < Width/2 || opened[1]-opened[0] > Width/4 {
		t.Errorf("%d connections after the first round, %d after the second", opened[0], opened[1])
	}
}
