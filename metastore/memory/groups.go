package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// ClaimGroup implements metastore.Groups.
func (s *Store) ClaimGroup(ctx context.Context, id string, owner metastore.NodeID) (metastore.GroupRecord, error) {
	var claimed metastore.GroupRecord
	err := s.update(ctx, func(time.Time) (change, error) {
		if g := s.state.groups[id]; g != nil {
			claimed = g.GroupRecord
		}
		claimed.GroupID, claimed.Epoch, claimed.Coordinator = id, s.state.groupEpoch+1, owner
		return &groupClaim{id, claimed.Epoch, owner}, nil
	})
	if err != nil {
		return metastore.GroupRecord{}, err
	}
	claimed.State = bytes.Clone(claimed.State)
	return claimed, nil
}

// ReadGroup implements metastore.Groups.
func (s *Store) ReadGroup(ctx context.Context, id string) (metastore.GroupRecord, error) {
	var found metastore.GroupRecord
	err := s.view(ctx, func(time.Time) error {
		g := s.state.groups[id]
		if g == nil {
			return fmt.Errorf("read group %q: %w", id, metastore.ErrGroupNotFound)
		}
		found = g.GroupRecord
		return nil
	})
	if err != nil {
		return metastore.GroupRecord{}, err
	}
	found.State = bytes.Clone(found.State)
	return found, nil
}

// WriteGroup implements metastore.Groups.
func (s *Store) WriteGroup(ctx context.Context, g metastore.GroupRecord) error {
	if err := checkSize(len(g.State)); err != nil {
		return fmt.Errorf("write group %q: %w", g.GroupID, err)
	}
	g.State = bytes.Clone(g.State)
	return s.update(ctx, func(now time.Time) (change, error) {
		g.WrittenAt = now
		return s.claimed("write", g.GroupID, g.Epoch, &groupDatedWrite{g})
	})
}

// DeleteGroup implements metastore.Groups.
func (s *Store) DeleteGroup(ctx context.Context, id string, epoch metastore.GroupEpoch) error {
	return s.updateGroup(ctx, "delete", id, epoch, &groupDelete{id})
}

// updateGroup makes the change if the claim still stands.
func (s *Store) updateGroup(ctx context.Context, verb, id string, epoch metastore.GroupEpoch, c change) error {
	return s.update(ctx, func(time.Time) (change, error) { return s.claimed(verb, id, epoch, c) })
}

// claimed returns the change if the claim still stands.
func (s *Store) claimed(verb, id string, epoch metastore.GroupEpoch, c change) (change, error) {
	if g := s.state.groups[id]; g == nil || g.Epoch != epoch {
		return nil, fmt.Errorf("%s group %q: %w", verb, id, metastore.ErrFenced)
	}
	return c, nil
}

// ListGroups implements metastore.Groups.
func (s *Store) ListGroups(ctx context.Context) ([]metastore.GroupRecord, error) {
	var all []metastore.GroupRecord
	err := s.view(ctx, func(time.Time) error {
		for _, id := range slices.Sorted(maps.Keys(s.state.groups)) {
			g := s.state.groups[id].GroupRecord
			g.State = nil
			all = append(all, g)
		}
		return nil
	})
	return all, err
}

// CommitOffsets implements metastore.Groups.
func (s *Store) CommitOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
	return s.updateGroup(ctx, "commit offsets of", id, epoch, &offsetsCommit{id, slices.Clone(offsets)})
}

// FetchOffsets implements metastore.Groups.
func (s *Store) FetchOffsets(ctx context.Context, id string, partitions []metastore.TopicPartition) ([]metastore.CommittedOffset, error) {
	var found []metastore.CommittedOffset
	err := s.view(ctx, func(time.Time) error {
		g := s.state.groups[id]
		if g == nil {
			return nil
		}
		if partitions == nil {
			found = g.sortedOffsets()
			return nil
		}
		for _, p := range sortedPartitions(partitions) {
			if o, ok := g.offsets[p]; ok {
				found = append(found, o)
			}
		}
		return nil
	})
	return found, err
}

// DeleteOffsets implements metastore.Groups.
func (s *Store) DeleteOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, partitions []metastore.TopicPartition) error {
	return s.updateGroup(ctx, "delete offsets of", id, epoch, &offsetsDelete{id, slices.Clone(partitions)})
}

// ExpireOffsets implements metastore.Groups.
func (s *Store) ExpireOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, through time.Time, except []string) (left int, err error) {
	err = s.update(ctx, func(time.Time) (change, error) {
		var old []metastore.TopicPartition
		if g := s.state.groups[id]; g != nil {
			for _, o := range g.sortedOffsets() {
				if !o.CommittedAt.After(through) && !slices.Contains(except, o.TopicName) {
					old = append(old, o.TopicPartition)
				}
			}
			left = len(g.offsets) - len(old)
		}
		if old == nil { // nothing to write, but the claim counts
			_, err := s.claimed("expire offsets of", id, epoch, nil)
			return nil, err
		}
		return s.claimed("expire offsets of", id, epoch, &offsetsDelete{id, old})
	})
	return left, err
}

// GroupAges implements metastore.Groups.
func (s *Store) GroupAges(ctx context.Context, from string, limit int) ([]metastore.GroupAge, error) {
	var ages []metastore.GroupAge
	err := s.view(ctx, func(time.Time) error {
		var ids []string
		for id := range s.state.groups {
			if id >= from {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		for _, id := range ids[:min(limit, len(ids))] {
			g := s.state.groups[id]
			age := metastore.GroupAge{GroupID: id, ProtocolType: g.ProtocolType, StateName: g.StateName, WrittenAt: g.WrittenAt}
			for _, o := range g.offsets {
				if age.OldestCommit.IsZero() || o.CommittedAt.Before(age.OldestCommit) {
					age.OldestCommit = o.CommittedAt
				}
			}
			ages = append(ages, age)
		}
		return nil
	})
	return ages, err
}

// DeleteTopicOffsets implements metastore.Groups.
func (s *Store) DeleteTopicOffsets(ctx context.Context, topic metastore.TopicID) error {
	return s.update(ctx, func(time.Time) (change, error) { return &topicOffsetsDelete{topic}, nil })
}

// sortedPartitions returns the partitions in order, each once.
func sortedPartitions(partitions []metastore.TopicPartition) []metastore.TopicPartition {
	sorted := slices.SortedFunc(slices.Values(partitions), comparePartitions)
	return slices.Compact(sorted)
}
