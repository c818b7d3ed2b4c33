package batching

import "time"

// pacer decides when the open segment is sealed although it is not full.
//
// Waiting for more pays only while more can come. Producers have a bounded number of requests in flight, so a segment
// to which nothing was added for minLinger holds what they have, and they wait for us: it is sealed at once if it is
// worth a PUT. A smaller one needs a grant, of which there is one every maxLinger, saved up to a burst: a broker on
// which little happens answers quickly, and a steady trickle costs no more PUTs than a fixed window would. In any case
// a segment is sealed maxLinger after its first batch.
type pacer struct {
	minLinger, maxLinger time.Duration
	burst                int
	worth                int64     // bytes
	whole                time.Time // when all grants are saved up again, if none is used
}

// due is when to seal a segment whose batches came between first and last, if no further one comes.
func (p *pacer) due(first, last time.Time, size int64) time.Time {
	due := last.Add(p.minLinger)
	if size < p.worth {
		if granted := p.whole.Add(-time.Duration(p.burst-1) * p.maxLinger); granted.After(due) {
			due = granted
		}
	}
	if latest := first.Add(p.maxLinger); latest.Before(due) {
		return latest
	}
	return due
}

// sealed takes a grant if the segment needed one.
func (p *pacer) sealed(now time.Time, size int64) {
	if size >= p.worth {
		return
	}
	if p.whole.Before(now) {
		p.whole = now
	}
	p.whole = p.whole.Add(p.maxLinger)
}
