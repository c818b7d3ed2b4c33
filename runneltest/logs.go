package runneltest

import (
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// mostLines are kept of the brokers' logs for a test that fails.
const mostLines = 5000

// logs are what the brokers of a cluster log: kept for a failure, or written to the test's log as it comes.
type logs struct {
	t    testing.TB
	live *slog.Level // nil: kept

	mu      sync.Mutex
	lines   []string // the last ones, from next on
	next    int
	dropped int
}

func newLogs(t testing.TB, live *slog.Level) *logs { return &logs{t: t, live: live} }

// logger is a broker's.
func (l *logs) logger(broker int) *slog.Logger {
	var w io.Writer = l
	level := slog.LevelInfo
	if l.live != nil {
		w, level = l.t.Output(), *l.live
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})).With("broker", broker)
}

// Write keeps a line.
func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < mostLines {
		l.lines = append(l.lines, string(line))
		return len(line), nil
	}
	l.lines[l.next] = string(line)
	l.next = (l.next + 1) % mostLines
	l.dropped++
	return len(line), nil
}

// tell writes what was kept to the test's log.
func (l *logs) tell() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return
	}
	if l.dropped > 0 {
		l.t.Logf("runneltest: the brokers logged %d lines more before these", l.dropped)
	}
	var b strings.Builder
	for i := range l.lines {
		b.WriteString(l.lines[(l.next+i)%len(l.lines)])
	}
	l.t.Logf("runneltest: log of the brokers\n%s", &b)
}
