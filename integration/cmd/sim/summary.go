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
	began  time.Time
	told   time.Time
	played int
	bad    int

	virtual, cpu, longest time.Duration
	operations, events    int
	memory                int64
	anomalies             map[string][]uint64 // seeds, by name
	hits                  map[faults.Kind]int
}

func newSummary(dir string, count int) *summary {
	now := time.Now()
	return &summary{dir: dir, count: count, began: now, told: now, anomalies: make(map[string][]uint64), hits: make(map[faults.Kind]int)}
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
		fmt.Printf("seed %d: %s\n    what happened: %s\n    again: make sim SEED=%d\n",
			o.Seed, strings.Join(names, ", "), runner.Dir(s.dir, o.Seed), o.Seed)
	}
	if time.Since(s.told) > tellEvery {
		s.told = time.Now()
		fmt.Printf("%d of %d seeds in %v, %d with anomalies\n", s.played, s.count, time.Since(s.began).Round(time.Second), s.bad)
	}
}

func (s *summary) print(w io.Writer) {
	took := time.Since(s.began)
	fmt.Fprintf(w, "%d seeds in %v, %v of virtual time; %d operations of clients, %d events\n",
		s.played, took.Round(time.Second), s.virtual.Round(time.Second), s.operations, s.events)
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
	fmt.Fprintf(w, "%d seeds with anomalies:\n", s.bad)
	for _, name := range slices.Sorted(maps.Keys(s.anomalies)) {
		seeds := s.anomalies[name]
		fmt.Fprintf(w, "%9d %s: seeds %v\n", len(seeds), name, seeds[:min(len(seeds), 10)])
	}
}
