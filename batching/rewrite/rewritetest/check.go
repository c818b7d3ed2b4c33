package rewritetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// Runs returns all runs of a partition.
func (w *World) Runs(tp metastore.TopicPartition) []metastore.Run {
	w.T.Helper()
	return runsOf(w, w.Replica, tp)
}

func runsOf(w *World, r *metastore.Replica, tp metastore.TopicPartition) []metastore.Run {
	w.T.Helper()
	marks, ok := r.Watermarks(tp)
	if !ok {
		return nil
	}
	_, runs, err := r.Runs(tp, marks.LogStart, math.MaxInt)
	w.must(err)
	return runs
}

// Check reads every partition, by way of the objects that its runs name, and compares with what was written.
func (w *World) Check() {
	w.T.Helper()
	for _, tp := range w.Partitions() {
		if _, ok := w.Replica.Watermarks(tp); !ok {
			continue
		}
		got, err := w.Read(tp)
		if err != nil {
			w.T.Fatalf("%s: %v", tp, err)
		}
		w.Compare(tp, got)
	}
}

// Compare compares records of a partition, from its log start on, with what was written.
func (w *World) Compare(tp metastore.TopicPartition, got []Record) {
	w.T.Helper()
	want := w.Expected(tp)
	for i := range min(len(got), len(want)) {
		if !got[i].Equal(want[i]) {
			w.T.Fatalf("%s: record %d is %+v, want %+v", tp, i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		w.T.Fatalf("%s: %d records, want %d", tp, len(got), len(want))
	}
}

// Read returns the records of a partition from its log start on.
func (w *World) Read(tp metastore.TopicPartition) (records []Record, err error) {
	marks, _ := w.Replica.Watermarks(tp)
	next := int64(0)
	for _, run := range w.Runs(tp) {
		if int64(run.Base) < next {
			return nil, fmt.Errorf("run at %d, the one before it ends at %d", run.Base, next)
		}
		next = int64(run.Base) + int64(run.Records)
		more, err := w.readRun(tp, run)
		if err != nil {
			return nil, err
		}
		for _, r := range more {
			if r.Offset >= int64(marks.LogStart) {
				records = append(records, r)
			}
		}
	}
	return records, nil
}

func (w *World) readRun(tp metastore.TopicPartition, run metastore.Run) (records []Record, err error) {
	if run.Marker != nil {
		m := recordbatch.Marker{BaseOffset: int64(run.Base), ProducerID: int64(run.Marker.Producer), ProducerEpoch: int16(run.Marker.Epoch),
			Commit: run.Marker.Commit, Timestamp: run.MaxTimestamp}
		return decode(m.Append(nil), int64(run.Base))
	}
	all, err := w.Objects.GetSuffix(context.Background(), segment.Key(run.Segment), math.MaxInt64)
	if err != nil {
		return nil, err
	}
	index, err := segment.ParseFooter(all, int64(len(all)))
	if err != nil {
		return nil, err
	}
	if int64(len(all)) != run.SegmentSize || index.ID != run.Segment {
		return nil, fmt.Errorf("segment %s has %d bytes, the log says %d", run.Segment, len(all), run.SegmentSize)
	}
	in, ok := index.Find(tp.Topic, tp.Partition)
	if !ok || in.Position > run.Position || in.Position+in.Length < run.Position+run.Length {
		return nil, fmt.Errorf("segment %s does not have the run at %d: %+v", run.Segment, run.Position, in)
	}
	if err := segment.VerifyRun(*in, all[in.Position:in.Position+in.Length]); err != nil {
		return nil, err
	}
	if index.Tier == 1 && (in.Position != run.Position || in.Length != run.Length || in.MaxTimestamp != run.MaxTimestamp && max(in.MaxTimestamp, run.MaxTimestamp) >= 0 ||
		in.Base < int64(run.Base) || in.Base+int64(in.Offsets) > int64(run.Base)+int64(run.Records)) {
		return nil, fmt.Errorf("segment %s: run %+v, the log says %+v", run.Segment, in, run)
	}
	return w.batches(run, index.Tier, all[run.Position:run.Position+run.Length])
}

func (w *World) batches(run metastore.Run, tier int, b []byte) (records []Record, err error) {
	next, end, latest := int64(run.Base), int64(run.Base)+int64(run.Records), int64(math.MinInt64)
	for b, err := range recordbatch.Split(b) {
		if err != nil {
			return nil, err
		}
		h, err := recordbatch.ParseHeader(b)
		if err != nil {
			return nil, err
		}
		if tier == 0 {
			h.BaseOffset = next
		} else if h.LeaderEpoch != 0 || h.CRC != recordbatch.Checksum(b) {
			return nil, fmt.Errorf("batch %+v, its CRC should be %08x", h, recordbatch.Checksum(b))
		}
		if h.BaseOffset < next || h.LastOffset() >= end {
			return nil, fmt.Errorf("batch of offsets %d to %d, in a run to %d, after %d", h.BaseOffset, h.LastOffset(), end, next)
		}
		next, latest = h.LastOffset()+1, max(latest, h.MaxTimestamp)
		more, err := decode(b, h.BaseOffset)
		if err != nil {
			return nil, err
		}
		records = append(records, more...)
	}
	if tier == 0 && next != end || latest != run.MaxTimestamp && max(latest, run.MaxTimestamp) >= 0 {
		return nil, fmt.Errorf("batches end at %d and are from up to %d, the run at %d and %d", next, latest, end, run.MaxTimestamp)
	}
	return records, nil
}

// CheckObjects fails if a run names an object that is not there.
func (w *World) CheckObjects() {
	w.T.Helper()
	for _, tp := range w.Partitions() {
		for _, run := range w.Runs(tp) {
			if run.Marker != nil {
				continue
			}
			if _, err := w.Objects.GetSuffix(context.Background(), segment.Key(run.Segment), 1); err != nil {
				w.T.Fatalf("%s: run at %d: %v", tp, run.Base, err)
			}
		}
	}
}

// Damage spoils an object from now on: whoever reads it through Faults gets what spoil makes of its bytes.
func (w *World) Damage(id metastore.SegmentID, spoil func([]byte) []byte) {
	w.T.Helper()
	key := segment.Key(id)
	all, err := w.Objects.GetSuffix(context.Background(), key, math.MaxInt64)
	w.must(err)
	w.must(w.Objects.Delete(context.Background(), []string{key}))
	w.must(w.Objects.Put(context.Background(), key, [][]byte{spoil(bytes.Clone(all))}))
}

// ErrInjected is an error of a fault that a test makes.
var ErrInjected = errors.New("injected")
