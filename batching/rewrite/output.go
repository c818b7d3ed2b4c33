package rewrite

import (
	"context"
	"math"
	"time"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// output lays out the new objects of a job, uploads them and swaps.
//
// A part may go over several objects. Its runs join each other, whatever was dropped between their batches: each ends where
// the next begins, the first begins where the old runs did, and the last ends where they did.
//
// Swaps are for whole groups of objects: a group ends where an object and a part end together, so that each swap brings
// all objects that its parts are in, and no object is named by two.
type output struct {
	engine *Engine
	parts  []Part
	counts *counts
	report *Report

	builder *segment.Builder // nil: no object was begun
	id      metastore.SegmentID
	memory  *slabs    // of the object that is being filled
	open    []*newRun // that it has, in order
	begun   bool      // the part at hand has a run in it

	at    int           // the part at hand; -1: none
	runs  []*newRun     // of the part at hand
	bytes int64         // of it that are still to come, about
	group []partOutcome // complete parts since the last swap
	size  int           // runs of group, old and new
	since time.Time     // of the oldest object of the group; zero: there is none
	going *upload       // nil: none is
	spare *slabs
}

// newRun is a run of a new object.
type newRun struct {
	part int
	base metastore.Offset // the span's start; its end once it is known
	end  metastore.Offset
	run  metastore.Run // once the object is complete
	// stored is when the newest of what it was made of was.
	stored time.Time
}

// partOutcome is a part whose batches were all given to objects.
type partOutcome struct {
	part int
	runs []*newRun
}

// begin goes on to a part.
func (o *output) begin(ctx context.Context, part int) error {
	o.at, o.runs, o.bytes = part, nil, 0
	for i := range o.parts[part].Runs {
		o.bytes += int64(o.parts[part].Runs[i].Length)
	}
	// A part that has room in one object is not torn apart for the end of another.
	if target := o.engine.opts.ObjectBytes; o.builder != nil && o.bytes <= target &&
		o.builder.Size() >= target/2 && o.builder.Size()+o.bytes > target {
		return o.cut(ctx)
	}
	return nil
}

// add gives a batch of the part at hand, which is of one of its runs, to the object that is being filled. b is copied. An error is a stopError, or ends
// the part alone.
func (o *output) add(ctx context.Context, h recordbatch.Header, b []byte, run int) error {
	old := &o.parts[o.at].Runs[run]
	next := metastore.Offset(h.LastOffset()) + 1
	if o.builder != nil && (o.builder.Size() > segment.MinSize && o.builder.Size()+int64(len(b))+segment.AddOverhead > o.engine.opts.ObjectBytes ||
		o.begun && next-o.runs[len(o.runs)-1].base > math.MaxInt32) {
		if o.begun {
			o.endRun(metastore.Offset(h.BaseOffset))
		}
		if err := o.cut(ctx); err != nil {
			return &stopError{err}
		}
	}
	if err := o.ready(); err != nil {
		return err
	}
	if err := o.builder.Add([][]byte{o.memory.keep(b)}, segment.InfoOf(h, h.BaseOffset)); err != nil {
		return err
	}
	if !o.begun {
		o.begun = true
		r := &newRun{part: o.at, base: o.spanStart(h, old)}
		o.runs, o.open = append(o.runs, r), append(o.open, r)
	}
	last := o.runs[len(o.runs)-1]
	last.stored = later(last.stored, old.Stored())
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// spanStart is where the run begins whose first batch has header h and comes from an old run: where the last one ended, or
// the old runs begin. A run takes 2^31-1 offsets at most. A gap may be as large or larger: then the run begins with the old
// run, or with the batch, and no run has all of the gap.
func (o *output) spanStart(h recordbatch.Header, old *metastore.Run) metastore.Offset {
	least := o.parts[o.at].Runs[0].Base
	if n := len(o.runs); n > 0 {
		least = o.runs[n-1].end
	}
	base := least
	for _, closer := range []metastore.Offset{old.Base, metastore.Offset(h.BaseOffset)} {
		if metastore.Offset(h.LastOffset())-base > math.MaxInt32/2 {
			base = max(closer, least)
		}
	}
	return base
}

// ready sees to it that there is an object, and in it the part at hand.
func (o *output) ready() error {
	if o.builder == nil {
		now := o.engine.opts.Now()
		o.id = metastore.NewRewrittenID(now)
		o.builder = segment.NewBuilder(o.id, now)
		o.builder.MarkEvery(uint32(o.engine.opts.MarkBytes))
		if o.since.IsZero() {
			o.since = now
		}
		o.memory, o.spare = o.spare, nil
		if o.memory == nil {
			o.memory = newSlabs(o.engine.opts.ObjectBytes)
		}
	}
	if !o.begun {
		tp := o.parts[o.at].TopicPartition
		return o.builder.Begin(tp.Topic, tp.Partition)
	}
	return nil
}

// endRun says where the span of the part's last run ends.
func (o *output) endRun(at metastore.Offset) {
	last := o.runs[len(o.runs)-1]
	last.end = min(at, last.base+math.MaxInt32)
	o.begun = false
}

// end completes the part at hand.
func (o *output) end(ctx context.Context) error {
	old := o.parts[o.at].Runs
	if o.begun {
		o.endRun(old[len(old)-1].End())
	}
	o.group = append(o.group, partOutcome{part: o.at, runs: o.runs})
	o.size += len(old) + len(o.runs)
	o.runs = nil
	// A slow job swaps before its objects are too old for it.
	if o.size >= o.engine.opts.SwapRuns || len(o.group) == metastore.MaxSwapRewrites || !o.since.IsZero() && o.engine.opts.Now().Sub(o.since) > metastore.MaxRewriteAge/4 {
		return o.flush(ctx)
	}
	return nil
}

// drop gives the part at hand up. What an object has of it already stays there, and nothing will name it.
func (o *output) drop() {
	for _, r := range o.runs {
		r.part = -1
	}
	o.runs, o.begun = nil, false
}

// cut completes the object that is being filled, and begins to upload it once the one before it is stored.
func (o *output) cut(ctx context.Context) error {
	if o.builder == nil {
		return nil
	}
	object, index := o.builder.Finish()
	o.builder = nil
	live := false
	for i, r := range o.open {
		at := &index.Runs[i]
		r.run = metastore.Run{Segment: o.id, SegmentSize: index.Size, Position: at.Position, Length: at.Length, MaxTimestamp: at.MaxTimestamp}
		if at.MaxTimestamp < 0 {
			r.run.MaxTimestamp = metastore.UntimedSince(r.stored)
		}
		live = live || r.part >= 0
	}
	o.open = nil
	if err := o.wait(ctx); err != nil {
		return err
	}
	if !live {
		o.memory.reset()
		o.spare = o.memory
		return nil
	}
	o.going = o.engine.begin(ctx, o.id, object, index.Size, o.memory, o.counts)
	return nil
}

// wait waits for the object that is being uploaded.
func (o *output) wait(ctx context.Context) error {
	if o.going == nil {
		return nil
	}
	select {
	case <-o.going.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	u := o.going
	o.going = nil
	u.memory.reset()
	o.spare = u.memory
	return u.err
}

// flush completes and stores what there is, and swaps.
func (o *output) flush(ctx context.Context) error {
	if err := o.cut(ctx); err != nil {
		return err
	}
	if err := o.wait(ctx); err != nil {
		return err
	}
	if err := o.swap(ctx); err != nil {
		return err
	}
	o.group, o.size, o.since = nil, 0, time.Time{}
	return nil
}

// close waits for an upload that nobody waits for any more; its context has ended.
func (o *output) close() {
	if o.going != nil {
		<-o.going.done
	}
}
