package metastore

import (
	"math"

	"github.com/runnel-io/runnel/planted"
)

// endOfOffsets is the highest offset that may follow a record. There is room behind it for a marker of every transaction
// that may be open in a partition.
const endOfOffsets = math.MaxInt64 - maxTransactionalIDs

// judge decides on a batch that has a producer, or claims to be of a transaction. What the transactional id says comes
// first: nothing of a producer that it does not have is looked at, so a batch of a transaction that ended is refused
// although the partition may still remember it.
func (d *commitDecision) judge(tp TopicPartition, from *producer, b *BatchCommit) (Verdict, Offset) {
	if b.Transactional {
		if verdict := d.judgeTransaction(tp, from, b); verdict != Accepted {
			return verdict, NoOffset
		}
	}
	verdict, first := from.judge(b)
	if planted.Is(planted.SequencesUnchecked) {
		verdict, first = Accepted, NoOffset
	}
	if verdict == Accepted && !b.Transactional && from != nil && from.inTxn {
		return InvalidTxnState, NoOffset
	}
	return verdict, first
}

// judgeTransaction tells whether a transactional batch may be written to the partition, as far as its transaction goes.
func (d *commitDecision) judgeTransaction(tp TopicPartition, from *producer, b *BatchCommit) Verdict {
	t := d.state.txns.ofProducer(b.ProducerID)
	switch {
	case t == nil:
		return UnknownTxnProducer
	case b.ProducerEpoch != t.epoch, b.ProducerEpoch > lastEpoch:
		return StaleProducerEpoch
	case from != nil && from.inTxn:
		return Accepted
	}
	added, room := false, true
	if t.ongoing != nil {
		_, added = t.ongoing.partitions[tp]
		room = len(t.ongoing.partitions) < maxTxnPartitions
	}
	switch {
	case !added && !(b.Implicit && room):
		return InvalidTxnState
	case from == nil && b.Implicit && b.BaseSequence != 0:
		// With KIP-890 every transaction begins at 0, so what comes before is missing.
		return OutOfOrderSequence
	}
	return Accepted
}
