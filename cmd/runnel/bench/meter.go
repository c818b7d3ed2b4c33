package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// Meter counts what was done. Safe for concurrent use.
type Meter struct {
	records, bytes, commits atomic.Int64
}

// Add counts records and their bytes.
func (m *Meter) Add(records, bytes int64) {
	m.records.Add(records)
	m.bytes.Add(bytes)
}

// AddCommit counts a commit.
func (m *Meter) AddCommit() { m.commits.Add(1) }

// Records is how many were counted.
func (m *Meter) Records() int64 { return m.records.Load() }

// Reading is what a Meter and the brokers' counters showed at a time.
type Reading struct {
	at                      time.Time
	records, bytes, commits int64
	cost                    Counters
}

// Read reads the meter and, if there are any, the brokers.
func (m *Meter) Read(ctx context.Context, admins []string) (Reading, error) {
	cost, err := Scrape(ctx, admins)
	return Reading{time.Now(), m.records.Load(), m.bytes.Load(), m.commits.Load(), cost}, err
}

// Window is the time that counts: after the warm-up, before the end. The benchmark goes on beyond until all is answered.
type Window struct{ From, To time.Time }

// NewWindow begins after a warm-up from start.
func NewWindow(start time.Time, warmup, duration time.Duration) Window {
	return Window{start.Add(warmup), start.Add(warmup + duration)}
}

// Holds tells whether a time counts.
func (w Window) Holds(t time.Time) bool { return !t.Before(w.From) && t.Before(w.To) }

// Measure reads at the beginning and the end of the window.
func (w Window) Measure(ctx context.Context, m *Meter, admins []string) (first, last Reading, err error) {
	if err = SleepUntil(ctx, w.From); err != nil {
		return first, last, err
	}
	if first, err = m.Read(ctx, admins); err != nil {
		return first, last, err
	}
	if err = SleepUntil(ctx, w.To); err != nil {
		return first, last, err
	}
	last, err = m.Read(ctx, admins)
	return first, last, err
}
