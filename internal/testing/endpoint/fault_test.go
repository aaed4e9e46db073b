package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// get is one GetParameter of /a.
func (c clients) get(ctx context.Context) (string, error) {
	out, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/a")})
	if err != nil || out.Parameter == nil || out.Parameter.Value == nil {
		return "", err
	}
	return *out.Parameter.Value, nil
}

func TestFault_Kinds(t *testing.T) {
	t.Parallel()
	const user = "User: arn:aws:sts::123456789012:assumed-role/function/function is not authorized to perform: " +
		"ssm:GetParameter on resource: " + ssmARN + "/a"
	for _, tc := range []struct {
		fault      Fault
		code, text string               // of an API error, or
		check      func(err error) bool // of any other; nil: no error, and no value
		waits      bool                 // ends with the caller's deadline only
	}{
		{fault: Fault{Do: Deny}, code: "AccessDeniedException",
			text: user + " because no identity-based policy allows the ssm:GetParameter action"},
		{fault: Fault{Do: DenyBare}, code: "AccessDeniedException", text: user},
		{fault: Fault{Do: DenySCP}, code: "AccessDeniedException",
			text: user + " with an explicit deny in a service control policy"},
		{fault: Fault{Do: DenyKey}, code: "AccessDeniedException", text: user + " because no resource-based policy"},
		{fault: Fault{Do: Throttle}, code: "ThrottlingException", text: "Rate exceeded"},
		{fault: Fault{Do: Fail, Code: "InternalServerError", Status: 500, Message: "oops"},
			code: "InternalServerError", text: "oops"},
		{fault: Fault{Do: HTML503}, check: status(503)},
		{fault: Fault{Do: Truncated}, check: is[*smithy.DeserializationError]},
		{fault: Fault{Do: TruncatedJSON}, check: is[*smithy.DeserializationError]},
		{fault: Fault{Do: Garbled}, check: is[*smithy.DeserializationError]},
		{fault: Fault{Do: WrongTypes}, check: is[*smithy.DeserializationError]},
		{fault: Fault{Do: Empty}},
		{fault: Fault{Do: Missing}},
		{fault: Fault{Do: Missing, Member: "Value"}},
		{fault: Fault{Do: CutFIN}, check: func(err error) bool { return errors.Is(err, io.EOF) }},
		{fault: Fault{Do: CutRST}, check: func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
		{fault: Fault{Do: CutSilent}, waits: true},
		{fault: Fault{Do: Hang}, waits: true},
		{fault: Fault{Do: HangAfterHeaders}, waits: true},
	} {
		t.Run(string(tc.fault.Do)+tc.fault.Member, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, st, c := startPipe(t)
				st.PutParameter(Parameter{Name: "/a", Value: "v"})
				h := s.Fault(tc.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				value, err := c.get(ctx)
				switch took := time.Since(began); {
				case tc.code != "":
					wantCode(t, err, tc.code, tc.text)
				case tc.waits:
					if took != time.Minute || ctx.Err() == nil || err == nil {
						t.Errorf("after %v: %v", took, err)
					}
				case tc.check == nil && err != nil || tc.check != nil && (err == nil || !tc.check(err)):
					t.Errorf("error %v", err)
				}
				if value != "" {
					t.Errorf("value %q came through", value)
				}
				h.Remove()
				if value, err := c.get(t.Context()); err != nil || value != "v" {
					t.Errorf("after Remove: %q, %v", value, err)
				}
				if h.Hits() != 1 {
					t.Errorf("%d hits", h.Hits())
				}
			})
		})
	}
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func status(want int) func(error) bool {
	return func(err error) bool {
		var e *smithyhttp.ResponseError
		return errors.As(err, &e) && e.HTTPStatusCode() == want
	}
}

// RST must be one over real TCP too.
func TestFault_ResetOverTCP(t *testing.T) {
	t.Parallel()
	s, _, c := start(t)
	s.Fault(Fault{Do: CutRST})
	if _, err := c.get(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v", err)
	}
}

func TestFault_Conditions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st, c := startPipe(t)
		st.PutParameter(Parameter{Name: "/a", Value: "v"})
		sequence := func(n int) (got string) {
			for range n {
				if _, err := c.get(t.Context()); err != nil {
					got += "x"
				} else {
					got += "."
				}
			}
			return got
		}
		for _, tc := range []struct {
			name  string
			fault Fault
			want  string
		}{
			{"the first two", Fault{Times: 2}, "xx.."},
			{"the second", Fault{Skip: 1, Times: 1}, ".x.."},
			{"for ever", Fault{}, "xxxx"},
			{"until a time", Fault{Until: time.Now().Add(-1)}, "...."},
			{"operation", Fault{Operation: "ssm:Get*"}, "xxxx"},
			{"another operation", Fault{Operation: "kms:*"}, "...."},
			{"Region", Fault{Region: region}, "xxxx"},
			{"another Region", Fault{Region: "us-east-1"}, "...."},
			{"resource", Fault{Resource: "/a"}, "xxxx"},
			{"another resource", Fault{Resource: "/b"}, "...."},
		} {
			tc.fault.Do = Throttle
			h := s.Fault(tc.fault)
			if got := sequence(4); got != tc.want {
				t.Errorf("%s: %s; want %s", tc.name, got, tc.want)
			}
			h.Remove()
		}
	})
}

func TestFault_Latency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st, c := startPipe(t)
		st.PutParameter(Parameter{Name: "/a", Value: "v"})
		s.SetLatency("*", time.Second)
		s.SetLatency("ssm:GetParameter", time.Hour)
		began := time.Now()
		if _, err := c.get(t.Context()); err != nil || time.Since(began) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		began = time.Now()
		c.sm.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("x")})
		if time.Since(began) != time.Second {
			t.Errorf("other operations after %v", time.Since(began))
		}
	})
}

func TestFault_Skew(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		ahead      time.Duration // of the service's clock
		code, text string
	}{
		{"right", 4 * time.Minute, "", ""},
		{"client behind", 6 * time.Minute, "InvalidSignatureException", "Signature expired"},
		{"client ahead", -6 * time.Minute, "InvalidSignatureException", "Signature not yet current"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := New(Options{Now: func() time.Time { return time.Now().Add(tc.ahead) }})
			defer s.Close()
			url, err := s.Start()
			if err != nil {
				t.Fatal(err)
			}
			s.Region(region).PutParameter(Parameter{Name: "/a", Value: "v"})
			s.Fault(Fault{Do: Skew})
			_, err = connect(url, region,
				&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).get(t.Context())
			wantCode(t, err, tc.code, tc.text)
		})
	}
}

func TestFault_Quota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st, c := startPipe(t)
		st.PutParameter(Parameter{Name: "/a", Value: "v"})
		s.SetQuota("ssm", 2, 3) // two per second after three
		calls := func() (ok int) {
			for i := range 6 {
				var err error
				switch i % 3 {
				case 0:
					_, err = c.get(t.Context())
				case 1:
					_, err = c.ssm.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{"/a"}})
				case 2:
					_, err = c.ssm.GetParametersByPath(t.Context(),
						&ssm.GetParametersByPathInput{Path: aws.String("/")})
				}
				if err == nil {
					ok++
				} else {
					wantCode(t, err, "ThrottlingException", "Rate exceeded")
				}
			}
			return ok
		}
		if n := calls(); n != 3 {
			t.Errorf("%d of the burst; want 3", n)
		}
		time.Sleep(time.Second)
		if n := calls(); n != 2 {
			t.Errorf("%d a second later; want 2", n)
		}
		s.SetQuota("kms", 1, 1)
		key := st.CreateKey()
		in := &kms.DecryptInput{CiphertextBlob: st.Encrypt(key, []byte("p"), nil)}
		_, err := c.kms.Decrypt(t.Context(), in)
		wantCode(t, err, "", "")
		_, err = c.kms.Decrypt(t.Context(), in)
		wantCode(t, err, "ThrottlingException", "You have exceeded the rate at which you may call KMS.")
	})
}

func TestFault_KillConnections(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		how   Cut
		check func(err error) bool // nil: the next call gets a new connection
	}{
		{FIN, nil},
		{RST, nil},
		{Silent, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
	} {
		t.Run(string(tc.how), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, st, c := startPipe(t)
				s.SetLatency("*", 20*time.Millisecond)
				st.PutParameter(Parameter{Name: "/a", Value: "v"})
				c.get(t.Context())
				synctest.Wait()
				if n := s.KillConnections(tc.how); n != 1 {
					t.Fatalf("%d connections killed; want 1", n)
				}
				synctest.Wait() // the client hears of a FIN or RST
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				if _, err := c.get(ctx); tc.check == nil && err != nil || tc.check != nil && !tc.check(err) {
					t.Errorf("error %v", err)
				}
				if n := s.Count("*"); tc.how == Silent && n != 1 {
					t.Errorf("%d calls; a silent connection delivers none", n)
				}
				if _, err := c.get(t.Context()); err != nil || s.Connections() != 2 {
					t.Errorf("then %v, over %d connections; want 2", err, s.Connections())
				}
			})
		})
	}
}

func TestServer_RecordsCalls(t *testing.T) {
	t.Parallel()
	s, st, c := start(t)
	st.PutSecret("a", "va")
	key := st.CreateKey()
	ctx := t.Context()
	c.ssm.GetParameters(ctx, &ssm.GetParametersInput{Names: []string{"/x", "/y"}})
	c.sm.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"a", "b"}})
	c.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: st.Encrypt(key, []byte("p"), nil)})
	_, err := c.get(ctx)
	var re *smithyhttp.ResponseError
	errors.As(err, &re)
	calls := s.Calls()
	want := []Call{
		{Operation: "ssm:GetParameters", Resources: []string{"/x", "/y"}, Status: 200},
		{Operation: "secretsmanager:BatchGetSecretValue", Resources: []string{"a", "b"}, Status: 200},
		{Operation: "kms:Decrypt", Resources: []string{key}, Status: 200},
		{Operation: "ssm:GetParameter", Resources: []string{"/a"}, Status: 400, Code: "ParameterNotFound"},
	}
	if len(calls) != len(want) {
		t.Fatalf("%d calls", len(calls))
	}
	for i, w := range want {
		got := calls[i]
		if got.Operation != w.Operation || !slices.Equal(got.Resources, w.Resources) || got.Status != w.Status ||
			got.Code != w.Code ||
			got.Region != region || got.AccessKeyID != "AKIAEXAMPLE" || got.Connection < 1 || got.Sent == 0 ||
			got.Received == 0 ||
			got.Time.IsZero() || !strings.Contains(got.UserAgent, "aws-sdk-go-v2") {
			t.Errorf("call %d: %+v", i, got)
		}
	}
	if id := re.Response.Header.Get("X-Amzn-Requestid"); id == "" || id != calls[3].RequestID {
		t.Errorf("request ID %q, recorded %q", id, calls[3].RequestID)
	}
	if n := s.Count("ssm:*"); n != 2 {
		t.Errorf("Count(ssm:*) = %d", n)
	}
	s.ResetCalls()
	if len(s.Calls()) != 0 || s.Count("*") != 0 {
		t.Error("calls after ResetCalls")
	}
}

// Requests that no SDK sends.
func TestServer_BadRequests(t *testing.T) {
	t.Parallel()
	s, _, _ := start(t)
	good := "AWS4-HMAC-SHA256 Credential=AK/20261123/eu-west-1/ssm/aws4_request, SignedHeaders=host;x-amz-date, " +
		"Signature=" + strings.Repeat("0", 64)
	for _, tc := range []struct {
		name, method, target, auth, body string
		status                           int
		code                             string
	}{
		{"unsigned", "POST", "AmazonSSM.GetParameter", "", `{"Name":"/a"}`, 400, "MissingAuthenticationTokenException"},
		{"garbled signature", "POST", "AmazonSSM.GetParameter", "AWS4-HMAC-SHA256 Credential=AK", `{"Name":"/a"}`, 400,
			"IncompleteSignatureException"},
		{"unknown operation", "POST", "AmazonSSM.Explode", good, `{}`, 400, "UnknownOperationException"},
		{"unknown service", "POST", "Nothing.GetParameter", good, `{}`, 400, "UnknownOperationException"},
		{"no JSON", "POST", "AmazonSSM.GetParameter", good, `{`, 400, "SerializationException"},
		{"wrong type", "POST", "AmazonSSM.GetParameter", good, `{"Name":7}`, 400, "SerializationException"},
		{"GET", "GET", "", "", "", 404, "UnknownOperationException"},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), tc.method, s.URL(), strings.NewReader(tc.body))
		req.Header.Set("X-Amz-Target", tc.target)
		if tc.auth != "" {
			req.Header.Set("Authorization", tc.auth)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.status || !strings.Contains(string(body), `"__type":"`+tc.code+`"`) {
			t.Errorf("%s: %d %s", tc.name, resp.StatusCode, body)
		}
	}
}

// Close must end what hangs, or the tests of others would.
func TestServer_CloseEndsHangs(t *testing.T) {
	t.Parallel()
	for _, do := range []Action{Hang, HangAfterHeaders, CutSilent} {
		t.Run(string(do), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, c := startPipe(t)
				s.Fault(Fault{Do: do})
				done := make(chan error)
				go func() {
					_, err := c.get(context.Background())
					done <- err
				}()
				synctest.Wait()
				s.Close()
				if err := <-done; err == nil {
					t.Error("no error")
				}
			})
		})
	}
}

// A client that does not read must not hold Close up: TLS says goodbye for up to five seconds.
func TestServer_CloseDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, p := New(Options{Hosts: []string{"aws.test"}}), NewPipe()
		go s.ServeTLS(p)
		nc, err := p.DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		// TLS 1.2, as 1.3's session tickets would want to be read.
		c := tls.Client(nc, &tls.Config{RootCAs: s.CertPool(), ServerName: "aws.test", MaxVersion: tls.VersionTLS12})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		s.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
	})
}

func TestServer_Pipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPipe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.DialContext(ctx, "tcp", "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody accepts: %v", err)
		}
		p.Close()
		p.Close()
		if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v", err)
		}
		if _, err := p.DialContext(t.Context(), "tcp", "x"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial after Close: %v", err)
		}
	})
}
