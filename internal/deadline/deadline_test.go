package deadline_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lambdasecrets/secrets/internal/deadline"
)

func TestLeft_Reserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := deadline.Left(t.Context(), time.Hour); got != time.Hour {
			t.Errorf("without a deadline: %v", got)
		}
		for until, want := range map[time.Duration]time.Duration{
			10 * time.Second: 9750 * time.Millisecond, time.Second: 750 * time.Millisecond,
			400 * time.Millisecond: 300 * time.Millisecond, 0: 0, -time.Minute: 0,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), until)
			if got := deadline.Left(ctx, time.Hour); got != want {
				t.Errorf("%v before the deadline: %v, want %v", until, got, want)
			}
			cancel()
		}
	})
}
