package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/cmd/runnel/bench"
)

// benchLine is the progress line of a benchmark.
type benchLine struct {
	meter *bench.Meter
	phase atomic.Pointer[string]

	last   int64
	lastAt time.Time
}

func newBenchLine(meter *bench.Meter) *benchLine {
	l := &benchLine{meter: meter, lastAt: time.Now()}
	l.enter("starting")
	return l
}

// enter names what happens now.
func (l *benchLine) enter(phase string) { l.phase.Store(&phase) }

// follow names the phases of a window.
func (l *benchLine) follow(ctx context.Context, w bench.Window) {
	l.enter("warming up")
	if bench.SleepUntil(ctx, w.From) != nil {
		return
	}
	l.enter("measuring for " + w.To.Sub(w.From).String())
	if bench.SleepUntil(ctx, w.To) == nil {
		l.enter("waiting for the rest")
	}
}

// text is the line.
func (l *benchLine) text() string {
	now, records := time.Now(), l.meter.Records()
	pace := rate(records-l.last, now.Sub(l.lastAt))
	l.last, l.lastAt = records, now
	return fmt.Sprintf("%s: %s records, %s", *l.phase.Load(), grouped(records), pace)
}

// writeBench writes a result as a table or as JSON.
func writeBench(env *environment, r *bench.Result) error {
	if env.json {
		return writeJSON(env.out, r)
	}
	t := newTable(env.out)
	if r.ThroughputMBPerS != nil {
		t.row("throughput", fmt.Sprintf("%s MB/s, %s records/s", short(*r.ThroughputMBPerS), grouped(int64(r.RecordsPerS))))
		t.row("records", fmt.Sprintf("%s, %s in %.1f s", grouped(r.Records), bytesText(r.Bytes), r.Seconds))
	}
	if r.Samples > 0 {
		how := "every one counted"
		if !r.Exact {
			how = "of a random sample"
		}
		t.row("latency", fmt.Sprintf("%s, max %s ms (%s, %s)", percentiles(r.P50, r.P99, r.P999), short(r.Max), grouped(r.Samples), how))
	}
	if r.Produced != nil {
		t.row("produce latency", percentiles(r.Produced.P50, r.Produced.P99, r.Produced.P999))
	}
	optional := func(name string, v *float64, unit string) {
		if v != nil {
			t.row(name, strings.TrimSpace(short(*v)+" "+unit))
		}
	}
	optional("commits", r.CommitsPerS, "per s")
	optional("of slowest", r.LeastCommitsPerS, "per s")
	optional("broker CPU", r.CPUSecondsPerGiB, "s/GiB")
	optional("PUT requests", r.PutsPerGiB, "per GiB")
	optional("GET requests", r.GetsPerGiB, "per GiB")
	if r.AvgObjectBytes != nil {
		t.row("average object", bytesText(int64(*r.AvgObjectBytes)))
	}
	return t.flush()
}

func percentiles(p50, p99, p999 float64) string {
	return fmt.Sprintf("p50 %s, p99 %s, p99.9 %s ms", short(p50), short(p99), short(p999))
}

// short writes a number with three digits, or more if it is above a thousand.
func short(f float64) string {
	switch {
	case f >= 1000:
		return grouped(int64(f + 0.5))
	case f >= 100:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}
