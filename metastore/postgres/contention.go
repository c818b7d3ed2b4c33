package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/runnel-io/runnel/metastore"
)

// All statements take locks in one order, so that none waits for another that waits for it:
//
//  1. the turn of appends with groups (see appendWithSQL), an advisory lock of the transaction;
//  2. rows of groups, by id;
//  3. the key of the log's next entry;
//  4. rows of group_offsets, by group, topic and partition.
//
// Ids are in the order of bytes (collate "C"), whatever the database's own is. To change or delete a row is to lock it,
// and a plan may come to rows in any order: who deletes several locks them first, in order.
//
// appendWithSQL alone leaves the order: it makes groups once it has the key. Who holds one of those then is in the middle
// of a call of package Groups, and waits for rows of group_offsets at most: for the key wait only appends with groups, of
// which the turn admits one, and others, which hold nothing.
//
// The trim's mark, brokers, leases and snapshots are locked by statements that lock nothing else, several rows in order.

// maxRollbacks bounds how often a call is made that the database gives up for the sake of others. Statements of ours
// are not among those others. A deadlock takes the database a second to find, so this is a matter of seconds.
const maxRollbacks = 5

// again makes a call until it is not rolled back for the sake of another. It is the one place where calls are repeated
// that the database has not done.
func again(ctx context.Context, call func(ctx context.Context) error) error {
	var err error
	for range maxRollbacks {
		if err = call(ctx); !rolledBack(err) {
			return err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("%w: %w", metastore.ErrContended, err)
}

// rolledBack tells whether the database gave up the transaction because of others that ran beside it: a deadlock, or, in
// engines that run all transactions serializably, an order that cannot be. Nothing of it was done.
func rolledBack(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && (failure.Code == "40P01" || failure.Code == "40001")
}
