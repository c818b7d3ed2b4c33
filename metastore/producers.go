package metastore

import (
	"cmp"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"
)

// knownProducer is a producer in a partition. It names the partition so that one pass over the table finds all that is
// old, wherever it belongs.
type knownProducer struct {
	id        ProducerID // NoProducerID where the number is free
	topic     uint32     // topicState.number
	partition int32
	producer
}

// noProducer is what lies at a free number: never seen, so never the oldest.
var noProducer = knownProducer{id: NoProducerID, producer: producer{lastSeen: math.MaxInt64}}

// producerTable holds the producers of all partitions.
type producerTable struct {
	slab[knownProducer]
	oldest []int64 // by chunk: the least lastSeen in it; views lack it
	count  int     // of those whose topics exist
	seed   [2]uint64
}

func newProducerTable(shared *sharing) producerTable {
	return producerTable{slab: slab[knownProducer]{sharing: shared}, seed: [2]uint64{rand.Uint64(), rand.Uint64() | 1}}
}

func (t *producerTable) view() producerTable {
	return producerTable{slab: t.slab.view(), count: t.count, seed: t.seed}
}

// producerIndex finds the producers of one partition in the table: open addressing with linear probing, the numbers
// plus 1, and 0 for nothing. It has a power of two of places, at most three quarters of them taken.
type producerIndex struct {
	epoch  uint64
	used   int
	places []uint32
}

// place is where the search for an id begins. The seed keeps clients, which choose the ids that they send, from choosing
// some that all begin at one place.
func (t *producerTable) place(x *producerIndex, id ProducerID) int {
	hi, lo := bits.Mul64(uint64(id)^t.seed[0], t.seed[1])
	return int(hi^lo) & (len(x.places) - 1)
}

// find returns the number of a producer. A nil index is empty.
func (t *producerTable) find(x *producerIndex, id ProducerID) (uint32, bool) {
	if x == nil {
		return 0, false
	}
	for i := t.place(x, id); x.places[i] != 0; i = (i + 1) & (len(x.places) - 1) {
		if n := x.places[i] - 1; t.at(n).id == id {
			return n, true
		}
	}
	return 0, false
}

// add makes a producer that was never seen in a partition that does not know it.
func (t *producerTable) add(p *partition, topic uint32, partition int32, id ProducerID) uint32 {
	n := t.take()
	if int(n/slabItems) == len(t.oldest) {
		t.oldest = append(t.oldest, math.MaxInt64)
		fresh := t.chunk(int(n / slabItems))
		for i := range fresh {
			fresh[i] = noProducer
		}
	}
	known := t.change(n)
	*known = noProducer
	known.id, known.topic, known.partition, known.epoch = id, topic, partition, -1
	x := t.ownIndex(p)
	if (x.used+1)*4 > len(x.places)*3 {
		t.resize(x, 2*len(x.places))
	}
	t.put(x, n)
	x.used++
	t.count++
	return n
}

func (t *producerTable) put(x *producerIndex, n uint32) {
	i := t.place(x, t.at(n).id)
	for x.places[i] != 0 {
		i = (i + 1) & (len(x.places) - 1)
	}
	x.places[i] = n + 1
}

// ownIndex returns the partition's index to be written.
func (t *producerTable) ownIndex(p *partition) *producerIndex {
	switch x := p.producers; {
	case x == nil:
		p.producers = &producerIndex{epoch: t.sharing.epoch, places: make([]uint32, 2)}
	case x.epoch < t.sharing.shared:
		p.producers = &producerIndex{epoch: t.sharing.epoch, used: x.used, places: slices.Clone(x.places)}
	}
	return p.producers
}

func (t *producerTable) resize(x *producerIndex, places int) {
	old := x.places
	x.places = make([]uint32, places)
	for _, n := range old {
		if n != 0 {
			t.put(x, n-1)
		}
	}
}

// accepted remembers an accepted batch of a producer.
func (t *producerTable) accepted(n uint32, b *committedBatch, at int64) {
	known := t.change(n)
	was := known.lastSeen
	known.accepted(b.producerEpoch, b.baseSequence, b.records, b.offset, at)
	t.seen(n, was)
}

// marked notes a marker of a producer.
func (t *producerTable) marked(n uint32, epoch ProducerEpoch, at int64) {
	known := t.change(n)
	was := known.lastSeen
	known.marked(epoch, at)
	t.seen(n, was)
}

// seen keeps oldest right after lastSeen of a producer changed.
func (t *producerTable) seen(n uint32, was int64) {
	oldest := &t.oldest[n/slabItems]
	if is := t.at(n).lastSeen; is <= *oldest {
		*oldest = is
	} else if was == *oldest {
		least, items := int64(math.MaxInt64), t.chunk(int(n/slabItems))
		for i := range uint32(slabItems) {
			// Commits go through producers in turn: the next in the chunk was most likely seen as long ago.
			if least = min(least, items[(n+i)%slabItems].lastSeen); least == was {
				return
			}
		}
		*oldest = least
	}
}

// remove forgets a producer of a partition.
func (t *producerTable) remove(p *partition, n uint32) {
	x := t.ownIndex(p)
	mask := len(x.places) - 1
	hole := t.place(x, t.at(n).id)
	for x.places[hole] != n+1 {
		hole = (hole + 1) & mask
	}
	// What follows moves up unless it lies at or after the place where its search begins, and that after the hole.
	for i := (hole + 1) & mask; x.places[i] != 0; i = (i + 1) & mask {
		begin := t.place(x, t.at(x.places[i]-1).id)
		if (i-begin)&mask >= (i-hole)&mask {
			x.places[hole] = x.places[i]
			hole = i
		}
	}
	x.places[hole] = 0
	if x.used--; x.used == 0 {
		p.producers = nil
	} else if x.used*4 < len(x.places) {
		t.resize(x, len(x.places)/2)
	}
	t.count--
	t.forget(n)
}

// forget frees the number of a producer that no index names any more.
func (t *producerTable) forget(n uint32) {
	known := t.change(n)
	was := known.lastSeen
	*known = noProducer
	t.seen(n, was)
	t.release(n)
}

// leastSeen is the time when the producer that has been silent for longest was seen.
func (t *producerTable) leastSeen() int64 {
	least := int64(math.MaxInt64)
	for _, oldest := range t.oldest {
		least = min(least, oldest)
	}
	return least
}

// producersOf returns what a partition knows of its producers, by id.
func (s *State) producersOf(p *partition) []PartitionProducer {
	if p.producers == nil {
		return nil
	}
	found := make([]PartitionProducer, 0, p.producers.used)
	for _, place := range p.producers.places {
		if place == 0 {
			continue
		}
		known := s.producers.at(place - 1)
		x := PartitionProducer{
			Producer: known.id, Epoch: known.epoch, LastSequence: -1,
			LastSeen: time.UnixMilli(known.lastSeen), TxnStart: p.txns.openAt(known.id),
		}
		if known.count > 0 {
			x.LastSequence = known.batches[known.count-1].last
		}
		found = append(found, x)
	}
	slices.SortFunc(found, func(a, b PartitionProducer) int { return cmp.Compare(a.Producer, b.Producer) })
	return found
}
