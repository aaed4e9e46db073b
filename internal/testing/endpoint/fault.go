package endpoint

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Action is what a [Fault] does to a request.
type Action string

const (
	Deny     Action = "deny"      // AccessDeniedException, because no identity-based policy allows it
	DenyBare Action = "deny-bare" // the same in the older words, without a reason
	DenySCP  Action = "deny-scp"  // AccessDeniedException by a service control policy
	DenyKey  Action = "deny-key"  // AccessDeniedException, because no resource-based policy, such as a key's, allows it
	Throttle Action = "throttle"  // ThrottlingException in the service's words
	Fail     Action = "fail"      // the Fault's Code, Status and Message
	// InvalidSignatureException, if X-Amz-Date is over five minutes off the service's clock
	Skew Action = "skew"

	HTML503 Action = "html-503" // a load balancer's 503
	// half an answer under the whole one's Content-Length, then the end of the connection
	Truncated     Action = "truncated"
	TruncatedJSON Action = "truncated-json" // half an answer, complete as HTTP
	Garbled       Action = "garbled"        // no JSON
	WrongTypes    Action = "wrong-types"    // every member of the answer has a wrong type
	Empty         Action = "empty"          // no body at all
	Missing       Action = "missing"        // the answer without the Fault's Member
	// GetParametersByPath: no parameters, and a NextToken. Without effect elsewhere
	EmptyPage Action = "empty-page"

	Hang             Action = "hang"               // no answer until the client or the server goes
	HangAfterHeaders Action = "hang-after-headers" // status and headers, then the same
	CutFIN           Action = "cut-fin"            // the connection closes unanswered
	CutRST           Action = "cut-rst"            // it is reset unanswered
	CutSilent        Action = "cut-silent"         // the connection is dead from now on and nobody says so
)

// Fault is a bad day. Empty conditions match everything.
type Fault struct {
	Do Action

	Operation string    // glob: "ssm:*"
	Region    string    // exactly
	Resource  string    // part of a name, path, ID or ARN asked for; see Call.Resources
	Times     int       // how many requests; 0 means all
	Skip      int       // how many to let pass first
	Until     time.Time // by the service's clock; zero means for ever

	Code    string // of Fail
	Status  int    // of Fail; default 400
	Message string // of Fail
	Member  string // of Missing: a member's name, at whatever depth; "" leaves {}
}

// FaultHandle is a fault in force.
type FaultHandle struct {
	server *Server
	fault  Fault
	seen   int // requests that matched, those skipped included
	hits   int
}

// Fault puts f in force. Of several that match a request, the one added first acts.
func (s *Server) Fault(f Fault) *FaultHandle {
	h := &FaultHandle{server: s, fault: f}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, h)
	return h
}

// Remove ends it. Requests that hang already go on hanging.
func (h *FaultHandle) Remove() {
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	for i, other := range h.server.faults {
		if other == h {
			h.server.faults = append(h.server.faults[:i:i], h.server.faults[i+1:]...)
			return
		}
	}
}

// Hits is the number of requests it has acted on.
func (h *FaultHandle) Hits() int {
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	return h.hits
}

// SetLatency delays the answers of an operation, or of "*" all that have no latency of their own, by d. Zero ends it.
func (s *Server) SetLatency(operation string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency[operation] = d
}

func (s *Server) latencyOf(op string) time.Duration {
	if d, ok := s.latency[op]; ok {
		return d
	}
	return s.latency["*"]
}

// match picks the fault for a call and counts it.
func (s *Server) match(c *Call) *FaultHandle {
	for _, h := range s.faults {
		f := h.fault
		if f.Operation != "" && !glob(f.Operation, c.Operation) || f.Region != "" && f.Region != c.Region ||
			!f.Until.IsZero() && !c.Time.Before(f.Until) || f.Times > 0 && h.hits >= f.Times {
			continue
		}
		if f.Resource != "" && !strings.Contains(strings.Join(c.Resources, "\n"), f.Resource) {
			continue
		}
		if h.seen++; h.seen <= f.Skip {
			continue
		}
		h.hits++
		return h
	}
	return nil
}

// refuse is the error that a fault answers with instead of running the operation, or nil.
func (h *FaultHandle) refuse(s *Server, r *http.Request, c *Call) error {
	st := s.region(c.account, c.Region)
	switch f := h.fault; f.Do {
	case Deny:
		return deny(c.Caller, c.Operation, h.resource(st, c),
			"because no identity-based policy allows the "+c.Operation+" action")
	case DenyBare:
		return deny(c.Caller, c.Operation, h.resource(st, c), "")
	case DenyKey:
		return deny(c.Caller, c.Operation, h.resource(st, c),
			"because no resource-based policy allows the "+c.Operation+" action")
	case DenySCP:
		return deny(c.Caller, c.Operation, h.resource(st, c), "with an explicit deny in a service control policy")
	case Throttle:
		return throttled(c.Operation)
	case Fail:
		return &Error{Status: f.Status, Code: f.Code, Message: f.Message}
	case Skew:
		const form, limit = "20060102T150405Z", 5 * time.Minute
		sent, err := time.Parse(form, r.Header.Get("X-Amz-Date"))
		now := s.now().UTC()
		switch {
		case err != nil:
			return errorf("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'.")
		case sent.Before(now.Add(-limit)):
			return errorf("InvalidSignatureException", "Signature expired: %s is now earlier than %s (%s - 5 min.)",
				sent.Format(form), now.Add(-limit).Format(form), now.Format(form))
		case sent.After(now.Add(limit)):
			return errorf("InvalidSignatureException", "Signature not yet current: %s is still later than %s (%s "+
				"+ 5 min.)", sent.Format(form), now.Add(limit).Format(form), now.Format(form))
		}
	}
	return nil
}

// resource is what a denial names: the ARN of the first resource the fault is about.
func (h *FaultHandle) resource(st *Store, c *Call) string {
	for _, id := range c.Resources {
		if !strings.Contains(id, h.fault.Resource) {
			continue
		}
		switch service, _, _ := strings.Cut(c.Operation, ":"); service {
		case "ssm":
			return st.scope.ParameterARN(id)
		case "kms":
			if k, err := st.findKey(id); err == nil {
				return k.arn
			}
			return st.scope.KeyARN(id)
		case "secretsmanager":
			if c.Operation == "secretsmanager:BatchGetSecretValue" {
				return "*"
			}
			return id // AWS repeats it as it was sent
		}
	}
	return "*"
}

const html503 = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n" +
	"<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n"

// spoil turns a finished answer into a bad one. Status 0 says that there is nothing left to send. Connections are cut
// under net/http, which learns of it by [http.ErrAbortHandler].
func (h *FaultHandle) spoil(s *Server, w http.ResponseWriter, r *http.Request, status int,
	answer []byte) (int, []byte) {
	switch h.fault.Do {
	case HTML503:
		w.Header().Set("Content-Type", "text/html")
		w.Header().Del("X-Amzn-Requestid") // the load balancer has none
		return http.StatusServiceUnavailable, []byte(html503)
	case TruncatedJSON:
		return status, answer[:len(answer)/2]
	case Garbled:
		return status, []byte("\x1f\x8b\x00}{ not JSON \xff")
	case WrongTypes:
		return status, wrongTypes(answer)
	case Empty:
		return status, nil
	case Missing:
		return status, without(answer, h.fault.Member)
	case Truncated:
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		w.WriteHeader(status)
		w.Write(answer[:len(answer)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case HangAfterHeaders:
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		w.WriteHeader(status)
		http.NewResponseController(w).Flush()
		h.hang(r.Context())
	case Hang:
		h.hang(r.Context())
	case CutFIN:
		connOf(r.Context()).cut(FIN)
		panic(http.ErrAbortHandler)
	case CutRST:
		connOf(r.Context()).cut(RST)
		panic(http.ErrAbortHandler)
	case CutSilent:
		connOf(r.Context()).cut(Silent)
		h.hang(r.Context())
	default:
		return status, answer
	}
	return 0, nil
}

// hang waits for the client or the server to go. net/http ends the request's context for either.
func (h *FaultHandle) hang(ctx context.Context) {
	<-ctx.Done()
	panic(http.ErrAbortHandler)
}

// wrongTypes makes strings numbers and everything else strings, one level down.
func wrongTypes(answer []byte) []byte {
	var members map[string]any
	_ = json.Unmarshal(answer, &members) // our own JSON
	for name, v := range members {
		if _, ok := v.(string); ok {
			members[name] = 42
		} else {
			members[name] = "wrong"
		}
	}
	b, _ := json.Marshal(members)
	return b
}

// without drops every member of that name.
func without(answer []byte, member string) []byte {
	if member == "" {
		return []byte("{}")
	}
	var v any
	_ = json.Unmarshal(answer, &v)
	var drop func(any)
	drop = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, member)
			for _, inner := range v {
				drop(inner)
			}
		case []any:
			for _, inner := range v {
				drop(inner)
			}
		}
	}
	drop(v)
	b, _ := json.Marshal(v)
	return b
}
