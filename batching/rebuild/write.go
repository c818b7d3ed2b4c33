package rebuild

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/mark"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/patient"
)

// groupsAtATime is how many groups are written at a time.
const groupsAtATime = 8

// write makes all of it so, in the order that rebuild tells.
func (b *rebuild) write(ctx context.Context) error {
	entry, snapshot, err := b.state.Entry()
	if err != nil {
		return err
	}
	if err := b.endLost(ctx); err != nil {
		return err
	}
	if err := b.writeGroups(ctx); err != nil {
		return err
	}
	b.opts.Progress.enter("writing the state", 0)
	if err := b.append(ctx, entry); err != nil {
		return err
	}
	b.report.Written = true
	// Brokers that start read this, and need not decode the entry. It is only quicker.
	_ = again(ctx, func() error { return b.meta.SaveSnapshot(ctx, snapshot) })
	return b.appendSteps(ctx, entry)
}

// appendSteps lets what brokers append come after what was restored. That is for the compactor, which lifts what came first;
// if a broker comes in between, or this dies, it does so in another order.
func (b *rebuild) appendSteps(ctx context.Context, entry metastore.Entry) error {
	steps := b.state.Steps(entry)
	b.opts.Progress.enter("appending to the log", len(steps))
	at := entry.Position
	for _, next := range steps {
		if err := b.meta.Append(ctx, at, next); err != nil {
			return ctx.Err()
		}
		at = next.Position
		b.opts.Progress.step()
	}
	return nil
}

// endLost tells brokers of the lost cluster to stop.
func (b *rebuild) endLost(ctx context.Context) error {
	if b.report.LostCluster == "" {
		return nil
	}
	err := again(ctx, func() error {
		err := b.objects.Put(ctx, mark.Rebuilt(b.report.LostCluster).Key(), [][]byte{mark.RebuiltText(b.report.LostCluster, b.report.Cluster)})
		if errors.Is(err, objstore.ErrExists) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("mark the end of cluster %s in the bucket: %w", b.report.LostCluster, err)
	}
	return nil
}

// writeGroups sets the offsets of groups: those of the index, and then those that transactions held which are committed.
func (b *rebuild) writeGroups(ctx context.Context) error {
	groups := int(b.report.Groups)
	b.opts.Progress.enter("writing the offsets of groups", groups)
	if b.index != nil {
		writes, within := errgroup.WithContext(ctx)
		writes.SetLimit(groupsAtATime)
		var of metastore.GroupOffsets
		flush := func() {
			if whole := of; len(whole.Offsets) > 0 {
				writes.Go(func() error { return b.writeGroup(within, whole) })
			}
			of = metastore.GroupOffsets{}
		}
		var damaged error
		for page, err := range b.index.EachGroup() {
			if damaged = err; err != nil || within.Err() != nil {
				break
			}
			if page.Group != of.Group {
				flush()
			}
			of = metastore.GroupOffsets{Group: page.Group, Offsets: append(of.Offsets, page.Offsets...)}
		}
		flush()
		if err := errors.Join(writes.Wait(), damaged); err != nil {
			return fmt.Errorf("write offsets of groups: %w", err)
		}
	}
	for _, of := range b.released {
		if err := b.writeGroup(ctx, of); err != nil {
			return fmt.Errorf("write offsets of groups: %w", err)
		}
	}
	return nil
}

const offsetsAtATime = 1000

// writeGroup sets offsets of one group, of partitions that are there.
func (b *rebuild) writeGroup(ctx context.Context, of metastore.GroupOffsets) error {
	defer b.opts.Progress.step()
	var claimed metastore.GroupRecord
	err := again(ctx, func() (err error) {
		claimed, err = b.meta.ClaimGroup(ctx, of.Group, metastore.AnyNodeID)
		return err
	})
	if err != nil {
		return err
	}
	for rest := of.Offsets; len(rest) > 0; {
		n := min(len(rest), offsetsAtATime)
		if err := again(ctx, func() error { return b.meta.CommitOffsets(ctx, of.Group, claimed.Epoch, rest[:n]) }); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// append makes the entry the first of the log. Whether it is after an error is for the log to say.
func (b *rebuild) append(ctx context.Context, entry metastore.Entry) error {
	for failures := 1; ; failures++ {
		err := b.meta.Append(ctx, metastore.Position{}, entry)
		if err == nil {
			return nil
		}
		_, holds := b.meta.Read(ctx, entry.Position, 1)
		switch {
		case holds == nil || errors.Is(holds, metastore.ErrTrimmed):
			return nil
		case errors.Is(err, metastore.ErrConflict) && errors.Is(holds, metastore.ErrRegressed):
			return fmt.Errorf("%w: somebody else has appended to its log", ErrNotEmpty)
		case failures >= attempts || patient.Pause(ctx, failures) != nil:
			return fmt.Errorf("append the state: %w", err)
		}
	}
}

// again makes a call to a store that fails a few times.
func again(ctx context.Context, call func() error) error {
	for failures := 1; ; failures++ {
		err := call()
		if err == nil || failures >= attempts || errors.Is(err, metastore.ErrFenced) || patient.Pause(ctx, failures) != nil {
			return err
		}
	}
}

func gone(err error) bool {
	return errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange)
}
