package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/metastore"
)

// holdLeaseSQL writes only if the lease, as the statement's snapshot has it, is the caller's or free: the insert would
// take the lock of a row that is there, whatever its condition says. It returns one row: the lease as written, or as
// somebody else holds it. No row comes back if another took the lease after the snapshot was taken; what the snapshot
// says is then wrong, and may even name the caller, whose lease ran out.
const holdLeaseSQL = `
with held as (
	select holder, holder_epoch, epoch,
	       lease_until > now() and (holder <> $2::integer or holder_epoch > $3::bigint) as others
	from leases where name = $1::text),
written as (
	insert into leases as l (name, holder, holder_epoch, epoch, taken_at, lease_until)
	select $1::text, $2::integer, $3::bigint, 1, now(), now() + $4::bigint * interval '1 microsecond'
	where not exists (select from held where others)
	on conflict (name) do update
	set holder = excluded.holder, holder_epoch = excluded.holder_epoch, lease_until = excluded.lease_until,
	    epoch = case when l.holder = excluded.holder and l.holder_epoch = excluded.holder_epoch and l.lease_until is not null
	            then l.epoch else l.epoch + 1 end,
	    taken_at = case when l.holder = excluded.holder and l.holder_epoch = excluded.holder_epoch and l.lease_until is not null
	               then l.taken_at else excluded.taken_at end
	where l.lease_until is null or l.lease_until <= now()
	   or (l.holder = excluded.holder and l.holder_epoch <= excluded.holder_epoch)
	returning holder, holder_epoch, epoch)
select holder, holder_epoch, epoch from written
union all
select holder, holder_epoch, epoch from held where others`

// maxHoldAttempts bounds the races for a free lease. Who loses one finds another's lease, unless that is over already.
const maxHoldAttempts = 10

// HoldLease implements metastore.Leases.
func (s *Store) HoldLease(ctx context.Context, name string, holder metastore.NodeID, holderEpoch int64, length time.Duration) (metastore.Lease, error) {
	l := metastore.Lease{Name: name}
	err := s.call(ctx, fmt.Sprintf("hold lease %q", name), func(ctx context.Context) (err error) {
		for range maxHoldAttempts {
			err = s.background.row(ctx, []any{&l.Holder, &l.HolderEpoch, &l.Epoch}, holdLeaseSQL,
				name, int32(holder), holderEpoch, length.Microseconds())
			if !errors.Is(err, pgx.ErrNoRows) {
				break
			}
		}
		return err
	})
	if err != nil {
		return metastore.Lease{}, err
	}
	return l, nil
}

const releaseLeaseSQL = `
update leases set lease_until = null
where name = $1::text and holder = $2::integer and holder_epoch = $3::bigint and lease_until is not null`

// ReleaseLease implements metastore.Leases.
func (s *Store) ReleaseLease(ctx context.Context, name string, holder metastore.NodeID, holderEpoch int64) error {
	return s.call(ctx, fmt.Sprintf("release lease %q", name), func(ctx context.Context) error {
		return s.background.affects(ctx, nil, releaseLeaseSQL, name, int32(holder), holderEpoch)
	})
}
