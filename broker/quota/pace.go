package quota

import "time"

// pace holds a client that is at its limit to an even rate. A window alone does not: what was taken at once leaves it at once,
// so that a consumer that takes all that there is room for gets ten seconds' worth every eleven, and nothing in between, which
// over half a minute is anything from 0.7 to 1.1 of the quota. So for a window after its window was full, a client may take what comes in, and
// a sample's worth at once; who was not at the limit may have what the window has room for, as in Kafka. That the pace has a client
// wait does not make it last longer: one that comes in bursts below its quota would never get out of it. A pace
// only ever takes from what the window allows. The zero value has a sample's worth.
type pace struct {
	missing float64 // of a sample's worth; more than that is owed
	as      time.Time
}

// take takes an amount, or gives one back. Of who is not held to a pace, nothing is owed.
func (p *pace) take(w Window, amount, limit float64, held bool, now time.Time) {
	p.refill(limit, now)
	p.missing = max(p.missing+amount, 0)
	if !held {
		p.missing = min(p.missing, limit*w.Size.Seconds())
	}
}

func (p *pace) refill(limit float64, now time.Time) {
	if since := now.Sub(p.as); since > 0 {
		p.missing = max(p.missing-limit*since.Seconds(), 0)
		p.as = now
	}
}

// room is how much may be taken at once; less than 0 is owed.
func (p *pace) room(w Window, limit float64, now time.Time) float64 {
	p.refill(limit, now)
	return limit*w.Size.Seconds() - p.missing
}

// wait is how long it takes until there is room for an amount.
func (p *pace) wait(w Window, amount, limit float64, now time.Time) time.Duration {
	short := amount - p.room(w, limit, now)
	if short <= 0 {
		return 0
	}
	return time.Duration(min(short/limit, maxSeconds) * float64(time.Second))
}

// held tells whether the client is held to a pace. Time of processors is throttled for a sample at most, and is even as it is.
// Caller holds the account's mu.
func (m Meter) held(w Window, now time.Time) bool {
	return m.kind != Request && now.Sub(m.account.full) < w.span()
}

// slack is what the window leaves to the pace: without it the one or the other is short in turn, and a client gets 0.94 of its
// quota.
func slack(w Window, limit float64) float64 { return limit * w.Size.Seconds() }
