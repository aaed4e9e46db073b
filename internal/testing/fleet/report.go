package fleet

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A Report is what happened in a run.
type Report struct {
	Scenario     Scenario
	Environments []Environment
	account      *account
}

// Calls returns the calls of operations that begin with prefix ("ssm:", or "" for all), second by
// second, whatever became of them.
func (r *Report) Calls(prefix string) []int { return r.sum(prefix, admitted, throttled, failed) }

// Throttled returns those that AWS refused for their number.
func (r *Report) Throttled(prefix string) []int { return r.sum(prefix, throttled) }

func (r *Report) sum(prefix string, which ...verdict) []int {
	seconds := make([]int, int(r.Scenario.Length/time.Second)+1)
	for op, record := range r.account.record {
		if !strings.HasPrefix(op, prefix) {
			continue
		}
		for i, b := range record {
			for _, v := range which {
				if i < len(seconds) {
					seconds[i] += b[v]
				}
			}
		}
	}
	return seconds
}

// Bins adds up seconds in groups of width, from one moment to another. A last group that is not
// full is left out.
func Bins(seconds []int, from, to, width time.Duration) (bins []int) {
	for t := from; t+width <= to; t += width {
		n := 0
		for i := int(t / time.Second); i < int((t+width)/time.Second) && i < len(seconds); i++ {
			n += seconds[i]
		}
		bins = append(bins, n)
	}
	return bins
}

// A Rate is calls per second.
type Rate struct {
	Mean, Peak1, Peak10 float64 // the peaks in bins of 1 and 10 s
}

// RateOf returns the rate between two moments.
func RateOf(seconds []int, from, to time.Duration) Rate {
	return Rate{
		Mean:   mean(Bins(seconds, from, to, time.Second)),
		Peak1:  peak(Bins(seconds, from, to, time.Second)),
		Peak10: peak(Bins(seconds, from, to, 10*time.Second)) / 10,
	}
}

func mean(bins []int) float64 { return float64(total(bins)) / float64(max(1, len(bins))) }

func peak(bins []int) float64 {
	if len(bins) == 0 {
		return 0
	}
	return float64(slices.Max(bins))
}

func total(bins []int) (n int) {
	for _, b := range bins {
		n += b
	}
	return n
}

// Durations returns what f says of every environment, sorted; those of which it says 0 are left
// out.
func (r *Report) Durations(f func(Environment) time.Duration) []time.Duration {
	var all []time.Duration
	for _, e := range r.Environments {
		if d := f(e); d > 0 {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	return all
}

// Warm returns how long each environment's init phase waited for its secrets, sorted.
func (r *Report) Warm() []time.Duration {
	return r.Durations(func(e Environment) time.Duration { return e.Warm })
}

// Ready returns how long each environment took until an invocation had everything, sorted.
func (r *Report) Ready() []time.Duration {
	return r.Durations(func(e Environment) time.Duration { return e.Ready })
}

// Count adds up what f says of every environment.
func (r *Report) Count(f func(Environment) int) (n int) {
	for _, e := range r.Environments {
		n += f(e)
	}
	return n
}

// Quantile returns the q-quantile of sorted durations, or 0 if there are none.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// Recovery returns for how long after the end of the last outage a warm environment still served
// stale values.
func (r *Report) Recovery() time.Duration {
	var end, last time.Duration
	for _, o := range r.Scenario.Outages {
		end = max(end, o.To)
	}
	for _, e := range r.Environments {
		if e.Stale > 0 && e.Fresh == 0 {
			return r.Scenario.Length // it never did
		}
		last = max(last, e.Fresh)
	}
	return max(0, last-end)
}

// String returns the figures, a line each.
func (r *Report) String() string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "  %-22s "+format+"\n", append([]any{what}, args...)...)
	}
	s := r.Scenario
	fmt.Fprintf(
		&b,
		"%s: %d environments, %d parameters, %d secrets, %v\n",
		s.Name,
		len(s.Starts),
		s.Parameters,
		s.Secrets,
		s.Length,
	)
	for _, service := range []string{"ssm:", "secretsmanager:", "kms:"} {
		if calls := r.Calls(service); total(calls) > 0 {
			rate := RateOf(calls, 0, s.Length)
			line(
				service,
				"%d calls, %.1f/s mean, %.0f/s peak in 1 s, %.1f/s peak in 10 s, %d throttled",
				total(calls),
				rate.Mean,
				rate.Peak1,
				rate.Peak10,
				total(r.Throttled(service)),
			)
		}
	}
	line("calls per environment", "%.2f", float64(total(r.Calls("")))/float64(len(s.Starts)))
	warm, ready := r.Warm(), r.Ready()
	line(
		"warm",
		"p50 %v, p99 %v, max %v; %d failed, %d crashes",
		round(Quantile(warm, .5)),
		round(Quantile(warm, .99)),
		round(Quantile(warm, 1)),
		r.Count(
			func(e Environment) int { return count(e.WarmFailed) },
		),
		r.Count(func(e Environment) int { return e.Crashes }),
	)
	line(
		"ready",
		"p50 %v, p99 %v, max %v; %d of %d within the timeout",
		round(Quantile(ready, .5)),
		round(Quantile(ready, .99)),
		round(Quantile(ready, 1)),
		r.InTime(),
		len(s.Starts),
	)
	line(
		"reads",
		"%d by %d invocations; %d stale, %d failed",
		r.Count(func(e Environment) int { return e.Reads }),
		r.Invocations(),
		r.Count(func(e Environment) int { return e.Stale }),
		r.Count(func(e Environment) int { return e.Failed }),
	)
	return b.String()
}

// Invocations returns how many invocations the environments served after their first.
func (r *Report) Invocations() int { return r.Count(func(e Environment) int { return e.Invoked }) }

// InTime returns how many environments had everything within the init's 2 seconds and the
// function's timeout.
func (r *Report) InTime() int {
	return r.Count(
		func(e Environment) int { return count(e.Ready > 0 && e.Ready <= 2*time.Second+r.Scenario.Timeout) },
	)
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// PoissonPeak returns how far the highest of n bins stands above the mean if calls fell into them
// independently of each other, as a multiple of the mean: the median over many such runs. No policy
// can be expected to do better without its environments talking to each other.
func PoissonPeak(mean float64, n int) float64 {
	// The first k that all n bins stay within with a probability of one half.
	log, below := -mean, math.Exp(-mean)
	for k := 1.0; ; k++ {
		if k > mean && math.Pow(min(1, below), float64(n)) >= 0.5 {
			return (k - 1) / mean
		}
		log += math.Log(mean / k)
		below += math.Exp(log)
	}
}
