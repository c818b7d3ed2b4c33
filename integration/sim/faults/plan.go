package faults

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Shape is what a plan is for.
type Shape struct {
	Duration         time.Duration
	Brokers, Clients int
	Kinds            []Kind // default: all
}

const (
	// mostAhead bounds the metastore's clock, to each side: segments that were made at one end must be young enough to be
	// committed at the other (metastore.MaxSegmentAge), or nothing can be written until the clock has caught up.
	mostAhead = 45 * time.Second
	// recovery is what a broker gets between two faults that take it out of service.
	recovery = time.Second
	// tries is how often a place is looked for a fault that may not overlap another.
	tries = 8
)

// Plan draws the faults of a run, in the order in which they begin. All are healed when the run's duration is over. It is a
// function of the generator's state and of the shape alone.
//
// A run has some of the kinds only, so that each has runs in which others do not hide it, and few faults or many. Now and
// then several come at once.
func Plan(rng *rand.Rand, shape Shape) []Fault {
	p := planner{rng: rng, shape: shape, away: make([][]Fault, shape.Brokers)}
	p.choose()
	gap := []float64{1, 2.5, 6}[rng.IntN(3)]
	for at := p.wait(gap); at < shape.Duration; at += p.wait(gap) {
		many := 1
		if rng.IntN(6) == 0 {
			many = 2 + rng.IntN(4)
		}
		for range many {
			p.add(at + time.Duration(rng.IntN(300))*time.Millisecond)
		}
	}
	slices.SortStableFunc(p.plan, func(a, b Fault) int { return cmp.Compare(a.Begin, b.Begin) })
	for i := range p.plan {
		p.plan[i].Number = i + 1
	}
	return p.plan
}

type planner struct {
	rng   *rand.Rand
	shape Shape
	kinds []Kind // one per unit of weight
	plan  []Fault
	away  [][]Fault // per broker, those that take it out of service
	jumps []Fault
}

// choose picks the kinds of this run.
func (p *planner) choose() {
	all := slices.Clone(p.shape.Kinds)
	if all == nil {
		all = Kinds()
	}
	slices.Sort(all)
	p.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	least := min(4, len(all))
	for _, kind := range all[:least+p.rng.IntN(len(all)-least+1)] {
		for range measures[kind].weight {
			p.kinds = append(p.kinds, kind)
		}
	}
}

// wait draws the time to the next fault, of which the mean is given in seconds.
func (p *planner) wait(mean float64) time.Duration {
	return time.Duration(p.rng.ExpFloat64()*mean*1000) * time.Millisecond
}

// add draws a fault that begins at a time, if it has a place there or later.
func (p *planner) add(at time.Duration) {
	kind := p.kinds[p.rng.IntN(len(p.kinds))]
	m := measures[kind]
	f := Fault{Kind: kind, Begin: at, Length: p.length(m), Delay: m.delay, Hang: m.hangs && p.rng.IntN(3) == 0}
	if fates[kind] != nil {
		f.OneOf = cmp.Or(m.oneOf, []int{1, 2, 3, 5, 10}[p.rng.IntN(5)])
	}
	if !p.target(&f) {
		return
	}
	for range tries {
		f.Length = min(f.Length, p.shape.Duration-f.Begin)
		if f.Begin >= p.shape.Duration || f.Length < m.least {
			return
		}
		if clash, ok := p.clash(&f); ok {
			f.Begin = clash + recovery
			continue
		}
		p.place(f)
		return
	}
}

// length is drawn so that short ones are frequent: as many in one octave as in the next.
func (p *planner) length(m measure) time.Duration {
	if m.most == 0 {
		return 0
	}
	return logUniform(p.rng, m.least, m.most).Round(time.Millisecond)
}

func logUniform(rng *rand.Rand, least, most time.Duration) time.Duration {
	return time.Duration(float64(least) * math.Pow(float64(most)/float64(least), rng.Float64()))
}

// target draws whom it befalls. False if there is nobody.
func (p *planner) target(f *Fault) bool {
	switch f.Kind {
	case ClockJump:
		f.Jump = p.jump()
		return true
	case Partition, OneWay, Reset:
		return p.parties(f)
	case PeersUnreachable:
		f.Brokers = []int{p.rng.IntN(p.shape.Brokers)}
		return p.shape.Brokers > 1
	}
	f.Brokers = []int{p.rng.IntN(p.shape.Brokers)}
	all := 3 // one of so many befalls all brokers: the store fails, not the way to it
	if fates[f.Kind] == nil {
		all = 12
	}
	if p.rng.IntN(all) == 0 {
		f.Brokers = f.Brokers[:0]
		for broker := range p.shape.Brokers {
			f.Brokers = append(f.Brokers, broker)
		}
	}
	return true
}

// parties draws two that are connected: a broker, and another or a client.
func (p *planner) parties(f *Fault) bool {
	broker, others := p.rng.IntN(p.shape.Brokers), p.shape.Brokers-1+p.shape.Clients
	if others == 0 {
		return false
	}
	f.A = BrokerParty(broker)
	if other := p.rng.IntN(others); other < p.shape.Brokers-1 {
		f.B = BrokerParty((broker + 1 + other) % p.shape.Brokers)
	} else {
		f.B = ClientParty(other - (p.shape.Brokers - 1))
	}
	if p.rng.IntN(2) == 0 {
		f.A, f.B = f.B, f.A
	}
	return true
}

// jump draws one by milliseconds as often as one by many seconds, to either side.
func (p *planner) jump() time.Duration {
	d := logUniform(p.rng, 10*time.Millisecond, mostAhead).Round(time.Millisecond)
	if p.rng.IntN(2) == 0 {
		return -d
	}
	return d
}

// clash tells when the last fault is over that f may not overlap, if there is one: a broker that is away cannot go, and
// jumps of the clock must not add up.
func (p *planner) clash(f *Fault) (end time.Duration, some bool) {
	look := func(at []Fault) {
		for i := range at {
			if f.Begin < at[i].End()+recovery && at[i].Begin < f.End()+recovery {
				end, some = max(end, at[i].End()), true
			}
		}
	}
	switch {
	case f.Kind == ClockJump:
		look(p.jumps)
	case takesAway(f.Kind):
		for _, broker := range f.Brokers {
			look(p.away[broker])
		}
	}
	return end, some
}

func takesAway(kind Kind) bool {
	return kind == Crash || kind == Restart || kind == ShortPause || kind == LongPause
}

func (p *planner) place(f Fault) {
	p.plan = append(p.plan, f)
	switch {
	case f.Kind == ClockJump:
		p.jumps = append(p.jumps, f)
	case takesAway(f.Kind):
		for _, broker := range f.Brokers {
			p.away[broker] = append(p.away[broker], f)
		}
	}
}
