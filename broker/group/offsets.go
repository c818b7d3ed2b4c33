package group

import (
	"context"
	"fmt"
	"unicode/utf16"

	"github.com/runnel-io/runnel/metastore"
)

// CommitOffsets makes the offsets durable, all in one write, except those whose metadata is too large: outcomes says
// which. A group id may be empty here.
func (c *Coordinator) CommitOffsets(ctx context.Context, req CommitRequest) (outcomes []error, err error) {
	if !validGroupID(req.GroupID) {
		return nil, ErrInvalidGroupID
	}
	a, err := c.admit(ctx, req, false, func(m groupMachine) error { return m.commit(c.opts.Now(), req) })
	if err != nil {
		return nil, err
	}
	defer a.end()
	if a.write == nil {
		return a.outcomes, nil
	}
	if err := c.writeOffsets(ctx, a.group, a.write, "commit offsets"); err != nil {
		return nil, err
	}
	return a.outcomes, nil
}

// admitted is a commit that its group has let through. end is called when the offsets are written, or will not be.
type admitted struct {
	group    *loaded
	epoch    metastore.GroupEpoch
	offsets  []metastore.CommittedOffset // those to be kept
	outcomes []error                     // of all that were asked for
	write    *offsetWrite                // in the group's line; nil if no offset is to be kept
	end      func()
}

// admit lets the group's machine judge a commit, and puts it in line; one that is held for a transaction takes its place without
// its offsets. A client outside of group management makes the group if there is none.
func (c *Coordinator) admit(ctx context.Context, req CommitRequest, held bool, judge func(groupMachine) error) (a admitted, err error) {
	a.offsets, a.outcomes = c.committed(req.Offsets)
	var refused error
	a.group, err = c.with(ctx, req.GroupID, req.Generation < 0, func(g *loaded) {
		a.offsets, refused = permit(judge(g.machine), req.Offsets, a.offsets, a.outcomes)
		if refused == nil {
			a.epoch, a.end = g.epoch, g.begin()
			if len(a.offsets) > 0 {
				a.write = new(offsetWrite)
				if !held {
					a.write.set = a.offsets
				}
				g.enqueue(a.write)
			}
		}
	})
	if err == nil {
		err = refused
	}
	return a, err
}

// committed returns the offsets that can be kept, and an outcome for each that was asked for.
func (c *Coordinator) committed(asked []CommitOffset) ([]metastore.CommittedOffset, []error) {
	now := c.opts.Clock()
	outcomes := make([]error, len(asked))
	offsets := make([]metastore.CommittedOffset, 0, len(asked))
	for i, o := range asked {
		if utf16Length(o.Metadata) > c.opts.OffsetMetadataMaxBytes {
			outcomes[i] = ErrOffsetMetadataTooLarge
			continue
		}
		offsets = append(offsets, metastore.CommittedOffset{
			TopicPartition: o.TopicPartition, TopicName: o.TopicName,
			Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata, CommittedAt: now,
		})
	}
	return offsets, outcomes
}

// utf16Length is how long Java says that a string is, which is what Kafka compares with the setting.
func utf16Length(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// FetchOffsets returns the committed offsets among the partitions, or all of the group if partitions is nil. A group that
// does not exist has none. It claims nothing.
func (c *Coordinator) FetchOffsets(ctx context.Context, groupID string, partitions []metastore.TopicPartition) ([]metastore.CommittedOffset, error) {
	switch {
	case !validGroupID(groupID):
		return nil, ErrInvalidGroupID
	case !c.serves(groupID):
		return nil, ErrNotCoordinator
	}
	offsets, err := c.groups.FetchOffsets(ctx, groupID, partitions)
	if err != nil {
		return nil, c.readFailed(ctx, fmt.Errorf("fetch offsets of group %q: %w", groupID, err))
	}
	return offsets, nil
}

// PartitionOf names a partition together with its topic's name.
type PartitionOf struct {
	metastore.TopicPartition
	TopicName string
}

// DeleteOffsets forgets committed offsets of the group, except of topics that its members are subscribed to: outcomes says
// which.
func (c *Coordinator) DeleteOffsets(ctx context.Context, groupID string, partitions []PartitionOf) (outcomes []error, err error) {
	if !validGroupID(groupID) {
		return nil, ErrInvalidGroupID
	}
	var refused error
	var w offsetWrite
	end := func() {}
	g, err := c.with(ctx, groupID, false, func(g *loaded) {
		var subscribed func(topic string) bool
		if subscribed, refused = g.machine.subscription(); refused != nil {
			return
		}
		if outcomes, w.remove = removable(partitions, subscribed); len(w.remove) > 0 {
			end = g.begin()
			g.enqueue(&w)
		}
	})
	switch {
	case err != nil:
		return nil, err
	case refused != nil:
		return nil, refused
	}
	defer end()
	if len(w.remove) == 0 {
		return outcomes, nil
	}
	if err := c.writeOffsets(ctx, g, &w, "delete offsets"); err != nil {
		return nil, err
	}
	return outcomes, nil
}

// removable are the partitions of topics that no member is subscribed to. outcomes says which are not.
func removable(partitions []PartitionOf, subscribed func(topic string) bool) (outcomes []error, remove []metastore.TopicPartition) {
	outcomes = make([]error, len(partitions))
	for i, p := range partitions {
		if subscribed(p.TopicName) {
			outcomes[i] = ErrSubscribedToTopic
			continue
		}
		remove = append(remove, p.TopicPartition)
	}
	return outcomes, remove
}
