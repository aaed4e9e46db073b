package model

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go/middleware"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// Promise 4: an answer is installed when it comes; a reference that hangs, or poisons its batch, costs itself only.

const (
	region  = "eu-west-1"
	ownTime = 5 * time.Millisecond // that a good call takes
	within  = ownTime * 6 / 5
)

// A family is some good references beside a bad one, over a backend that a test directs.
type family struct {
	environ map[string]string
	good    []string // variables
	text    func(name string) string
	rotate  func() // gives every good reference its next value
	bad     string // the variable that hangs, or is late
	open    func(t *testing.T, opts ...secrets.Option) *secrets.Env
	whole   bool // answers come all together
	late    bool // the bad one answers, after a while
}

// badness is how the bad reference behaves.
type badness struct {
	name string
	late time.Duration // its answer's time; 0 hangs
}

var badnesses = []badness{{"hangs", 0}, {"answers after 1.5 s", 1500 * time.Millisecond}}

// scripted is a family over a provider of the user's own.
func scripted(environ map[string]string, bad string, how badness, whole bool) *family {
	f := &family{environ: environ, bad: bad, whole: whole, late: how.late > 0}
	badRef, _ := secrets.ParseRef(environ[bad])
	b := newBackend(func(id string, _ int) reply {
		if id == badRef.ID() {
			return reply{wait: how.late, hang: how.late == 0}
		}
		return reply{wait: ownTime}
	})
	ids := map[string]string{}
	for name, text := range environ {
		ref, _ := secrets.ParseRef(text)
		if ids[name] = ref.ID(); name != bad {
			f.good = append(f.good, name)
		}
	}
	f.rotate = func() {
		for _, name := range f.good {
			if badRef.Scheme() != secrets.KMS { // a ciphertext cannot change
				b.rotate(ids[name])
			}
		}
	}
	f.text = func(name string) string {
		b.mu.Lock()
		defer b.mu.Unlock()
		return fmt.Sprintf("%s-%d", ids[name], b.version[ids[name]])
	}
	f.open = func(t *testing.T, opts ...secrets.Option) *secrets.Env {
		p := b.parts()
		if whole {
			p = b.whole()
		}
		return newEnv(t, p, environ, opts...)
	}
	return f
}

// An account is the embedded endpoint, reached through a pipe.
type account struct {
	server *endpoint.Server
	store  *endpoint.Store
	cfg    aws.Config
}

// newAccount starts an endpoint whose calls take ownTime, for the SDK's default client or one that the user brings.
func newAccount(t *testing.T, ownClient bool) *account {
	s, p := endpoint.New(endpoint.Options{}), endpoint.NewPipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(p)
	}()
	cfg := aws.Config{
		Region: region, BaseEndpoint: aws.String("http://aws.test"),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", ""),
	}
	if ownClient {
		transport := &http.Transport{DialContext: p.DialContext, MaxIdleConnsPerHost: 32}
		cfg.HTTPClient = &http.Client{Transport: transport}
	} else {
		cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
			tr.DialContext = p.DialContext
		})
	}
	t.Cleanup(func() {
		s.Close()
		p.Close()
		<-served
	})
	s.SetLatency("*", ownTime)
	return &account{s, s.Region(region), cfg}
}

// put gives a parameter its next version.
func (a *account) put(name, value string) {
	a.store.PutParameter(endpoint.Parameter{Name: name, Type: "SecureString", Value: value})
}

// delay makes every operation that asks for this name, or this ciphertext, begin later.
func (a *account) delay(name string, blob []byte, by time.Duration) {
	wait := func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
		middleware.InitializeOutput, middleware.Metadata, error,
	) {
		matches := false
		switch in := in.Parameters.(type) {
		case *secretsmanager.GetSecretValueInput:
			matches = aws.ToString(in.SecretId) == name
		case *ssm.GetParametersByPathInput:
			matches = strings.HasPrefix(aws.ToString(in.Path), name)
		case *kms.DecryptInput:
			matches = bytes.Equal(in.CiphertextBlob, blob)
		}
		if matches {
			select {
			case <-time.After(by):
			case <-ctx.Done():
				return middleware.InitializeOutput{}, middleware.Metadata{}, ctx.Err()
			}
		}
		return next.HandleInitialize(ctx, in)
	}
	a.cfg.APIOptions = append(a.cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("delay", wait), middleware.After)
	})
}

// over makes a family of an account and an environment that stands in it.
func (a *account) over(
	environ map[string]string, bad, hang string, blob []byte, how badness, put func(version int),
) *family {
	var version atomic.Int32
	f := &family{environ: environ, bad: bad, late: how.late > 0}
	for name := range environ {
		if name != bad {
			f.good = append(f.good, name)
		}
	}
	put(0)
	f.rotate = func() { put(int(version.Add(1))) }
	f.text = func(name string) string { return fmt.Sprintf("%s-%d", name, version.Load()) }
	if how.late > 0 {
		a.delay(hang, blob, how.late)
	} else {
		a.server.Fault(endpoint.Fault{Do: endpoint.Hang, Resource: hang})
	}
	f.open = func(t *testing.T, opts ...secrets.Option) *secrets.Env {
		return newEnv(t, nil, environ, append(opts, secrets.WithAWSConfig(a.cfg))...)
	}
	return f
}

var kinds = []string{"ten secrets", "ten ciphertexts", "three parameters beside a tree"}

// newFamily makes one of kinds, reached by one of clients.
func newFamily(t *testing.T, kind, client string, how badness) *family {
	environ := map[string]string{}
	if client == "ProviderFunc" || client == "own Fetch" {
		bad := "S0"
		for i := range 10 {
			switch kind {
			case "ten secrets":
				environ[fmt.Sprint("S", i)] = fmt.Sprint("sm://app/s", i)
			case "ten ciphertexts":
				blob := bytes.Repeat([]byte{byte(i)}, 60)
				environ[fmt.Sprint("S", i)] = "kms://" + base64.StdEncoding.EncodeToString(blob)
			}
		}
		if kind == "three parameters beside a tree" {
			bad = "TREE"
			environ = map[string]string{
				"P0": "ssm:///app/p0", "P1": "ssm:///app/p1", "P2": "ssm:///app/p2", "TREE": "ssm:///tree/*",
			}
		}
		return scripted(environ, bad, how, client == "own Fetch")
	}
	a := newAccount(t, client == "own http.Client")
	switch kind {
	case "ten secrets":
		for i := range 10 {
			environ[fmt.Sprint("S", i)] = fmt.Sprint("sm://app/s", i)
		}
		return a.over(environ, "S0", "app/s0", nil, how, func(version int) {
			for i := range 10 {
				a.store.PutSecret(fmt.Sprint("app/s", i), fmt.Sprintf("S%d-%d", i, version))
			}
		})
	case "ten ciphertexts":
		good, poor := a.store.CreateKey(), a.store.CreateKey()
		var bad []byte
		for i := range 10 {
			key := good
			if i == 0 {
				key = poor
			}
			blob := a.store.Encrypt(key, fmt.Appendf(nil, "S%d-0", i), nil)
			if i == 0 {
				bad = blob
			}
			environ[fmt.Sprint("S", i)] = "kms://" + base64.StdEncoding.EncodeToString(blob)
		}
		f := a.over(environ, "S0", poor, bad, how, func(int) {})
		f.rotate = func() {} // a ciphertext cannot change
		return f
	}
	for i := range 3 {
		environ[fmt.Sprint("P", i)] = fmt.Sprint("ssm:///app/p", i)
	}
	environ["TREE"] = "ssm:///tree/*"
	return a.over(environ, "TREE", "/tree", nil, how, func(version int) {
		for i := range 3 {
			a.put(fmt.Sprint("/app/p", i), fmt.Sprintf("P%d-%d", i, version))
		}
		a.put("/tree/a", fmt.Sprint(version))
	})
}

var clients = []string{"default client", "own http.Client", "ProviderFunc", "own Fetch"}

// eachFamily runs f for every kind of references, client and badness, in a bubble each.
func eachFamily(t *testing.T, f func(t *testing.T, fam *family)) {
	for _, kind := range kinds {
		for _, client := range clients {
			for _, how := range badnesses {
				t.Run(kind+"/"+client+"/"+how.name, func(t *testing.T) {
					bubble(t, func(t *testing.T) { f(t, newFamily(t, kind, client, how)) })
				})
			}
		}
	}
}

// readAll reads the bad reference and all good ones at once, and checks the good ones.
func (f *family) readAll(t *testing.T, what string, env *secrets.Env, deadline time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() { get(t, env, f.bad, deadline) })
	for _, name := range f.good {
		wg.Go(func() { wantRead(t, what+": "+name, get(t, env, name, deadline), f.text(name), within) })
	}
	wg.Wait()
}

func TestHang_WarmAndReads(t *testing.T) {
	for _, deadline := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second} {
		t.Run(deadline.String(), func(t *testing.T) {
			eachFamily(t, func(t *testing.T, f *family) {
				env := f.open(t)
				var wg sync.WaitGroup
				wg.Go(func() {
					began := time.Now()
					warm(t, env, deadline)
					if took := time.Since(began); took > deadline {
						t.Errorf("the warm took %v of %v", took, deadline)
					}
				})
				if !f.whole {
					for _, name := range f.good {
						wg.Go(func() {
							wantRead(t, "beside the warm: "+name, get(t, env, name, deadline), f.text(name), within)
						})
					}
				}
				wg.Wait()
				for i := range 10 {
					f.readAll(t, fmt.Sprintf("invocation %d after the warm", i+1), env, deadline)
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// A good value that rotates arrives within one TTL and one call, whatever its neighbour does.
func TestHang_RotationArrives(t *testing.T) {
	eachFamily(t, func(t *testing.T, f *family) {
		if f.whole && f.late {
			return // it is slow, not bad: what is due together leaves together, and returns together
		}
		const ttl, every = time.Second, 20 * time.Millisecond
		env := f.open(t, secrets.WithTTL(ttl))
		warm(t, env, 2*time.Second)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for ctx.Err() == nil {
				get(t, env, f.bad, 3*time.Second)
				time.Sleep(every)
			}
		})
		defer wg.Wait()
		defer stop()
		for round := range 5 {
			f.rotate()
			for _, name := range f.good {
				wg.Go(func() {
					for began := time.Now(); ; time.Sleep(every) {
						r := get(t, env, name, 3*time.Second)
						late := time.Since(began)
						if r.err == nil && r.value.Reveal() == f.text(name) && late <= ttl+within+every {
							return
						}
						if r.took > within || late > ttl+within+every {
							t.Errorf("round %d: %s: %v after the rotation: %v", round, name, late, r)
							return
						}
					}
				})
			}
			time.Sleep(2 * ttl)
		}
	})
}

// Snapshot, Do, Refresh and RevealAll have what is good.
func TestHang_OtherReads(t *testing.T) {
	eachFamily(t, func(t *testing.T, f *family) {
		const deadline = 2 * time.Second
		env := f.open(t)
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		s := env.Snapshot(ctx)
		cancel()
		for _, name := range f.good {
			if v, err := s.Get(name); err != nil || v.Reveal() != f.text(name) {
				t.Errorf("Snapshot, cold: %s: %v", name, err)
			}
		}
		f.rotate()
		ctx, cancel = context.WithTimeout(t.Context(), deadline)
		env.Refresh(ctx)
		cancel()
		f.readAll(t, "after a Refresh of everything", env, deadline)
		for _, name := range f.good {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			err := env.Do(ctx, name, func(v secrets.Value) error { return nil })
			if took := time.Since(began); err != nil || took > within {
				t.Errorf("Do(%s): %v after %v", name, err, took)
			}
			cancel()
		}
	})
}

// A whole call that fails because of one name costs that name only (promise 6).
func TestBatch_PoisonedByOneName(t *testing.T) {
	type failure struct {
		name      string
		fault     endpoint.Fault
		operation bool // the batch operation fails, whatever is asked for
	}
	fail := func(status int, code string) endpoint.Fault {
		return endpoint.Fault{Do: endpoint.Fail, Status: status, Code: code}
	}
	failures := []failure{
		{"500", fail(500, "InternalServerError"), false},
		{"unknown 400", fail(400, "NobodyKnowsException"), false},
		{"UnrecognizedClientException", fail(400, "UnrecognizedClientException"), false},
		{"garbled 200", endpoint.Fault{Do: endpoint.Garbled}, false},
		{"unknown operation", fail(400, "UnknownOperationException"), true},
		{"denied batch", endpoint.Fault{Do: endpoint.Deny}, true},
		{"throttled batch", endpoint.Fault{Do: endpoint.Throttle}, true},
	}
	for _, service := range []string{"ssm", "secretsmanager"} {
		for _, failure := range failures {
			for _, cold := range []bool{true, false} {
				if service == "ssm" && failure.name == "throttled batch" {
					continue // one quota covers both operations there
				}
				name := fmt.Sprintf("%s/%s/cold=%v", service, failure.name, cold)
				t.Run(name, func(t *testing.T) {
					bubble(t, func(t *testing.T) { poisoned(t, service, failure.fault, failure.operation, cold) })
				})
			}
		}
	}
}

func poisoned(t *testing.T, service string, fault endpoint.Fault, operation, cold bool) {
	a := newAccount(t, false)
	environ := map[string]string{}
	put := func(version int) {
		for i := range 10 {
			id, text := fmt.Sprint("/app/v", i), fmt.Sprintf("V%d-%d", i, version)
			if service == "ssm" {
				a.put(id, text)
				environ[fmt.Sprint("V", i)] = "ssm://" + id
			} else {
				a.store.PutSecret(id, text)
				environ[fmt.Sprint("V", i)] = "sm://" + id
			}
		}
	}
	put(0)
	env := newEnv(t, nil, environ, secrets.WithAWSConfig(a.cfg), secrets.WithBatchGetSecretValue())
	version := 0
	if !cold {
		mustWarm(t, env)
		for name := range environ { // a refresh takes along what was read
			get(t, env, name, time.Second)
		}
		time.Sleep(5 * time.Minute)
		version = 1
		put(version)
	}
	switch {
	case !operation:
		fault.Resource = "/app/v0"
	case service == "ssm":
		fault.Operation = "ssm:GetParameters"
	default:
		fault.Operation = "secretsmanager:BatchGetSecretValue"
	}
	a.server.Fault(fault)
	a.server.ResetCalls()

	began, resolved := time.Now(), -1
	if cold {
		warm(t, env, 2*time.Second)
	}
	for time.Since(began) < time.Minute {
		var wg sync.WaitGroup
		var mu sync.Mutex
		good := 0
		for i := range 10 {
			wg.Go(func() {
				r := get(t, env, fmt.Sprint("V", i), 2*time.Second)
				mu.Lock()
				defer mu.Unlock()
				if r.err == nil && r.value.Reveal() == fmt.Sprintf("V%d-%d", i, version) && i > 0 {
					good++
				}
			})
		}
		wg.Wait()
		if good == 9 && resolved < 0 {
			resolved = len(a.server.Calls())
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("the nine good ones came after %v", took)
			}
		}
		time.Sleep(2 * time.Second)
	}
	if resolved < 0 {
		t.Errorf("the nine good ones never came, in %d calls", len(a.server.Calls()))
	} else if resolved > 25 {
		t.Errorf("the nine good ones came after %d calls", resolved)
	}
	if n := len(a.server.Calls()); n >= 60 {
		t.Errorf("%d calls in a minute", n)
	}
}
