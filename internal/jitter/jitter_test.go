package jitter

import "testing"

func TestLess_Range(t *testing.T) {
	t.Parallel()
	low, high := 100, 0
	for range 1000 {
		d := int(Less(100, 0.5))
		low, high = min(low, d), max(high, d)
	}
	if low < 50 || low > 55 || high < 95 || high > 100 {
		t.Errorf("from %d to %d, want 50 to 100", low, high)
	}
}
