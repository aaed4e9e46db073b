package lambdasim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// FunctionError is what the invoker sees of an invocation that failed.
type FunctionError struct {
	Type    string          `json:"errorType"`
	Message string          `json:"errorMessage"`
	Stack   json.RawMessage `json:"stackTrace,omitempty"` // as the function sent it

	sent []byte // the whole as the function sent it; nil if these are Lambda's own words
}

// Error returns type and message.
func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

func (e *FunctionError) payload() []byte {
	if e.sent != nil {
		return e.sent
	}
	b, err := json.Marshal(e)
	if err != nil { // only if the stack is no JSON, and it came out of JSON
		panic(err)
	}
	return b
}

// parseFunctionError reads what a runtime posts. The type may stand in a header only.
func parseFunctionError(body []byte, h http.Header) *FunctionError {
	e := &FunctionError{}
	if err := json.Unmarshal(body, e); err != nil {
		e = &FunctionError{Message: string(body)}
	}
	if e.Type == "" {
		e.Type = h.Get("Lambda-Runtime-Function-Error-Type")
	}
	e.sent = slices.Clip(body)
	if e.sent == nil {
		e.sent = []byte{}
	}
	return e
}

// timedOut is the type of the error when the function timeout has passed.
const timedOut = "Sandbox.Timedout"

func (f *Function) timeoutError() *FunctionError {
	return &FunctionError{Type: timedOut,
		Message: fmt.Sprintf("Task timed out after %.2f seconds", f.cfg.Timeout.Seconds())}
}

// exitError waits for the end of the process.
func exitError(box *sandbox) *FunctionError {
	return &FunctionError{Type: "Runtime.ExitError", Message: box.proc.exitText()}
}
