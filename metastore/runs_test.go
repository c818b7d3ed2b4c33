package metastore

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestRunListKeepsWhatItWasGivenWhileItGrows(t *testing.T) {
	const n = 5*chunkRuns + 5
	var l runList
	var views []runList
	for i := range n {
		if got := l.add(run{base: Offset(10 * i), records: 10}); got != l.at(i) {
			t.Fatalf("run %d is not where it was added", i)
		}
		views = append(views, l)
	}
	for i, view := range views {
		if view.len() != i+1 {
			t.Fatalf("a view of %d runs has %d", i+1, view.len())
		}
		for j := range view.len() {
			if view.at(j).base != Offset(10*j) {
				t.Fatalf("run %d of a view of %d begins at %d", j, i+1, view.at(j).base)
			}
		}
	}
	for i := range n {
		for _, offset := range []Offset{Offset(10 * i), Offset(10*i + 9)} {
			if got := l.find(offset); got != i {
				t.Errorf("offset %d is in run %d, want %d", offset, got, i)
			}
		}
	}
	if got := l.find(10 * n); got != n {
		t.Errorf("the end is in run %d", got)
	}
	l.replace(0, l.len(), nil)
	if l.len() != 0 || l.find(0) != 0 || l.since(0, math.MinInt64) != 0 || l.latest() != -1 {
		t.Error("an emptied list is not empty")
	}
	if l.add(run{base: 7}); l.at(0).base != 7 || l.len() != 1 {
		t.Error("an emptied list does not grow again")
	}
}

// TestRunListIsWhatAPlainListWouldBe replaces runs at random places, with views held, and looks for times and offsets as a
// look at every run does.
func TestRunListIsWhatAPlainListWouldBe(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	type held struct {
		view runList
		want []run
	}
	for range 40 {
		var l runList
		var plain []run
		var views []held
		drift := random.Int64N(3) // timestamps that grow, or do not
		most := 1 + random.IntN(3*chunkRuns)
		made := func(step, n int) []run {
			runs := make([]run, n)
			for i := range runs {
				runs[i].maxTimestamp = drift*int64(step) + random.Int64N(500) - 250
				runs[i].position = random.Uint32()
			}
			return runs
		}
		for step := range 1500 {
			switch n := random.IntN(20); {
			case n < 2:
				from := random.IntN(l.len() + 1)
				switch {
				case n == 0 && random.IntN(2) == 0:
					from = 0
				case random.IntN(2) == 0:
					from = max(0, l.len()-random.IntN(5)) // near what is added
				}
				to := min(l.len(), from+random.IntN(most))
				with := made(step, random.IntN(1+most/(1+random.IntN(8))))
				l.replace(from, to, with)
				plain = slices.Replace(slices.Clone(plain), from, to, with...)
			case n == 2:
				views = append(views, held{l, slices.Clone(plain)})
			case n == 3 && l.len() > 0:
				r := made(step, 1)[0]
				l.add(r)
				l.raiseLast(r.maxTimestamp + 100)
				r.maxTimestamp += 100
				plain = append(plain, r)
			default:
				for _, r := range made(step, random.IntN(6)) {
					if at := l.add(r); at != l.at(l.len()-1) {
						t.Fatal("a run is not where it was added")
					}
					plain = append(plain, r)
				}
			}
			checkRuns(t, &l, plain)
			if step%29 == 0 {
				from := random.IntN(l.len() + 1)
				compareTimes(t, &l, from, drift*random.Int64N(int64(step)+1)+random.Int64N(600)-300)
			}
		}
		checkTops(t, &l)
		for _, h := range views {
			checkRuns(t, &h.view, h.want)
		}
	}
}

// checkRuns compares a list with a plain one, and looks whether its chunks are as large as they should be.
func checkRuns(t *testing.T, l *runList, want []run) {
	t.Helper()
	if l.len() != len(want) {
		t.Fatalf("%d runs, want %d", l.len(), len(want))
	}
	for i, r := range l.all(0) {
		if *r != want[i] {
			t.Fatalf("run %d of %d is %+v, want %+v", i, l.len(), *r, want[i])
		}
	}
	for k := range l.chunks {
		runs := l.in(k)
		if i := int(l.chunks[k].start); len(runs) == 0 || l.at(i) != &runs[0] {
			t.Fatalf("chunk %d begins at %d and has %d runs", k, i, len(runs))
		}
		if k+1 < len(l.chunks) && len(runs) != len(l.chunks[k].runs) {
			t.Fatalf("chunk %d of %d has room for %d runs beside its %d", k, len(l.chunks), len(l.chunks[k].runs)-len(runs), len(runs))
		}
	}
}

// compareTimes compares since and latest with a look at every run.
func compareTimes(t *testing.T, l *runList, from int, timestamp int64) {
	t.Helper()
	since, latest := l.len(), -1
	for i := l.len() - 1; i >= 0; i-- {
		if i >= from && l.at(i).maxTimestamp >= timestamp {
			since = i
		}
		if latest < 0 || l.at(i).maxTimestamp >= l.at(latest).maxTimestamp {
			latest = i
		}
	}
	if got := l.since(from, timestamp); got != since {
		t.Fatalf("of %d runs, the first since %d from %d on is %d, want %d", l.len(), timestamp, from, got, since)
	}
	if got := l.latest(); got != latest {
		t.Fatalf("of %d runs, the latest is %d, want %d", l.len(), got, latest)
	}
}

func checkTops(t fataler, l *runList) {
	t.Helper()
	for k := range l.chunks {
		if l.chunks[k].top != greatest(l.in(k)) {
			t.Fatalf("the top of chunk %d is %d, want %d", k, l.chunks[k].top, greatest(l.in(k)))
		}
	}
}

// TestRunListTakesNoMoreThanItNeeds replaces the oldest of what was added by few runs, over and over.
func TestRunListTakesNoMoreThanItNeeds(t *testing.T) {
	for _, tt := range []struct{ added, left, with int }{{300, 20, 1}, {7, 3, 1}, {1000, 0, 10}, {50, 49, 1}, {40, 40, 39}, {700, 300, 200}} {
		var l runList
		rewritten := 0
		for range 300 {
			for range tt.added {
				l.add(run{})
			}
			to := l.len() - tt.left
			l.replace(rewritten, to, make([]run, tt.with))
			rewritten += tt.with
		}
		room := 0
		for k := range l.chunks {
			room += int(l.chunks[k].made)
		}
		if room > 2*l.len()+chunkRuns || len(l.chunks) > 2*l.len()/joinedRuns+3 {
			t.Errorf("%+v: %d runs have room for %d in %d chunks", tt, l.len(), room, len(l.chunks))
		}
	}
	for _, step := range []struct{ from, skip, with int }{{0, 37, 0}, {0, 37, 200}, {10, 300, 200}, {1300, 5, 700}, {90, 150, 50}} {
		var l runList
		for range 20 * chunkRuns {
			l.add(run{})
		}
		for range 10 {
			from := min(step.from, l.len())
			l.replace(from, min(from+step.skip, l.len()), make([]run, step.with))
			for k := range l.chunks {
				if runs := len(l.chunks[k].runs); int(l.chunks[k].made) > 2*runs {
					t.Fatalf("%+v: of %d runs, chunk %d has %d in the memory of %d", step, l.len(), k, runs, l.chunks[k].made)
				}
			}
		}
	}
}

// BenchmarkRunsByTime looks for times among five million runs, as ListOffsets does with everything locked.
func BenchmarkRunsByTime(b *testing.B) {
	const runs = 5_000_000
	r := NewReplica(nil, ReplicaOptions{})
	topic := r.state.addTopic(createTopic{id: TopicID{1}, name: "t", partitions: 1}, 0)
	segment := r.state.addSegment(segment{}, &r.state.recent)
	p := &topic.partitions[0]
	for i := range runs {
		p.runs.add(run{base: Offset(i), records: 1, maxTimestamp: int64(i), segment: segment})
	}
	p.high = runs
	tp := TopicPartition{Topic: topic.ID}
	b.Run("last", func(b *testing.B) {
		for range b.N {
			if found, ok := r.RunAt(tp, runs-1); !ok || found.Base != runs-1 {
				b.Fatal(found, ok)
			}
		}
	})
	b.Run("greatest", func(b *testing.B) {
		for range b.N {
			if found, ok := r.RunWithMaxTimestamp(tp); !ok || found.Base != runs-1 {
				b.Fatal(found, ok)
			}
		}
	})
}
