package rewrite

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// randomParts has runs of objects as they lie in segments: partition after partition, with what nobody needs between.
// None is larger than so many bytes.
func randomParts(rng *rand.Rand, largest int) []Part {
	var ids []metastore.SegmentID
	ends := map[metastore.SegmentID]uint32{}
	for range 1 + rng.IntN(20) {
		id := metastore.NewSegmentID(time.UnixMilli(rng.Int64N(1 << 40)))
		ids = append(ids, id)
		ends[id] = 40
	}
	var parts []Part
	for p := range int32(1 + rng.IntN(30)) {
		part := Part{TopicPartition: metastore.TopicPartition{Partition: p}}
		base := metastore.Offset(0)
		for range 1 + rng.IntN(20) {
			id := ids[rng.IntN(len(ids))]
			run := metastore.Run{Base: base, Records: 1, Segment: id, Position: ends[id], Length: uint32(1 + rng.IntN(largest))}
			if rng.IntN(4) == 0 {
				run.Position += uint32(rng.IntN(2 * joinedGap))
			}
			if rng.IntN(20) == 0 {
				run.Marker = &metastore.Marker{}
			} else {
				ends[id] = run.Position + run.Length
			}
			part.Runs = append(part.Runs, run)
			base++
		}
		parts = append(parts, part)
	}
	return parts
}

// TestPlanReadsAllThatIsNeeded: every byte of every run is in the chunks that its need leads to, no chunk is too large or
// reads over a large gap, and while needs are met in order no more chunks are begun at a time than memory was planned for.
func TestPlanReadsAllThatIsNeeded(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		parts := randomParts(rng, 1<<(5+rng.IntN(16)))
		memory, reads := int64(1)<<(12+rng.IntN(14)), 1+rng.IntN(5)
		p := makePlan(parts, memory, reads)
		if p.size < smallestChunk || p.size > largestChunk || p.size > smallestChunk && p.size*int64(p.overlap()+2*reads) > memory {
			t.Fatalf("chunks of %d bytes for %d objects and %d reads in %d bytes", p.size, p.overlap(), reads, memory)
		}
		checkPlan(t, p)
	}
}

func checkPlan(t *testing.T, p *plan) {
	t.Helper()
	left := make([]int32, len(p.chunks))
	for i := range p.chunks {
		c := &p.chunks[i]
		if left[i] = c.pieces; c.pieces <= 0 || c.size() <= 0 || c.size() > p.size {
			t.Fatalf("chunk %+v, the largest is %d", c, p.size)
		}
	}
	first, open, most := int32(0), map[int32]bool{}, 0
	for _, n := range p.needs {
		at, end := int64(n.position), int64(n.position)+int64(n.length)
		for c := n.chunk; at < end; c = p.chunks[c].next {
			x := &p.chunks[c]
			if c > first {
				t.Fatalf("chunk %d is needed before chunk %d", c, first)
			}
			if c == first {
				first++
			}
			if x.object != n.object || at < x.from || at >= x.to {
				t.Fatalf("byte %d of object %d is not in chunk %+v", at, n.object, x)
			}
			open[c] = true
			most = max(most, len(open))
			if left[c]--; left[c] == 0 {
				delete(open, c)
			}
			at = min(end, x.to)
		}
	}
	if len(open) > 0 || int(first) != len(p.chunks) {
		t.Fatalf("%d chunks are never done with, %d of %d are needed", len(open), first, len(p.chunks))
	}
	if most > p.overlap() {
		t.Fatalf("%d chunks at a time, planned for %d", most, p.overlap())
	}
}

// TestPlanJoinsNeighbors: what lies side by side, or nearly, is one GET.
func TestPlanJoinsNeighbors(t *testing.T) {
	id, other := metastore.NewSegmentID(time.UnixMilli(1)), metastore.NewSegmentID(time.UnixMilli(2))
	run := func(id metastore.SegmentID, position, length uint32) metastore.Run {
		return metastore.Run{Records: 1, Segment: id, Position: position, Length: length}
	}
	for name, tc := range map[string]struct {
		runs   []metastore.Run
		memory int64
		want   [][2]int64
	}{
		"side by side":       {[]metastore.Run{run(id, 40, 60), run(id, 100, 50)}, 1 << 20, [][2]int64{{40, 150}}},
		"small gap":          {[]metastore.Run{run(id, 40, 60), run(id, 100+joinedGap, 50)}, 1 << 20, [][2]int64{{40, 150 + joinedGap}}},
		"large gap":          {[]metastore.Run{run(id, 40, 60), run(id, 101+joinedGap, 50)}, 1 << 20, [][2]int64{{40, 100}, {101 + joinedGap, 151 + joinedGap}}},
		"another between":    {[]metastore.Run{run(id, 40, 60), run(other, 40, 7), run(id, 100, 50)}, 1 << 20, [][2]int64{{40, 150}, {40, 47}}},
		"larger than memory": {[]metastore.Run{run(id, 40, 10_000), run(id, 10_040, 100)}, 4096 * 9, [][2]int64{{40, 4136}, {4136, 8232}, {8232, 10_140}}},
		"not cut for little": {[]metastore.Run{run(id, 40, 4000), run(id, 4040, 4000)}, 4096 * 9, [][2]int64{{40, 4040}, {4040, 8040}}},
		"back":               {[]metastore.Run{run(id, 100, 50), run(id, 40, 60)}, 1 << 20, [][2]int64{{100, 150}, {40, 100}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := makePlan([]Part{{Runs: tc.runs}}, tc.memory, 4)
			var got [][2]int64
			for _, c := range p.chunks {
				got = append(got, [2]int64{c.from, c.to})
			}
			if len(got) != len(tc.want) {
				t.Fatalf("%v, want %v", got, tc.want)
			}
			for i := range got {
				if got[i] != tc.want[i] {
					t.Fatalf("%v, want %v", got, tc.want)
				}
			}
		})
	}
}
