package awsclient

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
)

// However many ask at once, and however often, a command that fails is started once in commandRest; one that works
// again is noticed.
func TestRemembering_FailingCommand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var starts atomic.Int32
		var fixed atomic.Bool
		p := remembering(aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials,
			error) {
			starts.Add(1)
			time.Sleep(100 * time.Millisecond)
			if fixed.Load() {
				return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
			}
			return aws.Credentials{}, &processcreds.ProviderError{Err: errors.New("exit status 1")}
		})))
		all := func() {
			var wg sync.WaitGroup
			for range 25 {
				wg.Go(func() {
					for range 4 {
						_, err := p.Retrieve(t.Context())
						if (err == nil) != fixed.Load() {
							t.Errorf("%v", err)
						}
					}
				})
			}
			wg.Wait()
		}
		all()
		if n := starts.Load(); n != 1 {
			t.Errorf("the command was started %d times", n)
		}
		fixed.Store(true)
		time.Sleep(commandRest)
		all()
		if n := starts.Load(); n != 2 {
			t.Errorf("after its rest the command was started %d times in all, want 2", n)
		}
	})
}

// Other failures are not remembered: the caller paces them. Who gives up leaves at once.
func TestRemembering_OtherFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		p := remembering(aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials,
			error) {
			if calls.Add(1) == 3 {
				time.Sleep(time.Minute)
			}
			return aws.Credentials{}, errors.New("throttled")
		})))
		for want := int32(1); want <= 2; want++ {
			if _, err := p.Retrieve(t.Context()); err == nil || calls.Load() != want {
				t.Errorf("%v after %d calls", err, calls.Load())
			}
		}
		began := time.Now()
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			var canceled *aws.RequestCanceledError
			if _, err := p.Retrieve(ctx); !errors.As(err, &canceled) {
				t.Errorf("%v", err)
			}
			cancel()
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("two callers with a second each waited %v", took)
		}
		time.Sleep(time.Minute) // the SDK's own call goes on
	})
}

// The SDK asks a provider what it is; ours answers as the cache below it does, and leaves all others as they are.
func TestRemembering_IsTransparent(t *testing.T) {
	t.Parallel()
	p := remembering(aws.NewCredentialsCache(aws.AnonymousCredentials{}))
	if !aws.IsCredentialsProvider(p, aws.AnonymousCredentials{}) {
		t.Error("anonymous credentials are hidden")
	}
	for _, p := range []aws.CredentialsProvider{nil, aws.AnonymousCredentials{}} {
		if remembering(p) != p {
			t.Errorf("%T is wrapped", p)
		}
	}
}

func TestFilesRead_Names(t *testing.T) {
	t.Setenv("AWS_CONFIG_FILE", "/tmp/config")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "")
	if got := FilesRead(config.SharedConfigProfileNotExistError{Profile: "x"}); !strings.HasSuffix(got,
		"/credentials, /tmp/config") && !strings.HasPrefix(got, "/tmp/config, ") {
		t.Error(got)
	}
	if got := FilesRead(errors.New("x")); got != "" {
		t.Error(got)
	}
}
