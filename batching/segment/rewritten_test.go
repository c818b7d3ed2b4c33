package segment_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/batching/segment"
)

const rewrittenGolden = "testdata/v2.seg"

var rewrittenID = uuid.MustParse("0192f5e0-7c1b-8000-8000-0123456789ab")

// placed is a batch with the offset that it is to have.
type placed struct {
	offset int64
	bytes  []byte
}

func (p placed) header() recordbatch.Header { return must(recordbatch.ParseHeader(p.bytes)) }

// end is the offset after the batch.
func (p placed) end() int64 { return p.offset + p.header().LastOffset() + 1 }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// sparse is a batch of so many offsets, of which records at some are left, with values of n bytes.
func sparse(offset int64, offsets int32, n int, left ...int64) placed {
	records := make([]recordbatch.Record, len(left))
	for i, at := range left {
		records[i] = recordbatch.Record{Offset: at, Timestamp: 1000 + offset + at, Key: []byte("k"), Value: bytes.Repeat([]byte{byte(at)}, n)}
	}
	return placed{offset, recordbatchtest.EncodeSparse(records, offsets, recordbatchtest.Options{ProducerID: 5, BaseSequence: 3})}
}

// partition is the batches of one, in order.
type partition struct {
	topic   uuid.UUID
	number  int32
	batches []placed
}

// rewritten has gaps, empty batches, the end of a transaction, and a run with marks.
func rewritten() []partition {
	marker := placed{29, recordbatch.Marker{ProducerID: 5, Commit: true, Timestamp: 77}.Append(nil)}
	long := partition{topicB, 1, []placed{sparse(1<<40, 5, 22_000, 0, 2, 4), sparse(1<<40+7, 5, 22_000, 0, 2, 4), sparse(1<<40+14, 5, 10, 0, 2)}}
	return []partition{
		{topicA, 9, []placed{sparse(0, 3, 10, 0, 1, 2)}},
		{topicA, 10, []placed{sparse(10, 4, 1, 1), sparse(14, 1, 1), sparse(20, 9, 1, 8), marker}},
		{topicA, 11, []placed{sparse(5, 8, 0)}},
		long,
	}
}

// build lays out an object. Batches are given as parts that begin and end anywhere.
func build(t testing.TB, partitions []partition) ([]byte, segment.Index) {
	t.Helper()
	b := segment.NewBuilder(rewrittenID, created)
	for i, p := range partitions {
		if err := b.Begin(p.topic, p.number); err != nil {
			t.Fatal(err)
		}
		for j, x := range p.batches {
			cut := min((i+j)*17, len(x.bytes))
			parts := [][]byte{x.bytes[:cut/2], x.bytes[cut/2 : cut], nil, x.bytes[cut:]}
			before := bytes.Clone(x.bytes)
			if err := b.Add(parts, segment.InfoOf(x.header(), x.offset)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, x.bytes) {
				t.Fatal("the builder wrote into what it was given")
			}
		}
	}
	size := b.Size()
	object, index := b.Finish()
	joined := bytes.Join(object, nil)
	if size != int64(len(joined)) || index.Size != size {
		t.Fatalf("%d bytes, the builder said %d, the index %d", len(joined), size, index.Size)
	}
	return joined, index
}

func TestRewrittenGolden(t *testing.T) {
	object, index := build(t, rewritten())
	if *write {
		f, err := os.OpenFile(rewrittenGolden, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(object); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(rewrittenGolden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(object, golden) {
		t.Errorf("what is written now differs from version 2")
	}
	got, err := segment.ParseFooter(golden, int64(len(golden)))
	if err != nil {
		t.Fatal(err)
	}
	crcOf := func(i int) uint32 {
		r := got.Runs[i]
		return crc32.Checksum(golden[r.Position:r.Position+r.Length], crc32.MakeTable(crc32.Castagnoli))
	}
	const far = 1 << 40
	want := segment.Index{ID: rewrittenID, Tier: 1, Created: created, Size: int64(len(golden)), Runs: []segment.Run{
		{Topic: topicA, Partition: 9, Position: 40, Length: 115, Batches: 1, Records: 3, MaxTimestamp: 1002, CRC: crcOf(0), Base: 0, Offsets: 3},
		{Topic: topicA, Partition: 10, Position: 155, Length: 279, Batches: 4, Records: 3, MaxTimestamp: 1028, CRC: crcOf(1), Base: 10, Offsets: 20},
		{Topic: topicA, Partition: 11, Position: 434, Length: 61, Batches: 1, Records: 0, MaxTimestamp: -1, CRC: crcOf(2), Base: 5, Offsets: 8},
		{Topic: topicB, Partition: 1, Position: 495, Length: 132_291, Batches: 3, Records: 8, MaxTimestamp: far + 1016, CRC: crcOf(3),
			Base: far, Offsets: 19, Marks: []segment.Mark{
				{Offset: far + 7, Position: 66_097, MaxTimestamp: far + 1004},
				{Offset: far + 14, Position: 132_194, MaxTimestamp: far + 1011},
			}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("golden file reads as\n%+v, want\n%+v", got, want)
	}
	if !reflect.DeepEqual(index, want) {
		t.Errorf("Finish returned\n%+v, want\n%+v", index, want)
	}
	gotID, gotCreated, err := segment.ParseHeader(golden)
	if err != nil || gotID != rewrittenID || !gotCreated.Equal(created) {
		t.Errorf("header: %v %v %v", uuid.UUID(gotID), gotCreated, err)
	}
	checkRewritten(t, golden, got, rewritten())
}

// checkRewritten compares what can be read of an object with what was written to it.
func checkRewritten(t *testing.T, object []byte, index segment.Index, partitions []partition) {
	t.Helper()
	if len(index.Runs) != len(partitions) {
		t.Fatalf("%d runs of %d partitions", len(index.Runs), len(partitions))
	}
	for _, p := range partitions {
		r, ok := index.Find(p.topic, p.number)
		if !ok {
			t.Fatalf("nothing of %s-%d", p.topic, p.number)
		}
		body := object[r.Position:][:r.Length]
		if err := segment.VerifyRun(*r, body); err != nil {
			t.Fatal(err)
		}
		last := p.batches[len(p.batches)-1]
		if r.Base != p.batches[0].offset || r.Base+int64(r.Offsets) != last.end() {
			t.Fatalf("run from %d with %d offsets, of batches from %d to %d", r.Base, r.Offsets, p.batches[0].offset, last.end())
		}
		marks, at, latest := r.Marks, uint32(0), int64(math.MinInt64)
		for i, x := range p.batches {
			if len(marks) > 0 && marks[0].Position == at {
				if marks[0] != (segment.Mark{Offset: x.offset, Position: at, MaxTimestamp: latest}) {
					t.Fatalf("batch %d: mark %+v", i, marks[0])
				}
				marks = marks[1:]
			}
			want := bytes.Clone(x.bytes)
			recordbatch.SetBaseOffset(want, x.offset, 0)
			if got := body[at:][:len(want)]; !bytes.Equal(got, want) {
				t.Fatalf("batch %d differs", i)
			}
			latest = max(latest, x.header().MaxTimestamp)
			at += uint32(len(want))
		}
		if len(marks) > 0 || latest != r.MaxTimestamp {
			t.Fatalf("marks %+v are at no batch, or %d is not the largest timestamp, %d", marks, r.MaxTimestamp, latest)
		}
		checkMarks(t, r, p)
	}
}

// checkMarks looks for each batch by the marks.
func checkMarks(t *testing.T, r *segment.Run, p partition) {
	t.Helper()
	at := uint32(0)
	latest := int64(math.MinInt64)
	for _, x := range p.batches {
		for _, offset := range []int64{x.offset, x.end() - 1} {
			if m := r.MarkFor(offset); m.Position > at || m.Offset > offset || at-m.Position >= segment.MarkSpacing {
				t.Fatalf("offset %d lies at %d: mark %+v", offset, at, m)
			}
		}
		if m := r.MarkForTime(latest + 1); m.Position > at && m.MaxTimestamp > latest {
			t.Fatalf("nothing before %d is later than %d: mark %+v", at, latest, m)
		}
		latest = max(latest, x.header().MaxTimestamp)
		if m := r.MarkForTime(latest); m.Position > at {
			t.Fatalf("the batch at %d is not before %d: mark %+v", at, latest, m)
		}
		at += uint32(len(x.bytes))
	}
	if m := r.MarkFor(r.Base - 1); m.Position != 0 || m.Offset != r.Base {
		t.Fatalf("before the run: mark %+v", m)
	}
}

func TestRewrittenRoundTrips(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 30 {
		var partitions []partition
		for i := range 1 + rng.IntN(20) {
			p := partition{topic: topicA, number: int32(i)}
			offset := rng.Int64N(1 << 50)
			for range 1 + rng.IntN(60) {
				offsets := 1 + rng.Int32N(20)
				var left []int64
				for at := range int64(offsets) {
					if rng.IntN(2) == 0 {
						left = append(left, at)
					}
				}
				size := 10
				if rng.IntN(8) == 0 {
					size = rng.IntN(20_000)
				}
				x := sparse(offset, offsets, size, left...)
				p.batches = append(p.batches, x)
				offset = x.end() + rng.Int64N(2)*rng.Int64N(1000)
			}
			partitions = append(partitions, p)
		}
		object, index := build(t, partitions)
		got, err := segment.ParseFooter(object, int64(len(object)))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, index) {
			t.Fatalf("reads as\n%+v, want\n%+v", got, index)
		}
		checkRewritten(t, object, got, partitions)
	}
}

func TestBuilderRefuses(t *testing.T) {
	b := segment.NewBuilder(rewrittenID, created)
	x := sparse(10, 4, 1, 1, 3)
	info := segment.InfoOf(x.header(), 10)
	add := func(info segment.BatchInfo, parts ...[]byte) error { return b.Add(parts, info) }
	if err := add(info, x.bytes); !errors.Is(err, segment.ErrInvalid) {
		t.Errorf("no partition: %v", err)
	}
	for _, begin := range []struct {
		topic     uuid.UUID
		partition int32
		want      error
	}{{topicA, 5, nil}, {topicA, 5, segment.ErrInvalid}, {topicA, 4, segment.ErrInvalid}, {topicB, 1, nil}, {topicA, 9, segment.ErrInvalid}} {
		if err := b.Begin(begin.topic, begin.partition); !errors.Is(err, begin.want) {
			t.Errorf("%+v: %v", begin, err)
		}
	}
	if err := add(info, x.bytes); err != nil {
		t.Fatal(err)
	}
	size := b.Size()
	with := func(change func(*segment.BatchInfo)) segment.BatchInfo {
		next := info
		next.BaseOffset = 14
		change(&next)
		return next
	}
	more := must(recordbatch.ParseHeader(x.bytes))
	tooMany := bytes.Clone(x.bytes)
	binary.BigEndian.PutUint32(tooMany[57:], 5)
	endless := bytes.Clone(x.bytes)
	binary.BigEndian.PutUint32(endless[23:], math.MaxInt32)
	for name, tc := range map[string]struct {
		info  segment.BatchInfo
		bytes []byte
		want  error
	}{
		"overlap":        {with(func(i *segment.BatchInfo) { i.BaseOffset = 13 }), x.bytes, segment.ErrInvalid},
		"offsets":        {with(func(i *segment.BatchInfo) { i.Offsets++ }), x.bytes, segment.ErrInvalid},
		"records":        {with(func(i *segment.BatchInfo) { i.Records = 4 }), x.bytes, segment.ErrInvalid},
		"timestamp":      {with(func(i *segment.BatchInfo) { i.MaxTimestamp-- }), x.bytes, segment.ErrInvalid},
		"far":            {with(func(i *segment.BatchInfo) { i.BaseOffset = 10 + math.MaxInt32 - 3 }), x.bytes, segment.ErrTooLarge},
		"no offset":      {with(func(i *segment.BatchInfo) { i.BaseOffset = math.MaxInt64 }), x.bytes, segment.ErrInvalid},
		"negative":       {with(func(i *segment.BatchInfo) { i.BaseOffset = -1 }), x.bytes, segment.ErrInvalid},
		"cut":            {with(func(*segment.BatchInfo) {}), x.bytes[:len(x.bytes)-1], segment.ErrInvalid},
		"no header":      {with(func(*segment.BatchInfo) {}), x.bytes[:60], segment.ErrInvalid},
		"two":            {with(func(*segment.BatchInfo) {}), bytes.Repeat(x.bytes, 2), segment.ErrInvalid},
		"nothing":        {with(func(*segment.BatchInfo) {}), nil, segment.ErrInvalid},
		"many records":   {with(func(i *segment.BatchInfo) { i.Records = more.Records + 3 }), tooMany, segment.ErrInvalid},
		"2^31 offsets":   {with(func(i *segment.BatchInfo) { i.Offsets = math.MinInt32 }), endless, segment.ErrInvalid},
		"another header": {segment.BatchInfo{}, x.bytes, segment.ErrInvalid},
	} {
		if err := add(tc.info, tc.bytes); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.Size() != size {
		t.Errorf("%d bytes, %d before what was refused", b.Size(), size)
	}
	if err := add(with(func(i *segment.BatchInfo) { i.BaseOffset = 10 + math.MaxInt32 - 4 }), x.bytes); err != nil {
		t.Error(err)
	}
	object, index := b.Finish()
	if len(index.Runs) != 1 || index.Runs[0].Partition != 1 || index.Runs[0].Batches != 2 || index.Runs[0].Offsets != math.MaxInt32 {
		t.Errorf("%+v", index.Runs)
	}
	joined := bytes.Join(object, nil)
	if got, err := segment.ParseFooter(joined, int64(len(joined))); err != nil || !reflect.DeepEqual(got, index) {
		t.Errorf("%+v, %v", got, err)
	}
	if add(with(func(*segment.BatchInfo) {}), x.bytes) == nil || b.Begin(topicB, 2) == nil {
		t.Error("goes on after it is finished")
	}
	if err := segment.NewBuilder(id, created).Begin(topicA, 0); !errors.Is(err, segment.ErrInvalid) {
		t.Errorf("id of tier 0: %v", err)
	}
	if _, _, err := segment.Assemble(rewrittenID, created, nil); !errors.Is(err, segment.ErrInvalid) {
		t.Errorf("id of tier 1 in tier 0: %v", err)
	}
}

func TestBuilderEndsBelow4GiB(t *testing.T) {
	mib := sparse(0, 1, 1<<20, 0)
	b := segment.NewBuilder(rewrittenID, created)
	if err := b.Begin(topicA, 0); err != nil {
		t.Fatal(err)
	}
	for i := range int64(1 << 12) {
		before := b.Size()
		err := b.Add([][]byte{mib.bytes}, segment.InfoOf(mib.header(), i))
		if grown := b.Size() - before; err == nil && grown > int64(len(mib.bytes))+segment.AddOverhead {
			t.Fatalf("grew by %d for %d bytes", grown, len(mib.bytes))
		}
		if errors.Is(err, segment.ErrTooLarge) && b.Size() == before {
			if before < 1<<32-2<<20 {
				t.Fatalf("full at %d", before)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("%d bytes", b.Size())
}

// Every field of the index has bounds. A run that breaks one is not read.
func TestRewrittenFooterIsChecked(t *testing.T) {
	object, index := build(t, rewritten())
	length := 28 + 4*64 + 2*16
	last := len(object) - 16 - length + 28 + 3*64 // the run that has marks
	be := binary.BigEndian
	for name, damage := range map[string]func(run []byte){
		"base":             func(r []byte) { be.PutUint64(r[48:], 1<<63) },
		"base too far":     func(r []byte) { be.PutUint64(r[48:], math.MaxInt64-18) },
		"no offsets":       func(r []byte) { be.PutUint32(r[56:], 0) },
		"offsets":          func(r []byte) { be.PutUint32(r[56:], 1<<31) },
		"batches":          func(r []byte) { be.PutUint32(r[28:], 20) },
		"few batches":      func(r []byte) { be.PutUint32(r[28:], 2) },
		"batches by bytes": func(r []byte) { be.PutUint32(r[28:], 3000); be.PutUint32(r[56:], 10_000) },
		"records":          func(r []byte) { be.PutUint32(r[32:], 20) },
		"no marks":         func(r []byte) { be.PutUint32(r[60:], 0) },
		"marks":            func(r []byte) { be.PutUint32(r[60:], 3) },
		"mark at the base": func(r []byte) { be.PutUint32(r[64:], 0) },
		"mark at the end":  func(r []byte) { be.PutUint32(r[80:], 19) },
		"mark goes back":   func(r []byte) { be.PutUint32(r[80:], 7) },
		"position":         func(r []byte) { be.PutUint32(r[68:], 60) },
		"position of two":  func(r []byte) { be.PutUint32(r[84:], 66_097+60) },
		"position behind":  func(r []byte) { be.PutUint32(r[84:], 132_291-60) },
		"time goes back":   func(r []byte) { be.PutUint64(r[88:], 1<<40) },
		"time behind":      func(r []byte) { be.PutUint64(r[88:], 1<<41) },
	} {
		damaged := bytes.Clone(object)
		damage(damaged[last:])
		damaged = reseal(damaged)
		if got, err := segment.ParseFooter(damaged, int64(len(damaged))); !errors.Is(err, segment.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	same := reseal(object)
	if got, err := segment.ParseFooter(same, int64(len(same))); err != nil || !reflect.DeepEqual(got, index) {
		t.Errorf("undamaged: %v", err)
	}
	for i := int(index.Runs[3].Position + index.Runs[3].Length); i < len(object); i++ {
		damaged := bytes.Clone(object)
		damaged[i] ^= 0x10
		if _, err := segment.ParseFooter(damaged, int64(len(damaged))); err == nil {
			t.Errorf("byte %d of the footer", i)
		}
	}
	for i := range segment.HeaderSize {
		damaged := bytes.Clone(object)
		damaged[i] ^= 0x10
		if _, _, err := segment.ParseHeader(damaged); err == nil {
			t.Errorf("byte %d of the header", i)
		}
	}
}

// The version of the format and that of the id go together.
func TestTierOfIDAndVersion(t *testing.T) {
	object, _ := build(t, nil)
	if index, err := segment.ParseFooter(object, int64(len(object))); err != nil || index.Tier != 1 || len(object) != segment.MinSize {
		t.Errorf("%d bytes, %+v, %v", len(object), index, err)
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	object[9] = 1
	binary.BigEndian.PutUint32(object[36:], crc32.Checksum(object[:36], castagnoli))
	if _, _, err := segment.ParseHeader(object); !errors.Is(err, segment.ErrCorrupt) {
		t.Errorf("header: %v", err)
	}
	object[len(object)-11] = 1
	object = reseal(object)
	if _, err := segment.ParseFooter(object, int64(len(object))); !errors.Is(err, segment.ErrCorrupt) {
		t.Errorf("footer: %v", err)
	}
}

// A suffix of 64 KiB holds the index of a full object of long runs, or of several hundred short ones.
func TestSuffixHoldsTheIndex(t *testing.T) {
	const target = 64 << 20
	large := sparse(0, 1, 64<<10, 0)
	for _, runs := range []int{1, 16, 700} {
		b := segment.NewBuilder(rewrittenID, created)
		each := target / runs / len(large.bytes)
		for i := range runs {
			if err := b.Begin(topicA, int32(i)); err != nil {
				t.Fatal(err)
			}
			for j := range each {
				if err := b.Add([][]byte{large.bytes}, segment.InfoOf(large.header(), int64(j))); err != nil {
					t.Fatal(err)
				}
			}
		}
		object, index := b.Finish()
		footer := object[len(object)-1]
		if len(footer) > 64<<10 {
			t.Errorf("%d runs in %d bytes: index of %d", runs, index.Size, len(footer))
		}
		if got, err := segment.ParseFooter(footer, index.Size); err != nil || !reflect.DeepEqual(got, index) {
			t.Error(err)
		}
	}
}

// TestMarksAreAsNearAsIsAskedFor: readers go by them, wherever they are.
func TestMarksAreAsNearAsIsAskedFor(t *testing.T) {
	const every = 300
	b := segment.NewBuilder(rewrittenID, created)
	b.MarkEvery(every)
	if err := b.Begin(topicA, 3); err != nil {
		t.Fatal(err)
	}
	p := partition{topic: topicA, number: 3}
	for offset := int64(7); offset < 200; offset += 4 {
		x := sparse(offset, 3, 5, 0, 2)
		if err := b.Add([][]byte{x.bytes}, segment.InfoOf(x.header(), x.offset)); err != nil {
			t.Fatal(err)
		}
		p.batches = append(p.batches, x)
	}
	object, _ := b.Finish()
	joined := bytes.Join(object, nil)
	index, err := segment.ParseFooter(joined, int64(len(joined)))
	if err != nil {
		t.Fatal(err)
	}
	run, last := &index.Runs[0], uint32(0)
	if want := int(run.Length / every / 2); len(run.Marks) < want {
		t.Errorf("%d marks in %d bytes, want %d at least", len(run.Marks), run.Length, want)
	}
	for _, m := range run.Marks {
		if m.Position-last < every {
			t.Errorf("a mark at %d, after one at %d", m.Position, last)
		}
		last = m.Position
	}
	checkMarks(t, run, p)
}
