package reader_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/readahead"
)

// Producers 1 and 2 abort and commit beside each other; at the end 3 is undecided, in the middle of a run.
func interleaved(l *txnLog) {
	l.write(l.batch(1, 2, 10), l.batch(-1, 1, 10), l.batch(2, 2, 10)) // 0 to 4
	l.write(l.batch(1, 1, 10))                                        // 5
	l.end(1, false, now)                                              // 6: aborted 0, 1, 5
	l.write(l.batch(1, 2, 10), l.batch(2, 1, 10))                     // 7 to 9
	l.end(2, true, now)                                               // 10
	l.end(1, true, now)                                               // 11
	l.write(l.batch(2, 1, 10), l.batch(3, 1, 10), l.batch(2, 1, 10))  // 12 to 14: 13 is open
	l.end(2, false, now)                                              // 15: aborted 12, 14
}

func TestReadCommittedOfInterleavedTransactions(t *testing.T) {
	r := newRig(t, 256)
	l := r.txnLog()
	interleaved(l)
	for name, rd := range l.readers() {
		t.Run(name, func(t *testing.T) {
			for from := metastore.Offset(0); from <= 13; from++ {
				for _, maxBytes := range []int{1, 200, 1 << 20} {
					got, err := rd.Read(t.Context(), r.tp(0), from, reader.ReadCommitted, maxBytes)
					r.must(err)
					next, _ := l.consume(from, got, reader.ReadCommitted)
					if next > 13 || next == from && from < 13 || maxBytes == 1<<20 && next != 13 {
						t.Fatalf("read from %d to %d", from, next)
					}
				}
			}
			got, err := rd.Read(t.Context(), r.tp(0), 0, reader.ReadCommitted, 1<<20)
			r.must(err)
			want := []metastore.AbortedTxn{{Producer: 1, First: 0, Last: 6}, {Producer: 2, First: 12, Last: 15}}
			if !reflect.DeepEqual(got.Aborted, want) || got.Watermarks.Stable != 13 || got.Watermarks.High != 16 {
				t.Errorf("aborted %v, %+v", got.Aborted, got.Watermarks)
			}
			got, err = rd.Read(t.Context(), r.tp(0), 0, reader.ReadUncommitted, 1<<20)
			r.must(err)
			if next, _ := l.consume(0, got, reader.ReadUncommitted); next != 16 || got.Aborted != nil {
				t.Errorf("read_uncommitted ends at %d, aborted %v", next, got.Aborted)
			}
		})
	}
}

// readers are of all the places that records come from.
func (l *txnLog) readers() map[string]testReader {
	return map[string]testReader{
		"memory": l.newReader(l, l.blocks, l.recent, reader.Options{WindowBytes: 100}),
		"tail":   l.newReader(l, l.blocks, nil, reader.Options{WindowBytes: 100, HotAge: 100 * 365 * 24 * time.Hour}),
		"old":    l.newReader(l, l.blocks, nil, reader.Options{WindowBytes: 100, HotAge: time.Nanosecond}),
	}
}

func TestAFetchAtTheStableOffsetReadsNothing(t *testing.T) {
	r := newRig(t, 256)
	l := r.txnLog()
	interleaved(l)
	for name, rd := range l.readers() {
		var g gets
		r.gets.Before(g.count)
		var scan reader.Scan
		for range 3 {
			got, err := rd.scan(t.Context(), &scan, r.tp(0), 13, reader.ReadCommitted, 1<<20)
			if err != nil || got.Bytes != 0 || got.Aborted != nil {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if len(g.calls) > 0 {
			t.Errorf("%s: %v", name, g.calls)
		}
		r.gets.Before(nil)
	}
}

func TestTheEndOfATransactionIsABatchWithoutAnObject(t *testing.T) {
	r := newRig(t, 256)
	l := r.txnLog()
	l.write(l.batch(7, 1, 10))
	l.end(7, true, now+5)
	l.end(8, false, now+6)
	var g gets
	r.gets.Before(g.count)
	for name, rd := range l.readers() {
		got, err := rd.Read(t.Context(), r.tp(0), 1, reader.ReadCommitted, 1<<20)
		r.must(err)
		want := recordbatch.Marker{BaseOffset: 1, ProducerID: 7, ProducerEpoch: 3, Commit: true, Timestamp: now + 5}.Append(nil)
		want = recordbatch.Marker{BaseOffset: 2, ProducerID: 8, ProducerEpoch: 3, Timestamp: now + 6}.Append(want)
		if all := bytes.Join(got.Records, nil); !bytes.Equal(all, want) || got.Bytes != len(want) || len(got.Records) != 1 {
			t.Errorf("%s: %d bytes in %d parts: %x", name, got.Bytes, len(got.Records), all)
		}
		for maxBytes, want := range map[int]int{1: 1, 78: 1, 155: 1, 156: 2} {
			got, err := rd.Read(t.Context(), r.tp(0), 1, reader.ReadUncommitted, maxBytes)
			if err != nil || got.Bytes != want*recordbatch.MarkerSize {
				t.Errorf("%s: %d bytes of %d, %v", name, got.Bytes, maxBytes, err)
			}
		}
	}
	if len(g.calls) > 0 {
		t.Errorf("GETs: %v", g.calls)
	}
}

// The first run is needed in part, so that the answer goes on with runs that were not looked for at first.
func TestAbortedTransactionsOfRunsFoundLateAreListed(t *testing.T) {
	r := newRig(t, 1<<20)
	l := r.txnLog()
	l.write(l.batch(-1, 1, 5000), l.batch(1, 1, 100))
	l.write(l.batch(2, 1, 100))
	l.end(2, false, now)
	l.end(1, false, now)
	l.write(l.batch(2, 1, 100))
	l.end(2, false, now)
	for name, rd := range l.readers() {
		got, err := rd.Read(t.Context(), r.tp(0), 1, reader.ReadCommitted, 4000)
		r.must(err)
		if next, n := l.consume(1, got, reader.ReadCommitted); next != 7 || n != 0 {
			t.Errorf("%s: read to %d, %d records", name, next, n)
		}
		want := []metastore.AbortedTxn{{Producer: 2, First: 2, Last: 3}, {Producer: 1, First: 1, Last: 4}, {Producer: 2, First: 5, Last: 6}}
		if !reflect.DeepEqual(got.Aborted, want) {
			t.Errorf("%s: aborted %v", name, got.Aborted)
		}
	}
}

func TestManyMarkersCostNoMoreThanTheirBytes(t *testing.T) {
	r := newRig(t, 1<<20)
	l := r.txnLog()
	const n = 5000
	for i := range int64(n) {
		l.end(i, i%2 == 0, now)
	}
	rd := l.readers()["tail"]
	wants := []reader.Want{{TopicPartition: r.tp(0), MaxBytes: 1 << 20}}
	f := rd.Fetch(t.Context(), nil, reader.ReadCommitted, wants)
	if got := f.Results[0]; got.Err != nil || got.Bytes != n*recordbatch.MarkerSize || len(got.Records) > 60 {
		t.Fatalf("%d bytes in %d parts, %v", got.Bytes, len(got.Records), got.Err)
	}
	f.Release()
	made := testing.AllocsPerRun(5, func() { rd.Fetch(t.Context(), nil, reader.ReadCommitted, wants).Release() })
	if made > n/50 {
		t.Errorf("%v allocations for %d markers", made, n)
	}
}

// Thousands of transactions may have ended between two runs. What is loaded ahead is as it would be without them.
func TestAScanOverMarkersReadsInLargeGets(t *testing.T) {
	read := func(markers int) int {
		r := newRig(t, 1<<20)
		l := r.txnLog()
		for range 16 {
			var batches [][]byte
			for range 16 {
				batches = append(batches, l.batch(1, 1, scanBatch))
			}
			l.write(batches...)
			for range markers {
				l.end(1, true, now)
			}
		}
		l.end(1, true, now)
		return len(l.scanAll(l.scanReader(l), 4*scanBatch).calls)
	}
	plain, marked := read(0), read(2000)
	if plain > 40 || marked > plain+plain/10 {
		t.Errorf("%d GETs, without markers %d", marked, plain)
	}
}

// scanReader reads old records in the sizes of scan tests.
func (l *txnLog) scanReader(log reader.Log) testReader {
	l.must(l.ahead.Close())
	l.ahead = readahead.New(l.gets, readahead.Options{GetBytes: scanGet, JoinBytes: scanGet / 64})
	return l.newReader(log, l.blocks, nil, reader.Options{HotAge: cold.HotAge, MinAhead: 32 << 10, MaxAhead: 2 << 20})
}

// scanAll reads all that is committed in one connection.
func (l *txnLog) scanAll(rd testReader, maxBytes int) *gets {
	l.t.Helper()
	var g gets
	l.gets.Before(g.count)
	defer l.gets.Before(nil)
	var scan reader.Scan
	for at := metastore.Offset(0); at < l.stable(); {
		got, err := rd.scan(l.t.Context(), &scan, l.tp(0), at, reader.ReadCommitted, maxBytes)
		l.must(err)
		next, _ := l.consume(at, got, reader.ReadCommitted)
		if next == at {
			l.t.Fatalf("nothing at %d of %d", at, l.stable())
		}
		at = next
	}
	return &g
}

func TestSearchFindsMarkersByTheirTime(t *testing.T) {
	r := newRig(t, 1<<20)
	l := r.txnLog()
	l.write(l.batch(1, 3, 10))
	l.end(1, true, now+10)
	l.write(l.batch(-1, 1, 10))
	l.end(2, false, now+20)
	for name, rd := range l.readers() {
		for _, c := range []struct {
			ts   int64
			want metastore.Offset
			at   int64
		}{{now, 0, now}, {now + 1, 3, now + 10}, {now + 11, 5, now + 20}} {
			offset, at, found, err := rd.OffsetForTimestamp(t.Context(), r.tp(0), c.ts)
			if err != nil || !found || offset != c.want || at != c.at {
				t.Errorf("%s, %d: %d at %d, %v, %v", name, c.ts-now, offset, at-now, found, err)
			}
		}
		offset, at, found, err := rd.MaxTimestamp(t.Context(), r.tp(0))
		if err != nil || !found || offset != 5 || at != now+20 {
			t.Errorf("%s: max timestamp %d at %d, %v, %v", name, at-now, offset, found, err)
		}
	}
}

// Random transactions, read in random steps while they go on, give what a consumer may see and nothing else.
func TestReadCommittedGivesWhatANaiveConsumerMaySee(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		r := newRig(t, 64+rng.IntN(2000))
		l := r.txnLog()
		scanner := l.scanReader(l)
		readers := l.readers()
		readers["scan"] = scanner
		names := []string{"memory", "old", "scan", "tail"}
		scans, at := map[string]*reader.Scan{}, map[string]metastore.Offset{}
		for _, name := range names {
			scans[name] = new(reader.Scan)
		}
		for step := range 150 {
			switch rng.IntN(4) {
			case 0:
				l.end(rng.Int64N(5), rng.IntN(2) == 0, now+int64(step))
			default:
				var batches [][]byte
				for range 1 + rng.IntN(6) {
					batches = append(batches, l.batch(rng.Int64N(8)-3, 1+rng.IntN(3), rng.IntN(300)))
				}
				l.write(batches...)
			}
			for producer := int64(0); step == 149 && producer < 5; producer++ {
				l.end(producer, rng.IntN(2) == 0, now)
			}
			for _, name := range names {
				for reads := rng.IntN(3); reads > 0 || step == 149 && at[name] < l.high; reads-- {
					from, scan := at[name], scans[name]
					if jump := rng.IntN(10) == 0; jump && step < 149 {
						from, scan = metastore.Offset(rng.Int64N(int64(l.stable())+1)), nil
					}
					got, err := readers[name].scan(t.Context(), scan, r.tp(0), from, reader.ReadCommitted, rng.IntN(4000))
					r.must(err)
					next, _ := l.consume(from, got, reader.ReadCommitted)
					if next > l.stable() || next == from && from < l.stable() {
						t.Fatalf("%s: read from %d to %d, stable %d", name, from, next, l.stable())
					}
					if scan != nil {
						at[name] = next
					}
				}
			}
		}
	}
}
