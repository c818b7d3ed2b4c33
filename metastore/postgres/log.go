package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/metastore"
)

// appendSQL is the compare-and-set: the primary key admits one row after the expected one. Two that insert it at the
// same time: one waits for the other's commit, which no client can delay, and then does nothing. The expected row can
// not have been trimmed, since the newest never is.
const appendSQL = `
insert into commit_log (seq, checksum, payload)
select $1::bigint, $2::bigint, $3::bytea
where exists (select from commit_log where seq = $4::bigint and checksum = $5::bigint)
on conflict (seq) do nothing`

// Append implements metastore.Log.
func (s *Store) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	if next.Seq != expected.Seq+1 {
		return fmt.Errorf("append entry %d after %d: not the next", next.Seq, expected.Seq)
	}
	payload := next.Payload
	if payload == nil {
		payload = []byte{}
	}
	err := s.callWithin(ctx, timeFor(expected.Seq), fmt.Sprintf("append entry %d", next.Seq), func(ctx context.Context) error {
		return s.commit.affects(ctx, metastore.ErrConflict, appendSQL,
			int64(next.Seq), int64(next.Checksum), payload, int64(expected.Seq), int64(expected.Checksum))
	})
	if err == nil {
		s.watch.appended(next.Seq)
	}
	return err
}

// timeFor is how long a call may take that moves the entry after one. The first entry may be as large as a snapshot.
func timeFor(after metastore.Seq) time.Duration {
	if after == 0 {
		return statementTimeout
	}
	return answerTimeout
}

// readSQL begins with the row of the position itself, without its payload, and ends with the size. The first row comes
// whatever its size: it tells whether the position was trimmed.
const readSQL = `
select seq, checksum, case when seq > $1::bigint then payload else '' end
from (select seq, checksum, payload, row_number() over upto as number,
             sum(case when seq > $1::bigint then octet_length(payload) else 0 end) over upto as size
      from (select * from commit_log where seq >= $1::bigint order by seq limit 1000) as rows
      window upto as (order by seq rows unbounded preceding)) as sized
where size <= $2::bigint or number = 1 or seq = $1::bigint + 1
order by seq`

// Read implements metastore.Log. It returns no more than 1000 entries.
func (s *Store) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	var entries []metastore.Entry
	err := s.callWithin(ctx, timeFor(after.Seq), fmt.Sprintf("read after entry %d", after.Seq), func(ctx context.Context) error {
		rows, err := collect(ctx, s.read, scanEntry, readSQL, int64(after.Seq), int64(maxBytes))
		if err == nil {
			entries, err = follow(after, rows)
		}
		return err
	})
	return entries, err
}

func scanEntry(row pgx.CollectableRow) (metastore.Entry, error) {
	var e metastore.Entry
	var seq, checksum int64
	err := row.Scan(&seq, &checksum, &e.Payload)
	e.Position = metastore.Position{Seq: metastore.Seq(seq), Checksum: uint64(checksum)}
	return e, err
}

// follow checks that rows, those of the log from after on, continue it, and returns the ones behind it.
func follow(after metastore.Position, rows []metastore.Entry) ([]metastore.Entry, error) {
	switch {
	case len(rows) == 0:
		return nil, metastore.ErrRegressed
	case rows[0].Seq == after.Seq:
		if rows[0].Checksum != after.Checksum {
			return nil, metastore.ErrRegressed
		}
		rows = rows[1:]
	case rows[0].Seq > after.Seq+1:
		return nil, fmt.Errorf("oldest is %d: %w", rows[0].Seq, metastore.ErrTrimmed)
	case after.Next(rows[0].Payload).Checksum != rows[0].Checksum:
		// The row of after was the last to be trimmed, but what follows chains to it.
		return nil, metastore.ErrRegressed
	}
	for i, e := range rows {
		if want := after.Seq + 1 + metastore.Seq(i); e.Seq != want {
			return nil, fmt.Errorf("entry %d is missing: %w", want, metastore.ErrRegressed)
		}
	}
	return rows, nil
}

const endSQL = `select max(seq) from commit_log`

// End implements metastore.Log.
func (s *Store) End(ctx context.Context) (metastore.Seq, error) {
	var seq int64
	err := s.callWithin(ctx, lookTimeout, "look for news", func(ctx context.Context) error {
		return s.read.row(ctx, []any{&seq}, endSQL)
	})
	return metastore.Seq(seq), err
}

// Wait implements metastore.Log. It looks at the end of the log every Options.PollInterval, once for all that wait.
func (s *Store) Wait(ctx context.Context, after metastore.Seq) error {
	return s.watch.wait(ctx, after)
}

// saveSnapshotSQL leaves only the newest. Brokers that save at the same time may leave both, until the next. It tells
// whether the log holds the position, or may have: behind a newer snapshot it can be trimmed.
const saveSnapshotSQL = `
with known as (
	select from commit_log where seq = $1::bigint and checksum = $2::bigint),
newer as (
	select from snapshots where seq >= $1::bigint limit 1),
saved as (
	insert into snapshots (seq, checksum, state)
	select $1::bigint, $2::bigint, $3::bytea
	from known
	where not exists (select from newer)
	on conflict (seq) do nothing
	returning seq),
doomed as materialized (
	select seq from snapshots where seq < (select seq from saved) order by seq for update),
older as (
	delete from snapshots as s using doomed where s.seq = doomed.seq)
select exists (select from known) or exists (select from newer)`

// SaveSnapshot implements metastore.Log.
func (s *Store) SaveSnapshot(ctx context.Context, snap metastore.Snapshot) error {
	state := snap.State
	if state == nil {
		state = []byte{}
	}
	return s.call(ctx, fmt.Sprintf("save snapshot at %d", snap.Seq), func(ctx context.Context) error {
		var held bool
		err := s.background.row(ctx, []any{&held}, saveSnapshotSQL, int64(snap.Seq), int64(snap.Checksum), state)
		if err == nil && !held {
			err = metastore.ErrRegressed
		}
		return err
	})
}

const latestSnapshotSQL = `select seq, checksum, state from snapshots order by seq desc limit 1`

// LatestSnapshot implements metastore.Log.
func (s *Store) LatestSnapshot(ctx context.Context) (metastore.Snapshot, error) {
	var snap metastore.Snapshot
	err := s.call(ctx, "read latest snapshot", func(ctx context.Context) error {
		var seq, checksum int64
		err := s.read.row(ctx, []any{&seq, &checksum, &snap.State}, latestSnapshotSQL)
		if errors.Is(err, pgx.ErrNoRows) {
			return metastore.ErrNoSnapshot
		}
		snap.Position = metastore.Position{Seq: metastore.Seq(seq), Checksum: uint64(checksum)}
		return err
	})
	return snap, err
}

// trimSQL moves the mark by at most $2, and deletes that many below the mark. So it reads no more than those, however
// many that were trimmed before a long transaction keeps in the index. Two at the same time: one waits for the other's
// mark and goes on from there. It takes the genesis row along with entry 1, and does not count it.
const trimSQL = `
with bounds as (
	select least($1::bigint - 1,
	             coalesce((select max(seq) from snapshots), 0),
	             (select max(seq) from commit_log) - 1) as through),
moved as (
	update meta
	set trimmed_through = least(trimmed_through + $2::bigint, (select through from bounds))
	where trimmed_through < (select through from bounds)
	returning trimmed_through as mark),
gone as (
	delete from commit_log
	where seq >= (select mark - $2::bigint from moved) and seq <= (select mark from moved)
	returning seq)
select (select count(*) from gone where seq > 0), exists (select from moved)`

// Trim implements metastore.Log.
func (s *Store) Trim(ctx context.Context, before metastore.Seq, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	trimmed, moved := 0, true
	err := s.call(ctx, fmt.Sprintf("trim log before %d", before), func(ctx context.Context) (err error) {
		// A broker that knows of no mark, and goes on while others are replaced, leaves it behind.
		for trimmed == 0 && moved && err == nil {
			err = s.background.row(ctx, []any{&trimmed, &moved}, trimSQL, int64(before), int64(limit))
		}
		return err
	})
	return trimmed, err
}
