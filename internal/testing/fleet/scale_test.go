package fleet

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// .ci/run fleet sets the first, .ci/fleet the others.
var (
	fleets = flag.Bool("fleets", false, "simulate fleets of a thousand, which takes seconds")
	full   = flag.Bool("full", false, "simulate fleets of ten thousand, which takes minutes")
	docs   = flag.String("docs", "", "write the curves into this folder, and the tables into its scale.md")
)

// TestScale shows the promises for ten thousand environments, and makes the figures of
// docs/scale.md.
func TestScale(t *testing.T) {
	if !*full {
		t.Skip("takes minutes: .ci/fleet, or -full")
	}
	f := figures{}
	for _, part := range []struct {
		name string
		run  func(*testing.T, figures)
	}{{"start", start}, {"burst", bursts}, {"poisson", poisson}, {"steady", steadyState}, {"outage", outage},
		{"rotation", rotation}, {"policies", policies}, {"cost", costs}} {
		t.Run(part.name, func(t *testing.T) { part.run(t, f) })
	}
	if *docs != "" && !t.Failed() {
		if err := f.write(*docs); err != nil {
			t.Fatal(err)
		}
	}
}

func tenThousand(name string) Scenario {
	s := thousand(name)
	s.Starts, s.Quotas = Burst(10_000, 10*time.Second, 1), HighThroughput()
	return s
}

func start(t *testing.T, f figures) {
	table := [][]string{
		{
			"environments started in 10 s",
			"client",
			"ready in time",
			"ready: p50",
			"p99",
			"max",
			"crashes",
			"calls per environment",
			"SSM throttled",
			"SSM peak in 1 s, in 10 s",
		},
	}
	chart := Chart{
		Title: "1,000 environments started over 10 s, on the default 40/s",
		X:     "seconds",
		Y:     "environments ready",
	}
	for _, tt := range []struct {
		what string
		s    Scenario
		all  bool // are to be ready in time
	}{
		{"1,000 on 40/s", thousand(""), true},
		{"10,000 on 40/s", Scenario{Starts: Burst(10_000, 10*time.Second, 1), Length: 5 * time.Minute, Parameters: 5,
			Secrets: 3, Quotas: Default()}, false},
		{"10,000 on high throughput", tenThousand(""), true},
	} {
		for _, client := range []string{"library", "library, batch", "a call per name"} {
			s := tt.s
			s.Name = tt.what + ", " + client
			s.Batch = client == "library, batch"
			if s.Batch && tt.what != "10,000 on high throughput" ||
				client == "a call per name" && tt.what == "10,000 on 40/s" {
				continue // the quota of batches is the same for both; and nothing comes of the last
			}
			if client == "a call per name" {
				s.Client = PerName
			}
			r := run(t, s)
			if tt.all && client == "library" {
				allReady(t, r)
			}
			ready, ssm := r.Ready(), RateOf(r.Calls("ssm:"), 0, s.Length)
			table = append(
				table,
				[]string{
					tt.what,
					client,
					fmt.Sprint(r.InTime()),
					text(Quantile(ready, .5)),
					text(Quantile(ready, .99)),
					text(Quantile(ready, 1)),
					fmt.Sprint(r.Count(func(e Environment) int { return e.Crashes })),
					fmt.Sprintf(
						"%.1f",
						perEnvironment(r),
					),
					fmt.Sprint(total(r.Throttled("ssm:"))),
					fmt.Sprintf("%.0f/s, %.0f/s", ssm.Peak1, ssm.Peak10),
				},
			)
			if len(s.Starts) == 1000 {
				chart.Series = append(chart.Series, Series{Name: client, Points: readyOver(r)})
			}
		}
	}
	chart.Series = append(
		chart.Series,
		Series{Name: "the quota's own pace", Dashed: true, Points: []Point{{0, 40}, {24, 1000}}},
	)
	f["start"] = markdown(table)
	f["scale-start.svg"] = chart.SVG()
}

// readyOver returns how many environments are ready, second by second.
func readyOver(r *Report) (points []Point) {
	var at []time.Duration
	for i, e := range r.Environments {
		if e.Ready > 0 {
			at = append(at, r.Scenario.Starts[i]+e.Ready)
		}
	}
	slices.Sort(at)
	for second := range 46 {
		n, _ := slices.BinarySearch(at, time.Duration(second)*time.Second)
		points = append(points, Point{float64(second), float64(n)})
	}
	return points
}

func bursts(t *testing.T, f figures) {
	table := [][]string{
		{"environments in 10 s", "ready after the init's 2 s", "p50", "p99", "max", "the quota's own pace"},
	}
	var last, pace []Point
	for _, n := range []int{50, 100, 200, 400, 700, 1000, 1500, 2000, 3000} {
		s := thousand(fmt.Sprintf("burst of %d", n))
		s.Starts, s.Length = Burst(n, 10*time.Second, 1), 2*time.Minute
		r := run(t, s)
		ready := r.Ready()
		own := max(0, float64(n)/40)
		table = append(
			table,
			[]string{
				fmt.Sprint(n),
				fmt.Sprintf("%d %%", 100*r.Count(func(e Environment) int { return count(!e.WarmFailed) })/n),
				text(
					Quantile(ready, .5),
				),
				text(Quantile(ready, .99)),
				text(Quantile(ready, 1)),
				fmt.Sprintf("%.1f s", own),
			},
		)
		last, pace = append(
			last,
			Point{float64(n), Quantile(ready, 1).Seconds()},
		), append(
			pace,
			Point{float64(n), own},
		)
	}
	f["burst"] = markdown(table)
	f["scale-burst.svg"] = Chart{
		Title: "How long the slowest of a burst waits, default 40/s",
		X:     "environments started over 10 s",
		Y:     "seconds until ready",
		Series: []Series{
			{Name: "slowest environment", Points: last},
			{Name: "environments ÷ 40", Dashed: true, Points: pace},
		},
	}.SVG()
}

func poisson(t *testing.T, f figures) {
	table := [][]string{
		{
			"cold starts per second",
			"environments alive",
			"SSM calls/s: wanted",
			"made",
			"throttled",
			"ready: p50",
			"p99",
			"max",
			"warm not in 2 s",
			"stale reads",
			"failed reads",
		},
	}
	for _, rate := range []float64{2, 5, 10, 12, 13, 15} {
		life := 10 * time.Minute
		s := Scenario{
			Name:       fmt.Sprintf("poisson %g/s", rate),
			Starts:     Poisson(rate, 20*time.Minute, 1),
			Life:       life,
			Length:     20 * time.Minute,
			Every:      15 * time.Second,
			Parameters: 5,
			Secrets:    3,
			Quotas:     Default(),
		}
		r := run(t, s)
		ready, calls := r.Ready(), RateOf(r.Calls("ssm:"), life, s.Length)
		alive := rate * life.Seconds()
		reads := float64(max(1, r.Count(func(e Environment) int { return e.Reads })))
		share := func(n int, of float64) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/of) }
		table = append(
			table,
			[]string{
				fmt.Sprintf("%g", rate),
				fmt.Sprintf("%.0f", alive),
				fmt.Sprintf("%.0f", rate+alive/refreshEvery(5*time.Minute, s.Every).Seconds()),
				fmt.Sprintf("%.0f", calls.Mean),
				share(
					total(r.Throttled("ssm:")),
					float64(total(r.Calls("ssm:"))),
				),
				text(Quantile(ready, .5)),
				text(Quantile(ready, .99)),
				text(Quantile(ready, 1)),
				share(r.Count(func(e Environment) int { return count(e.WarmFailed) }), float64(len(s.Starts))),
				share(
					r.Count(func(e Environment) int { return e.Stale }),
					reads,
				),
				fmt.Sprint(r.Count(func(e Environment) int { return e.Failed })),
			},
		)
	}
	f["poisson"] = markdown(table)
}

// refreshEvery returns the mean time between two refreshes of one environment: the life is 95 % of
// the TTL on average, a tenth before its end the next read refreshes, and that comes within an
// invocation's pause.
func refreshEvery(ttl, every time.Duration) time.Duration {
	return time.Duration(0.95*0.9*float64(ttl)) + every/2
}

func steadyState(t *testing.T, f figures) {
	s := tenThousand("steady")
	s.Every, s.Length = 10*time.Second, 30*time.Minute
	chart := Chart{
		Title: "Parameter Store calls of 10,000 environments started within 10 s, TTL 5 min",
		X:     "minutes",
		Y:     "calls/s in 10 s bins",
		Log:   true,
	}
	table := [][]string{{"client", "service", "mean", "peak in 1 s", "peak in 10 s", "peak ÷ mean", "Poisson's own"}}
	for _, client := range []Client{Library, PerName} {
		name := []string{"library", "a call per name"}[client]
		s.Client, s.Name = client, "steady, "+name
		r := run(t, s)
		if client == Library {
			for _, service := range []string{"ssm:", "secretsmanager:"} {
				if rate := RateOf(r.Calls(service), 5*time.Minute, s.Length); rate.Peak10 > 1.4*rate.Mean {
					t.Errorf(
						"%s peak %.1f/s in 10 s bins, more than 1.4 times the mean %.1f/s",
						service,
						rate.Peak10,
						rate.Mean,
					)
				}
			}
		}
		for _, service := range []string{"ssm", "secretsmanager"} {
			calls := r.Calls(service + ":")
			rate, own := RateOf(calls, 5*time.Minute, s.Length), "–"
			if client == Library {
				rounds := rate.Mean * 10
				if service == "secretsmanager" {
					rounds /= float64(s.Secrets)
				}
				own = fmt.Sprintf("%.2f", PoissonPeak(rounds, 150))
			}
			table = append(
				table,
				[]string{
					name,
					service,
					fmt.Sprintf("%.1f/s", rate.Mean),
					fmt.Sprintf("%.0f/s", rate.Peak1),
					fmt.Sprintf("%.1f/s", rate.Peak10),
					fmt.Sprintf("%.2f", rate.Peak10/rate.Mean),
					own,
				},
			)
		}
		points := seconds(Bins(r.Calls("ssm:"), 0, s.Length, 10*time.Second), 10)
		for i := range points {
			points[i].X /= 60
		}
		chart.Series = append(chart.Series, Series{Name: name, Points: points})
	}
	f["steady"] = markdown(table)
	f["scale-steady.svg"] = chart.SVG()
}

func outage(t *testing.T, f figures) {
	table := [][]string{
		{
			"environments",
			"failure",
			"failed reads",
			"invocations with a stale value",
			"calls during the outage",
			"recovery",
			"limit",
		},
	}
	chart := Chart{
		Title: "Parameter Store calls around an outage of 10 minutes, 1,000 environments on 40/s",
		X:     "minutes",
		Y:     "calls/s in 10 s bins",
	}
	for _, tt := range []struct {
		what  string
		s     Scenario
		quota float64
		hang  bool
	}{{"1,000 on 40/s", thousand(""), 40, false}, {"1,000 on 40/s", thousand(""), 40, true},
		{"10,000 on high throughput", tenThousand(""), 1000, false}} {
		s := tt.s
		how := map[bool]string{false: "503 at once", true: "no answer"}[tt.hang]
		s.Name, s.Every, s.Length = "outage, "+tt.what+", "+how, 10*time.Second, 25*time.Minute
		s.Outages = []Outage{{Service: "ssm", From: 7 * time.Minute, To: 17 * time.Minute, Hang: tt.hang}}
		r := run(t, s)
		recovers(t, r, tt.quota)
		table = append(table, []string{tt.what, how, fmt.Sprint(r.Count(func(e Environment) int { return e.Failed })),
			fmt.Sprintf(
				"%.0f %%",
				100*float64(
					r.Count(func(e Environment) int { return e.Stale }),
				)/float64(
					s.Parameters,
				)/float64(
					r.Invocations(),
				),
			),
			fmt.Sprintf(
				"%.1f/s",
				RateOf(r.Calls("ssm:"), s.Outages[0].From, s.Outages[0].To).Mean,
			), text(r.Recovery()), fmt.Sprintf("%.1f s", 1.5*float64(len(s.Starts))/tt.quota+30)})
		if tt.quota == 40 {
			points := seconds(Bins(r.Calls("ssm:"), 4*time.Minute, 22*time.Minute, 10*time.Second), 10)
			for i := range points {
				points[i].X = 4 + points[i].X/60
			}
			chart.Series = append(chart.Series, Series{Name: how, Points: points})
		}
	}
	chart.Series = append(
		chart.Series,
		Series{Name: "quota", Dashed: true, Points: []Point{{4, 40}, {22, 40}}},
		Series{Name: "outage", Dashed: true, Points: []Point{{7, 0}, {7, 60}, {17, 60}, {17, 0}}},
	)
	f["outage"] = markdown(table)
	f["scale-outage.svg"] = chart.SVG()
}

func rotation(t *testing.T, f figures) {
	table := [][]string{
		{
			"the old value",
			"new value read: p50",
			"p99",
			"max",
			"Secrets Manager calls/s in 1 s, in 10 s",
			"mean before",
			"invocations that failed",
		},
	}
	for _, refused := range []bool{false, true} {
		s := tenThousand("rotation")
		s.Every, s.Length, s.Rotated, s.Refused = 10*time.Second, 13*time.Minute, 7*time.Minute, refused
		r := run(t, s)
		took := r.Durations(func(e Environment) time.Duration { return e.Rotated })
		lost := r.Count(func(e Environment) int { return e.Refused })
		if lost > 0 {
			t.Errorf("%d invocations were left with the refused credential", lost)
		}
		before, after := RateOf(
			r.Calls("secretsmanager:"),
			5*time.Minute,
			s.Rotated,
		), RateOf(
			r.Calls("secretsmanager:"),
			s.Rotated,
			s.Length,
		)
		table = append(
			table,
			[]string{
				map[bool]string{false: "still works", true: "is refused, Env.Do"}[refused],
				text(Quantile(took, .5)),
				text(Quantile(took, .99)),
				text(Quantile(took, 1)),
				fmt.Sprintf(
					"%.0f, %.0f",
					after.Peak1,
					after.Peak10,
				),
				fmt.Sprintf("%.0f", before.Mean),
				fmt.Sprint(lost),
			},
		)
	}
	f["rotation"] = markdown(table)
}

func policies(t *testing.T, f figures) {
	table := [][]string{
		{
			"TTL",
			"refresh calls/s of 1,000 environments: SSM",
			"Secrets Manager",
			"Secrets Manager, batch",
			"40/s is full with",
			"cost per million invocations",
		},
	}
	for _, ttl := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour} {
		s := thousand("TTL " + ttl.String())
		s.TTL, s.Every, s.Length, s.Quotas = ttl, 10*time.Second, max(20*time.Minute, 3*ttl), HighThroughput()
		r := run(t, s)
		ssm, sm := RateOf(r.Calls("ssm:"), ttl, s.Length), RateOf(r.Calls("secretsmanager:"), ttl, s.Length)
		s.Batch = true
		batch := RateOf(run(t, s).Calls("secretsmanager:"), ttl, s.Length)
		table = append(
			table,
			[]string{
				ttl.String(),
				fmt.Sprintf("%.2f", ssm.Mean),
				fmt.Sprintf("%.2f", sm.Mean),
				fmt.Sprintf("%.2f", batch.Mean),
				fmt.Sprintf("%.0f environments", 1000*40/ssm.Mean),
				fmt.Sprintf("$%.2f", r.Cost().Total()),
			},
		)
	}
	f["policies"] = markdown(table)
}

func costs(t *testing.T, f figures) {
	table := [][]string{
		{
			"client",
			"invocations of an environment",
			"Parameter Store",
			"Secrets Manager",
			"KMS",
			"GuardDuty",
			"total",
			"second trail",
		},
	}
	for _, every := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		for _, tt := range []struct {
			name   string
			client Client
			batch  bool
			quotas Quotas
		}{{"library, 40/s", Library, false, Default()}, {"library, high throughput", Library, false, HighThroughput()},
			{"library, high throughput, batch", Library, true, HighThroughput()},
			{"a call per name, high throughput", PerName, false, HighThroughput()}} {
			s := Scenario{
				Name:       tt.name,
				Starts:     Burst(200, time.Minute, 1),
				Life:       30 * time.Minute,
				Length:     31 * time.Minute,
				Every:      every,
				Parameters: 5,
				Secrets:    3,
				Client:     tt.client,
				Batch:      tt.batch,
				Quotas:     tt.quotas,
			}
			c := run(t, s).Cost()
			row := []string{tt.name, "one per " + every.String()}
			for _, usd := range []float64{c.SSM, c.SecretsManager, c.KMS, c.Guard, c.Total(), c.Trail} {
				row = append(row, fmt.Sprintf("$%.2f", usd))
			}
			table = append(table, row)
		}
	}
	f["cost"] = markdown(table)
}

// figures is what docs/scale.md shows: a curve by its file, a table by its name.
type figures map[string]string

// write writes the curves into dir, and replaces the tables of its scale.md, which stand between
// <!-- name --> and <!-- end -->.
func (f figures) write(dir string) error {
	path := filepath.Join(dir, "scale.md")
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(page)
	for name, figure := range f {
		if strings.HasSuffix(name, ".svg") {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(figure), 0o666); err != nil {
				return err
			}
			continue
		}
		before, rest, found := strings.Cut(text, "<!-- "+name+" -->\n")
		_, after, ended := strings.Cut(rest, "<!-- end -->")
		if !found || !ended {
			return fmt.Errorf("%s has no place for the table %q", path, name)
		}
		text = before + "<!-- " + name + " -->\n" + figure + "<!-- end -->" + after
	}
	return os.WriteFile(path, []byte(text), 0o666)
}

func markdown(table [][]string) string {
	var b strings.Builder
	for i, row := range table {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}

// text prints a duration for a table: a glance wants two or three digits.
func text(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}
