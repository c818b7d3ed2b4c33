package fault

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

func ofGroup(op Op, id string) Call {
	c := about(op)
	c.Group = id
	return c
}

// ClaimGroup implements metastore.Groups.
func (s *Store) ClaimGroup(ctx context.Context, id string, owner metastore.NodeID) (metastore.GroupRecord, error) {
	return ask(ctx, s, Call{Op: ClaimGroup, Group: id, NodeID: owner}, func(ctx context.Context) (metastore.GroupRecord, error) {
		return s.inner.ClaimGroup(ctx, id, owner)
	}, nil)
}

// ReadGroup implements metastore.Groups.
func (s *Store) ReadGroup(ctx context.Context, id string) (metastore.GroupRecord, error) {
	return ask(ctx, s, ofGroup(ReadGroup, id), func(ctx context.Context) (metastore.GroupRecord, error) {
		return s.inner.ReadGroup(ctx, id)
	}, nil)
}

// WriteGroup implements metastore.Groups.
func (s *Store) WriteGroup(ctx context.Context, g metastore.GroupRecord) error {
	call := ofGroup(WriteGroup, g.GroupID)
	call.Bytes = len(g.State)
	do := func(g metastore.GroupRecord) func(context.Context) error {
		return func(ctx context.Context) error { return s.inner.WriteGroup(ctx, g) }
	}
	return s.tell(ctx, call, do(g), func() func(context.Context) error {
		mine := g
		mine.State = bytes.Clone(g.State)
		return do(mine)
	})
}

// DeleteGroup implements metastore.Groups.
func (s *Store) DeleteGroup(ctx context.Context, id string, epoch metastore.GroupEpoch) error {
	return s.tell(ctx, ofGroup(DeleteGroup, id), func(ctx context.Context) error {
		return s.inner.DeleteGroup(ctx, id, epoch)
	}, nil)
}

// ListGroups implements metastore.Groups.
func (s *Store) ListGroups(ctx context.Context) ([]metastore.GroupRecord, error) {
	return ask(ctx, s, about(ListGroups), s.inner.ListGroups, nil)
}

// CommitOffsets implements metastore.Groups.
func (s *Store) CommitOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
	do := func(offsets []metastore.CommittedOffset) func(context.Context) error {
		return func(ctx context.Context) error { return s.inner.CommitOffsets(ctx, id, epoch, offsets) }
	}
	return s.tell(ctx, ofGroup(CommitOffsets, id), do(offsets), func() func(context.Context) error {
		return do(slices.Clone(offsets))
	})
}

// FetchOffsets implements metastore.Groups.
func (s *Store) FetchOffsets(ctx context.Context, id string, partitions []metastore.TopicPartition) ([]metastore.CommittedOffset, error) {
	return ask(ctx, s, ofGroup(FetchOffsets, id), func(ctx context.Context) ([]metastore.CommittedOffset, error) {
		return s.inner.FetchOffsets(ctx, id, partitions)
	}, nil)
}

// DeleteOffsets implements metastore.Groups.
func (s *Store) DeleteOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, partitions []metastore.TopicPartition) error {
	do := func(partitions []metastore.TopicPartition) func(context.Context) error {
		return func(ctx context.Context) error { return s.inner.DeleteOffsets(ctx, id, epoch, partitions) }
	}
	return s.tell(ctx, ofGroup(DeleteOffsets, id), do(partitions), func() func(context.Context) error {
		return do(slices.Clone(partitions))
	})
}

// ExpireOffsets implements metastore.Groups.
func (s *Store) ExpireOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, through time.Time, except []string) (int, error) {
	do := func(except []string) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) { return s.inner.ExpireOffsets(ctx, id, epoch, through, except) }
	}
	return ask(ctx, s, ofGroup(ExpireOffsets, id), do(except), func() func(context.Context) (int, error) {
		return do(slices.Clone(except))
	})
}

// GroupAges implements metastore.Groups.
func (s *Store) GroupAges(ctx context.Context, from string, limit int) ([]metastore.GroupAge, error) {
	return ask(ctx, s, about(GroupAges), func(ctx context.Context) ([]metastore.GroupAge, error) {
		return s.inner.GroupAges(ctx, from, limit)
	}, nil)
}

// DeleteTopicOffsets implements metastore.Groups.
func (s *Store) DeleteTopicOffsets(ctx context.Context, topic metastore.TopicID) error {
	return s.tell(ctx, about(DeleteTopicOffsets), func(ctx context.Context) error {
		return s.inner.DeleteTopicOffsets(ctx, topic)
	}, nil)
}
