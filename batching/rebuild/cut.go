package rebuild

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// planner is what partitions are planned with.
type planner struct {
	objects Objects
	ids     transactional
	damage  func(*source, error)
	now     time.Time
	dryRun  bool
	copies  chan struct{} // bounds how many parts of runs are in memory
}

const copiesAtATime = 2

// cut returns the part of a run whose batches lie between two offsets; false if no batch does. Offsets in tier 0 are counted,
// so a part of a run is a run. A run of tier 1 goes with what the footer of its object says, so its part is copied to an object
// of its own.
func (p *planner) cut(ctx context.Context, tp metastore.TopicPartition, of *source, from, to metastore.Offset) (metastore.Run, bool, error) {
	if of.Segment.Tier() != 0 {
		return p.copy(ctx, tp, of, from, to)
	}
	part := of.Run
	part.Records, part.MaxTimestamp = 0, math.MinInt64
	err := eachBatch(ctx, p.objects, of, func(b *batch) error {
		if b.offset < from || b.end() > to {
			return nil
		}
		if part.Records == 0 {
			part.Base, part.Position = b.offset, of.Position+b.position
		}
		part.Records = int32(b.end() - part.Base)
		part.Length = of.Position + b.position + uint32(b.Size()) - part.Position
		part.MaxTimestamp = max(part.MaxTimestamp, b.MaxTimestamp)
		return nil
	})
	return part, part.Records > 0, err
}

// copy uploads a part of a run as an object. If the rebuild dies, it is an orphan.
func (p *planner) copy(ctx context.Context, tp metastore.TopicPartition, of *source, from, to metastore.Offset) (metastore.Run, bool, error) {
	select {
	case p.copies <- struct{}{}:
		defer func() { <-p.copies }()
	case <-ctx.Done():
		return metastore.Run{}, false, ctx.Err()
	}
	id := metastore.NewRewrittenID(p.now)
	object := segment.NewBuilder(id, p.now)
	if err := object.Begin(tp.Topic, tp.Partition); err != nil {
		return metastore.Run{}, false, err
	}
	err := eachBatch(ctx, p.objects, of, func(b *batch) error {
		if b.offset < from || b.end() > to {
			return nil
		}
		return object.Add([][]byte{slices.Clone(b.bytes)}, segment.InfoOf(b.Header, int64(b.offset)))
	})
	if err != nil || object.Size() == segment.MinSize {
		return metastore.Run{}, false, err
	}
	parts, x := object.Finish()
	if !p.dryRun {
		err := again(ctx, func() error {
			err := p.objects.Put(ctx, segment.Key(id), parts)
			if errors.Is(err, objstore.ErrExists) {
				return nil // an attempt whose answer was lost
			}
			return err
		})
		if err != nil {
			return metastore.Run{}, false, fmt.Errorf("copy a part of segment %s: %w", of.Segment, err)
		}
	}
	r := &x.Runs[0]
	if r.MaxTimestamp < 0 {
		r.MaxTimestamp = metastore.UntimedSince(of.Stored())
	}
	return metastore.Run{
		Base: metastore.Offset(r.Base), Records: r.Offsets, Segment: id, SegmentSize: x.Size, Position: r.Position, Length: r.Length, MaxTimestamp: r.MaxTimestamp,
	}, true, nil
}
