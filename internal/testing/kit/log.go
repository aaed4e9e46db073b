package kit

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/lambdasecrets/secrets"
)

// Quiet returns a logger that writes nothing.
func Quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TextLog returns a logger that writes to w.
func TextLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// A Journal is a log handler that counts the lines of each event.
type Journal struct {
	mu    sync.Mutex
	lines map[string]int // by event
}

// NewJournal returns a Journal and the option that makes an Env log to it.
func NewJournal() (*Journal, secrets.Option) {
	j := &Journal{lines: map[string]int{}}
	return j, secrets.WithLogger(slog.New(j))
}

// Enabled is the Journal's side of slog.Handler, as the next three are.
func (j *Journal) Enabled(context.Context, slog.Level) bool { return true }

func (j *Journal) WithAttrs([]slog.Attr) slog.Handler { return j }
func (j *Journal) WithGroup(string) slog.Handler      { return j }
func (j *Journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines[r.Message]++
	return nil
}

// Count returns how many lines an event has.
func (j *Journal) Count(event string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines[event]
}

// Events returns the names of the events.
func (j *Journal) Events() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Sorted(maps.Keys(j.lines))
}

// Locked is a writer for several goroutines, whose reader holds Mu too.
type Locked struct {
	Mu *sync.Mutex
	W  io.Writer
}

func (l *Locked) Write(b []byte) (int, error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	return l.W.Write(b)
}
