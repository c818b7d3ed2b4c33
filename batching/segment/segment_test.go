package segment_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"math"
	"os"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-io/runnel/batching/segment"
)

var write = flag.Bool("write-golden", false, "write the golden file of a new version; refuses to replace one")

const goldenFile = "testdata/v1.seg"

var (
	id      = uuid.MustParse("0192f5e0-7c1b-7000-8000-0123456789ab")
	topicA  = uuid.MustParse("11111111-1111-4111-8111-111111111111")
	topicB  = uuid.MustParse("ffffffff-ffff-4fff-8fff-ffffffffffff")
	created = time.UnixMilli(1_790_000_000_123)
)

func batch(text string, records int32, maxTimestamp, producer int64, epoch int16, sequence int32) segment.Batch {
	return segment.Batch{Bytes: []byte(text), Records: records, MaxTimestamp: maxTimestamp,
		ProducerID: producer, ProducerEpoch: epoch, BaseSequence: sequence}
}

// sample has every case that chains distinguish.
func sample() []segment.Part {
	return []segment.Part{
		{Topic: topicB, Partition: 0, Batches: []segment.Batch{batch("no producer", 3, -1, -1, -1, -1)}},
		{Topic: topicA, Partition: 10, Batches: []segment.Batch{
			batch("first of 7;", 5, 500, 7, 0, 0),
			batch("first of 8;", 1, 900, 8, 2, 40),
			batch("next of 7;", 5, 600, 7, 0, 5),
			batch("new epoch of 7;", 1, 600, 7, 1, 0),
			batch("next of 8;", 2, 100, 8, 2, 41),
			batch("gap of 8;", 2, 100, 8, 2, 99),
		}},
		{Topic: topicA, Partition: 9, Batches: []segment.Batch{
			batch("wraps;", 10, 5, 9, 0, math.MaxInt32-4),
			batch("goes on;", 1, 6, 9, 0, 5),
		}},
	}
}

func assemble(t testing.TB, parts []segment.Part) ([]byte, segment.Index) {
	t.Helper()
	object, index, err := segment.Assemble(id, created, parts)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Join(object, nil), index
}

func TestGolden(t *testing.T) {
	object, index := assemble(t, sample())
	if *write {
		f, err := os.OpenFile(goldenFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(object); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(object, golden) {
		t.Errorf("what is written now differs from version 1")
	}
	got, err := segment.ParseFooter(golden, int64(len(golden)))
	if err != nil {
		t.Fatal(err)
	}
	want := segment.Index{ID: id, Created: created, Size: int64(len(golden)), Runs: []segment.Run{
		{Topic: topicA, Partition: 9, Position: 40, Length: 14, Batches: 2, Records: 11, MaxTimestamp: 6,
			CRC:    crc("wraps;goes on;"),
			Chains: []segment.Chain{{ProducerID: 9, FirstSequence: math.MaxInt32 - 4, LastSequence: 5, Batches: 2}}},
		{Topic: topicA, Partition: 10, Position: 54, Length: 66, Batches: 6, Records: 16, MaxTimestamp: 900,
			CRC: crc("first of 7;first of 8;next of 7;new epoch of 7;next of 8;gap of 8;"),
			Chains: []segment.Chain{
				{ProducerID: 7, FirstSequence: 0, LastSequence: 9, Batches: 2},
				{ProducerID: 8, Epoch: 2, FirstSequence: 40, LastSequence: 42, Batches: 2},
				{ProducerID: 7, Epoch: 1, FirstSequence: 0, LastSequence: 0, Batches: 1},
				{ProducerID: 8, Epoch: 2, FirstSequence: 99, LastSequence: 100, Batches: 1},
			}},
		{Topic: topicB, Partition: 0, Position: 120, Length: 11, Batches: 1, Records: 3, MaxTimestamp: -1, CRC: crc("no producer")},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("golden file reads as\n%+v, want\n%+v", got, want)
	}
	if !reflect.DeepEqual(index, want) {
		t.Errorf("Assemble returned\n%+v, want\n%+v", index, want)
	}
	for _, r := range got.Runs {
		if err := segment.VerifyRun(r, golden[r.Position:r.Position+r.Length]); err != nil {
			t.Error(err)
		}
		if err := segment.VerifyRun(r, golden[r.Position+1:r.Position+r.Length+1]); !errors.Is(err, segment.ErrCorrupt) {
			t.Errorf("bytes beside the run: %v", err)
		}
	}
	gotID, gotCreated, err := segment.ParseHeader(golden)
	if err != nil || gotID != id || !gotCreated.Equal(created) {
		t.Errorf("header: %v %v %v", uuid.UUID(gotID), gotCreated, err)
	}
}

func crc(text string) uint32 { return crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)) }

func TestAssembleDoesNotCopyBatches(t *testing.T) {
	parts := sample()
	object, _, err := segment.Assemble(id, created, parts)
	if err != nil {
		t.Fatal(err)
	}
	if len(object) != 11 || &object[1][0] != &parts[2].Batches[0].Bytes[0] || &object[9][0] != &parts[0].Batches[0].Bytes[0] {
		t.Errorf("%d slices, or not the batches' own", len(object))
	}
	if parts[0].Topic != topicB {
		t.Error("the caller's parts were sorted")
	}
}

func TestAssembleRefuses(t *testing.T) {
	one := sample()[0]
	huge := segment.Part{Topic: topicA, Batches: make([]segment.Batch, 1<<12)}
	mib := make([]byte, 1<<20)
	for i := range huge.Batches {
		huge.Batches[i] = segment.Batch{Bytes: mib, Records: 1, ProducerID: -1}
	}
	cases := map[string]struct {
		parts []segment.Part
		want  error
	}{
		"partition twice": {[]segment.Part{one, one}, segment.ErrInvalid},
		"no batches":      {[]segment.Part{{Topic: topicA}}, segment.ErrInvalid},
		"no records":      {[]segment.Part{{Batches: []segment.Batch{{Bytes: []byte("x")}}}}, segment.ErrInvalid},
		"no bytes":        {[]segment.Part{{Batches: []segment.Batch{{Records: 1}}}}, segment.ErrInvalid},
		"4 GiB":           {[]segment.Part{huge}, segment.ErrTooLarge},
	}
	for name, c := range cases {
		if _, _, err := segment.Assemble(id, created, c.parts); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEmptySegment(t *testing.T) {
	object, _ := assemble(t, nil)
	if index, err := segment.ParseFooter(object, int64(len(object))); err != nil || len(index.Runs) != 0 || len(object) != segment.MinSize {
		t.Errorf("%d bytes, %+v, %v", len(object), index, err)
	}
}

func TestParseFooterOfShortTailsTellsWhatItNeeds(t *testing.T) {
	object, want := assemble(t, sample())
	size := int64(len(object))
	for n := range len(object) {
		tail := object[len(object)-n:]
		index, err := segment.ParseFooter(tail, size)
		var more *segment.NeedMoreError
		if errors.As(err, &more) {
			if more.Bytes <= int64(n) || more.Bytes > size {
				t.Fatalf("%d bytes given, %d needed, %d there", n, more.Bytes, size)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(index, want) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestEveryDamagedByteOfTheFooterIsNoticed(t *testing.T) {
	object, index := assemble(t, sample())
	last := index.Runs[len(index.Runs)-1]
	for i := int(last.Position + last.Length); i < len(object); i++ {
		damaged := bytes.Clone(object)
		damaged[i] ^= 0x10
		if _, err := segment.ParseFooter(damaged, int64(len(damaged))); err == nil {
			t.Errorf("byte %d", i)
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

func TestUnknownVersion(t *testing.T) {
	object, _ := assemble(t, sample())
	object[len(object)-11], object[9] = 3, 4
	var version *segment.VersionError
	if _, err := segment.ParseFooter(object, int64(len(object))); !errors.As(err, &version) || version.Version != 3 {
		t.Errorf("footer: %v", err)
	}
	if _, _, err := segment.ParseHeader(object); !errors.As(err, &version) || version.Version != 4 {
		t.Errorf("header: %v", err)
	}
}

func TestKey(t *testing.T) {
	const want = "t0/4b/0192f5e0-7c1b-7000-8000-0123456789ab"
	if got := segment.Key(id); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, err := segment.ParseKey(want); err != nil || got != id {
		t.Errorf("%v, %v", got, err)
	}
	for _, key := range []string{"", "t0/", "t0/4b/", "t0/4c/0192f5e0-7c1b-7000-8000-0123456789ab", "4b/0192f5e0-7c1b-7000-8000-0123456789ab",
		"t1/4b/0192f5e0-7c1b-7000-8000-0123456789ab", segment.Key(rewrittenID) + "x", "t0" + segment.Key(rewrittenID)[2:], want + "x", want[:len(want)-1], "t0/4b/0192F5E0-7C1B-7000-8000-0123456789AB",
		"t0/t0/4b/0192f5e0-7c1b-7000-8000-0123456789ab", "t0/4b/{192f5e0-7c1b-7000-8000-0123456789ab}"} {
		if _, err := segment.ParseKey(key); err == nil {
			t.Errorf("%q was parsed", key)
		}
	}
	if got := segment.Key(rewrittenID); got != "t1/28/0192f5e0-7c1b-8000-8000-0123456789ab" {
		t.Errorf("tier 1: %q", got)
	} else if id, err := segment.ParseKey(got); err != nil || id != rewrittenID || segment.Tier(id) != 1 {
		t.Errorf("tier 1: %v, %v", id, err)
	}
	shards := map[string]bool{}
	for range 4096 {
		shards[segment.Key(uuid.Must(uuid.NewV7()))[:5]] = true
	}
	if len(shards) < 250 {
		t.Errorf("4096 keys fall on %d of 256 prefixes", len(shards))
	}
}

func FuzzParseFooter(f *testing.F) {
	object, _ := assemble(f, sample())
	f.Add(object, int64(len(object)))
	f.Add(object[len(object)-100:], int64(len(object)))
	rewritten, _ := build(f, rewritten())
	f.Add(rewritten, int64(len(rewritten)))
	f.Add(rewritten[len(rewritten)-400:], int64(len(rewritten)))
	empty, _ := assemble(f, nil)
	f.Add(empty, int64(len(empty)))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		for _, tail := range [][]byte{b, reseal(b)} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			index, err := segment.ParseFooter(tail, size)
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(16*len(tail)+1<<16) {
				t.Fatalf("allocated %d for %d bytes", allocated, len(tail))
			}
			if err != nil {
				continue
			}
			position := int64(segment.HeaderSize)
			for _, r := range index.Runs {
				if int64(r.Position) != position {
					t.Fatalf("%+v begins not at %d", r, position)
				}
				position += int64(r.Length)
			}
			for _, r := range index.Runs {
				for _, m := range r.Marks {
					if index.Tier != 1 || m.Position >= r.Length || m.Offset <= r.Base || m.Offset >= r.Base+int64(r.Offsets) {
						t.Fatalf("mark %+v of %+v", m, r)
					}
				}
			}
			if position > size {
				t.Fatalf("runs end at %d of %d", position, size)
			}
		}
	})
}

// FuzzNames looks for headers and keys that are taken for those of a segment which they are not of.
func FuzzNames(f *testing.F) {
	object, _ := assemble(f, sample())
	f.Add(object[:segment.HeaderSize], segment.Key(uuid.Must(uuid.NewV7())))
	rewritten, _ := build(f, nil)
	f.Add(rewritten[:segment.HeaderSize], segment.Key(rewrittenID))
	f.Add([]byte{}, "t0/00/00000000-0000-0000-0000-000000000000")
	f.Fuzz(func(t *testing.T, header []byte, key string) {
		if len(header) >= 40 { // under a right CRC
			header = bytes.Clone(header)
			binary.BigEndian.PutUint32(header[36:], crc32.Checksum(header[:36], crc32.MakeTable(crc32.Castagnoli)))
		}
		var newer *segment.VersionError
		if _, _, err := segment.ParseHeader(header); err != nil && !errors.Is(err, segment.ErrCorrupt) && !errors.As(err, &newer) {
			t.Errorf("header: %v", err)
		}
		if id, err := segment.ParseKey(key); err == nil && segment.Key(id) != key {
			t.Errorf("%q is taken for %q", key, segment.Key(id))
		}
	})
}

// reseal gives the footer the CRC of its bytes, so that what lies behind the check is reached.
func reseal(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) < 16 {
		return b
	}
	trailer := b[len(b)-16:]
	length := int64(trailer[0])<<24 | int64(trailer[1])<<16 | int64(trailer[2])<<8 | int64(trailer[3])
	if length > int64(len(b)-16) {
		return b
	}
	sum := crc32.Checksum(b[int64(len(b)-16)-length:len(b)-8], crc32.MakeTable(crc32.Castagnoli))
	trailer[8], trailer[9], trailer[10], trailer[11] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
	return b
}

func BenchmarkAssemble(b *testing.B) {
	parts := make([]segment.Part, 600)
	bytesOf := make([]byte, 14_000)
	for i := range parts {
		parts[i] = segment.Part{Topic: topicA, Partition: int32(i), Batches: []segment.Batch{
			{Bytes: bytesOf, Records: 10, ProducerID: int64(i)}, {Bytes: bytesOf, Records: 10, ProducerID: int64(i), BaseSequence: 10}}}
	}
	b.SetBytes(600 * 2 * 14_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := segment.Assemble(id, created, parts); err != nil {
			b.Fatal(err)
		}
	}
}
