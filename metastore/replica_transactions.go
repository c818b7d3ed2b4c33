package metastore

import "context"

// Transact decides on requests, in order, each seeing what the ones before it did, and appends one entry for all of them.
// On a nil error every result is durable and folded. After an error the outcome is unknown and Transact may be asked again
// with the same requests: none of them does a second time what it did.
func (r *Replica) Transact(ctx context.Context, requests []TxnRequest) ([]TxnResult, error) {
	panic("to be written")
}

// Transaction finds a transactional id.
func (r *Replica) Transaction(id string) (Transaction, bool) { panic("to be written") }

// Transactions calls visit for every transactional id, in no order, until it returns false. It does not hold up the fold
// for long.
func (r *Replica) Transactions(visit func(*Transaction) bool) { panic("to be written") }

// CommittedRuns returns what Runs does up to the last stable offset, with the aborted transactions that overlap what is
// returned, by their markers' offsets; all of one state. The last run may reach past the last stable offset: the reader
// cuts it between batches.
func (r *Replica) CommittedRuns(tp TopicPartition, from Offset, maxBytes int) (Watermarks, []Run, []AbortedTxn, error) {
	panic("to be written")
}

// PartitionProducers returns the producers that a partition knows, by id; false if there is no such partition.
func (r *Replica) PartitionProducers(tp TopicPartition) ([]PartitionProducer, bool) {
	panic("to be written")
}

// OffsetsPending tells whether an ongoing transaction holds an offset of the group for the partition.
func (r *Replica) OffsetsPending(group string, tp TopicPartition) bool { panic("to be written") }

// GroupPending tells whether an ongoing transaction holds any offset of the group.
func (r *Replica) GroupPending(group string) bool { panic("to be written") }
