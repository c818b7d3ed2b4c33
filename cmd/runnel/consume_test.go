package main

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestParseFrom(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for in, want := range map[string]startPoint{
		"beginning":            {kind: fromBeginning},
		"end":                  {kind: fromEnd},
		"0":                    {fromOffset, 0},
		"42":                   {fromOffset, 42},
		"-10":                  {fromLast, 10},
		"@1700000000000":       {fromTime, 1_700_000_000_000},
		"15m":                  {fromTime, 1_800_000_000_000 - 900_000},
		"2026-01-02T03:04:05Z": {fromTime, 1_767_323_045_000},
	} {
		if got, err := parseFrom(in, now); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "middle", "@", "@-1", "-5m", "2026-01-02"} {
		if got, err := parseFrom(in, now); err == nil {
			t.Errorf("%q is taken as %+v", in, got)
		}
	}
}

func TestStartInPartition(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		from                  startPoint
		start, end, afterTime int64
		want                  int64
	}{
		{"beginning", startPoint{kind: fromBeginning}, 5, 10, -1, 5},
		{"end", startPoint{kind: fromEnd}, 5, 10, -1, 10},
		{"offset", startPoint{fromOffset, 7}, 5, 10, -1, 7},
		{"offset that is gone", startPoint{fromOffset, 3}, 5, 10, -1, 5},
		{"offset to come", startPoint{fromOffset, 11}, 5, 10, -1, 5},
		{"last", startPoint{fromLast, 2}, 5, 10, -1, 8},
		{"more than there are", startPoint{fromLast, 20}, 5, 10, -1, 5},
		{"time", startPoint{kind: fromTime}, 5, 10, 6, 6},
		{"time after the last", startPoint{kind: fromTime}, 5, 10, -1, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.from.in(tt.start, tt.end, tt.afterTime); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestGoal(t *testing.T) {
	tp := func(p int32) topicPartition { return topicPartition{"t", p} }
	record := func(p int32, offset int64) *kgo.Record { return &kgo.Record{Topic: "t", Partition: p, Offset: offset} }
	reached := func(g *goal) bool { return g.done.Err() != nil }

	t.Run("every partition must be read to its end", func(t *testing.T) {
		g := newGoal()
		g.set(map[topicPartition]stretch{tp(0): {0, 2}, tp(1): {5, 5}, tp(2): {3, 4}})
		g.passed(record(0, 1))
		if reached(g) {
			t.Fatal("partition 2 is not read")
		}
		g.passed(record(2, 3))
		if !reached(g) {
			t.Fatal("all is read")
		}
	})
	t.Run("nothing to read", func(t *testing.T) {
		g := newGoal()
		g.set(map[topicPartition]stretch{tp(0): {7, 7}})
		if !reached(g) {
			t.Fatal("waits")
		}
	})
	t.Run("no goal", func(t *testing.T) {
		g := newGoal()
		g.passed(record(0, 1))
		if reached(g) || g.beyond(record(0, 1)) {
			t.Fatal("reached")
		}
	})
	t.Run("a group minds what it is assigned", func(t *testing.T) {
		g := newGoal()
		g.followGroup()
		g.set(map[topicPartition]stretch{tp(0): {0, 1}, tp(1): {0, 1}})
		if reached(g) {
			t.Fatal("before the first assignment")
		}
		g.assign(map[string][]int32{"t": {0}}, true)
		g.passed(record(0, 0))
		if !reached(g) {
			t.Fatal("partition 1 is another member's")
		}
	})
	t.Run("a revoked partition ends nothing by itself", func(t *testing.T) {
		g := newGoal()
		g.followGroup()
		g.set(map[topicPartition]stretch{tp(0): {0, 1}})
		g.assign(map[string][]int32{"t": {0}}, true)
		g.assign(map[string][]int32{"t": {0}}, false)
		if reached(g) {
			t.Fatal("a rebalance looked like the end")
		}
	})
	t.Run("later records are beyond", func(t *testing.T) {
		g := newGoal()
		g.set(map[topicPartition]stretch{tp(0): {0, 2}})
		if g.beyond(record(0, 1)) || !g.beyond(record(0, 2)) {
			t.Fatal("wrong")
		}
	})
}

func TestOutputNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5.0 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
