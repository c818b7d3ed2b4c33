package reader_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/readahead"
)

// The sizes of these tests are a quarter of the real ones.
const (
	tierGet    = 1 << 20
	tierObject = 16 << 20
	tierBatch  = 64 << 10
	tierFetch  = 4 * tierBatch
	tierPool   = 16 << 20
)

func (r *rig) tierReader() testReader {
	r.must(r.ahead.Close())
	r.ahead = readahead.New(r.gets, readahead.Options{GetBytes: tierGet, JoinBytes: tierGet / 64, Bytes: tierPool})
	return r.reader(reader.Options{HotAge: cold.HotAge, MinAhead: 128 << 10, MaxAhead: 8 << 20})
}

// lift replaces so many runs of each partition, from an offset on, by one in an object of tier 1 that has them all. It
// returns where the next ones begin, and false if there are no more.
func (r *rig) lift(from []metastore.Offset, runs int) bool {
	r.t.Helper()
	id := metastore.NewRewrittenID(time.Now())
	b := segment.NewBuilder(id, id.Time())
	var rewrites []metastore.Rewrite
	for p := range from {
		_, old, err := r.replica.Runs(r.tp(int32(p)), from[p], 1<<40)
		r.must(err)
		if old = old[:min(len(old), runs)]; len(old) == 0 {
			continue
		}
		r.must(b.Begin(r.topic, int32(p)))
		for _, run := range old {
			stored, err := r.store.Get(r.t.Context(), segment.Key(run.Segment), int64(run.Position), int64(run.Length))
			r.must(err)
			offset := int64(run.Base)
			for batch, err := range recordbatch.Split(stored) {
				r.must(err)
				h, err := recordbatch.ParseHeader(batch)
				r.must(err)
				r.must(b.Add([][]byte{batch}, segment.InfoOf(h, offset)))
				offset += int64(h.LastOffsetDelta) + 1
			}
		}
		from[p] = old[len(old)-1].End()
		rewrites = append(rewrites, metastore.Rewrite{TopicPartition: r.tp(int32(p)), Old: old})
	}
	if len(rewrites) == 0 {
		return false
	}
	object, index := b.Finish()
	r.must(r.store.Put(r.t.Context(), segment.Key(id), object))
	for i := range rewrites {
		in, ok := index.Find(r.topic, rewrites[i].Partition)
		if !ok {
			r.t.Fatal("the index has not what was written")
		}
		rewrites[i].New = []metastore.Run{{Base: metastore.Offset(in.Base), Records: in.Offsets, Segment: id, SegmentSize: index.Size,
			Position: in.Position, Length: in.Length, MaxTimestamp: in.MaxTimestamp}}
	}
	accepted, err := r.replica.Swap(r.t.Context(), []metastore.RewrittenSegment{{ID: id, Size: index.Size}}, rewrites)
	r.must(err)
	for i, ok := range accepted {
		if !ok {
			r.t.Fatalf("rewrite of %v was refused", rewrites[i].TopicPartition)
		}
	}
	return true
}

// lifted fills objects of tier 1, each with a run of every partition, and returns their bytes.
func (r *rig) lifted(objects, partitions int) int64 {
	batches := tierObject / tierBatch / partitions
	for range objects {
		r.writtenOf(tierBatch, 1, partitions, batches)
	}
	for from := make([]metastore.Offset, partitions); r.lift(from, 1); {
	}
	return int64(objects * partitions * batches * tierBatch)
}

func partitions(n int) (all []int32) {
	for p := range int32(n) {
		all = append(all, p)
	}
	return all
}

// Once the window has grown, a GET has a quarter of an object: what is 16 MiB of the real ones. Several partitions share
// the window, each with a piece that is read and one that comes next.
func TestScanOfTier1ReadsInVeryLargeGets(t *testing.T) {
	const objects = 3
	for _, c := range []struct {
		partitions, maxBytes int
		most                 int // GETs, of those that grow to begin with, too
	}{
		{1, tierFetch, 20},
		{1, 4 * tierFetch, 20},
		{2, tierFetch, 34},
		{4, tierFetch, 66},
		{8, tierFetch, 120},
		{32, tierFetch, 170},
	} {
		t.Run(fmt.Sprintf("%d partitions, %d bytes", c.partitions, c.maxBytes), func(t *testing.T) {
			r := newRig(t, 1<<20)
			size := r.lifted(objects, c.partitions)
			rd := r.tierReader()
			var g gets
			r.gets.Before(g.count)
			r.newCatchUp(rd, partitions(c.partitions)...).finish(c.maxBytes)
			t.Logf("%d GETs of %d KiB on average; %.3f of the bytes", len(g.calls), g.bytes>>10/int64(len(g.calls)), float64(g.bytes)/float64(size))
			if len(g.calls) > c.most || g.bytes > size*106/100 {
				t.Errorf("want at most %d GETs, and hardly a byte twice", c.most)
			}
			if c.partitions > 1 || c.maxBytes > tierFetch {
				return
			}
			byObject := map[string]int{}
			for _, call := range g.calls {
				byObject[call.Key]++
			}
			grown := 0
			for _, n := range byObject {
				if n <= 4 {
					grown++
				}
			}
			if grown < objects-1 {
				t.Errorf("%v GETs: want 4 for each object after the first", byObject)
			}
		})
	}
}

// Consumers of long runs share the pool, whose bound holds: their GETs become smaller, and what was loaded for one is not
// lost for another.
func TestScansOfTier1BesideEachOther(t *testing.T) {
	for consumers, ratioMost := range map[int]float64{2: 0.8, 4: 1.3, 8: 1.9} {
		t.Run(fmt.Sprint(consumers), func(t *testing.T) {
			r := newRig(t, 1<<20)
			size := r.lifted(3, consumers)
			rd := r.tierReader()
			var mu sync.Mutex
			var most int64
			var g gets
			r.gets.Before(func(ctx context.Context, call fault.Call) error {
				n := r.ahead.Bytes()
				mu.Lock()
				most = max(most, n)
				mu.Unlock()
				return g.count(ctx, call)
			})
			var all []*catchUp
			for p := range consumers {
				all = append(all, r.newCatchUp(rd, int32(p)))
			}
			for more := true; more; {
				more = false
				for _, c := range all {
					more = c.fetch(tierFetch) || more
				}
			}
			for _, c := range all {
				c.finish(tierFetch)
			}
			ratio := float64(len(g.calls)) * tierGet / float64(size)
			t.Logf("%d GETs: %.2f for each %d KiB; %.3f of the bytes; %d KiB of memory", len(g.calls), ratio, tierGet>>10,
				float64(g.bytes)/float64(size), most>>10)
			if ratio > ratioMost || g.bytes > size*102/100 || most > tierPool+4*tierGet {
				t.Errorf("want at most %.1f GETs, no byte twice, and %d KiB of memory", ratioMost, tierPool>>10)
			}
		})
	}
}

// A single read of old records in a long run is not made to wait for more than it needs.
func TestTheFirstReadsOfALongRunAreSmall(t *testing.T) {
	r := newRig(t, 1<<20)
	r.lifted(1, 1)
	rd := r.tierReader()
	var g gets
	r.gets.Before(g.count)
	c := r.newCatchUp(rd, 0)
	c.fetch(tierFetch)
	for _, call := range g.calls {
		if call.Length > tierFetch {
			t.Errorf("the first read sent %v", call)
		}
	}
}

// A partition of which some is in tier 1, more with each Fetch, and the rest is not.
func TestScanOfAPartitionThatIsLiftedMeanwhile(t *testing.T) {
	for seed := range uint64(2) {
		rng := rand.New(rand.NewPCG(seed, 14))
		r := newRig(t, 1<<20)
		const partitions = 3
		r.written(50, partitions, 4)
		rd := r.scanReader(readahead.Options{Bytes: 4 << 20})
		c := r.newCatchUp(rd, 0, 1, 2)
		from := make([]metastore.Offset, partitions)
		for c.fetch(1 + rng.IntN(8*scanBatch)) {
			switch rng.IntN(3) {
			case 0:
				r.lift(from, 1+rng.IntN(12))
			case 1: // what is in tier 1 is merged
				again := make([]metastore.Offset, partitions)
				for range rng.IntN(3) {
					r.lift(again, 1)
				}
				r.lift(again, 1+rng.IntN(3))
				for p := range from {
					from[p] = max(from[p], again[p])
				}
			}
		}
		c.finish(4 * scanBatch)
	}
}

// What is asked for ahead is of the runs that are there now, also after those that were asked for before were replaced.
func TestReadAheadGoesOnInRunsThatReplaceOthers(t *testing.T) {
	r := newRig(t, 1<<20)
	r.writtenOf(tierBatch, 12, 1, 64)
	rd := r.tierReader()
	c := r.newCatchUp(rd, 0)
	for range 20 {
		c.fetch(tierFetch)
	}
	for from := make([]metastore.Offset, 1); r.lift(from, 4); {
	}
	left := int64(12*64-c.at[0]) * tierBatch
	var g gets
	r.gets.Before(g.count)
	c.finish(tierFetch)
	t.Logf("%d GETs for %d MiB, of %d", len(g.calls), g.bytes>>20, left>>20)
	// What was loaded ahead of runs that are gone takes room for a while, and GETs are not as large as they may be.
	if int64(len(g.calls)) > left/tierGet+12 || g.bytes > left*101/100 {
		t.Error("want GETs of 1 MiB, and no byte twice")
	}
}

// A consumer that begins far inside a long run of one partition is given another's records meanwhile, and does not have to
// wait for its turn by the clock: what is known of the place grows with each Fetch.
func TestAPlaceInALongRunIsFoundBesideTheTail(t *testing.T) {
	r := newRig(t, 1<<20)
	r.writtenOf(tierBatch, 1, 1, 32)
	r.lift(make([]metastore.Offset, 1), 1)
	r.write(map[int32][][]byte{1: {one(now)}})
	clock := time.Now()
	rd := r.newReader(r.replica, r.blocks, r.recent, reader.Options{HotAge: time.Hour, Now: func() time.Time { return clock }})
	var scan reader.Scan
	wants := []reader.Want{{TopicPartition: r.tp(0), From: 20, MaxBytes: tierBatch}, {TopicPartition: r.tp(1), MaxBytes: 1 << 20}}
	found := false
	for begin := time.Now(); !found && time.Since(begin) < 30*time.Second; {
		f := rd.Fetch(t.Context(), &scan, reader.ReadUncommitted, wants)
		r.must(f.Results[0].Err)
		if r.check(1, 0, f.Results[1]) != 1 {
			t.Fatalf("%+v", f.Results)
		}
		if found = f.Results[0].Bytes > 0; found && r.check(0, 20, f.Results[0]) != 21 {
			t.Errorf("%+v", f.Results[0])
		}
		f.Release()
	}
	if !found {
		t.Error("not a record in 30 s")
	}
}
