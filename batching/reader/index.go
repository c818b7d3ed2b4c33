package reader

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// sparse tells whether a run is of tier 1: its batches carry their offsets, and its object has a sparse index.
func sparse(run *metastore.Run) bool { return run.Segment.Tier() == 1 }

// suffixBytes is how much is read of an object's end for its index, which is mostly enough.
const suffixBytes = 64 << 10

// indexes keeps the indexes of objects of tier 1 that were looked into, within a bound of bytes: those unused for longest
// go first. They are few bytes of the objects, and the same for ever.
type indexes struct {
	most int64

	mu    sync.Mutex
	bytes int64
	order list.List // of *keptIndex, the last used first
	by    map[metastore.SegmentID]*list.Element
}

type keptIndex struct {
	segment.Index
	bytes int64
}

func (x *indexes) get(id metastore.SegmentID) (*segment.Index, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.by[id]
	if !ok {
		return nil, false
	}
	x.order.MoveToFront(e)
	return &e.Value.(*keptIndex).Index, true
}

func (x *indexes) put(index segment.Index) {
	kept := &keptIndex{index, indexBytes(&index)}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.by == nil {
		x.by = make(map[metastore.SegmentID]*list.Element)
	}
	x.remove(index.ID)
	x.by[index.ID] = x.order.PushFront(kept)
	x.bytes += kept.bytes
	for x.bytes > x.most {
		x.remove(x.order.Back().Value.(*keptIndex).ID)
	}
}

// drop forgets an index, so that it is read again.
func (x *indexes) drop(id metastore.SegmentID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
}

// remove is drop for who holds mu.
func (x *indexes) remove(id metastore.SegmentID) {
	if e, ok := x.by[id]; ok {
		x.bytes -= x.order.Remove(e).(*keptIndex).bytes
		delete(x.by, id)
	}
}

// indexBytes is about what an index takes in memory.
func indexBytes(index *segment.Index) int64 {
	n := int64(unsafe.Sizeof(keptIndex{})) + 200 // of the list and the map
	for i := range index.Runs {
		n += int64(unsafe.Sizeof(index.Runs[i])) + int64(len(index.Runs[i].Marks))*int64(unsafe.Sizeof(segment.Mark{}))
	}
	return n
}

// knownIndex is what the index says of a sparse run, if it is in memory and says the same as the log.
func (r *Reader) knownIndex(tp metastore.TopicPartition, run *metastore.Run) (*segment.Run, bool) {
	index, ok := r.indexes.get(run.Segment)
	if !ok {
		return nil, false
	}
	return runOf(index, tp, run)
}

// runOf finds a run of the log in the index of its object. The two are made of the same thing: a run that differs is none.
// But the run takes all offsets that those before it took, and the index tells of the batches that are left, which may begin
// later and end earlier.
func runOf(index *segment.Index, tp metastore.TopicPartition, run *metastore.Run) (*segment.Run, bool) {
	in, ok := index.Find(tp.Topic, tp.Partition)
	if !ok || in.Position != run.Position || in.Length != run.Length || in.Base < int64(run.Base) || in.Base+int64(in.Offsets) > int64(run.End()) {
		return nil, false
	}
	return in, true
}

// suffix is the end of an object, of some bytes.
func suffix(run *metastore.Run, bytes int64) objstore.Range {
	n := min(bytes, run.SegmentSize)
	return objstore.Range{Offset: run.SegmentSize - n, Length: n}
}

// index returns what the index of a sparse run's object says of the run. Reads of the same index at the same time share
// one request to the store, as those of records do.
func (f *Fetched) index(ctx context.Context, tp metastore.TopicPartition, run *metastore.Run) (*segment.Run, error) {
	index, ok := f.reader.indexes.get(run.Segment)
	if !ok {
		parsed, err := f.readIndex(ctx, run)
		if err != nil {
			return nil, err
		}
		f.reader.indexes.put(parsed)
		index = &parsed
	}
	in, ok := runOf(index, tp, run)
	if !ok {
		return nil, fmt.Errorf("%w: the index of segment %s has no run of %d bytes at %d that takes %d offsets from %d", ErrCorrupt,
			run.Segment, run.Length, run.Position, run.Records, run.Base)
	}
	return in, nil
}

func (f *Fetched) readIndex(ctx context.Context, run *metastore.Run) (segment.Index, error) {
	want := int64(suffixBytes)
	for {
		part := suffix(run, want)
		parts, err := f.read(ctx, run, part, true)
		if err != nil {
			return segment.Index{}, err
		}
		tail := parts[0]
		if len(parts) > 1 {
			tail = bytes.Join(parts, nil)
		}
		index, err := segment.ParseFooter(tail, run.SegmentSize)
		f.hold.Spent(segment.Key(run.Segment), part)
		if more := (*segment.NeedMoreError)(nil); errors.As(err, &more) && more.Bytes > want {
			want = more.Bytes
			continue
		}
		if version := (*segment.VersionError)(nil); errors.As(err, &version) {
			return segment.Index{}, fmt.Errorf("read segment %s: %w", run.Segment, err)
		}
		if err == nil && metastore.SegmentID(index.ID) != run.Segment {
			err = fmt.Errorf("it is that of %s", metastore.SegmentID(index.ID))
		}
		if err != nil {
			return segment.Index{}, fmt.Errorf("%w: index of segment %s: %w", ErrCorrupt, run.Segment, err)
		}
		return index, nil
	}
}
