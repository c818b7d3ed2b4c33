package metastore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime/metrics"
	"testing"
)

// seedGolden adds the golden files of every version as seeds.
func seedGolden(f *testing.F, pattern string) {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		f.Fatalf("no golden files %s (%v)", pattern, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// allocated is the sum of all that was ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// decodes holds a decoder of hostile bytes to what all of them promise: an error that says what is wrong, and memory in
// proportion to bytes that are there.
func decodes(t *testing.T, b []byte, decode func([]byte) error) (ok bool) {
	t.Helper()
	before := allocated()
	err := decode(b)
	if n := allocated() - before; n > uint64(256*len(b)+1<<20) {
		t.Errorf("%d bytes were allocated for %d", n, len(b))
	}
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewerFormat) && !errors.Is(err, ErrInvalidCommit) {
		t.Errorf("error %v", err)
	}
	return err == nil
}

// FuzzDecoders gives the same bytes to every decoder of what brokers store or tell each other.
func FuzzDecoders(f *testing.F) {
	seedGolden(f, "*.v*")
	f.Fuzz(func(t *testing.T, b []byte) {
		decodes(t, b, func(b []byte) error { _, err := decodeRecord(b); return err })
		decodes(t, b, func(b []byte) error { _, err := decodeState(Snapshot{State: b}); return err })
		decodes(t, b, func(b []byte) error { _, err := DecodeCommitRequest(b); return err })
		decodes(t, b, func(b []byte) error { _, _, err := DecodeCommitAnswer(b); return err })
		decodes(t, b, func(b []byte) error { _, err := DecodeTxnRequests(b); return err })
		decodes(t, b, func(b []byte) error { _, _, err := DecodeTxnResults(b); return err })
	})
}

// FuzzSnapshotsEncodeAlike: a snapshot that is read and written says the same as before.
func FuzzSnapshotsEncodeAlike(f *testing.F) {
	seedGolden(f, "snapshot*")
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeState(Snapshot{State: b})
		if err != nil {
			return
		}
		first := s.clone().encode()
		again, err := decodeState(Snapshot{State: first})
		if err != nil {
			t.Fatal(err)
		}
		if second := again.clone().encode(); !bytes.Equal(first, second) {
			t.Errorf("encoded\n%x\nand, read again,\n%x", first, second)
		}
	})
}
