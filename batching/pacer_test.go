package batching

import (
	"testing"
	"time"
)

func TestPacer(t *testing.T) {
	const ms = time.Millisecond
	start := time.Unix(1000, 0)
	small, large := int64(100), int64(1000)
	for _, tc := range []struct {
		name   string
		seals  []time.Duration // of small segments, before
		first  time.Duration
		last   time.Duration
		size   int64
		wanted time.Duration
	}{
		{name: "idle", first: 0, last: 0, size: small, wanted: 5 * ms},
		{name: "still coming", first: 0, last: 30 * ms, size: small, wanted: 35 * ms},
		{name: "coming for too long", first: 0, last: 249 * ms, size: small, wanted: 250 * ms},
		{name: "one grant left", seals: []time.Duration{0, 0}, first: 1 * ms, last: 1 * ms, size: small, wanted: 6 * ms},
		{name: "no grant left", seals: []time.Duration{0, 0, 0}, first: 1 * ms, last: 1 * ms, size: small, wanted: 250 * ms},
		{name: "no grant needed", seals: []time.Duration{0, 0, 0}, first: 1 * ms, last: 1 * ms, size: large, wanted: 6 * ms},
		{name: "no grant soon", seals: []time.Duration{0, 0, 0, 0, 0, 0}, first: 1 * ms, last: 1 * ms, size: small, wanted: 251 * ms},
		{name: "a grant comes back", seals: []time.Duration{0, 0, 0}, first: 300 * ms, last: 300 * ms, size: small, wanted: 305 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pacer{minLinger: 5 * ms, maxLinger: 250 * ms, burst: 3, worth: 1000}
			for _, at := range tc.seals {
				p.sealed(start.Add(at), small)
			}
			p.sealed(start, large)
			if got := p.due(start.Add(tc.first), start.Add(tc.last), tc.size).Sub(start); got != tc.wanted {
				t.Errorf("due after %v, want %v", got, tc.wanted)
			}
		})
	}
}

// TestTrickleCostsNoMoreThanAFixedWindow seals whenever a small segment is due, as a producer that sends one record
// after the other makes it.
func TestTrickleCostsNoMoreThanAFixedWindow(t *testing.T) {
	p := pacer{minLinger: 5 * time.Millisecond, maxLinger: 250 * time.Millisecond, burst: 8, worth: 1000}
	start := time.Unix(1000, 0)
	now, seals := start, 0
	for now.Sub(start) < time.Minute {
		now = p.due(now, now, 100)
		p.sealed(now, 100)
		seals++
	}
	if want := 8 + 4*60; seals > want+1 {
		t.Errorf("%d PUTs in a minute, want at most %d", seals, want)
	}
}
