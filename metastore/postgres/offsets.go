package postgres

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/metastore"
)

// commitOffsetsSQL holds the group's row against claims until it ends. Many commits may hold it at once.
const commitOffsetsSQL = `
with claim as (
	select group_id from groups where group_id = $1::text and epoch = $2::bigint for share),
put as (
	insert into group_offsets as o
	       (group_id, topic_id, partition, topic_name, committed_offset, leader_epoch, metadata, committed_at)
	select claim.group_id, new.topic_id::uuid, new.partition, new.topic_name, new.committed_offset, new.leader_epoch,
	       new.metadata, new.committed_at
	from claim, unnest($3::text[], $4::integer[], $5::text[], $6::bigint[], $7::integer[], $8::bytea[], $9::timestamptz[])
	     as new(topic_id, partition, topic_name, committed_offset, leader_epoch, metadata, committed_at)
	order by 2, 3
	on conflict (group_id, topic_id, partition) do update
	set topic_name = excluded.topic_name, committed_offset = excluded.committed_offset,
	    leader_epoch = excluded.leader_epoch, metadata = excluded.metadata, committed_at = excluded.committed_at)
select count(*) from claim`

// CommitOffsets implements metastore.Groups.
func (s *Store) CommitOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
	offsets = lastOfEach(offsets)
	args := append([]any{id, int64(epoch)}, offsetColumns(offsets)...)
	return s.underClaim(ctx, "commit offsets of", id, commitOffsetsSQL, args...)
}

// offsetColumns returns offsets as arrays: topic ids, partitions, topic names, offsets, leader epochs, metadata, times.
func offsetColumns(offsets []metastore.CommittedOffset) []any {
	n := len(offsets)
	topics, partitions, names := make([]string, n), make([]int32, n), make([]string, n)
	values, leaderEpochs := make([]int64, n), make([]int32, n)
	metadata, times := make([][]byte, n), make([]time.Time, n)
	for i, o := range offsets {
		topics[i], partitions[i], names[i] = o.Topic.String(), o.Partition, o.TopicName
		values[i], leaderEpochs[i] = int64(o.Offset), o.LeaderEpoch
		metadata[i], times[i] = []byte(o.Metadata), o.CommittedAt
	}
	return []any{topics, partitions, names, values, leaderEpochs, metadata, times}
}

// lastOfEach drops all but the last offset of each partition: a statement can set a row only once.
func lastOfEach(offsets []metastore.CommittedOffset) []metastore.CommittedOffset {
	last := make(map[metastore.TopicPartition]int, len(offsets))
	for i, o := range offsets {
		last[o.TopicPartition] = i
	}
	if len(last) == len(offsets) {
		return offsets
	}
	var kept []metastore.CommittedOffset
	for i, o := range offsets {
		if last[o.TopicPartition] == i {
			kept = append(kept, o)
		}
	}
	return kept
}

// underClaim runs a statement that returns how many rows its claim has found.
func (s *Store) underClaim(ctx context.Context, verb, id, sql string, args ...any) error {
	return s.call(ctx, fmt.Sprintf("%s group %q", verb, id), func(ctx context.Context) error {
		var found int
		if err := s.background.row(ctx, []any{&found}, sql, args...); err != nil {
			return err
		}
		return fencedUnless(found)
	})
}

const (
	fetchAllOffsetsSQL = `
select topic_id, partition, topic_name, committed_offset, leader_epoch, metadata, committed_at
from group_offsets where group_id = $1::text
order by topic_id, partition`
	fetchOffsetsSQL = `
select o.topic_id, o.partition, o.topic_name, o.committed_offset, o.leader_epoch, o.metadata, o.committed_at
from unnest($2::text[], $3::integer[]) as asked(topic_id, partition)
join group_offsets as o
  on o.group_id = $1::text and o.topic_id = asked.topic_id::uuid and o.partition = asked.partition
order by o.topic_id, o.partition`
)

// FetchOffsets implements metastore.Groups.
func (s *Store) FetchOffsets(ctx context.Context, id string, partitions []metastore.TopicPartition) ([]metastore.CommittedOffset, error) {
	sql, args := fetchAllOffsetsSQL, []any{id}
	if partitions != nil {
		topics, numbers := columns(partitions)
		sql, args = fetchOffsetsSQL, []any{id, topics, numbers}
	}
	var found []metastore.CommittedOffset
	err := s.call(ctx, fmt.Sprintf("fetch offsets of group %q", id), func(ctx context.Context) (err error) {
		found, err = collect(ctx, s.background, scanOffset, sql, args...)
		return err
	})
	return found, err
}

func scanOffset(row pgx.CollectableRow) (metastore.CommittedOffset, error) {
	var o metastore.CommittedOffset
	var metadata []byte
	err := row.Scan((*[16]byte)(&o.Topic), &o.Partition, &o.TopicName, &o.Offset, &o.LeaderEpoch, &metadata, &o.CommittedAt)
	o.Metadata = string(metadata)
	return o, err
}

// columns returns the partitions, each once and in order, as arrays.
func columns(partitions []metastore.TopicPartition) (topics []string, numbers []int32) {
	sorted := slices.SortedFunc(slices.Values(partitions), func(a, b metastore.TopicPartition) int {
		return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
	})
	topics, numbers = []string{}, []int32{}
	for _, p := range slices.Compact(sorted) {
		topics, numbers = append(topics, p.Topic.String()), append(numbers, p.Partition)
	}
	return topics, numbers
}

const deleteOffsetsSQL = `
with claim as (
	select group_id from groups where group_id = $1::text and epoch = $2::bigint for share),
doomed as materialized (
	select o.topic_id, o.partition
	from claim, unnest($3::text[], $4::integer[]) as asked(topic_id, partition), group_offsets as o
	where o.group_id = claim.group_id and o.topic_id = asked.topic_id::uuid and o.partition = asked.partition
	order by o.topic_id, o.partition for update of o),
gone as (
	delete from group_offsets as o using doomed
	where o.group_id = $1::text and o.topic_id = doomed.topic_id and o.partition = doomed.partition)
select count(*) from claim`

// DeleteOffsets implements metastore.Groups.
func (s *Store) DeleteOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, partitions []metastore.TopicPartition) error {
	topics, numbers := columns(partitions)
	return s.underClaim(ctx, "delete offsets of", id, deleteOffsetsSQL, id, int64(epoch), topics, numbers)
}

const expireOffsetsSQL = `
with claim as (
	select group_id from groups where group_id = $1::text and epoch = $2::bigint for share),
doomed as materialized (
	select o.topic_id, o.partition from claim, group_offsets as o
	where o.group_id = claim.group_id and o.committed_at <= $3::timestamptz and o.topic_name <> all ($4::text[])
	order by o.topic_id, o.partition for update of o),
gone as (
	delete from group_offsets as o using doomed
	where o.group_id = $1::text and o.topic_id = doomed.topic_id and o.partition = doomed.partition
	returning 1)
select (select count(*) from claim),
       (select count(*) from group_offsets where group_id = $1::text) - (select count(*) from gone)`

// ExpireOffsets implements metastore.Groups.
func (s *Store) ExpireOffsets(ctx context.Context, id string, epoch metastore.GroupEpoch, through time.Time, except []string) (left int, err error) {
	if except == nil {
		except = []string{} // null would be unlike everything
	}
	err = s.call(ctx, fmt.Sprintf("expire offsets of group %q", id), func(ctx context.Context) error {
		var claims int
		if err := s.background.row(ctx, []any{&claims, &left}, expireOffsetsSQL, id, int64(epoch), through, except); err != nil {
			return err
		}
		return fencedUnless(claims)
	})
	return left, err
}

// deleteTopicOffsetsSQL holds no group: what is committed to the topic while it runs may stay.
const deleteTopicOffsetsSQL = `
with doomed as materialized (
	select group_id, partition from group_offsets
	where topic_id = $1::text::uuid
	order by group_id, topic_id, partition for update)
delete from group_offsets as o using doomed
where o.topic_id = $1::text::uuid and o.group_id = doomed.group_id and o.partition = doomed.partition`

// DeleteTopicOffsets implements metastore.Groups.
func (s *Store) DeleteTopicOffsets(ctx context.Context, topic metastore.TopicID) error {
	return s.call(ctx, fmt.Sprintf("delete offsets of topic %s", topic), func(ctx context.Context) error {
		_, err := s.background.exec(ctx, deleteTopicOffsetsSQL, topic.String())
		return err
	})
}
