// Command benchmarks measures the library against what users would pick instead, on the embedded
// endpoint in a process of its own. It prints every sample as a line of Go's benchmarks, for
// benchstat:
//
//	go run . [-peers] [-before DIR] [-only cold,cached,…] [-rounds 15] [-latency 20ms] >bench.txt
//	benchstat -col /how bench.txt
//
// Every sample comes from a fresh process, and the contenders take turns, so that a busy machine
// slows all of them alike. With -before the library of an older commit, checked out in DIR, is a
// contender as well, under names that end in @before. .ci/bench runs it with everything.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/bench"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("benchmarks: ")
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve":
			if err := serve(os.Args[2], os.Args[3]); err != nil {
				log.Fatal(err)
			}
			return
		}
	}
	if err := drive(); err != nil {
		log.Fatal(err)
	}
}

func drive() error {
	d := &driver{}
	peers := flag.Bool("peers", false, "measure the contenders of other modules too, ./contenders")
	before := flag.String("before", "", "`directory` with an older commit of the library, to measure too")
	flag.StringVar(&d.filter, "how", "", "only these contenders, separated by commas")
	only := flag.String("only", "", "what to measure")
	flag.BoolVar(&d.quick, "quick", false, "measure the most telling part, in some five minutes")
	flag.DurationVar(&d.effort, "effort", 0, "of each sample of cached reads, twice (default 1s, or 100ms with -quick)")
	flag.IntVar(&d.rounds, "rounds", 0, "samples of each (default 15, or 5 with -quick)")
	latency := flag.Duration("latency", 20*time.Millisecond, "of each call")
	flag.Parse()
	if d.quick {
		*only = cmp.Or(*only, "cold,cached,first,size,instructions,growth")
		d.rounds, d.effort = cmp.Or(d.rounds, 5), cmp.Or(d.effort, 100*time.Millisecond)
	}
	*only = cmp.Or(*only, "cold,cached,refresh,size,instructions,growth,start,first,width")
	d.rounds, d.effort = cmp.Or(d.rounds, 15), cmp.Or(d.effort, time.Second)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "benchmarks")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d.dir = dir
	if d.self, err = os.Executable(); err != nil {
		return err
	}
	if err := d.buildPrograms(ctx, *peers, *before); err != nil {
		return err
	}
	end, err := d.startEndpoint(*latency)
	if err != nil {
		return err
	}
	defer end()
	fmt.Printf(
		"goos: %s\ngoarch: %s\npkg: github.com/lambdasecrets/secrets/internal/testing/benchmarks\n",
		runtime.GOOS,
		runtime.GOARCH,
	)
	fmt.Printf(
		"go: %s\nlatency: %v\ncores: %d\nsamples: %d\n",
		runtime.Version(),
		*latency,
		runtime.NumCPU(),
		d.rounds,
	)
	for _, part := range strings.Split(*only, ",") {
		measure := map[string]func(context.Context) error{
			"cold":         d.cold,
			"cached":       d.cached,
			"refresh":      d.refresh,
			"size":         d.size,
			"instructions": d.instructions,
			"growth":       d.growth,
			"start":        d.start,
			"first":        d.first,
			"width":        d.width,
		}[part]
		if measure == nil {
			return fmt.Errorf("cannot measure %q", part)
		}
		if err := measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

// driver runs the contenders' processes and prints what they say.
type driver struct {
	self, filter string
	dir          string
	programs     []program
	before       string // the go.mod that has the older commit in the library's place, or ""
	rounds       int
	quick        bool
	effort       time.Duration // of a sample of cached reads
	worldFile    string
	world        bench.World
}

// startEndpoint starts the endpoint in a process of its own, which ends with this one.
func (d *driver) startEndpoint(latency time.Duration) (end func(), err error) {
	cmd := exec.Command(d.self, "serve", latency.String(), filepath.Join(d.dir, "ca.pem"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &d.world)
	}
	d.worldFile = filepath.Join(d.dir, "world.json")
	if err == nil {
		err = os.WriteFile(d.worldFile, line, 0o600)
	}
	end = func() { in.Close(); cmd.Wait() }
	if err != nil {
		end()
		return nil, fmt.Errorf("start endpoint: %w", err)
	}
	return end, nil
}

// serve is the endpoint's process. It prints the World as one line and serves until its input ends.
// Its control answers GET /counts with the numbers of calls and connections so far, and POST /idle
// by closing idle connections.
func serve(latency, ca string) error {
	d, err := time.ParseDuration(latency)
	if err != nil {
		return err
	}
	s := endpoint.New(endpoint.Options{})
	defer s.Close()
	s.SetLatency("*", d)
	st := s.Region("eu-west-1")
	w := bench.World{CA: ca}
	key := st.CreateKey()
	for i := range bench.Most {
		name, text := bench.Parameter(i)
		st.PutParameter(endpoint.Parameter{Name: name, Type: "SecureString", Value: text})
		st.PutSecret(bench.Secret(i))
		w.Ciphertexts = append(
			w.Ciphertexts,
			base64.StdEncoding.EncodeToString(
				st.Encrypt(key, []byte(bench.Ciphertext(i)), map[string]string{"app": "x"}),
			),
		)
	}
	if w.HTTP, err = s.Start(); err != nil {
		return err
	}
	if w.TLS, err = s.StartTLS(); err != nil {
		return err
	}
	if err := os.WriteFile(ca, s.CAPEM(), 0o600); err != nil {
		return err
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w.Control = "http://" + control.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reset", func(http.ResponseWriter, *http.Request) {
		s.KillConnections(endpoint.FIN)
		s.ResetCalls()
	})
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(counts{Calls: s.Count("*"), Connections: s.Connections()})
	})
	go http.Serve(control, mux)
	if err := json.NewEncoder(os.Stdout).Encode(w); err != nil {
		return err
	}
	io.Copy(io.Discard, os.Stdin)
	return nil
}

type counts struct{ Calls, Connections int }

// reset ends the endpoint's idle connections and forgets its calls; counted returns those since,
// and all connections so far.
func (d *driver) reset() error {
	res, err := http.Post(d.world.Control+"/reset", "", nil)
	if err == nil {
		res.Body.Close()
	}
	return err
}

func (d *driver) counted() (c counts, err error) {
	res, err := http.Get(d.world.Control + "/counts")
	if err != nil {
		return c, err
	}
	defer res.Body.Close()
	return c, json.NewDecoder(res.Body).Decode(&c)
}
