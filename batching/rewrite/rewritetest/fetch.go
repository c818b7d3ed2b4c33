package rewritetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/cache"
	"github.com/runnel-io/runnel/objstore/readahead"
)

// CheckFetches reads every partition as consumers do, by way of the product's reader, in both isolations, and compares with
// what was written. Reads begin anywhere.
func (w *World) CheckFetches() {
	w.T.Helper()
	blocks, err := cache.New(w.Objects, cache.Options{BlockBytes: 4096})
	w.must(err)
	ahead := readahead.New(w.Objects, readahead.Options{JoinBytes: 1024, GetBytes: 16 << 10})
	r := reader.New(w.Replica, blocks, ahead, nil, reader.Options{Now: w.Now})
	for _, tp := range w.Partitions() {
		marks, ok := w.Replica.Watermarks(tp)
		if !ok {
			continue
		}
		for _, isolation := range []reader.Isolation{reader.ReadUncommitted, reader.ReadCommitted} {
			from := marks.LogStart
			if n := marks.High - marks.LogStart; w.Rand.IntN(2) == 0 && n > 0 {
				from += metastore.Offset(w.Rand.Int64N(int64(n)))
			}
			if err := w.consume(r, tp, from, marks, isolation); err != nil {
				w.T.Fatalf("%s from %d with isolation %d: %v", tp, from, isolation, err)
			}
		}
	}
	w.must(blocks.Close())
	w.must(ahead.Close())
}

// consume reads a partition from an offset to its end, and compares.
func (w *World) consume(r *reader.Reader, tp metastore.TopicPartition, from metastore.Offset, marks metastore.Watermarks, isolation reader.Isolation) error {
	var scan reader.Scan
	border := marks.High
	if isolation == reader.ReadCommitted {
		border = marks.Stable
	}
	var got []Record
	at := from
	for at < border {
		f := r.Fetch(context.Background(), &scan, isolation, []reader.Want{{TopicPartition: tp, From: at, MaxBytes: 1 + w.Rand.IntN(4000)}})
		result := f.Results[0]
		if result.Err != nil {
			return result.Err
		}
		records, next, err := consumed(bytes.Join(result.Records, nil), at, result.Aborted, isolation)
		f.Release()
		if err != nil {
			return err
		}
		if next <= at {
			return fmt.Errorf("nothing at %d, before %d", at, border)
		}
		got, at = append(got, records...), next
	}
	want := slices.Clone(w.Expected(tp))
	want = slices.DeleteFunc(want, func(x Record) bool {
		return x.Offset < int64(from) || x.Offset >= int64(border) ||
			isolation == reader.ReadCommitted && (x.Control || w.aborted[transaction{x.Producer, x.Epoch}])
	})
	for i := range min(len(got), len(want)) {
		if !got[i].Equal(want[i]) {
			return fmt.Errorf("record %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	return nil
}

// consumed is what a consumer takes of an answer, and where it goes on.
func consumed(answer []byte, from metastore.Offset, aborted []metastore.AbortedTxn, isolation reader.Isolation) (records []Record, next metastore.Offset, err error) {
	aborted = slices.Clone(aborted)
	slices.SortFunc(aborted, func(a, b metastore.AbortedTxn) int { return cmp.Compare(a.First, b.First) })
	dropping := map[int64]bool{}
	next = from
	for b, err := range recordbatch.Split(answer) {
		if err != nil {
			return nil, 0, err
		}
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			return nil, 0, err
		}
		for len(aborted) > 0 && int64(aborted[0].First) <= h.LastOffset() {
			dropping[int64(aborted[0].Producer)] = true
			aborted = aborted[1:]
		}
		all, err := Decode(b)
		if err != nil {
			return nil, 0, err
		}
		for _, x := range all {
			switch {
			case isolation == reader.ReadCommitted && x.Control:
				if x.Key[3] == 0 {
					delete(dropping, x.Producer)
				}
			case isolation == reader.ReadCommitted && x.Transactional && dropping[x.Producer]:
			case x.Offset >= int64(from):
				records = append(records, x)
			}
		}
		next = metastore.Offset(h.LastOffset()) + 1
	}
	return records, next, nil
}
