package recordbatch_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

func read(t *testing.T, b []byte) []recordbatch.Record {
	t.Helper()
	var records []recordbatch.Record
	for r, err := range recordbatch.Records(b, 1<<24) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// keep sets no horizon.
func keep(f func(recordbatch.Entry) bool) recordbatch.Retain {
	return recordbatch.Retain{Keep: f, Horizon: recordbatch.NoHorizon}
}

func all(recordbatch.Entry) bool { return true }

func TestFilterKeepsWhatItIsTold(t *testing.T) {
	const base = 1_000_000
	rng := rand.New(rand.NewPCG(1, 2))
	var f recordbatch.Filter
	for _, c := range codecs() {
		for _, appendTime := range []bool{false, true} {
			for range 6 {
				opts := c.opts
				opts.ProducerID, opts.ProducerEpoch, opts.BaseSequence, opts.Transactional = 77, 3, 1000, rng.IntN(2) == 0
				b := recordbatchtest.Encode(sample(1+rng.IntN(60)), opts)
				recordbatch.SetBaseOffset(b, base, 0)
				if appendTime {
					recordbatch.SetLogAppendTime(b, now+99)
				}
				horizon := recordbatch.NoHorizon
				if rng.IntN(2) == 0 {
					horizon = now + rng.Int64N(1<<40)
				}
				share := rng.Float64()
				var want []recordbatch.Record
				kept := map[int64]bool{}
				latest, tombstone := int64(-1), false
				for _, r := range read(t, b) {
					if kept[r.Offset] = rng.Float64() < share; kept[r.Offset] {
						want = append(want, r)
						latest = max(latest, r.Timestamp)
						tombstone = tombstone || r.Value == nil
					}
				}
				before := bytes.Clone(b)
				seen := 0
				made, n, err := f.Keep(b, recordbatch.Retain{Horizon: horizon, Keep: func(e recordbatch.Entry) bool {
					seen++
					return kept[e.Offset]
				}})
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(b, before) {
					t.Fatal("the batch was written to")
				}
				if int(n) != len(want) || seen != len(kept) {
					t.Fatalf("%s: %d records of %d, %d shown of %d", c.name, n, len(want), seen, len(kept))
				}
				if len(want) == 0 {
					if made != nil {
						t.Fatal("a batch without records")
					}
					continue
				}
				h, _ := recordbatch.ParseHeader(b)
				got, err := recordbatch.ParseHeader(made)
				if err != nil || got.CRC != recordbatch.Checksum(made) || got.Size() != len(made) {
					t.Fatalf("%+v, %v", got, err)
				}
				if !reflect.DeepEqual(read(t, made), want) {
					t.Fatalf("%s: records differ", c.name)
				}
				sets := tombstone && horizon != recordbatch.NoHorizon
				if unchanged := &made[0] == &b[0]; unchanged != (len(want) == len(kept) && !sets) {
					t.Errorf("%s: unchanged %v", c.name, unchanged)
				}
				if ms, ok := got.DeleteHorizon(); ok != sets || ok && ms != horizon {
					t.Errorf("%s: horizon %d, %v; want %d, %v", c.name, ms, ok, horizon, sets)
				}
				if appendTime {
					latest = now + 99
				}
				if got.MaxTimestamp != latest {
					t.Errorf("%s: max timestamp %d, want %d", c.name, got.MaxTimestamp, latest)
				}
				got.Attributes &^= 1 << 6
				got.CRC, got.Length, got.Records, got.MaxTimestamp, got.BaseTimestamp = h.CRC, h.Length, h.Records, h.MaxTimestamp, h.BaseTimestamp
				if got != h {
					t.Errorf("%s: header\n%+v was\n%+v", c.name, got, h)
				}
			}
		}
	}
}

// A batch goes through several rounds: the horizon stays through those that set none, and gives way to a new one.
func TestFilterOfAFilteredBatch(t *testing.T) {
	var f recordbatch.Filter
	for _, c := range codecs() {
		b := recordbatchtest.Encode(sample(10), c.opts)
		want := read(t, b)
		horizon := func(ms int64) {
			t.Helper()
			h, err := recordbatch.ParseHeader(b)
			if got, ok := h.DeleteHorizon(); err != nil || !ok || got != ms {
				t.Fatalf("%s: horizon %d, %v, %v; want %d", c.name, got, ok, err, ms)
			}
			if got := read(t, b); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: got\n%v want\n%v", c.name, got, want)
			}
		}
		round := func(r recordbatch.Retain) {
			t.Helper()
			var err error
			if b, _, err = f.Keep(b, r); err != nil {
				t.Fatal(err)
			}
		}
		round(recordbatch.Retain{Keep: all, Horizon: 5})
		horizon(5)
		round(keep(func(e recordbatch.Entry) bool { return e.Offset != 3 }))
		want = append(want[:3:3], want[4:]...)
		horizon(5)
		round(recordbatch.Retain{Keep: all, Horizon: 1 << 62})
		horizon(1 << 62)
		round(recordbatch.Retain{Keep: func(e recordbatch.Entry) bool { return !e.Tombstone }, Horizon: 7})
		want = want[:len(want)-1]
		horizon(1 << 62) // no tombstone is left that a new one could be for
	}
}

func TestFilterFindsTombstonesAndKeys(t *testing.T) {
	b := recordbatchtest.Encode([]recordbatch.Record{
		{Timestamp: now, Key: []byte("a"), Value: []byte("1")}, {Timestamp: now, Key: []byte{}, Value: []byte{}},
		{Timestamp: now, Key: []byte("b")}, {Timestamp: now, Value: []byte("2")}, {Timestamp: now},
	}, recordbatchtest.Options{Codec: recordbatch.Zstd})
	recordbatch.SetBaseOffset(b, 40, 0)
	var f recordbatch.Filter
	var got []string
	show := func(e recordbatch.Entry) bool {
		got = append(got, fmt.Sprintf("%d %q %v %v", e.Offset, e.Key, e.Key == nil, e.Tombstone))
		return e.Offset < 43
	}
	if err := f.Entries(b, show); err != nil {
		t.Fatal(err)
	}
	want := []string{`40 "a" false false`, `41 "" false false`, `42 "b" false true`, `43 "" true false`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

func TestEmptyBatchTakesTheOffsets(t *testing.T) {
	for _, c := range codecs() {
		opts := c.opts
		opts.ProducerID, opts.ProducerEpoch, opts.BaseSequence, opts.Transactional = 77, 3, 1000, true
		b := recordbatchtest.Encode(sample(10), opts)
		recordbatch.SetBaseOffset(b, 400, 0)
		e := recordbatch.Empty(b)
		was, _ := recordbatch.ParseHeader(b)
		h, err := recordbatch.ParseHeader(e)
		if err != nil || len(e) != recordbatch.HeaderSize || h.CRC != recordbatch.Checksum(e) || h.Codec() != recordbatch.None || len(read(t, e)) != 0 {
			t.Fatalf("%+v, %v", h, err)
		}
		was.Length, was.CRC, was.Records, was.BaseTimestamp = h.Length, h.CRC, 0, -1
		was.Attributes &^= 7
		if h != was {
			t.Errorf("%+v, want %+v", h, was)
		}
		var f recordbatch.Filter
		if left, n, err := f.Keep(e, keep(all)); err != nil || n != 0 || !bytes.Equal(left, e) {
			t.Errorf("filtered: %d records, %v", n, err)
		}
		p := kmsg.NewFetchResponseTopicPartition()
		p.RecordBatches, p.HighWatermark = e, 410
		got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t", Offset: 400}, &p, kgo.DefaultDecompressor(), nil)
		if got.Err != nil || len(got.Records) != 0 || next != 410 {
			t.Errorf("franz-go: %d records, next %d, %v", len(got.Records), next, got.Err)
		}
	}
}

func TestMarkersWithADeleteHorizon(t *testing.T) {
	var f recordbatch.Filter
	for _, commit := range []bool{false, true} {
		b := recordbatch.Marker{BaseOffset: 1 << 40, ProducerID: 4711, ProducerEpoch: 3, Commit: commit, Timestamp: now}.Append(nil)
		made, err := f.WithDeleteHorizon(b, now+1000)
		if err != nil {
			t.Fatal(err)
		}
		h, err := recordbatch.ParseHeader(made)
		if horizon, ok := h.DeleteHorizon(); err != nil || !ok || horizon != now+1000 || h.MaxTimestamp != now || !h.Control() || h.CRC != recordbatch.Checksum(made) {
			t.Errorf("%+v, %v", h, err)
		}
		if !reflect.DeepEqual(read(t, made), read(t, b)) {
			t.Error("the record differs")
		}
		for _, b := range [][]byte{b, made} {
			if got, err := recordbatch.MarkerCommits(b); err != nil || got != commit {
				t.Errorf("commit %v, %v; want %v", got, err, commit)
			}
		}
	}
	other := recordbatch.Marker{}.Append(nil)
	other[recordbatch.HeaderSize+8] = 2
	for name, b := range map[string][]byte{"data": recordbatchtest.Encode(sample(1), recordbatchtest.Options{}), "another type": other,
		"emptied": recordbatch.Empty(recordbatch.Marker{}.Append(nil)), "half": recordbatch.Marker{}.Append(nil)[:70]} {
		if _, err := recordbatch.MarkerCommits(b); !errors.Is(err, recordbatch.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFilterRefuses(t *testing.T) {
	swapped := recordbatchtest.Encode(sample(3), recordbatchtest.Options{})
	swapped[recordbatch.HeaderSize+3] = 4 // an offset delta of 2, twice
	beyond := recordbatchtest.Encode(sample(3), recordbatchtest.Options{})
	binary.BigEndian.PutUint32(beyond[23:], 1)
	large := recordbatchtest.Encode([]recordbatch.Record{{Key: []byte("k"), Value: make([]byte, 1<<20)}}, recordbatchtest.Options{Codec: recordbatch.Zstd})
	damaged := recordbatchtest.Encode(sample(100), recordbatchtest.Options{Codec: recordbatch.LZ4})
	damaged[len(damaged)/2]++
	whole := recordbatchtest.Encode(sample(3), recordbatchtest.Options{})
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":             {nil, recordbatch.ErrCorrupt},
		"offsets not growing": {swapped, recordbatch.ErrCorrupt},
		"offsets beyond":      {beyond, recordbatch.ErrCorrupt},
		"two batches":         {append(bytes.Clone(whole), whole...), recordbatch.ErrCorrupt},
		"cut":                 {whole[:len(whole)-1], recordbatch.ErrCorrupt},
		"damaged":             {damaged, recordbatch.ErrCorrupt},
		"too large":           {large, recordbatch.ErrTooLarge},
	} {
		f := recordbatch.Filter{MaxInflated: 1 << 19}
		if _, _, err := f.Keep(c.b, keep(all)); !errors.Is(err, c.want) {
			t.Errorf("%s: Keep: %v", name, err)
		}
		if err := f.Entries(c.b, all); !errors.Is(err, c.want) {
			t.Errorf("%s: Entries: %v", name, err)
		}
		if left, n, err := f.Keep(whole, keep(all)); err != nil || n != 3 || !bytes.Equal(left, whole) {
			t.Errorf("%s: the batch after it: %v", name, err)
		}
	}
}

// What is left must read in franz-go's consumer as what was there.
func TestFranzGoReadsFilteredBatches(t *testing.T) {
	var f recordbatch.Filter
	for _, c := range codecs() {
		b := recordbatchtest.Encode(sample(20), c.opts)
		recordbatch.SetBaseOffset(b, 5000, 0)
		left, _, err := f.Keep(b, recordbatch.Retain{Keep: func(e recordbatch.Entry) bool { return e.Offset%2 == 1 }, Horizon: now + 1<<33})
		if err != nil {
			t.Fatal(err)
		}
		p := kmsg.NewFetchResponseTopicPartition()
		p.RecordBatches, p.HighWatermark = left, 5020
		got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t", Offset: 5000}, &p, kgo.DefaultDecompressor(), nil)
		want := read(t, left)
		if got.Err != nil || len(got.Records) != 10 || len(want) != 10 {
			t.Fatalf("%s: %d records of %d, %v", c.name, len(got.Records), len(want), got.Err)
		}
		for i, r := range got.Records {
			w := want[i]
			if r.Offset != w.Offset || r.Timestamp.UnixMilli() != w.Timestamp || !bytes.Equal(r.Key, w.Key) || !bytes.Equal(r.Value, w.Value) {
				t.Errorf("%s: record %d: %+v, want %+v", c.name, i, r, w)
			}
		}
	}
}

func FuzzFilter(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		filter := recordbatch.Filter{MaxInflated: 1 << 20}
		n := 0
		check(t, filter.Entries(b, func(recordbatch.Entry) bool { n++; return true }))
		odd := func(e recordbatch.Entry) bool { return e.Offset%2 == 1 }
		left, records, err := filter.Keep(b, recordbatch.Retain{Keep: odd, Horizon: 1 << 50})
		check(t, err)
		if err != nil || left == nil {
			return
		}
		i := int32(0)
		if err := filter.Entries(left, func(e recordbatch.Entry) bool { i++; return odd(e) }); err != nil || i != records {
			t.Fatalf("%d records of %d, %v", i, records, err)
		}
		if _, _, err := filter.Keep(left, keep(all)); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	for _, c := range codecs() {
		b.Run(c.name, func(b *testing.B) {
			batch := recordbatchtest.Encode(sample(1000), c.opts)
			var f recordbatch.Filter
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := f.Keep(batch, keep(func(e recordbatch.Entry) bool { return e.Offset&1 == 0 })); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
