package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/metastore"
)

// claimSQL takes the epoch of a group that exists after it holds the row's lock, so that epochs grow with the order of
// the claims.
const claimSQL = `
insert into groups (group_id, epoch, coordinator)
values ($1::text, nextval('group_epochs'), $2::integer)
on conflict (group_id) do update
set epoch = nextval('group_epochs'), coordinator = excluded.coordinator, claimed_at = now()
returning group_id, epoch, coordinator, protocol_type, state_name, state, written_at`

// ClaimGroup implements metastore.Groups.
func (s *Store) ClaimGroup(ctx context.Context, id string, owner metastore.NodeID) (metastore.GroupRecord, error) {
	return s.oneGroup(ctx, "claim", id, claimSQL, id, int32(owner))
}

const readGroupSQL = `
select group_id, epoch, coordinator, protocol_type, state_name, state, written_at from groups where group_id = $1::text`

// ReadGroup implements metastore.Groups.
func (s *Store) ReadGroup(ctx context.Context, id string) (metastore.GroupRecord, error) {
	return s.oneGroup(ctx, "read", id, readGroupSQL, id)
}

func (s *Store) oneGroup(ctx context.Context, verb, id, sql string, args ...any) (metastore.GroupRecord, error) {
	var found []metastore.GroupRecord
	err := s.call(ctx, fmt.Sprintf("%s group %q", verb, id), func(ctx context.Context) (err error) {
		found, err = collect(ctx, s.background, scanGroup, sql, args...)
		if err == nil && len(found) == 0 {
			err = metastore.ErrGroupNotFound
		}
		return err
	})
	if err != nil {
		return metastore.GroupRecord{}, err
	}
	return found[0], nil
}

func scanGroup(row pgx.CollectableRow) (metastore.GroupRecord, error) {
	var g metastore.GroupRecord
	var written *time.Time
	err := row.Scan(&g.GroupID, &g.Epoch, &g.Coordinator, &g.ProtocolType, &g.StateName, &g.State, &written)
	g.WrittenAt = orZero(written)
	return g, err
}

// orZero is the time in a column that may be null.
func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

const writeGroupSQL = `
update groups set protocol_type = $3::text, state_name = $4::text, state = $5::bytea, written_at = now()
where group_id = $1::text and epoch = $2::bigint`

// WriteGroup implements metastore.Groups.
func (s *Store) WriteGroup(ctx context.Context, g metastore.GroupRecord) error {
	return s.call(ctx, fmt.Sprintf("write group %q", g.GroupID), func(ctx context.Context) error {
		return s.background.affects(ctx, metastore.ErrFenced, writeGroupSQL,
			g.GroupID, int64(g.Epoch), g.ProtocolType, g.StateName, g.State)
	})
}

// A group is deleted in two statements of one transaction, sent together. With one: (1) a commit of offsets locks the
// group's row; (2) the delete takes its snapshot and waits for the row; (3) the commit ends; (4) the delete removes the
// row, but not the new offsets, which its snapshot does not hold. The second statement's snapshot is younger than the
// lock. It takes the offsets in order although nobody commits meanwhile: their topic may be deleted.
const (
	lockGroupSQL   = `select from groups where group_id = $1::text and epoch = $2::bigint for update`
	deleteGroupSQL = `
with gone as (
	delete from groups where group_id = $1::text and epoch = $2::bigint returning group_id),
doomed as materialized (
	select topic_id, partition from group_offsets
	where group_id = $1::text and exists (select from gone)
	order by topic_id, partition for update),
offsets as (
	delete from group_offsets as o using doomed
	where o.group_id = $1::text and o.topic_id = doomed.topic_id and o.partition = doomed.partition)
select count(*) from gone`
)

// DeleteGroup implements metastore.Groups.
func (s *Store) DeleteGroup(ctx context.Context, id string, epoch metastore.GroupEpoch) error {
	return s.call(ctx, fmt.Sprintf("delete group %q", id), func(ctx context.Context) error {
		var deleted int
		var both pgx.Batch
		both.Queue(lockGroupSQL, id, int64(epoch))
		both.Queue(deleteGroupSQL, id, int64(epoch)).QueryRow(func(row pgx.Row) error { return row.Scan(&deleted) })
		if err := s.background.send(ctx, &both); err != nil {
			return err
		}
		return fencedUnless(deleted)
	})
}

// fencedUnless returns ErrFenced if a statement found no row of the claim.
func fencedUnless(found int) error {
	if found == 0 {
		return metastore.ErrFenced
	}
	return nil
}

const listGroupsSQL = `
select group_id, epoch, coordinator, protocol_type, state_name, null::bytea, written_at from groups order by group_id`

// ListGroups implements metastore.Groups.
func (s *Store) ListGroups(ctx context.Context) ([]metastore.GroupRecord, error) {
	var all []metastore.GroupRecord
	err := s.call(ctx, "list groups", func(ctx context.Context) (err error) {
		all, err = collect(ctx, s.background, scanGroup, listGroupsSQL)
		return err
	})
	return all, err
}

// groupAgesSQL looks up the offsets of each group of the page by the primary key's prefix.
const groupAgesSQL = `
select g.group_id, g.protocol_type, g.state_name, g.written_at,
       (select min(o.committed_at) from group_offsets as o where o.group_id = g.group_id)
from (select group_id, protocol_type, state_name, written_at from groups
      where group_id >= $1::text order by group_id limit $2::integer) as g
order by g.group_id`

// GroupAges implements metastore.Groups.
func (s *Store) GroupAges(ctx context.Context, from string, limit int) ([]metastore.GroupAge, error) {
	var ages []metastore.GroupAge
	err := s.call(ctx, "look at the ages of groups", func(ctx context.Context) (err error) {
		ages, err = collect(ctx, s.background, scanGroupAge, groupAgesSQL, from, int32(limit))
		return err
	})
	return ages, err
}

func scanGroupAge(row pgx.CollectableRow) (metastore.GroupAge, error) {
	var a metastore.GroupAge
	var written, oldest *time.Time
	err := row.Scan(&a.GroupID, &a.ProtocolType, &a.StateName, &written, &oldest)
	a.WrittenAt, a.OldestCommit = orZero(written), orZero(oldest)
	return a, err
}
