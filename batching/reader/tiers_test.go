package reader_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/readahead"
)

// randomBatch is one of a few records by one of some producers; large now and then.
func (l *tieredLog) randomBatch(rng *rand.Rand) []byte {
	size := rng.IntN(300)
	if rng.IntN(6) == 0 {
		size = rng.IntN(30_000)
	}
	records := make([]recordbatch.Record, 1+rng.IntN(5))
	for i := range records {
		value := make([]byte, size)
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		records[i] = recordbatch.Record{Timestamp: now + rng.Int64N(1000), Value: fmt.Appendf(value, "%d", rng.Int64())}
	}
	opts := recordbatchtest.Options{}
	if rng.IntN(30) == 0 { // an encoder is much memory
		opts.Codec = recordbatch.Codec(rng.IntN(5))
	}
	if producer := rng.Int64N(4); producer == 0 {
		opts = opts.NotIdempotent()
	} else {
		opts.ProducerID, opts.Transactional = producer, true
	}
	b := recordbatchtest.Encode(records, opts)
	if rng.IntN(10) == 0 {
		recordbatch.SetLogAppendTime(b, now+rng.Int64N(1000))
	}
	return b
}

// grow appends runs and ends transactions.
func (l *tieredLog) grow(rng *rand.Rand, runs int) {
	for range runs {
		var batches [][]byte
		for range 1 + rng.IntN(12) {
			batches = append(batches, l.randomBatch(rng))
		}
		l.append(batches...)
		for producer := range int64(4) {
			if producer > 0 && rng.IntN(3) == 0 {
				l.end(producer, rng.IntN(2) == 0, now+rng.Int64N(1000))
			}
		}
	}
}

// swap rewrites some of the runs, or merges them with those that were rewritten, with or without log compaction.
func (l *tieredLog) swap(rng *rand.Rand, clean bool) {
	i := rng.IntN(len(l.runs))
	j := min(i+1+rng.IntN(60), len(l.runs))
	if clean {
		l.rewrite(i, j, l.clean(rng))
	} else {
		l.rewrite(i, j, nil)
	}
}

// tieredReaders are of all the places that records come from.
func (l *tieredLog) readers() map[string]testReader {
	l.must(l.ahead.Close())
	l.rig.ahead = readahead.New(l.gets, readahead.Options{GetBytes: 256 << 10, JoinBytes: 16 << 10, Bytes: 4 << 20, ForgetPause: time.Nanosecond})
	small := reader.Options{WindowBytes: 100, MinAhead: 8 << 10, MaxAhead: 2 << 20, IndexBytes: 3000}
	old, tail := small, small
	old.HotAge, tail.HotAge = time.Nanosecond, 100*365*24*time.Hour
	old.WindowBytes = 64 << 10
	return map[string]testReader{
		"memory": l.newReader(l, l.blocks, l.recent, small),
		"tail":   l.newReader(l, l.blocks, nil, tail),
		"old":    l.newReader(l, l.blocks, nil, old),
	}
}

func TestReadsOfBothTiersAreWhatWasWritten(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 11))
		r := newRig(t, 4<<10)
		l := r.tieredLog(3)
		l.grow(rng, 60)
		readers := l.readers()
		for round := range 4 {
			for name, rd := range readers {
				for range 40 {
					isolation := reader.Isolation(rng.IntN(2))
					from := metastore.Offset(rng.Int64N(int64(l.upTo(isolation)) + 1))
					maxBytes := 1 + rng.IntN(1<<(rng.IntN(20)+1))
					got, err := rd.Read(t.Context(), l.part, from, isolation, maxBytes)
					if err != nil {
						t.Fatalf("seed %d, round %d, %s, from %d: %v", seed, round, name, from, err)
					}
					l.consume(from, got, isolation, maxBytes)
				}
			}
			for range 3 {
				l.swap(rng, rng.IntN(2) == 0)
			}
			l.grow(rng, 10)
		}
	}
}

// A log whose runs are replaced at any time, between Fetches and while one looks for what comes next, is read to its end
// with nothing twice and nothing left out.
func TestScanOfALogWhoseRunsAreReplaced(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 12))
		r := newRig(t, 4<<10)
		l := r.tieredLog(3)
		l.grow(rng, 80)
		isolation := reader.Isolation(seed % 2)
		for name, rd := range l.readers() {
			quiet := l.before
			l.before = func() {
				if rng.IntN(10) == 0 {
					l.swap(rng, rng.IntN(2) == 0)
				}
			}
			var scan reader.Scan
			from := metastore.Offset(0)
			for fetches := 0; ; fetches++ {
				maxBytes := 1 + rng.IntN(1<<(rng.IntN(20)+1))
				got, err := rd.scan(t.Context(), &scan, l.part, from, isolation, maxBytes)
				if err != nil {
					t.Fatalf("seed %d, %s, from %d: %v", seed, name, from, err)
				}
				next := l.consume(from, got, isolation, maxBytes)
				if next == from {
					break
				}
				from = next
				if rng.IntN(20) == 0 {
					l.swap(rng, rng.IntN(2) == 0)
				}
			}
			if from != l.upTo(isolation) {
				t.Fatalf("seed %d, %s: read to %d of %d", seed, name, from, l.upTo(isolation))
			}
			l.before = quiet
			l.grow(rng, 15)
		}
	}
}

// Searches give what a look at every record gives, wherever the log starts.
func TestSearchesOfBothTiersAreExactToTheRecord(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 13))
		r := newRig(t, 4<<10)
		l := r.tieredLog(3)
		l.grow(rng, 100)
		readers := l.readers()
		for range 6 {
			for range 3 {
				l.swap(rng, rng.IntN(2) == 0)
			}
			l.start = metastore.Offset(rng.Int64N(int64(l.high)))
			if rng.IntN(2) == 0 {
				l.start = 0
			}
			var records []tieredRecord
			l.each(l.start, l.high, func(b *tieredBatch) {
				for _, rec := range b.records {
					if rec.offset >= int64(l.start) {
						records = append(records, rec)
					}
				}
			})
			for name, rd := range readers {
				for range 30 {
					ts := now - 5 + rng.Int64N(1010)
					want := tieredRecord{offset: -1, timestamp: -1}
					for _, rec := range records {
						if rec.timestamp >= ts {
							want = rec
							break
						}
					}
					offset, timestamp, found, err := rd.OffsetForTimestamp(t.Context(), l.part, ts)
					if err != nil || int64(offset) != want.offset || timestamp != want.timestamp || found != (want.offset >= 0) {
						t.Fatalf("seed %d, %s, start %d, now+%d: %d at %d, %v, %v; want %d at %d", seed, name, l.start, ts-now, offset, timestamp, found, err, want.offset, want.timestamp)
					}
				}
				want := tieredRecord{offset: -1, timestamp: -1}
				for _, rec := range records {
					if rec.timestamp > want.timestamp {
						want = rec
					}
				}
				offset, timestamp, found, err := rd.MaxTimestamp(t.Context(), l.part)
				if err != nil || int64(offset) != want.offset || timestamp != want.timestamp || found != (want.offset >= 0) {
					t.Fatalf("seed %d, %s, start %d: max %d at %d, %v, %v; want %d at %d", seed, name, l.start, offset, timestamp, found, err, want.offset, want.timestamp)
				}
			}
		}
	}
}
