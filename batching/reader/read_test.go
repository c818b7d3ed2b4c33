package reader_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/fault"
)

// cold makes every read one of old records.
var cold = reader.Options{HotAge: time.Nanosecond}

// Whatever the sizes of blocks, windows and answers: reading on and on yields what was written, once, in order.
func TestReadOnAndOn(t *testing.T) {
	for _, c := range []struct {
		name     string
		block    int
		recent   bool
		opts     reader.Options
		maxBytes int
	}{
		{"everything at once", 1 << 20, false, reader.Options{}, 1 << 30},
		{"from memory", 1 << 20, true, reader.Options{}, 1 << 30},
		{"from memory, batch by batch", 1 << 20, true, reader.Options{}, 1},
		{"batch by batch", 1 << 20, false, reader.Options{}, 1},
		{"blocks smaller than a header", 37, false, reader.Options{WindowBytes: 1}, 500},
		{"odd blocks and windows", 301, false, reader.Options{WindowBytes: 97}, 1000},
		{"by way of the read-ahead pool", 4096, false, cold, 3000},
		{"by way of the read-ahead pool, batch by batch", 100, false, cold, 1},
		{"by way of the read-ahead pool, everything at once", 1 << 20, false, cold, 1 << 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			r := newRig(t, c.block)
			r.fill(rng, 12)
			rd := r.reader(c.opts)
			if c.recent {
				rd = r.newReader(r.replica, nil, r.recent, c.opts)
			}
			for p := range int32(4) {
				offset, reads := metastore.Offset(0), 0
				for {
					got, err := rd.Read(t.Context(), r.tp(p), offset, reader.ReadUncommitted, c.maxBytes)
					r.must(err)
					if int(got.Watermarks.High) != len(r.want[p]) {
						t.Fatalf("high watermark %d of %d", got.Watermarks.High, len(r.want[p]))
					}
					next := r.check(p, offset, got)
					if next == offset {
						break
					}
					offset, reads = next, reads+1
				}
				if int(offset) != len(r.want[p]) {
					t.Fatalf("partition %d: ended at %d of %d", p, offset, len(r.want[p]))
				}
				if c.maxBytes == 1 && reads != len(r.starts[p]) {
					t.Errorf("partition %d: %d reads for %d batches", p, reads, len(r.starts[p]))
				}
				if c.maxBytes == 1<<30 && reads > 1 {
					t.Errorf("partition %d: %d reads", p, reads)
				}
			}
		})
	}
}

func TestReadFromEveryOffset(t *testing.T) {
	r := newRig(t, 256)
	r.fill(rand.New(rand.NewPCG(1, 2)), 5)
	rd := r.reader(reader.Options{WindowBytes: 100})
	for from := range r.want[0] {
		for _, maxBytes := range []int{1, 400, 1 << 20} {
			got, err := rd.Read(t.Context(), r.tp(0), metastore.Offset(from), reader.ReadCommitted, maxBytes)
			r.must(err)
			if next := r.check(0, metastore.Offset(from), got); int(next) <= from {
				t.Fatalf("nothing from %d", from)
			}
		}
	}
}

func TestReadDoesNotModifySharedMemory(t *testing.T) {
	r := newRig(t, 300)
	b := one(now, now+1)
	r.write(map[int32][][]byte{0: {b}})
	b2 := one(now+2, now+3)
	kept := bytes.Clone(b2)
	r.write(map[int32][][]byte{0: {b2}})
	for _, rd := range []testReader{r.reader(reader.Options{}), r.newReader(r.replica, r.blocks, r.recent, reader.Options{})} {
		for range 2 {
			got, err := rd.Read(t.Context(), r.tp(0), 2, reader.ReadUncommitted, 1<<20)
			r.must(err)
			r.check(0, 2, got)
		}
	}
	if !bytes.Equal(b2, kept) {
		t.Error("the writer's memory was patched")
	}
}

func TestReadStopsAtMaxBytes(t *testing.T) {
	r := newRig(t, 1<<20)
	b := one(now)
	r.write(map[int32][][]byte{0: {b, b, b}})
	r.write(map[int32][][]byte{0: {b, b}})
	size := len(b)
	for _, c := range []struct {
		maxBytes int
		want     int
		second   int // of a partition that is not the first with records
	}{
		{0, 1, 0}, {-5, 1, 0}, {size - 1, 1, 0}, {size, 1, 1}, {2*size - 1, 1, 1},
		{2 * size, 2, 2}, {4 * size, 4, 4}, {5*size - 1, 4, 4}, {5 * size, 5, 5}, {50 * size, 5, 5},
	} {
		f := r.reader(reader.Options{}).Fetch(t.Context(), nil, reader.ReadUncommitted, []reader.Want{
			{TopicPartition: r.tp(3), MaxBytes: c.maxBytes}, {TopicPartition: r.tp(0), MaxBytes: c.maxBytes},
			{TopicPartition: r.tp(0), MaxBytes: c.maxBytes},
		})
		for i, want := range []int{0, c.want, c.second} {
			if got := f.Results[i]; got.Bytes != want*size || got.Err != nil {
				t.Errorf("%d bytes, partition %d: got %d, %v, want %d batches of %d", c.maxBytes, i, got.Bytes, got.Err, want, size)
			}
		}
		f.Release()
	}
}

func TestReadAtTheBorders(t *testing.T) {
	r := newRig(t, 1<<20)
	r.write(map[int32][][]byte{0: {one(now, now)}})
	rd := r.reader(reader.Options{})
	got, err := rd.Read(t.Context(), r.tp(0), 2, reader.ReadUncommitted, 100)
	if err != nil || got.Bytes != 0 || got.Watermarks.High != 2 {
		t.Errorf("at the high watermark: %+v, %v", got, err)
	}
	for _, from := range []metastore.Offset{-1, 3} {
		got, err = rd.Read(t.Context(), r.tp(0), from, reader.ReadUncommitted, 100)
		if !errors.Is(err, metastore.ErrOffsetOutOfRange) || got.Watermarks.High != 2 {
			t.Errorf("at %d: %+v, %v", from, got, err)
		}
	}
	if _, err = rd.Read(t.Context(), r.tp(99), 0, reader.ReadUncommitted, 100); !errors.Is(err, metastore.ErrUnknownPartition) {
		t.Errorf("unknown partition: %v", err)
	}
}

// stableLog ends the stable records of the real log at an offset, as an open transaction would.
type stableLog struct {
	*metastore.Replica
	stable metastore.Offset
}

func (l stableLog) Runs(tp metastore.TopicPartition, from metastore.Offset, n int) (metastore.Watermarks, []metastore.Run, error) {
	w, runs, err := l.Replica.Runs(tp, from, n)
	w.Stable = l.stable
	return w, runs, err
}

func (l stableLog) CommittedRuns(tp metastore.TopicPartition, from metastore.Offset, n int) (metastore.Watermarks, []metastore.Run, []metastore.AbortedTxn, error) {
	w, runs, err := l.Runs(tp, from, n)
	return w, runs, nil, err
}

func TestReadCommittedEndsAtTheStableOffset(t *testing.T) {
	r := newRig(t, 1<<20)
	b := one(now, now)
	r.write(map[int32][][]byte{0: {b, b, b}})
	r.write(map[int32][][]byte{0: {b}})
	for stable := metastore.Offset(0); stable <= 8; stable += 2 {
		rd := r.newReader(stableLog{r.replica, stable}, r.blocks, nil, reader.Options{})
		got, err := rd.Read(t.Context(), r.tp(0), 0, reader.ReadCommitted, 1<<20)
		r.must(err)
		if next := r.check(0, 0, got); next != stable {
			t.Errorf("stable %d: read to %d", stable, next)
		}
		got, err = rd.Read(t.Context(), r.tp(0), 0, reader.ReadUncommitted, 1<<20)
		r.must(err)
		if next := r.check(0, 0, got); next != 8 {
			t.Errorf("stable %d: uncommitted read to %d", stable, next)
		}
	}
}

// A duplicate in the middle of a run was not given offsets: the bytes around it are two runs.
func TestReadLeavesOutDuplicates(t *testing.T) {
	r := newRig(t, 1<<20)
	batch := func(sequence int32) []byte {
		return recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now, Value: []byte{byte(sequence)}}},
			recordbatchtest.Options{ProducerID: 5, BaseSequence: sequence})
	}
	r.write(map[int32][][]byte{0: {batch(0)}})
	r.write(map[int32][][]byte{0: {one(now), batch(0), batch(1)}})
	got, err := r.newReader(r.replica, r.blocks, r.recent, reader.Options{}).Read(t.Context(), r.tp(0), 0, reader.ReadUncommitted, 1<<20)
	r.must(err)
	if next := r.check(0, 0, got); next != 3 || len(r.want[0]) != 3 {
		t.Errorf("read to %d of %d", next, len(r.want[0]))
	}
}

func TestReadOfAMissingObjectNamesTheSegment(t *testing.T) {
	r := newRig(t, 1<<20)
	r.write(map[int32][][]byte{0: {one(now)}})
	id := r.write(map[int32][][]byte{0: {one(now)}})
	r.must(r.store.Delete(t.Context(), []string{segment.Key(id)}))
	rd := r.reader(reader.Options{})
	_, err := rd.Read(t.Context(), r.tp(0), 1, reader.ReadUncommitted, 1<<20)
	if !errors.Is(err, objstore.ErrNotFound) || !strings.Contains(err.Error(), id.String()) {
		t.Errorf("%v", err)
	}
	got, err := rd.Read(t.Context(), r.tp(0), 0, reader.ReadUncommitted, 1<<20)
	if err != nil || r.check(0, 0, got) != 1 {
		t.Errorf("with a batch before it: %+v, %v", got, err)
	}
}

func TestReadOfWrongBytesIsCorrupt(t *testing.T) {
	b := one(now, now+1, now+2)
	other := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now, Value: bytes.Repeat([]byte{1}, len(b)-70)}},
		recordbatchtest.Options{}.NotIdempotent())
	same := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now, Value: bytes.Repeat([]byte{1}, len(b)-68)}},
		recordbatchtest.Options{}.NotIdempotent())
	if len(same) != len(b) || len(other) == len(b) {
		t.Fatalf("batches of %d, %d and %d bytes", len(b), len(other), len(same))
	}
	cases := map[string]func(object []byte) []byte{
		"another's batch of this length": func(o []byte) []byte { copy(o[segment.HeaderSize:], same); return o },
		"zeros":                          func(o []byte) []byte { clear(o); return o },
		"one bit of value":               func(o []byte) []byte { o[segment.HeaderSize+len(b)-2] ^= 1; return o },
		"magic":                          func(o []byte) []byte { o[segment.HeaderSize+16] = 1; return o },
		"length":                         func(o []byte) []byte { o[segment.HeaderSize+11]++; return o },
		"length negative":                func(o []byte) []byte { o[segment.HeaderSize+8] = 0xff; return o },
		"shifted":                        func(o []byte) []byte { return append([]byte{0}, o[:len(o)-1]...) },
		"cut":                            func(o []byte) []byte { return o[:segment.HeaderSize+len(b)-1] },
		"empty":                          func(o []byte) []byte { return o[:0] },
		"another's batch":                func(o []byte) []byte { copy(o[segment.HeaderSize:], other); return o },
		"more offsets": func(o []byte) []byte {
			o[segment.HeaderSize+26]++
			recordbatchtest.Seal(o[segment.HeaderSize : segment.HeaderSize+len(b)])
			return o
		},
		"fewer offsets": func(o []byte) []byte {
			o[segment.HeaderSize+26]--
			recordbatchtest.Seal(o[segment.HeaderSize : segment.HeaderSize+len(b)])
			return o
		},
	}
	for name, damage := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 64)
			id := r.write(map[int32][][]byte{0: {b}})
			key := segment.Key(id)
			object, err := r.store.Get(t.Context(), key, 0, 1<<20)
			r.must(err)
			r.must(r.store.Delete(t.Context(), []string{key}))
			r.must(r.store.Put(t.Context(), key, [][]byte{damage(object)}))
			rd := r.reader(reader.Options{})
			got, err := rd.Read(t.Context(), r.tp(0), 0, reader.ReadUncommitted, 1<<20)
			// A cut object is the store's to tell; it has no sentinel for it.
			if name != "cut" && !errors.Is(err, reader.ErrCorrupt) || err == nil || got.Bytes > 0 || !strings.Contains(err.Error(), id.String()) {
				t.Errorf("read %d bytes, %v", got.Bytes, err)
			}
			if _, _, _, err := rd.OffsetForTimestamp(t.Context(), r.tp(0), now+2); err == nil || name != "cut" && !errors.Is(err, reader.ErrCorrupt) {
				t.Errorf("search: %v", err)
			}
		})
	}
}

func TestFetchLoadsEverythingAtTheSameTime(t *testing.T) {
	for name, opts := range map[string]reader.Options{"tail": {}, "old records": cold} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1<<20)
			var wants []reader.Want
			for range 6 {
				r.write(map[int32][][]byte{0: {one(now)}, 1: {one(now)}})
			}
			for p := range int32(2) {
				wants = append(wants, reader.Want{TopicPartition: r.tp(p), MaxBytes: 1 << 20})
			}
			begun := make(chan fault.Call, 100)
			let := make(chan struct{})
			r.gets.Before(func(ctx context.Context, call fault.Call) error {
				begun <- call
				select {
				case <-let:
				case <-ctx.Done():
				}
				return ctx.Err()
			})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan *reader.Fetched)
			rd := r.reader(opts)
			go func() { done <- rd.Fetch(ctx, nil, reader.ReadUncommitted, wants) }()
			objects := map[string]bool{}
			for range 6 {
				objects[(<-begun).Key] = true
			}
			if len(objects) != 6 {
				t.Errorf("GETs of %d objects", len(objects))
			}
			cancel()
			f := <-done
			for i := range f.Results {
				if err := f.Results[i].Err; !errors.Is(err, context.Canceled) {
					t.Errorf("partition %d: %v", i, err)
				}
			}
			f.Release()
			close(let) // nothing may be left behind: goleak looks
			f = rd.Fetch(t.Context(), nil, reader.ReadUncommitted, wants)
			for i := range f.Results {
				r.must(f.Results[i].Err)
				r.check(int32(i), 0, f.Results[i])
			}
			f.Release()
			if len(begun) > 0 {
				t.Errorf("%d GETs more than objects: runs side by side were not read together", len(begun))
			}
		})
	}
}

// A consumer that is behind in one partition, while the store is slow, is given the others' records meanwhile.
func TestOldRecordsDoNotHoldUpTheTail(t *testing.T) {
	r := newRig(t, 1<<20)
	r.write(map[int32][][]byte{0: {one(now)}})
	old := time.Now()
	r.write(map[int32][][]byte{1: {one(now)}})
	let := make(chan struct{})
	waiting := make(chan struct{}, 10)
	r.gets.Before(func(ctx context.Context, _ fault.Call) error {
		waiting <- struct{}{}
		select {
		case <-let:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	tail := r.recent
	delete(tail, firstKey(t, tail, r, 0))
	rd := r.newReader(r.replica, r.blocks, tail, reader.Options{HotAge: time.Nanosecond, Now: func() time.Time { return old.Add(time.Hour) }})
	var scan reader.Scan
	both := []reader.Want{{TopicPartition: r.tp(0), MaxBytes: 1 << 20}, {TopicPartition: r.tp(1), MaxBytes: 1 << 20}}
	f := rd.Fetch(t.Context(), &scan, reader.ReadUncommitted, both)
	if f.Results[0].Bytes != 0 || f.Results[0].Err != nil || f.Results[0].Watermarks.High != 1 || r.check(1, 0, f.Results[1]) != 1 {
		t.Errorf("%+v", f.Results)
	}
	f.Release()
	<-waiting
	close(let)
	f = rd.Fetch(t.Context(), &scan, reader.ReadUncommitted, both[:1])
	if r.check(0, 0, f.Results[0]) != 1 || len(waiting) > 0 {
		t.Errorf("afterwards: %+v, and %d more GETs", f.Results, len(waiting))
	}
	f.Release()
}

// A partition whose old records never come, while there is always something of another, is not passed over for ever.
func TestOldRecordsHaveTheirTurnInTheEnd(t *testing.T) {
	for name, fails := range map[string]bool{"cannot be read": true, "are evicted before they are read": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1<<20)
			r.write(map[int32][][]byte{0: {one(now)}})
			clock := time.Now().Add(time.Hour)
			r.write(map[int32][][]byte{1: {one(now)}})
			gone := errors.New("no such luck")
			if fails {
				r.gets.Before(func(context.Context, fault.Call) error { return gone })
			}
			delete(r.recent, firstKey(t, r.recent, r, 0))
			rd := r.newReader(r.replica, r.blocks, r.recent, reader.Options{HotAge: time.Nanosecond, Now: func() time.Time { return clock }})
			var scan reader.Scan
			both := []reader.Want{{TopicPartition: r.tp(0), MaxBytes: 1 << 20}, {TopicPartition: r.tp(1), MaxBytes: 1 << 20}}
			_, runs, err := r.replica.Runs(r.tp(0), 0, 1)
			r.must(err)
			for fetches := 1; ; fetches++ {
				f := rd.Fetch(t.Context(), &scan, reader.ReadUncommitted, both)
				told := f.Results[0].Bytes > 0 || errors.Is(f.Results[0].Err, gone)
				if r.check(1, 0, f.Results[1]) != 1 {
					t.Fatalf("%+v", f.Results)
				}
				f.Release()
				if told {
					break
				}
				if fetches == 30 {
					t.Fatal("30 fetches in 30 s told nothing of the partition that is behind")
				}
				clock = clock.Add(time.Second)
				r.ahead.Forget(segment.Key(runs[0].Segment))
			}
		})
	}
}

// firstKey is the run of a partition that the writer remembers.
func firstKey(t *testing.T, recent recentRuns, r *rig, p int32) recentKey {
	t.Helper()
	_, runs, err := r.replica.Runs(r.tp(p), 0, 1)
	r.must(err)
	key := recentKey{runs[0].Segment, runs[0].Position, runs[0].Length}
	if _, ok := recent[key]; !ok {
		t.Fatal("the writer does not remember the run")
	}
	return key
}

func BenchmarkRead(b *testing.B) {
	r := newRig(b, 1<<20)
	value := bytes.Repeat([]byte{1}, 1000)
	batch := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now, Value: bytes.Repeat(value, 16)}}, recordbatchtest.Options{}.NotIdempotent())
	var batches [][]byte
	for range 64 {
		batches = append(batches, batch)
	}
	r.write(map[int32][][]byte{0: batches})
	rd := r.reader(reader.Options{})
	wants := []reader.Want{{TopicPartition: r.tp(0), MaxBytes: 2 << 20}}
	b.SetBytes(int64(len(batch) * 64))
	b.ReportAllocs()
	for b.Loop() {
		f := rd.Fetch(b.Context(), nil, reader.ReadUncommitted, wants)
		if got := &f.Results[0]; got.Err != nil || got.Bytes != 64*len(batch) {
			b.Fatal(got.Bytes, got.Err)
		}
		f.Release()
	}
}
