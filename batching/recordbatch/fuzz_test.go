package recordbatch_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

func seed(f *testing.F) {
	for _, c := range codecs() {
		f.Add(recordbatchtest.Encode(sample(5), c.opts))
	}
	f.Add([]byte{})
	f.Add(make([]byte, recordbatch.HeaderSize))
}

func FuzzParseHeader(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			if !errors.Is(err, recordbatch.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if h.Size() < recordbatch.HeaderSize || h.Size() > len(b) {
			t.Fatalf("size %d of %d bytes", h.Size(), len(b))
		}
	})
}

// FuzzValidate also repairs the CRC, so that what lies behind it is reached.
func FuzzValidate(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, compacted := range []bool{false, true} {
			r := rules()
			r.Compacted = compacted
			b := bytes.Clone(b)
			if len(b) >= recordbatch.HeaderSize {
				recordbatchtest.Seal(b)
			}
			h, err := recordbatch.Validate(b, r)
			var refusal *recordbatch.Refusal
			if err != nil {
				if !errors.As(err, &refusal) || refusal.Message == "" {
					t.Fatal(err)
				}
				continue
			}
			if h.Size() != len(b) || h.Records < 1 || h.CRC != recordbatch.Checksum(b) {
				t.Fatalf("%+v", h)
			}
			if h.Codec() == recordbatch.None && drainRecords(b, 0) != nil {
				t.Fatal("accepted, but the records cannot be read")
			}
		}
	})
}

func FuzzRecords(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 20
		var stamps, records int
		for _, err := range recordbatch.Stamps(b, limit) {
			check(t, err)
			stamps++
		}
		total := 0
		for r, err := range recordbatch.Records(b, limit) {
			check(t, err)
			records++
			total += len(r.Key) + len(r.Value)
		}
		if total > max(limit, len(b)) {
			t.Fatalf("%d bytes of records", total)
		}
		if stamps == 0 && records > 1 {
			t.Fatalf("%d records, no stamps", records)
		}
	})
}

func check(t *testing.T, err error) {
	if err != nil && !errors.Is(err, recordbatch.ErrCorrupt) && !errors.Is(err, recordbatch.ErrTooLarge) {
		t.Fatal(err)
	}
}
