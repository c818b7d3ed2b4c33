package batching

import (
	"testing"
	"time"
)

// clientEvent is a request of a size, or the answers to all that are outstanding.
type clientEvent struct {
	at   time.Duration
	size int64 // 0: all is answered
}

// cycles repeats events n times, one cycle after the other.
func cycles(n int, every time.Duration, events ...clientEvent) (all []clientEvent) {
	for i := range n {
		for _, e := range events {
			all = append(all, clientEvent{e.at + time.Duration(i)*every, e.size})
		}
	}
	return all
}

func TestHabits(t *testing.T) {
	const kib = 1 << 10
	for _, tc := range []struct {
		name   string
		events []clientEvent
		waits  bool
	}{
		{name: "nothing known", events: []clientEvent{{0, 128 * kib}}},
		{name: "fills its requests behind our answers",
			events: cycles(5, 20*ms, clientEvent{0, 128 * kib}, clientEvent{1 * ms, 128 * kib}, clientEvent{2 * ms, 128 * kib}, clientEvent{19 * ms, 0}), waits: true},
		{name: "fills its requests behind our answers, with more partitions than fit one", waits: true,
			events: cycles(5, 20*ms, clientEvent{0, 1000 * kib}, clientEvent{1 * ms, 580 * kib}, clientEvent{2 * ms, 1000 * kib}, clientEvent{3 * ms, 580 * kib}, clientEvent{19 * ms, 0})},
		{name: "fills its requests behind our answers, slowly, but so do we", waits: true,
			events: cycles(5, 160*ms, clientEvent{0, 128 * kib}, clientEvent{9 * ms, 128 * kib}, clientEvent{20 * ms, 128 * kib}, clientEvent{148 * ms, 0})},
		{name: "one request at a time, as fast as we answer",
			events: cycles(5, 10*ms, clientEvent{0, 100}, clientEvent{9 * ms, 0}), waits: true},
		{name: "one request at a time, now and then",
			events: cycles(10, 20*ms, clientEvent{0, 100}, clientEvent{9 * ms, 0})},
		{name: "at its own rate, below its limit",
			events: cycles(20, 20*ms, clientEvent{0, 25 * kib}, clientEvent{5 * ms, 25 * kib}, clientEvent{9500 * time.Microsecond, 0}, clientEvent{10 * ms, 25 * kib}, clientEvent{15 * ms, 25 * kib})},
		{name: "at its own rate, up to its limit, requests apart",
			events: cycles(20, 60*ms, clientEvent{0, 225 * kib}, clientEvent{5 * ms, 25 * kib}, clientEvent{10 * ms, 25 * kib}, clientEvent{15 * ms, 25 * kib}, clientEvent{59 * ms, 0})},
		{name: "at its own rate, up to its limit, requests together",
			events: cycles(20, 60*ms, clientEvent{0, 300 * kib}, clientEvent{1 * ms, 5 * kib}, clientEvent{2 * ms, 5 * kib}, clientEvent{59 * ms, 0})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Unix(1000, 0)
			var h habits
			var waits bool // before the latest answer
			for _, e := range tc.events {
				now := start.Add(e.at)
				if e.size > 0 {
					h.arrive(now, e.size)
					waits = h.stalled()
				} else {
					h.answer(now, h.requests, h.bytes, 0, 2*ms)
				}
			}
			if waits != tc.waits {
				t.Errorf("waits: %v, want %v (closed %.2f)", waits, tc.waits, h.closed)
			}
		})
	}
}
