package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"
)

// sample is a line that `runnel bench e2e --samples` writes.
type sample struct {
	due  time.Time
	took float64 // ms
}

// readSamples reads those of one kind, by when they were due.
func readSamples(name, kind string) (all []sample, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := csv.NewReader(f)
	lines.FieldsPerRecord = 3
	for n := 0; ; n++ {
		l, err := lines.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if n == 0 || l[1] != kind {
			continue
		}
		due, err1 := strconv.ParseInt(l[0], 10, 64)
		took, err2 := strconv.ParseInt(l[2], 10, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("samples: line %q", l)
		}
		all = append(all, sample{time.UnixMicro(due), float64(took) / 1000})
	}
	slices.SortFunc(all, func(a, b sample) int { return a.due.Compare(b.due) })
	return all, nil
}

// between returns the latencies of what was due in a time.
func between(all []sample, from, to time.Time) (took []float64) {
	for _, s := range all {
		if !s.due.Before(from) && s.due.Before(to) {
			took = append(took, s.took)
		}
	}
	return took
}

// rounds are the latencies of several times in which the same was going on.
type rounds [][]float64

// quantile is that of all rounds together.
func (r rounds) quantile(fraction float64) float64 {
	all := slices.Concat(r...)
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[max(int(math.Ceil(fraction*float64(len(all)))), 1)-1]
}

// count is that of the samples.
func (r rounds) count() (n int) {
	for _, one := range r {
		n += len(one)
	}
	return n
}

// again draws as many rounds from those that there were.
func (r rounds) again(rng *rand.Rand) rounds {
	drawn := make(rounds, len(r))
	for i := range drawn {
		drawn[i] = r[rng.IntN(len(r))]
	}
	return drawn
}

// rise is by how many percent a quantile of rounds exceeds that of others, and within what bounds nine of ten draws of as many
// rounds lie (a bootstrap by rounds, since what disturbs one sample disturbs those beside it).
type rise struct{ percent, low, high float64 }

const bootstraps = 2000

func riseOf(fraction float64, r, beside rounds) rise {
	if r.count() == 0 || beside.count() == 0 {
		return rise{}
	}
	percent := func(a, b rounds) float64 { return (a.quantile(fraction)/b.quantile(fraction) - 1) * 100 }
	rng := rand.New(rand.NewPCG(1, 2)) // equal samples, equal bounds
	drawn := make([]float64, bootstraps)
	for i := range drawn {
		drawn[i] = percent(r.again(rng), beside.again(rng))
	}
	slices.Sort(drawn)
	return rise{percent(r, beside), drawn[bootstraps/20], drawn[bootstraps-1-bootstraps/20]}
}

func (r rise) String() string {
	return fmt.Sprintf("%+.0f %% (%+.0f to %+.0f)", r.percent, r.low, r.high)
}
