package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/memory"
)

func TestReadFullAsksBeforeEachPiece(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 30_000)
	var asked []int
	at := -1 // the piece before which the pace ends
	source := bytes.NewReader(want)
	ctx := objstore.WithPace(t.Context(), func(_ context.Context, n int) error {
		if read := len(want) - source.Len(); read != sum(asked) {
			t.Errorf("asked for %d after %v, %d bytes are read", n, asked, read)
		}
		if len(asked) == at {
			return io.ErrClosedPipe
		}
		asked = append(asked, n)
		return nil
	})
	buf := make([]byte, len(want))
	if n, err := objstore.ReadFull(ctx, source, buf); n != len(want) || err != nil || !bytes.Equal(buf, want) {
		t.Fatalf("%d bytes (%v)", n, err)
	}
	if sum(asked) != len(want) || len(asked) < 3 || slices.Max(asked) > 128<<10 {
		t.Errorf("asked for %v", asked)
	}
	source.Reset(want)
	asked, at = nil, 1
	if n, err := objstore.ReadFull(ctx, source, buf); n != asked[0] || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%d bytes (%v) where the pace ends after %v", n, err, asked)
	}
}

func sum(all []int) (n int) {
	for _, i := range all {
		n += i
	}
	return n
}

// TestReadFullFailsAsIOs: with a pace and without.
func TestReadFullFailsAsIOs(t *testing.T) {
	paced := objstore.WithPace(t.Context(), func(context.Context, int) error { return nil })
	for _, ctx := range []context.Context{t.Context(), paced} {
		for _, have := range []int{0, 1, 128 << 10, 129 << 10} {
			wantErr := io.ErrUnexpectedEOF
			if have == 0 {
				wantErr = io.EOF
			}
			if n, err := objstore.ReadFull(ctx, bytes.NewReader(make([]byte, have)), make([]byte, 300<<10)); n != have || !errors.Is(err, wantErr) {
				t.Errorf("%d bytes: %d, %v", have, n, err)
			}
		}
		broken := io.MultiReader(bytes.NewReader(make([]byte, 200<<10)), iotest.ErrReader(io.ErrNoProgress))
		if n, err := objstore.ReadFull(ctx, broken, make([]byte, 300<<10)); n != 200<<10 || !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("broken: %d, %v", n, err)
		}
	}
}

// TestGettersWithoutPiecesAreAskedForAll: a store that returns memory of its own does nothing before the pace allows for it.
func TestGettersWithoutPiecesAreAskedForAll(t *testing.T) {
	store := memory.New()
	if err := store.Put(t.Context(), "k", [][]byte{make([]byte, 1000)}); err != nil {
		t.Fatal(err)
	}
	asked := 0
	var refuse error
	ctx := objstore.WithPace(t.Context(), func(_ context.Context, n int) error { asked += n; return refuse })
	if n, err := objstore.GetInto(ctx, store, "k", 0, make([]byte, 600)); n != 600 || err != nil || asked != 600 {
		t.Errorf("%d bytes (%v), asked for %d", n, err, asked)
	}
	refuse = io.ErrClosedPipe
	if _, err := objstore.GetInto(ctx, store, "k", 0, make([]byte, 600)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("refused: %v", err)
	}
}
