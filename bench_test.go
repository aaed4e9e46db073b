package secrets_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
)

// BenchmarkGet measures a cached read beside the floor of any read with a TTL: one map lookup, one atomic load and one reading of the clock.
// Get may cost 1.3 times as much.
func BenchmarkGet(b *testing.B) {
	type held struct {
		value secrets.Value
		until int64
	}
	floor := map[string]*atomic.Pointer[held]{}
	for _, name := range []string{"WHOLE", "FIELD", "OTHER", "ANOTHER"} {
		floor[name] = &atomic.Pointer[held]{}
		floor[name].Store(&held{secrets.NewValue("x", ""), time.Now().Add(time.Hour).UnixNano()})
	}
	p := &script{answer: func(context.Context, int, string) (string, error) { return `{"x":"y"}`, nil }}
	env := p.env(b, map[string]string{"WHOLE": "sm://a", "FIELD": "sm://a#x", "OTHER": "sm://b", "ANOTHER": "ssm:///c"}, secrets.WithTTL(24*time.Hour))
	if err := env.Warm(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	get := func(name string) func() bool {
		return func() bool { v, err := env.Get(ctx, name); return err == nil && !v.IsZero() }
	}
	for _, bench := range []struct {
		name string
		do   func() bool
	}{
		{"floor", func() bool {
			h := floor["WHOLE"].Load()
			return time.Now().UnixNano() < h.until && !h.value.IsZero()
		}},
		{"whole", get("WHOLE")},
		{"field", get("FIELD")},
	} {
		for _, goroutines := range []struct {
			name string
			n    int
		}{{"1", 1}, {"2", 2}, {"64", 64}} {
			b.Run(bench.name+"/goroutines="+goroutines.name, func(b *testing.B) {
				b.ReportAllocs()
				if goroutines.n == 1 {
					for b.Loop() {
						if !bench.do() {
							b.Fatal("no value")
						}
					}
					return
				}
				share(b, goroutines.n, bench.do)
			})
		}
	}
}

// share has n goroutines do b.N calls together.
func share(b *testing.B, n int, do func() bool) {
	done := make(chan bool)
	for i := range n {
		calls := b.N / n
		if i < b.N%n {
			calls++
		}
		go func() {
			ok := true
			for range calls {
				ok = do() && ok
			}
			done <- ok
		}()
	}
	for range n {
		if !<-done {
			b.Fatal("no value")
		}
	}
}
