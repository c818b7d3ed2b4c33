package reader_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/readahead"
)

// The sizes of these tests are a sixteenth of the real ones.
const (
	scanGet   = 256 << 10
	scanBatch = 16 << 10
)

// gets counts the GETs of a test.
type gets struct {
	mu    sync.Mutex
	calls []fault.Call
	bytes int64
}

func (g *gets) count(_ context.Context, call fault.Call) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, call)
	g.bytes += call.Length
	return nil
}

// written fills segments with runs of so many batches each, and returns their bytes.
func (r *rig) written(segments, partitions, batches int) int64 {
	r.t.Helper()
	return r.writtenOf(scanBatch, segments, partitions, batches)
}

// writtenOf is written of batches of a size, a little less.
func (r *rig) writtenOf(size, segments, partitions, batches int) int64 {
	r.t.Helper()
	value := bytes.Repeat([]byte{1}, size-100)
	for range segments {
		parts := map[int32][][]byte{}
		for p := range int32(partitions) {
			for range batches {
				b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now, Value: value}}, recordbatchtest.Options{}.NotIdempotent())
				parts[p] = append(parts[p], b)
			}
		}
		r.write(parts)
	}
	return int64(segments * partitions * batches * size)
}

// catchUp reads partitions to their ends in one connection.
type catchUp struct {
	*rig
	reader     testReader
	scan       reader.Scan
	partitions []int32
	at         map[int32]metastore.Offset
}

func (r *rig) newCatchUp(rd testReader, partitions ...int32) *catchUp {
	return &catchUp{rig: r, reader: rd, partitions: partitions, at: map[int32]metastore.Offset{}}
}

// fetch sends one Fetch, and tells whether there was anything.
func (c *catchUp) fetch(maxBytes int) bool {
	var wants []reader.Want
	for _, p := range c.partitions {
		wants = append(wants, reader.Want{TopicPartition: c.tp(p), From: c.at[p], MaxBytes: maxBytes})
	}
	f := c.reader.Fetch(c.t.Context(), &c.scan, reader.ReadUncommitted, wants)
	defer f.Release()
	more := false
	for i, p := range c.partitions {
		c.must(f.Results[i].Err)
		next := c.check(p, c.at[p], f.Results[i])
		more = more || next > c.at[p]
		c.at[p] = next
	}
	return more
}

// finish reads on to the ends, and returns how many Fetches it took.
func (c *catchUp) finish(maxBytes int) int {
	fetches := 1
	for c.fetch(maxBytes) {
		fetches++
	}
	for _, p := range c.partitions {
		if int(c.at[p]) != len(c.want[p]) {
			c.t.Fatalf("partition %d: read to %d of %d", p, c.at[p], len(c.want[p]))
		}
	}
	return fetches
}

func (r *rig) scanReader(pool readahead.Options) testReader {
	r.must(r.ahead.Close())
	pool.GetBytes, pool.JoinBytes = scanGet, scanGet/64
	r.ahead = readahead.New(r.gets, pool)
	return r.reader(reader.Options{HotAge: cold.HotAge, MinAhead: 32 << 10, MaxAhead: 2 << 20})
}

func TestScanReadsInLargeGets(t *testing.T) {
	for _, c := range []struct {
		partitions, batches, maxBytes int
		most                          float64 // GETs for each scanGet bytes
	}{
		{1, 32, 4 * scanBatch, 1.2},
		{4, 8, 4 * scanBatch, 1.4},
		{8, 4, 4*scanBatch + 100, 1.2},
		{8, 4, 1 << 30, 1.2},
		{8, 4, scanBatch, 1.6},
		{32, 1, scanBatch * 3 / 2, 1.2},
	} {
		t.Run(fmt.Sprintf("%d partitions, %d batches, %d bytes", c.partitions, c.batches, c.maxBytes), func(t *testing.T) {
			r := newRig(t, 1<<20)
			size := r.written(24, c.partitions, c.batches)
			rd := r.scanReader(readahead.Options{Bytes: 4 << 20})
			var g gets
			r.gets.Before(g.count)
			var all []int32
			for p := range int32(c.partitions) {
				all = append(all, p)
			}
			fetches := r.newCatchUp(rd, all...).finish(c.maxBytes)
			ratio := float64(len(g.calls)) * scanGet / float64(size)
			t.Logf("%d fetches, %d GETs of %d KiB on average: %.2f for each %d KiB; %.3f of the bytes", fetches, len(g.calls),
				g.bytes>>10/int64(len(g.calls)), ratio, scanGet>>10, float64(g.bytes)/float64(size))
			if ratio > c.most || g.bytes > size*101/100 {
				t.Errorf("want at most %.2f GETs, and no byte twice", c.most)
			}
		})
	}
}

// Consumers that share the partitions of a topic take turns in its segments.
func TestScansOfSeveralConsumersShareGets(t *testing.T) {
	r := newRig(t, 1<<20)
	size := r.written(80, 8, 4)
	rd := r.scanReader(readahead.Options{Bytes: 6 << 20})
	var g gets
	r.gets.Before(g.count)
	readers := []*catchUp{r.newCatchUp(rd, 0, 2, 4, 6), r.newCatchUp(rd, 1, 3, 5, 7)}
	for readers[0].fetch(4*scanBatch) && readers[1].fetch(4*scanBatch) {
	}
	for _, c := range readers {
		c.finish(4 * scanBatch)
	}
	ratio := float64(len(g.calls)) * scanGet / float64(size)
	t.Logf("%d GETs: %.2f for each %d KiB; %.3f of the bytes", len(g.calls), ratio, scanGet>>10, float64(g.bytes)/float64(size))
	if ratio > 2.4 || g.bytes > size*108/100 {
		t.Error("want at most 2.4 GETs, and few bytes twice")
	}
}

// Producers that fill a batch of one partition after the other leave runs of many lengths, and segments without some
// partitions.
func TestScanOfUnevenRunsReadsInLargeGets(t *testing.T) {
	r := newRig(t, 1<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	value := bytes.Repeat([]byte{1}, 4*scanBatch-100)
	const segments, perSegment = 100, 8
	for range segments {
		parts := map[int32][][]byte{}
		for range perSegment {
			p := rng.Int32N(8)
			parts[p] = append(parts[p], recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now, Value: value}}, recordbatchtest.Options{}.NotIdempotent()))
		}
		r.write(parts)
	}
	size := int64(segments * perSegment * 4 * scanBatch)
	rd := r.scanReader(readahead.Options{Bytes: 4 << 20})
	var g gets
	r.gets.Before(g.count)
	r.newCatchUp(rd, 0, 1, 2, 3, 4, 5, 6, 7).finish(4*scanBatch + 3000)
	ratio := float64(len(g.calls)) * scanGet / float64(size)
	t.Logf("%d GETs: %.2f for each %d KiB; %.3f of the bytes", len(g.calls), ratio, scanGet>>10, float64(g.bytes)/float64(size))
	if ratio > 2.6 || g.bytes > size*115/100 {
		t.Error("want at most 2.6 GETs, and few bytes twice")
	}
}

// A consumer of every other partition alone is not made to read the others for long.
func TestScanOfSomePartitionsReadsNotMuchOfOthers(t *testing.T) {
	r := newRig(t, 1<<20)
	size := r.written(120, 8, 4) / 2
	rd := r.scanReader(readahead.Options{Bytes: 4 << 20})
	var g gets
	r.gets.Before(g.count)
	r.newCatchUp(rd, 0, 2, 4, 6).finish(4 * scanBatch)
	t.Logf("%d GETs, %.3f of the bytes", len(g.calls), float64(g.bytes)/float64(size))
	if g.bytes > size*3/2 {
		t.Error("want at most 1.5 of the bytes")
	}
}

// An offset far inside a large run costs the time to walk there, and not the memory of all that is before it.
func TestReadFarInsideALargeRunIsBoundInMemory(t *testing.T) {
	for name, hotAge := range map[string]time.Duration{"old": time.Nanosecond, "at the tail": time.Hour} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, scanBatch)
			r.written(1, 1, 256)
			r.must(r.ahead.Close())
			r.ahead = readahead.New(r.gets, readahead.Options{GetBytes: scanGet, JoinBytes: scanGet / 64, Bytes: 2 * scanGet})
			var mu sync.Mutex
			var flying, most int64
			r.gets.Before(func(_ context.Context, call fault.Call) error {
				mu.Lock()
				defer mu.Unlock()
				flying += call.Length
				most = max(most, flying)
				return nil
			})
			r.gets.After(func(_ context.Context, call fault.Call, err error) error {
				mu.Lock()
				defer mu.Unlock()
				flying -= call.Length
				return err
			})
			rd := r.reader(reader.Options{HotAge: hotAge, WindowBytes: scanBatch})
			var scan reader.Scan
			f := rd.Fetch(t.Context(), &scan, reader.ReadUncommitted, []reader.Want{{TopicPartition: r.tp(0), From: 250, MaxBytes: scanBatch}})
			held := r.ahead.Bytes()
			next := r.check(0, 250, f.Results[0])
			f.Release()
			if next != 251 {
				t.Errorf("read to %d: %v", next, f.Results[0].Err)
			}
			mu.Lock()
			defer mu.Unlock()
			if held > 3*scanGet || most > 3*scanGet {
				t.Errorf("%d KiB of memory, %d KiB of GETs at once, for one batch of %d", held>>10, most>>10, scanBatch>>10)
			}
		})
	}
}

// Consumers that do not read their answers keep the memory of these, and not the chunks that they were found in.
func TestAnswersThatAreNotReadDoNotKeepThePool(t *testing.T) {
	const consumers = 24
	r := newRig(t, 1<<20)
	r.written(consumers, 1, 32)
	r.must(r.ahead.Close())
	pool := readahead.Options{GetBytes: scanGet, JoinBytes: scanGet / 64, Bytes: 4 * scanGet}
	r.ahead = readahead.New(r.gets, pool)
	rd := r.reader(reader.Options{HotAge: cold.HotAge, MinAhead: 2 * scanGet, MaxAhead: 8 * scanGet})
	var held []*reader.Fetched
	for i := range metastore.Offset(consumers) {
		var scan reader.Scan
		want := reader.Want{TopicPartition: r.tp(0), From: 32 * i, MaxBytes: scanBatch}
		held = append(held, rd.Fetch(t.Context(), &scan, reader.ReadUncommitted, []reader.Want{want}))
	}
	if n := r.ahead.Bytes(); n > pool.Bytes+2*scanGet {
		t.Errorf("%d answers of %d KiB hold %d KiB of the pool, its bound is %d", consumers, scanBatch>>10, n>>10, pool.Bytes>>10)
	}
	for i, f := range held {
		from := metastore.Offset(32 * i)
		if next := r.check(0, from, f.Results[0]); next != from+1 {
			t.Errorf("from %d: read to %d, %v", from, next, f.Results[0].Err)
		}
		f.Release()
	}
}

// What a Fetch loads beyond its answer, because it is needed next, has one bound for all partitions.
func TestFetchOfManyPartitionsLoadsNotMuchMoreThanItsAnswer(t *testing.T) {
	const partitions, bound = 32, 1 << 20
	r := newRig(t, 1<<20)
	r.written(2, partitions, 16)
	r.must(r.ahead.Close())
	r.ahead = readahead.New(r.gets, readahead.Options{GetBytes: scanGet, JoinBytes: scanGet / 64, Bytes: bound})
	var mu sync.Mutex
	var most int64
	r.gets.Before(func(context.Context, fault.Call) error {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, r.ahead.Bytes())
		return nil
	})
	rd := r.reader(reader.Options{HotAge: cold.HotAge, MinAhead: scanGet, MaxAhead: 32 << 20})
	var all []int32
	for p := range int32(partitions) {
		all = append(all, p)
	}
	r.newCatchUp(rd, all...).finish(scanBatch)
	if mu.Lock(); most > 3*bound { // memory comes in steps
		t.Errorf("%d KiB of memory for answers of %d KiB, the bound is %d", most>>10, partitions*scanBatch>>10, bound>>10)
	}
	mu.Unlock()
}

// What a read passes over before its offset is read all the same, and leaves room for what comes.
func TestScanThatBeginsInsideALargeRunReadsAhead(t *testing.T) {
	r := newRig(t, 1<<20)
	r.written(1, 1, 256)
	for last := time.Now(); len(r.starts[0]) < 256+40*8; last = time.Now() {
		for time.Now().UnixMilli() == last.UnixMilli() { // ids of the same millisecond have no order
		}
		r.written(1, 1, 8)
	}
	r.must(r.ahead.Close())
	r.ahead = readahead.New(r.gets, readahead.Options{GetBytes: scanGet, JoinBytes: scanGet / 64, Bytes: 32 << 20})
	rd := r.reader(reader.Options{HotAge: cold.HotAge, MinAhead: 32 << 10, MaxAhead: 2 << 20, WindowBytes: 2 << 20})
	c := r.newCatchUp(rd, 0)
	c.at[0] = 255
	for range 20 {
		c.fetch(4 * scanBatch)
	}
	_, runs, err := r.replica.Runs(r.tp(0), c.at[0], 1<<20)
	r.must(err)
	for _, run := range runs[1:3] {
		if !r.ahead.Has(segment.Key(run.Segment), objstore.Range{Offset: int64(run.Position), Length: int64(run.Length)}) {
			t.Errorf("the run at %d is not on its way when the reader is at %d", run.Base, c.at[0])
		}
	}
}

// Where a GET takes long, what is under way is what counts: the window is filled with every Fetch, from the second that goes on.
func TestScanKeepsItsWindowFull(t *testing.T) {
	const window, fetch = 2 << 20, 512 << 10
	r := newRig(t, 1<<20)
	for last := time.Now(); len(r.starts[0]) < 64*16; last = time.Now() {
		for time.Now().UnixMilli() == last.UnixMilli() { // ids of the same millisecond have no order
		}
		r.written(1, 1, 16)
	}
	c := r.newCatchUp(r.scanReader(readahead.Options{Bytes: 4 * window}), 0)
	for i := range 20 {
		c.fetch(fetch)
		if i < 2 {
			continue
		}
		_, runs, err := r.replica.Runs(r.tp(0), c.at[0], window-window/4-scanGet)
		r.must(err)
		for _, run := range runs {
			if !r.ahead.Has(segment.Key(run.Segment), objstore.Range{Offset: int64(run.Position), Length: int64(run.Length)}) {
				t.Errorf("after %d Fetches the run at %d is not on its way when the reader is at %d", i+1, run.Base, c.at[0])
				break
			}
		}
	}
}
