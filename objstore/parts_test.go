package objstore_test

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/objstore"
)

func TestPartsReaderReadsTheConcatenation(t *testing.T) {
	parts := [][]byte{nil, []byte("ab"), {}, []byte("cde"), []byte("f"), nil}
	if err := iotest.TestReader(objstore.NewPartsReader(parts), []byte("abcdef")); err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(objstore.NewPartsReader(nil), nil); err != nil {
		t.Fatal(err)
	}
}

func TestPartsReaderBehavesAsBytesReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 9), 0, 6).Draw(t, "parts")
		got, want := objstore.NewPartsReader(parts), bytes.NewReader(bytes.Join(parts, nil))
		if got.Size() != want.Size() || objstore.Size(parts) != want.Size() {
			t.Fatalf("size %d, want %d", got.Size(), want.Size())
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "seek") {
				offset := rapid.Int64Range(-3, 40).Draw(t, "offset")
				whence := rapid.IntRange(0, 3).Draw(t, "whence")
				n, err := got.Seek(offset, whence)
				m, wantErr := want.Seek(offset, whence)
				if n != m || (err == nil) != (wantErr == nil) {
					t.Fatalf("seek %d from %d: %d, %v; want %d, %v", offset, whence, n, err, m, wantErr)
				}
				continue
			}
			p, q := make([]byte, rapid.IntRange(1, 20).Draw(t, "length")), make([]byte, 20)
			n, err := got.Read(p)
			m, wantErr := want.Read(q[:len(p)])
			if err != wantErr || !bytes.Equal(p[:n], q[:m]) {
				t.Fatalf("read %q, %v; want %q, %v", p[:n], err, q[:m], wantErr)
			}
		}
	})
}

func TestPartsReaderTouchesNothingAfterClose(t *testing.T) {
	part := make([]byte, 1<<20)
	r := objstore.NewPartsReader([][]byte{part})
	reading := make(chan struct{})
	done := make(chan error)
	go func() {
		buf := make([]byte, 64)
		_, err := r.Read(buf)
		close(reading)
		for err == nil {
			_, err = r.Read(buf)
		}
		done <- err
	}()
	<-reading
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range part { // the race detector is the assertion
		part[i] = 1
	}
	if err := <-done; err != io.ErrClosedPipe && err != io.EOF {
		t.Fatal(err)
	}
}
