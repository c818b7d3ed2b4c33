package metastore

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestRunListKeepsWhatItWasGivenWhileItGrows(t *testing.T) {
	const n = smallRuns + 3*chunkRuns + 5
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
	for l.len() > 0 {
		l.removeLast()
	}
	if l.add(run{base: 7}); l.at(0).base != 7 || l.len() != 1 {
		t.Error("an emptied list does not grow again")
	}
}

func TestRunListFindsTimesAsALookAtEveryRunDoes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		var l runList
		drift := random.Int64N(3) // timestamps that grow, or do not
		for step := range 3000 {
			timestamp := drift*int64(step) + random.Int64N(500) - 250
			switch n := random.IntN(20); {
			case n == 0:
				for range min(l.len(), random.IntN(2*chunkRuns)) {
					l.removeLast()
				}
			case n < 5 && l.len() > 0 && l.topped > 0 && step%2 == 0:
				l.add(run{maxTimestamp: timestamp - 100})
				l.raiseLast(timestamp)
			default:
				l.add(run{maxTimestamp: timestamp})
			}
			if step%29 == 0 {
				from := random.IntN(l.len() + 1)
				compareTimes(t, &l, from, drift*random.Int64N(int64(step)+1)+random.Int64N(600)-300)
			}
		}
		checkTops(t, &l)
	}
}

// compareTimes compares since and latest with a look at every run.
func compareTimes(t *testing.T, l *runList, from int, timestamp int64) {
	t.Helper()
	since, latest := l.len(), -1
	for i := l.len() - 1; i >= from; i-- {
		if l.at(i).maxTimestamp >= timestamp {
			since = i
		}
		if latest < 0 || l.at(i).maxTimestamp >= l.at(latest).maxTimestamp {
			latest = i
		}
	}
	if got := l.since(from, timestamp); got != since {
		t.Fatalf("of %d runs, the first since %d from %d on is %d, want %d", l.len(), timestamp, from, got, since)
	}
	if got := l.latest(from); got != latest {
		t.Fatalf("of %d runs, the latest from %d on is %d, want %d", l.len(), from, got, latest)
	}
}

// checkTops checks the tops that are known. All are, if no run was ever removed.
func checkTops(t fataler, l *runList) {
	t.Helper()
	for i := 0; i < l.len(); {
		k, runs := l.restOf(i)
		if k < int(l.topped) && l.chunks[k].top != greatest(runs) {
			t.Fatalf("the top of chunk %d is %d, want %d", k, l.chunks[k].top, greatest(runs))
		}
		i += len(runs)
	}
}

// BenchmarkRunsByTime looks for times among five million runs, as ListOffsets does with everything locked.
func BenchmarkRunsByTime(b *testing.B) {
	const runs = 5_000_000
	r := NewReplica(nil, ReplicaOptions{})
	topic := r.state.addTopic(createTopic{id: TopicID{1}, name: "t", partitions: 1}, 0)
	segment := r.state.addSegment(segment{})
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
