package rewrite

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/runnel-io/runnel/batching/rewrite/rewritetest"
	"github.com/runnel-io/runnel/metastore"
)

// TestSourceGivesEverythingBack: whether parts are read to their ends, are left early or turn out to be corrupt, no memory is
// held in the end.
func TestSourceGivesEverythingBack(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 8 {
		w := rewritetest.New(t, rng.Uint64(), 1, 6)
		w.Grow(20)
		var parts []Part
		for _, tp := range w.Partitions() {
			if runs := w.Runs(tp); len(runs) > 0 {
				parts = append(parts, Part{TopicPartition: tp, Runs: runs})
			}
		}
		spoilt := parts[0].Runs[len(parts[0].Runs)/2]
		if spoilt.Marker == nil {
			w.Damage(spoilt.Segment, func(b []byte) []byte {
				b[spoilt.Position+spoilt.Length-1] ^= 1
				return b
			})
		}
		opts := Options{ReadBytes: 1 << (13 + rng.IntN(6)), Reads: 1 + rng.IntN(3)}.withDefaults()
		p := makePlan(parts, opts.ReadBytes, opts.Reads)
		l := newLoader(t.Context(), p, w.Objects, &opts, &counts{})
		defer l.stop()
		s := newSource(parts, p, l)
		for {
			_, _, err := s.next(t.Context())
			if err == io.EOF {
				break
			}
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			if err == nil && rng.IntN(30) == 0 {
				s.skip()
			}
		}
		l.workers.Wait()
		if l.used != 0 || slices.ContainsFunc(p.chunks, func(c chunk) bool { return c.pieces != 0 }) {
			t.Fatalf("%d bytes are held, of chunks %+v", l.used, p.chunks)
		}
	}
}

// TestSlabsKeepWhatTheyAreGiven: until they are reset, and with the same memory after that.
func TestSlabsKeepWhatTheyAreGiven(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	s := newSlabs(1000)
	made := 0
	for round := range 5 {
		var kept [][]byte
		for range 100 {
			b := make([]byte, rng.IntN(200))
			for i := range b {
				b[i] = byte(len(kept))
			}
			kept = append(kept, s.keep(b))
		}
		for i, b := range kept {
			if slices.ContainsFunc(b, func(x byte) bool { return x != byte(i) }) {
				t.Fatalf("round %d: what was kept at %d has changed", round, i)
			}
		}
		if n := len(s.used) + len(s.free); round == 0 {
			made = n
		} else if n > made+made/2 {
			t.Fatalf("round %d: %d slabs, after the first round %d", round, n, made)
		}
		s.reset()
	}
}

// TestSourceMakesTheEndsOfTransactions as the log tells of them.
func TestSourceMakesTheEndsOfTransactions(t *testing.T) {
	parts := []Part{{Runs: []metastore.Run{
		{Base: 7, Records: 1, Length: metastore.MarkerBytes, MaxTimestamp: 99, Marker: &metastore.Marker{Producer: 5, Epoch: 3, Commit: true}},
		{Base: 8, Records: 1, Length: metastore.MarkerBytes, MaxTimestamp: 98, Marker: &metastore.Marker{Producer: 6, Epoch: 4}},
	}}}
	opts := Options{}.withDefaults()
	p := makePlan(parts, opts.ReadBytes, opts.Reads)
	l := newLoader(t.Context(), p, nil, &opts, &counts{})
	defer l.stop()
	s := newSource(parts, p, l)
	for i, run := range parts[0].Runs {
		_, b, err := s.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		records, err := rewritetest.Decode(b.Bytes)
		if err != nil || len(records) != 1 {
			t.Fatal(records, err)
		}
		r := records[0]
		if !r.Control || !r.Transactional || r.Offset != int64(run.Base) || r.Producer != int64(run.Marker.Producer) || r.Epoch != int16(run.Marker.Epoch) ||
			r.Timestamp != run.MaxTimestamp || (r.Key[3] == 1) != run.Marker.Commit || b.Run != i || b.Last != (i == 1) || len(b.Bytes) != metastore.MarkerBytes {
			t.Fatalf("%+v of %+v", r, run)
		}
	}
}
