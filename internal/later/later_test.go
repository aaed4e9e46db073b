package later_test

import (
	"fmt"
	"testing"

	"github.com/lambdasecrets/secrets/internal/later"
)

func TestMutex(t *testing.T) {
	var m later.Mutex
	did := ""
	do := func(s string) {
		m.Do(func() {
			m.Lock() // nobody holds it while this is done
			did += s
			m.Unlock()
		})
	}
	for _, step := range []struct {
		do     string
		unlock func()
		want   string
	}{{"a", m.Release, ""}, {"b", m.Unlock, "ab"}, {"", m.Unlock, "ab"}} {
		m.Lock()
		if step.do != "" {
			do(step.do)
		}
		if step.unlock(); did != step.want {
			t.Errorf("after %q: did %q, want %q", step.do, did, step.want)
		}
	}
	m.Lock()
	m.Do(func() { panic("x") })
	func() {
		defer func() {
			if got := fmt.Sprint(recover()); got != "x" {
				t.Errorf("recovered %s", got)
			}
		}()
		m.Unlock()
	}()
	m.Lock() // it was released
	m.Do(func() { did = "once more" })
	m.Unlock()
	if did != "once more" {
		t.Errorf("after a panic: did %q", did)
	}
}
