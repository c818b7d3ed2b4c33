package recordbatch_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/klauspost/compress/snappy"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

const largeMiB = 24

// large is a batch of a few KiB, or a MiB where the codec does no better, that decompresses to 24 MiB.
func large(codec recordbatch.Codec) []byte {
	records := make([]recordbatch.Record, largeMiB+1)
	for i := range largeMiB {
		records[i] = recordbatch.Record{Timestamp: now, Key: fmt.Appendf(nil, "key-%d", i), Value: make([]byte, 1<<20)}
	}
	records[largeMiB] = recordbatch.Record{Timestamp: now, Key: []byte("gone")}
	return recordbatchtest.Encode(records, recordbatchtest.Options{Codec: codec})
}

// TestALargeBatchIsInMemoryOnce: nobody has to send much to have a hundred MiB decompressed.
func TestALargeBatchIsInMemoryOnce(t *testing.T) {
	for _, codec := range []recordbatch.Codec{recordbatch.Gzip, recordbatch.Snappy, recordbatch.LZ4, recordbatch.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			b := large(codec)
			for name, do := range map[string]func(f *recordbatch.Filter) ([]byte, error){
				"entries": func(f *recordbatch.Filter) ([]byte, error) {
					return nil, f.Entries(b, func(recordbatch.Entry) bool { return true })
				},
				"half is kept": func(f *recordbatch.Filter) ([]byte, error) {
					left, n, err := f.Keep(b, keep(func(e recordbatch.Entry) bool { return e.Offset%2 == 0 }))
					if n != largeMiB/2+1 {
						t.Errorf("%d records are left", n)
					}
					return left, err
				},
				"half is kept, for some time": func(f *recordbatch.Filter) ([]byte, error) {
					left, _, err := f.Keep(b, recordbatch.Retain{Horizon: now + 1000, Keep: func(e recordbatch.Entry) bool { return e.Offset%2 == 0 }})
					return left, err
				},
				"all is kept, for some time": func(f *recordbatch.Filter) ([]byte, error) {
					left, _, err := f.Keep(b, recordbatch.Retain{Horizon: now + 1000, Keep: all})
					return left, err
				},
			} {
				var f recordbatch.Filter
				left, took, err := measured(func() ([]byte, error) { return do(&f) })
				if err != nil {
					t.Fatal(err)
				}
				if most := uint64(largeMiB<<20 + 64<<20 + 2*len(b)); took > most { // encoders are made anew by chance under the race detector
					t.Errorf("%s: %d MiB were allocated, want %d at most", name, took>>20, most>>20)
				}
				for i, r := range readLarge(t, left) {
					if want := int64(i) * 2; r.Timestamp != now || len(left) > 0 && name != "all is kept, for some time" && r.Offset != want {
						t.Fatalf("%s: record %d has offset %d and time %d", name, i, r.Offset, r.Timestamp)
					}
				}
			}
		})
	}
}

// measured tells how many bytes were allocated meanwhile.
func measured(do func() ([]byte, error)) ([]byte, uint64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	left, err := do()
	runtime.ReadMemStats(&after)
	return left, after.TotalAlloc - before.TotalAlloc, err
}

func readLarge(t *testing.T, b []byte) (records []recordbatch.Record) {
	t.Helper()
	if b == nil {
		return nil
	}
	for r, err := range recordbatch.Records(b, 1<<28) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Value != nil && !bytes.Equal(r.Value, make([]byte, 1<<20)) {
			t.Fatal("another value")
		}
		records = append(records, r)
	}
	return records
}

// TestARawBlockOfSnappyIsDecompressedInPlace, as some clients send them.
func TestARawBlockOfSnappyIsDecompressedInPlace(t *testing.T) {
	plain := recordbatchtest.Encode(sample(20), recordbatchtest.Options{})
	b := recordbatchtest.Encode(sample(20), recordbatchtest.Options{Codec: recordbatch.Snappy})
	raw := append(bytes.Clone(b[:recordbatch.HeaderSize]), snappy.Encode(nil, plain[recordbatch.HeaderSize:])...)
	raw[8], raw[9], raw[10], raw[11] = 0, 0, byte((len(raw)-12)>>8), byte(len(raw)-12)
	var f recordbatch.Filter
	seen := 0
	if err := f.Entries(raw, func(recordbatch.Entry) bool { seen++; return true }); err != nil || seen != 20 {
		t.Fatalf("%d records, %v", seen, err)
	}
	for _, n := range []int{recordbatch.HeaderSize + 1, len(raw) / 2, len(raw) - 1} {
		cut := bytes.Clone(raw[:n])
		cut[10], cut[11] = byte((n-12)>>8), byte(n-12)
		if err := f.Entries(cut, func(recordbatch.Entry) bool { return true }); err == nil {
			t.Errorf("%d bytes of %d can be read", n, len(raw))
		}
	}
}
