package reader

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/readahead"
)

// Fetched is what a Fetch found, and the memory that it lies in.
type Fetched struct {
	Results []Result // one for each Want

	reader *Reader
	hold   *readahead.Hold
	pinned map[pinnedBlock]struct{}
}

// Result is what was found of one partition.
type Result struct {
	// Watermarks are those of the state that the records were chosen from. With metastore.ErrOffsetOutOfRange they are
	// filled in too.
	Watermarks metastore.Watermarks
	// Records are whole batches in order, as parts: shared memory, not to be modified, and good until Release.
	Records [][]byte
	// Aborted are, for ReadCommitted, all aborted transactions that overlap the records, by their ends.
	Aborted []metastore.AbortedTxn
	// Bytes is the length of all parts.
	Bytes int
	// Err says why there are no records: metastore.ErrUnknownPartition, metastore.ErrOffsetOutOfRange, ErrCorrupt, those
	// of Blocks (the text names the segment). If batches before the error can be read, they are returned without it.
	Err error
}

// Release gives the memory of the records back. It is called once they were sent, or will not be.
func (f *Fetched) Release() {
	f.hold.Release()
	f.reader.pinned.Add(-int64(len(f.pinned)) * pinnedBytes)
	f.pinned = nil
}

// own copies the records, and gives back what they lay in: a client may take long to read an answer, whose chunks are
// many times as large, and answers are bounded by their own length.
func (f *Fetched) own() {
	for i := range f.Results {
		if x := &f.Results[i]; x.Bytes > 0 {
			x.Records = [][]byte{bytes.Join(x.Records, nil)}
		}
	}
	f.Release()
}

// pinnedBlock is a block of the cache that an answer keeps in memory.
type pinnedBlock struct {
	segment metastore.SegmentID
	block   int64
}

const (
	// pinnedBytes is what a block of the cache is taken to hold.
	pinnedBytes = 1 << 20
	// smallPart is the length below which a part of a block may be copied: an answer made of a thousand small runs keeps
	// as many blocks in memory, for as long as a client takes to read it.
	smallPart = 256 << 10
)

// load reads bytes [from, from+n) of a run that is not in the writer's memory.
func (f *Fetched) load(ctx context.Context, run *metastore.Run, from, n uint32, cold bool) ([][]byte, error) {
	return f.read(ctx, run, objstore.Range{Offset: int64(run.Position) + int64(from), Length: int64(n)}, cold)
}

// read reads a part of the object of a run.
func (f *Fetched) read(ctx context.Context, run *metastore.Run, part objstore.Range, cold bool) ([][]byte, error) {
	key := segment.Key(run.Segment)
	var parts [][]byte
	var err error
	if cold {
		parts, err = f.hold.Read(ctx, key, part)
	} else {
		parts, err = f.reader.blocks.Read(ctx, key, run.SegmentSize, part.Offset, part.Length)
		f.pin(run.Segment, part.Offset, parts)
	}
	if errors.Is(err, objstore.ErrRange) {
		return nil, fmt.Errorf("%w: segment %s is shorter than %d bytes: %w", ErrCorrupt, run.Segment, run.SegmentSize, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read segment %s: %w", run.Segment, err)
	}
	return parts, nil
}

// pin accounts for the blocks that small parts keep in memory, or copies the parts.
func (f *Fetched) pin(id metastore.SegmentID, offset int64, parts [][]byte) {
	for i, part := range parts {
		block := pinnedBlock{id, offset / pinnedBytes}
		offset += int64(len(part))
		if len(part) >= smallPart {
			continue
		}
		if _, ok := f.pinned[block]; ok {
			continue
		}
		if f.reader.pinned.Add(pinnedBytes) > f.reader.opts.PinBytes {
			f.reader.pinned.Add(-pinnedBytes)
			parts[i] = bytes.Clone(part)
			continue
		}
		if f.pinned == nil {
			f.pinned = make(map[pinnedBlock]struct{})
		}
		f.pinned[block] = struct{}{}
	}
}

// loaded tells whether old records that a plan needs are in memory. An index that has come is looked into, so that the next
// plan knows the place.
func (f *Fetched) loaded(ctx context.Context, p *plan) bool {
	for i := range p.runs {
		x := &p.runs[i]
		switch {
		case !x.cold || x.parts != nil:
			continue
		case x.seek && sparse(&x.Run) && f.hold.Ready(segment.Key(x.Segment), suffix(&x.Run, suffixBytes)):
			_, _ = f.index(ctx, p.TopicPartition, &x.Run) // an error is told when its turn comes
		}
		if x.seek || !f.hold.Ready(segment.Key(x.Segment), x.bytes()) {
			return false
		}
	}
	return true
}

// spent says that bytes [from, to) of a run were read for good.
func (f *Fetched) spent(run metastore.Run, from, to uint32) {
	f.hold.Spent(segment.Key(run.Segment), objstore.Range{Offset: int64(run.Position) + int64(from), Length: int64(to) - int64(from)})
}
