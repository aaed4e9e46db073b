// Command handler is the function that the tests of lambdasim run. Its init does what the variable INIT says, its
// handler what the event says.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

// ticks counts while the process runs, and stands still while it is frozen.
var ticks atomic.Int64

// concurrent counts the invocations in the process.
var concurrent atomic.Int64

type event struct {
	Do  string `json:"do"`
	Arg string `json:"arg"`
}

func init() {
	go func() {
		for range time.Tick(time.Millisecond) {
			ticks.Add(1)
		}
	}()
	what, arg, _ := strings.Cut(os.Getenv("INIT"), " ")
	// With ONCE only the first process that sees the file missing does it: a fault that a second init finds cured.
	if once := os.Getenv("ONCE"); once != "" {
		if _, err := os.Stat(once); err == nil {
			return
		}
		if err := os.WriteFile(once, nil, 0o600); err != nil {
			panic(err)
		}
	}
	switch what {
	case "sleep":
		time.Sleep(duration(arg))
	case "panic":
		panic(arg)
	case "exit":
		os.Exit(0)
	case "report":
		url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/init/error"
		http.Post(url, "application/json", strings.NewReader(arg))
		select {} // waits to be killed
	case "restore":
		resp, err := http.Get("http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/restore/next")
		if err != nil {
			panic(err)
		}
		fmt.Println("after restore:", resp.StatusCode)
	}
}

func main() {
	if os.Getenv("SIGTERM") != "" {
		lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM(func() { fmt.Println("got SIGTERM") }))
		return
	}
	signal.Ignore(syscall.SIGTERM)
	lambda.Start(handle)
}

func handle(ctx context.Context, e event) (any, error) {
	now := concurrent.Add(1)
	defer concurrent.Add(-1)
	switch e.Do {
	case "echo":
		fmt.Println("echo", e.Arg)
		return e.Arg, nil
	case "ticks":
		return ticks.Load(), nil
	case "sleep":
		fmt.Println("sleep", e.Arg)
		time.Sleep(duration(e.Arg))
		return now, nil
	case "spin":
		before := processorTime()
		for end := time.Now().Add(duration(e.Arg)); time.Now().Before(end); {
		}
		return processorTime() - before, nil
	case "deadline":
		end, _ := ctx.Deadline()
		return time.Until(end).Milliseconds(), nil
	case "error":
		return nil, errors.New(e.Arg)
	case "panic":
		panic(e.Arg)
	case "exit":
		os.Exit(3)
	case "big":
		return strings.Repeat("x", 7<<20), nil
	case "env":
		return os.Environ(), nil
	case "credentials":
		req, err := http.NewRequest("GET", os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"), nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")+e.Arg)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}
	return nil, fmt.Errorf("unknown event %q", e.Do)
}

// processorTime is what the process has used, in nanoseconds.
func processorTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}
