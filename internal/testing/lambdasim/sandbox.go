package lambdasim

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// sandbox is one process and the Runtime API it talks to. Each process gets a listener of its own, so that a killed
// one cannot take an event meant for its successor.
type sandbox struct {
	cfg   *Config
	srv   *http.Server
	proc  *process
	token string // of the container credentials

	ready      chan struct{}    // closed when init is over: the process asks for its first event, or to be restored
	polling    chan struct{}    // closed at the first /invocation/next
	restored   chan struct{}    // closed by the first event under SnapStart
	initFailed chan struct{}    // closed when the process reports an init or restore error
	events     chan *invocation // taken by the process's pollers

	mu        sync.Mutex
	running   map[string]*invocation // request id → handed over, not finished
	initError *FunctionError         // set before initFailed is closed
	sigterm   bool                   // an extension is registered: SIGTERM comes before SIGKILL

	readyOnce, pollingOnce, initFailedOnce sync.Once
}

// invocation is one event on its way through the process.
type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	ahead    time.Duration // of the function's wall clock, which Lambda's agrees with

	answered bool // guarded by sandbox.mu, as are the next two until done is closed
	response []byte
	fnErr    *FunctionError
	done     chan struct{} // closed when the process is through with it
}

const (
	runtimePrefix   = "/2018-06-01/runtime"
	credentialsPath = "/2018-06-01/credentials"

	// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB each way.
	maxPayload = 6291556
)

// newSandbox starts a process. It does not wait for its init.
func newSandbox(cfg *Config, log *logBuffer) (*sandbox, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("lambdasim: listen for the Runtime API: %w", err)
	}
	s := &sandbox{
		cfg:        cfg,
		token:      hexID(16),
		ready:      make(chan struct{}),
		polling:    make(chan struct{}),
		restored:   make(chan struct{}),
		initFailed: make(chan struct{}),
		events:     make(chan *invocation),
		running:    map[string]*invocation{},
	}
	s.srv = &http.Server{Handler: s.handler()}
	go s.srv.Serve(ln)
	s.proc, err = startProcess(cfg.Binary, cfg.environ(ln.Addr().String(), s.token), log)
	if err != nil {
		s.srv.Close()
		return nil, err
	}
	return s, nil
}

// kill ends the process and its children and waits until they are gone.
func (s *sandbox) kill() {
	s.proc.kill()
	<-s.proc.exited
	s.srv.Close()
}

// ended reports whether the process is gone.
func (s *sandbox) ended() bool {
	select {
	case <-s.proc.exited:
		return true
	default:
		return false
	}
}

// handler serves what aws-lambda-go calls: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (s *sandbox) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+runtimePrefix+"/invocation/next", s.next)
	mux.HandleFunc("POST "+runtimePrefix+"/invocation/{id}/response", s.response)
	mux.HandleFunc("POST "+runtimePrefix+"/invocation/{id}/error", s.invocationError)
	mux.HandleFunc("POST "+runtimePrefix+"/init/error", s.reportInitError)
	mux.HandleFunc("GET "+runtimePrefix+"/restore/next", s.restoreNext)
	mux.HandleFunc("POST "+runtimePrefix+"/restore/error", s.reportInitError)
	mux.HandleFunc("GET "+credentialsPath, s.credentials)
	mux.HandleFunc("POST /2020-01-01/extension/register", s.registerExtension)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // no event is ever sent: the only known extension subscribes to none
	})
	return mux
}

// next hands over the next event; it blocks until there is one, however long that takes.
func (s *sandbox) next(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	for id, inv := range s.running {
		if inv.answered {
			s.finish(id, inv)
		}
	}
	s.mu.Unlock()
	s.pollingOnce.Do(func() { close(s.polling) })
	s.readyOnce.Do(func() { close(s.ready) })
	select {
	case inv := <-s.events:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.Add(inv.ahead).UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn",
			"arn:aws:lambda:"+s.cfg.Region+":"+s.cfg.AccountID+":function:"+s.cfg.FunctionName)
		h.Set("Lambda-Runtime-Trace-Id", fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0",
			time.Now().Unix(), hexID(12), hexID(8)))
		w.Write(inv.payload)
	case <-r.Context().Done():
	}
}

// response takes the answer. It does not end the invocation: that is the process's next request for an event
// (aws-lambda-go, lambda/runtime_api_client.go). Concurrent pollers cannot be told apart, so there the answer ends it.
func (s *sandbox) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	if err != nil {
		return // the connection broke: the process is gone
	}
	if len(body) > maxPayload {
		tooLarge := &FunctionError{Type: "Function.ResponseSizeTooLarge", Message: fmt.Sprintf(
			"Response payload size exceeded maximum allowed payload size (%d bytes).", maxPayload)}
		tooLarge.sent = tooLarge.payload()
		s.answer(w, r, nil, tooLarge, http.StatusRequestEntityTooLarge)
		return
	}
	// A response that failed half-way says so in its trailer.
	if r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "" {
		sent, err := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		if err != nil {
			sent = nil
		}
		s.answer(w, r, nil, parseFunctionError(sent, http.Header(r.Trailer)), http.StatusAccepted)
		return
	}
	s.answer(w, r, body, nil, http.StatusAccepted)
}

func (s *sandbox) invocationError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload))
	if err != nil {
		return
	}
	s.answer(w, r, nil, parseFunctionError(body, r.Header), http.StatusAccepted)
}

func (s *sandbox) answer(w http.ResponseWriter, r *http.Request, body []byte, fnErr *FunctionError, status int) {
	id := r.PathValue("id")
	s.mu.Lock()
	if inv := s.running[id]; inv != nil && !inv.answered {
		inv.answered, inv.response, inv.fnErr = true, body, fnErr
		if s.cfg.InitType == ManagedInstances {
			s.finish(id, inv)
		}
	}
	s.mu.Unlock()
	// Also for an invocation that has timed out on Managed Instances: its answer is dropped, but a refusal would make
	// aws-lambda-go end the process with all that still runs in it.
	w.WriteHeader(status)
	io.WriteString(w, `{"status":"OK"}`)
}

// finish needs s.mu.
func (s *sandbox) finish(id string, inv *invocation) {
	delete(s.running, id)
	close(inv.done)
}

// reported is what the process said about its init or restore.
func (s *sandbox) reported() *FunctionError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.initError
}

func (s *sandbox) reportInitError(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxPayload))
	s.initFailedOnce.Do(func() {
		s.mu.Lock()
		s.initError = parseFunctionError(body, r.Header)
		s.mu.Unlock()
		close(s.initFailed)
	})
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, `{"status":"OK"}`)
}

// restoreNext is how a runtime with hooks says that the snapshot may be taken; it returns after the restore.
// https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-custom.html
func (s *sandbox) restoreNext(w http.ResponseWriter, r *http.Request) {
	if s.cfg.InitType != SnapStart {
		http.Error(w, "not a SnapStart function", http.StatusForbidden)
		return
	}
	s.readyOnce.Do(func() { close(s.ready) })
	select {
	case <-s.restored:
		w.WriteHeader(http.StatusOK)
	case <-r.Context().Done():
	}
}

// credentials is the container endpoint of the SDK's default chain.
func (s *sandbox) credentials(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(s.token)) != 1 {
		http.Error(w, `{"code":"AccessDenied","message":"wrong token"}`, http.StatusForbidden)
		return
	}
	c := s.cfg.Credentials
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{
		"AccessKeyId":     c.AccessKeyID,
		"SecretAccessKey": c.SecretAccessKey,
		"Token":           c.SessionToken,
		"Expiration":      time.Now().Add(c.Lifetime).UTC().Format(time.RFC3339),
	})
}

// registerExtension is all of the Extensions API that matters here: who registers gets SIGTERM before SIGKILL.
func (s *sandbox) registerExtension(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.sigterm = true
	s.mu.Unlock()
	w.Header().Set("Lambda-Extension-Identifier", uuid())
	json.NewEncoder(w).Encode(map[string]string{
		"functionName": s.cfg.FunctionName, "functionVersion": s.cfg.Version, "handler": "bootstrap",
	})
}

// hexID returns n random bytes in hex.
func hexID(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func uuid() string {
	h := hexID(16)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}
