package lambdasim

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The variables in package runtime that hold the offsets, in nanoseconds.
const (
	wallSymbol = "runtime.overlayWall"
	monoSymbol = "runtime.overlayMono"
)

// BuildWithClocks is [Build] for a function whose clocks can be moved: by [Function.MoveClocks] and [Function.Sleep].
// The sources of Go's standard library are the installed ones but for the files of an overlay (go help build): package
// runtime adds to each clock an offset that is written from outside. The function asks the name server in its variable
// OVERLAY_RESOLVER (host:port, UDP), if it has one. The first build takes minutes, since it compiles the standard
// library anew. It fails on a Go whose sources differ from what the overlay knows.
func BuildWithClocks(ctx context.Context, dir, pkg, out string) error {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("lambdasim: find GOROOT: %w", err)
	}
	temp, err := os.MkdirTemp("", "overlay")
	if err != nil {
		return fmt.Errorf("lambdasim: make overlay: %w", err)
	}
	defer os.RemoveAll(temp)
	o := overlay{src: filepath.Join(strings.TrimSpace(string(root)), "src"), temp: temp, files: map[string]string{}}
	o.change("runtime/time_nofake.go", "return nanotime1()",
		"return nanotime1() + int64(atomic.Loadint64(&overlayMono))")
	o.change("runtime/time_nofake.go", `import "unsafe"`, "import (\n\t\"internal/runtime/atomic\"\n\t\"unsafe\"\n"+
		")\n\n// Written from outside.\nvar overlayWall, overlayMono int64")
	const (
		imports  = "import (\n\t\"internal/runtime/atomic\"\n\t_ \"unsafe\"\n)"
		declared = "\nfunc time_now() (sec int64, nsec int32, mono int64)"
		moved    = declared + " {\n\tsec, nsec, mono = clocks()\n" +
			"\tat := sec*1e9 + int64(nsec) + atomic.Loadint64(&overlayWall)\n" +
			"\treturn at / 1e9, int32(at % 1e9), mono + atomic.Loadint64(&overlayMono)\n}\n"
		clocks = "\n\nfunc clocks() (sec int64, nsec int32, mono int64)"
	)
	if runtime.GOARCH == "amd64" { // reads both clocks at once, in assembly
		o.change("runtime/timeasm.go", `import _ "unsafe"`, imports+clocks)
		o.change("runtime/timeasm.go", declared+"\n", moved)
		o.change("runtime/time_linux_amd64.s", "TEXT time·now<ABIInternal>", "TEXT ·clocks<ABIInternal>")
	} else {
		o.change("runtime/timestub.go", `import _ "unsafe"`, imports+clocks+" {\n\tsec, nsec = walltime()\n"+
			"\treturn sec, nsec, nanotime1()\n}")
		o.change("runtime/timestub.go", declared+" {\n\tsec, nsec = walltime()\n\treturn sec, nsec, nanotime()\n}\n",
			moved)
	}
	o.change("net/dnsconfig_unix.go", "import (\n", "import (\n\t\"os\"\n")
	o.change("net/dnsconfig_unix.go", `JoinHostPort(f[1], "53")`, `overlayResolver(JoinHostPort(f[1], "53"))`)
	o.change("net/dnsconfig_unix.go", "\nfunc dnsDefaultSearch(", "\nfunc overlayResolver(address string) string {\n"+
		"\tif own := os.Getenv(\"OVERLAY_RESOLVER\"); own != \"\" {\n\t\treturn own\n\t}\n\treturn address\n}\n\n"+
		"func dnsDefaultSearch(")
	if o.err != nil {
		return o.err
	}
	list, err := json.Marshal(map[string]any{"Replace": o.files})
	if err != nil {
		return err
	}
	file := filepath.Join(temp, "overlay.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		return fmt.Errorf("lambdasim: write overlay: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", file, "-tags", "lambda.norpc", "-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("lambdasim: build %s: %w\n%s", pkg, err, output)
	}
	return nil
}

// overlay collects changed copies of the standard library's files.
type overlay struct {
	src, temp string
	files     map[string]string // path → its replacement
	err       error
}

func (o *overlay) change(name, old, new string) {
	path := filepath.Join(o.src, filepath.FromSlash(name))
	from := path
	if copied := o.files[path]; copied != "" {
		from = copied
	}
	text, err := os.ReadFile(from)
	if err == nil && strings.Count(string(text), old) != 1 {
		err = fmt.Errorf("%s of this Go does not hold %q once", name, old)
	}
	if err != nil {
		o.err = errors.Join(o.err, fmt.Errorf("lambdasim: make overlay: %w", err))
		return
	}
	o.replace(name, strings.Replace(string(text), old, new, 1))
}

func (o *overlay) replace(name, text string) {
	file := filepath.Join(o.temp, strings.ReplaceAll(name, "/", "_"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		o.err = errors.Join(o.err, err)
	}
	o.files[filepath.Join(o.src, filepath.FromSlash(name))] = file
}

// MoveClocks moves the clocks of a frozen process of [BuildWithClocks], on top of earlier moves. Lambda's own clock,
// which deadlines are told by, goes with the wall clock. A new process begins without moves.
func (f *Function) MoveClocks(wall, mono time.Duration) error {
	box, err := f.current()
	if err != nil {
		return err
	}
	program, err := elf.Open(f.cfg.Binary)
	if err != nil {
		return fmt.Errorf("lambdasim: move clocks: %w", err)
	}
	defer program.Close()
	symbols, err := program.Symbols()
	if err != nil {
		return fmt.Errorf("lambdasim: move clocks: %w", err)
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", box.proc.pid), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("lambdasim: move clocks: %w", err)
	}
	defer memory.Close()
	moves := map[string]time.Duration{wallSymbol: wall, monoSymbol: mono}
	for _, s := range symbols {
		by, ok := moves[s.Name]
		if !ok {
			continue
		}
		delete(moves, s.Name)
		word := make([]byte, 8)
		if _, err := memory.ReadAt(word, int64(s.Value)); err != nil {
			return fmt.Errorf("lambdasim: move clocks: %w", err)
		}
		binary.NativeEndian.PutUint64(word, binary.NativeEndian.Uint64(word)+uint64(by))
		if _, err := memory.WriteAt(word, int64(s.Value)); err != nil {
			return fmt.Errorf("lambdasim: move clocks: %w", err)
		}
	}
	f.ahead.Add(int64(wall))
	if len(moves) > 0 {
		return errors.New("lambdasim: move clocks: the binary was not made by BuildWithClocks")
	}
	return nil
}

// Sleep stops the process as Lambda's freeze does for d: the wall clock moves on by d, the monotonic one stands. It
// takes a moment only, and leaves the process running.
func (f *Function) Sleep(d time.Duration) error {
	if err := f.Freeze(); err != nil {
		return err
	}
	stopped := time.Now()
	time.Sleep(20 * time.Millisecond) // whatever was on its way arrives meanwhile
	real := time.Since(stopped)
	if err := f.MoveClocks(d-real, -real); err != nil {
		return err
	}
	return f.Thaw()
}
