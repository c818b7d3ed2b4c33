package reader_test

import (
	"bytes"
	"cmp"
	"fmt"
	"runtime"
	"slices"
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
	"github.com/runnel-io/runnel/objstore/readahead"
)

// The sizes of these tests, and all options, are the real ones.
const (
	longObject = 64 << 20
	longBatch  = 256 << 10
)

// long is one partition of so many bytes as the compactor leaves it: a run for each object of up to 64 MiB.
func (r *rig) long(size int64) *tieredLog {
	r.t.Helper()
	l := r.tieredLog(0)
	l.emptyPool()
	batch := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now, Value: bytes.Repeat([]byte{1}, longBatch-100)}}, recordbatchtest.Options{}.NotIdempotent())
	h, err := recordbatch.ParseHeader(batch)
	r.must(err)
	for size >= int64(len(batch)) {
		id := rewrittenID(time.Now())
		b := segment.NewBuilder(id, id.Time())
		r.must(b.Begin(r.topic, 0))
		first := l.high
		for ; size >= int64(len(batch)) && b.Size()+longBatch <= longObject; size -= int64(len(batch)) {
			r.must(b.Add([][]byte{batch}, segment.InfoOf(h, int64(l.high))))
			l.high++
		}
		object, index := b.Finish()
		r.must(r.store.Put(r.t.Context(), segment.Key(id), object))
		at := index.Runs[0]
		l.runs = append(l.runs, &tieredRun{Run: metastore.Run{Base: first, Records: at.Offsets, Segment: id, SegmentSize: index.Size,
			Position: at.Position, Length: at.Length, MaxTimestamp: at.MaxTimestamp}})
	}
	return l
}

// emptyPool forgets what was read.
func (l *tieredLog) emptyPool() {
	l.must(l.ahead.Close())
	l.ahead = readahead.New(l.gets, readahead.Options{Stale: time.Hour})
}

// scanned reads with so many Fetches, or to the end, and returns where it got to.
func (l *tieredLog) scanned(fetches, maxBytes int, from metastore.Offset) metastore.Offset {
	l.t.Helper()
	var scan reader.Scan
	at := from
	for rd := l.newReader(l, l.blocks, nil, reader.Options{}); fetches > 0 && at < l.high; fetches-- {
		at = l.scannedOn(rd, &scan, at, maxBytes)
	}
	return at
}

// scannedOn reads with one Fetch.
func (l *tieredLog) scannedOn(rd testReader, scan *reader.Scan, at metastore.Offset, maxBytes int) metastore.Offset {
	l.t.Helper()
	got, err := rd.scan(l.t.Context(), scan, l.part, at, reader.ReadUncommitted, maxBytes)
	l.must(err)
	for b, err := range recordbatch.Split(bytes.Join(got.Records, nil)) {
		l.must(err)
		h, err := recordbatch.ParseHeader(b)
		l.must(err)
		if h.BaseOffset != int64(at) {
			l.t.Fatalf("batch at %d, want %d", h.BaseOffset, at)
		}
		at++
	}
	return at
}

const toTheEnd = 1 << 30

// trace lists GETs by object and place, once all have come: their lengths in MiB.
func (g *gets) trace(l *tieredLog) string {
	l.t.Helper()
	for begin := time.Now(); l.ahead.Spare() < l.ahead.Bound(); runtime.Gosched() {
		if time.Since(begin) > time.Minute {
			l.t.Fatal("GETs do not end")
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	order := map[string]int{}
	for i, run := range l.runs {
		order[segment.Key(run.Segment)] = i
	}
	slices.SortFunc(g.calls, func(a, b fault.Call) int {
		return cmp.Or(cmp.Compare(order[a.Key], order[b.Key]), cmp.Compare(a.Offset, b.Offset))
	})
	var b strings.Builder
	for i, call := range g.calls {
		if i > 0 && call.Key != g.calls[i-1].Key {
			b.WriteString(" |")
		}
		fmt.Fprintf(&b, " %.1f", float64(call.Length)/(1<<20))
	}
	return strings.TrimSpace(b.String())
}

// At most one GET per 16 MiB, from the start of a partition to its end, what it takes to get going included.
func TestGetsOfAPartitionOfTier1(t *testing.T) {
	const grown = " | 21.3 21.3 21.3 | 21.3 21.3 21.3 | 21.3 21.3 21.3 | 21.3 21.3 21.3 | 21.3 21.3 21.3 | 21.3 21.3 21.3 | 21.3 21.3 21.3"
	type scan struct {
		fetch int    // bytes
		want  string // GETs, | between objects
	}
	for _, c := range []struct {
		size, most int // MiB; GETs
		scans      []scan
	}{
		{20, 4, []scan{{1 << 20, "1.0 5.5 13.5"}, {8 << 20, "8.0 12.0"}}},
		{64, 6, []scan{{1 << 20, "1.0 6.2 9.5 23.7 23.7"}, {8 << 20, "8.0 8.0 24.0 24.0"}}},
		{512, 32, []scan{{1 << 20, "1.0 6.2 9.5 23.7 23.7" + grown}, {8 << 20, "8.0 8.0 24.0 24.0" + grown}}},
	} {
		t.Run(fmt.Sprintf("%d MiB", c.size), func(t *testing.T) {
			l := newRig(t, 1<<20).long(int64(c.size) << 20)
			for _, scan := range c.scans {
				var g gets
				l.emptyPool()
				l.gets.Before(g.count)
				if at := l.scanned(toTheEnd, scan.fetch, 0); at != l.high {
					t.Errorf("read to %d of %d", at, l.high)
				}
				if got := g.trace(l); got != scan.want || len(g.calls) > c.most {
					t.Errorf("by %d KiB, %d GETs of MiB\n  %s, want at most %d:\n  %s", scan.fetch>>10, len(g.calls), got, c.most, scan.want)
				}
			}
		})
	}
}

// A reader that stops early has made little be loaded: what it asked for, then a few times as much.
func TestShortScansOfTier1LoadLittle(t *testing.T) {
	const fetch = 1 << 20
	l := newRig(t, 1<<20).long(longObject)
	for _, c := range []struct {
		from    metastore.Offset
		fetches int
		want    string // GETs of MiB, the last one from within the run that of the index
	}{
		{0, 1, "1.0"},
		{0, 2, "1.0 6.2"},
		{0, 3, "1.0 6.2 9.5"},
		{100, 1, "1.1 0.1"},
		{100, 2, "1.1 6.2 0.1"},
	} {
		t.Run(fmt.Sprintf("%d Fetches from %d", c.fetches, c.from), func(t *testing.T) {
			var g gets
			l.emptyPool()
			l.gets.Before(g.count)
			if at := l.scanned(c.fetches, fetch, c.from); at < c.from+metastore.Offset(c.fetches)*(fetch/longBatch) {
				t.Errorf("read to %d", at)
			}
			if got := g.trace(l); got != c.want {
				t.Errorf("GETs of MiB: %s, want %s", got, c.want)
			}
		})
	}
}

// What is loaded ahead of a scan leaves a quarter of the pool: others who read there take nothing of it.
func TestAScanOfTier1LeavesRoomForOthers(t *testing.T) {
	r := newRig(t, 1<<20)
	l := r.long(4 * longObject)
	var g gets
	r.gets.Before(g.count)
	rd := l.newReader(l, l.blocks, nil, reader.Options{})
	others := l.runs[3]
	var scan reader.Scan
	quarter := l.ahead.Bound() / 4
	for at, n := metastore.Offset(0), int64(0); at < others.Base; n++ {
		at = l.scannedOn(rd, &scan, at, 4<<20)
		h, key, part := l.ahead.Hold(), segment.Key(others.Segment), objstore.Range{Offset: n % 3 * quarter, Length: quarter}
		_, err := h.Read(t.Context(), key, part)
		l.must(err)
		h.Spent(key, part)
		h.Release()
	}
	g.trace(l) // all have come
	loaded := map[string]int64{}
	for _, call := range g.calls {
		loaded[call.Key] += call.Length
	}
	for _, run := range l.runs[:3] {
		if n := loaded[segment.Key(run.Segment)]; n != int64(run.Length) {
			t.Errorf("run at %d: %d bytes loaded of %d", run.Base, n, run.Length)
		}
	}
	if n := r.ahead.Bytes(); n > r.ahead.Bound() {
		t.Errorf("%d bytes of memory of %d", n, r.ahead.Bound())
	}
}
