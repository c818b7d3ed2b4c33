package broker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/metastore"
)

// Transactions decides what producers with transactional ids ask for. Results are in the order of the requests, and durable
// and visible in TransactionStates when it returns them. After an error the outcome is unknown.
type Transactions interface {
	Transact(ctx context.Context, requests []metastore.TxnRequest) ([]metastore.TxnResult, error)
}

// TransactionStates is what transactional ids are doing, as of the last commit that the broker knows of. No method waits.
type TransactionStates interface {
	Transaction(id string) (metastore.Transaction, bool)
	// TransactionHead is without the lists of partitions and groups: every request of a producer needs it.
	TransactionHead(id string) (metastore.Transaction, bool)
	// TransactionalIDs is how many there are.
	TransactionalIDs() int
	// Transactions calls visit, which must not keep what it is shown, for every transactional id until it returns false.
	Transactions(visit func(*metastore.Transaction) bool)
	// OffsetsPending tells whether an ongoing transaction holds an offset of the group for the partition.
	OffsetsPending(group string, tp metastore.TopicPartition) bool
}

const (
	// txnWait bounds a request to the coordinator of a transactional id.
	txnWait = 20 * time.Second
	// mostLooks is how often a request is decided when it turns out that the broker had not heard of the end of the
	// transaction before.
	mostLooks = 5
	// longestAsked is for how long a request that came too late is decided anew. A producer that waits longer is told to ask
	// again: one that asked again by itself, when its time-out had passed, may have closed a connection over which nothing
	// comes any more.
	longestAsked = 5 * time.Second
)

// transact has a request decided. Every broker can: the order of the log is what counts, and FindCoordinator names one
// broker for each transactional id only so that the others need not hear of it in time.
//
// ask makes the request for the transactional id as this broker knows it now, without lists (the zero Transaction if it
// does not), above all with the number of the transaction that is meant. A request that is under way for long, or twice, is
// refused when that transaction has ended meanwhile (KAFKA-17754), however it was ended:
//
//  1. a producer asks to commit transaction 7; the broker is paused;
//  2. the producer gives up, asks another broker, is answered, and begins transaction 8 at the same epoch (TV1);
//  3. the broker goes on, with number 7: refused, where it would have committed half of transaction 8.
//
// The broker may also have been told of the end of 7 too late, and then a producer that is well waits for an answer. It is
// decided anew for number 8 as long as the connection is there, and for no longer than longestAsked. The look at the log before
// that takes longer than it takes to notice that the connection was closed. Ends at TV1 are not decided anew, see end: there the producer asks
// again.
func (b *Broker) transact(ctx context.Context, id string, ask func(t metastore.Transaction) (metastore.TxnRequest, error)) (metastore.TxnResult, error) {
	if b.Membership.Elsewhere() {
		return metastore.TxnResult{}, errTxnElsewhere
	}
	asked := time.Now()
	for looks := 1; ; looks++ {
		known, _ := b.States.TransactionHead(id)
		req, err := ask(known)
		if err != nil {
			return metastore.TxnResult{}, err
		}
		results, err := b.Transactions.Transact(ctx, []metastore.TxnRequest{req})
		switch {
		case err != nil:
			if ctx.Err() == nil {
				b.Logger.Warn("request of a transactional producer was not decided", "transactional_id", id, "error", err)
			}
			return metastore.TxnResult{}, err
		case !errors.Is(results[0].Err, metastore.ErrTxnMoved) || looks == mostLooks:
			return results[0], results[0].Err
		case time.Since(asked) > longestAsked:
			return metastore.TxnResult{}, errTxnLate
		case !b.refreshed(ctx) || ctx.Err() != nil:
			return metastore.TxnResult{}, errLogAway
		}
	}
}

var (
	errTxnElsewhere = refuse(kerr.NotCoordinator, "this broker has handed its transactional ids over")
	errTxnLate      = refuse(kerr.CoordinatorNotAvailable, "the transaction changed while the request was under way")
	errLogAway      = refuse(kerr.CoordinatorNotAvailable, "the commit log cannot be read")
	errNoTxnID      = refuse(kerr.InvalidRequest, "the transactional id is empty")
)

// withFresh asks with a producer id that nobody had before, if one is needed, which is known for certain only when the
// request is decided.
func (b *Broker) withFresh(ctx context.Context, id string, likely func(t metastore.Transaction) bool, ask func(t metastore.Transaction, fresh metastore.ProducerID) (metastore.TxnRequest, error)) (metastore.TxnResult, error) {
	fresh := metastore.NoProducerID
	for needed := false; ; needed = true {
		result, err := b.transact(ctx, id, func(t metastore.Transaction) (_ metastore.TxnRequest, err error) {
			if fresh == metastore.NoProducerID && (needed || likely(t)) {
				if fresh, err = b.ProducerIDs.NextProducerID(ctx); err != nil {
					fresh = metastore.NoProducerID
					return nil, err
				}
			}
			return ask(t, fresh)
		})
		if needed || !errors.Is(err, metastore.ErrTxnExhausted) {
			return result, err
		}
	}
}

// lastEpoch is the first at which a producer needs another id, as in Kafka.
const lastEpoch = 32766

func exhausted(t metastore.Transaction) bool { return t.Epoch >= lastEpoch }

// txnCode is the error code of a request of a transactional producer. fenced is what its version calls it that a newer
// producer has the transactional id.
func txnCode(err error, fenced *kerr.Error) int16 {
	if errors.Is(err, metastore.ErrTxnFenced) {
		return fenced.Code
	}
	return groupCode(err)
}

// fencedSince is PRODUCER_FENCED from a version on, and INVALID_PRODUCER_EPOCH before (KIP-588).
func fencedSince(first, version int16) *kerr.Error {
	if version < first {
		return kerr.InvalidProducerEpoch
	}
	return kerr.ProducerFenced
}

// coordinates tells whether this broker is the one that FindCoordinator names for a transactional id.
func (b *Broker) coordinates(id string, live []metastore.Broker) bool {
	owner, _ := cluster.Owner(id, live)
	return owner.NodeID == b.Membership.Self().NodeID
}

// stateNames are Kafka's names of the states that exist here.
var stateNames = map[metastore.TxnState]string{
	metastore.TxnEmpty: "Empty", metastore.TxnOngoing: "Ongoing",
	metastore.TxnCompleteCommit: "CompleteCommit", metastore.TxnCompleteAbort: "CompleteAbort",
}
