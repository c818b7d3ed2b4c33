package batching

import (
	"testing"
	"time"
)

const ms = time.Millisecond

func testPacer() pacer {
	return pacer{minLinger: 2 * ms, maxLinger: 250 * ms, shortest: 40 * ms, target: 4 << 20, worth: 64 << 10}
}

func TestPacerSealsByAge(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, tc := range []struct {
		name    string
		sealed  time.Duration // the latest seal; 0: none
		rate    float64       // bytes per second
		eager   time.Duration // the first batch; negative: none
		latest  time.Duration
		stalled int64
		wanted  time.Duration
	}{
		{name: "the first of all", eager: 1000 * ms, latest: 1250 * ms, wanted: 1002 * ms},
		{name: "idle", sealed: 500 * ms, eager: 1000 * ms, latest: 1250 * ms, wanted: 1002 * ms},
		{name: "trickle", sealed: 990 * ms, eager: 1000 * ms, latest: 1250 * ms, wanted: 1030 * ms},
		{name: "a quarter of the load", sealed: 990 * ms, rate: 4 << 20, eager: 1000 * ms, latest: 1250 * ms, wanted: 1052500 * time.Microsecond},
		{name: "under load", sealed: 990 * ms, rate: 16 << 20, eager: 1000 * ms, latest: 1250 * ms, wanted: 1240 * ms},
		{name: "more load", sealed: 990 * ms, rate: 160 << 20, eager: 1000 * ms, latest: 1250 * ms, wanted: 1240 * ms},
		{name: "some wait for us", sealed: 990 * ms, rate: 16 << 20, eager: 1000 * ms, latest: 1250 * ms, stalled: 64<<10 - 1, wanted: 1240 * ms},
		{name: "enough wait for us", sealed: 990 * ms, rate: 16 << 20, eager: 1000 * ms, latest: 1250 * ms, stalled: 64 << 10, wanted: 1000 * ms},
		{name: "a batch in a hurry", sealed: 990 * ms, rate: 16 << 20, eager: 1000 * ms, latest: 1010 * ms, wanted: 1010 * ms},
		{name: "no batch that may cause a PUT", eager: -1, latest: 5000 * ms, wanted: 5000 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := testPacer()
			now := start.Add(time.Second)
			p.rate, p.counted = tc.rate, now
			if tc.sealed > 0 {
				p.sealed(start.Add(tc.sealed))
			}
			var eager time.Time
			if tc.eager >= 0 {
				eager = start.Add(tc.eager)
			}
			if got := p.due(now, eager, start.Add(tc.latest), tc.stalled).Sub(start); got != tc.wanted {
				t.Errorf("due after %v, want %v", got, tc.wanted)
			}
		})
	}
}

// drive sends size bytes every interval through a pacer that seals when due or full, and returns the seals in a minute.
func drive(p *pacer, size int64, interval, full time.Duration) (seals int) {
	start := time.Unix(1000, 0)
	var first time.Time
	next := start
	for next.Sub(start) < time.Minute {
		if !first.IsZero() {
			if due := p.due(next, first, first.Add(p.maxLinger), 0); !due.After(next) || next.Sub(first) >= full {
				p.sealed(due)
				first = time.Time{}
				seals++
				continue
			}
		}
		p.arrived(next, size)
		if first.IsZero() {
			first = next
		}
		next = next.Add(interval)
	}
	return seals
}

func TestTrickleCostsNoMoreThanThePutRate(t *testing.T) {
	p := testPacer()
	if n := drive(&p, 100, ms, time.Hour); n < 23*60 || n > 25*60+1 {
		t.Errorf("%d PUTs in a minute, want up to 25 per second", n)
	}
}

func TestLoadCostsNoMoreThanAFixedWindow(t *testing.T) {
	p := testPacer()
	// The first second has no history.
	if n := drive(&p, 20_000, ms, time.Hour); n > 4*60+20 {
		t.Errorf("%d PUTs in a minute of 20 MB/s, want 4 per second", n)
	}
}

func TestRateForgets(t *testing.T) {
	p := testPacer()
	start := time.Unix(1000, 0)
	for at := start; at.Sub(start) < 10*time.Second; at = at.Add(ms) {
		p.arrived(at, 20_000)
	}
	end := start.Add(10 * time.Second)
	if got := p.rateAt(end); got < 19.9e6 || got > 20.1e6 {
		t.Errorf("rate %.0f, want 20 MB/s", got)
	}
	if got := p.window(end.Add(5 * time.Second)); got != p.shortest {
		t.Errorf("window %v after 5 s of silence, want the shortest", got)
	}
}
