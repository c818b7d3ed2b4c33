package metastore

import "math"

// rememberedBatches is how many batches of a producer and partition can be recognised when they come again, as in
// Kafka (max.in.flight.requests.per.connection of an idempotent producer is at most 5).
const rememberedBatches = 5

// producer is what a partition knows of one idempotent producer: its epoch and its latest batches, oldest first.
type producer struct {
	epoch    ProducerEpoch
	count    uint8
	inTxn    bool  // its ongoing transaction has records in the partition; decisions alone say so
	lastSeen int64 // ms, of the entry
	batches  [rememberedBatches]producerBatch
}

type producerBatch struct {
	first, last int32 // sequences, both in the batch
	offset      Offset
}

// nextSequence follows seq, wrapping from 2^31-1 to 0.
func nextSequence(seq int32) int32 {
	if seq == math.MaxInt32 {
		return 0
	}
	return seq + 1
}

// lastSequence is that of the last record of a batch.
func lastSequence(first, records int32) int32 {
	return int32((int64(first) + int64(records) - 1) & math.MaxInt32)
}

// judge decides on a batch of an idempotent producer as Kafka's ProducerAppendInfo does. A producer that the partition
// does not know may begin at any sequence (KIP-360), unless its beginning was lost; one that is known by a marker alone
// begins at 0. The offset is that of the first copy if the verdict is Duplicate.
func (p *producer) judge(b *BatchCommit) (Verdict, Offset) {
	if p == nil {
		if b.AfterLoss {
			return OutOfOrderSequence, NoOffset
		}
		return Accepted, NoOffset
	}
	if b.ProducerEpoch < p.epoch {
		return StaleProducerEpoch, NoOffset
	}
	if b.ProducerEpoch > p.epoch {
		if b.BaseSequence != 0 {
			return OutOfOrderSequence, NoOffset
		}
		return Accepted, NoOffset
	}
	last := lastSequence(b.BaseSequence, b.Records)
	for _, old := range p.batches[:p.count] {
		if old.first == b.BaseSequence && old.last == last {
			return Duplicate, old.offset
		}
	}
	next := int32(0)
	if p.count > 0 {
		next = nextSequence(p.batches[p.count-1].last)
	}
	if next != b.BaseSequence {
		return OutOfOrderSequence, NoOffset
	}
	return Accepted, NoOffset
}

// marked notes a marker that ends the producer's transaction: its epoch fences all below.
func (p *producer) marked(epoch ProducerEpoch, at int64) {
	if epoch > p.epoch {
		p.epoch, p.count = epoch, 0
	}
	p.lastSeen = at
}

// accepted remembers an accepted batch.
func (p *producer) accepted(epoch ProducerEpoch, baseSequence, records int32, offset Offset, at int64) {
	if epoch != p.epoch {
		p.epoch, p.count = epoch, 0
	}
	if p.count == rememberedBatches {
		copy(p.batches[:], p.batches[1:])
		p.count--
	}
	p.batches[p.count] = producerBatch{baseSequence, lastSequence(baseSequence, records), offset}
	p.count++
	p.lastSeen = at
}
