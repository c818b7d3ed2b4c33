package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// strike is one fault of a schedule.
type strike struct {
	At      time.Duration // since the load began
	Lasts   time.Duration
	Fault   string
	Brokers []int // whom it befalls; none: a server that all share
}

// ends is when it is to be over.
func (s strike) ends() time.Duration { return s.At + s.Lasts }

// String is a line of the schedule.
func (s strike) String() string {
	who := ""
	if len(s.Brokers) > 0 {
		who = strings.TrimSuffix(fmt.Sprintf(" of %v", s.Brokers), " ")
	}
	return fmt.Sprintf("%6.1fs for %4.1fs: %s%s", s.At.Seconds(), s.Lasts.Seconds(), s.Fault, who)
}

// MarshalJSON writes times in seconds.
func (s strike) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"at": s.At.Seconds(), "lasts": s.Lasts.Seconds(), "fault": s.Fault, "brokers": s.Brokers})
}

const (
	// together is how many faults there are at a time, at most.
	together = 3
	// quiet is how long nothing is broken, now and then, so that it shows whether the cluster recovers.
	quiet = 12 * time.Second
	// quietAfter is after how many faults.
	quietAfter = 10
)

// plan is the schedule of a seed: faults of all kinds, in an order that repeats none before all were there, up to three at a
// time and never two of what they break. All are over when the length is.
func plan(seed uint64, brokers int, length time.Duration) []strike {
	rng := rand.New(rand.NewPCG(seed, 23))
	var all []strike
	var bag []fault
	at := time.Second
	for n := 1; ; n++ {
		if len(bag) == 0 {
			bag = slices.Clone(faults)
			rng.Shuffle(len(bag), func(i, j int) { bag[i], bag[j] = bag[j], bag[i] })
		}
		kind := bag[0]
		bag = bag[1:]
		s := strike{
			At: at, Fault: kind.name,
			Lasts: (kind.shortest + time.Duration(rng.Int64N(int64(kind.longest-kind.shortest)+1))).Round(time.Millisecond),
		}
		if kind.victims != nil {
			s.Brokers = rng.Perm(brokers)[:kind.victims(rng, brokers)]
			slices.Sort(s.Brokers)
		}
		s.At = free(all, s, kind)
		if s.ends() > length {
			return all
		}
		all = append(all, s)
		at = s.At + time.Duration(500+rng.IntN(4500))*time.Millisecond
		if n%quietAfter == 0 {
			for _, s := range all {
				at = max(at, s.ends()+quiet)
			}
		}
	}
}

// free is the first moment from s.At on at which s breaks nothing that is broken, and few faults are there.
func free(all []strike, s strike, kind fault) time.Duration {
	for {
		next := time.Duration(-1)
		active := 0
		for _, other := range all {
			until := other.ends() + time.Second // what a restart has to find whole
			if until <= s.At || other.At >= s.ends() {
				continue
			}
			active++
			if clash(other, s, kind) {
				next = max(next, until)
			}
		}
		if next < 0 && active < together {
			return s.At
		}
		if next < 0 {
			for _, other := range all {
				if until := other.ends() + time.Second; until > s.At && (next < 0 || until < next) {
					next = until
				}
			}
		}
		s.At = next
	}
}

// clash tells whether two faults break the same thing. Fail-overs are alone with their server: what a session that was ended
// left half done at the standby is PostgreSQL's own matter.
func clash(a, b strike, kind fault) bool {
	other := faultNamed(a.Fault)
	if other.breaks == kind.breaks && kind.victims == nil {
		return true
	}
	if kind.victims == nil || other.victims == nil {
		return false
	}
	shared := slices.ContainsFunc(a.Brokers, func(i int) bool { return slices.Contains(b.Brokers, i) })
	// A process that does not run has no ways to cut.
	return shared && (other.breaks == kind.breaks || other.breaks == process || kind.breaks == process)
}
