package secrets_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets"
)

// A read that waits longer than a second with nothing to serve says so once, for all who wait for the same variables.
func TestJournal_WaitIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{delay: 3 * time.Second}
		var log bytes.Buffer
		env := p.env(t, map[string]string{"A": "sm://a"}, secrets.WithLogger(textLog(&log)))
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() { mustGet(t, env, "A") })
		}
		readers.Wait()
		if got := log.String(); strings.Count(got, "msg=secrets.wait") != 1 ||
			!strings.Contains(got, "level=WARN msg=secrets.wait waiting=[A] for=1s\n") {
			t.Errorf("logged:\n%s", got)
		}
	})
}

// A read that ends within a second, or has an old value, is silent about its wait.
func TestJournal_ShortWaitIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &script{delay: 900 * time.Millisecond}
		var log bytes.Buffer
		env := p.env(t, map[string]string{"A": "sm://a"}, secrets.WithLogger(textLog(&log)))
		mustGet(t, env, "A")
		time.Sleep(6 * time.Minute)
		p.set(3*time.Second, nil)
		if v := mustGet(t, env, "A"); !v.Stale() {
			t.Error("the old value is not stale")
		}
		if strings.Contains(log.String(), "secrets.wait") {
			t.Errorf("logged:\n%s", log.String())
		}
	})
}

// Failures of references that are not variables are logged at most once a minute, with their number.
func TestJournal_UndeclaredOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := new(script)
		p.fail(secrets.ErrNotFound)
		var log bytes.Buffer
		env := p.env(t, map[string]string{}, secrets.WithLogger(textLog(&log)))
		for i := range 12 { // at 0 s, 10 s, … 110 s
			if _, err := env.Resolve(t.Context(), secrets.Secret(fmt.Sprint("s", i))); err == nil {
				t.Error("no error")
			}
			time.Sleep(10 * time.Second)
		}
		var lines []string
		for line := range strings.Lines(log.String()) {
			_, line, _ = strings.Cut(line, "msg=")
			line, _, _ = strings.Cut(line, " error=")
			lines = append(lines, line)
		}
		want := []string{"secrets.undeclared reference=sm://s0 failures=1", "secrets.undeclared reference=sm://s6 failures=6"}
		if fmt.Sprint(lines) != fmt.Sprint(want) {
			t.Errorf("got  %q\nwant %q", lines, want)
		}
	})
}
