package reader_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/readahead"
)

// longRun is a log of one run of tier 1, of so many batches of 16 KiB with one record each, whose timestamps grow.
func (r *rig) longRun(batches int) *tieredLog {
	l := r.tieredLog(3)
	l.appendLong(batches)
	l.rewrite(0, len(l.runs), nil)
	return l
}

func (l *tieredLog) appendLong(batches int) {
	value := bytes.Repeat([]byte{1}, scanBatch-100)
	for range batches {
		l.append(recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now + int64(l.high), Value: value}}, recordbatchtest.Options{}.NotIdempotent()))
	}
}

// longReader reads with the sizes of the real thing, but for what is ahead.
func (l *tieredLog) longReader() testReader {
	l.must(l.ahead.Close())
	l.rig.ahead = readahead.New(l.gets, readahead.Options{ForgetPause: time.Nanosecond})
	return l.newReader(l, l.blocks, nil, reader.Options{})
}

// A place in a long run, by offset or by time, is found with one request for the index, which is then known, and one for
// what is asked for.
func TestAPlaceInALongRunTakesTwoRequests(t *testing.T) {
	r := newRig(t, 1<<20)
	l := r.longRun(400)
	size := int64(l.runs[0].Length)
	for name, look := range map[string]func(testReader, int64) (metastore.Offset, error){
		"offset": func(rd testReader, n int64) (metastore.Offset, error) {
			got, err := rd.Read(t.Context(), l.part, metastore.Offset(n), reader.ReadUncommitted, scanBatch)
			return l.consume(metastore.Offset(n), got, reader.ReadUncommitted, scanBatch) - 1, err
		},
		"time": func(rd testReader, n int64) (metastore.Offset, error) {
			offset, _, _, err := rd.OffsetForTimestamp(t.Context(), l.part, now+n)
			return offset, err
		},
		"latest": func(rd testReader, _ int64) (metastore.Offset, error) {
			offset, _, _, err := rd.MaxTimestamp(t.Context(), l.part)
			return offset, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			rd := l.longReader()
			for i, n := range []int64{399, 7, 200, 322} {
				if name == "latest" {
					n = 399
				}
				var g gets
				r.gets.Before(g.count)
				got, err := look(rd, n)
				r.must(err)
				most := 1
				if i == 0 {
					most = 2
				}
				if int64(got) != n || len(g.calls) > most || g.bytes > 4*segment.MarkSpacing {
					t.Errorf("%d: found %d with %v, %d bytes of %d", n, got, g.calls, g.bytes, size)
				}
			}
		})
	}
}

// Many who look into an object at the same time share the request for its index.
func TestTheIndexIsReadOnceForMany(t *testing.T) {
	r := newRig(t, 1<<20)
	l := r.longRun(400)
	rd := l.longReader()
	var mu sync.Mutex
	indexes := 0
	let := make(chan struct{})
	r.gets.Before(func(_ context.Context, call fault.Call) error {
		<-let
		if call.Offset+call.Length == l.runs[0].SegmentSize {
			mu.Lock()
			indexes++
			mu.Unlock()
		}
		return nil
	})
	var group sync.WaitGroup
	for i := range metastore.Offset(20) {
		group.Go(func() {
			from := 10 * i
			got, err := rd.Read(t.Context(), l.part, 100+from, reader.ReadUncommitted, scanBatch)
			if err != nil || got.Bytes == 0 {
				t.Errorf("%v, %d bytes", err, got.Bytes)
			}
		})
	}
	close(let)
	group.Wait()
	if indexes != 1 {
		t.Errorf("%d requests for the index", indexes)
	}
}

// damage replaces an object's bytes in the store.
func (l *tieredLog) damage(id metastore.SegmentID, change func([]byte)) (repair func()) {
	l.t.Helper()
	key := segment.Key(id)
	put := func(object []byte) {
		l.must(l.store.Delete(l.t.Context(), []string{key}))
		l.must(l.store.Put(l.t.Context(), key, [][]byte{object}))
	}
	object, err := l.store.Get(l.t.Context(), key, 0, 1<<30)
	l.must(err)
	damaged := bytes.Clone(object)
	change(damaged)
	put(damaged)
	return func() { put(object) }
}

// resealFooter gives the footer of an object the CRC of its bytes.
func resealFooter(o []byte) {
	be := binary.BigEndian
	length := int(be.Uint32(o[len(o)-16:]))
	be.PutUint32(o[len(o)-8:], crc32.Checksum(o[len(o)-16-length:len(o)-8], crc32.MakeTable(crc32.Castagnoli)))
}

// What does not add up in a run of tier 1, or in the index of its object, is an error, and forgotten: when the store has the
// right bytes again, they are read.
func TestWrongBytesOfTier1AreCorrupt(t *testing.T) {
	be := binary.BigEndian
	for name, tc := range map[string]struct {
		change func(o []byte, size int) // size is that of a batch
		from   metastore.Offset
	}{
		"no magic at the end":      {func(o []byte, _ int) { o[len(o)-1]++ }, 300},
		"CRC of the footer":        {func(o []byte, _ int) { o[len(o)-30]++ }, 300},
		"index of another segment": {func(o []byte, _ int) { o[footerOf(o)+15]++; resealFooter(o) }, 300},
		"index of another partition": {func(o []byte, _ int) {
			o[footerOf(o)+28+64+19]++
			resealFooter(o)
		}, 300},
		"index of more offsets": {func(o []byte, _ int) {
			o[footerOf(o)+28+64+59]++
			resealFooter(o)
		}, 300},
		"marks between batches": {func(o []byte, _ int) {
			for at := len(o) - 16 - 16; at > len(o)-16-16*70; at -= 16 {
				o[at+7]++
			}
			resealFooter(o)
		}, 300},
		"marks of other offsets": {func(o []byte, _ int) {
			for at := len(o) - 16 - 16; at > len(o)-16-16*70; at -= 16 {
				be.PutUint32(o[at:], be.Uint32(o[at:])-1)
			}
			resealFooter(o)
		}, 300},
		"offset goes back":      {func(o []byte, size int) { be.PutUint64(o[runOf(o)+size:], 0) }, 0},
		"offset stays":          {func(o []byte, size int) { be.PutUint64(o[runOf(o)+2*size:], 1) }, 1},
		"offset behind the run": {func(o []byte, size int) { be.PutUint64(o[runOf(o)+size:], 400) }, 0},
		"negative offset":       {func(o []byte, size int) { be.PutUint64(o[runOf(o)+size:], 1<<63) }, 0},
		"last offset too early": {func(o []byte, size int) { be.PutUint64(o[runOf(o)+size:], 399) }, 0},
		"value":                 {func(o []byte, size int) { o[runOf(o)+2*size-2]++ }, 1},
		"length":                {func(o []byte, size int) { o[runOf(o)+size+11]++ }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1<<20)
			l := r.longRun(400)
			run := l.runs[0]
			size := len(run.batches[0].bytes)
			repair := l.damage(run.Segment, func(o []byte) { tc.change(o, size) })
			rd := l.longReader()
			maxBytes := 2 * size
			got, err := rd.Read(t.Context(), l.part, tc.from, reader.ReadUncommitted, maxBytes)
			if tc.from <= 1 && err == nil { // batches before the error are returned without it
				from := l.consume(tc.from, got, reader.ReadUncommitted, maxBytes)
				got, err = rd.Read(t.Context(), l.part, from, reader.ReadUncommitted, maxBytes)
			}
			if !errors.Is(err, reader.ErrCorrupt) || got.Bytes > 0 || !strings.Contains(err.Error(), run.Segment.String()) {
				t.Errorf("read %d bytes, %v", got.Bytes, err)
			}
			if tc.from > 1 {
				if _, _, _, err := rd.OffsetForTimestamp(t.Context(), l.part, now+300); !errors.Is(err, reader.ErrCorrupt) {
					t.Errorf("search: %v", err)
				}
				if _, _, _, err := rd.MaxTimestamp(t.Context(), l.part); !errors.Is(err, reader.ErrCorrupt) {
					t.Errorf("search for the latest: %v", err)
				}
			}
			repair()
			got, err = rd.Read(t.Context(), l.part, tc.from, reader.ReadUncommitted, maxBytes)
			r.must(err)
			if next := l.consume(tc.from, got, reader.ReadUncommitted, maxBytes); next != tc.from+2 {
				t.Errorf("read to %d after the repair", next)
			}
			if offset, _, _, err := rd.OffsetForTimestamp(t.Context(), l.part, now+300); err != nil || offset != 300 {
				t.Errorf("search after the repair: %d, %v", offset, err)
			}
		})
	}
}

// footerOf is where the footer of an object begins, and runOf where the run of a log does: another's lies before it.
func footerOf(o []byte) int { return len(o) - 16 - int(binary.BigEndian.Uint32(o[len(o)-16:])) }

func runOf(o []byte) int { return int(binary.BigEndian.Uint32(o[footerOf(o)+28+64+20:])) }

// A version that is not known is no damage.
func TestAnIndexOfALaterVersionIsNotCorrupt(t *testing.T) {
	r := newRig(t, 1<<20)
	l := r.longRun(400)
	repair := l.damage(l.runs[0].Segment, func(o []byte) { o[len(o)-11] = 9 })
	rd := l.longReader()
	var version *segment.VersionError
	if _, err := rd.Read(t.Context(), l.part, 300, reader.ReadUncommitted, 1); !errors.As(err, &version) || errors.Is(err, reader.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	repair()
}

// A run may end in a gap. Who asks for an offset in it goes on with the next run.
func TestAGapAtTheEndOfARunIsPassed(t *testing.T) {
	r := newRig(t, 256)
	l := r.tieredLog(3)
	l.append(l.small(), l.small())
	l.append(l.small(), l.small(), l.small())
	l.append(l.small())
	l.rewrite(0, 1, nil)
	l.rewrite(1, 2, func(b []*tieredBatch) []*tieredBatch { return b[:1] })
	l.runs[1].Records = 3 // 2, and nothing at 3 and 4
	for name, rd := range l.readers() {
		for from := metastore.Offset(2); from <= 5; from++ {
			for _, maxBytes := range []int{1, 1 << 20} {
				var scan reader.Scan
				got, err := rd.scan(t.Context(), &scan, l.part, from, reader.ReadUncommitted, maxBytes)
				r.must(err)
				next := l.consume(from, got, reader.ReadUncommitted, maxBytes)
				if next != 6 && (from > 2 || maxBytes > 1) {
					t.Errorf("%s: from %d to %d", name, from, next)
				}
			}
		}
	}
	rd := l.longReader()
	if got, err := rd.Read(t.Context(), l.part, 6, reader.ReadUncommitted, 1); err != nil || got.Bytes > 0 {
		t.Errorf("at the end: %d bytes, %v", got.Bytes, err)
	}
}

// small is a batch of one record.
func (l *tieredLog) small() []byte { return one(now) }

// A swap comes between the runs that a Fetch was planned with and those that it goes on with, which begin before them.
func TestASwapBetweenThePagesOfAFetch(t *testing.T) {
	for name, tiers := range map[string]func(*tieredLog){
		"tier 0":        func(*tieredLog) {},
		"tier 1":        func(l *tieredLog) { l.rewrite(0, 2, nil); l.rewrite(1, 3, nil) },
		"both":          func(l *tieredLog) { l.rewrite(0, 1, nil) },
		"tier 1 behind": func(l *tieredLog) { l.rewrite(1, 4, nil) },
	} {
		for _, back := range []metastore.Offset{10, 200, 300} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, 1<<20)
				l := r.tieredLog(3)
				for range 6 {
					var batches [][]byte
					for range 400 {
						batches = append(batches, one(now+int64(len(batches))))
					}
					l.append(batches...)
				}
				tiers(l)
				rd := l.longReader()
				looks := 0
				l.before = func() {
					if looks++; looks == 2 {
						l.rewrite(0, len(l.runs)-1, nil)
					}
				}
				const maxBytes = 29_000 // less than a run, of which little is needed
				from := metastore.Offset(l.runs[0].Records) - back
				got, err := rd.Read(t.Context(), l.part, from, reader.ReadUncommitted, maxBytes)
				r.must(err)
				next := l.consume(from, got, reader.ReadUncommitted, maxBytes)
				if looks < 2 {
					t.Errorf("%d looks: the test does not test what it should", looks)
				}
				if size := len(one(now)); int(next-from) != maxBytes/size {
					t.Errorf("read %d batches of %d bytes into %d", next-from, size, maxBytes)
				}
			})
		}
	}
}

// A batch that reaches over the border of what was read already is left to the next Fetch, however it came to be.
func TestABatchThatBeginsInWhatWasReadIsNotReadTwice(t *testing.T) {
	r := newRig(t, 1<<20)
	l := r.tieredLog(3)
	for range 2 {
		var batches [][]byte
		for range 400 {
			batches = append(batches, one(now))
		}
		l.append(batches...)
	}
	looks := 0
	l.before = func() {
		if looks++; looks == 2 {
			l.rewrite(0, 2, func(batches []*tieredBatch) []*tieredBatch {
				both := slices.Concat(batches[399].records, batches[400].records)
				joined := *batches[399]
				joined.header.LastOffsetDelta = 1
				return slices.Concat(batches[:399], []*tieredBatch{joined.without(both)}, batches[401:])
			})
		}
	}
	rd := l.longReader()
	const maxBytes = 29_000
	got, err := rd.Read(t.Context(), l.part, 390, reader.ReadUncommitted, maxBytes)
	r.must(err)
	if next := l.consume(390, got, reader.ReadUncommitted, maxBytes); next != 400 || looks < 2 {
		t.Errorf("read to %d in %d looks", next, looks)
	}
	got, err = rd.Read(t.Context(), l.part, 400, reader.ReadUncommitted, maxBytes)
	r.must(err)
	l.consume(400, got, reader.ReadUncommitted, maxBytes)
}
