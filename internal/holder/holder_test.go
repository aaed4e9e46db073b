package holder

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// version is a value that was fetched at a second.
type version int

func (v version) Equal(w version) bool { return v == w }
func (v version) FetchedAt() time.Time { return time.Unix(int64(v), 0) }

// Who read an old value, and does not need it, gets what is there; who needs it gets it.
func TestUseOfAnOldValue(t *testing.T) {
	tests := []struct {
		name string
		v    version
		need bool
		want version
	}{
		{"the same", 2, false, 2},
		{"an older one", 1, false, 2},
		{"an older one that is needed", 1, true, 1},
		{"a newer one", 3, false, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := New(func(_ context.Context, v version) (version, error) { return v, nil }, func(version) {}, nil)
			use := func(v version, need bool) (got version) {
				from, err := h.Use(t.Context(), v, need, func(it version) error { got = it; return nil })
				if err != nil || from != got {
					t.Errorf("built from %d, said to be from %d: %v", got, from, err)
				}
				return got
			}
			use(2, false)
			if got := use(test.v, test.need); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// While builds fail, the old one is used and the pauses grow to 30 seconds; a caller who gives up opens none.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		builds, reports := 0, 0
		h := New(func(ctx context.Context, v version) (int, error) {
			if v == 1 {
				return 1, nil
			}
			builds++
			return 0, errors.Join(errors.New("broken"), ctx.Err())
		}, func(int) {}, func(version, error) { reports++ })
		use := func(ctx context.Context, v version) {
			if _, err := h.Use(ctx, v, false, func(int) error { return nil }); err != nil {
				t.Error(err)
			}
		}
		use(t.Context(), 1)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		use(over, 2)
		if use(t.Context(), 2); builds != 2 {
			t.Errorf("%d builds, want one for him who gave up and one for the next", builds)
		}
		for began := time.Now(); time.Since(began) < 121*time.Second; time.Sleep(100 * time.Millisecond) {
			use(t.Context(), 2)
		}
		// After 0, 1, 3, 7, 15, 31, 61, 91 and 121 s, to the tenth.
		if builds != 1+9 && builds != 1+8 {
			t.Errorf("%d builds in two minutes", builds-1)
		}
		if reports != 1 {
			t.Errorf("%d reports, want 1", reports)
		}
	})
}
