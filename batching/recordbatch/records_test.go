package recordbatch_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"testing"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

const now = 1_790_000_000_000

type codecCase struct {
	name string
	opts recordbatchtest.Options
}

func codecs() []codecCase {
	var cases []codecCase
	for c := recordbatch.None; c <= recordbatch.Zstd; c++ {
		cases = append(cases, codecCase{c.String(), recordbatchtest.Options{Codec: c}.NotIdempotent()})
	}
	return append(cases, codecCase{"snappy xerial",
		recordbatchtest.Options{Codec: recordbatch.Snappy, XerialSnappy: true}.NotIdempotent()})
}

func sample(n int) []recordbatch.Record {
	records := make([]recordbatch.Record, n)
	for i := range records {
		records[i] = recordbatch.Record{
			Offset: int64(i), Timestamp: now + int64((i*7)%5), // not in order
			Key: fmt.Appendf(nil, "key-%d", i), Value: bytes.Repeat([]byte{byte(i)}, i*13%700),
		}
	}
	records[0].Headers = []recordbatch.RecordHeader{{Key: "trace", Value: []byte("abc")}, {Key: "empty", Value: []byte{}}, {Key: "null"}}
	records[n-1].Value = nil
	records[n-1].Key = nil
	return records
}

func TestRecordsRoundTrip(t *testing.T) {
	for _, c := range codecs() {
		t.Run(c.name, func(t *testing.T) {
			want := sample(300)
			b := recordbatchtest.Encode(want, c.opts)
			var got []recordbatch.Record
			for r, err := range recordbatch.Records(b, 1<<20) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, r)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got %d records that differ from the %d written", len(got), len(want))
			}
		})
	}
}

func TestStampsAreThoseOfRecords(t *testing.T) {
	for _, c := range codecs() {
		t.Run(c.name, func(t *testing.T) {
			b := recordbatchtest.Encode(sample(300), c.opts)
			recordbatch.SetBaseOffset(b, 1000, 0)
			var want, got []recordbatch.Stamp
			for r, err := range recordbatch.Records(b, 1<<20) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, recordbatch.Stamp{Offset: r.Offset, Timestamp: r.Timestamp, Keyed: r.Key != nil})
			}
			for s, err := range recordbatch.Stamps(b, 1<<20) {
				if err != nil {
					t.Fatal(err)
				}
				if r := sample(300)[len(got)]; s.Bytes < len(r.Key)+len(r.Value) {
					t.Fatalf("record %d has %d bytes, more than %d", len(got), len(r.Key)+len(r.Value), s.Bytes)
				}
				s.Bytes = 0
				got = append(got, s)
			}
			if len(got) != 300 || got[0].Offset != 1000 || !reflect.DeepEqual(got, want) {
				t.Fatalf("stamps %v, records %v", got, want)
			}
		})
	}
}

func TestLogAppendTimeIsEveryRecordsTimestamp(t *testing.T) {
	b := recordbatchtest.Encode(sample(3), recordbatchtest.Options{Codec: recordbatch.LZ4})
	recordbatch.SetLogAppendTime(b, 42)
	h, err := recordbatch.ParseHeader(b)
	if err != nil || !h.LogAppendTime() || h.Codec() != recordbatch.LZ4 || h.CRC != recordbatch.Checksum(b) {
		t.Fatalf("header %+v, %v", h, err)
	}
	for r, err := range recordbatch.Records(b, 1<<20) {
		if err != nil || r.Timestamp != 42 {
			t.Fatalf("record %+v, %v", r, err)
		}
	}
}

func TestDecompressionBombsEndInErrTooLarge(t *testing.T) {
	bomb := []recordbatch.Record{{Timestamp: now, Key: []byte("k"), Value: make([]byte, 64<<20)}}
	for _, c := range codecs()[1:] {
		t.Run(c.name, func(t *testing.T) {
			b := recordbatchtest.Encode(bomb, c.opts)
			if len(b) > 4<<20 {
				t.Fatalf("%d bytes are no bomb", len(b))
			}
			allocated := allocatedBy(func() {
				if err := drainRecords(b, 1<<20); !errors.Is(err, recordbatch.ErrTooLarge) {
					t.Errorf("Records: %v", err)
				}
				if err := drainStamps(b, 1<<20); !errors.Is(err, recordbatch.ErrTooLarge) {
					t.Errorf("Stamps: %v", err)
				}
			})
			if allocated > 48<<20 {
				t.Errorf("allocated %d bytes for a limit of 1 MiB", allocated)
			}
		})
	}
}

func TestStampsStream(t *testing.T) {
	b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now, Value: make([]byte, 64<<20)}},
		recordbatchtest.Options{Codec: recordbatch.Gzip})
	allocated := allocatedBy(func() {
		if err := drainStamps(b, 100<<20); err != nil {
			t.Fatal(err)
		}
	})
	if allocated > 1<<20 {
		t.Errorf("allocated %d bytes to look at one record", allocated)
	}
}

func TestZstdWindowIsBounded(t *testing.T) {
	frame := func(windowLog int) []byte {
		b := []byte("\x28\xb5\x2f\xfd\x00")
		b = append(b, byte(windowLog-10)<<3)
		b = append(b, 0x01, 0x00, 0x00) // last raw block, empty
		return b
	}
	for _, log := range []int{27, 31} {
		b := withBody(frame(log), recordbatch.Zstd)
		allocated := allocatedBy(func() {
			if err := drainStamps(b, 100<<20); !errors.Is(err, recordbatch.ErrTooLarge) {
				t.Errorf("window 2^%d: %v", log, err)
			}
		})
		if allocated > 1<<20 {
			t.Errorf("window 2^%d: allocated %d bytes", log, allocated)
		}
	}
}

func TestRecordsRefusesWhatDoesNotAddUp(t *testing.T) {
	record := func(body ...byte) []byte { return append([]byte{byte(len(body) << 1)}, body...) }
	valid := record(0, 0, 0, 1, 1, 0)
	cases := map[string][]byte{
		"no record":               {},
		"length zero":             {0},
		"length negative":         {1},
		"length past the end":     {100, 0, 0, 0, 1, 1, 0},
		"length of 6 bytes":       {0x8c, 0x80, 0x80, 0x80, 0x80, 0x00, 0, 0, 0, 1, 1, 0},
		"length of 11 bytes":      bytes.Repeat([]byte{0xff}, 11),
		"key past the record":     record(0, 0, 0, 100, 1, 0),
		"key length below -1":     record(0, 0, 0, 3, 1, 0),
		"value past the record":   record(0, 0, 0, 1, 100, 0),
		"value length below -1":   record(0, 0, 0, 1, 5, 0),
		"header count negative":   record(0, 0, 0, 1, 1, 1),
		"header count too high":   record(0, 0, 0, 1, 1, 100),
		"header key null":         record(0, 0, 0, 1, 1, 2, 1, 1),
		"header value cut":        record(0, 0, 0, 1, 1, 2, 2, 'a', 100),
		"bytes left in record":    record(0, 0, 0, 1, 1, 0, 9),
		"bytes after the records": append(bytes.Clone(valid), 0),
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			if err := drainRecords(withBody(body, recordbatch.None), 1<<20); !errors.Is(err, recordbatch.ErrCorrupt) {
				t.Errorf("Records: %v", err)
			}
		})
	}
	if err := drainRecords(withBody(valid, recordbatch.None), 0); err != nil {
		t.Errorf("the record that the cases derive from: %v", err)
	}
}

func TestTruncatedFramesAreCorrupt(t *testing.T) {
	for _, c := range codecs()[1:] {
		whole := recordbatchtest.Compress([]byte{12, 0, 0, 0, 1, 1, 0}, c.opts.Codec, c.opts.XerialSnappy)
		for n := range len(whole) {
			b := withBody(whole[:n], c.opts.Codec)
			if err := drainRecords(b, 1<<20); err != nil && !errors.Is(err, recordbatch.ErrCorrupt) {
				t.Errorf("%s, %d of %d bytes: Records: %v", c.name, n, len(whole), err)
			}
			if err := drainStamps(b, 1<<20); err != nil && !errors.Is(err, recordbatch.ErrCorrupt) {
				t.Errorf("%s, %d of %d bytes: Stamps: %v", c.name, n, len(whole), err)
			}
		}
	}
}

func TestSplit(t *testing.T) {
	a := recordbatchtest.Encode(sample(3), recordbatchtest.Options{})
	b := recordbatchtest.Encode(sample(30), recordbatchtest.Options{Codec: recordbatch.Gzip})
	both := append(bytes.Clone(a), b...)
	var got [][]byte
	for part, err := range recordbatch.Split(both) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part)
	}
	if len(got) != 2 || !bytes.Equal(got[0], a) || !bytes.Equal(got[1], b) {
		t.Fatalf("%d parts", len(got))
	}
	parts, last := 0, error(nil)
	for _, err := range recordbatch.Split(both[:len(both)-1]) {
		parts, last = parts+1, err
	}
	if parts != 2 || !errors.Is(last, recordbatch.ErrCorrupt) {
		t.Fatalf("truncated: %d parts, %v", parts, last)
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	good := recordbatchtest.Encode(sample(3), recordbatchtest.Options{})
	patch := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	cases := map[string]struct {
		b    []byte
		want error
	}{
		"short":             {good[:60], recordbatch.ErrCorrupt},
		"truncated":         {good[:len(good)-1], recordbatch.ErrCorrupt},
		"magic":             {patch(16, 1), recordbatch.ErrMagic},
		"length negative":   {patch(8, 0x80), recordbatch.ErrCorrupt},
		"length huge":       {patch(8, 0x7f), recordbatch.ErrCorrupt},
		"length too small":  {append(append(bytes.Clone(good[:8]), 0, 0, 0, 48), good[12:]...), recordbatch.ErrCorrupt},
		"last delta is -1":  {append(append(bytes.Clone(good[:23]), 255, 255, 255, 255), good[27:]...), recordbatch.ErrCorrupt},
		"magic also counts": {patch(16, 3), recordbatch.ErrCorrupt},
	}
	for name, c := range cases {
		if _, err := recordbatch.ParseHeader(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// withBody is a batch of one record whose records are body, whatever that is.
func withBody(body []byte, codec recordbatch.Codec) []byte {
	b := recordbatchtest.Encode([]recordbatch.Record{{Timestamp: now}}, recordbatchtest.Options{}.NotIdempotent())
	b = append(b[:recordbatch.HeaderSize], body...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[22] = byte(codec)
	recordbatchtest.Seal(b)
	return b
}

func drainRecords(b []byte, limit int) error {
	for _, err := range recordbatch.Records(b, limit) {
		if err != nil {
			return err
		}
	}
	return nil
}

func drainStamps(b []byte, limit int) error {
	for _, err := range recordbatch.Stamps(b, limit) {
		if err != nil {
			return err
		}
	}
	return nil
}

func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
