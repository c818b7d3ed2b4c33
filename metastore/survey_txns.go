package metastore

import (
	"iter"
	"maps"
	"slices"
)

// StrayTxn is where a partition and the transactional ids disagree on a transaction that is open. The last stable offset
// never gets past one that only the partition has: nothing can end it.
type StrayTxn struct {
	TopicPartition
	Producer ProducerID
	ID       string // of the transactional id that has the producer, "" if there is none
	First    Offset // of its first record by the partition, NoOffset if nothing of it is open there
	ByID     Offset // by the transactional id, NoOffset if it has no record there
}

// StrayTxns yields them by partition.
func (s *Survey) StrayTxns() iter.Seq[StrayTxn] { return s.state.strayTxns() }

func (s *State) strayTxns() iter.Seq[StrayTxn] {
	return func(yield func(StrayTxn) bool) {
		// A producer has one transaction.
		byID := make(map[TopicPartition]map[ProducerID]StrayTxn)
		for n := range s.txns.used {
			t := s.txns.at(n)
			if t.ongoing == nil {
				continue
			}
			for tp, first := range t.ongoing.partitions {
				if first == NoOffset {
					continue
				}
				if byID[tp] == nil {
					byID[tp] = make(map[ProducerID]StrayTxn)
				}
				byID[tp][t.producer] = StrayTxn{tp, t.producer, t.id, NoOffset, first}
			}
		}
		for _, tp := range s.partitionsInOrder() {
			rest := byID[tp]
			for _, open := range s.partition(tp).openTxns() {
				x, ok := rest[open.producer]
				if !ok {
					x = StrayTxn{TopicPartition: tp, Producer: open.producer, ByID: NoOffset}
					if t := s.txns.ofProducer(open.producer); t != nil {
						x.ID = t.id
					}
				}
				delete(rest, open.producer)
				if x.First = open.first; x.First != x.ByID && !yield(x) {
					return
				}
			}
			for _, id := range slices.Sorted(maps.Keys(rest)) {
				if !yield(rest[id]) {
					return
				}
			}
		}
	}
}

func (p *partition) openTxns() []openTxnStart {
	if p.txns == nil {
		return nil
	}
	return p.txns.open
}

func (s *State) partitionsInOrder() []TopicPartition {
	var all []TopicPartition
	for _, t := range s.topics {
		for i := range t.Partitions {
			all = append(all, TopicPartition{t.ID, i})
		}
	}
	slices.SortFunc(all, TopicPartition.compare)
	return all
}
