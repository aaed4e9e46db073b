package fleet

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAccount_Quota(t *testing.T) {
	for _, tt := range []struct {
		name   string
		quotas Quotas
		op     string
		values int
		after  time.Duration // since the bucket was emptied
		want   int           // calls of 100 that are admitted then
	}{
		{"40 shared, at once", Default(), "ssm:GetParameters", 5, 0, 0},
		{"40 shared, after a quarter", Default(), "ssm:GetParameters", 5, 250 * time.Millisecond, 10},
		{"40 shared, the other operation", Default(), "ssm:GetParameter", 1, 250 * time.Millisecond, 10},
		{"40 shared, never more than a second's", Default(), "ssm:GetParameters", 5, time.Hour, 40},
		{"high throughput apart", HighThroughput(), "ssm:GetParameter", 1, 0, 100},
		{"batches", Default(), "secretsmanager:BatchGetSecretValue", 3, 500 * time.Millisecond, 50},
		{"KMS behind the values", Quotas{"kms:Decrypt": 50}, "ssm:GetParameters", 10, time.Second, 5},
		{"no quota", Quotas{}, "ssm:GetParameters", 10, 0, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(Scenario{Quotas: tt.quotas})
				for range 5000 {
					a.call("ssm:GetParameters", 1)
					a.call("secretsmanager:BatchGetSecretValue", 1)
				}
				time.Sleep(tt.after)
				n := 0
				for range 100 {
					if v, _ := a.call(tt.op, tt.values); v == admitted {
						n++
					}
				}
				if n != tt.want {
					t.Errorf("%d calls were admitted, want %d", n, tt.want)
				}
			})
		})
	}
}

func TestReport_Bins(t *testing.T) {
	calls := make([]int, 35)
	for i := range calls {
		calls[i] = 1
	}
	calls[12] = 11
	if r := RateOf(calls, 0, 30*time.Second); r != (Rate{Mean: 40.0 / 30, Peak1: 11, Peak10: 2}) {
		t.Errorf("%+v", r)
	}
	if b := Bins(calls, 20*time.Second, 35*time.Second, 10*time.Second); len(b) != 1 || b[0] != 10 {
		t.Errorf("%v: a bin that is not full must be left out", b)
	}
}

// PoissonPeak against draws.
func TestPoissonPeak_Draws(t *testing.T) {
	for _, mean := range []float64{40, 390, 1200} {
		bins := 150
		var peaks []float64
		for seed := range uint64(41) {
			perBin := make([]int, bins)
			for _, at := range Poisson(mean, time.Duration(bins)*time.Second, seed) {
				perBin[int(at/time.Second)]++
			}
			peaks = append(peaks, peak(perBin)/mean)
		}
		within := 0
		for _, p := range peaks {
			if p <= PoissonPeak(mean, bins)+1/mean {
				within++
			}
		}
		// About half of them: the median of 41 runs lies between the 9th and the 33rd in all but
		// one of ten thousand cases.
		if got := PoissonPeak(mean, bins); within < 9 || within > 37 {
			t.Errorf("mean %v: %.3f is above %d of 41 simulated peaks", mean, got, within)
		}
	}
}

func TestCost_PerMonth(t *testing.T) {
	var r *Report
	s := Scenario{Starts: Burst(10, time.Second, 1), Length: 2 * time.Second, Parameters: 5, Secrets: 3}
	per := func(quotas Quotas, batch bool) Cost {
		s.Quotas, s.Batch = quotas, batch
		synctest.Test(t, func(t *testing.T) { r, _ = Run(s) })
		return r.Cost()
	}
	// Ten environments, one invocation each: a million invocations are 5 million parameters, 3
	// million secrets, 8 million decrypts, and 1 + 3 + 8 million events.
	near := func(name string, got, want Cost) {
		t.Helper()
		for _, p := range [][2]float64{{got.SSM, want.SSM}, {got.SecretsManager, want.SecretsManager},
			{got.KMS, want.KMS}, {got.Guard, want.Guard}, {got.Trail, want.Trail}} {
			if math.Abs(p[0]-p[1]) > 1e-6 {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
		}
	}
	near("default", per(Default(), false), Cost{SSM: 0, SecretsManager: 15, KMS: 24, Guard: 48, Trail: 240})
	near(
		"high throughput",
		per(HighThroughput(), false),
		Cost{SSM: 25, SecretsManager: 15, KMS: 24, Guard: 48, Trail: 240},
	)
	near("batch", per(Default(), true), Cost{SSM: 0, SecretsManager: 15, KMS: 24, Guard: 52, Trail: 260})
}

func TestChart_IsXML(t *testing.T) {
	c := Chart{
		Title:  `a < b & "c"`,
		X:      "x",
		Y:      "y",
		Series: []Series{{Name: "<s>", Points: []Point{{0, 0}, {3, 7}}}, {Name: "empty"}},
	}
	for _, c.Log = range []bool{false, true} {
		d := xml.NewDecoder(strings.NewReader(c.SVG()))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(c.SVG(), "NaN") || strings.Contains(c.SVG(), "Inf") {
			t.Error("a coordinate is no number")
		}
	}
}

func TestChart_Ticks(t *testing.T) {
	for _, m := range []float64{0.7, 1, 1.9, 3, 24, 45, 99, 1000, 3790} {
		all := ticks(m)
		if last := all[len(all)-1]; last < m || last > 2*m || len(all) < 4 || len(all) > 12 {
			t.Errorf("%v: %v", m, all)
		}
	}
}
