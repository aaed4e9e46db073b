// Package lambdasim runs a built Lambda function on this machine as Lambda would: it starts the bootstrap binary with
// Lambda's environment variables, speaks the Runtime API with it over loopback, enforces the init limit and the
// function timeout, runs init again after a crash, and stops the process between invocations.
//
// [Build] makes the binary, [Start] starts it and waits until its init is over, [Function.Invoke] sends an event,
// [Function.Freeze] and [Function.Thaw] stop and continue the process at other times than Lambda would, and
// [Function.Logs] returns what CloudWatch Logs would hold. [Run] does all of it for one event.
//
// One [Function] is one execution environment. A second Invoke waits for the first, where Lambda would start another
// environment; start several Functions for that. Managed Instances are the exception: they take
// [Config.MaxConcurrency] events at a time.
//
// # What this machine cannot do
//
// SIGSTOP holds the process but both of its clocks run on, while Lambda's freeze holds CLOCK_MONOTONIC too and a
// restored snapshot finds the wall clock far ahead. A test whose freeze was one of equal clocks says so in its output
// ([ClockNote]); a binary of BuildWithClocks has clocks that can be moved apart, on Linux. A snapshot is likewise
// a stopped process, never a copy: one Function cannot become two environments with the same memory, and a connection
// open at the snapshot is still open after the restore.
// There is no X-Ray daemon, no Telemetry API and no response streaming. Extensions are known only as far as
// aws-lambda-go's WithEnableSIGTERM needs them.
//
// The process runs as the user of this one, without Lambda's read-only file system, memory limit or seccomp filter.
// It needs a Unix; elsewhere Start returns [errors.ErrUnsupported].
package lambdasim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ClockNote is the line a test prints when it stands in for a freeze or a restore that parts the clocks.
const ClockNote = "lambdasim: the wall and the monotonic clock ran on together while the process was stopped; " +
	"Lambda holds the monotonic one. TestClocks_FrozenProcess moves them apart."

// InitType says when Lambda runs init and what follows it. Its values are those of AWS_LAMBDA_INITIALIZATION_TYPE.
type InitType string

const (
	// OnDemand runs init right before the first event, for at most 10 s. An init that fails or takes longer is run
	// again at the first invocation, under the function timeout.
	OnDemand InitType = "on-demand"
	// ProvisionedConcurrency runs init at Start; the first event comes whenever the caller sends it.
	ProvisionedConcurrency InitType = "provisioned-concurrency"
	// SnapStart runs init at Start, stops the process as the snapshot would, and continues it at the first Invoke.
	// Credentials come from the container endpoint, not from variables, and those of the log group are absent.
	SnapStart InitType = "snap-start"
	// ManagedInstances sends up to MaxConcurrency events at a time to one process, which is never frozen and not
	// killed by a timeout.
	ManagedInstances InitType = "lambda-managed-instances"
)

// Config describes a function. Only Binary is needed.
type Config struct {
	Binary string // path of the bootstrap; its folder is the task root and the working directory

	// Env is what the function's configuration holds: at most 4 KB, no reserved names, as Lambda refuses them.
	// Nothing of this process's own environment reaches the function.
	Env map[string]string

	InitType       InitType      // OnDemand
	MaxConcurrency int           // of ManagedInstances, 16; refused elsewhere if above 1
	Memory         int           // MB, 128; 2048 under ManagedInstances, their least
	Timeout        time.Duration // of one invocation, 3 s; at most 900 s
	// InitLimit replaces Lambda's own: 10 s on demand, otherwise 130 s or Timeout if that is longer, 15 min on
	// Managed Instances.
	InitLimit time.Duration

	FunctionName string // "function"
	Version      string // "$LATEST", or "1" where only published versions are possible
	Region       string // "us-east-1"
	AccountID    string // "123456789012"
	Credentials  Credentials

	// NoFreeze leaves the process running between invocations. Lambda does so on Managed Instances only.
	NoFreeze bool
	// CPULimit gives the process Memory/1769 of a core from its first event on, as Lambda does. Init keeps the whole
	// machine, as it (nearly) does on Lambda on demand. Refused under ManagedInstances, whose share follows from the
	// instance. See [Function.CPULimiter].
	CPULimit bool

	// Log receives the function's output and the platform's lines as they come, one Write at a time. Nil: only
	// [Function.Logs] keeps them.
	Log io.Writer
}

// Credentials are the execution role's. They are test values by default and open nothing.
type Credentials struct {
	AccessKeyID     string        // "AKIDLAMBDASIM"
	SecretAccessKey string        // "lambdasim-secret-access-key"
	SessionToken    string        // "lambdasim-session-token"
	Lifetime        time.Duration // of what the container endpoint serves under SnapStart, 6 h from the request
}

// withDefaults fills what is empty and refuses what Lambda would refuse.
func (c Config) withDefaults() (Config, error) {
	if c.Binary == "" {
		return c, errors.New("lambdasim: Config.Binary is empty")
	}
	binary, err := filepath.Abs(c.Binary)
	if err != nil {
		return c, fmt.Errorf("lambdasim: find binary: %w", err)
	}
	c.Binary = binary
	c.InitType = cmp.Or(c.InitType, OnDemand)
	switch c.InitType {
	case OnDemand, ProvisionedConcurrency, SnapStart:
		if c.MaxConcurrency > 1 {
			return c, fmt.Errorf("lambdasim: MaxConcurrency %d needs ManagedInstances", c.MaxConcurrency)
		}
		c.MaxConcurrency = 1
	case ManagedInstances:
		c.MaxConcurrency = cmp.Or(c.MaxConcurrency, 16)
	default:
		return c, fmt.Errorf("lambdasim: unknown InitType %q", c.InitType)
	}
	if c.InitType == ManagedInstances {
		c.Memory = cmp.Or(c.Memory, 2048)
	}
	c.Memory = cmp.Or(c.Memory, 128)
	c.Timeout = cmp.Or(c.Timeout, 3*time.Second)
	c.FunctionName = cmp.Or(c.FunctionName, "function")
	if c.InitType == ProvisionedConcurrency || c.InitType == SnapStart {
		c.Version = cmp.Or(c.Version, "1")
	}
	c.Version = cmp.Or(c.Version, "$LATEST")
	c.Region = cmp.Or(c.Region, "us-east-1")
	c.AccountID = cmp.Or(c.AccountID, "123456789012")
	c.Credentials.AccessKeyID = cmp.Or(c.Credentials.AccessKeyID, "AKIDLAMBDASIM")
	c.Credentials.SecretAccessKey = cmp.Or(c.Credentials.SecretAccessKey, "lambdasim-secret-access-key")
	c.Credentials.SessionToken = cmp.Or(c.Credentials.SessionToken, "lambdasim-session-token")
	c.Credentials.Lifetime = cmp.Or(c.Credentials.Lifetime, 6*time.Hour)
	if c.Memory < 128 || c.Memory > 32768 || c.MaxConcurrency < 1 || c.InitLimit < 0 {
		return c, fmt.Errorf("lambdasim: out of range: Memory %d MB, MaxConcurrency %d, InitLimit %v",
			c.Memory, c.MaxConcurrency, c.InitLimit)
	}
	if c.Timeout < 0 || c.Timeout > 900*time.Second {
		return c, fmt.Errorf("lambdasim: Timeout %v is not within 900 s", c.Timeout)
	}
	if c.CPULimit && c.InitType == ManagedInstances {
		return c, errors.New("lambdasim: CPULimit does not go with ManagedInstances")
	}
	if c.InitLimit == 0 {
		switch c.InitType {
		case OnDemand:
			c.InitLimit = 10 * time.Second
		case ManagedInstances:
			c.InitLimit = 15 * time.Minute
		default:
			c.InitLimit = max(130*time.Second, c.Timeout)
		}
	}
	return c, checkEnv(c.Env)
}

var envName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]+$`)

// reserved are the variables a function's configuration may not set.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
var reserved = strings.Fields(`_HANDLER _X_AMZN_TRACE_ID AWS_DEFAULT_REGION AWS_REGION AWS_EXECUTION_ENV
	AWS_LAMBDA_FUNCTION_NAME AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_VERSION
	AWS_LAMBDA_INITIALIZATION_TYPE AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME AWS_ACCESS_KEY
	AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_LAMBDA_RUNTIME_API LAMBDA_TASK_ROOT
	LAMBDA_RUNTIME_DIR AWS_LAMBDA_MAX_CONCURRENCY AWS_LAMBDA_METADATA_API AWS_LAMBDA_METADATA_TOKEN`)

func checkEnv(env map[string]string) error {
	size := 0
	for name, value := range env {
		if !envName.MatchString(name) {
			return fmt.Errorf("lambdasim: Lambda refuses the variable name %q", name)
		}
		for _, r := range reserved {
			if name == r {
				return fmt.Errorf("lambdasim: the variable %s is reserved by Lambda", name)
			}
		}
		size += len(name) + len(value)
	}
	if size > 4096 {
		return fmt.Errorf("lambdasim: the variables take %d bytes, Lambda allows 4096", size)
	}
	return nil
}

// environ is the whole environment of the process, with the Runtime API at api (host:port).
func (c *Config) environ(api, containerToken string) []string {
	env := maps.Clone(c.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, map[string]string{
		"AWS_LAMBDA_RUNTIME_API":          api,
		"AWS_LAMBDA_FUNCTION_NAME":        c.FunctionName,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(c.Memory),
		"AWS_LAMBDA_FUNCTION_VERSION":     c.Version,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  string(c.InitType),
		"AWS_REGION":                      c.Region,
		"AWS_DEFAULT_REGION":              c.Region,
		"LAMBDA_TASK_ROOT":                filepath.Dir(c.Binary),
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"_HANDLER":                        "bootstrap",
	})
	// A configuration may set these on Lambda too.
	for name, value := range map[string]string{
		"PATH":            "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
		"LANG":            "en_US.UTF-8",
		"TZ":              ":UTC",
	} {
		if _, ok := env[name]; !ok {
			env[name] = value
		}
	}
	if c.InitType == SnapStart {
		env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://" + api + credentialsPath
		env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = containerToken
	} else {
		env["AWS_ACCESS_KEY_ID"] = c.Credentials.AccessKeyID
		env["AWS_SECRET_ACCESS_KEY"] = c.Credentials.SecretAccessKey
		env["AWS_SESSION_TOKEN"] = c.Credentials.SessionToken
		env["AWS_LAMBDA_LOG_GROUP_NAME"] = "/aws/lambda/" + c.FunctionName
		env["AWS_LAMBDA_LOG_STREAM_NAME"] = time.Now().UTC().Format("2006/01/02") + "/[" + c.Version + "]" + hexID(16)
	}
	if c.InitType == ManagedInstances {
		env["AWS_LAMBDA_MAX_CONCURRENCY"] = strconv.Itoa(c.MaxConcurrency)
	}
	out := make([]string, 0, len(env))
	for name, value := range env {
		out = append(out, name+"="+value)
	}
	return out
}

// Run starts the function, sends it one event and closes it: what a main needs to try a handler. It blocks until the
// answer is there. An error of the function is in the Result, not in the error; see [Start] and [Function.Invoke].
func Run(ctx context.Context, cfg Config, event []byte) (Result, error) {
	f, err := Start(ctx, cfg)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	return f.Invoke(ctx, event)
}
