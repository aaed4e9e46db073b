package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/parallel"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// An arrival is a result, and when it was delivered.
type arrival struct {
	secrets.Result
	after time.Duration
}

// arrivals streams refs from p until ctx ends. It fails where one is delivered twice or not at all.
func arrivals(t testing.TB, ctx context.Context, p secrets.Provider, texts ...string) []arrival {
	t.Helper()
	began, mu := time.Now(), sync.Mutex{}
	var refs []secrets.Ref
	for _, text := range texts {
		ref, err := secrets.ParseRef(text)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref.Source())
	}
	got, counts := make([]arrival, len(refs)), make([]int, len(refs))
	secrets.Stream(ctx, p, refs, func(i int, r secrets.Result) {
		mu.Lock()
		defer mu.Unlock()
		got[i] = arrival{r, time.Since(began)}
		counts[i]++
	})
	for i, n := range counts {
		if n != 1 {
			t.Errorf("%s was delivered %d times", texts[i], n)
		}
		if strings.Contains(secrets.Detail(got[i].Err), "returned without a result") {
			t.Errorf("%s was not delivered", texts[i])
		}
	}
	return got
}

// Nine of ten answer in 5 ms and one hangs: nine are there in 5 ms, whatever the backend.
func TestStream_OneHangs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		seed func(*endpoint.Store) []string // references; the first one hangs
		hang endpoint.Fault
	}{
		{"kms", func(st *endpoint.Store) (refs []string) {
			bad := st.CreateKey()
			refs = append(refs, kmsRef(st.Encrypt(bad, []byte("x"), nil)))
			st.CreateAlias("alias/bad", bad)
			good := st.CreateKey()
			for range 9 {
				refs = append(refs, kmsRef(st.Encrypt(good, []byte("x"), nil)))
			}
			return refs
		}, endpoint.Fault{Times: 1}},
		{"secretsmanager", func(st *endpoint.Store) (refs []string) {
			for i := range 10 {
				name := fmt.Sprintf("s%d", i)
				st.PutSecret(name, "x")
				refs = append(refs, "sm://"+name)
			}
			return refs
		}, endpoint.Fault{Resource: "s0"}},
		{"parameters beside a tree", func(st *endpoint.Store) []string {
			return append([]string{"ssm:///p/*"}, put(st, "/a", "/b", "/c")...)
		}, endpoint.Fault{Operation: "ssm:GetParametersByPath"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, p := endpoint.New(endpoint.Options{}), endpoint.NewPipe()
				go s.Serve(p)
				defer s.Close()
				cfg := config("http://aws.test")
				cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(
					func(t *http.Transport) { t.DialContext = p.DialContext })
				refs := test.seed(s.Region(region))
				s.SetLatency("*", 5*time.Millisecond)
				test.hang.Do = endpoint.Hang
				s.Fault(test.hang)
				provider := secrets.NewSSM(cfg)
				switch test.name {
				case "kms":
					provider = secrets.NewKMS(cfg)
				case "secretsmanager":
					provider = secrets.NewSecretsManager(cfg)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				good := 0
				for _, a := range arrivals(t, ctx, provider, refs...) {
					if a.Err == nil && a.after <= 6*time.Millisecond {
						good++
					}
				}
				if good != len(refs)-1 {
					t.Errorf("%d of %d were delivered at once", good, len(refs)-1)
				}
			})
		})
	}
}

// A ProviderFunc of which one call hangs, panics or ends its goroutine brings the others at once.
func TestStream_ProviderFunc(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]func(context.Context){
		"hangs":              func(ctx context.Context) { <-ctx.Done() },
		"panics":             func(context.Context) { panic("hunter2") },
		"ends its goroutine": func(context.Context) { runtime.Goexit() },
		"answers, but late":  func(context.Context) { time.Sleep(900 * time.Millisecond) },
		"panics, but late":   func(ctx context.Context) { <-ctx.Done(); panic("hunter2") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := secrets.ProviderFunc(func(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
					if ref.ID() == "bad" {
						bad(ctx)
						return secrets.Value{}, errors.New("bad")
					}
					time.Sleep(5 * time.Millisecond)
					return secrets.NewValue(ref.ID(), ""), nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				got := arrivals(t, ctx, p, "sm://bad", "sm://a", "sm://b", "sm://c")
				for _, a := range got[1:] {
					if a.Err != nil || a.after != 5*time.Millisecond {
						t.Errorf("a good one: %v after %v", a.Err, a.after)
					}
				}
				if got[0].Err == nil || strings.Contains(secrets.Detail(got[0].Err), "hunter2") {
					t.Errorf("the bad one: %v", got[0].Err)
				}
			})
		})
	}
}

// outer has a Fetch of its own and embeds a Provider that streams.
type outer struct{ secrets.ProviderFunc }

func (outer) Fetch(_ context.Context, refs []secrets.Ref) []secrets.Result {
	return slices.Repeat([]secrets.Result{{Value: secrets.NewValue("outer", "")}}, len(refs))
}

// The Fetch of a user's type is called, whatever it embeds; what it fails to deliver is an error.
func TestStream_OwnFetch(t *testing.T) {
	t.Parallel()
	inner := secrets.ProviderFunc(func(context.Context, secrets.Ref) (secrets.Value, error) {
		return secrets.NewValue("inner", ""), nil
	})
	if got := arrivals(t, t.Context(), outer{inner}, "sm://a")[0]; got.Value.Reveal() != "outer" {
		t.Errorf("%q", got.Value.Reveal())
	}
	for name, p := range map[string]providing{
		"miscounts": func(context.Context, []secrets.Ref) []secrets.Result { return nil },
		"panics":    func(context.Context, []secrets.Ref) []secrets.Result { panic("hunter2") },
		"ends":      func(context.Context, []secrets.Ref) []secrets.Result { runtime.Goexit(); return nil },
		"writes into the references": func(_ context.Context, refs []secrets.Ref) []secrets.Result {
			refs[0] = secrets.Ref{}
			return nil
		},
	} {
		for _, a := range arrivals(t, t.Context(), p, "sm://a", "sm://b") {
			if !errors.Is(a.Err, secrets.ErrUnavailable) || strings.Contains(secrets.Detail(a.Err), "hunter2") ||
				!strings.Contains(a.Err.Error(), "secretsmanager://") && !strings.Contains(a.Err.Error(), "sm://") {
				t.Errorf("%s: %v", name, a.Err)
			}
		}
	}
}

// Names that are asked for one by one stay within the width.
func TestStream_EachStaysWithinWidth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var now, most int
		p := providing(func(_ context.Context, refs []secrets.Ref) []secrets.Result {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(5 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			return make([]secrets.Result, len(refs))
		})
		var refs []secrets.Ref
		for i := range 100 {
			refs = append(refs, secrets.Secret(fmt.Sprint("s", i)))
		}
		count := 0
		secrets.StreamEach(t.Context(), p, refs, func(int, secrets.Result) {
			mu.Lock()
			count++
			mu.Unlock()
		})
		if count != 100 || most != 32 {
			t.Errorf("%d results, %d at once", count, most)
		}
	})
}

// A call failed as a whole if it asked for several names and brought none of them.
func TestStream_WholeCall(t *testing.T) {
	t.Parallel()
	wholes := map[string]bool{"-": false, "+": false, "--": true, "+-": false, "-+": false, "++": false}
	for results, want := range wholes {
		p := providing(func(context.Context, []secrets.Ref) (all []secrets.Result) {
			for _, r := range results {
				if r == '+' {
					all = append(all, secrets.Result{Value: secrets.NewValue("v", "")})
				} else {
					all = append(all, secrets.Result{Err: errOdd})
				}
			}
			return all
		})
		refs := []secrets.Ref{secrets.Secret("a"), secrets.Secret("b")}[:len(results)]
		secrets.Stream(t.Context(), p, refs, func(i int, r secrets.Result) {
			if got := secrets.ResultWhole(r); got != want {
				t.Errorf("%s, number %d: %t, want %t", results, i, got, want)
			}
		})
	}
}

// Batches of several share the width, since each may have to be taken apart. Those of one cost no more than one.
func TestStreamBatches_Width(t *testing.T) {
	t.Parallel()
	for batches, want := range map[string]int{"aaa": 32, "aaa b c d": 32, "aaa bb": 16, "aaa bb c": 16} {
		var refs []secrets.Ref
		for i, key := range strings.ReplaceAll(batches, " ", "") {
			refs = append(refs, secrets.Secret(fmt.Sprint(string(key), i)))
		}
		of := func(r secrets.Ref) (key, name string) { return r.ID()[:1], r.ID() }
		fetch := func(ctx context.Context, refs []secrets.Ref, deliver func(int, secrets.Result)) {
			if got := parallel.WidthOf(ctx); len(refs) > 1 && got != want {
				t.Errorf("%s: a batch has the width %d, want %d", batches, got, want)
			}
			for i := range refs {
				deliver(i, secrets.Result{Value: secrets.NewValue("v", "")})
			}
		}
		var mu sync.Mutex
		count := 0
		secrets.StreamBatches(parallel.WithWidth(t.Context(), 32), refs, func(int, secrets.Result) {
			mu.Lock()
			count++
			mu.Unlock()
		}, 10, of, fetch)
		if count != len(refs) {
			t.Errorf("%s: %d results", batches, count)
		}
	}
}

// A result is delivered once, also by a provider that panics while a goroutine of its own still has one to bring.
func TestStream_SecondResultIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := make(chan struct{})
		p := secrets.NewStreamer(func(_ context.Context, _ []secrets.Ref, deliver func(int, secrets.Result)) {
			deliver(0, secrets.Result{Value: secrets.NewValue("first", "")})
			go func() {
				<-late
				deliver(1, secrets.Result{Value: secrets.NewValue("late", "")})
			}()
			panic("the provider is broken")
		})
		var came []string
		refs := parseRefs(t, "sm://a", "sm://b")
		secrets.Stream(t.Context(), p, refs, func(i int, r secrets.Result) {
			came = append(came, fmt.Sprint(i, " ", r.Err == nil))
		})
		close(late)
		synctest.Wait()
		if want := []string{"0 true", "1 false"}; !slices.Equal(came, want) {
			t.Errorf("%q, want %q", came, want)
		}
	})
}
