package rebuild

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/metastore"
)

// foundRun is a run that the footer of a tier-1 object tells of. There may be millions.
type foundRun struct {
	metastore.TopicPartition
	base         metastore.Offset
	maxTimestamp int64
	offsets      int32
	object       uint32 // in found.objects
	position     uint32
	length       uint32
	crc          uint32
}

func (r *foundRun) end() metastore.Offset { return r.base + metastore.Offset(r.offsets) }

// found is what tier-1 objects tell of themselves.
type found struct {
	objects []foundObject
	runs    []foundRun // by partition and base
}

type foundObject struct {
	id   metastore.SegmentID
	size int64
}

// readFooters reads the footers of objects of tier 1. damage hears of those that cannot be used.
func readFooters(ctx context.Context, objects Objects, all []foundObject, concurrency int, progress *Progress, damage func(foundObject, error)) (*found, error) {
	f := &found{objects: all}
	var mu sync.Mutex
	reads, ctx := errgroup.WithContext(ctx)
	reads.SetLimit(concurrency)
	for i, o := range all {
		if ctx.Err() != nil {
			break
		}
		reads.Go(func() error {
			x, err := footer(ctx, objects, o.id, o.size)
			progress.step()
			if isDamage(err) {
				damage(o, err)
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, r := range x.Runs {
				f.runs = append(f.runs, foundRun{
					TopicPartition: metastore.TopicPartition{Topic: r.Topic, Partition: r.Partition}, base: metastore.Offset(r.Base), maxTimestamp: r.MaxTimestamp,
					offsets: r.Offsets, object: uint32(i), position: r.Position, length: r.Length, crc: r.CRC,
				})
			}
			return nil
		})
	}
	err := reads.Wait()
	slices.SortFunc(f.runs, func(a, b foundRun) int {
		return cmp.Or(comparePartitions(a.TopicPartition, b.TopicPartition), cmp.Compare(a.base, b.base), cmp.Compare(a.object, b.object))
	})
	return f, err
}

// of returns the runs of a partition.
func (f *found) of(tp metastore.TopicPartition) []foundRun {
	from, _ := slices.BinarySearchFunc(f.runs, tp, func(r foundRun, tp metastore.TopicPartition) int {
		return cmp.Or(comparePartitions(r.TopicPartition, tp), 1)
	})
	to, _ := slices.BinarySearchFunc(f.runs, tp, func(r foundRun, tp metastore.TopicPartition) int {
		return cmp.Or(comparePartitions(r.TopicPartition, tp), -1)
	})
	return f.runs[from:to]
}

// partitions yields the runs of each partition.
func (f *found) partitions(yield func([]foundRun) bool) {
	for rest := f.runs; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].TopicPartition == rest[0].TopicPartition {
			n++
		}
		if !yield(rest[:n]) {
			return
		}
		rest = rest[n:]
	}
}

// source makes a run of it.
func (f *found) source(r *foundRun) source {
	o := f.objects[r.object]
	return source{crc: r.crc, Run: metastore.Run{
		Base: r.base, Records: r.offsets, Segment: o.id, SegmentSize: o.size, Position: r.position, Length: r.length, MaxTimestamp: r.maxTimestamp,
	}}
}

func comparePartitions(a, b metastore.TopicPartition) int {
	return cmp.Or(slices.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
}

// wellFormed tells whether a run can be one of a partition.
func (r *foundRun) wellFormed() bool {
	return r.Partition >= 0 && r.Partition < metastore.MaxPartitions && r.offsets > 0 && r.base >= 0 && r.base <= math.MaxInt64-1<<40
}
