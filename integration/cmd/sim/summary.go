package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/integration/sim/faults"
	"github.com/runnel-io/runnel/integration/sim/runner"
)

// summary counts what came of seeds.
type summary struct {
	dir    string
	count  int
	again  string // the command that plays a seed again, up to the seed
	began  time.Time
	told   time.Time
	played int
	bad    int

	virtual, cpu, longest time.Duration
	operations, events    int
	deleted               int
	memory                int64
	anomalies             map[string][]uint64 // seeds, by name
	hits                  map[faults.Kind]int
}

func newSummary(dir string, count int, again string) *summary {
	now := time.Now()
	return &summary{dir: dir, count: count, again: again, began: now, told: now, anomalies: make(map[string][]uint64), hits: make(map[faults.Kind]int)}
}

// tellEvery is how often progress is told.
const tellEvery = 10 * time.Second

func (s *summary) add(o runner.Outcome) {
	s.played++
	s.virtual += o.Took
	s.cpu += o.CPU
	s.longest = max(s.longest, o.Wall)
	s.operations += o.Operations
	s.events += o.Events
	s.deleted += o.Deleted
	s.memory = max(s.memory, o.Memory)
	for kind, n := range o.Hits {
		s.hits[kind] += n
	}
	if len(o.Anomalies) > 0 {
		s.bad++
		names := slices.Compact(slices.Sorted(slices.Values(o.Anomalies)))
		for _, name := range names {
			s.anomalies[name] = append(s.anomalies[name], o.Seed)
		}
		fmt.Printf("seed %d: %s\n    what happened: %s\n    again: %s%d\n",
			o.Seed, strings.Join(names, ", "), runner.Dir(s.dir, o.Seed), s.again, o.Seed)
	}
	if time.Since(s.told) > tellEvery {
		s.told = time.Now()
		fmt.Printf("%d of %d seeds in %v, %d with anomalies\n", s.played, s.count, time.Since(s.began).Round(time.Second), s.bad)
	}
}

func (s *summary) print(w io.Writer) {
	took := time.Since(s.began)
	fmt.Fprintf(w, "%s in %v, %v of virtual time; %d operations of clients, %d events, %d objects deleted\n",
		seeds(s.played), took.Round(time.Second), s.virtual.Round(time.Second), s.operations, s.events, s.deleted)
	if s.played > 0 {
		fmt.Fprintf(w, "per seed: %v of CPU; the longest took %v, the largest %d MiB\n",
			(s.cpu / time.Duration(s.played)).Round(time.Millisecond), s.longest.Round(time.Millisecond), s.memory>>20)
	}
	fmt.Fprintln(w, "faults that befell somebody:")
	for _, kind := range slices.Sorted(maps.Keys(s.hits)) {
		fmt.Fprintf(w, "%9d %s\n", s.hits[kind], kind)
	}
	if s.bad == 0 {
		fmt.Fprintln(w, "no anomaly")
		return
	}
	fmt.Fprintf(w, "%s with anomalies:\n", seeds(s.bad))
	for _, name := range slices.Sorted(maps.Keys(s.anomalies)) {
		shown := s.anomalies[name]
		fmt.Fprintf(w, "%9d %s: seeds %v\n", len(shown), name, shown[:min(len(shown), 10)])
	}
}

func seeds(n int) string {
	if n == 1 {
		return "1 seed"
	}
	return fmt.Sprintf("%d seeds", n)
}
