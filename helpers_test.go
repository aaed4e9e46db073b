package secrets_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/kit"
	"github.com/lambdasecrets/secrets/internal/testing/leak"
)

// What the suites have too is in package kit. These are its names here.
const region = kit.Region

type (
	script  = kit.Script
	got     = kit.Got
	journal = kit.Journal
	locked  = kit.Locked
)

var (
	errThrottled, errDenied, errOdd = kit.ErrThrottled, kit.ErrDenied, kit.ErrOdd

	start, config, newEnv = kit.Start, kit.Config, kit.NewEnv
	sixty, kmsRef         = kit.Sixty, kit.KMSRef
	read, mustGet         = kit.Read, kit.MustGet
	expect, took, pause   = kit.Expect, kit.Took, kit.Pause
	quiet, textLog        = kit.Quiet, kit.TextLog
	newJournal            = kit.NewJournal
)

// patient returns a context for a warm over real connections: with the race detector, on a busy machine, that may take
// more than its 2 seconds.
func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// failureOf returns the error of a variable's last fetch, if that failed.
func failureOf(env *secrets.Env, name string) error {
	for _, r := range env.Refs() {
		if r.Variable == name {
			return r.Err
		}
	}
	return nil
}

// loggerThat returns a logger to j that also calls f for each line.
func loggerThat(j *journal, f func()) *slog.Logger { return slog.New(&calling{j, f}) }

type calling struct {
	*journal
	f func()
}

func (c *calling) Handle(ctx context.Context, r slog.Record) error {
	c.f()
	return c.journal.Handle(ctx, r)
}
func (c *calling) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *calling) WithGroup(string) slog.Handler      { return c }

type fetcher func(refs []secrets.Ref) []secrets.Result

func (f fetcher) Fetch(_ context.Context, refs []secrets.Ref) []secrets.Result { return f(refs) }

// leaks returns the form of one of the plaintexts that text holds, or "".
func leaks(text string, plaintexts ...string) string { return leak.In(text, plaintexts...) }

// walk prints what v reaches as a debugger would.
func walk(v any) string { return leak.Walk(v) }

// A batch is a provider that makes one call for all.
type batch func(ctx context.Context, refs []secrets.Ref) []secrets.Result

func (f batch) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result { return f(ctx, refs) }

func same(refs []secrets.Ref, err error) []secrets.Result {
	out := make([]secrets.Result, len(refs))
	for i, ref := range refs {
		if out[i].Err = err; err == nil {
			out[i].Value = secrets.NewValue(ref.ID(), "")
		}
	}
	return out
}
