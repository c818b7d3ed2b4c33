package postgres

import (
	"context"
	"fmt"

	"github.com/runnel-io/runnel/metastore"
)

// appendWithSQL is appendSQL together with rows of groups. In the order in which its parts depend on each other:
//
//  1. turn lets one such statement in at a time. Only one of them could append anyway.
//  2. held locks the groups that exist, claimed or to be written, against claims and deletion, as CommitOffsets does.
//  3. fenced are the claims that are not the latest. A claim that was under way when held came for its row is seen, since
//     the row is read anew once it is locked.
//  4. entry is the compare-and-set, unless a claim is fenced.
//  5. made and put write rows if the entry was. A group that another makes at the same time is locked by the update that
//     changes nothing, or it could be deleted before its offsets are there.
//
// The groups that are not there yet can only be locked once it is certain that they are to be made, after the entry. That
// is what turn is for. Without it: (1) an append finds no group and takes the entry's key; (2) the group is claimed;
// (3) another append holds the group and waits for the key; (4) the first comes to the group and waits for the second.
// To make the groups before the entry, and to unmake them if it conflicts, would cost each conflict the writes.
const appendWithSQL = `
with turn as materialized (
	select pg_advisory_xact_lock(1383427694, 'commit_log'::regclass::oid::integer)),
held as materialized (
	select group_id, epoch from groups
	where (group_id = any($6::text[]) or group_id = any($8::text[])) and (select count(*) from turn) > 0
	order by group_id for share),
fenced as materialized (
	select claim.group_id, claim.epoch
	from unnest($6::text[], $7::bigint[]) as claim(group_id, epoch)
	where not exists (select from held where held.group_id = claim.group_id and held.epoch = claim.epoch)),
entry as (
	insert into commit_log (seq, checksum, payload)
	select $1::bigint, $2::bigint, $3::bytea
	where not exists (select from fenced) and (select count(*) from held) >= 0
	  and exists (select from commit_log where seq = $4::bigint and checksum = $5::bigint)
	on conflict (seq) do nothing
	returning seq),
made as (
	insert into groups (group_id, epoch, coordinator)
	select missing.group_id, nextval('group_epochs'), $9::integer
	from entry, (select distinct group_id collate "C" as group_id from unnest($8::text[]) as asked(group_id)
	             where not exists (select from held where held.group_id = asked.group_id)
	             order by group_id) as missing
	on conflict (group_id) do update set epoch = excluded.epoch where false
	returning group_id),
put as (
	insert into group_offsets as o
	       (group_id, topic_id, partition, topic_name, committed_offset, leader_epoch, metadata, committed_at)
	select new.group_id, new.topic_id::uuid, new.partition, new.topic_name, new.committed_offset, new.leader_epoch,
	       new.metadata, new.committed_at
	from entry, unnest($8::text[], $10::text[], $11::integer[], $12::text[], $13::bigint[], $14::integer[], $15::bytea[], $16::timestamptz[])
	     as new(group_id, topic_id, partition, topic_name, committed_offset, leader_epoch, metadata, committed_at)
	where (select count(*) from made) >= 0
	order by new.group_id collate "C", 2, 3
	on conflict (group_id, topic_id, partition) do update
	set topic_name = excluded.topic_name, committed_offset = excluded.committed_offset,
	    leader_epoch = excluded.leader_epoch, metadata = excluded.metadata, committed_at = excluded.committed_at)
select (select count(*) from entry), array(select group_id from fenced), array(select epoch from fenced)`

// AppendWith implements metastore.Log.
func (s *Store) AppendWith(ctx context.Context, expected metastore.Position, next metastore.Entry, with metastore.GroupChanges) error {
	if next.Seq != expected.Seq+1 {
		return fmt.Errorf("append entry %d after %d: not the next", next.Seq, expected.Seq)
	}
	payload := next.Payload
	if payload == nil {
		payload = []byte{}
	}
	args := []any{int64(next.Seq), int64(next.Checksum), payload, int64(expected.Seq), int64(expected.Checksum)}
	args = append(args, groupColumns(with)...)
	err := s.callWithin(ctx, answerTimeout, fmt.Sprintf("append entry %d with groups", next.Seq), func(ctx context.Context) error {
		var appended int
		var groups []string
		var epochs []int64
		if err := s.commit.row(ctx, []any{&appended, &groups, &epochs}, appendWithSQL, args...); err != nil {
			return err
		}
		if len(groups) > 0 {
			fenced := &metastore.FencedError{}
			for i := range groups {
				fenced.Claims = append(fenced.Claims, metastore.GroupClaim{Group: groups[i], Epoch: metastore.GroupEpoch(epochs[i])})
			}
			return fenced
		}
		if appended == 0 {
			return metastore.ErrConflict
		}
		return nil
	})
	if err == nil {
		s.watch.appended(next.Seq)
	}
	return err
}

// groupColumns returns the parameters from $6 on.
func groupColumns(with metastore.GroupChanges) []any {
	claimed, epochs := make([]string, len(with.Claims)), make([]int64, len(with.Claims))
	for i, c := range with.Claims {
		claimed[i], epochs[i] = c.Group, int64(c.Epoch)
	}
	groups, offsets := []string{}, []metastore.CommittedOffset{}
	for _, of := range with.Offsets {
		for _, o := range lastOfEach(of.Offsets) {
			groups, offsets = append(groups, of.Group), append(offsets, o)
		}
	}
	return append([]any{claimed, epochs, groups, int32(metastore.AnyNodeID)}, offsetColumns(offsets)...)
}
