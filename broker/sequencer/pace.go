package sequencer

import "time"

// longestGather bounds how long commits wait for company, however slow the last ones were.
const longestGather = 20 * time.Millisecond

// pace knows how long merged commits take: one after the other, without the time that one waits for the one before.
type pace struct {
	running int
	from    time.Time     // when the commit that is being appended began, or the one before it ended
	typical time.Duration // of the last ones, the newest counting for an eighth
	landed  chan struct{} // closed when the next one ends; nil if none runs
}

// ahead is how long to wait until most of the time of the commit that is being appended is over, and what ends the wait
// sooner.
func (p *pace) ahead(now time.Time) (time.Duration, <-chan struct{}) {
	if p.running == 0 {
		return 0, nil
	}
	return p.from.Add(min(p.typical/8*7, longestGather)).Sub(now), p.landed
}

func (p *pace) begin(now time.Time) {
	if p.running++; p.running == 1 {
		p.from, p.landed = now, make(chan struct{})
	}
}

func (p *pace) end(now time.Time) {
	p.typical += (now.Sub(p.from) - p.typical) / 8
	close(p.landed)
	if p.running--; p.running == 0 {
		p.landed = nil
		return
	}
	p.from, p.landed = now, make(chan struct{})
}
