package witness

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer is one producer, whose records all differ.
type Producer struct {
	w          *Witness
	name       string
	idempotent bool
}

// Producer makes one. The records of one that is idempotent stand once each, and in the order in which they were sent.
func (w *Witness) Producer(name string, idempotent bool) *Producer {
	return &Producer{w: w, name: name, idempotent: idempotent}
}

// Acked takes a record that was acknowledged at its offset; seq grows with each that the producer sends to the partition.
func (p *Producer) Acked(record *kgo.Record, seq int) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	at := Partition{record.Topic, record.Partition}
	known := p.w.partition(at)
	if other, twice := known.acked[record.Offset]; twice {
		p.w.contradict("partition %v, offset %d: acknowledged to producer %s and to producer %s", at, record.Offset, other.producer.name, p.name)
		return
	}
	known.acked[record.Offset] = ack{sum: Sum(record), producer: p, seq: seq}
}

// Conclude compares what was acknowledged with what was read, once all producers are done and readers came to the end.
func (w *Witness) Conclude() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, p := range w.partitions {
		w.concludeAcked(at, p)
		w.concludeStored(at, p)
	}
}

// concludeAcked looks for every record that was acknowledged. Called with mu held.
func (w *Witness) concludeAcked(at Partition, p *partition) {
	bySeq := make(map[*Producer][]int64)
	for offset, a := range p.acked {
		stored, there := p.records[offset]
		if !there {
			w.contradict("partition %v, offset %d: a record of producer %s was acknowledged and is lost", at, offset, a.producer.name)
		} else if stored.sum != a.sum {
			w.contradict("partition %v, offset %d: a record of producer %s was acknowledged, broker %s gave another", at, offset, a.producer.name, stored.broker)
		}
		if a.producer.idempotent {
			bySeq[a.producer] = append(bySeq[a.producer], offset)
		}
	}
	for producer, offsets := range bySeq {
		slices.SortFunc(offsets, func(a, b int64) int { return cmp.Compare(p.acked[a].seq, p.acked[b].seq) })
		for i := 1; i < len(offsets); i++ {
			if offsets[i] < offsets[i-1] {
				w.contradict("partition %v, offset %d: producer %s sent this record after the one at offset %d", at, offsets[i], producer.name, offsets[i-1])
			}
		}
	}
}

// concludeStored looks for records that nobody acknowledged, which only a producer that is not idempotent may leave, as
// repeats of its own. Called with mu held.
func (w *Witness) concludeStored(at Partition, p *partition) {
	bySum := make(map[uint64]int64, len(p.acked))
	for offset, a := range p.acked {
		bySum[a.sum] = offset
	}
	for offset, stored := range p.records {
		if _, acked := p.acked[offset]; acked {
			continue
		}
		first, repeat := bySum[stored.sum]
		switch {
		case !repeat:
			w.contradict("partition %v, offset %d: a record that was never acknowledged", at, offset)
		case p.acked[first].producer.idempotent:
			w.contradict("partition %v, offset %d: a duplicate of the record of producer %s at offset %d", at, offset, p.acked[first].producer.name, first)
		}
	}
}
