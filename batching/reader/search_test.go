package reader_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

// trimmedLog begins at an offset, as after DeleteRecords.
type trimmedLog struct {
	*metastore.Replica
	start metastore.Offset
}

func (l trimmedLog) Runs(tp metastore.TopicPartition, from metastore.Offset, n int) (metastore.Watermarks, []metastore.Run, error) {
	w, runs, err := l.Replica.Runs(tp, max(from, l.start), n)
	w.LogStart = l.start
	if from < l.start {
		return w, nil, metastore.ErrOffsetOutOfRange
	}
	return w, runs, err
}

func (l trimmedLog) RunAt(tp metastore.TopicPartition, ts int64) (metastore.Run, bool) {
	_, runs, _ := l.Replica.Runs(tp, l.start, 1<<30)
	for _, run := range runs {
		if run.MaxTimestamp >= ts {
			return run, true
		}
	}
	return metastore.Run{}, false
}

func (l trimmedLog) RunWithMaxTimestamp(tp metastore.TopicPartition) (best metastore.Run, ok bool) {
	_, runs, _ := l.Replica.Runs(tp, l.start, 1<<30)
	for _, run := range runs {
		if !ok || run.MaxTimestamp > best.MaxTimestamp {
			best, ok = run, true
		}
	}
	return best, ok
}

// The searches give what a look at every record gives, wherever the log starts.
func TestSearchIsExactToTheRecord(t *testing.T) {
	for seed := range uint64(4) {
		r := newRig(t, 512)
		r.fill(rand.New(rand.NewPCG(seed, 7)), 10)
		for start := 0; start <= len(r.want[0]); start += 3 {
			var rd = r.newReader(trimmedLog{r.replica, metastore.Offset(start)}, r.blocks, nil, reader.Options{WindowBytes: 300})
			if start == 0 {
				rd = r.reader(reader.Options{})
			}
			if start%2 == 1 {
				rd = r.newReader(trimmedLog{r.replica, metastore.Offset(start)}, r.blocks, r.recent, reader.Options{})
			}
			records := r.want[0][start:]
			for ts := int64(now - 3); ts < now+1003; ts += 7 {
				want := recordbatch.Record{Offset: -1, Timestamp: -1}
				for _, rec := range records {
					if rec.Timestamp >= ts {
						want = rec
						break
					}
				}
				offset, timestamp, found, err := rd.OffsetForTimestamp(t.Context(), r.tp(0), ts)
				if err != nil || int64(offset) != want.Offset || timestamp != want.Timestamp || found != (want.Offset >= 0) {
					t.Fatalf("seed %d, start %d, now+%d: %d at %d, %v, %v; want %d at %d", seed, start, ts-now, offset, timestamp, found, err, want.Offset, want.Timestamp)
				}
			}
			want := recordbatch.Record{Offset: -1, Timestamp: -1}
			for _, rec := range records {
				if rec.Timestamp > want.Timestamp {
					want = rec
				}
			}
			offset, timestamp, found, err := rd.MaxTimestamp(t.Context(), r.tp(0))
			if err != nil || int64(offset) != want.Offset || timestamp != want.Timestamp || found != (want.Offset >= 0) {
				t.Fatalf("seed %d, start %d: max %d at %d, %v, %v; want %d at %d", seed, start, offset, timestamp, found, err, want.Offset, want.Timestamp)
			}
		}
	}
}

func TestSearchOfEmptyAndUnknownPartitions(t *testing.T) {
	r := newRig(t, 512)
	rd := r.reader(reader.Options{})
	if offset, ts, found, err := rd.OffsetForTimestamp(t.Context(), r.tp(0), 0); offset != -1 || ts != -1 || found || err != nil {
		t.Errorf("empty: %d %d %v %v", offset, ts, found, err)
	}
	if offset, ts, found, err := rd.MaxTimestamp(t.Context(), r.tp(0)); offset != -1 || ts != -1 || found || err != nil {
		t.Errorf("empty: %d %d %v %v", offset, ts, found, err)
	}
	if _, _, _, err := rd.OffsetForTimestamp(t.Context(), r.tp(99), 0); !errors.Is(err, metastore.ErrUnknownPartition) {
		t.Errorf("unknown: %v", err)
	}
	if _, _, _, err := rd.MaxTimestamp(t.Context(), r.tp(99)); !errors.Is(err, metastore.ErrUnknownPartition) {
		t.Errorf("unknown: %v", err)
	}
}

// liar is a compressed batch whose header promises a timestamp that no record has.
func liar(promised int64, timestamps ...int64) []byte {
	b := encode(recordbatch.Gzip, timestamps...)
	binary.BigEndian.PutUint64(b[35:], uint64(promised))
	recordbatchtest.Seal(b)
	return b
}

func TestSearchPassesBatchesThatPromiseTooMuch(t *testing.T) {
	r := newRig(t, 512)
	r.write(map[int32][][]byte{0: {liar(now+100, now, now+1)}})
	r.write(map[int32][][]byte{0: {liar(now+100, now+2), one(now + 50)}})
	rd := r.reader(reader.Options{})
	if offset, ts, found, err := rd.OffsetForTimestamp(t.Context(), r.tp(0), now+40); offset != 3 || ts != now+50 || !found || err != nil {
		t.Errorf("%d %d %v %v", offset, ts, found, err)
	}
	if _, _, found, err := rd.OffsetForTimestamp(t.Context(), r.tp(0), now+60); found || err != nil {
		t.Errorf("%v %v", found, err)
	}
	if offset, ts, found, err := rd.MaxTimestamp(t.Context(), r.tp(0)); offset != 3 || ts != now+50 || !found || err != nil {
		t.Errorf("max: %d %d %v %v", offset, ts, found, err)
	}
	small := r.reader(reader.Options{SearchBytes: 150})
	if _, _, _, err := small.OffsetForTimestamp(t.Context(), r.tp(0), now+60); !errors.Is(err, reader.ErrSearchLimit) {
		t.Errorf("with a small limit: %v", err)
	}
}

// movingLog begins at an offset from the second look at its runs on, as if records were deleted while they are searched.
type movingLog struct {
	*metastore.Replica
	looks int
	start metastore.Offset
}

func (l *movingLog) Runs(tp metastore.TopicPartition, from metastore.Offset, n int) (metastore.Watermarks, []metastore.Run, error) {
	if l.looks++; l.looks == 1 {
		return l.Replica.Runs(tp, from, n)
	}
	return trimmedLog{l.Replica, l.start}.Runs(tp, from, n)
}

func TestSearchGoesOnWhereTheLogStartMovedTo(t *testing.T) {
	r := newRig(t, 512)
	r.write(map[int32][][]byte{0: {liar(now+100, now)}})
	r.write(map[int32][][]byte{0: {one(now + 60)}})
	r.write(map[int32][][]byte{0: {one(now+70, now+71, now+72)}})
	rd := r.newReader(&movingLog{Replica: r.replica, start: 3}, r.blocks, r.recent, reader.Options{})
	if offset, ts, found, err := rd.OffsetForTimestamp(t.Context(), r.tp(0), now+50); offset != 3 || ts != now+71 || !found || err != nil {
		t.Errorf("%d %d %v %v", offset, ts, found, err)
	}
	rd = r.newReader(&movingLog{Replica: r.replica, start: 4}, r.blocks, r.recent, reader.Options{})
	if offset, ts, found, err := rd.MaxTimestamp(t.Context(), r.tp(0)); offset != 4 || ts != now+72 || !found || err != nil {
		t.Errorf("max: %d %d %v %v", offset, ts, found, err)
	}
}

func TestSearchOfABatchThatCannotBeDecompressedIsNotCorruption(t *testing.T) {
	r := newRig(t, 512)
	b := encode(recordbatch.Zstd, now, now+1)
	for i := recordbatch.HeaderSize + 4; i < len(b); i++ {
		b[i] = 0xff
	}
	recordbatchtest.Seal(b)
	r.write(map[int32][][]byte{0: {b}, 1: {one(now)}})
	rd := r.reader(reader.Options{})
	if _, _, _, err := rd.OffsetForTimestamp(t.Context(), r.tp(0), now); !errors.Is(err, reader.ErrUnreadable) || errors.Is(err, reader.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if got, err := rd.Read(t.Context(), r.tp(0), 0, reader.ReadUncommitted, 1<<20); err != nil || got.Bytes != len(b) {
		t.Errorf("it is still what the producer sent: %d bytes, %v", got.Bytes, err)
	}
	if _, _, found, err := rd.OffsetForTimestamp(t.Context(), r.tp(1), now); !found || err != nil {
		t.Errorf("the neighbour: %v", err)
	}
}

// A compressed batch of a few hundred bytes may hold megabytes; searches pay for what they decompress.
func TestSearchBoundsWhatItDecompresses(t *testing.T) {
	r := newRig(t, 1<<20)
	bomb := func(promised int64) []byte {
		b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now, Value: make([]byte, 1<<20)}},
			recordbatchtest.Options{Codec: recordbatch.Zstd}.NotIdempotent())
		binary.BigEndian.PutUint64(b[35:], uint64(promised))
		recordbatchtest.Seal(b)
		return b
	}
	for range 4 {
		r.write(map[int32][][]byte{0: {bomb(now + 100)}})
	}
	r.write(map[int32][][]byte{0: {one(now + 50)}})
	for room, want := range map[int]error{8 << 20: nil, 3 << 20: reader.ErrSearchLimit, 5 << 19: reader.ErrSearchLimit} {
		rd := r.reader(reader.Options{SearchInflatedBytes: room})
		if _, _, _, err := rd.OffsetForTimestamp(t.Context(), r.tp(0), now+40); !errors.Is(err, want) {
			t.Errorf("with room for %d bytes: %v, want %v", room, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rd := r.newReader(r.replica, r.blocks, r.recent, reader.Options{})
	if _, _, _, err := rd.OffsetForTimestamp(ctx, r.tp(0), now+40); !errors.Is(err, context.Canceled) {
		t.Errorf("for a client that is gone: %v", err)
	}
}
