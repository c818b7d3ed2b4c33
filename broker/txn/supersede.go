package txn

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/metastore"
)

// Holders tells which ongoing transactions hold offsets; metastore.Replica knows.
type Holders interface {
	OffsetHolders(group string, offsets []metastore.CommittedOffset) []metastore.OffsetHolder
}

// mostLooks is how often it is tried to have a transaction hold other offsets that is given some at the same time.
const mostLooks = 5

// Supersede returns what group.Options.Supersede is to be. As in Kafka the offset counts that was committed last, in a transaction
// or not: one that is held must not replace, when its transaction is committed, what was committed beside it since, such as by
// an administrator. So the transaction is given the newer offset, too; if it is aborted nothing is lost.
func Supersede(states Holders, log Decider) func(ctx context.Context, group string, claim metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
	return func(ctx context.Context, group string, claim metastore.GroupEpoch, offsets []metastore.CommittedOffset) error {
		for range mostLooks {
			holders := states.OffsetHolders(group, offsets)
			if len(holders) == 0 {
				return nil
			}
			again, err := supersede(ctx, log, group, claim, holders)
			if err != nil || !again {
				return err
			}
		}
		return fmt.Errorf("transactions that hold offsets of group %q: %w", group, metastore.ErrTxnMoved)
	}
}

// supersede tells whether a transaction was another, or got other offsets, when that was decided.
func supersede(ctx context.Context, log Decider, group string, claim metastore.GroupEpoch, holders []metastore.OffsetHolder) (again bool, err error) {
	requests := make([]metastore.TxnRequest, len(holders))
	for i := range holders {
		h := &holders[i]
		requests[i] = metastore.CommitTxnOffsets{
			ID: h.ID, Producer: h.Producer, Epoch: h.Epoch, Group: group, Claim: claim, Offsets: h.Offsets, Number: h.Number, AsOf: h.AsOf,
		}
	}
	results, err := log.Transact(ctx, requests)
	if err != nil {
		return false, err
	}
	for _, r := range results {
		switch {
		case errors.Is(r.Err, metastore.ErrFenced):
			return false, r.Err
		case errors.Is(r.Err, metastore.ErrTxnTooLarge): // it keeps what it holds: better than to refuse what is no part of it
		case r.Err != nil:
			again = true
		}
	}
	return again, nil
}
